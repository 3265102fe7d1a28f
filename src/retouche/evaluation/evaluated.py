"""What is evaluated: models of ours, published files, fills without weights, and the files another program wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from retouche.arithmetic import Computing
from retouche.errors import DataError, InputError
from retouche.evaluation.pictures import Item
from retouche.folders.finding import FoundFile, walk
from retouche.folders.pairing import pair
from retouche.inference.load import load
from retouche.inference.model import Model
from retouche.inference.names import foreign, resolve
from retouche.inference.prediction import likeness_remarks
from retouche.inference.sheet import pixels_rgb
from retouche.pictures import open_picture
from retouche.pictures.hidden import seen

WEIGHTS = (".safetensors", ".pth", ".pt", ".pdparams", ".index", ".ckpt", ".bin", ".p")


class EvaluatedModel(Protocol):
    """Something that fills.

    Attributes:
        name: how the table calls it
    """

    @property
    def name(self) -> str: ...

    def about(self) -> dict[str, Any]:
        """What the table says of it: no paths."""
        ...

    def fill(self, item: Item, truth: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """The filled picture (H, W, 3); outside the hole it is the truth, bit for bit.

        Raises: InputError where this picture cannot be filled
        """
        ...


@dataclass(frozen=True)
class LoadedModel:
    """A model of ours; it is never shown what the hole held."""

    name: str
    model: Model
    seed: int = 0
    memory: int | None = None

    def about(self) -> dict[str, Any]:
        model = self.model
        return {
            "model": self.name,
            "kind": "model",
            "method": model.method,
            "layout": model.layout,
            "preset": model.preset,
            "sha256": model.source_sha256,
            "title": model.record.title,
            "arithmetic": likeness_remarks(model),
        }

    def fill(self, item: Item, truth: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
        blank = np.where(hole[..., None], np.uint8(0), truth)
        filled = self.model(blank, hole, dilate=0, feather=0, seed=self.seed, memory=self.memory)
        return np.where(hole[..., None], filled, truth)


@dataclass
class Outputs:
    """The files another program wrote, one per picture, found by name.

    Attributes:
        files: the picture's name -> its file
        changed: pictures whose file differed from the truth outside the hole (the truth is put back)
    """

    name: str
    files: dict[str, Path]
    changed: int = 0
    _seen: set[int] = field(default_factory=set)

    def about(self) -> dict[str, Any]:
        return {"model": self.name, "kind": "files of another program", "known_pixels_changed": self.changed}

    def fill(self, item: Item, truth: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
        path = self.files[item.label]
        pixels = pixels_rgb(seen(open_picture(path)))
        if pixels.shape != truth.shape:
            raise DataError(
                f"{self.name}: {path.name} is {pixels.shape[1]}x{pixels.shape[0]} but the evaluation is at "
                f"{truth.shape[1]}x{truth.shape[0]}: give outputs of that size (--keep writes the inputs)"
            )
        if item.number not in self._seen:
            self._seen.add(item.number)
            self.changed += int((pixels[~hole] != truth[~hole]).any())
        return np.where(hole[..., None], pixels, truth)


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def open_models(
    words: Sequence[str],
    items: Sequence[Item],
    device: torch.device,
    seed: int,
    memory: int | None,
    engine: str | None = None,
    computing: Computing | None = None,
) -> list[EvaluatedModel]:
    """The models of a command line.

    Args:
        words: NAME, NAME:TAG, a weight file or folder, a folder of pictures that another program wrote; each may be
            called something else: LABEL=WORD
        items: the pictures, for which a folder must hold an output each
        device: where networks go
        seed: for fills that draw at random
        memory: bytes that one pass may take
        engine: who runs networks, as `load` takes it
        computing: how those that PyTorch runs compute; the other models are as ever

    Raises: InputError, also where no model could compute so, WeightsError, DataError
    """
    models: list[EvaluatedModel] = []
    for word in words:
        label, given = _labelled(word)
        try:
            meant = resolve(given)
        except InputError as error:
            own = f"; or let that program fill the pictures and say --model {given}=FOLDER" if foreign(given) else ""
            raise InputError(f"{error}{own}") from None
        if isinstance(meant, Path) and meant.is_dir() and not _holds_weights(meant):
            models.append(_outputs(label or meant.resolve().name, meant, items))
            continue
        called = label or (meant.stem if isinstance(meant, Path) else given)
        model = load(meant, device=device, engine=engine)
        if computing and model.computes:
            model.compute(computing.precision, computing.compile)
        models.append(LoadedModel(called, model, seed, memory))
    if computing and not any(isinstance(each, LoadedModel) and each.model.computes for each in models):
        raise InputError("no model here has a network that PyTorch runs: leave --precision and --compile out")
    names = [evaluated.name for evaluated in models]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f'two models would be called "{name}": give one another name, e.g. --model second={name}')
    return models


def _labelled(word: str) -> tuple[str | None, str]:
    label, sign, given = word.partition("=")
    if sign and label and given and not Path(word).exists():
        return label, given
    return None, word


def _holds_weights(folder: Path) -> bool:
    return any(path.suffix.lower() in WEIGHTS or path.name == "checkpoint" for path in folder.iterdir())


def _outputs(name: str, folder: Path, items: Sequence[Item]) -> Outputs:
    files, _ = walk(folder)
    if not files:
        raise DataError(f"--model {folder} holds neither weights nor pictures: give a weight file or outputs")
    try:
        pairs = pair([FoundFile(item.image, Path(item.label)) for item in items], files, "output")
    except InputError as error:
        raise DataError(f"{name}: {error}") from None
    missing = [item.label for item, path in zip(items, pairs.found, strict=True) if path is None]
    if missing:
        raise DataError(
            f"{name}: {len(missing)} of {len(items)} pictures have no output in {folder} (first: {missing[0]}): "
            f"name it {_stem(missing[0])}.png"
        )
    return Outputs(name, {item.label: path for item, path in zip(items, pairs.found, strict=True) if path is not None})

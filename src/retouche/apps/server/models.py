"""Which models a server offers, and those that a worker has loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouche.apps.batch.manifest import model_hash
from retouche.apps.server.files import Outside, below
from retouche.apps.server.foreign import Helper
from retouche.arithmetic import Computing
from retouche.errors import InputError, RetoucheError
from retouche.inference.load import load
from retouche.inference.model import Model
from retouche.inference.names import foreign, known, resolve
from retouche.methods import CLASSICAL, DEFAULT, find
from retouche.methods.catalogue import entries
from retouche.methods.entries import BACKBONE, Entry
from retouche.methods.loading import WEIGHT_SUFFIXES
from retouche.progress import ProgressCallback

WARMING = 160, 160
"""Height and width of the picture that a worker fills first."""
SUFFIXES = {*WEIGHT_SUFFIXES, ".onnx"}
MOST_FILES = 1000
"""Entries of the folder of weights that are looked at."""
KEPT = 4
"""Models that a worker keeps loaded; the one used longest ago makes room."""


class Catalogue:
    """The names a client may ask for: the installed methods, what the server was started with, files too, and the
    weight files of one folder.

    A client never names a file of its own choice.
    """

    def __init__(self, given: Sequence[str], folder: Path | None = None) -> None:
        """Take the operator's models, the first of which fills where a request names none, and folder of weights."""
        self.folder = folder
        self._files: dict[str, str] = {}
        self._conditioning: dict[str, list[str]] = {}
        self._methods: dict[str, str] = {}
        for text in given:
            self._files[self._named(text)] = text
        self.given = tuple(self._files)
        assert self.given, "a server needs a model"
        self.current = self.given[0]

    def _named(self, typed: str) -> str:
        """What clients call an operator's model: a name as it is, a file without its folder."""
        path = resolve(typed)
        if isinstance(path, str):
            return path
        name, number = path.name, 1
        while known(name) or self._files.get(name, typed) != typed:
            number += 1
            name = f"{path.name} ({number})"
        return name

    def found(self) -> dict[str, str]:
        """The folder's weight files as they are now: name and path; hidden ones and links that lead out are not."""
        if self.folder is None or not self.folder.is_dir():
            return {}
        paths = {}
        for file in sorted(self.folder.iterdir())[:MOST_FILES]:
            with suppress(Outside):
                if file.suffix in SUFFIXES and file.is_file() and file.name not in self._files:
                    paths[file.name] = str(below(self.folder, file.name))
        return paths

    def resolve(self, name: str | None) -> str:
        """The offered name for what a client asked for.

        Raises: InputError
        """
        if name is None or name in self._files:
            return name or self.current
        if name in self.found():
            return name
        name = known(name) or name
        published = [entry for entry in entries() if entry.kind != BACKBONE]
        here = {word for entry in published if entry.here for word in (entry.name, entry.owner)}
        if name in {*here, *CLASSICAL, "default"}:
            return name
        offered = ", ".join(row["name"] for row in self.rows())
        if name.partition(":")[0] in {entry.owner for entry in published}:
            raise InputError(f'the weights of "{name}" are not on this server; offered: {offered}')
        raise InputError(f"""{foreign(name) or f'no model "{name[:80]}" on this server'}; offered: {offered}""")

    def source(self, name: str) -> str:
        """What `load` takes for an offered name."""
        return self._files.get(name) or self.found().get(name, name)

    def learn(self, name: str, model: Model) -> None:
        """Remember a loaded model's method, and its conditioning inputs."""
        self._conditioning[name] = sorted(model.conditioning)
        self._methods[name] = model.method

    def conditioning(self, name: str) -> list[str]:
        """What a model takes beside picture and mask: "sketch", "structure".

        Of one not loaded yet, what its method's first preset takes; of a file of the folder, nothing.
        """
        if name not in self._conditioning and name in self.found():
            return []
        if name not in self._conditioning:
            record = find(name.partition(":")[0])
            config = next(iter(record.presets.values()), None)
            self._conditioning[name] = sorted(record.conditioning(config))
        return self._conditioning[name]

    def rows(self) -> list[dict[str, Any]]:
        """What is offered, the operator's first; the default once, by that name.

        Each row's `method` is the record's name, None of a file not loaded yet.
        """
        published = {
            "default" if entry.owner == DEFAULT else entry.name: entry
            for entry in entries()
            if entry.here and entry.kind != BACKBONE
        }
        if DEFAULT in self._files:
            published[DEFAULT] = published.pop("default")
        names = [*self._files, *self.found(), *(name for name in published if name not in self._files)]
        return [
            {
                "name": name,
                "method": published[name].owner if name in published else self._methods.get(name),
                "title": published[name].title if name in published else _title(name),
                "kind": _kind(published[name]) if name in published else "network",
                "licence": _licence(published[name]) if name in published else None,
                "conditioning": (takes := self.conditioning(name)),
                "listens": takes,  # the former name, until 0.2
                "current": name == self.current,
            }
            for name in names
        ]


def _licence(entry: Entry) -> str:
    return "; ".join(dict.fromkeys(weights.licence for weights in entry.files)) or "MIT, as retouche"


def _kind(entry: Entry) -> str:
    """ "network", "fill without weights", or of a fill that asks networks for a part of its work both."""
    record = find(entry.owner)
    return "networks and collage" if record.networks or record.paths else entry.kind


def _title(name: str) -> str:
    """A method's title, or a file's name."""
    try:
        return find(name.partition(":")[0]).title
    except InputError:
        return name


class FileWorker:
    """A worker without a device."""

    def __init__(self) -> None:
        self.helper = Helper()


class FillWorker:
    """A worker's device and the models it has loaded there."""

    def __init__(self, device: torch.device, engine: str | None = None, computing: Computing | None = None) -> None:
        self.device, self.engine, self.computing = device, engine, computing
        self.name = str(device)
        self.helper = Helper()
        self._models: OrderedDict[str, tuple[Model, str]] = OrderedDict()
        self._alive: Callable[[], None] = _nothing

    def _engine_of(self, source: str) -> str | None:
        """The operator's engine; fills without networks are offered too, and run as ever."""
        meant = resolve(source)
        record = find(meant.partition(":")[0]) if isinstance(meant, str) else None
        return None if record is not None and record.fill is not None and not record.stand_in else self.engine

    def model(self, source: str) -> tuple[Model, str]:
        """The model of a name or file, loaded at its first use, and its hash."""
        if source not in self._models:
            try:
                result = load(source, device=self.device, engine=self._engine_of(source))
            except RetoucheError as error:  # where a folder is, is nobody's business
                words = str(error).replace(source, Path(source).name)
                raise type(error)(words) from None
            if self.computing and result.computes:
                result.compute(self.computing.precision, self.computing.compile)
            self._models[source] = result, model_hash(result)
            # a compiled network would be cut at every layer that looks
            plain = (each for each in (result, *result.paths.values()) if each.compiled is None)
            for network in (each.generator for each in plain):
                for module in network.modules() if network is not None else ():
                    module.register_forward_pre_hook(self._look)
        self._models.move_to_end(source)
        while len(self._models) > KEPT:
            self._models.popitem(last=False)
        return self._models[source]

    def warm(self, source: str) -> None:
        """Fill a small picture, for what PyTorch and a model do only once; what is wrong, the first fill reports."""
        height, width = WARMING
        hole = np.zeros(WARMING, np.bool_)
        hole[height // 4 : height // 2, width // 4 : width // 2] = True  # thick
        hole[-8:-5, 8:-8] = True  # thin
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        with suppress(Exception):
            model = self.model(source)[0]
            model(picture, hole)
            for each in (model, *model.paths.values()):
                each.likeness = None  # of noise: the first fill of a picture says it

    @contextmanager
    def watched(self, progress: ProgressCallback) -> Iterator[tuple[ProgressCallback, Callable[[], None]]]:
        """Have `progress` asked before each layer of a network, too: a pass may take long and reports nothing inside.

        Yields: a callback for the fraction done; and what repeats the last one to `progress`, which may raise
        """
        last = 0.0

        def on_progress(fraction: float) -> None:
            nonlocal last
            last = fraction
            progress(fraction)

        def alive() -> None:
            progress(last)

        self._alive = alive
        try:
            yield on_progress, alive
        finally:
            self._alive = _nothing

    def _look(self, *_: object) -> None:
        self._alive()


def _nothing() -> None:
    pass

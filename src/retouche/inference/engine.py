"""An exported file as a generator: a model like any other, whose layers another engine runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouche.engines.onnx_file import OnnxFile, is_onnx, open_onnx
from retouche.engines.sessions import EXTRA, open_session
from retouche.errors import InputError, WeightsError
from retouche.methods import find, methods
from retouche.methods.loading import Networks
from retouche.methods.method import Generator, Method, Prediction, checked
from retouche.weights import native
from retouche.weights.store import cache_folder

ENGINES = ("torch", *EXTRA)


class EngineGenerator(Generator):
    """Runs a file of either form; a pipeline is given 8-bit pictures, and what it leaves alone is not predicted.

    Attributes:
        engine: "onnx" or "openvino"
    """

    def __init__(self, file: OnnxFile, engine: str, record: Method, config: Any) -> None:
        super().__init__()
        facts = file.facts()
        window = facts["window"]
        self.multiple, self.smallest = window["only"] or window["multiple"], window["only"] or window["smallest"]
        self.largest = window["largest"]
        self.engine, self.record, self.config = engine, record, config
        self.guides = facts["inputs"].split()[2:]
        self.pipeline, self.gives = facts["form"] == "pipeline", facts["gives"]
        self._file, self._process = file, os.getpid()
        self._session = open_session(file, engine, torch.get_num_threads())

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        inputs = {"image": image, "mask": mask}
        for name in self.guides:
            inputs[name] = self._guide(name, sketch if name == "sketch" else structure, image, mask)
        arrays = {name: tensor.detach().float().cpu().numpy() for name, tensor in inputs.items()}
        if self.pipeline:
            levels = {"picture" if name == "image" else name: _levels(each) for name, each in arrays.items()}
            result = self.run(levels).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        else:
            result = self.run({name: np.ascontiguousarray(each) for name, each in arrays.items()})
        prediction = torch.from_numpy(result).to(image)
        return Prediction(prediction) if self.gives == "refined" else Prediction(None, structure=prediction)

    def run(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Arrays by name -> what the file gives. A forked process has a session of its own: threads stay behind."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._session = open_session(self._file, self.engine, torch.get_num_threads())
        return self._session(arrays)

    def _guide(self, name: str, given: Tensor | None, image: Tensor, mask: Tensor) -> Tensor:
        if given is not None:
            return given.to(image).expand(len(image), -1, -1, -1)
        if name == "sketch":
            return torch.zeros_like(mask)
        if self.record.structure is None:
            raise InputError("this network needs a structure picture: give structure=")
        return self.record.structure(self.config, image * (1 - mask), mask)


def open_networks(path: Path, engine: str) -> Networks:
    """The networks of an exported file.

    Raises: InputError, WeightsError as `open_onnx` and `open_session`, and for a method that is not installed
    """
    file = open_onnx(path)
    facts = file.facts()
    name = facts["method"]
    try:
        record = find(name)
    except InputError:
        raise WeightsError(
            f"{path} is for the method {name[:80]}, which is not installed: known are {', '.join(methods())}"
        ) from None
    kind = type(next(iter(record.presets.values())))
    config = native.config_from_json(kind, file.metadata["config"], path)
    try:
        generator = EngineGenerator(file, engine, record, config)
    except (KeyError, TypeError, AttributeError):
        raise WeightsError(f"{path} has damaged metadata: export it anew") from None
    return Networks(
        name=str(path),
        method=name,
        config=config,
        generator=generator.eval(),
        layout=facts.get("layout"),
        preset=facts.get("preset"),
        header={"licence": facts.get("licence", "not known")},
        source_sha256=facts.get("source_sha256") or facts["weights_sha256"],
    )


def exported(model: Networks) -> Path:
    """The file of a model's network that an engine runs, made now unless it is kept from an earlier time.

    Raises: as `export.write.export`
    """
    from retouche.export.write import export, key_of  # only here: writing files is much to import

    folder = cache_folder() / "exports"
    path = folder / f"{model.method}-{key_of(model)}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        export(model, path)
    return path


def chosen_engine(engine: str | None, path: Path | None) -> str:
    """The engine meant: torch for weight files by default, ONNX Runtime for exported files.

    Raises: InputError for an unknown one, or for torch with an exported file
    """
    if engine is not None and engine not in ENGINES:
        raise InputError(f'no engine "{engine}"; known: {", ".join(ENGINES)}')
    if path is None or not is_onnx(path):
        return engine or "torch"
    if engine == "torch":
        raise InputError(f"{path} is an exported file, which PyTorch does not run: say --engine onnx, or openvino")
    return engine or "onnx"


def _levels(array: np.ndarray) -> np.ndarray:
    """(N, 1 or 3, H, W) -> 8 bits as the pipeline takes them: masks (N, H, W), pictures (N, H, W, 3)."""
    if array.shape[1] == 1:
        return np.where(array[:, 0] > 0.5, np.uint8(255), np.uint8(0))
    return np.clip(np.round((array + 1) * 127.5), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1).copy()

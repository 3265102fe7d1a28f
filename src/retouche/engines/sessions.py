"""One door to the engines: arrays by name in, one array out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.engines.onnx_file import OnnxFile
from retouche.errors import InputError, WeightsError, reason

Run = Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]
"""Arrays by the graph's input names -> its first output."""

EXTRA = {"onnx": ("onnxruntime", "onnx"), "openvino": ("openvino", "openvino")}
"""Engine -> (module, the extra that brings it)."""


def open_session(file: OnnxFile, engine: str = "onnx", threads: int | None = None) -> Run:
    """Make an engine ready to run a file that has been looked through.

    Args:
        engine: "onnx" (ONNX Runtime) or "openvino"
        threads: of the engine; None = all the cores that this process may use

    Raises: InputError for an unknown engine or one that is not installed; WeightsError where it refuses the file
    """
    if engine not in EXTRA:
        raise InputError(f'no engine "{engine}"; known: torch, {", ".join(EXTRA)}')
    module, extra = EXTRA[engine]
    try:
        library = importlib.import_module(module)
    except ImportError:
        raise InputError(f'the engine "{engine}" is not installed: pip install "retouche[{extra}]"') from None
    threads = threads or cores()
    try:
        return (_onnx_runtime if engine == "onnx" else _openvino)(library, file, threads)
    except (InputError, WeightsError):
        raise
    except Exception as error:  # each engine has its own tree of errors
        raise WeightsError(f"{file.path} is refused by {module}: {reason(error)}") from None


def cores() -> int:
    """Cores that this process may use, or OMP_NUM_THREADS where it says fewer."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(own, int(said)) if said.isdigit() and int(said) else own


def _onnx_runtime(ort: Any, file: OnnxFile, threads: int) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # shapes that a graph could not know beforehand are no news
    session = ort.InferenceSession(file.data, options, providers=["CPUExecutionProvider"])

    def run(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return np.asarray(session.run(None, dict(arrays))[0])

    return run


def _openvino(ov: Any, file: OnnxFile, threads: int) -> Run:
    core = ov.Core()
    model = core.read_model(BytesIO(file.data))
    # its own choice on many processors is bfloat16, 18 to 26 dB from float32
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(model, "CPU", settings)

    def run(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return np.array(compiled(dict(arrays))[0])

    return run

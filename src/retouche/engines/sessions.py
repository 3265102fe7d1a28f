"""One door to the engines: arrays by name in, one array out."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Mapping
from functools import cache
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

    Raises: InputError for an unknown engine or one that is not installed; WeightsError where it refuses the file. What
        is returned raises WeightsError where the graph fails, or gives no picture like the first array
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
        run = (_onnx_runtime if engine == "onnx" else _openvino)(library, file, threads)
    except Exception as error:  # each engine has its own tree of errors
        raise WeightsError(f"{file.path} is refused by {module}: {reason(error)}") from None

    def checked(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        try:
            output = run(arrays)
        except Exception as error:
            raise WeightsError(f"{file.path} failed in {module}: {reason(error)}") from None
        like = next(iter(arrays.values()))  # the picture
        if output.shape != like.shape or output.dtype != like.dtype:
            raise WeightsError(
                f"{file.path} gives {output.shape} {output.dtype} for a picture {like.shape} {like.dtype}: "
                "export it anew"
            )
        return output

    return checked


def cores() -> int:
    """Cores that this process may use, or OMP_NUM_THREADS where it says fewer."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return min(own, int(limit)) if limit.isdigit() and int(limit) else own


def _onnx_runtime(ort: Any, file: OnnxFile, threads: int) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what fails raises
    if bounded(ort):
        options.add_session_config_entry("session.use_env_allocators", "1")
    session = ort.InferenceSession(file.data, options, providers=["CPUExecutionProvider"])

    def run(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return np.asarray(session.run(None, dict(arrays))[0])

    return run


@cache
def bounded(ort: Any) -> bool:
    """Have ONNX Runtime take no more than three quarters of the machine's memory, for all its sessions together.

    Sizes that a graph computes while it runs cannot be judged beforehand; with this they fail instead of the machine.

    Returns: whether the limit is set: not where nobody says how much memory there is
    """
    try:
        most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4
    except (AttributeError, ValueError, OSError):
        return False
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    usual = {"arena_extend_strategy": -1, "initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    # where a program has registered an allocator of its own before, its limit holds
    with contextlib.suppress(Exception):
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": most, **usual}))
    return True


def _openvino(ov: Any, file: OnnxFile, threads: int) -> Run:
    core = ov.Core()
    model = core.read_model(BytesIO(file.data))
    # its own choice on many processors is bfloat16, 18 to 26 dB from float32
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(model, "CPU", settings)

    def run(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return np.array(compiled(dict(arrays))[0])

    return run

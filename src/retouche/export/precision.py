"""Exported graphs in fewer bits, and what that costs: the PSNR to the float32 graph's fill, inside the holes."""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from retouche.engines.sessions import Run
from retouche.errors import InputError, reason
from retouche.export import parity
from retouche.export.forms import NetworkForm, PipelineForm

PRECISIONS = ("fp32", "fp16", "int8")
LEAST = 40.0
"""dB below which a graph of fewer bits is refused: its fill differs from the other's to the eye."""
Arrays = Mapping[str, NDArray[Any]]


def batches(form: NetworkForm, pictures: Sequence[Tensor], centre: int = 0) -> list[Arrays]:
    """What is calibrated and judged on: each picture with a box, then with strokes; built-in ones where none are given.

    Args:
        pictures: (1, 3, H, W) each, -1..1, of any size; what is beyond the network's multiple is cut off
        centre: as in `parity.compare`
    """
    found: list[Arrays] = []
    size = max(256, *parity.sizes(form)[0]) if not form.side else form.side
    count = len(pictures) or 3
    for number in range(count):
        height, width = (size, size) if not pictures else _fitting(form, pictures[number])
        for kind in parity.HOLES:
            example = parity.examples(form, height, width, kind, centre, batch=1, seed=number)
            if pictures:
                key = "picture" if isinstance(form, PipelineForm) else "image"
                cut = pictures[number][..., :height, :width]
                example[key] = parity.eight_bits("picture", cut) if key == "picture" else cut
            found.append({name: tensor.numpy() for name, tensor in example.items()})
    return found


def _fitting(form: NetworkForm, picture: Tensor) -> tuple[int, int]:
    height, width = picture.shape[-2:]
    multiple, smallest = form.generator.multiple, form.generator.smallest
    if form.side:
        multiple = smallest = form.side
        height = width = min(height, width, form.side)
    if min(height, width) < smallest:
        raise InputError(f"a picture of {width}x{height} is smaller than the network's {smallest}: give larger ones")
    return height // multiple * multiple, width // multiple * multiple


def reduced(graph: Any, precision: str, calibration: Sequence[Arrays]) -> Any:
    """The graph in fewer bits; inputs and output stay as they are.

    Args:
        graph: an `onnx.ModelProto`, left as it is
        precision: "fp16", or "int8" for convolutions of 8 bits whose ranges are measured
        calibration: inputs for these

    Raises: InputError where ONNX Runtime's tools fail
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    root = logging.getLogger()  # onnxruntime's tools recommend what has been done

    def silent(record: logging.LogRecord) -> bool:
        return False

    root.addFilter(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _half(copy) if precision == "fp16" else _quantised(copy, calibration)
    except ImportError as error:
        raise InputError(f"--precision {precision} needs {error.name}: pip install it") from None
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"this network cannot be written in {precision}: {reason(error)}") from error
    finally:
        root.removeFilter(silent)


def _half(graph: Any) -> Any:
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    # sums of many and positions in a picture need float32
    kept = [*DEFAULT_OP_BLOCK_LIST, "Range", "CumSum", "ReduceMean", "ReduceSum", "Mod", "InstanceNormalization"]
    return convert_float_to_float16(graph, keep_io_types=True, op_block_list=kept)


def _quantised(graph: Any, calibration: Sequence[Arrays]) -> Any:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> Any:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "quantised.onnx")
        quantize_static(
            graph,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load_model(path)


def psnr(full: Run, fewer: Run, inputs: Sequence[Arrays]) -> float:
    """dB between two graphs' fills inside the holes, over all inputs together; infinite where they are equal."""
    total, count = 0.0, 0
    for arrays in inputs:
        one, two = (run(arrays).astype(np.float64) for run in (full, fewer))
        if one.shape[1] == 3 and "image" in arrays:  # tensors: to levels
            one, two = (np.clip((each + 1) * 127.5, 0, 255).transpose(0, 2, 3, 1) for each in (one, two))
            hole = arrays["mask"][:, 0] > 0.5
        else:
            hole = arrays["mask"] > 127
        difference = (one - two)[hole]
        total, count = total + float(np.square(difference).sum()), count + difference.size
    if not math.isfinite(total):
        return 0.0
    return math.inf if total == 0 else 10 * math.log10(255**2 * count / total)

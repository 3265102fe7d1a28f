"""From a module to the bytes of an ONNX file.

PyTorch's tracing exporter is used: it follows sizes as variables without proving anything about them, which takes a
second where the newer one takes a minute, and needs no package but `onnx`. What tracing can get wrong (a size taken for
a number, a branch taken for the only one) shows at other sizes than the traced one, where `parity` looks.
"""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from retouche.errors import InputError, reason
from retouche.export.branches import branched, marked
from retouche.export.forms import NetworkForm
from retouche.layers.exporting import in_export_form

OPSET = 17
"""Version of ONNX's operators: every engine has it, ONNX Runtime Web and phones' too."""


def recorded(
    form: NetworkForm, example: Mapping[str, Tensor], output: str, axes: Mapping[int, str], *, branches: bool = True
) -> Any:
    """The form's operations as an `onnx.ModelProto`.

    Args:
        form: left as it is
        example: input name -> tensor, in order; of two samples at least, so that no size is 1 by chance
        output: name of what comes out
        axes: axis -> name, of the sizes that vary, the same for inputs and output
        branches: whether parts that a picture does not need are left out while the graph runs

    Raises: InputError where the package `onnx` is missing, or an operation cannot be recorded
    """
    try:
        import onnx
    except ImportError:
        raise InputError('exporting needs the package onnx: pip install "retouche[onnx]"') from None
    plain = NetworkForm.__new__(type(form))
    nn.Module.__init__(plain)
    plain.guides, plain.side = form.guides, form.side
    plain.generator = in_export_form(copy.deepcopy(form.generator).cpu().float()).eval()  # type: ignore[assignment]
    plain.requires_grad_(False)
    names = {name: dict(axes) for name in (*example, output)}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of sizes that become numbers: `parity` finds those that matter
        # with gradients on, networks take the plain form that training takes; no tensor wants one
        with torch.inference_mode(False), torch.enable_grad():
            try:
                torch.onnx.export(
                    plain,
                    tuple(example.values()),
                    buffer,  # type: ignore[arg-type]  # newer versions' annotation leaves it out
                    dynamo=False,
                    opset_version=OPSET,
                    input_names=list(example),
                    output_names=[output],
                    dynamic_axes=names,
                )
            except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
                raise InputError(f"this network cannot be recorded: {reason(error)}") from error
    graph = onnx.load_model_from_string(buffer.getvalue())
    tidy = tidied(marked(graph))  # constants that both sides of a choice read are made one here
    return _declared(branched(tidy) if branches else tidy, axes)


def tidied(model: Any) -> Any:
    """The model without what can be computed once: a third of the operators, all of them ONNX's own, open sooner."""
    import onnx

    try:
        import onnxruntime
    except ImportError:
        raise InputError('exporting needs the package onnxruntime: pip install "retouche[onnx]"') from None
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "tidied.onnx")
        options.optimized_model_filepath = path
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        result = onnx.load_model(path)
    own = [each for each in result.opset_import if each.domain in ("", "ai.onnx")]
    del result.opset_import[:]
    result.opset_import.extend(own)
    return result


def _declared(model: Any, axes: Mapping[int, str]) -> Any:
    """The model with no sizes of its output but those that vary, which tracing states wrongly at times."""
    for value in model.graph.output:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if axis in axes:
                dim.dim_param = axes[axis]
    return model

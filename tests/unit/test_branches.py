"""Choices of a recorded graph: the side that a picture does not need is not run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from retouche.layers.exporting import where_needed

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


class Chooser(nn.Module):
    """Two choices, the second of which reads what the first gives and a weight that the first reads, too."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.tensor([2.0]))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        first = where_needed(1 - mask, lambda: (x * self.shared).exp(), x)
        return where_needed(mask, lambda: (first.sin() * self.shared).tanh(), first)


def recorded() -> Any:
    import io

    from retouche.export.branches import marked
    from retouche.export.graph import tidied

    buffer: Any = io.BytesIO()
    with torch.inference_mode(False):
        example = (torch.rand(2, 3), torch.ones(1))
        torch.onnx.export(Chooser(), example, buffer, dynamo=False, opset_version=17, input_names=["x", "mask"])
    return tidied(marked(onnx.load_model_from_string(buffer.getvalue())))


@pytest.mark.filterwarnings("ignore")  # the exporter calls itself old
def test_branches_compute_what_eager_does_and_hold_what_serves_them_alone() -> None:
    from retouche.export.branches import branched

    flat = recorded()
    model = branched(recorded())
    assert sum(node.op_type == "Where" for node in flat.graph.node) == 2
    choices = [node for node in model.graph.node if node.op_type == "If"]
    assert len(choices) == 2
    outside = {node.op_type for node in model.graph.node}
    assert not {"Exp", "Sin", "Tanh"} & outside
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    for graph in (flat, model):
        session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        for value in (0.0, 1.0):
            mask = np.full(1, value, np.float32)
            expected = Chooser()(torch.from_numpy(x), torch.from_numpy(mask)).detach().numpy()
            assert np.abs(session.run(None, {"x": x, "mask": mask})[0] - expected).max() < 1e-6

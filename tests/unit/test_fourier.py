"""The Fourier unit exports with open sizes, without any Fourier operator, and computes the same."""

from __future__ import annotations

import torch

from retouche.layers.fourier import SpectralTransform


def test_exports_with_open_sizes() -> None:
    network, size = SpectralTransform(16, 16).eval(), torch.export.Dim
    shapes = {2: size("height", min=4, max=1024), 3: size("width", min=4, max=1024)}
    program = torch.export.export(network, (torch.rand(1, 16, 9, 12),), dynamic_shapes={"x": shapes})
    assert not [node for node in program.graph.nodes if "fft" in str(node.target)]
    for height, width in ((9, 12), (7, 5), (16, 33), (12, 8)):
        x = torch.rand(1, 16, height, width)
        with torch.no_grad():
            torch.testing.assert_close(program.module()(x), network(x), atol=1e-5, rtol=1e-5)

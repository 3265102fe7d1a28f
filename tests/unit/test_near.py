"""Convolutions at chosen cells: the same values as over the whole map."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from retouche.layers import near
from retouche.layers.residual import Doubled, ResidualBlock
from retouche.methods import thin


def some_cells(n: int, h: int, w: int, share: float, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, h, w, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 4), (1, 1), (5, 2)])
@pytest.mark.parametrize("slope", [1.0, 0.1])
def test_a_convolution_at_cells_is_the_dense_one(kernel: int, dilation: int, slope: float) -> None:
    torch.manual_seed(0)
    reach = dilation * (kernel // 2)
    layer = nn.Conv2d(6, 5, kernel, padding=reach, dilation=dilation).double()
    x, other = torch.randn(2, 6, 17, 11).double(), torch.randn(2, 5, 17, 11).double()
    wanted = near.spots(some_cells(2, 17, 11, 0.1), reach)
    seen, more = wanted.before(reach), wanted.before(1 if reach else 0)
    with torch.no_grad():
        onto = near.from_dense(other, more), more
        rows = near.convolved(near.from_dense(x, seen), seen, wanted, layer, slope=slope, onto=onto)
        expected = near.from_dense(functional.leaky_relu(layer(x), slope) + other, wanted)
    torch.testing.assert_close(rows, expected)


def test_cells_beyond_the_map_are_zeros_for_the_next_layer() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(4, dilation=3).double()
    x = torch.randn(1, 4, 8, 9).double()
    wanted = near.spots(torch.ones(1, 8, 9, dtype=torch.bool), 3)
    between = wanted.before(1)
    seen = between.before(3)
    with torch.no_grad():
        rows = block.at_cells(near.from_dense(x, seen), seen, between, wanted)
        torch.testing.assert_close(rows, near.from_dense(block(x), wanted))
    assert len(between.beyond) == 2 * (8 + 9) + 4 and not between.inside.logical_not().any()


def test_enlarging_at_cells_is_the_dense_one() -> None:
    torch.manual_seed(0)
    layer = Doubled(6, 5).double()
    x = torch.randn(2, 6, 8, 7).double()
    fine = near.spots(some_cells(2, 16, 14, 0.1), 1)
    seen = fine.before(1)
    coarse = near.spots(near.parents(seen.inside), 3)
    with torch.no_grad():
        rows = near.doubled(near.from_dense(x, coarse), coarse, seen, layer.spread)
        torch.testing.assert_close(rows, near.from_dense(layer(x), seen))


def test_growing_is_a_maximum_over_a_square() -> None:
    wanted = some_cells(2, 9, 3, 0.05)
    for by in range(6):
        expected = functional.max_pool2d(wanted[:, None].double(), 2 * by + 1, 1, by)[:, 0] > 0
        assert torch.equal(near.grown(wanted, by), expected)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 0.9, 1.0])
@pytest.mark.parametrize("mostly", [0.0, 0.7, 2.0])
def test_the_thin_network_near_a_hole_is_the_whole_one(
    share: float, mostly: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thin, "MOSTLY", mostly)  # all dense, some of it, none of it
    torch.manual_seed(1)
    network = thin.ThinGenerator(thin.ThinConfig(width=8)).double().eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    x = torch.randn(2, 4, 44, 36).double()
    hole = some_cells(2, 44, 36, share)
    with torch.no_grad():
        expected = network.added(x) * hole[:, None]
        torch.testing.assert_close(network.added_near(x, hole), expected)

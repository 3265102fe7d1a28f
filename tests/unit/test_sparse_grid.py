"""Membranes and seams of thin holes, solved for the hole's cells alone: the numbers of the whole grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from retouche.numerics import laplace, sparse_grid
from retouche.numerics.laplace import membrane, seamless


def lines(height: int, width: int) -> Tensor:
    """(height, width) bool: thin strokes, some to the border and into corners, and single pixels."""
    y, x = np.mgrid[:height, :width]
    hole = np.abs(y * 0.7 - x + 11) < 2
    hole |= np.abs(y + x - height) < 1
    hole |= (y == height - 1) | ((y % 17 == 3) & (x % 19 == 5))
    return torch.from_numpy(hole)


@pytest.mark.parametrize("size", [(96, 128), (131, 77), (65, 200)])
def test_rows_give_what_the_grid_gives(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    hole, random = lines(*size), torch.Generator().manual_seed(0)
    assert sparse_grid.worthwhile(hole[None, None].double())
    image = torch.rand(1, 3, *size, generator=random, dtype=torch.float64)
    jumps = tuple(
        torch.rand(3, h, w, generator=random, dtype=torch.float64) - 0.5
        for h, w in ((size[0], size[1] - 1), (size[0] - 1, size[1]))
    )
    by_rows = membrane(image, hole[None, None], 1e-10), seamless((jumps[0], jumps[1]), hole, 1e-3)
    monkeypatch.setattr(sparse_grid, "SHARE", 0.0)
    by_grid = membrane(image, hole[None, None], 1e-10), seamless((jumps[0], jumps[1]), hole, 1e-3)
    for ours, whole in zip(by_rows, by_grid, strict=True):
        torch.testing.assert_close(ours, whole, atol=1e-9, rtol=0)


def test_a_membrane_by_rows_is_harmonic() -> None:
    hole = lines(120, 90)
    filled = membrane(torch.rand(1, 1, 120, 90, dtype=torch.float64), hole[None, None], 1e-9)[0, 0]
    around = torch.nn.functional.pad(filled[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    mean = (around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]) / 4
    assert float((mean - filled)[hole].abs().max()) < 1e-8


def test_each_level_is_rows_only_where_that_is_quicker() -> None:
    hole = lines(256, 256)[None, None].double()
    kinds = [isinstance(level, sparse_grid.Rows) for level in laplace._levels(laplace._finest(hole))]
    assert kinds[0] and not kinds[-1] and kinds == sorted(kinds, reverse=True)
    box = torch.zeros_like(hole)
    box[..., 1:-1, 1:-1] = 1
    assert not isinstance(laplace._levels(laplace._finest(box))[0], sparse_grid.Rows)

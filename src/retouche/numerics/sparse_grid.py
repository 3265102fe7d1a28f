"""A grid's equations for its unknown cells alone, one row each: for holes that are thin, in a box mostly known.

The numbers are those of the whole grid, to rounding. A row's neighbours, and the cells of the finer and coarser grid
that it is made of, are looked up in tables; sums over them are bags of an embedding, one quick pass each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SHARE = 0.5
"""Share of a grid's cells below which rows are quicker than the grid."""
FEWEST = 1 << 12
"""Cells of a grid below which it does not matter."""


def worthwhile(hole: Tensor) -> bool:
    """Whether rows are quicker for a grid (1, 1, h, w), 1 = unknown."""
    return hole.numel() >= FEWEST and int(hole.count_nonzero()) < SHARE * hole.numel()


@dataclass(frozen=True)
class Table:
    """Rows made of other rows.

    Attributes:
        rows: (N, K), int32, which ones; the number of rows that there are stands for a row of zeros
        weights: (N, K)
    """

    rows: Tensor
    weights: Tensor

    def sums(self, values: Tensor) -> Tensor:
        """(rows, C) -> (N, C)"""
        values = F.pad(values, (0, 0, 0, 1))
        return F.embedding_bag(self.rows, values, mode="sum", per_sample_weights=self.weights)


class Rows:
    """Equations diagonal * u - sum(link * neighbour) = right side of a grid's unknown cells; vectors are (cells, C).

    Args:
        hole: (1, 1, h, w), 1 = unknown
        horizontal: (1, 1, h, w - 1), conductances between horizontal neighbours, 0 unless both are unknown
        vertical: (1, 1, h - 1, w), the same for vertical ones
        diagonal: (1, 1, h, w)
        relaxation: (1, 1, h, w), what a residual is multiplied by in one of Jacobi's steps
        coarser: (1, 1, ., .), the unknown cells of the next grid, half the size
    """

    def __init__(
        self,
        hole: Tensor,
        horizontal: Tensor,
        vertical: Tensor,
        diagonal: Tensor,
        relaxation: Tensor,
        coarser: Tensor,
    ) -> None:
        self.size = h, w = hole.shape[2], hole.shape[3]
        self.cells = hole.flatten().nonzero()[:, 0]
        self.coarser_cells = coarser.flatten().nonzero()[:, 0]
        self.coarser_size = coarser.shape[2], coarser.shape[3]
        self.diagonal, self.relaxation = (
            plane.flatten().index_select(0, self.cells)[:, None] for plane in (diagonal, relaxation)
        )
        own, theirs = _numbers(self.cells, hole), _numbers(self.coarser_cells, coarser)
        y, x = self.cells // w, self.cells % w
        across, down = F.pad(horizontal[0, 0], (1, 1)), F.pad(vertical[0, 0], (0, 0, 1, 1))
        links = torch.stack([across[y, x], across[y, x + 1], down[y, x], down[y + 1, x]], 1)
        beside = F.pad(own, (1, 1, 1, 1), value=len(self.cells))
        neighbours = [beside[y + 1, x], beside[y + 1, x + 2], beside[y, x + 1], beside[y + 2, x + 1]]
        self.beside = Table(torch.stack(neighbours, 1), links)
        # what `laplace` does with whole grids: bilinear enlargement, and the transpose of it
        lines, columns = (_enlarged(at, side) for at, side in zip((y, x), self.coarser_size, strict=True))
        self.enlarged = _crossed(theirs, lines, columns, hole.new_tensor([0.75, 0.25]))
        even = F.pad(own, (0, w % 2, 0, h % 2), value=len(self.cells))
        y, x = self.coarser_cells // self.coarser_size[1], self.coarser_cells % self.coarser_size[1]
        reach = torch.arange(-1, 3, device=hole.device)
        lines, columns = (
            (2 * at[:, None] + reach).clamp_(0, side - 1) for at, side in zip((y, x), even.shape, strict=True)
        )
        self.reduced = _crossed(even, lines, columns, hole.new_tensor([0.25, 0.75, 0.75, 0.25]))

    def apply(self, u: Tensor) -> Tensor:
        return (self.diagonal * u).sub_(self.beside.sums(u))

    def packed(self, values: Tensor) -> Tensor:
        """(C, 1, h, w) -> (cells, C)"""
        return values.flatten(1).index_select(1, self.cells).T.contiguous()

    def spread(self, rows: Tensor) -> Tensor:
        """(cells, C) -> (C, 1, h, w), 0 where nothing is unknown."""
        return _spread(rows, self.cells, self.size)

    def down(self, residual: Tensor, packed: bool) -> Tensor:
        """A residual (cells, C) for the next grid: its rows, or all of it (C, 1, ., .)."""
        rows = self.reduced.sums(residual)
        return rows if packed else _spread(rows, self.coarser_cells, self.coarser_size)

    def up(self, coarse: Tensor) -> Tensor:
        """The next grid's vector, in either form, for this one's cells (cells, C)."""
        if coarse.dim() == 4:
            coarse = coarse.flatten(1).index_select(1, self.coarser_cells).T.contiguous()
        return self.enlarged.sums(coarse)


def _spread(rows: Tensor, cells: Tensor, size: tuple[int, int]) -> Tensor:
    values = rows.new_zeros(rows.shape[1], size[0] * size[1])
    values[:, cells] = rows.T
    return values.view(-1, 1, *size)


def _numbers(cells: Tensor, hole: Tensor) -> Tensor:
    """(h, w), int32: the row of each cell, the number of rows where there is none."""
    number = torch.full((hole.numel(),), len(cells), dtype=torch.int32, device=hole.device)
    number[cells] = torch.arange(len(cells), dtype=torch.int32, device=hole.device)
    return number.view(hole.shape[2:])


def _enlarged(at: Tensor, side: int) -> Tensor:
    """(N, 2): the nearer and the farther coarse line of fine ones."""
    near = at // 2
    return torch.stack([near, (near + 2 * (at % 2) - 1).clamp_(0, side - 1)], 1)


def _crossed(numbers: Tensor, lines: Tensor, columns: Tensor, weights: Tensor) -> Table:
    """The table of rows at these lines (N, k) and columns (N, k) of a grid, weights (k,) along both."""
    flat = (lines[:, :, None] * numbers.shape[1] + columns[:, None]).flatten(1)
    rows = numbers.flatten().index_select(0, flat.flatten()).view(flat.shape)
    return Table(rows, torch.outer(weights, weights).flatten().expand(flat.shape).contiguous())

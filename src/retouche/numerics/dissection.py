"""Direct solution of (diagonal mass + weighted Laplacian) on a picture's pixels, by nested dissection.

Unknowns sit on the pixels, links join horizontal and vertical neighbours. The picture is cut into small boxes that
share their border lines (`boxes.py`). Each box eliminates its inside (`first_boxes.py`); then neighbours join to larger
boxes, each of which eliminates the lines that only its parts shared, until one box without a border is left; the values
then travel back. All boxes of one size are one batch of dense matrices, so that everything is Cholesky factors and
matrix products. n pixels cost about n**1.5 products and 100 n numbers.

Source: George 1973, "Nested dissection of a regular finite element mesh".
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from retouche.numerics import boxes
from retouche.numerics.boxes import Join
from retouche.numerics.first_boxes import FirstBoxes

MOST_CORRECTIONS = 6

ACCURACY = 1e-7
"""Largest error of a solution whose right side is about 1."""

LEAST = -1e-16
"""Stands in a matrix where nothing is linked. Far pixels' links fade exponentially, to numbers whose products a
processor takes a hundred times as long for (denormal ones). All links have one sign, so nothing cancels and none becomes
smaller than this one's square; beside a diagonal of 1 or more it is nothing."""


def solve(right: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Solve (1 + L) u = right.

    Factors are made in float32, which halves time and memory; corrections computed from float64 residuals then
    bring the error below 1e-7 of the right side's scale, usually with the first.

    Args:
        right: (N, C, H, W), float64; C share one matrix
        horizontal: (N, H, W - 1), conductance from each pixel to its right neighbour, at least 0
        vertical: (N, H - 1, W), to the lower neighbour

    Returns: (N, C, H, W)
    """
    factors = Factors(horizontal.float(), vertical.float())
    solution = factors.solve(right.float()).to(right.dtype)
    scale = right.abs().amax().item() or 1.0
    before = 1.0
    for _ in range(MOST_CORRECTIONS):
        correction = factors.solve((right - product(solution, horizontal, vertical)).float())
        solution += correction
        size = correction.abs().amax().item() / scale
        if size * size <= ACCURACY * before:  # corrections shrink by one factor each time
            break
        before = size
    return solution


def product(u: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """(1 + L) u, shapes as of `solve`."""
    result = u.clone()
    flow = (u[..., 1:] - u[..., :-1]) * horizontal[:, None]
    result[..., :-1] -= flow
    result[..., 1:] += flow
    flow = (u[..., 1:, :] - u[..., :-1, :]) * vertical[:, None]
    result[..., :-1, :] -= flow
    result[..., 1:, :] += flow
    return result


class Factors:
    """Cholesky factors of 1 + L by nested dissection.

    Args:
        horizontal: (N, H, W - 1), vertical: (N, H - 1, W), conductances as of `solve`; their dtype is the factors'
    """

    def __init__(self, horizontal: Tensor, vertical: Tensor) -> None:
        self.height, self.width = horizontal.shape[1], vertical.shape[2]
        level = boxes.cut(self.height, self.width)
        (rows, columns), (h, w) = level.count, level.size
        self.high, self.wide = rows * h + 1, columns * w + 1
        y, x = (some.to(horizontal.device) for some in boxes.lines(level))
        # a line that boxes share counts half in each
        down, right = _share(rows, h, horizontal), _share(columns, w, horizontal)
        self.pixels = _crossed(y, x, self.wide)
        self.mass = (down[:, None] * right).flatten()[self.pixels].repeat_interleave(len(horizontal), 1)
        across = self._padded(horizontal) * down[:, None], _crossed(y, torch.minimum(x[1:], x[:-1]), self.wide)
        along = self._padded(vertical) * right, _crossed(torch.minimum(y[1:], y[:-1]), x, self.wide)
        links = torch.cat([plane.flatten(1)[:, at].permute(1, 2, 0).flatten(1) for plane, at in (across, along)])
        self.first, matrix = FirstBoxes(level, links, self.mass, LEAST), None
        matrix = self.first.rest
        self.levels: list[tuple[Join, Tensor, Tensor]] = []
        while level.count != (1, 1):
            join, level = boxes.join(level), boxes.joined(level)
            inner, shared, matrix = _joined(matrix, join)
            factor = torch.linalg.cholesky(inner)
            shared = torch.linalg.solve_triangular(factor, shared, upper=False)
            matrix.baddbmm_(shared.mT, shared, alpha=-1)
            self.levels.append((join, factor, shared))

    def solve(self, right: Tensor) -> Tensor:
        """(N, C, H, W) -> the solution."""
        n = len(right)
        spread = self._padded(right).flatten(2)[..., self.pixels]  # (N, C, pixels, boxes)
        inside = spread.permute(2, 1, 3, 0).flatten(2).mul_(self.mass[:, None])
        values = self.first.forward(inside)
        eliminated: list[Tensor] = []
        for join, factor, shared in self.levels:  # up
            values = _joined_values(values, join)
            part = torch.linalg.solve_triangular(factor, values[:, : join.inner], upper=False)
            values = torch.baddbmm(values[:, join.inner :], shared.mT, part, alpha=-1)
            eliminated.append(part)
        for (join, factor, shared), part in zip(reversed(self.levels), reversed(eliminated), strict=True):  # down
            part = torch.baddbmm(part, shared, values, alpha=-1)
            part = torch.linalg.solve_triangular(factor.mT, part, upper=True)
            values = _parted_values(torch.cat([part, values], 1), join)
        inside = self.first.backward(inside, values).unflatten(2, (-1, n))
        solution = right.new_empty(n, right.shape[1], self.high * self.wide)
        solution[..., self.pixels] = inside.permute(3, 1, 0, 2)  # what boxes share is the same in each
        return solution.unflatten(2, (self.high, self.wide))[..., : self.height, : self.width]

    def _padded(self, plane: Tensor) -> Tensor:
        """(..., high, wide): filled up with zeros to whole boxes."""
        return functional.pad(plane, (0, self.wide - plane.shape[-1], 0, self.high - plane.shape[-2]))


def _share(count: int, links: int, like: Tensor) -> Tensor:
    """How much of a line counts in each box: half of those that two boxes share."""
    share = like.new_ones(count * links + 1)
    share[links:-1:links] = 0.5
    return share


def _crossed(y: Tensor, x: Tensor, wide: int) -> Tensor:
    """(rows, boxes) and (columns, boxes) -> numbers of the pixels where they cross, (rows * columns, boxes)."""
    return (y[:, None] * wide + x).flatten(0, 1)


def _joined(matrix: Tensor, join: Join) -> tuple[Tensor, Tensor, Tensor]:
    """The parts' matrices added up: that of the inner pixels (its lower half), their links to the border, the border's."""
    parts = matrix.view(len(join.parts), -1, *matrix.shape[1:])
    inner, shared, rest = (
        matrix.new_full((parts.shape[1], *size), LEAST)
        for size in ((join.inner, join.inner), (join.inner, join.border), (join.border, join.border))
    )
    for part, pieces in zip(parts, join.parts, strict=True):
        for start, stop, row in pieces:
            for left, right, column in pieces:
                if row >= join.inner and column >= join.inner:
                    block = rest[:, row - join.inner :, column - join.inner :]
                elif row < join.inner <= column:
                    block = shared[:, row:, column - join.inner :]
                elif column <= row < join.inner:
                    block = inner[:, row:, column:]
                else:
                    continue
                block[:, : stop - start, : right - left] += part[:, start:stop, left:right]
    return inner, shared, rest


def _joined_values(values: Tensor, join: Join) -> Tensor:
    """The parts' right sides, (boxes, border pixels, C), added up."""
    parts = values.view(len(join.parts), -1, *values.shape[1:])
    joined = values.new_zeros(parts.shape[1], join.inner + join.border, values.shape[2])
    for part, pieces in zip(parts, join.parts, strict=True):
        for start, stop, to in pieces:
            joined[:, to : to + stop - start] += part[:, start:stop]
    return joined


def _parted_values(values: Tensor, join: Join) -> Tensor:
    """Each part's border values taken from the joined box's."""
    return torch.cat(
        [torch.cat([values[:, to : to + stop - start] for start, stop, to in pieces], 1) for pieces in join.parts]
    )

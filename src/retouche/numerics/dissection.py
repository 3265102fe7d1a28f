"""Direct solution of (diagonal mass + weighted Laplacian) on a picture's pixels, by nested dissection.

Unknowns sit on the pixels, links join horizontal and vertical neighbours. The picture is cut into small boxes that
share their border lines (`boxes.py`). Each box eliminates its inside (`first_boxes.py`); then neighbours join to larger
boxes, each of which eliminates the lines that only its parts shared, until one box without a border is left; the values
then travel back. All boxes of one size are one batch of dense matrices, so that everything is Cholesky factors and
matrix products. n pixels cost about n**1.5 products and 100 n numbers.

Source: George 1973, "Nested dissection of a regular finite element mesh".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from retouche.errors import InputError
from retouche.numerics import boxes
from retouche.numerics.boxes import Join, Size
from retouche.numerics.first_boxes import FirstBoxes

MOST_CORRECTIONS = 6

ACCURACY = 1e-7
"""Largest error of a solution whose right side is about 1. It is estimated, so a quarter of it is aimed at."""

STRONGEST = {torch.float32: 1e6, torch.float64: 1e12}
"""Links up to which factors of this type are of use: beyond, rounding eats the mass of 1 on the diagonal, and the
factors are of another matrix, whose corrections need not show it."""

LEAST = -1e-15
"""Stands in a matrix where nothing is linked. Far pixels' links fade exponentially, to numbers so small (denormal) that
a processor computes with them a hundred times as slowly. All links have one sign, so nothing cancels, and none becomes
much smaller than this one's square; beside a diagonal of 1 or more it is nothing."""


def solve(right: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Solve (1 + L) u = right.

    Factors are made in float32, which halves time and memory; corrections computed from float64 residuals then
    bring the error below 1e-7 of the right side's scale, usually with the first. Where links are too strong for
    float32, beyond about a million, factors are made again in float64.

    Args:
        right: (N, C, H, W), float64; C share one matrix
        horizontal: (N, H, W - 1), conductance from each pixel to its right neighbour, at least 0
        vertical: (N, H - 1, W), to the lower neighbour

    Returns: (N, C, H, W)
    Raises: InputError where links are too strong for float64, too
    """
    strongest = max([0.0, *(each.amax().item() for each in (horizontal, vertical) if each.numel())])
    for dtype, most in STRONGEST.items():
        if strongest <= most:
            solution = _corrected(right, horizontal, vertical, dtype)
            if solution is not None:
                return solution
    raise InputError(
        f"neighbouring pixels are linked up to {strongest:.1g} times as strongly as to their own value, "
        "which cannot be computed with: give a larger sharpness or less strength"
    )


def _corrected(right: Tensor, horizontal: Tensor, vertical: Tensor, dtype: torch.dtype) -> Tensor | None:
    """`solve` with factors of this dtype; None where corrections do not bring it to `ACCURACY`."""
    try:
        factors = Factors(horizontal.to(dtype), vertical.to(dtype))
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # rounding has eaten the mass of 1
        return None
    solution = factors.solve(right.to(dtype)).to(right.dtype)
    scale = right.abs().amax().item() or 1.0
    before = 1.0
    for _ in range(MOST_CORRECTIONS):
        correction = factors.solve((right - product(solution, horizontal, vertical)).to(dtype))
        solution += correction
        size = correction.abs().amax().item() / scale
        if size * size <= ACCURACY / 4 * before:  # corrections shrink by one factor each time
            return solution
        before = size
    return None


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


class Merged(NamedTuple):
    """Boxes that have joined and whose inner pixels are eliminated."""

    join: Join
    factor: Tensor
    """(boxes, inner, inner): the inner pixels' Cholesky factor"""
    shared: Tensor
    """(boxes, border, inner): their columns of the border's rows, divided by it"""

    def up(self, parts: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Right sides of the parts' borders, (boxes, pixels, C) each -> what `down` needs, and those of the border."""
        values = _joined_values(parts, self.join)
        gone = torch.linalg.solve_triangular(self.factor, values[:, : self.join.inner], upper=False)
        return gone, torch.baddbmm(values[:, self.join.inner :], self.shared, gone, alpha=-1)

    def down(self, gone: Tensor, border: Tensor) -> list[Tensor]:
        """What `up` returned first and the solution on the border -> that on the parts' borders."""
        gone = torch.baddbmm(gone, self.shared.mT, border, alpha=-1)
        inner = torch.linalg.solve_triangular(self.factor.mT, gone, upper=True)
        return _parted_values(torch.cat([inner, border], 1), self.join)


class Step(NamedTuple):
    """From one level to the next: some boxes lose pixels on the picture's edge, parts join, lines between them go."""

    early: list[Merged | None]
    merged: Merged

    def up(self, values: Tensor) -> tuple[list[Tensor], Tensor]:
        """Right sides of this level's boxes -> what `down` needs, and those of the next level's."""
        gone, parts = [], list(values.chunk(len(self.early)))
        for k, early in enumerate(self.early):
            if early is not None:
                some, parts[k] = early.up([parts[k]])
                gone.append(some)
        some, values = self.merged.up(parts)
        return [*gone, some], values

    def down(self, gone: list[Tensor], values: Tensor) -> Tensor:
        """The other way."""
        parts = self.merged.down(gone.pop(), values)
        for k, early in reversed(list(enumerate(self.early))):
            if early is not None:
                (parts[k],) = early.down(gone.pop(), parts[k])
        return torch.cat(parts)


class Factors:
    """Cholesky factors of 1 + L by nested dissection.

    Args:
        horizontal: (N, H, W - 1), vertical: (N, H - 1, W), conductances as of `solve`; their dtype is the factors'
    """

    def __init__(self, horizontal: Tensor, vertical: Tensor) -> None:
        self.height, self.width = horizontal.shape[1], vertical.shape[2]
        level = boxes.cut(self.height, self.width)
        (rows, columns), (h, w) = level.grid, level.size
        self.high, self.wide = rows * h + 1, columns * w + 1
        y, x = (some.to(horizontal.device) for some in boxes.lines(level))
        # a line that boxes share counts half in each
        down, right = _share(rows, h, horizontal), _share(columns, w, horizontal)
        self.pixels = _crossed(y, x, self.wide)
        self.mass = (down[:, None] * right).flatten()[self.pixels].repeat_interleave(len(horizontal), 1)
        across = self._padded(horizontal) * down[:, None], _crossed(y, torch.minimum(x[1:], x[:-1]), self.wide)
        along = self._padded(vertical) * right, _crossed(torch.minimum(y[1:], y[:-1]), x, self.wide)
        links = torch.cat([plane.flatten(1)[:, at].permute(1, 2, 0).flatten(1) for plane, at in (across, along)])
        self.first = FirstBoxes(level, links, self.mass, LEAST)
        self.steps: list[Step] = []
        matrix = self.first.border_matrix
        while level.grid != (1, 1):
            early, join = boxes.join(level)
            step, matrix = _step(matrix, early, join)
            self.steps.append(step)
            level = boxes.joined(level)

    def solve(self, right: Tensor) -> Tensor:
        """(N, C, H, W) -> the solution."""
        n = len(right)
        spread = self._padded(right).flatten(2)[..., self.pixels]  # (N, C, pixels, boxes)
        inside = spread.permute(2, 1, 3, 0).flatten(2).mul_(self.mass[:, None])
        values = self.first.forward(inside)
        gone: list[list[Tensor]] = []
        for step in self.steps:
            some, values = step.up(values)
            gone.append(some)
        for step in reversed(self.steps):
            values = step.down(gone.pop(), values)
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


def _step(matrix: Tensor, early: tuple[Join | None, ...], join: Join) -> tuple[Step, Tensor]:
    """From the border matrices of a level's boxes, (boxes, pixels, pixels), to those of the next level's."""
    gone, parts = list[Merged | None](), list(matrix.chunk(len(early)))
    for k, alone in enumerate(early):
        gone.append(None)
        if alone is not None:
            gone[k], parts[k] = _merged([parts[k]], alone)
    merged, matrix = _merged(parts, join)
    return Step(gone, merged), matrix


def _merged(parts: list[Tensor], join: Join) -> tuple[Merged, Tensor]:
    """Join boxes and eliminate the inner pixels; and the border's matrix."""
    inner = parts[0].new_full((len(parts[0]), join.inner, join.inner), LEAST)
    shared = parts[0].new_full((len(parts[0]), join.border, join.inner), LEAST)
    _add(parts, join, inner, (0, 0))
    _add(parts, join, shared, (join.inner, 0))
    factor = torch.linalg.cholesky(inner)
    torch.linalg.solve_triangular(factor, shared.mT, upper=False, out=shared.mT)
    border = torch.baddbmm(inner[:1, :1, :1], shared, shared.mT, beta=0, alpha=-1)  # with beta 0 the first is not read
    _add(parts, join, border, (join.inner, join.inner))
    return Merged(join, factor, shared), border


def _add(parts: list[Tensor], join: Join, block: Tensor, corner: Size) -> None:
    """Add parts' matrices to a block of the joined box's, which begins at this row and column; lower halves only."""
    rows, columns = (range(first, first + length) for first, length in zip(corner, block.shape[1:], strict=True))
    for part, pieces in zip(parts, join.parts, strict=True):
        lengths = [stop - start for start, stop, _ in pieces]
        cells = [strip.split(lengths, 2) for strip in part.split(lengths, 1)]
        for i, (_, _, row) in enumerate(pieces):
            for j, (_, _, column) in enumerate(pieces):
                if row in rows and column in columns and column <= row:
                    target = block.narrow(1, row - rows[0], lengths[i]).narrow(2, column - columns[0], lengths[j])
                    target.add_(cells[i][j] if j <= i else cells[j][i].mT)


def _joined_values(parts: list[Tensor], join: Join) -> Tensor:
    """The parts' right sides, (boxes, border pixels, C), added up."""
    joined = parts[0].new_zeros(len(parts[0]), join.inner + join.border, parts[0].shape[2])
    for part, pieces in zip(parts, join.parts, strict=True):
        for start, stop, to in pieces:
            joined[:, to : to + stop - start] += part[:, start:stop]
    return joined


def _parted_values(values: Tensor, join: Join) -> list[Tensor]:
    """Each part's border values taken from the joined box's."""
    return [torch.cat([values[:, to : to + stop - start] for start, stop, to in pieces], 1) for pieces in join.parts]

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

from retouche.numerics import boxes
from retouche.numerics.boxes import Join, Size
from retouche.numerics.first_boxes import FirstBoxes

MOST_CORRECTIONS = 6

ACCURACY = 1e-7
"""Largest error of a solution whose right side is about 1. It is estimated, so a quarter of it is aimed at."""

LEAST = -1e-15
"""Stands in a matrix where nothing is linked. Far pixels' links fade exponentially, to numbers so small (denormal) that
a processor computes with them a hundred times as slowly. All links have one sign, so nothing cancels, and none becomes
much smaller than this one's square; beside a diagonal of 1 or more it is nothing."""


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
        if size * size <= ACCURACY / 4 * before:  # corrections shrink by one factor each time
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


class Eliminated(NamedTuple):
    """Block elimination of a symmetric matrix's first rows and columns, or of those named first in an order."""

    factor: Tensor
    """(boxes, gone, gone): their Cholesky factor"""
    shared: Tensor
    """(boxes, left, gone): their columns of the other rows, divided by it"""
    order: Tensor | None = None

    def up(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Right sides, (boxes, pixels, C) -> what `down` needs, and those of the pixels left."""
        values = values if self.order is None else values[:, self.order]
        gone = torch.linalg.solve_triangular(self.factor, values[:, : self.factor.shape[1]], upper=False)
        return gone, torch.baddbmm(values[:, self.factor.shape[1] :], self.shared, gone, alpha=-1)

    def down(self, gone: Tensor, left: Tensor) -> Tensor:
        """The other way: what `up` returned first and the solution of the pixels left -> that of all."""
        gone = torch.baddbmm(gone, self.shared.mT, left, alpha=-1)
        values = torch.cat([torch.linalg.solve_triangular(self.factor.mT, gone, upper=True), left], 1)
        return values if self.order is None else torch.empty_like(values).index_copy_(1, self.order, values)


class Step(NamedTuple):
    """What leads from one level to the next: some parts lose pixels that no other has, parts join, lines go."""

    join: Join
    early: list[Eliminated | None]
    last: Eliminated

    def up(self, values: Tensor) -> tuple[list[Tensor | None], Tensor]:
        """As `Eliminated.up`, from right sides of this level's boxes to those of the next's."""
        gone: list[Tensor | None] = [None] * len(self.early)
        parts = list(values.chunk(len(self.early)))
        for k, own in enumerate(self.early):
            if own is not None:
                gone[k], parts[k] = own.up(parts[k])
        some, values = self.last.up(_joined_values(parts, self.join))
        return [*gone, some], values

    def down(self, gone: list[Tensor | None], values: Tensor) -> Tensor:
        """The other way."""
        *early, some = gone
        assert some is not None
        parts = _parted_values(self.last.down(some, values), self.join)
        for k, (own, some) in enumerate(zip(self.early, early, strict=True)):
            if own is not None and some is not None:
                parts[k] = own.down(some, parts[k])
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
            join = boxes.join(level, early=bool(self.steps))
            step, matrix = _step(matrix, join) if self.steps else _first_step(matrix, join)
            self.steps.append(step)
            level = boxes.joined(level)

    def solve(self, right: Tensor) -> Tensor:
        """(N, C, H, W) -> the solution."""
        n = len(right)
        spread = self._padded(right).flatten(2)[..., self.pixels]  # (N, C, pixels, boxes)
        inside = spread.permute(2, 1, 3, 0).flatten(2).mul_(self.mass[:, None])
        values = self.first.forward(inside)
        gone: list[list[Tensor | None]] = []
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


def _eliminate(inner: Tensor, shared: Tensor, rest: Tensor | None = None) -> tuple[Eliminated, Tensor]:
    """Take pixels out of matrices: `inner`, of which the lower half is read, is theirs.

    Args:
        inner: (boxes, gone, gone)
        shared: (boxes, left, gone), contiguous, changed in place
        rest: (boxes, left, left); without it, what is to be added to it is returned
    """
    factor, _ = torch.linalg.cholesky_ex(inner)
    torch.linalg.solve_triangular(factor, shared.mT, upper=False, out=shared.mT)
    if rest is None:
        rest = torch.baddbmm(
            inner[:1, :1, :1], shared, shared.mT, beta=0, alpha=-1
        )  # with beta 0 the first is not read
    else:
        rest = rest.contiguous().baddbmm_(shared, shared.mT, alpha=-1)
    return Eliminated(factor, shared), rest


def _first_step(matrix: Tensor, join: Join) -> tuple[Step, Tensor]:
    """`_step` for many small matrices, (border * border, boxes): long rows are added up instead of short pieces."""
    inner, border = join.inner, join.border
    sizes = (inner, inner), (border, inner), (border, border), (inner, border)
    count = [high * wide for high, wide in sizes]
    numbers = [some.view(size) for some, size in zip(torch.arange(sum(count)).split(count), sizes, strict=True)]
    number = torch.cat([torch.cat([numbers[0], numbers[3]], 1), torch.cat([numbers[1], numbers[2]], 1)])
    parts = matrix.chunk(len(join.parts), 1)
    joined = matrix.new_full((sum(count), parts[0].shape[1]), LEAST)
    for part, (_, _, pieces) in zip(parts, join.parts, strict=True):
        place = torch.cat([torch.arange(to, to + stop - start) for start, stop, to in pieces])
        joined.index_add_(0, number[place[:, None], place].flatten().to(matrix.device), part)
    blocks = (
        some.T.contiguous().unflatten(1, size) for some, size in zip(joined.split(count)[:3], sizes, strict=False)
    )
    last, rest = _eliminate(*blocks)
    return Step(join, [None] * len(parts), last), rest


def _step(matrix: Tensor, join: Join) -> tuple[Step, Tensor]:
    """From the border matrices of a level's boxes, (boxes, pixels, pixels), to those of the next level's."""
    parts, early = list(matrix.chunk(len(join.parts))), list[Eliminated | None]()
    for k, (order, own, _) in enumerate(join.parts):
        early.append(None)
        if own:
            at = torch.tensor(order, device=matrix.device)
            ordered = parts[k][:, at[:, None], at].add_(LEAST)
            eliminated, parts[k] = _eliminate(
                ordered[:, :own, :own], ordered[:, own:, :own].contiguous(), ordered[:, own:, own:]
            )
            early[k] = eliminated._replace(order=at)
    inner = matrix.new_full((len(parts[0]), join.inner, join.inner), LEAST)
    shared = matrix.new_full((len(parts[0]), join.border, join.inner), LEAST)
    _add(parts, join, inner, (0, 0))
    _add(parts, join, shared, (join.inner, 0))
    last, rest = _eliminate(inner, shared)
    _add(parts, join, rest, (join.inner, join.inner))
    return Step(join, early, last), rest


def _add(parts: list[Tensor], join: Join, block: Tensor, corner: Size) -> None:
    """Add parts' matrices to a block of the joined box's; its first row and column are these."""
    rows, columns = (range(first, first + length) for first, length in zip(corner, block.shape[1:], strict=True))
    for part, (_, _, pieces) in zip(parts, join.parts, strict=True):
        for start, stop, row in pieces:
            for left, right, column in pieces:
                if row in rows and column in columns:
                    to = block[:, row - rows[0] :, column - columns[0] :]
                    to[:, : stop - start, : right - left] += part[:, start:stop, left:right]


def _joined_values(parts: list[Tensor], join: Join) -> Tensor:
    """The parts' right sides, (boxes, border pixels, C), added up."""
    joined = parts[0].new_zeros(len(parts[0]), join.inner + join.border, parts[0].shape[2])
    for part, (_, _, pieces) in zip(parts, join.parts, strict=True):
        for start, stop, to in pieces:
            joined[:, to : to + stop - start] += part[:, start:stop]
    return joined


def _parted_values(values: Tensor, join: Join) -> list[Tensor]:
    """Each part's border values taken from the joined box's."""
    return [torch.cat([values[:, to : to + stop - start] for start, stop, to in part.pieces], 1) for part in join.parts]

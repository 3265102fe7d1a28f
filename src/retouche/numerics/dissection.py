"""Direct solution of (diagonal mass + weighted Laplacian) on a picture's pixels, by nested dissection.

Unknowns sit on the pixels, links join horizontal and vertical neighbours. The picture is cut into small boxes that
share their border lines; each box eliminates its inside, then boxes join two by two, each time eliminating the line
they share, until one remains; the values then travel back. All boxes of one size are one batch of dense matrices, so
that everything is Cholesky factors and matrix products. n pixels cost about n**1.5 products and 100 n numbers.

Source: George 1973, "Nested dissection of a regular finite element mesh".
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

BOX = 6
"""Links along a smallest box at most; 4 to 8 take about the same time."""

MOST_CORRECTIONS = 6

LEAST = 1e-18
"""Smaller numbers of a matrix become zero. Far pixels' links fade exponentially, to numbers whose products a processor
takes a hundred times as long for (denormal ones); beside a diagonal of 1 or more they are nothing."""

Size = tuple[int, int]
"""Links of a box along y and x; it has one pixel more each way."""


ACCURACY = 1e-7
"""Largest error of a solution whose right side is about 1."""


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
        (rows, box_h), (columns, box_w) = _cut(self.height), _cut(self.width)
        self.boxes, self.size = (rows, columns), (box_h, box_w)
        horizontal, vertical, self.mass = _shared(horizontal, vertical, rows, columns, box_h, box_w)
        matrix = _boxes(horizontal, vertical, self.mass, self.boxes, self.size)
        # eliminate the inside, join in pairs along the axis with more boxes or in fours, eliminate what they share, ...
        self.levels: list[tuple[Tensor, Tensor, Size, Size]] = []
        factor, shared, matrix = _eliminate(matrix, (box_h - 1) * (box_w - 1))
        self.levels.append((factor, shared, self.size, (1, 1)))
        size = self.size
        while rows * columns > 1:
            group = (1 + (rows >= columns), 1 + (columns >= rows))
            joined, inside = _join(matrix, size, group)
            factor, shared, matrix = _eliminate(joined, inside)
            self.levels.append((factor, shared, size, group))
            size = (group[0] * size[0], group[1] * size[1])
            rows, columns = rows // group[0], columns // group[1]
        self.last = torch.linalg.lu_factor(matrix)  # faster here than Cholesky's, of which torch clears the upper half

    def solve(self, right: Tensor) -> Tensor:
        """(N, C, H, W) -> the solution."""
        (rows, columns), (h, w) = self.boxes, self.size
        spare = (0, columns * w + 1 - self.width, 0, rows * h + 1 - self.height)
        windows = _windows(functional.pad(right, spare) * self.mass, self.size)
        rank = _rank(self.size).to(right.device)
        values = windows.flatten(-2).transpose(-2, -1)[..., rank.argsort(), :]  # (N, rows, columns, pixels, C)
        eliminated: list[Tensor] = []
        for factor, shared, size, group in self.levels:  # up
            if group != (1, 1):
                values = _joined_values(values, size, group)
            inside = factor.shape[-1]
            part = torch.linalg.solve_triangular(factor, values[..., :inside, :], upper=False)
            values = values[..., inside:, :] - shared.mT @ part
            eliminated.append(part)
        values = torch.linalg.lu_solve(*self.last, values)
        for (factor, shared, size, group), part in zip(
            reversed(self.levels), reversed(eliminated), strict=True
        ):  # down
            part = torch.linalg.solve_triangular(factor.mT, part - shared @ values, upper=True)
            values = torch.cat([part, values], -2)
            if group != (1, 1):
                values = _parted_values(values, size, group)
        return _assembled(values[..., rank, :], h, w)[..., : self.height, : self.width]


def _cut(length: int) -> tuple[int, int]:
    """How many boxes, a power of two, of how many links cover `length` pixels."""
    boxes = 1
    while -(-(length - 1) // boxes) > BOX:
        boxes *= 2
    return boxes, max(1, -(-(length - 1) // boxes))


def _shared(
    horizontal: Tensor, vertical: Tensor, rows: int, columns: int, box_h: int, box_w: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The links and the ones of the matrix, padded to whole boxes; what two boxes share counts half in each."""

    def share(boxes: int, box: int) -> Tensor:
        part = horizontal.new_ones(boxes * box + 1)
        part[box : boxes * box : box] = 0.5
        return part

    down, right = share(rows, box_h), share(columns, box_w)
    high, wide = len(down), len(right)
    room = (0, wide - 1 - horizontal.shape[-1], 0, high - horizontal.shape[-2])
    horizontal = functional.pad(horizontal, room) * down[:, None]
    vertical = functional.pad(vertical, (0, wide - vertical.shape[-1], 0, high - 1 - vertical.shape[-2])) * right
    return horizontal, vertical, down[:, None] * right


def _windows(plane: Tensor, size: Size) -> Tensor:
    """(N, C, high, wide) -> each box's pixels with its borders, (N, rows, columns, C, h + 1, w + 1)."""
    h, w = size
    return plane.unfold(-2, h + 1, h).unfold(-2, w + 1, w).permute(0, 2, 3, 1, 4, 5)


def _boxes(horizontal: Tensor, vertical: Tensor, mass: Tensor, boxes: Size, size: Size) -> Tensor:
    """Each smallest box's matrix, inner pixels first: (N, rows, columns, pixels, pixels)."""
    n, (h, w) = len(horizontal), size
    right = horizontal.unfold(1, h + 1, h).unfold(2, w, w)  # (N, rows, columns, h + 1, w)
    down = vertical.unfold(1, h, h).unfold(2, w + 1, w)
    diagonal = _windows(mass[None, None], size)[:, :, :, 0].repeat(n, 1, 1, 1, 1)
    diagonal[..., :-1] += right
    diagonal[..., 1:] += right
    diagonal[..., :-1, :] += down
    diagonal[..., 1:, :] += down
    rank = _rank(size).to(horizontal.device)
    pixels, number = len(rank), torch.arange(len(rank), device=horizontal.device).view(h + 1, w + 1)
    first = rank[torch.cat([number[:, :-1].flatten(), number[:-1].flatten()])]  # a link's left or upper end
    second = rank[torch.cat([number[:, 1:].flatten(), number[1:].flatten()])]
    links = -torch.cat([right.flatten(-2), down.flatten(-2)], -1)
    matrix = horizontal.new_zeros(n, *boxes, pixels * pixels)
    matrix[..., rank * (pixels + 1)] = diagonal.flatten(-2)
    matrix[..., first * pixels + second] = links
    matrix[..., second * pixels + first] = links
    return matrix.unflatten(-1, (pixels, pixels))


def _eliminate(matrix: Tensor, inside: int) -> tuple[Tensor, Tensor, Tensor]:
    """One step of block elimination: the first `inside` rows and columns go.

    Returns: their Cholesky factor, their rows of the upper factor, and the rest's Schur complement
    """
    factor = torch.linalg.cholesky(matrix[..., :inside, :inside])
    shared = torch.linalg.solve_triangular(factor, matrix[..., :inside, inside:], upper=False)
    shared = functional.hardshrink(shared, LEAST)
    rest = matrix[..., inside:, inside:]
    flat = shared.flatten(0, 2)
    left = torch.baddbmm(rest.flatten(0, 2), flat.mT, flat, alpha=-1)
    return factor, shared, functional.hardshrink(left, LEAST).view(rest.shape)


def _parts(boxes: Tensor, group: Size) -> list[Tensor]:
    """(N, rows, columns, ...) -> the first, second, ... box of each group that joins."""
    return [boxes[:, i :: group[0], j :: group[1]] for i in range(group[0]) for j in range(group[1])]


def _join(matrix: Tensor, size: Size, group: Size) -> tuple[Tensor, int]:
    """Neighbours' matrices added up, the joined box's inner pixels first; and how many those are."""
    places, inside, count = _places(size, group)
    parts = _parts(matrix, group)
    joined = matrix.new_zeros(*parts[0].shape[:3], count, count)
    for part, place in zip(parts, places, strict=True):
        for start, stop, to in _runs(place):
            rows = joined[..., to : to + stop - start, :]
            for left, right, column in _runs(place):
                rows[..., column : column + right - left] += part[..., start:stop, left:right]
    return joined, inside


def _joined_values(values: Tensor, size: Size, group: Size) -> Tensor:
    """`_join` for right sides, (N, rows, columns, pixels, C)."""
    places, _, count = _places(size, group)
    parts = _parts(values, group)
    joined = values.new_zeros(*parts[0].shape[:3], count, values.shape[-1])
    for part, place in zip(parts, places, strict=True):
        for start, stop, to in _runs(place):
            joined[..., to : to + stop - start, :] += part[..., start:stop, :]
    return joined


def _parted_values(values: Tensor, size: Size, group: Size) -> Tensor:
    """Each box's border values taken from the joined box's."""
    parts = [values[..., torch.tensor(place, device=values.device), :] for place in _places(size, group)[0]]
    stacked = torch.stack(parts, 3).unflatten(3, group)  # (N, rows, columns, group rows, group columns, pixels, C)
    return stacked.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _border(size: Size) -> list[tuple[int, int]]:
    """A box's border: top row, left and right column, bottom row. So ordered, joins move few long pieces."""
    h, w = size
    sides = [[(y, x) for y in range(1, h)] for x in (0, w)]
    return [*((0, x) for x in range(w + 1)), *sides[0], *sides[1], *((h, x) for x in range(w + 1))]


@cache
def _rank(size: Size) -> Tensor:
    """Place of each of a box's pixels, numbered row by row, when the inner ones come first, then the border."""
    h, w = size
    inner = [(y, x) for y in range(1, h) for x in range(1, w)]
    return torch.tensor([y * (w + 1) + x for y, x in [*inner, *_border(size)]]).argsort()


@cache
def _places(size: Size, group: Size) -> tuple[tuple[tuple[int, ...], ...], int, int]:
    """Where the border pixels of two or four boxes of one size go when they join.

    Returns: places of each box's border pixels (inner pixels of the joined box come first, then its border in its
        own order), how many inner pixels there are, how many pixels in all
    """
    corners = [(i * size[0], j * size[1]) for i in range(group[0]) for j in range(group[1])]
    borders = [[(y + down, x + right) for y, x in _border(size)] for down, right in corners]
    outer = _border((group[0] * size[0], group[1] * size[1]))
    inner = sorted({pixel for border in borders for pixel in border}.difference(outer))
    place = {pixel: k for k, pixel in enumerate([*inner, *outer])}
    return tuple(tuple(place[pixel] for pixel in border) for border in borders), len(inner), len(place)


@cache
def _runs(place: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """Longest pieces (start, stop, to) that keep their order."""
    breaks = [0, *(k for k in range(1, len(place)) if place[k] != place[k - 1] + 1), len(place)]
    return tuple((start, stop, place[start]) for start, stop in pairwise(breaks))


def _assembled(values: Tensor, box_h: int, box_w: int) -> Tensor:
    """(N, rows, columns, pixels, C) -> (N, C, high, wide); pixels that boxes share are the same in each."""
    n, rows, columns, _, c = values.shape
    tiles = values.unflatten(3, (box_h + 1, box_w + 1))
    plane = values.new_empty(n, c, rows * box_h + 1, columns * box_w + 1)
    inner = tiles[..., :box_h, :box_w, :].permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    plane[..., :-1, :-1] = inner
    plane[..., -1, :-1] = tiles[:, -1, :, -1, :-1].permute(0, 3, 1, 2).flatten(2)
    plane[..., :-1, -1] = tiles[:, :, -1, :-1, -1].permute(0, 3, 1, 2).flatten(2)
    plane[..., -1, -1] = tiles[:, -1, -1, -1, -1]
    return plane

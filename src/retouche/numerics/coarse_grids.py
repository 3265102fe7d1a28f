"""Coarse grids of black-box multigrid, on sheared planes: who follows whom, and the matrix that results.

A plane is sheared: row t holds the anti-diagonal x + y = t, column y; flat, so that every neighbour lies at a fixed
distance, and every second row and column are the coarse plane. Pixels of even x and y are kept. The others take a
mean of the kept ones around, weighted as they are linked; a coarse matrix is the Galerkin product with that.

Source: Dendy 1982, "Black box multigrid".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

Corners = tuple[Tensor | float, Tensor | float, Tensor | float, Tensor | float]
"""What pixels take of their cell's corners: upper left, upper right, lower left, lower right."""


class Links(NamedTuple):
    """Conductances to the neighbours of a lower row or the same row's left, each at its later end; flat."""

    left: Tensor
    up: Tensor
    upper_left: Tensor | None  # None on the finest grid, which has no diagonal links
    upper_right: Tensor | None

    def with_reach(self, columns: int) -> list[tuple[Tensor, int]]:
        """The links there are, each with how far before a pixel it ends."""
        reach = columns, columns + 1, 2 * columns + 1, 1
        return [(link, by) for link, by in zip(self, reach, strict=True) if link is not None]


def _shift_add(out: Tensor, weight: Tensor, values: Tensor, by: int) -> None:
    """out[i] += weight[i] * values[i - by]"""
    if by > 0:
        out[by:].addcmul_(weight[by:], values[:-by])
    else:
        out[: len(out) + by].addcmul_(weight[: len(out) + by], values[-by:] if by else values)


def _shift_back(out: Tensor, weight: Tensor, values: Tensor, by: int) -> None:
    """out[i - by] += weight[i] * values[i]: the transpose of `_shift_add`."""
    out[: len(out) - by].addcmul_(weight[by:], values[by:])


def _at(x: Tensor, by: int) -> Tensor:
    """x[i + by], 0 beyond the ends."""
    if by == 0:
        return x
    result = torch.zeros_like(x)
    if by > 0:
        result[:-by] = x[by:]
    else:
        result[-by:] = x[:by]
    return result


class Parities(NamedTuple):
    """A sheared plane's pixels by parity of x and y, each flat: kept ones, between two kept ones, in the middle."""

    kept: Tensor
    across: Tensor  # x odd
    along: Tensor  # y odd
    middle: Tensor

    @classmethod
    def of(cls, flat: Tensor, columns: int) -> Parities:
        plane = flat.view(-1, columns)
        parts = plane[::2, ::2], plane[1::2, ::2], plane[1::2, 1::2], plane[::2, 1::2]
        return cls(*(part.flatten() for part in parts))


@dataclass
class Interpolation:
    """What each pixel takes of the kept ones around; flat, one number for each of a parity's pixels."""

    columns: int  # of the fine grid
    kept: Tensor
    left: Tensor  # of pixels between two kept ones along x
    right: Tensor
    upper: Tensor  # along y
    lower: Tensor
    corners: tuple[Tensor, Tensor, Tensor, Tensor]  # of pixels in the middle: upper left, upper right, lower left, ...

    def scale_by(self, fine: Tensor, coarse: Tensor) -> None:
        """Unknowns times these numbers, flat, are the pixels' values: interpolates the unknowns from now on."""
        part, c = Parities.of(fine, self.columns), self.columns // 2
        self.kept = coarse / part.kept
        self.left.mul_(coarse).div_(part.across)
        self.right.mul_(_at(coarse, c)).div_(part.across)
        self.upper.mul_(coarse).div_(part.along)
        self.lower.mul_(_at(coarse, c + 1)).div_(part.along)
        for corner, by in zip(self.corners, (-c, 0, 1, c + 1), strict=True):
            corner.mul_(_at(coarse, by)).div_(part.middle)

    def restricted(self, fine: Tensor) -> Tensor:
        """Transposed: each kept pixel's share of its surroundings."""
        part, c = Parities.of(fine, self.columns), self.columns // 2
        coarse = part.kept * self.kept
        coarse.addcmul_(part.across, self.left)
        _spread(coarse, self.right, part.across, c)
        coarse.addcmul_(part.along, self.upper)
        _spread(coarse, self.lower, part.along, c + 1)
        upper_left, upper_right, lower_left, lower_right = self.corners
        _shift_back(coarse, upper_left, part.middle, c)
        coarse.addcmul_(part.middle, upper_right)
        _spread(coarse, lower_left, part.middle, 1)
        _spread(coarse, lower_right, part.middle, c + 1)
        return coarse

    def prolonged(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Interpolated, written into `fine`."""
        plane, c = fine.view(-1, self.columns), self.columns // 2
        shape = plane[::2, ::2].shape
        plane[::2, ::2] = (coarse * self.kept).view(shape)
        part = coarse * self.left
        _shift_add(part, self.right, coarse, -c)
        plane[1::2, ::2] = part.view(shape)
        torch.mul(coarse, self.upper, out=part)
        _shift_add(part, self.lower, coarse, -c - 1)
        plane[1::2, 1::2] = part.view(shape)
        upper_left, upper_right, lower_left, lower_right = self.corners
        torch.mul(coarse, upper_right, out=part)
        _shift_add(part, upper_left, coarse, c)
        _shift_add(part, lower_left, coarse, -1)
        _shift_add(part, lower_right, coarse, -c - 1)
        plane[::2, 1::2] = part.view(shape)
        return fine


def _spread(out: Tensor, weight: Tensor, values: Tensor, by: int) -> None:
    """out[i + by] += weight[i] * values[i]"""
    out[by:].addcmul_(weight[:-by], values[:-by])


def interpolation(mass_flat: Tensor, links: Links, columns: int) -> Interpolation:
    """Each pixel's equation, solved for it; between two kept ones, as if nothing changed across."""
    c = columns // 2
    mass = Parities.of(mass_flat, columns)
    left, up = Parities.of(links.left, columns), Parities.of(links.up, columns)
    # across: the column of three on either side, as links to the left and right
    to_left, to_right = left.across.clone(), _at(left.kept, c).clone()
    to_upper, to_lower = up.along.clone(), _at(up.kept, c + 1).clone()
    ways = [left.middle, left.along, up.middle, _at(up.across, 1)]  # from the middle: left, right, upper, lower
    diagonals = [torch.zeros_like(to_left)] * 4
    if links.upper_left is not None and links.upper_right is not None:
        falling, rising = (Parities.of(x, columns) for x in (links.upper_left, links.upper_right))
        to_left += falling.across + rising.along
        to_right += rising.across + _at(falling.along, c)
        to_upper += falling.along + rising.along
        to_lower += _at(rising.across, 1) + _at(falling.across, c + 1)
        diagonals = [falling.middle, rising.middle, _at(rising.kept, 1), _at(falling.kept, c + 1)]
    total = (to_left + to_right).add_(mass.across).reciprocal_()
    to_left, to_right = to_left.mul_(total).clamp_(0, 1), to_right.mul_(total).clamp_(0, 1)
    total = (to_upper + to_lower).add_(mass.along).reciprocal_()
    to_upper, to_lower = to_upper.mul_(total).clamp_(0, 1), to_lower.mul_(total).clamp_(0, 1)
    total = mass.middle.clone()
    for link in [*ways, *diagonals]:
        total += link
    total.reciprocal_()
    corners = (
        ways[0] * _at(to_upper, -c) + ways[2] * _at(to_left, -c) + diagonals[0],
        ways[1] * to_upper + ways[2] * _at(to_right, -c) + diagonals[1],
        ways[0] * _at(to_lower, -c) + ways[3] * _at(to_left, 1) + diagonals[2],
        ways[1] * to_lower + ways[3] * _at(to_right, 1) + diagonals[3],
    )
    for corner in corners:
        corner.mul_(total).clamp_(0, 1)
    return Interpolation(columns, torch.ones_like(total), to_left, to_right, to_upper, to_lower, corners)


def coarse_matrix(mass_flat: Tensor, links: Links, columns: int, p: Interpolation) -> tuple[Tensor, Links]:
    """Galerkin: the energy of each link and mass, as its ends follow the kept pixels; the coarse mass and links."""
    c = columns // 2
    mass = Parities.of(mass_flat, columns)
    left, up = Parities.of(links.left, columns), Parities.of(links.up, columns)
    # along the cells' sides; each at its earlier end first
    across = left.across * (1 - p.left) * p.right + _at(left.kept, c) * p.left * (1 - p.right)
    across -= mass.across * p.left * p.right
    along = up.along * (1 - p.upper) * p.lower + _at(up.kept, c + 1) * p.upper * (1 - p.lower)
    along -= mass.along * p.upper * p.lower
    # within the cell around each pixel in the middle: what its sides' pixels take of its corners
    top = (_at(p.left, -c), _at(p.right, -c), 0.0, 0.0)
    bottom = (0.0, 0.0, _at(p.left, 1), _at(p.right, 1))
    west = (_at(p.upper, -c), 0.0, _at(p.lower, -c), 0.0)
    east = (0.0, p.upper, 0.0, p.lower)
    cells: list[tuple[Corners, Corners, Tensor]] = [
        (p.corners, top, up.middle),
        (p.corners, bottom, _at(up.across, 1)),
        (p.corners, west, left.middle),
        (p.corners, east, left.along),
    ]
    if links.upper_left is not None and links.upper_right is not None:
        falling, rising = (Parities.of(x, columns) for x in (links.upper_left, links.upper_right))
        cells += [
            (p.corners, (1.0, 0.0, 0.0, 0.0), falling.middle),
            (p.corners, (0.0, 1.0, 0.0, 0.0), rising.middle),
            (p.corners, (0.0, 0.0, 1.0, 0.0), _at(rising.kept, 1)),
            (p.corners, (0.0, 0.0, 0.0, 1.0), _at(falling.kept, c + 1)),
            (top, west, _at(rising.along, -c)),
            (top, east, falling.along),
            (west, bottom, _at(falling.across, 1)),
            (east, bottom, _at(rising.across, 1)),
        ]
    ends = [(0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2)]
    found = {(i, j): -(mass.middle * p.corners[i] * p.corners[j]) for i, j in ends}
    for first, second, link in cells:
        differences = [a - b for a, b in zip(first, second, strict=True)]  # a number only where both are 0
        for i, one in enumerate(differences):
            weighted = link * one if isinstance(one, Tensor) else None
            for j in range(i + 1, 4):
                other = differences[j]
                if weighted is not None and isinstance(other, Tensor):
                    found[i, j].addcmul_(weighted, other, value=-1)
    across += _at(found[0, 1], c)  # the cell below a side lies a row on, the one above a column before
    across += _at(found[2, 3], -1)
    along += _at(found[0, 2], c)
    along += found[1, 3]
    coarse = Links(_at(across, -c), _at(along, -c - 1), _at(found[0, 3], -c - 1), _at(found[1, 2], -1))
    # rows' sums: the matrix times what interpolation gives of ones
    ones = p.prolonged(torch.ones_like(across), torch.empty_like(mass_flat))
    sums = mass_flat * ones
    for link, reach in links.with_reach(columns):
        flow = (ones[reach:] - ones[:-reach]).mul_(link[reach:])
        sums[reach:] += flow
        sums[:-reach] -= flow
    return p.restricted(sums), coarse

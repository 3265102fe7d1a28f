"""Multigrid for (mass + weighted Laplacian) on a rectangle of pixels: a few cycles, each as long as one look at it.

Conjugate gradients, preconditioned by one V-cycle of black-box multigrid: every second pixel each way is kept, the
others follow their neighbours as strongly as they are linked (so edges stay edges on coarse grids), coarse matrices
are Galerkin products with nine points, and an incomplete factor without fill smooths, which copes with links that are
strong in one direction only.

All grids are kept sheared: row t holds the anti-diagonal x + y = t, column y. Then the incomplete factor's triangular
solves treat a row at once, every neighbour lies at a fixed distance in the flat array, and every second row and
column of it are the coarse grid, sheared likewise. Where a link would leave the picture its conductance is 0, so
that flat shifts may run over the ends of rows.

Sources: Dendy 1982, "Black box multigrid"; Kettler 1982 (incomplete factors as smoothers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

COARSENINGS = 6
"""Coarser grids at most. What links over 2**6 pixels is weak beside the mass there: the factor, twice, is enough."""
COARSEST = 3  # pixels along the shorter side: below that, no coarser grid
LEAST = 1e-18  # as in dissection.py: smaller numbers are denormal soon and a hundred times as slow
FAINT = 1e-12

Views = tuple[Any, ...]


class Links(NamedTuple):
    """Conductances to the neighbours of a lower row or the same row's left, each at its later end; flat."""

    left: Tensor
    up: Tensor
    upper_left: Tensor | None  # None on the finest grid, which has no diagonal links
    upper_right: Tensor | None


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
        _shift_back_up(coarse, self.right, part.across, c)
        coarse.addcmul_(part.along, self.upper)
        _shift_back_up(coarse, self.lower, part.along, c + 1)
        upper_left, upper_right, lower_left, lower_right = self.corners
        _shift_back(coarse, upper_left, part.middle, c)
        coarse.addcmul_(part.middle, upper_right)
        _shift_back_up(coarse, lower_left, part.middle, 1)
        _shift_back_up(coarse, lower_right, part.middle, c + 1)
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


def _shift_back_up(out: Tensor, weight: Tensor, values: Tensor, by: int) -> None:
    """out[i + by] += weight[i] * values[i]"""
    out[by:].addcmul_(weight[:-by], values[:-by])


class Grid:
    """One grid: matrix, incomplete factor and what leads to the next coarser grid.

    Args:
        height, width: pixels, height at most width
        columns: of a sheared row, at least `height`
        mass: (rows * columns), flat; 1 where there is no pixel
        links: of the matrix
        coarsenings: how many coarser grids follow; rows and columns are multiples of 2**coarsenings
    """

    def __init__(self, height: int, width: int, columns: int, mass: Tensor, links: Links, coarsenings: int) -> None:
        self.height, self.width, self.columns = height, width, columns
        self.reach = (columns, columns + 1, 2 * columns + 1, 1)  # how far before a pixel each of its links ends
        self.down: Interpolation | None = None
        self.coarser: Grid | None = None
        if coarsenings:
            self.down = self._interpolation(mass, links)
            self.coarser = self._coarser(mass, links, self.down, coarsenings - 1)
        self._factorise(mass, links)

    def _pairs(self, links: Links) -> list[tuple[Tensor, int]]:
        return [(link, reach) for link, reach in zip(links, self.reach, strict=True) if link is not None]

    def _interpolation(self, masses: Tensor, links: Links) -> Interpolation:
        c = self.columns // 2
        mass = Parities.of(masses, self.columns)
        left, up = Parities.of(links.left, self.columns), Parities.of(links.up, self.columns)
        # across: the column of three on either side, as links to the left and right
        to_left, to_right = left.across.clone(), _at(left.kept, c).clone()
        to_upper, to_lower = up.along.clone(), _at(up.kept, c + 1).clone()
        ways = [left.middle, left.along, up.middle, _at(up.across, 1)]  # from the middle: left, right, upper, lower
        diagonals = [torch.zeros_like(to_left)] * 4
        if links.upper_left is not None and links.upper_right is not None:
            falling, rising = (Parities.of(x, self.columns) for x in (links.upper_left, links.upper_right))
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
        return Interpolation(self.columns, torch.ones_like(total), to_left, to_right, to_upper, to_lower, corners)

    def _coarser(self, masses: Tensor, links: Links, p: Interpolation, coarsenings: int) -> Grid:
        """Galerkin: the energy of each link and mass, as its ends follow the kept pixels."""
        c = self.columns // 2
        mass = Parities.of(masses, self.columns)
        left, up = Parities.of(links.left, self.columns), Parities.of(links.up, self.columns)
        # along the cells' sides; each at its earlier end first
        across = left.across * (1 - p.left) * p.right + _at(left.kept, c) * p.left * (1 - p.right)
        across -= mass.across * p.left * p.right
        along = up.along * (1 - p.upper) * p.lower + _at(up.kept, c + 1) * p.upper * (1 - p.lower)
        along -= mass.along * p.upper * p.lower
        # within the cell around each pixel in the middle: what its sides' pixels take of its corners
        zero, one = 0.0, 1.0
        top = (_at(p.left, -c), _at(p.right, -c), zero, zero)
        bottom = (zero, zero, _at(p.left, 1), _at(p.right, 1))
        west = (_at(p.upper, -c), zero, _at(p.lower, -c), zero)
        east = (zero, p.upper, zero, p.lower)
        inner = [(top, up.middle), (bottom, _at(up.across, 1)), (west, left.middle), (east, left.along)]
        pairs = [(p.corners, other, link) for other, link in inner]
        if links.upper_left is not None and links.upper_right is not None:
            falling, rising = (Parities.of(x, self.columns) for x in (links.upper_left, links.upper_right))
            units = [tuple(one if k == j else zero for k in range(4)) for j in range(4)]
            corner_links = [falling.middle, rising.middle, _at(rising.kept, 1), _at(falling.kept, c + 1)]
            pairs += [(p.corners, unit, link) for unit, link in zip(units, corner_links, strict=True)]
            pairs += [
                (top, west, _at(rising.along, -c)),
                (top, east, falling.along),
                (west, bottom, _at(falling.across, 1)),
                (east, bottom, _at(rising.across, 1)),
            ]
        ends = {(0, 1): None, (2, 3): None, (0, 2): None, (1, 3): None, (0, 3): None, (1, 2): None}
        found = {pair: -(mass.middle * p.corners[pair[0]] * p.corners[pair[1]]) for pair in ends}
        for first, second, link in pairs:
            differs = [a - b for a, b in zip(first, second, strict=True)]
            for i in range(4):
                if isinstance(differs[i], float) and differs[i] == 0:
                    continue
                weighted = link * differs[i]
                for j in range(i + 1, 4):
                    if isinstance(differs[j], float):
                        if differs[j] != 0:
                            found[i, j].sub_(weighted, alpha=differs[j])
                    else:
                        found[i, j].addcmul_(weighted, differs[j], value=-1)
        across += _at(found[0, 1], c)  # the cell below a side lies a row on, the one above a column before
        across += _at(found[2, 3], -1)
        along += _at(found[0, 2], c)
        along += found[1, 3]
        coarse = Links(_at(across, -c), _at(along, -c - 1), _at(found[0, 3], -c - 1), _at(found[1, 2], -1))
        # rows' sums: the matrix times what interpolation gives of ones
        ones = p.prolonged(torch.ones_like(across), torch.empty_like(masses))
        sums = masses * ones
        for link, reach in self._pairs(links):
            flow = (ones[reach:] - ones[:-reach]).mul_(link[reach:])
            sums[reach:] += flow
            sums[:-reach] -= flow
        high, wide = (self.height + 1) // 2, (self.width + 1) // 2
        return Grid(high, wide, c, p.restricted(sums), coarse, coarsenings)

    def _factorise(self, mass: Tensor, links: Links) -> None:
        """Pivots of the incomplete factor; matrix and interpolation, scaled by the pivots' roots; room to work in."""
        diagonal = mass.clone()
        for link, reach in self._pairs(links):
            diagonal += link
            diagonal[:-reach] += link[reach:]
        pivots, solved = diagonal.clone(), [links.left, links.up]
        if links.upper_left is not None and links.upper_right is not None:
            # links along a sheared row, and negative ones, are moved to the diagonal: that only adds energy
            solved.append(links.upper_left)
            dropped = [(link.clamp(max=0).neg_(), reach) for link, reach in zip(solved, self.reach, strict=False)]
            for lost, reach in [*dropped, (links.upper_right.abs(), 1)]:
                pivots += lost
                pivots[:-reach] += lost[reach:]
            solved = [link.clamp(min=0) for link in solved]
        margin = 2 * self.columns  # before and after: links of weight 0 look there
        room = torch.zeros(2, len(mass) + 2 * margin)
        self.slices = [
            (t, max(0, t - self.width + 1), min(self.height - 1, t) + 1) for t in range(self.height + self.width - 1)
        ]
        self._eliminate(pivots.numpy(), room[0].numpy()[margin:], margin, [link.square() for link in solved])
        room.zero_()
        self.scale = pivots.rsqrt_()
        self.diagonal = diagonal.mul_(self.scale).mul_(self.scale)

        def scaled(link: Tensor, reach: int, out: Tensor) -> Tensor:
            torch.mul(link, self.scale, out=out)
            out[reach:] *= self.scale[:-reach]
            out[out.abs() < LEAST] = 0
            return out

        weights = mass.new_zeros(len(solved), len(mass) + margin)  # up, left, upper left
        order = [1, 0, 2][: len(solved)]
        for k, j in enumerate(order):
            scaled(solved[j], self.reach[j], weights[k, : len(mass)])
        inside = weights[:, : len(mass)]
        if links.upper_left is None:
            self.links = Links(inside[1], inside[0], None, None)
        else:
            self.links = Links(*(scaled(link, reach, torch.empty_like(link)) for link, reach in self._pairs(links)))
        if self.down is not None and self.coarser is not None:
            self.down.scale_by(self.scale, self.coarser.scale)
        self.forward_values, self.backward_values = room[:, margin:-margin]
        self.rest = torch.empty_like(mass)
        self.forward, self.backward = self._sweeps(weights.numpy(), room.numpy(), margin)

    def _eliminate(self, pivots: np.ndarray, inverse: np.ndarray, margin: int, squares: list[Tensor]) -> None:
        """Of each sheared row, what the rows before take from its pivots; `inverse` has a margin before it."""
        room = np.empty(self.height, np.float32)
        whole = inverse.base
        losses = [(square.numpy(), margin - reach) for square, reach in zip(squares, self.reach, strict=False)]
        for t, first, last in self.slices:
            start, stop = t * self.columns + first, t * self.columns + last
            own, lost = pivots[start:stop], room[: last - first]
            for square, offset in losses if t else ():
                np.multiply(square[start:stop], whole[start + offset : stop + offset], lost)
                np.subtract(own, lost, own)
            np.reciprocal(own, inverse[start:stop])

    def _sweeps(self, weights: np.ndarray, room: np.ndarray, margin: int) -> tuple[list[Views], list[Views]]:
        """What the two triangular solves touch, row by row, as ready views."""
        columns, (plane, size) = self.columns, weights.strides
        products = np.empty(2 * self.height, np.float32)
        forward, backward = room
        ways: tuple[list[Views], list[Views]] = [], []

        def views(x: np.ndarray, weight: int, apart: int, i: int, near: int, far: int, weight_far: int, n: int) -> Views:
            """Weights, two neighbours' values (overlapping), room for products, own values; the same for a third."""
            part = products[: 2 * n].reshape(2, n)
            pair = np.ndarray((2, n), x.dtype, weights.data, weight * size, (apart, size))
            around = np.ndarray((2, n), x.dtype, x.data, near * size, (size, size))
            third = () if len(weights) < 3 else (weights[2, weight_far : weight_far + n], x[far : far + n])
            return pair, around, part, part[0], part[1], x[i : i + n], *third

        for t, first, last in self.slices[1:]:
            i, n = t * columns + first, last - first
            at = i + margin
            ways[0].append(views(forward, i, plane, at, at - columns - 1, at - 2 * columns - 1, i, n))
        for t, first, last in self.slices[-2::-1]:
            i, n = t * columns + first, last - first
            at, left = i + margin, plane // size + i + columns  # the right neighbour's link to its left
            far = 2 * columns + 1
            ways[1].append(views(backward, left, size - plane, at, at + columns, at + far, i + far, n))
        return ways

    def solve_factor(self, right: Tensor) -> Tensor:
        """The incomplete factor's solution; overwritten by the next call."""
        self.forward_values.copy_(right)
        _sweep(self.forward)
        self.backward_values.copy_(self.forward_values)
        _sweep(self.backward)
        return self.backward_values

    def subtract_product(self, u: Tensor, result: Tensor) -> None:
        """result -= matrix times u."""
        result.addcmul_(self.diagonal, u, value=-1)
        for link, reach in self._pairs(self.links):
            result[reach:].addcmul_(link[reach:], u[:-reach])
            result[:-reach].addcmul_(link[reach:], u[reach:])

    def cycle(self, right: Tensor, result: Tensor) -> Tensor:
        """One V-cycle from 0, written into `result`."""
        result.copy_(self.solve_factor(right))
        self.rest.copy_(right)
        self.subtract_product(result, self.rest)
        if self.down is not None and self.coarser is not None:
            coarse = self.down.restricted(self.rest)
            solved = self.coarser.cycle(coarse, torch.empty_like(coarse))
            correction = self.down.prolonged(solved, self.backward_values)
            result += correction
            self.subtract_product(correction, self.rest)
        result += self.solve_factor(self.rest)
        return result


def _sweep(rows: list[Views]) -> None:
    """One triangular solve."""
    multiply, add = np.multiply, np.add
    if rows and len(rows[0]) == 6:
        for weights, around, part, one, two, own in rows:
            multiply(weights, around, part)
            add(own, one, own)
            add(own, two, own)
        return
    for weights, around, part, one, two, own, far, beyond in rows:
        multiply(weights, around, part)
        add(own, one, own)
        add(own, two, own)
        multiply(far, beyond, one)
        add(own, one, own)


class Solver:
    """Solves (mass + L) u = right for one matrix and any number of right sides.

    Args:
        horizontal: (H, W - 1), float32, on a CPU: conductance from each pixel to its right neighbour, at least 0
        vertical: (H - 1, W), to the lower neighbour
        mass: (H, W), above 0
    """

    def __init__(self, horizontal: Tensor, vertical: Tensor, mass: Tensor) -> None:
        self.tall = mass.shape[0] > mass.shape[1]
        if self.tall:
            horizontal, vertical, mass = vertical.mT, horizontal.mT, mass.mT
        self.height, self.width = mass.shape
        coarsenings = 0
        while coarsenings < COARSENINGS and self.height >> coarsenings > COARSEST:
            coarsenings += 1
        multiple = 1 << coarsenings
        self.rows = -(-(self.height + self.width - 1) // multiple) * multiple
        self.columns = -(-self.height // multiple) * multiple
        left, up = functional.pad(horizontal, (1, 0)), functional.pad(vertical, (0, 0, 1, 0))
        masses = self._sheared(mass - 1).add_(1)
        links = Links(self._sheared(left), self._sheared(up), None, None)
        self.grid = Grid(self.height, self.width, self.columns, masses, links, coarsenings)

    def _sheared(self, plane: Tensor) -> Tensor:
        """(H, W) -> (rows * columns), 0 where there is no pixel."""
        room = plane.new_zeros(self.columns * (self.rows + 1))
        room.as_strided((self.height, self.width), (self.rows + 1, 1)).copy_(plane)
        return room[: self.columns * self.rows].view(self.columns, self.rows).mT.flatten()

    def _unsheared(self, flat: Tensor) -> Tensor:
        room = flat.new_zeros(self.columns * (self.rows + 1))
        room[: len(flat)].view(self.columns, self.rows).copy_(flat.view(self.rows, self.columns).mT)
        return room.as_strided((self.height, self.width), (self.rows + 1, 1))

    def _dot(self, a: Tensor, b: Tensor) -> float:
        """Added up row by row: the same for any number of threads."""
        return float((a * b).view(self.rows, self.columns).sum(1).double().sum())

    def solve(self, right: Tensor, tolerance: float, most_steps: int) -> tuple[Tensor, int]:
        """Stops once a step changes no pixel by more than `tolerance`.

        Args:
            right: (H, W), float32

        Returns: (H, W), and the steps taken
        """
        grid = self.grid
        # the faint constant keeps blank areas from fading to denormal numbers, which are slow
        rest = self._sheared((right.mT if self.tall else right) + FAINT).mul_(grid.scale)
        solution, direction, product, z = (torch.zeros_like(rest) for _ in range(4))
        before, steps = 0.0, 0
        for steps in range(1, most_steps + 1):
            grid.cycle(rest, z)
            now = self._dot(rest, z)
            if now == 0:
                break
            direction.mul_(now / before if before else 0.0).add_(z)
            grid.subtract_product(direction, product.zero_())
            length = -now / self._dot(direction, product)
            solution.add_(direction, alpha=length)
            rest.add_(product, alpha=length)
            before = now
            if length * float(torch.mul(direction, grid.scale, out=product).abs_().amax()) <= tolerance:
                break
        result = self._unsheared(solution.mul_(grid.scale))
        return result.mT if self.tall else result, steps

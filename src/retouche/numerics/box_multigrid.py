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

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from retouche.numerics.coarse_grids import Interpolation, Links, coarse_matrix, interpolation

COARSENINGS = 6
"""Coarser grids at most. What links over 2**6 pixels is weak beside the mass there: the factor, twice, is enough."""
COARSEST = 3  # pixels along the longer side: below that, no coarser grid
LEAST = 1e-18  # as in dissection.py: smaller numbers are denormal soon and a hundred times as slow

PIECE = 1 << 16
"""Numbers that a product treats at a time: some planes of as many fit into a core's second cache."""

Views = tuple[Any, ...]


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
        self.down: Interpolation | None = None
        self.coarser: Grid | None = None
        if coarsenings:
            self.down = interpolation(mass, links, columns)
            coarse = coarse_matrix(mass, links, columns, self.down)
            self.coarser = Grid((height + 1) // 2, (width + 1) // 2, columns // 2, *coarse, coarsenings - 1)
        self._factorise(mass, links)

    def _factorise(self, mass: Tensor, links: Links) -> None:
        """Pivots of the incomplete factor; matrix and interpolation, scaled by the pivots' roots; room to work in."""
        diagonal = mass.clone()
        for link, reach in links.with_reach(self.columns):
            diagonal += link
            diagonal[:-reach] += link[reach:]
        reaches = self.columns, self.columns + 1, 2 * self.columns + 1
        pivots, solved = diagonal.clone(), [links.left, links.up]
        if links.upper_left is not None and links.upper_right is not None:
            # the factor knows no diagonal and no negative links: moved to the diagonal, they only add energy
            dropped = [(link.clamp(max=0).neg_(), reach) for link, reach in zip(solved, reaches, strict=False)]
            for lost, reach in [*dropped, (links.upper_left.abs(), reaches[2]), (links.upper_right.abs(), 1)]:
                pivots += lost
                pivots[:-reach] += lost[reach:]
            solved = [link.clamp(min=0) for link in solved]
        margin = 2 * self.columns  # before and after: links of weight 0 look there
        room = torch.zeros(2, len(mass) + 2 * margin)
        self.slices = [
            (t, max(0, t - self.width + 1), min(self.height - 1, t) + 1) for t in range(self.height + self.width - 1)
        ]
        squares = [(link.square().numpy(), margin - reach) for link, reach in zip(solved, reaches, strict=False)]
        self._eliminate(pivots.numpy(), room[0].numpy(), margin, squares)
        del squares
        room.zero_()
        self.scale = pivots.rsqrt_()
        self.diagonal = diagonal.mul_(self.scale).mul_(self.scale)

        def scaled(link: Tensor, reach: int, out: Tensor) -> Tensor:
            torch.mul(link, self.scale, out=out)
            out[reach:] *= self.scale[:-reach]
            out[out.abs() < LEAST] = 0
            return out

        weights = mass.new_zeros(2, len(mass) + margin)  # up, left
        for k, j in enumerate((1, 0)):
            scaled(solved[j], reaches[j], weights[k, : len(mass)])
        inside = weights[:, : len(mass)]
        if links.upper_left is None:
            self.links = Links(inside[1], inside[0], None, None)
        else:
            every = links.with_reach(self.columns)
            self.links = Links(*(scaled(link, reach, torch.empty_like(link)) for link, reach in every))
        if self.down is not None and self.coarser is not None:
            self.down.scale_by(self.scale, self.coarser.scale)
        self.forward_values, self.backward_values = room[:, margin:-margin]
        self.rest = torch.empty_like(mass)
        self.forward, self.backward = self._sweeps(weights.numpy(), room.numpy(), margin)

    def _eliminate(
        self, pivots: np.ndarray, inverse: np.ndarray, margin: int, squares: list[tuple[np.ndarray, int]]
    ) -> None:
        """Of each sheared row, what the rows before take from its pivots; `inverse` has a margin before it."""
        room = np.empty(self.height, np.float32)
        for t, first, last in self.slices:
            start, stop = t * self.columns + first, t * self.columns + last
            own, lost = pivots[start:stop], room[: last - first]
            for square, offset in squares if t else ():
                np.multiply(square[start:stop], inverse[start + offset : stop + offset], lost)
                np.subtract(own, lost, own)
            np.reciprocal(own, inverse[start + margin : stop + margin])

    def _sweeps(self, weights: np.ndarray, room: np.ndarray, margin: int) -> tuple[list[Views], list[Views]]:
        """What the two triangular solves touch, row by row, as ready views."""
        columns, (plane, size) = self.columns, weights.strides
        products = np.empty(2 * self.height, np.float32)
        forward, backward = room
        ways: tuple[list[Views], list[Views]] = [], []

        def views(x: np.ndarray, weight: int, apart: int, i: int, near: int, n: int) -> Views:
            """Weights, two neighbours' values (overlapping), room for products, own values."""
            part = products[: 2 * n].reshape(2, n)
            pair = np.ndarray((2, n), x.dtype, weights.data, weight * size, (apart, size))
            around = np.ndarray((2, n), x.dtype, x.data, near * size, (size, size))
            return pair, around, part, part[0], part[1], x[i : i + n]

        for t, first, last in self.slices[1:]:
            i, n = t * columns + first, last - first
            ways[0].append(views(forward, i, plane, i + margin, i + margin - columns - 1, n))
        for t, first, last in self.slices[-2::-1]:
            i, n = t * columns + first, last - first
            left = plane // size + i + columns  # the right neighbour's link to its left
            ways[1].append(views(backward, left, size - plane, i + margin, i + margin + columns, n))
        return ways

    def solve_factor(self, right: Tensor) -> Tensor:
        """The incomplete factor's solution; overwritten by the next call."""
        self.forward_values.copy_(right)
        _sweep(self.forward)
        self.backward_values.copy_(self.forward_values)
        _sweep(self.backward)
        return self.backward_values

    def subtract_product(self, u: Tensor, result: Tensor) -> None:
        """result -= matrix times u; piece by piece, so that all its passes find the numbers in the cache."""
        links = self.links.with_reach(self.columns)
        count = len(u)
        for first in range(0, count, PIECE):
            last = min(count, first + PIECE)
            result[first:last].addcmul_(self.diagonal[first:last], u[first:last], value=-1)
            for link, reach in links:
                start, stop = max(first, reach), min(last, count - reach)
                if start < last:
                    result[start:last].addcmul_(link[start:last], u[start - reach : last - reach])
                if first < stop:
                    later = slice(first + reach, stop + reach)
                    result[first:stop].addcmul_(link[later], u[later])

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
    for weights, around, part, one, two, own in rows:
        multiply(weights, around, part)
        add(own, one, own)
        add(own, two, own)


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
        while coarsenings < COARSENINGS and self.width >> coarsenings > COARSEST:
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
        rest = self._sheared(right.mT if self.tall else right).mul_(grid.scale)
        solution, direction, product, z = (torch.zeros_like(rest) for _ in range(4))
        before, steps = 0.0, 0
        while steps < most_steps:
            steps += 1
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

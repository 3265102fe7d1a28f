"""Conjugate gradients for (1 + weighted Laplacian) on a picture's pixels, preconditioned by an incomplete factor.

The factor is the modified incomplete Cholesky one without fill: (D + lower) D^-1 (D + upper) with the matrix's own
off-diagonals, dropped fill taken off the diagonal (MATLAB's `ichol` with `michol`). With links between neighbours it
is the same whether pixels are numbered along rows or columns, and its triangular solves may treat an anti-diagonal's
pixels at once. Planes are therefore kept sheared: row k holds the anti-diagonals x + y = k and x + y = k + width, so
that each is a slice; a margin of one pixel before and after each row holds zeros. A pixel's numbers, one for each
colour and picture, lie side by side: (W, (H + 2) * planes).

Sources: Gustafsson 1978 (the factor); Eisenstat 1981 (matrix times z falls out of the triangular solve for z).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def solve(
    right: Tensor, factor: Factor, tolerance: float, most_steps: int, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Solve (1 + L) u = right until the residual's norm is at most `tolerance` times the right side's, per plane.

    Args:
        right: (N, C, H, W), float64, on a CPU, with the factor's N and C; the N * C planes stop one by one
        factor: of the matrix
        tolerance: relative
        most_steps: after so many the last iterate is returned
        start: first guess, (N, C, H, W); None = 0

    Returns: (N, C, H, W), and how many steps each plane took, (N, C)
    """
    if factor.tall:
        right, start = right.mT, start if start is None else start.mT
    residual = _sheared(right.flatten(0, 1))  # (W, (H + 2) N C), like all vectors here
    planes = factor.planes
    limit = tolerance * _norm(residual, planes)  # (N C,)
    if start is None:
        solution = torch.zeros_like(residual)
    else:
        solution = _sheared(start.flatten(0, 1))
        residual -= factor.product(solution)
    direction, product = torch.zeros_like(residual), torch.zeros_like(residual)
    before = torch.ones_like(limit)
    active = _norm(residual, planes) > limit
    steps = torch.zeros(planes, dtype=torch.int64)
    columns = factor.height + 2
    for _ in range(most_steps):
        if not active.any():
            break
        steps += active
        z, matrix_z = factor.precondition(residual)
        now = _dot(residual, z, planes)
        # a plane that is done keeps its numbers: no 0 / 0 may reach them
        turn = torch.where(active, now / before, 0).repeat(columns)
        before = torch.where(now == 0, 1, now)
        torch.addcmul(z, direction, turn, out=direction)
        torch.addcmul(matrix_z, product, turn, out=product)
        length = torch.where(active, now / _dot(direction, product, planes), 0).repeat(columns)
        solution.addcmul_(direction, length)
        residual.addcmul_(product, length, value=-1)
        active &= _norm(residual, planes) > limit
    result = _unsheared(solution, planes, factor.height, factor.width).view(right.shape)
    return result.mT if factor.tall else result, steps.view(right.shape[:2])


class Factor:
    """The incomplete factor of 1 + L and the matrix itself, for C planes per picture.

    Args:
        horizontal: (N, H, W - 1), float64, on a CPU: conductance from each pixel to its right neighbour, at least 0
        vertical: (N, H - 1, W), to the lower neighbour
        colours: C
    """

    def __init__(self, horizontal: Tensor, vertical: Tensor, colours: int) -> None:
        self.tall = horizontal.shape[1] > vertical.shape[2]  # is laid on its side: sheared along the longer one
        if self.tall:
            horizontal, vertical = vertical.mT, horizontal.mT
        self.height, self.width = horizontal.shape[1], vertical.shape[2]
        self.planes = len(horizontal) * colours
        right, down = functional.pad(horizontal, (0, 1)), functional.pad(vertical, (0, 0, 0, 1))
        left, up = functional.pad(horizontal, (1, 0)), functional.pad(vertical, (0, 0, 1, 0))
        diagonal = _sheared(1 + right + down + left + up)
        # the left neighbour's fill between this pixel and its own lower neighbour is dropped; the upper one's alike
        from_up = _sheared(up * (up + functional.pad(right[:, :-1], (0, 0, 1, 0))))
        from_left = _sheared(left * (left + functional.pad(down[:, :, :-1], (1, 0))))
        pivots = self._eliminated(diagonal, from_up, from_left, len(horizontal))
        del from_up, from_left

        def all_colours(plane: Tensor) -> Tensor:
            return plane.unflatten(1, (-1, len(horizontal))).repeat_interleave(colours, 2).flatten(1)

        self.pivots, self.beyond = all_colours(pivots), all_colours(diagonal.sub_(pivots))
        self.left, self.up = all_colours(_sheared(left)), all_colours(_sheared(up))
        self.before = torch.stack([self.up, self.left]).div_(self.pivots)
        self.after = torch.stack([all_colours(_sheared(right)), all_colours(_sheared(down))]).div_(self.pivots)
        self.z, self.matrix_z = torch.zeros_like(self.pivots), torch.zeros_like(self.pivots)
        self.forward, self.backward = self._sweeps()

    def _slices(self, planes: int) -> list[tuple[int, int, int]]:
        """Each anti-diagonal's row and its first and last (exclusive) number in a sheared plane."""
        h, w = self.height, self.width
        ends = [(k, max(0, k - w + 1), min(h - 1, k) + 1) for k in range(h + w - 1)]
        return [(k % w, (first + 1) * planes, (last + 1) * planes) for k, first, last in ends]

    def _eliminated(self, diagonal: Tensor, from_up: Tensor, from_left: Tensor, n: int) -> Tensor:
        pivots = diagonal.clone()
        pivots[:, :n] = pivots[:, -n:] = 1  # the margin, divided by but of no weight
        d, up, left = pivots.numpy(), from_up.numpy(), from_left.numpy()
        for row, first, last in self._slices(n)[1:]:
            lost = up[row, first:last] / d[row - 1, first - n : last - n]
            lost += left[row, first:last] / d[row - 1, first:last]
            d[row, first:last] -= lost
        return pivots

    def _sweeps(self) -> tuple[list[tuple[np.ndarray, ...]], list[tuple[np.ndarray, ...]]]:
        """What the two triangular solves touch, anti-diagonal by anti-diagonal, as ready views."""
        z, step, width = self.z.numpy(), self.planes, self.width
        scratch = np.empty(2 * step * min(self.height, width))

        def views(
            weights: np.ndarray, row: int, first: int, last: int, near: int, start: int
        ) -> tuple[np.ndarray, ...]:
            """Weights, two neighbours' values (two overlapping slices), room for their products, own values."""
            count = last - first
            offset = (near * z.shape[1] + start) * z.itemsize
            around = np.ndarray((2, count), z.dtype, z.data, offset, (step * z.itemsize, z.itemsize))
            room = scratch[: 2 * count].reshape(2, count)
            return weights[:, row, first:last], around, room, room[0], room[1], z[row, first:last]

        slices, before, after = self._slices(step), self.before.numpy(), self.after.numpy()
        forward = [views(before, k, first, last, (k - 1) % width, first - step) for k, first, last in slices[1:]]
        backward = [views(after, k, first, last, (k + 1) % width, first) for k, first, last in slices[-2::-1]]
        return forward, backward

    def precondition(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        """z with (factor) z = residual, and the matrix times z; both are overwritten by the next call."""
        multiply, add = np.multiply, np.add
        torch.div(residual, self.pivots, out=self.z)
        for weights, around, room, one, two, own in self.forward:
            multiply(weights, around, room)
            add(own, one, own)
            add(own, two, own)
        torch.mul(self.pivots, self.z, out=self.matrix_z)  # = (D + upper) times the z of after the next sweep
        for weights, around, room, one, two, own in self.backward:
            multiply(weights, around, room)
            add(own, one, own)
            add(own, two, own)
        self.matrix_z.addcmul_(self.beyond, self.z)
        self._add_lower(self.z, self.matrix_z)
        return self.z, self.matrix_z

    def _add_lower(self, u: Tensor, result: Tensor) -> None:
        """result += (matrix below the diagonal) times u: minus what the left and upper neighbours hold."""
        for rows, earlier in ((slice(1, None), slice(None, -1)), (slice(0, 1), slice(-1, None))):
            result[rows].addcmul_(self.left[rows], u[earlier], value=-1)
            result[rows, self.planes :].addcmul_(self.up[rows, self.planes :], u[earlier, : -self.planes], value=-1)

    def product(self, u: Tensor) -> Tensor:
        """(1 + L) u."""
        result = u * (self.beyond + self.pivots)
        self._add_lower(u, result)
        step = self.planes
        for rows, later in ((slice(None, -1), slice(1, None)), (slice(-1, None), slice(0, 1))):
            result[rows] -= self.after[0, rows] * self.pivots[rows] * u[later]
            result[rows, :-step] -= self.after[1, rows, :-step] * self.pivots[rows, :-step] * u[later, step:]
        return result


def _sheared(planes: Tensor) -> Tensor:
    """(P, H, W), H at most W -> (W, (H + 2) P): pixel (x, y) in row (x + y) mod W, its numbers at (y + 1) P."""
    p, h, w = planes.shape
    twice = torch.cat([planes, planes], 2)
    rows = twice.as_strided((w, h, p), (1, 2 * w - 1, 2 * w * h), w)
    return functional.pad(rows, (0, 0, 1, 1)).flatten(1)


def _unsheared(sheared: Tensor, planes: int, height: int, width: int) -> Tensor:
    """(W, (H + 2) P) -> (P, H, W)."""
    twice = torch.cat([sheared, sheared])
    row = sheared.shape[1]
    return twice.as_strided((planes, height, width), (1, row + planes, row), planes).contiguous()


def _dot(a: Tensor, b: Tensor, planes: int) -> Tensor:
    """Products added up for each plane, (P,)."""
    return (a * b).sum(0).view(-1, planes).sum(0)


def _norm(a: Tensor, planes: int) -> Tensor:
    return _dot(a, a, planes).sqrt()

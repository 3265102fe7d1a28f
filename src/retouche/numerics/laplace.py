"""The membrane: the smoothest continuation of known values into a hole.

Inside the hole every value is the mean of its four neighbours (Laplace's equation), known pixels are held fixed and
the picture's border is a mirror. Solved by conjugate gradients with one multigrid cycle as preconditioner; memory
and time grow with the hole's bounding box only, or with the hole where it is thin (`sparse_grid`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from retouche.numerics import sparse_grid
from retouche.numerics.sparse_grid import Rows
from retouche.progress import part, report_progress

DAMPING = 0.8  # of Jacobi's relaxation: the usual value for the five-point stencil
SWEEPS = 2  # relaxations before and after each visit to the coarser grid
EDGE = 0.5  # two parallel links over twice the distance conduct as one
ANCHOR = 0.6  # the same for links to known pixels, which stay closer than a whole coarse cell
MOST_STEPS = 80
DIRECT = 100  # cells of the coarsest grid at most


def membrane(values: Tensor, mask: Tensor, tolerance: float = 2e-5) -> Tensor:
    """Fill the hole of each sample with the membrane through its known values.

    Args:
        values: (N, C, H, W), float; values inside the hole are not read
        mask: (N, 1, H, W), 1 = hole; each sample needs a known pixel
        tolerance: the last correction's largest change, relative to the range of the known values around the hole

    Returns: (N, C, H, W), the known values unchanged
    """
    filled = values.clone()
    for sample in range(len(values)):
        hole = mask[sample, 0] > 0.5
        if hole.any():
            top, bottom, left, right = _box(hole)
            here = filled[sample, :, top:bottom, left:right]
            with part(sample / len(values), (sample + 1) / len(values)):
                solved = _solve(here.unsqueeze(1), hole[None, None, top:bottom, left:right], tolerance)
            here.copy_(solved.squeeze(1))
    return filled


def seamless(jumps: tuple[Tensor, Tensor], hole: Tensor, hold: float, steps: int = 7) -> Tensor:
    """What to add to a collage so that its seams vanish: a screened Poisson equation.

    Minimises, inside the hole, the squared distance of the added field's differences from the jumps plus `hold` times
    its own square; it is 0 on known pixels.

    Args:
        jumps: wanted differences to the right (C, h, w - 1) and downwards (C, h - 1, w) of the field that is added
        hole: (h, w), bool
        hold: how firmly the collage's own tone is kept, per pixel
        steps: of conjugate gradients; 7 leave 1e-4 of the jumps

    Returns: (C, h, w), 0 outside the hole
    Source: Perez, Gangnet, Blake 2003; screened as in Darabi, Shechtman, Barnes, Goldman, Sen 2012 (image melding)
    """
    right, down = jumps
    dtype = right.dtype
    unknown = hole[None, None].to(dtype)
    divergence = right.new_zeros(len(right), *hole.shape)
    divergence[:, :, :-1] -= right
    divergence[:, :, 1:] += right
    divergence[:, :-1] -= down
    divergence[:, 1:] += down
    finest = _finest(unknown)
    finest = _Grid(finest.hole, finest.horizontal, finest.vertical, finest.diagonal + hold * unknown)
    levels = _levels(finest)
    residual = levels[0].packed(divergence[:, None] * unknown)
    u = torch.zeros_like(residual)
    for change in islice(_changes(levels, residual), steps):
        u = u + change
    return levels[0].spread(u)[:, 0]


def _box(hole: Tensor) -> tuple[int, int, int, int]:
    """The hole's bounding box with the ring of known pixels around it: top, bottom, left, right."""
    rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
    return (
        max(0, int(rows[0]) - 1),
        min(hole.shape[0], int(rows[-1]) + 2),
        max(0, int(columns[0]) - 1),
        min(hole.shape[1], int(columns[-1]) + 2),
    )


@dataclass(frozen=True)
class _Grid:
    """One level's equations: diagonal * u - sum(link * neighbour) = right side, on hole cells only."""

    hole: Tensor  # (1, 1, h, w), 1 = unknown
    horizontal: Tensor  # (1, 1, h, w - 1), conductance between horizontal neighbours, both unknown
    vertical: Tensor  # (1, 1, h - 1, w), the same for vertical ones
    diagonal: Tensor  # (1, 1, h, w), 1 where known

    def neighbours(self, u: Tensor) -> Tensor:
        return self._add_neighbours(torch.zeros_like(u), u, 1)

    def _add_neighbours(self, total: Tensor, u: Tensor, times: float) -> Tensor:
        total[..., :-1].addcmul_(self.horizontal, u[..., 1:], value=times)
        total[..., 1:].addcmul_(self.horizontal, u[..., :-1], value=times)
        total[..., :-1, :].addcmul_(self.vertical, u[..., 1:, :], value=times)
        total[..., 1:, :].addcmul_(self.vertical, u[..., :-1, :], value=times)
        return total

    def apply(self, u: Tensor) -> Tensor:
        return self._add_neighbours(self.diagonal * u, u, -1)

    @cached_property
    def relaxation(self) -> Tensor:
        """(1, 1, h, w): what a residual is multiplied by in one of Jacobi's steps."""
        return DAMPING * self.hole / self.diagonal

    def packed(self, values: Tensor) -> Tensor:
        """(C, 1, h, w) as the vector of the equations, see `Rows.packed`: itself."""
        return values

    def spread(self, u: Tensor) -> Tensor:
        return u

    def down(self, residual: Tensor, packed: bool) -> Tensor:
        """A residual for the next grid, which is never packed."""
        assert not packed
        return _restrict(residual.mul_(self.hole))

    def up(self, coarse: Tensor) -> Tensor:
        """The next grid's vector for this one's cells."""
        return _prolong(coarse, *self.hole.shape[-2:]).mul_(self.hole)

    @cached_property
    def inverse(self) -> Tensor:
        """(cells, cells), of the equations; for grids of few cells."""
        cells = self.hole.numel()
        unit = torch.eye(cells, dtype=torch.float64, device=self.hole.device).view(cells, 1, *self.hole.shape[-2:])
        grid = _Grid(*(part.double() for part in (self.hole, self.horizontal, self.vertical, self.diagonal)))
        return torch.linalg.inv(grid.apply(unit).flatten(1)).to(self.hole.dtype)

    def coarser(self) -> _Grid:
        """Cells joined two by two; a cell with any unknown in it is unknown."""
        h, w = self.hole.shape[-2:]
        anchors = (self.diagonal - self.neighbours(torch.ones_like(self.hole))) * self.hole
        hole = F.max_pool2d(_even(self.hole), 2)
        horizontal = EDGE * _pairs(self.horizontal[..., 1::2], -2)[..., : (w + 1) // 2 - 1]
        vertical = EDGE * _pairs(self.vertical[..., 1::2, :], -1)[..., : (h + 1) // 2 - 1, :]
        coarse = _Grid(hole, horizontal, vertical, torch.zeros_like(hole))
        diagonal = coarse.neighbours(torch.ones_like(hole)) + ANCHOR * 4 * F.avg_pool2d(_even(anchors), 2)
        return _Grid(hole, horizontal, vertical, torch.where(diagonal > 0, diagonal, 1))


def _even(u: Tensor) -> Tensor:
    return F.pad(u, (0, u.shape[-1] % 2, 0, u.shape[-2] % 2))


def _pairs(u: Tensor, axis: int) -> Tensor:
    """Sums of two neighbours along one axis; an odd last one stands alone."""
    u = F.pad(u, (0, 0, 0, u.shape[-2] % 2) if axis == -2 else (0, u.shape[-1] % 2))
    return u.unflatten(axis, (-1, 2)).sum(axis)


def _restrict(residual: Tensor) -> Tensor:
    """The transpose of `_prolong`: repeated borders there are repeated borders here."""
    weights = residual.new_tensor([0.25, 0.75, 0.75, 0.25])
    padded = F.pad(_even(residual), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, torch.outer(weights, weights).view(1, 1, 4, 4), stride=2)


def _prolong(u: Tensor, h: int, w: int) -> Tensor:
    return F.interpolate(u, scale_factor=2.0, mode="bilinear", align_corners=False)[..., :h, :w]


def _cycle(grids: list[_Grid | Rows], right: Tensor) -> Tensor:
    """One symmetric V-cycle from zero: an approximate solution for this right side."""
    grid = grids[0]
    if len(grids) == 1:
        assert isinstance(grid, _Grid)
        return (right.flatten(1) @ grid.inverse).view(right.shape)
    relax = grid.relaxation
    u = relax * right
    for _ in range(SWEEPS - 1):
        u.addcmul_(relax, right - grid.apply(u))
    below = grid.down(right - grid.apply(u), isinstance(grids[1], Rows))
    if isinstance(grids[1], _Grid):
        below.mul_(grids[1].hole)
    u += grid.up(_cycle(grids[1:], below))
    for _ in range(SWEEPS):
        u.addcmul_(relax, right - grid.apply(u))
    return u


def _everywhere(unknown: Tensor) -> _Grid:
    """Equations of a picture without known pixels: (1, 1, h, w) of any value -> links alone."""
    horizontal, vertical = torch.ones_like(unknown[..., 1:]), torch.ones_like(unknown[..., 1:, :])
    return _Grid(torch.ones_like(unknown), horizontal, vertical, torch.zeros_like(unknown))


def _finest(unknown: Tensor) -> _Grid:
    """Laplace's equation on the hole cells of (1, 1, h, w), 1 = unknown."""
    degree = _everywhere(unknown).neighbours(torch.ones_like(unknown))
    return _Grid(
        unknown,
        unknown[..., 1:] * unknown[..., :-1],
        unknown[..., 1:, :] * unknown[..., :-1, :],
        torch.where(unknown > 0, degree, 1),
    )


def _levels(finest: _Grid) -> list[_Grid | Rows]:
    """The grid and ever coarser ones, down to one of few cells, whose equations are solved outright; as rows as long as
    they are nearly empty."""
    grids = [finest]
    while grids[-1].hole.numel() > DIRECT:
        grids.append(grids[-1].coarser())
    levels: list[_Grid | Rows] = list(grids)
    for number, (grid, coarser) in enumerate(pairwise(grids)):
        if not sparse_grid.worthwhile(grid.hole):
            break
        levels[number] = Rows(grid.hole, grid.horizontal, grid.vertical, grid.diagonal, grid.relaxation, coarser.hole)
    return levels


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of each channel, (C, 1, h, w) -> (C, 1, 1, 1), or of rows, (cells, C) -> (1, C)."""
    return (a * b).sum(0 if a.dim() == 2 else (1, 2, 3), keepdim=True)


def _changes(grids: list[_Grid | Rows], residual: Tensor) -> Iterator[Tensor]:
    """The corrections of conjugate gradients, one after another, preconditioned by a multigrid cycle."""
    tiny = torch.finfo(residual.dtype).tiny
    step = direction = _cycle(grids, residual)
    energy = _dot(residual, step)
    while True:
        image = grids[0].apply(direction)
        length = energy / _dot(direction, image).clamp_min(tiny)
        yield length * direction
        residual = residual - length * image
        step = _cycle(grids, residual)
        energy, previous = _dot(residual, step), energy
        direction = step + energy / previous.clamp_min(tiny) * direction


def _solve(values: Tensor, hole: Tensor, tolerance: float) -> Tensor:
    """values (C, 1, H, W), hole (1, 1, H, W) -> the membrane, C systems at once."""
    dtype = values.dtype if values.dtype == torch.float64 else torch.float32
    unknown = hole.to(dtype)
    everywhere = _everywhere(unknown)
    degree = everywhere.neighbours(torch.ones_like(unknown))
    finest = _finest(unknown)

    known = values.to(dtype).masked_fill(hole, 0)
    ring = (everywhere.neighbours(unknown) > 0) & ~hole  # known pixels beside the hole
    around = known[:, ring[0]]  # (C, ring pixels)
    middle = around.mean(1).view(-1, 1, 1, 1)
    reach = float((around.amax(1) - around.amin(1)).max())
    u = torch.where(hole, middle, known)
    if reach == 0:
        return u.to(values.dtype)

    residual = (everywhere.neighbours(u) - degree * u) * unknown
    levels = _levels(finest)
    inside = levels[0].packed(torch.zeros_like(residual))
    for correction in islice(_changes(levels, levels[0].packed(residual)), MOST_STEPS):
        inside = inside + correction
        change = float(correction.abs().max())
        if change <= tolerance * reach:
            break
        report_progress(math.log(min(change / reach, 1.0)) / math.log(tolerance))
    return (u + levels[0].spread(inside)).to(values.dtype)

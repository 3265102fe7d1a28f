"""Patches of a picture that look alike: descriptors, nearest neighbours, and votes.

A patch is named by its top left corner, as a flat index into the grid of all corners. Patches that touch no hole
pixel are sources; the others are targets and want the source that resembles them most. Few targets are compared with
every source by one matrix product; many by PatchMatch (Barnes, Shechtman, Finkelstein, Goldman 2009): neighbours
exchange their finds, and each looks around at random in shrinking circles, all targets at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from retouche.progress import report_progress

CHUNK = 1 << 20  # distances held at once, 4 MB
SAMPLE = 4096  # source patches that the principal components are made of
SPARE, ROUNDS = 8, 3  # further directions that are kept while the components are found, and how often they are improved
FIRST = 8  # components by which most candidates are rejected
TOGETHER = 1 << 13  # hole pixels whose patches are laid down at once


@dataclass(frozen=True)
class Patches:
    """The patches of one picture with a hole.

    Attributes:
        size: a patch's height and width
        shape: the picture's height and width
        sources: (S,), corners of patches that are wholly known
        targets: (T,), corners of patches that touch the hole
        slot: (grid cells,), a target's place in `targets`, -1 at sources
        holes: (P,), the hole's pixels, flat
    """

    size: tuple[int, int]
    shape: tuple[int, int]
    sources: Tensor
    targets: Tensor
    slot: Tensor
    holes: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        return self.shape[0] - self.size[0] + 1, self.shape[1] - self.size[1] + 1

    @cached_property
    def over(self) -> Tensor:
        """(P, h * w), int32: places in `targets` of the patches over each hole pixel, -1 beyond the picture; first
        the one whose corner the pixel is."""
        y, x = (at[:, None] for at in (self.holes // self.shape[1], self.holes % self.shape[1]))
        down, right = self._offsets(self.slot.device)
        top, left = y - down, x - right
        inside = (top >= 0) & (top < self.grid[0]) & (left >= 0) & (left < self.grid[1])
        corner = torch.where(inside, top * self.grid[1] + left, 0)
        return torch.where(inside, self.slot[corner], -1).int()

    def _offsets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """(h * w,) each: how far down and right of its corner each of a patch's pixels is."""
        flat = torch.arange(self.size[0] * self.size[1], device=device)
        return flat // self.size[1], flat % self.size[1]

    def beneath(self, device: torch.device) -> Tensor:
        """(h * w,), int32: a patch's pixels, counted from its corner in the flat picture."""
        down, right = self._offsets(device)
        return (down * self.shape[1] + right).int()

    def rows_columns(self, corners: Tensor) -> tuple[Tensor, Tensor]:
        return corners // self.grid[1], corners % self.grid[1]

    def first_pixels(self, corners: Tensor) -> Tensor:
        """The flat pixels at these corners."""
        y, x = self.rows_columns(corners)
        return y * self.shape[1] + x

    def moved(self, corners: Tensor, down: Tensor | int, right: Tensor | int) -> tuple[Tensor, Tensor]:
        """Corners after a move, and whether they are sources; those that are not come back as 0."""
        y, x = self.rows_columns(corners)
        y, x = y + down, x + right
        inside = (y >= 0) & (y < self.grid[0]) & (x >= 0) & (x < self.grid[1])
        there = torch.where(inside, y * self.grid[1] + x, 0)
        return there, inside & (self.slot[there] < 0)


def patches_of(hole: Tensor, side: int) -> Patches:
    """Sources and targets among all patches of the given side (shorter where the picture is) of a hole (H, W), bool."""
    size = min(side, hole.shape[0]), min(side, hole.shape[1])
    touched = hole
    for axis, length in enumerate(size):  # windows of 1, 2, 4, ... pixels, the last ones overlapping
        reach = 1
        while reach < length:
            step = min(reach, length - reach)
            there = touched.shape[axis] - step
            touched = touched.narrow(axis, 0, there) | touched.narrow(axis, step, there)
            reach += step
    touched = touched.flatten()
    targets = touched.nonzero().flatten()
    slot = torch.full_like(touched, -1, dtype=torch.long)
    slot[targets] = torch.arange(len(targets), device=hole.device)
    holes = hole.flatten().nonzero().flatten()
    return Patches(size, (hole.shape[0], hole.shape[1]), (~touched).nonzero().flatten(), targets, slot, holes)


def rows_of(picture: Tensor, patches: Patches, corners: Tensor) -> Tensor:
    """Whole patches (corners, h, w, C) of a picture (1, C, H, W); a patch's row lies together and is copied at once."""
    h, w = patches.size
    pixels = picture[0].permute(1, 2, 0).contiguous().flatten(0, 1)
    c = pixels.shape[1]
    beside = pixels.as_strided((len(pixels) - w + 1, w * c), (c, 1))
    first = patches.first_pixels(corners)
    return torch.stack([beside[first + down * patches.shape[1]] for down in range(h)], 1).unflatten(2, (w, c))


def components(picture: Tensor, patches: Patches, count: int) -> Tensor:
    """The principal components of the source patches, as convolution kernels.

    Distances depend on the space that they span alone: with many dimensions it is found by a few rounds of subspace
    iteration (Halko, Martinsson, Tropp 2011, SIAM Review) from directions drawn once and for all.

    Args:
        picture: (1, C, H, W)
        count: how many at most

    Returns: (K, C, h, w), orthonormal, those of the greatest variance first
    """
    h, w = patches.size
    stride = max(1, len(patches.sources) // SAMPLE)
    rows = rows_of(picture, patches, patches.sources[::stride]).flatten(1)
    rows = rows - rows.mean(0)
    spread = (rows.T @ rows).double()
    dimensions = len(spread)
    basis = None
    if dimensions > 4 * (count + SPARE):
        drawn = torch.randn(dimensions, count + SPARE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        basis = drawn.to(spread)
        for _ in range(ROUNDS):
            basis = torch.linalg.qr(spread @ basis).Q
        spread = basis.T @ (spread @ basis)
    _, vectors = torch.linalg.eigh(spread)
    vectors = vectors.flip(1)[:, :count]
    vectors = vectors if basis is None else basis @ vectors
    return vectors.T.reshape(-1, h, w, picture.shape[1]).permute(0, 3, 1, 2).to(picture.dtype)


def describe(picture: Tensor, kernels: Tensor, nearness: float) -> Tensor:
    """Each patch in the basis of the components, then its place.

    Args:
        picture: (1, C, H, W)
        kernels: (K, C, h, w)
        nearness: how much a distance of the picture's diagonal weighs

    Returns: (grid cells, K + 2)
    """
    count = len(kernels)
    h, w = picture.shape[2] - kernels.shape[2] + 1, picture.shape[3] - kernels.shape[3] + 1
    scale = nearness / (h * h + w * w) ** 0.5
    described = picture.new_empty(h, w, count + 2)
    described[..., :count] = F.conv2d(picture, kernels)[0].permute(1, 2, 0)
    described[..., count] = torch.arange(h, device=picture.device)[:, None] * scale
    described[..., count + 1] = torch.arange(w, device=picture.device) * scale
    return described.flatten(0, 1)


def describe_targets(descriptors: Tensor, picture: Tensor, kernels: Tensor, patches: Patches) -> None:
    """Bring the targets' descriptors up to date with a picture whose hole has changed, in place."""
    y, x = patches.rows_columns(patches.targets)
    top, left = int(y.min()), int(x.min())
    bottom, right = int(y.max()) + patches.size[0], int(x.max()) + patches.size[1]
    colours = F.conv2d(picture[..., top:bottom, left:right], kernels)[0]
    descriptors[patches.targets, : len(kernels)] = colours[:, y - top, x - left].T


def search_everywhere(descriptors: Tensor, patches: Patches, stride: int = 1) -> Tensor:
    """(T,): the nearest source of each target, compared with every stride-th one."""
    sources = patches.sources[::stride]
    known = descriptors[sources]
    half = 0.5 * known.square().sum(1)
    rows = max(1, CHUNK // len(sources))
    wanted = descriptors[patches.targets].split(rows)
    return sources[torch.cat([torch.addmm(half, some, known.T, alpha=-1).argmin(1) for some in wanted])]


def distances(descriptors: Tensor, patches: Patches, match: Tensor) -> Tensor:
    """(T,): the squared distance of each target to its match."""
    return (descriptors[patches.targets] - descriptors[match]).square().sum(1)


def search_around(
    descriptors: Tensor, patches: Patches, match: Tensor, rounds: int, reach: int, generator: torch.Generator
) -> Tensor:
    """Better matches by PatchMatch, starting from some.

    Args:
        descriptors: (grid cells, K)
        match: (T,), sources to start from
        rounds: of propagation and random search
        reach: radius of the random search at first, in pixels

    Returns: (T,)
    """
    lines, columns = patches.grid
    first, rest = descriptors[:, :FIRST].contiguous(), descriptors[:, FIRST:].contiguous()
    wanted_first, wanted_rest = first[patches.targets], rest[patches.targets]
    source = patches.slot < 0
    best = distances(descriptors, patches, match)
    match = match.clone()

    def offer(y: Tensor, x: Tensor, possible: Tensor | None = None) -> None:
        """Candidates by row and column, moved into the picture where they are beyond it."""
        candidates = y.clamp_(0, lines - 1).mul_(columns).add_(x.clamp_(0, columns - 1))
        promising = source[candidates] & (candidates != match)
        who = (promising if possible is None else promising & possible).nonzero().flatten()
        candidates = candidates[who]
        found = (wanted_first[who] - first[candidates]).square_().sum(1)
        likely = (found < best[who]).nonzero().flatten()
        who, candidates, found = who[likely], candidates[likely], found[likely]
        found += (wanted_rest[who] - rest[candidates]).square_().sum(1)
        better = (found < best[who]).nonzero().flatten()
        who = who[better]
        match[who] = candidates[better]
        best[who] = found[better]

    y, x = patches.rows_columns(patches.targets)
    neighbours: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for step in (4, 1, -4, -1):
        for move in ((step, 0), (0, step)):
            there_y, there_x = y - move[0], x - move[1]
            inside = (there_y >= 0) & (there_y < lines) & (there_x >= 0) & (there_x < columns)
            slot = patches.slot[torch.where(inside, there_y * columns + there_x, 0)]
            neighbours[move] = slot.clamp_min(0), inside & (slot >= 0)
    for turn in range(rounds):
        for step in (4, 1) if turn == 0 else (1,):
            for move in ((0, step), (step, 0), (0, -step), (-step, 0)):
                neighbour, there = neighbours[move]
                found_y, found_x = patches.rows_columns(match[neighbour])
                offer(found_y.add_(move[0]), found_x.add_(move[1]), there)
        report_progress((turn + 0.5) / rounds)
        radius = reach
        while radius >= 1:
            down, right = torch.randint(-radius, radius + 1, (2, len(match)), generator=generator).to(match.device)
            found_y, found_x = patches.rows_columns(match)
            offer(found_y.add_(down), found_x.add_(right))
            radius //= 2
        report_progress((turn + 1) / rounds)
    return match


def vote(picture: Tensor, patches: Patches, match: Tensor, weights: Tensor) -> Tensor:
    """Every target patch lays its match down; where several overlap, their weighted mean.

    Args:
        picture: (1, C, H, W)
        match: (T,), sources
        weights: (T,), positive

    Returns: (1, C, H, W), the picture's own values outside the hole
    """
    c, h, w = picture.shape[1:]
    pixels = picture[0].flatten(1).T.contiguous()  # (H * W, C)
    origin, beneath = patches.first_pixels(match).int(), patches.beneath(match.device)
    filled = picture[0].flatten(1).clone()
    for slots, here in zip(patches.over.split(TOGETHER), patches.holes.split(TOGETHER), strict=True):
        place = slots.clamp_min(0)
        weight = weights[place].masked_fill_(slots < 0, 0)
        weight /= weight.sum(1, keepdim=True)
        filled[:, here] = F.embedding_bag(origin[place] + beneath, pixels, mode="sum", per_sample_weights=weight).T
    return filled.view(1, c, h, w)


def pick(picture: Tensor, patches: Patches, match: Tensor, cost: Tensor) -> Tensor:
    """Every hole pixel takes the colour that the cheapest patch over it gives; nothing is averaged, so nothing blurred.

    Args:
        picture: (1, C, H, W)
        match: (T,), sources
        cost: (T,), not negative

    Returns: (1, C, H, W), the picture's own values outside the hole
    """
    filled = picture[0].flatten(1).clone()
    filled[:, patches.holes] = filled[:, picked(patches, match, cost)[patches.holes]]
    return filled.view(picture.shape)


def picked(patches: Patches, match: Tensor, cost: Tensor, centring: float = 0.1) -> Tensor:
    """(H * W,): the pixel that each hole pixel is taken from by the cheapest patch over it; itself outside the hole.

    Args:
        match: (T,), sources
        cost: (T,), not negative
        centring: how much dearer a patch is per squared pixel between its centre and the pixel
    """
    (h, w), size = patches.shape, patches.size
    source = torch.arange(h * w, device=cost.device)
    origin, beneath = patches.first_pixels(match), patches.beneath(cost.device)
    down, right = (torch.arange(length, device=cost.device) - length // 2 for length in size)
    dearer = 1 + centring * (down.square()[:, None] + right.square()).flatten()  # (h * w,)
    for slots, here in zip(patches.over.split(TOGETHER), patches.holes.split(TOGETHER), strict=True):
        price = (cost[slots.clamp_min(0)] * dearer).masked_fill_(slots < 0, torch.inf)
        cheapest = price.argmin(1, keepdim=True)
        source[here] = (origin[slots.gather(1, cheapest).long()] + beneath[cheapest])[:, 0]
    return source

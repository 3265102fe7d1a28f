"""Patches of a picture that look alike: descriptors, nearest neighbours, and votes.

A patch is named by its top left corner, as a flat index into the grid of all corners. Patches that touch no hole
pixel are sources; the others are targets and want the source that resembles them most. Few targets are compared with
every source by one matrix product; many by PatchMatch (Barnes, Shechtman, Finkelstein, Goldman 2009): neighbours
exchange their finds, and each looks around at random in shrinking circles, all targets at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retouche.progress import report_progress

CHUNK = 1 << 22  # distances held at once, 16 MB
SAMPLE = 4096  # source patches that the principal components are made of


@dataclass(frozen=True)
class Patches:
    """The patches of one picture with a hole.

    Attributes:
        size: a patch's height and width
        shape: the picture's height and width
        sources: (S,), corners of patches that are wholly known
        targets: (T,), corners of patches that touch the hole
        slot: (grid cells,), a target's place in `targets`, -1 at sources
    """

    size: tuple[int, int]
    shape: tuple[int, int]
    sources: Tensor
    targets: Tensor
    slot: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        return self.shape[0] - self.size[0] + 1, self.shape[1] - self.size[1] + 1

    def rows_columns(self, corners: Tensor) -> tuple[Tensor, Tensor]:
        return corners // self.grid[1], corners % self.grid[1]

    def moved(self, corners: Tensor, down: Tensor | int, right: Tensor | int) -> tuple[Tensor, Tensor]:
        """Corners after a move, and whether they are sources; those that are not come back as 0."""
        y, x = self.rows_columns(corners)
        y, x = y + down, x + right
        inside = (y >= 0) & (y < self.grid[0]) & (x >= 0) & (x < self.grid[1])
        there = torch.where(inside, y * self.grid[1] + x, 0)
        return there, inside & (self.slot[there] < 0)


def patches_of(hole: Tensor, side: int) -> Patches:
    """Sources and targets among all patches of the given side (shorter where the picture is) of a hole (H, W), bool."""
    h, w = hole.shape
    size = min(side, h), min(side, w)
    touched = F.max_pool2d(hole[None, None].float(), size, stride=1).flatten() > 0
    targets = touched.nonzero().flatten()
    slot = torch.full_like(touched, -1, dtype=torch.long)
    slot[targets] = torch.arange(len(targets), device=hole.device)
    return Patches(size, (h, w), (~touched).nonzero().flatten(), targets, slot)


def components(picture: Tensor, patches: Patches, count: int) -> Tensor:
    """The principal components of the source patches, as convolution kernels.

    Args:
        picture: (1, C, H, W)
        count: how many at most

    Returns: (K, C, h, w), orthonormal
    """
    h, w = patches.size
    stride = max(1, len(patches.sources) // SAMPLE)
    y, x = patches.rows_columns(patches.sources[::stride])
    offsets = [(dy, dx) for dy in range(h) for dx in range(w)]
    sample = torch.stack([picture[0, :, y + dy, x + dx] for dy, dx in offsets], -1)  # (C, samples, h * w)
    rows = sample.transpose(0, 1).flatten(1).double()
    rows = rows - rows.mean(0)
    _, vectors = torch.linalg.eigh(rows.T @ rows)
    return vectors.flip(1)[:, :count].T.reshape(-1, picture.shape[1], h, w).to(picture.dtype)


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
    nearest = [(half - descriptors[some] @ known.T).argmin(1) for some in patches.targets.split(rows)]
    return sources[torch.cat(nearest)]


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
    wanted = descriptors[patches.targets]
    best = distances(descriptors, patches, match)
    match = match.clone()

    def offer(candidates: Tensor, possible: Tensor) -> None:
        who = (possible & (candidates != match)).nonzero().flatten()
        found = (wanted[who] - descriptors[candidates[who]]).square().sum(1)
        better = found < best[who]
        match[who[better]] = candidates[who[better]]
        best[who[better]] = found[better]

    y, x = patches.rows_columns(patches.targets)
    for turn in range(rounds):
        for step in (4, 1) if turn == 0 else (1,):
            for down, right in ((0, step), (step, 0), (0, -step), (-step, 0)):
                there_y, there_x = y - down, x - right
                inside = (there_y >= 0) & (there_y < patches.grid[0]) & (there_x >= 0) & (there_x < patches.grid[1])
                neighbour = patches.slot[torch.where(inside, there_y * patches.grid[1] + there_x, 0)]
                candidates, possible = patches.moved(match[neighbour.clamp_min(0)], down, right)
                offer(candidates, possible & inside & (neighbour >= 0))
        report_progress((turn + 0.5) / rounds)
        radius = reach
        while radius >= 1:
            down, right = torch.randint(-radius, radius + 1, (2, len(match)), generator=generator).to(match.device)
            offer(*patches.moved(match, down, right))
            radius //= 2
        report_progress((turn + 1) / rounds)
    return match


def vote(picture: Tensor, patches: Patches, match: Tensor, weights: Tensor) -> Tensor:
    """Every target patch lays its match down; where several overlap, their weighted mean.

    Args:
        picture: (1, C, H, W)
        match: (T,), sources
        weights: (T,), positive

    Returns: (1, C, H, W), 0 where no target reaches
    """
    _, c, h, w = picture.shape
    pixels = torch.cat([picture[0].flatten(1).T, picture.new_ones(h * w, 1)], 1)  # (H * W, C + 1)
    total = torch.zeros_like(pixels)
    to, origin = _first_pixels(patches, patches.targets), _first_pixels(patches, match)
    weight = weights[:, None]
    for offset in _offsets(patches):
        total.index_add_(0, to + offset, pixels[origin + offset] * weight)  # no index twice: the same on any device
    mean = total[:, :c] / total[:, c:].clamp_min(torch.finfo(picture.dtype).tiny)
    return mean.T.reshape(1, c, h, w)


def pick(picture: Tensor, patches: Patches, match: Tensor, cost: Tensor) -> Tensor:
    """Every pixel takes the colour that the cheapest patch over it gives; nothing is averaged, so nothing is blurred.

    Args:
        picture: (1, C, H, W)
        match: (T,), sources
        cost: (T,), not negative

    Returns: (1, C, H, W), the picture's own values where no target reaches
    """
    _, c, h, w = picture.shape
    return picture[0].flatten(1)[:, picked(patches, match, cost)].reshape(1, c, h, w)


def picked(patches: Patches, match: Tensor, cost: Tensor, centring: float = 0.1) -> Tensor:
    """(H * W,): the pixel that each pixel is taken from by the cheapest patch over it; itself where no target reaches.

    Args:
        match: (T,), sources
        cost: (T,), not negative
        centring: how much dearer a patch is per squared pixel between its centre and the pixel
    """
    h, w = patches.shape
    lowest = torch.full((h * w,), torch.inf, dtype=cost.dtype, device=cost.device)
    source = torch.arange(h * w, device=cost.device)
    to, origin = _first_pixels(patches, patches.targets), _first_pixels(patches, match)
    middle = patches.size[0] // 2, patches.size[1] // 2
    for offset in _offsets(patches):
        off_centre = (offset // w - middle[0]) ** 2 + (offset % w - middle[1]) ** 2
        price, there = cost * (1 + centring * off_centre), to + offset
        before = lowest[there]
        cheaper = price < before
        lowest[there] = torch.where(cheaper, price, before)
        source[there] = torch.where(cheaper, origin + offset, source[there])
    return source


def _first_pixels(patches: Patches, corners: Tensor) -> Tensor:
    y, x = patches.rows_columns(corners)
    return y * patches.shape[1] + x


def _offsets(patches: Patches) -> list[int]:
    """A patch's pixels, counted from its corner in the flat picture."""
    return [dy * patches.shape[1] + dx for dy in range(patches.size[0]) for dx in range(patches.size[1])]

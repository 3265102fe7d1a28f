"""Patches of a picture that look alike: descriptors, nearest neighbours, and votes.

A patch is named by its top left corner, as a flat index into the grid of all corners. Patches that touch no hole
pixel are sources; the others are targets and want the source that resembles them most. Few targets are compared with
every source by one matrix product; many by PatchMatch (Barnes, Shechtman, Finkelstein, Goldman 2009): neighbours
exchange their finds, and each looks around at random in shrinking circles, all targets at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from retouche.progress import report_progress

CHUNK = 1 << 20  # distances held at once, 4 MB
SAMPLE = 4096  # source patches that the principal components are made of
SPARE, ROUNDS = 8, 3  # further directions that are kept while the components are found, and how often they are improved
# Values are summed exactly: in so many levels per 1, so many at once. (2 * LEVELS)**2 * ADDED is a float32 integer.
LEVELS, ADDED = 32, 4096
FINE = 2.0**18  # components are multiples of 1 / FINE
FIRST = 8  # components by which most candidates are rejected
TOGETHER = 1 << 13  # hole pixels whose patches are laid down at once
BLOCK = 64  # sources among which the nearest is found at once
TILE = 32  # targets are described in squares of so many corners a side, where there are any


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
    def tiles(self) -> tuple[Tensor, Tensor]:
        """Squares of `TILE` corners a side that hold a target, numbered row by row; and (T,), each target's place among
        their corners, one square after another."""
        across = -(-self.grid[1] // TILE)
        y, x = self.rows_columns(self.targets)
        held, which = (y // TILE * across + x // TILE).unique(return_inverse=True)
        return held, (which * TILE + y % TILE) * TILE + x % TILE

    @cached_property
    def over(self) -> Tensor:
        """(P, h * w), int32: places in `targets` of the patches over each hole pixel, T beyond the picture; first the
        one whose corner the pixel is."""
        (h, w), (lines, columns) = self.size, self.grid
        wide = columns + 2 * (w - 1)
        slot = F.pad(self.slot.int().view(lines, columns), (w - 1, w - 1, h - 1, h - 1), value=len(self.targets))
        down, right = self._offsets(slot.device)
        corner = (self.holes // self.shape[1] + h - 1) * wide + self.holes % self.shape[1] + w - 1
        around = corner.int()[:, None] - (down * wide + right).int()
        return slot.flatten().index_select(0, around.flatten()).view(around.shape)

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
    spread = _covariance(rows_of(picture, patches, patches.sources[::stride]).flatten(1))
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
    vectors = (vectors * FINE).round() / FINE  # a number of threads changes the last bits
    return vectors.T.reshape(-1, h, w, picture.shape[1]).permute(0, 3, 1, 2).to(picture.dtype)


def _covariance(rows: Tensor) -> Tensor:
    """(N, D) -> (D, D), float64, N times it; of values rounded to whole numbers, few of which are added at once: sums
    are exact, so that threads may add in any order."""
    whole = (rows * LEVELS).round_().clamp_(-2 * LEVELS, 2 * LEVELS)
    spread = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
    total = spread.new_zeros(rows.shape[1])
    for some in whole.split(ADDED):
        spread += some.T @ some
        total += some.sum(0)
    return (spread - total[:, None] * total / len(rows)) / LEVELS**2


class Described(NamedTuple):
    """Patches in the basis of the components, and where they are.

    Attributes:
        first: (N, at most FIRST), the components of the greatest variance
        rest: (N, ...), all others, then row and column in units that weigh like a colour
    """

    first: Tensor
    rest: Tensor

    def of(self, rows: Tensor) -> Described:
        """Those of some; index_select copies whole rows where brackets go number by number, at four times the cost."""
        return Described(self.first.index_select(0, rows), self.rest.index_select(0, rows))


def describe(picture: Tensor, kernels: Tensor, patches: Patches, nearness: float) -> Described:
    """Every patch of the picture, to be searched: targets are infinitely far from everything.

    Args:
        picture: (1, C, H, W)
        kernels: (K, C, h, w)
        nearness: how much a distance of the picture's diagonal weighs

    Returns: one row for each grid cell
    """
    places = _places(torch.arange(patches.grid[0] * patches.grid[1], device=picture.device), patches, nearness)
    described = _with_places(_projected(picture, kernels).flatten(0, 2), places)
    described.first[patches.targets, 0] = torch.inf
    return described


def describe_targets(picture: Tensor, kernels: Tensor, patches: Patches, nearness: float) -> Described:
    """The targets of a picture whose hole holds something, arguments as of `describe`: one row for each target."""
    (held, place), (h, w) = patches.tiles, patches.size
    spare = [-length % TILE for length in patches.grid]
    padded = F.pad(picture[0].permute(1, 2, 0), (0, 0, 0, spare[1], 0, spare[0]))
    squares = padded.unfold(0, TILE + h - 1, TILE).unfold(1, TILE + w - 1, TILE)  # (down, across, C, ., .)
    chosen = squares[held // squares.shape[1], held % squares.shape[1]]
    projected = _projected(chosen, kernels).flatten(0, 2).index_select(0, place)
    return _with_places(projected, _places(patches.targets, patches, nearness))


def _projected(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Every patch of (N, C, H, W) on the components (K, C, h, w): (N, H - h + 1, W - w + 1, K). Channels that are last
    in memory take less than half the time."""
    pictures, kernels = (some.contiguous(memory_format=torch.channels_last) for some in (pictures, kernels))
    return F.conv2d(pictures, kernels).permute(0, 2, 3, 1)


def _places(corners: Tensor, patches: Patches, nearness: float) -> tuple[Tensor, Tensor]:
    """Rows and columns of corners, in units that weigh like a colour."""
    lines, columns = patches.grid
    scale = nearness / (lines * lines + columns * columns) ** 0.5
    y, x = patches.rows_columns(corners)
    return y * scale, x * scale


def _with_places(projected: Tensor, places: tuple[Tensor, Tensor]) -> Described:
    """Components (N, K) and places (N,) as they are compared."""
    count = projected.shape[1]
    rest = projected.new_empty(len(projected), max(0, count - FIRST) + 2)
    rest[:, :-2] = projected[:, FIRST:]
    rest[:, -2], rest[:, -1] = places
    return Described(projected[:, :FIRST].contiguous(), rest)


def search_everywhere(described: Described, wanted: Described, patches: Patches, stride: int = 1) -> Tensor:
    """(T,): the nearest source of each target, compared with every stride-th one.

    Args:
        described: one row for each grid cell
        wanted: one row for each target
    """
    sources = patches.sources[::stride]
    known = torch.cat(described.of(sources), 1)
    half = 0.5 * known.square().sum(1)
    spare = -len(sources) % BLOCK
    known, half = F.pad(known, (0, 0, 0, spare)), F.pad(half, (0, spare), value=torch.inf)
    rows = max(1, CHUNK // len(known))
    nearest = [least(torch.addmm(half, some, known.T, alpha=-1)) for some in torch.cat(wanted, 1).split(rows)]
    return sources[torch.cat(nearest)]


def least(values: Tensor) -> Tensor:
    """values.argmin(1) of (N, M) in a fifth of the time, if M is a multiple of `BLOCK`: least values are found many at
    once, places one by one."""
    blocks = F.pad(values, (0, -values.shape[1] % BLOCK), value=torch.inf).unflatten(1, (-1, BLOCK))
    block = blocks.amin(2).argmin(1)
    return block * BLOCK + blocks[torch.arange(len(values), device=values.device), block].argmin(1)


def distances(described: Described, wanted: Described, match: Tensor) -> Tensor:
    """(T,): the squared distance of each target to its match."""
    first, rest = described.of(match)
    return first.sub_(wanted.first).square_().sum(1).add_(rest.sub_(wanted.rest).square_().sum(1))


def search_around(
    described: Described,
    wanted: Described,
    patches: Patches,
    match: Tensor,
    rounds: int,
    reach: int,
    generator: torch.Generator,
) -> Tensor:
    """Better matches by PatchMatch, starting from some.

    Args:
        described: one row for each grid cell
        wanted: one row for each target
        match: (T,), sources to start from
        rounds: of propagation and random search
        reach: radius of the random search at first, in pixels

    Returns: (T,)
    """
    lines, columns = patches.grid
    cells = lines * columns
    match, best = match.clone(), distances(described, wanted, match)

    def offer(candidates: Tensor, who: Tensor | None = None) -> None:
        """Sources for these targets, or all; what is no source is infinitely far. Moves are counted in the flat grid:
        what leaves it on one side comes back on the other, as good a guess as any."""
        here = wanted.first if who is None else wanted.first.index_select(0, who)
        found = described.first.index_select(0, candidates).sub_(here).square_().sum(1)
        likely = (found < (best if who is None else best.index_select(0, who))).nonzero()[:, 0]
        candidates, found = candidates.index_select(0, likely), found.index_select(0, likely)
        who = likely if who is None else who.index_select(0, likely)
        here = wanted.rest.index_select(0, who)
        found += described.rest.index_select(0, candidates).sub_(here).square_().sum(1)
        better = (found < best.index_select(0, who)).nonzero()[:, 0]
        who = who.index_select(0, better)
        match[who] = candidates.index_select(0, better)
        best[who] = found.index_select(0, better)

    y, x = patches.rows_columns(patches.targets)
    neighbours: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for step in (4, 1, -4, -1):
        for move in ((step, 0), (0, step)):
            there_y, there_x = y - move[0], x - move[1]
            inside = (there_y >= 0) & (there_y < lines) & (there_x >= 0) & (there_x < columns)
            slot = patches.slot.index_select(0, torch.where(inside, there_y * columns + there_x, 0))
            who = (inside & (slot >= 0)).nonzero()[:, 0]
            neighbours[move] = who, slot.index_select(0, who)
    for turn in range(rounds):
        for step in (4, 1) if turn == 0 else (1,):
            for move in ((0, step), (step, 0), (0, -step), (-step, 0)):
                who, neighbour = neighbours[move]
                candidates = match.index_select(0, neighbour).add_(move[0] * columns + move[1]).clamp_(0, cells - 1)
                new = (candidates != match.index_select(0, who)).nonzero()[:, 0]
                offer(candidates.index_select(0, new), who.index_select(0, new))
        report_progress((turn + 0.5) / rounds)
        radius = reach
        while radius >= 1:
            down, right = torch.randint(-radius, radius + 1, (2, len(match)), generator=generator).to(match.device)
            offer(down.mul_(columns).add_(right).add_(match).clamp_(0, cells - 1))
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
    # beyond the picture there is a patch without weight
    origin, beneath = F.pad(patches.first_pixels(match), (0, 1)).int(), patches.beneath(match.device)
    weights = F.pad(weights, (0, 1))
    filled = picture[0].flatten(1).clone()
    for slots, here in zip(patches.over.split(TOGETHER), patches.holes.split(TOGETHER), strict=True):
        weight = weights.index_select(0, slots.flatten()).view(slots.shape)
        weight /= weight.sum(1, keepdim=True)
        laid = origin.index_select(0, slots.flatten()).view(slots.shape).add_(beneath)
        filled[:, here] = F.embedding_bag(laid, pixels, mode="sum", per_sample_weights=weight).T
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
    cost = F.pad(cost, (0, 1), value=torch.inf)
    for slots, here in zip(patches.over.split(TOGETHER), patches.holes.split(TOGETHER), strict=True):
        price = cost.index_select(0, slots.flatten()).view(slots.shape).mul_(dearer)
        cheapest = price.argmin(1, keepdim=True)
        source[here] = (origin[slots.gather(1, cheapest).long()] + beneath[cheapest])[:, 0]
    return source

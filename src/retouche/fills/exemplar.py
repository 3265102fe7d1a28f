"""Exemplar synthesis: the hole becomes a collage of patches from the known part of the same picture.

From coarse to fine, two steps alternate: every patch that touches the hole looks for the most similar patch among
those wholly known, and the overlapping finds vote for the hole's colours. The scheme is that of Wexler, Shechtman and
Irani (Space-time completion of video, PAMI 2007), the search PatchMatch (Barnes, Shechtman, Finkelstein, Goldman,
SIGGRAPH 2009); texture energies beside the colours keep smooth patches from winning everywhere (Newson, Almansa,
Fradet, Gousseau, Perez, SIAM J. Imaging Sciences 2014). What is different here: patches are compared by their
principal components, plus a little by their distance in the picture; small levels are searched exhaustively; the
coarsest level starts from rings of masked best matches; the last level takes its fine detail from single patches,
its shading from the votes and, a little, from the membrane.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from retouche.numerics.laplace import membrane, seamless
from retouche.numerics.patchmatch import (
    SAMPLE,
    Patches,
    components,
    describe,
    describe_targets,
    distances,
    least,
    patches_of,
    pick,
    picked,
    rows_of,
    search_around,
    search_everywhere,
    vote,
)
from retouche.progress import part, shares

OWN = 5  # channels of a level's features but for the guide's: colours and two texture energies
AFAR = 2.0  # the guide is compared after a blur of this sigma, pixels of each level
GUIDANCE = (0.25, 0.5, 0.75)  # the guide's weight against a colour's: finest level, next, all coarser ones
HOLD = 1e-3  # how firmly patches keep their own tone where seams are relaxed
BUSY = 0.06  # detail that deviates by this from its surroundings, on -1..1, hides half of a seam
MOST_OFF = 0.15  # a jump at a seam beyond this, on -1..1, is another thing, not another tone
SIDE = 7  # of a patch, in pixels
COMPONENTS = 24
TEXTURE = 6.0  # a texture energy's weight against a colour's: less leaves grass and gravel flat, more costs likeness
NEARNESS = 2.0  # a source at the far corner is as unlike as this colour distance
THIN = 4  # the coarsest level is the one on which no hole pixel is further from the known ones, in pixels
FEWEST = 100  # sources a coarser level must offer
TOO_FEW = 20  # sources below which a collage is hopeless and the membrane stays
EXHAUSTIVE = 1 << 24  # comparisons up to which every target is compared with every source
# Radius of the random search in a level's first turn and in all later ones, where matches come from a coarser level. Of
# candidates within 254 pixels one in 2,000 was better, in later turns one in 1,000 within 15. Bricks need the first to
# find their period.
REACH = (127, 7)
ROUNDS = (2, 1)  # of the search, in the same turns
FLATTER = 0.5  # a coarser level whose patches vary less than this share of the finer one's has lost a pattern
MASKED_SOURCES = 2048  # compared at the coarsest level's start
MASKED_RINGS = 16
STEPS = 100  # levels per 1 when they are compared: sums over a patch of 7x7 and five channels stay within 2**24
CENTRAL = 1.2  # a vote's confidence falls by this factor per pixel away from the known ones
CRISP = 2.0  # detail finer than this comes from single patches, sigma in pixels
SHADE = 8.0  # shading coarser than this leans towards the membrane, sigma in pixels
LEANING = 0.3  # chosen with TEXTURE on training photographs and drawn masks
GUIDED_LEANING = 0.3  # the same towards a guide
START, MEMBRANE = 0.2, 0.1  # shares of the time: before the first level, and for the membrane alone; for progress only
TARGET = 8.0  # one turn costs as much per hole pixel as a level's preparation costs per so many pixels


@dataclass(frozen=True)
class _Level:
    """One scale of the picture.

    Attributes:
        features: (1, 5, h, w), colours and two texture energies, 0 in the hole
        hole: (h, w), bool
        patches: its patches
        guide: (1, 3, h, w), what the hole should look like from afar, and the known part from as far; or None
    """

    features: Tensor
    hole: Tensor
    patches: Patches
    guide: Tensor | None = None

    def guided(self, features: Tensor) -> Tensor:
        """Features of this level (1, 5, h, w) with the guide behind them: (1, 8, h, w)."""
        return features if self.guide is None else torch.cat([features[:, :OWN], self.guide], 1)


def fill(image: Tensor, mask: Tensor, seed: int = 0) -> Tensor:
    """Fill each sample's hole with patches of its known part.

    Args:
        image: (N, 3, H, W), -1..1; the hole is not read
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, with at least one known pixel in each sample
        seed: of the random search; the same seed and input give the same bytes, on any number of threads

    Returns: (N, 3, H, W)
    """
    mask = mask.expand(len(image), 1, *image.shape[-2:])
    filled = []
    for number, (sample, hole) in enumerate(zip(image.float().split(1), mask[:, 0] > 0.5, strict=True)):
        generator = torch.Generator().manual_seed(seed)
        with part(number / len(image), (number + 1) / len(image)):
            filled.append(synthesise(sample, hole, generator) if hole.any() else sample)
    return torch.cat(filled).to(image.dtype)


def synthesise(
    image: Tensor, hole: Tensor, generator: torch.Generator, guide: Tensor | None = None, strength: float = 1.0
) -> Tensor:
    """Fill one sample's hole.

    Args:
        image: (1, 3, H, W), -1..1; the hole is not read
        hole: (H, W), bool, with a known pixel
        generator: of the random search
        guide: (1, 3, H, W), what the filled picture should look like from afar; the collage follows it where the known
            part offers something alike, and takes its shading from it
        strength: how much more than usually the guide counts

    Returns: (1, 3, H, W)
    """
    with part(0, MEMBRANE):
        whole = patches_of(hole, SIDE)
        if len(whole.sources) < TOO_FEW:
            return membrane(image, hole[None, None]) if guide is None else torch.where(hole, guide, image)
        smooth = _shading(image, hole) if guide is None else torch.where(hole, guide, image)
    levels = _pyramid(image.masked_fill(hole, 0), hole, whole, None if guide is None else smooth, strength)
    patches, match, features = None, None, None
    costs = [
        level.hole.numel() + TARGET * _turns(number == 0) * int(level.hole.sum()) for number, level in enumerate(levels)
    ]
    times = shares([*costs, START / (1 - START) * sum(costs)][::-1])[:0:-1]  # the finest level's first, like `levels`
    for number in reversed(range(len(levels))):
        level = levels[number]
        finer = level.patches
        if patches is None or match is None or features is None:
            features, match = _first_guess(level, finer), None
        else:
            features = level.guided(torch.where(level.hole, _doubled(features, level.hole)[:, :OWN], level.features))
            match = _doubled_matches(patches, match, finer, generator)
        patches = finer
        with part(*times[number]):
            features, match, cost = _refine(level, features, patches, match, number == 0, generator)
        if number == len(levels) - 1 and number > 0:
            # A mean of many patches would tell the finer levels that the texture is smooth.
            features = level.guided(pick(features[:, :OWN], patches, match, cost))
    assert patches is not None and match is not None and features is not None
    leaning = LEANING if guide is None else GUIDED_LEANING
    return _finish(image, hole, features[:, :3], picked(patches, match, cost), smooth, leaning)


def _shading(image: Tensor, hole: Tensor) -> Tensor:
    """The membrane as far as `_finish` reads it, after a blur: solved at a quarter of the size, (1, 3, H, W)."""
    small, left, sizes = image.masked_fill(hole, 0), hole, []
    for _ in range(2):
        coarser, coarser_hole = _halved(small, left)
        if coarser_hole.all():
            break
        sizes.append(left)
        small, left = coarser, coarser_hole
    small = membrane(small, left[None, None])
    for finer in reversed(sizes):
        small = _doubled(small, finer)
    return torch.where(hole, small, image)


def _pyramid(picture: Tensor, hole: Tensor, whole: Patches, guide: Tensor | None, strength: float) -> list[_Level]:
    """Halved until the hole is thin, as long as there are patches to copy from; the finest level first."""
    pictures, holes, places = [picture], [hole], [whole]
    while min(holes[-1].shape) >= 3 * SIDE:
        deepest = float(depth_of(holes[-1], MASKED_RINGS + 1).max())
        coarser, coarser_hole = _halved(pictures[-1], holes[-1])
        patches = patches_of(coarser_hole, SIDE)
        if deepest <= THIN or len(patches.sources) < FEWEST or len(patches.targets) == 0:
            break
        # Bricks finer than a coarse pixel cannot be found again on the way back: start while they can be seen.
        if deepest <= MASKED_RINGS and _variation(coarser, patches) < FLATTER * _variation(pictures[-1], places[-1]):
            break
        pictures.append(coarser)
        holes.append(coarser_hole)
        places.append(patches)
    texture = _texture(picture, hole, radius=min(2 ** (len(holes) - 1), 16)) * TEXTURE
    levels = []
    for number, (at_scale, its_hole, patches) in enumerate(zip(pictures, holes, places, strict=True)):
        if number:
            texture, _ = _halved(texture, holes[number - 1])
        if guide is not None and number:
            guide = F.avg_pool2d(F.pad(guide, (0, guide.shape[3] % 2, 0, guide.shape[2] % 2), mode="replicate"), 2)
        weight = strength * GUIDANCE[min(number, len(GUIDANCE) - 1)]
        seen = None if guide is None else blurred_whole(guide, AFAR) * weight
        features = torch.cat([at_scale, texture], 1).masked_fill(its_hole, 0)
        levels.append(_Level(features, its_hole, patches, seen))
    return levels


def _variation(picture: Tensor, patches: Patches) -> float:
    """The mean variance within a known patch, of some."""
    some = rows_of(picture, patches, patches.sources[:: max(1, len(patches.sources) // SAMPLE)]).flatten(1, 2)
    return float((some.square().mean(1) - some.mean(1).square()).mean())


def _halved(picture: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the known pixels two by two; hole where most of the cell is."""
    odd = (0, hole.shape[1] % 2, 0, hole.shape[0] % 2)
    known = (~hole)[None, None].to(picture.dtype)
    share = F.avg_pool2d(F.pad(known, odd), 2)
    whole = F.avg_pool2d(F.pad(torch.ones_like(known), odd), 2)
    mean = F.avg_pool2d(F.pad(picture * known, odd), 2) / share.clamp_min(0.25)
    return mean, (share < 0.5 * whole)[0, 0]


def _texture(picture: Tensor, hole: Tensor, radius: int) -> Tensor:
    """Mean slopes across and along (1, 2, H, W) of known neighbours within a square; 0 where there are none."""
    known = (~hole)[None, None].to(picture.dtype)
    grey = picture.mean(1, keepdim=True)

    def spread(values: Tensor, axis: int) -> Tensor:
        values = F.pad(values, (0, 0, 0, 1) if axis == 2 else (0, 1))
        return _summed(_summed(values, radius, 2), radius, 3)

    slopes = []
    for axis in (3, 2):
        pairs = picture.shape[axis] - 1
        both = known.narrow(axis, 0, pairs) * known.narrow(axis, 1, pairs)
        slope = (grey.narrow(axis, 1, pairs) - grey.narrow(axis, 0, pairs)).abs() * both
        slopes.append(spread(slope, axis) / spread(both, axis).clamp_min(1))
    return torch.cat(slopes, 1)


def _summed(values: Tensor, radius: int, axis: int) -> Tensor:
    """Sums over 2 * radius + 1 neighbours along an axis, zeros beyond its ends: sums of 1, 2, 4, ... are joined."""
    length, wide = values.shape[axis], 2 * radius + 1
    sums = F.pad(values, (0, 0, radius, radius) if axis == 2 else (radius, radius))
    total, start, reach = None, 0, 1
    while True:
        if wide & reach:
            piece = sums.narrow(axis, start, length)
            total = piece if total is None else total + piece
            start += reach
        if 2 * reach > wide:
            assert total is not None
            return total
        there = sums.shape[axis] - reach
        sums = sums.narrow(axis, 0, there) + sums.narrow(axis, reach, there)
        reach *= 2


def depth_of(hole: Tensor, most: int) -> Tensor:
    """(H, W): how many pixels in from the known ones a hole pixel lies, up to `most`; 0 where known."""
    depth = torch.zeros(hole.shape, device=hole.device)
    if hole.any():
        rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
        # with a ring of known pixels around, what lies further out changes nothing
        near = tuple(slice(max(0, int(ends[0]) - 1), int(ends[-1]) + 2) for ends in (rows, columns))
        left = F.pad(hole[near].to(torch.uint8), (1, 1, 1, 1), value=1)  # the picture's border is no way in
        found = torch.zeros_like(left)
        for _ in range(most):
            found += left
            across = left[:, :-2] & left[:, 1:-1] & left[:, 2:]
            left[1:-1, 1:-1] = across[:-2] & across[1:-1] & across[2:]
            if not left[1:-1, 1:-1].any():
                break
        depth[near] = found[1:-1, 1:-1].to(depth)
    return depth


def _first_guess(level: _Level, patches: Patches) -> Tensor:
    """The coarsest level filled from outside in: each ring's pixels are those of the patch most like what is known.

    A membrane would do, but its mean colours attract smooth patches where the picture is full of detail.
    """
    if level.guide is not None:
        smooth = membrane(level.features, level.hole[None, None])
        return level.guided(smooth)
    if float(depth_of(level.hole, MASKED_RINGS + 1).max()) > MASKED_RINGS:
        return membrane(level.features, level.hole[None, None])
    features, left = level.features.clone(), level.hole.clone()
    # compared in whole numbers: sums are exact, so that threads may add in any order
    whole = (features * STEPS).round_().clamp_(-2 * STEPS, 2 * STEPS)
    h, w = patches.size
    some = patches.sources[:: max(1, -(-len(patches.sources) // MASKED_SOURCES))]

    def gathered(values: Tensor, corners: Tensor) -> Tensor:
        return rows_of(values, patches, corners).flatten(1, 2)  # (corners, h * w, C)

    rows = gathered(whole, some)
    squares, rows = rows.square().sum(2).T, rows.flatten(1).T
    while left.any():
        known = (~left)[None, None].to(features.dtype)
        y, x = (left & (F.max_pool2d(known, 3, 1, 1)[0, 0] > 0)).nonzero().unbind(1)
        top = (y - h // 2).clamp(0, patches.grid[0] - 1)
        side = (x - w // 2).clamp(0, patches.grid[1] - 1)
        corners = top * patches.grid[1] + side
        seen = gathered(known, corners)
        wanted = gathered(whole, corners) * seen
        best = torch.cat(
            [
                least(torch.addmm(part_seen @ squares, part_wanted, rows, alpha=-2))
                for part_seen, part_wanted in zip(seen[..., 0].split(1024), wanted.flatten(1).split(1024), strict=True)
            ]
        )
        from_y, from_x = patches.rows_columns(some[best])
        from_y, from_x = from_y + y - top, from_x + x - side
        features[0, :, y, x] = features[0, :, from_y, from_x]
        whole[0, :, y, x] = whole[0, :, from_y, from_x]
        left[y, x] = False
    return features


def _doubled(values: Tensor, hole: Tensor) -> Tensor:
    """Twice as large by bilinear interpolation, cut to the hole's size: three quarters of the nearer pixel. The same
    numbers with any number of threads, which PyTorch's own does not give."""
    for axis, length in ((2, hole.shape[0]), (3, hole.shape[1])):
        last = values.shape[axis] - 1
        near, quarter = 0.75 * values, 0.25 * values
        before = torch.cat([quarter.narrow(axis, 0, 1), quarter.narrow(axis, 0, last)], axis)
        after = torch.cat([quarter.narrow(axis, 1, last), quarter.narrow(axis, last, 1)], axis)
        values = torch.stack([near + before, near + after], axis + 1).flatten(axis, axis + 1).narrow(axis, 0, length)
    return values


def _doubled_matches(coarse: Patches, match: Tensor, patches: Patches, generator: torch.Generator) -> Tensor:
    """Each target moves as its place on the coarser level did; anywhere, where that leads to no source."""
    y, x = patches.rows_columns(patches.targets)
    parent = (y // 2).clamp_max(coarse.grid[0] - 1) * coarse.grid[1] + (x // 2).clamp_max(coarse.grid[1] - 1)
    slot = coarse.slot[parent]
    from_y, from_x = coarse.rows_columns(match[slot.clamp_min(0)])
    at_y, at_x = coarse.rows_columns(parent)
    moved, possible = patches.moved(patches.targets, 2 * (from_y - at_y), 2 * (from_x - at_x))
    anywhere = torch.randint(len(patches.sources), (len(patches.targets),), generator=generator)
    return torch.where(possible & (slot >= 0), moved, patches.sources[anywhere.to(moved.device)])


def _turns(finest: bool) -> int:
    """How often a level searches and votes."""
    return 2 if finest else 4


def _refine(
    level: _Level, features: Tensor, patches: Patches, match: Tensor | None, finest: bool, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Search and vote in turn on one level: features with the votes in the hole, matches, their squared distances."""
    kernels = components(features, patches, COMPONENTS)
    described = describe(features, kernels, patches, NEARNESS)
    comparisons = len(patches.sources) * len(patches.targets)
    y, x = patches.rows_columns(patches.targets)
    depth = depth_of(level.hole, 16)[y + patches.size[0] // 2, x + patches.size[1] // 2]
    confidence = CENTRAL**-depth
    turns = _turns(finest)
    for turn in range(turns):
        wanted = describe_targets(features, kernels, patches, NEARNESS)
        with part(turn / turns, (turn + 1) / turns):
            if comparisons <= EXHAUSTIVE:
                match = search_everywhere(described, wanted, patches)
            else:
                reach = REACH[min(turn, len(REACH) - 1)]
                if match is None:
                    match = search_everywhere(described, wanted, patches, stride=-(-comparisons // EXHAUSTIVE))
                    reach = max(patches.grid) // 2
                rounds = ROUNDS[min(turn, len(ROUNDS) - 1)]
                match = search_around(described, wanted, patches, match, rounds, reach, generator)
        cost = distances(described, wanted, match)
        usual = cost.kthvalue(len(cost) * 3 // 4 + 1).values.clamp_min(1e-8)
        weights = torch.exp(-cost / (2 * usual)).clamp_min(1e-6) * confidence
        features = level.guided(vote(features[:, :OWN], patches, match, weights))
    assert match is not None  # each level has at least two turns
    return features, match, cost


def _finish(
    image: Tensor, hole: Tensor, votes: Tensor, source: Tensor, smooth: Tensor, leaning: float = LEANING
) -> Tensor:
    """Fine detail of single patches on the shading of the votes, seams of tone relaxed; deep inside the shading leans a
    little towards `smooth`.

    Args:
        votes: (1, 3, H, W)
        source: (H * W,), the pixel that each pixel is taken from
    """
    h, w = hole.shape
    rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
    top, bottom = max(0, int(rows[0]) - 1), min(h, int(rows[-1]) + 2)
    left, right = max(0, int(columns[0]) - 1), min(w, int(columns[-1]) + 2)
    box = (..., slice(top, bottom), slice(left, right))
    inside = hole[box[1:]]
    own = torch.arange(h * w, device=hole.device)
    source = torch.where(hole.flatten(), source, own).reshape(h, w)[box[1:]]
    colours = image[0].flatten(1)
    crisp = colours[:, source][None]  # (1, 3, bottom - top, right - left)
    filled = crisp - _blurred((crisp - votes[box]) * inside, CRISP)
    plain = 1 / (1 + (_busyness(filled) / BUSY).square())
    jumps = _jumps(colours, hole, source, inside, plain, 1), _jumps(colours, hole, source, inside, plain, 0)
    filled = filled + seamless(jumps, inside, HOLD)[None]
    inner = 1 - torch.exp(-(depth_of(hole, 3 * round(SHADE))[box[1:]] / SHADE).square())
    filled = filled + leaning * inner * _blurred((smooth[box] - filled) * inside, SHADE)
    result = image.clone()
    result[box] = torch.where(inside, filled.clamp(-1, 1), image[box])
    return result


def _busyness(picture: Tensor) -> Tensor:
    """(1, h, w): the deviation of grey from its surroundings' mean, in a neighbourhood of a few pixels; tells a sky,
    where a seam shows, from a hedge, where it does not."""
    grey = picture.mean(1, keepdim=True)
    detail = (grey - blurred_whole(grey, 3.0)).square()
    return blurred_whole(detail, 3.0).sqrt()[0]


def _jumps(colours: Tensor, hole: Tensor, source: Tensor, inside: Tensor, plain: Tensor, axis: int) -> Tensor:
    """How far the collage's step from each pixel to the next is from the step in the sources themselves: 0 within one
    patch, a jump of tone at a seam. What is more than `MOST_OFF` is another thing, not another tone, and stays.

    Args:
        colours: (3, H * W), the picture's
        hole: (H, W), bool
        source: (h, w), flat positions in it
        inside: (h, w), the collage's hole, bool
        plain: (1, h, w), 0..1, how much of a seam shows
        axis: along which the next pixel lies: 1 to the right, 0 downwards

    Returns: (3, h, w - 1) or (3, h - 1, w)
    """
    width, known = hole.shape[1], ~hole.flatten()
    stride = 1 if axis else width  # from a pixel to the next one in the flat picture
    first, second = (slice(None), slice(None, -1)), (slice(None), slice(1, None))
    if axis == 0:
        first, second = first[::-1], second[::-1]
    ends = inside[first] | inside[second]
    at = ends.flatten().nonzero()[:, 0]  # between two known pixels there is none

    def chosen(plane: Tensor) -> Tensor:
        return plane.flatten().index_select(0, at)

    def colour(pixels: Tensor) -> Tensor:
        return colours.index_select(1, pixels)

    here, there = chosen(source[first]), chosen(source[second])
    beyond = here + stride  # where the first pixel's patch goes on
    before = there - stride  # where the second one's comes from
    last = len(known) - 1
    goes_on = (here % width < width - 1 if axis else beyond <= last) & known[beyond.clamp_max(last)]
    came_from = (there % width > 0 if axis else before >= 0) & known[before.clamp_min(0)]
    onward = torch.where(goes_on, colour(beyond.clamp_max(last)) - colour(there), 0)
    back = torch.where(came_from, colour(here) - colour(before.clamp_min(0)), 0)
    jump = (onward + back) / (goes_on.to(onward) + came_from.to(onward)).clamp_min(1)
    # where both patches end at the hole nobody knows the step: none is the best guess where all is plain
    jump = torch.where(goes_on | came_from, jump, colour(here) - colour(there))
    jump = torch.where(jump.abs().amax(0) <= MOST_OFF, jump, 0)
    jump *= chosen(plain[0][first]).minimum(chosen(plain[0][second]))
    jumps = colours.new_zeros(len(colours), ends.numel())
    jumps[:, at] = jump
    return jumps.unflatten(1, ends.shape)


def blurred_whole(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of a picture whose border is a mirror of nothing: the weights that fall outside are left out."""
    down, across = (torch.ones_like(some) for some in (values[:1, :1, :, :1], values[:1, :1, :1]))
    return _blurred(values, sigma) / (_blurred(down, sigma, (2,)) * _blurred(across, sigma, (3,)))


def _blurred(values: Tensor, sigma: float, axes: tuple[int, ...] = (2, 3)) -> Tensor:
    """Gaussian blur along these axes with zeros all around."""
    radius = round(3 * sigma)
    x = torch.arange(-radius, radius + 1, dtype=values.dtype, device=values.device)
    bell = torch.exp(-x.square() / (2 * sigma * sigma))
    bell = bell / bell.sum()
    # Each piece of a line is one product with a matrix of shifted bells; for a convolution one channel is too few.
    piece = max(16, 2 * radius)
    shifts = F.pad(bell, (0, piece)).repeat(piece)[: piece * (piece + 2 * radius)].view(piece, -1).T
    for axis in axes:
        lines = values.movedim(axis, 3)
        before, length = lines.shape[:3], lines.shape[3]
        pieces = F.pad(lines, (radius, radius + -length % piece)).unfold(3, piece + 2 * radius, piece)
        blurred = pieces.reshape(-1, piece + 2 * radius) @ shifts
        values = blurred.view(*before, -1)[..., :length].movedim(3, axis)
    return values

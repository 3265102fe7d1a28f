"""A collage that follows a layout: the network `layout` decides what goes where, `exemplar` supplies the texture, and
the network `refine` mends what still shows.

The window is seen whole at a low resolution, where the layout network fills it; the collage then prefers patches that
look alike from afar, and takes its shading from the layout. A sketch steers the layout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from retouche.fills import exemplar
from retouche.methods.catalogue import shipped
from retouche.methods.fills import EXEMPLAR
from retouche.methods.layout import OVERVIEW
from retouche.methods.method import Method, at_any_size
from retouche.numerics.laplace import membrane
from retouche.progress import part

FINISHING = 0.15
"""Share of the time that the last network takes; for progress only."""
SKETCHED = 4.0
"""How much more the layout counts where a sketch says what it should be."""
REACH = 6
"""Pixels beside a stroke within which the layout network's own pixels stay."""
SEEN = 64
"""Pixels around the hole that the finishing network is shown: as far as it sees."""
DEEP, INNER = 0.5, 12
"""Share of the collage that stays deep inside, and the depth in pixels at which most of it is reached."""
FEWEST = 64
"""Known pixels below which nothing is known about the layout: the membrane stays."""


def fill(image: Tensor, mask: Tensor, seed: int = 0, sketch: Tensor | None = None) -> Tensor:
    """Fill each sample's hole with patches of its known part, laid out by the network.

    Args:
        image: (N, 3, H, W), -1..1; the hole is not read
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, with at least one known pixel in each sample
        seed: of the random search; the same seed, input and thread count give the same bytes
        sketch: (N, 1, H, W) or (1, 1, H, W), 1 = stroke: where edges should run inside the hole

    Returns: (N, 3, H, W)
    """
    mask = mask.expand(len(image), 1, *image.shape[-2:])
    filled = []
    for number, (sample, hole) in enumerate(zip(image.float().split(1), mask[:, 0] > 0.5, strict=True)):
        strokes = None if sketch is None else sketch[min(number, len(sketch) - 1)][None].float()
        with part(number / len(image), (number + 1) / len(image)):
            filled.append(_fill_one(sample, hole, seed, strokes) if hole.any() else sample)
    return torch.cat(filled).to(image.dtype)


def _fill_one(image: Tensor, hole: Tensor, seed: int, sketch: Tensor | None) -> Tensor:
    """image (1, 3, H, W), hole (H, W) bool -> (1, 3, H, W)"""
    if int((~hole).sum()) < FEWEST:
        return membrane(image, hole[None, None])
    guide = laid_out(image, hole, sketch)
    drawn = None if sketch is None else sketch * hole
    steered = drawn is not None and bool(drawn.any())
    with part(0, 1 - FINISHING):
        random = torch.Generator().manual_seed(seed)
        collage = exemplar.synthesise(image, hole, random, guide, SKETCHED if steered else 1.0)
    result = finished(image, hole, collage)
    if drawn is None or not steered:
        return result
    # the layout network drew the edges that were asked for: beside the strokes its pixels stay
    near = exemplar.blurred_whole(F.max_pool2d(drawn, 2 * REACH + 1, 1, REACH), REACH / 2) * hole
    return result + near * (guide - result)


@torch.no_grad()
def finished(image: Tensor, hole: Tensor, collage: Tensor) -> Tensor:
    """What the network `refine` makes of a collage; it is shown the hole's surroundings as far as it sees.

    Deep inside, where the network knows little and may paint fog or tints, half of the collage stays.

    Args:
        image: (1, 3, H, W), -1..1; the hole is not read
        hole: (H, W), bool
        collage: (1, 3, H, W)

    Returns: (1, 3, H, W)
    """
    network = shipped("refine", image.device)
    rows, columns = hole.any(1).nonzero(), hole.any(0).nonzero()
    near = [slice(max(0, int(at[0]) - SEEN), int(at[-1]) + 1 + SEEN) for at in (rows, columns)]
    here, box = hole[near[0], near[1]], (..., near[0], near[1])
    mask = here[None, None].to(image)
    output = at_any_size(network, image[box].masked_fill(here, 0), mask, structure=collage[box])
    assert output is not None
    depth = exemplar.depth_of(here, 3 * INNER)
    share = DEEP * (1 - torch.exp(-(depth / INNER).square()))
    result = image.clone()
    result[box] = torch.where(here, torch.lerp(output, collage[box], share), image[box])
    return result


@torch.no_grad()
def laid_out(image: Tensor, hole: Tensor, sketch: Tensor | None = None) -> Tensor:
    """The picture with its hole filled by the layout network at a low resolution, enlarged.

    Args:
        image: (1, 3, H, W), -1..1; the hole is not read
        hole: (H, W), bool
        sketch: (1, 1, H, W), 1 = stroke

    Returns: (1, 3, H, W)
    """
    small, small_mask, strokes = _overview(image.masked_fill(hole, 0), hole, sketch)
    result = at_any_size(shipped("layout", image.device), small, small_mask, sketch=strokes)
    assert result is not None
    large = F.interpolate(result, image.shape[-2:], mode="bicubic", align_corners=False).clamp(-1, 1)
    return torch.where(hole, large, image)


def _overview(image: Tensor, hole: Tensor, sketch: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Image, mask and sketch with the longer side at most `OVERVIEW`: only known pixels are averaged, and a small
    pixel that touches the hole is hole; a stroke survives."""
    mask = hole[None, None].to(image)
    longest = max(hole.shape)
    if longest <= OVERVIEW:
        return image, mask, sketch
    height, width = (max(1, round(side * OVERVIEW / longest)) for side in hole.shape)
    size = height, width
    share = F.adaptive_avg_pool2d(1 - mask, size)  # known
    small_mask = F.adaptive_max_pool2d(mask, size)
    if small_mask.all():  # known pixels are few and far between
        small_mask = (share <= 0).to(mask)
    small = F.adaptive_avg_pool2d(image * (1 - mask), size) / share.clamp_min(1e-9)
    return small * (1 - small_mask), small_mask, None if sketch is None else F.adaptive_max_pool2d(sketch, size)


METHOD = Method(
    title="Collage guided by the layout network",
    source="src/retouche/methods/guided.py, layout.py and src/retouche/fills/exemplar.py",
    fill=fill,
    scope=EXEMPLAR.scope,
    conditioning=lambda config: frozenset({"sketch"}),
    networks=("layout", "refine"),
)

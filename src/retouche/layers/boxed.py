"""A chain of convolutions where only a box of its result is wanted: every layer makes what the next one reads, no more.

The same numbers as the chain's own, but for rounding: a border that is the map's own is padded as ever, any other is
no border, the map goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from retouche.image import Box
from retouche.layers.attention import contextual_attention
from retouche.layers.padding import margins
from retouche.layers.two_stage import Chain, Unit
from retouche.masks import components

REACH = 96
"""About how far from a hole DeepFill's layers have to be computed, in pixels, on average over their work."""
MOST = 32
"""Boxes for which it is worth asking which to join."""
WORTH = 0.75
"""Share of the picture from which on the whole of it is quicker."""

Size = tuple[int, int]
Read = Callable[[Box], Tensor]
"""A box of a map -> that part of it, (N, C, bottom - top, right - left)"""


@dataclass(frozen=True)
class Span:
    """What of one side of a map a layer reads to make some places of its result.

    Attributes:
        first, last: places that are read, the last exclusive
        before, after: places padded there
        skip: places that are made before the first wanted one
    """

    first: int
    last: int
    before: int
    after: int
    skip: int


def boxed(chain: Chain, read: Read, size: Size, box: Box) -> Tensor:
    """A box of what the chain makes.

    Args:
        chain: of gated or plain convolutions
        read: the map that comes in
        size: its height and width
        box: of the map that goes out

    Returns: (N, outputs, bottom - top, right - left)
    """
    units: list[Unit] = list(chain.children())  # type: ignore[arg-type]
    sizes = [size]
    for unit in units:
        sizes.append(_made(unit, sizes[-1]))
    boxes = [box]
    for unit, before in zip(reversed(units), reversed(sizes[:-1]), strict=True):
        across, down = _spans(unit, before, boxes[0])
        grow = 2 if unit.upsample else 1
        boxes.insert(0, (across.first // grow, down.first // grow, -(across.last // -grow), -(down.last // -grow)))
    x = read(boxes[0])
    for unit, before, begun, wanted in zip(units, sizes, boxes, boxes[1:], strict=False):
        x = _unit(unit, x, before, begun, wanted)
    return x


class Stages(Protocol):
    """The five chains of a coarse and a refining network."""

    coarse: Chain
    hallucinate: Chain
    match: Chain
    attended: Chain
    decode: Chain


def both_stages(
    network: Stages,
    first: Tensor,
    second: Callable[[Tensor, Tensor], Tensor],
    end: Callable[[Tensor], Tensor],
    mask: Tensor,
    boxes: Sequence[Box],
    variant: str,
) -> Tensor:
    """What two stages make of their boxes; only the branch that is matched sees the whole picture.

    Args:
        network: whose chains
        first: (N, C, H, W), what the coarse network sees; begins with the picture, its hole blank
        second: (first, coarse picture) -> what the refining network sees, whose known places are the picture's own
        end: what brings a picture into -1..1
        mask: (N, 1, H, W), 1 = hole
        boxes: of the picture, hold all of the hole
        variant: of contextual attention

    Returns: (N, 3, H, W), outside the boxes the picture as it came in
    """
    size = (first.shape[2], first.shape[3])
    quarter = (size[0] // 4, size[1] // 4)
    coarse = first[:, :3].clone()
    for box in boxes:
        _part(coarse, box).copy_(end(boxed(network.coarse, lambda there: _part(first, there), size, box)))
    seen = second(first, coarse)
    matched = network.match(seen)

    def features(box: Box) -> Tensor:
        """What both branches make, of a box at a quarter of the size."""
        hallucinated = boxed(network.hallucinate, lambda there: _part(seen, there), size, box)
        attended = boxed(
            network.attended, lambda there: contextual_attention(matched, mask, variant, there), quarter, box
        )
        return torch.cat([hallucinated, attended], 1)

    refined = seen[:, :3].clone()
    for box in boxes:
        _part(refined, box).copy_(end(boxed(network.decode, features, quarter, box)))
    return refined


def _part(x: Tensor, box: Box) -> Tensor:
    return x[..., box[1] : box[3], box[0] : box[2]]


def _made(unit: Unit, size: Size) -> Size:
    stride, grow = unit.margins[1], 2 if unit.upsample else 1
    height, width = (-(grow * side // -stride) for side in size)
    return height, width


def _spans(unit: Unit, size: Size, wanted: Box) -> tuple[Span, Span]:
    """Across and down, of the map after it is doubled, where the unit does that."""
    grow = 2 if unit.upsample else 1
    across = _span(unit, grow * size[1], wanted[0], wanted[2])
    return across, _span(unit, grow * size[0], wanted[1], wanted[3])


def _span(unit: Unit, length: int, first: int, last: int) -> Span:
    kernel, stride, dilation, rule = unit.margins
    start = first * stride - margins(length, kernel, stride, dilation, rule)[0]
    stop = start + (last - 1 - first) * stride + (kernel - 1) * dilation + 1
    before, after = max(-start, 0), max(stop - length, 0)
    begun, low, high = max(start, 0), max(start, 0), min(stop, length)
    if rule == "reflect":  # what stands in for places beyond the border is read, too
        high = max(high, before + 1 if before else 0)
        low = min(low, length - 1 - after if after else length)
    skip = -((begun - low) // -stride)
    return Span(begun - skip * stride, high, before, after, skip)


def _unit(unit: Unit, x: Tensor, size: Size, begun: Box, wanted: Box) -> Tensor:
    """The unit's result in a box, from the part of its input that begins at the corner of `begun`."""
    across, down = _spans(unit, size, wanted)
    kernel, stride, dilation, rule = unit.margins
    left, top = across.skip, down.skip
    if unit.upsample and rule != "reflect" and kernel % 2 and stride == dilation == 1:
        # made from the small map; wrong beside its edges, which the layer takes for borders, but that is not wanted
        x = unit.conv(x)
        left, top = wanted[0] - 2 * begun[0], wanted[1] - 2 * begun[1]
    else:
        if unit.upsample:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = x[..., down.first - 2 * begun[1] :, across.first - 2 * begun[0] :]
            x = x[..., : down.last - down.first, : across.last - across.first]
        x = unit.conv(x, (across.before, across.after, down.before, down.after))
    made = unit.activate(x)
    return made[..., top : top + wanted[3] - wanted[1], left : left + wanted[2] - wanted[0]]


def worthwhile(mask: np.ndarray) -> list[Box] | None:
    """Boxes around the holes, to be made one by one; None where the whole picture is quicker.

    Args:
        mask: (H, W) bool, True = hole, some of it
    """
    boxes = components(mask, REACH // 2)
    if len(boxes) > MOST:
        boxes = [_union(boxes)]
    cheaper = True
    while cheaper:  # two whose surroundings overlap much are one
        cheaper = False
        for one, two in combinations(boxes, 2):
            if _cost([_union([one, two])], mask.shape) <= _cost([one, two], mask.shape):
                boxes = [_union([one, two]), *(box for box in boxes if box not in (one, two))]
                cheaper = True
                break
    return boxes if _cost(boxes, mask.shape) < WORTH * mask.size else None


def _union(boxes: Sequence[Box]) -> Box:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _cost(boxes: Sequence[Box], size: tuple[int, ...]) -> int:
    """Pixels that are made for these boxes."""
    return sum(
        (min(right + REACH, size[1]) - max(left - REACH, 0)) * (min(bottom + REACH, size[0]) - max(top - REACH, 0))
        for left, top, right, bottom in boxes
    )

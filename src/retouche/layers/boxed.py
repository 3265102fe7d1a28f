"""A chain of convolutions where only a box of its result is wanted: every layer makes what the next one reads, no more.

The same numbers as the chain's own, but for rounding: a border that is the map's own is padded as ever, any other is
no border, the map goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from retouche.image import Box, union
from retouche.layers.attention import contextual_attention
from retouche.layers.two_stage import Chain, Size, Unit
from retouche.masks import components

REACH = 96
"""About how far from a hole DeepFill's layers have to be computed, in pixels, on average over their work."""
MOST = 32
"""Boxes for which it is worth asking which to join."""
WORTH = 0.75
"""Share of the picture from which on the whole of it is quicker."""

Read = Callable[[Box], Tensor]
"""A box of a map -> that part of it, (N, C, bottom - top, right - left)"""


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
        sizes.append(unit.made(sizes[-1]))
    boxes = [box]
    for unit, before in zip(reversed(units), reversed(sizes[:-1]), strict=True):
        boxes.insert(0, unit.reads(before, boxes[0]))
    x = read(boxes[0])
    for unit, before, begun, wanted in zip(units, sizes, boxes, boxes[1:], strict=False):
        x = unit.part(x, before, begun, wanted)
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


def worthwhile(mask: np.ndarray, cost: Callable[[Sequence[Box], Size], float]) -> list[Box] | None:
    """Boxes around the holes, to be made one by one; None where the whole picture is quicker.

    Args:
        mask: (H, W) bool, True = hole, some of it
        cost: (boxes, height and width) -> pixels of a whole pass that take as long
    """
    size = (mask.shape[0], mask.shape[1])
    boxes = components(mask, REACH // 2)
    if len(boxes) > MOST:
        boxes = [union(boxes)]
    cheaper = True
    while cheaper:  # two whose surroundings overlap much are one
        cheaper = False
        for one, two in combinations(boxes, 2):
            if cost([union([one, two])], size) <= cost([one, two], size):
                boxes = [union([one, two]), *(box for box in boxes if box not in (one, two))]
                cheaper = True
                break
    return boxes if cost(boxes, size) < WORTH * mask.size else None


def cost_of_stages(boxes: Sequence[Box], size: Size) -> int:
    """Pixels that two stages make for these boxes."""
    return sum(
        (min(right + REACH, size[1]) - max(left - REACH, 0)) * (min(bottom + REACH, size[0]) - max(top - REACH, 0))
        for left, top, right, bottom in boxes
    )

"""Which boxes of each size a U-Net computes where only boxes of its picture are wanted.

Level i of a picture has sides of 2**-i of its own; sides divide by 2**levels. An encoder's layer i makes level i + 1 of
level i with stride 2; a decoder's layer i doubles level i + 1, joins it with the encoder's level i, and convolves both
3x3. Both pad with zeros. A layer that is given a box pads it as if the map ended there: what is wrong for that beside
the box's edges is not wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from retouche.image import Box, union

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Step:
    """What one layer is given and what of its result is wanted: boxes of the levels before and after it."""

    given: Box
    wanted: Box


def decoder_steps(box: Box, levels: int, size: Size) -> list[Step]:
    """The decoder's steps, by level, to make a box of the picture; both boxes of a step are of its own level."""
    steps = []
    for level in range(levels):
        given = _doubled(halved(grown(box, 1, _size(size, level))))
        steps.append(Step(given, box))
        box = halved(given)
    return steps


def encoder_steps(wanted: Sequence[Box], kernels: Sequence[int], size: Size) -> list[Step]:
    """The encoder's steps to make a box of each level.

    Args:
        wanted: from the picture itself to the deepest level
        kernels: odd, of each layer
    """
    boxes = list(wanted)
    steps: list[Step] = []
    for level in reversed(range(len(kernels))):
        made = grown(boxes[level + 1], (kernels[level] + 1) // 4, _size(size, level + 1))
        given = _doubled(made)
        boxes[level] = union([boxes[level], given])
        steps.insert(0, Step(given, boxes[level + 1]))
    return steps


def grown(box: Box, by: int, size: Size) -> Box:
    """With so many places more on each side, as far as the map goes."""
    left, top, right, bottom = box
    return max(left - by, 0), max(top - by, 0), min(right + by, size[1]), min(bottom + by, size[0])


def halved(box: Box) -> Box:
    """What half as large a map has beneath a box."""
    left, top, right, bottom = box
    return left // 2, top // 2, -(right // -2), -(bottom // -2)


def cut(x: Tensor, begun: Box, wanted: Box) -> Tensor:
    """A box of a map of which `x` is the part that begins at the corner of another."""
    left, top = wanted[0] - begun[0], wanted[1] - begun[1]
    return x[..., top : top + wanted[3] - wanted[1], left : left + wanted[2] - wanted[0]]


def _doubled(box: Box) -> Box:
    left, top, right, bottom = box
    return 2 * left, 2 * top, 2 * right, 2 * bottom


def _size(size: Size, level: int) -> Size:
    return size[0] >> level, size[1] >> level

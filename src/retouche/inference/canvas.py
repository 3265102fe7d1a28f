"""Room at a picture's sides is filled in bands, from the picture outwards, each beside its own mirror image.

What lies at a border is known at one side only, and a network that fills holes within pictures is lost there: it paints
fog, in other colours. So a band is shown as the middle of a picture that goes on mirrored behind it, a hole of twice
its depth between what is known and its mirror image, of which the nearer half is kept. Each band is planned on a canvas
that ends with it, and knows those before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from retouche.image import Box
from retouche.inference.strategy import Region, Window

BAND = 1.0
"""Depth of a band at most, in parts of the picture's shorter side."""
THINNEST = 32
"""Pixels below which no band is divided."""

LEFT, TOP, RIGHT, BOTTOM = range(4)


class CanvasPart(NamedTuple):
    """A canvas that is filled next.

    Attributes:
        box: in the whole
        side: where it is new: 0 left, 1 top, 2 right, 3 bottom; None = the old picture
    """

    box: Box
    side: int | None


def canvases(size: tuple[int, int], room: tuple[int, int, int, int]) -> list[CanvasPart]:
    """The old picture and the growing canvases up to the whole.

    Args:
        size: (height, width) of the whole
        room: pixels added at the left, top, right and bottom
    """
    height, width = size
    left, top, right, bottom = room
    box = [left, top, width - right, height - bottom]
    deepest = max(THINNEST, int(BAND * min(box[2] - box[0], box[3] - box[1])))
    found = [CanvasPart((box[0], box[1], box[2], box[3]), None)]
    for side, end in ((LEFT, 0), (RIGHT, width), (TOP, 0), (BOTTOM, height)):
        start = box[side]
        bands = -(-abs(end - start) // deepest)
        for number in range(1, bands + 1):
            box[side] = start + round((end - start) * number / bands)
            found.append(CanvasPart((box[0], box[1], box[2], box[3]), side))
    return found


def doubled(hole: np.ndarray, side: int | None) -> np.ndarray:
    """A part's hole (h, w) and, behind its new side, its mirror image, without repeating the border."""
    if side is None:
        return hole
    axis = 1 if side in (LEFT, RIGHT) else 0
    behind = np.flip(hole, axis)
    behind = behind[:, :-1] if axis and side == LEFT else behind[:, 1:] if axis else behind
    behind = behind[:-1] if side == TOP else behind[1:] if side == BOTTOM else behind
    return np.concatenate([hole, behind] if side in (RIGHT, BOTTOM) else [behind, hole], axis)


def nearer(values: np.ndarray, shape: tuple[int, ...], side: int | None) -> np.ndarray:
    """Of what `doubled` made, the part itself, of this shape."""
    rows = slice(-shape[0], None) if side == TOP else slice(shape[0])
    columns = slice(-shape[1], None) if side == LEFT else slice(shape[1])
    return values[rows, columns]


def placed(region: Region, part: CanvasPart) -> Region | None:
    """A region planned on a doubled part, in the whole's coordinates: it pastes into the part alone, and its crops
    reach behind it; None where nothing of it lies in the part."""
    left, top, right, bottom = part.box
    across = left - (right - left - 1 if part.side == LEFT else 0)
    down = top - (bottom - top - 1 if part.side == TOP else 0)
    box = _cut(_moved(region.box, across, down), part.box)
    windows = tuple(
        Window(_moved(each.crop, across, down), target)
        for each in region.windows
        if (target := _cut(_moved(each.target, across, down), part.box)) is not None
    )
    if box is None or not windows:
        return None
    strategy = "crop" if part.side is not None and region.strategy == "whole" else region.strategy
    return replace(region, box=box, windows=windows, strategy=strategy)


def _moved(box: Box, across: int, down: int) -> Box:
    return box[0] + across, box[1] + down, box[2] + across, box[3] + down


def _cut(box: Box, part: Box) -> Box | None:
    """What of a box lies in a part; None where nothing does."""
    found = max(box[0], part[0]), max(box[1], part[1]), min(box[2], part[2]), min(box[3], part[3])
    return found if found[0] < found[2] and found[1] < found[3] else None

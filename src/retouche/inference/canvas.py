"""Room at a picture's sides is filled in bands, from the picture outwards.

What lies at a border is known at one side only, so that a network which fills a hole of some size well is lost in a
band as deep: it paints fog. Each band is planned on a canvas that ends with it, and knows those before it.
"""

from __future__ import annotations

from dataclasses import replace

from retouche.image import Box
from retouche.inference.strategy import Region, Window

BAND = 0.2
"""Depth of a band at most, in parts of the picture's shorter side."""
THINNEST = 32
"""Pixels below which no band is divided."""


def canvases(size: tuple[int, int], room: tuple[int, int, int, int]) -> list[Box]:
    """The old picture and the growing canvases up to the whole, as boxes of the whole: left, right, top, bottom.

    Args:
        size: (height, width) of the whole
        room: pixels added at the left, top, right and bottom
    """
    height, width = size
    left, top, right, bottom = room
    box = [left, top, width - right, height - bottom]
    deepest = max(THINNEST, int(BAND * min(box[2] - box[0], box[3] - box[1])))
    found = [(box[0], box[1], box[2], box[3])]
    for side, end in ((0, 0), (2, width), (1, 0), (3, height)):
        start = box[side]
        bands = -(-abs(end - start) // deepest)
        for number in range(1, bands + 1):
            box[side] = start + round((end - start) * number / bands)
            found.append((box[0], box[1], box[2], box[3]))
    return found


def moved(region: Region, across: int, down: int) -> Region:
    """A region planned on a part of the picture, in the picture's own coordinates."""
    windows = tuple(
        Window(_moved(each.crop, across, down), _moved(each.target, across, down)) for each in region.windows
    )
    return replace(region, box=_moved(region.box, across, down), windows=windows)


def _moved(box: Box, across: int, down: int) -> Box:
    return box[0] + across, box[1] + down, box[2] + across, box[3] + down

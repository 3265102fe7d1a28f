"""How a hole of any size is brought before a method that is at home with one size: whole, crop, scale, tile.

Pure geometry: from the hole, the method's `Scope` and a memory budget follow the windows to read and the parts of
them to paste. Nothing here depends on the machine's free memory, so the same call plans the same windows everywhere.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retouche.image import Box, area, union
from retouche.masks import components, dilate, squared
from retouche.methods.method import Scope

MEMORY_BYTES = 2 << 30
"""Default budget for one pass of a network, beside the picture itself."""
MARGIN = 16
"""Known surroundings that every window shows around what it pastes, in pixels at the method's scale."""
OVERVIEW = 256
"""Even the smallest hole is shown with this many pixels around it, seen at the method's scale."""

CPU_PIXELS = 1 << 16
"""Pixels that a network gets together on a CPU. Four windows of 128x128 take 0.87 (deepfill-v2) and 0.87 (aot-gan) of
their time one by one, eight 0.99 and 0.92; from 256x256 on a batch gains nothing, or loses (mi-gan 1.3) as caches
overflow. A GPU takes what memory allows."""


@dataclass(frozen=True)
class Window:
    """One pass: read `crop`, seen at `scale`, and paste the prediction inside `target`."""

    crop: Box
    target: Box


@dataclass(frozen=True)
class Region:
    """How one group of holes is filled.

    Attributes:
        box: the holes' bounding box in the picture, pixels
        strategy: "whole" (the picture is one crop), "crop", "scale" (the crop is shrunk), "tile" (several windows at
            full resolution), "scale and tile", or "centre" (the crop a centre-hole network wants)
        scale: size the method sees / size in the picture, at most 1
        windows: the passes, in order
    """

    box: Box
    strategy: str
    scale: float
    windows: tuple[Window, ...]


def affordable_pixels(scope: Scope, memory: int) -> int:
    """Pixels of the largest crop whose pass stays within `memory` bytes: solves a p + b p^2 = memory."""
    a, b = scope.pixel_bytes, scope.square_bytes
    pixels = memory / a if b == 0 else (math.sqrt(a * a + 4 * b * memory) - a) / (2 * b)
    return max(int(pixels), 64 * 64)


def together(size: tuple[int, int], scope: Scope, memory: int, device: str) -> int:
    """How many windows one pass of a network takes, at least 1.

    Args:
        size: height and width of each as the network takes it, pixels
        device: "cpu", "cuda", ...
    """
    pixels = size[0] * size[1]
    most = int(memory / (scope.pixel_bytes * pixels + scope.square_bytes * pixels**2))
    if device == "cpu":
        most = min(most, CPU_PIXELS // pixels)
    return max(1, most)


def plan(hole: np.ndarray, scope: Scope, memory: int = MEMORY_BYTES) -> list[Region]:
    """Regions that together cover every hole pixel.

    Args:
        hole: (H, W) bool, True = hole, after dilation
        scope: what the method can see and fill
        memory: bytes one pass may take
    """
    if scope.centre is not None:
        side, centre = scope.centre
        return [_centred(box, side, centre) for box in _gathered(components(hole, 0), centre)]
    gap = min(64, scope.side // 8)  # holes this near share a crop
    return _shared([_region(hole, box, scope, memory) for box in components(hole, gap)], hole.shape)


def _gathered(boxes: Sequence[Box], side: int) -> list[Box]:
    """Boxes joined where together they fit a square of this side: strip by strip, each from left to right."""
    joined = []
    waiting = sorted(boxes, key=lambda box: box[1])
    while waiting:
        floor = max(waiting[0][1] + side, waiting[0][3])
        strip = [box for box in waiting if box[3] <= floor]
        waiting = [box for box in waiting if box[3] > floor]
        group: Box | None = None
        for box in sorted(strip):
            wider = box if group is None else union([group, box])
            if group is not None and max(wider[2] - wider[0], wider[3] - wider[1]) > side:
                joined.append(group)
                wider = box
            group = wider
        assert group is not None  # the strip holds at least the topmost box
        joined.append(group)
    return joined


def _centred(box: Box, side: int, centre: int) -> Region:
    """A square around the hole's middle, possibly reaching beyond the picture, in which the hole fits the centre."""
    left, top, right, bottom = box
    extent = max(right - left, bottom - top)
    factor = max(1.0, extent / centre)
    length = math.ceil(side * factor)
    x, y = (left + right - length) // 2, (top + bottom - length) // 2
    return Region(box, "centre", side / length, (Window((x, y, x + length, y + length), box),))


def _shared(regions: list[Region], size: tuple[int, ...]) -> list[Region]:
    """Regions without those that a larger region's only window shows anyway, with enough around them."""
    order = sorted(regions, key=lambda region: -area(region.windows[0].crop))
    kept: list[Region] = []
    for region in order:
        for index, host in enumerate(kept):
            if host.scale == region.scale == 1 and len(host.windows) == 1 and _shows(host, region.box, size):
                box = union([host.windows[0].target, region.box])
                kept[index] = Region(box, host.strategy, 1.0, (Window(host.windows[0].crop, box),))
                break
        else:
            kept.append(region)
    return kept


def _shows(host: Region, box: Box, size: tuple[int, ...]) -> bool:
    """Whether the host's crop holds the box with a margin, except where the picture ends."""
    crop, ends = host.windows[0].crop, (0, 0, size[1], size[0])
    return all(
        (inside - outside if side < 2 else outside - inside) >= (0 if outside == end else MARGIN)
        for side, (inside, outside, end) in enumerate(zip(box, crop, ends, strict=True))
    )


def _region(hole: np.ndarray, box: Box, scope: Scope, memory: int) -> Region:
    height, width = hole.shape
    left, top, right, bottom = box
    thick = thickness(hole[top:bottom, left:right])
    # Shrunk though a network that is local could make this hole at full size: it would be a larger one than it learned
    # to fill. Of our own networks on six photographs with a hole of 240 pixels (PSNR in dB, band error in octaves):
    # layout, which knows 120, full size 16.76 and 2.88, shrunk to 96 pixels 17.12 and 2.90; thin 16.84 and 2.18, shrunk
    # to 120 16.99 and 2.21. Within what a network knows shrinking loses: layout, 100 pixels, 17.04 and 3.08, to 62
    # pixels 16.80 and 3.19.
    scale = min(1.0, scope.hole / thick)
    # lengths in the picture from here on; what the method sees is `scale` times as long
    longest = scope.side / scale
    room = min(longest, math.sqrt(affordable_pixels(scope, memory)) / scale)  # side of a square window
    context = scope.context * min(max(right - left, bottom - top), thick)
    needed = [min(extent + 2 * max(MARGIN / scale, 0.25 * thick), full) for extent, full in _axes(box, width, height)]
    fits = max(needed) <= longest and needed[0] * needed[1] <= room * room
    if fits:
        wanted = [
            min(max(extent + 2 * context, min(longest / 2, OVERVIEW / scale)), longest, full)
            for extent, full in _axes(box, width, height)
        ]
        spare = math.sqrt(min(1.0, room * room / (wanted[0] * wanted[1])))
        size = [max(need, want * spare) for need, want in zip(needed, wanted, strict=True)]
        if max(width, height) <= longest and width * height <= min(2 * size[0] * size[1], room * room):
            size = [width, height]  # a crop would spare too little to be worth losing the overview
        # no window is seen larger than the method knows: what exceeds `longest` by a part of a pixel is cut
        across, down = (min(math.ceil(side), int(longest + 1e-6)) for side in size)
        crop = _around(box, across, down, width, height)
        windows: tuple[Window, ...] = (Window(crop, box),)
    else:
        windows = _tiles(hole, box, int(room), round(scope.reach / scale))
    if scale < 1:
        strategy = "scale" if fits else "scale and tile"
    else:
        strategy = "tile" if not fits else "whole" if windows[0].crop == (0, 0, width, height) else "crop"
    return Region(box, strategy, scale, windows)


def _axes(box: Box, width: int, height: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return ((box[2] - box[0], width), (box[3] - box[1], height))


def _around(box: Box, crop_width: int, crop_height: int, width: int, height: int) -> Box:
    """A crop of this size with the box in its middle, moved inward where it would leave the picture."""
    crop_width, crop_height = min(crop_width, width), min(crop_height, height)
    left = min(max((box[0] + box[2] - crop_width) // 2, 0), width - crop_width)
    top = min(max((box[1] + box[3] - crop_height) // 2, 0), height - crop_height)
    return left, top, left + crop_width, top + crop_height


def _tiles(hole: np.ndarray, box: Box, side: int, reach: int = 0) -> tuple[Window, ...]:
    """Overlapping windows over a box, row by row; `in_turn` orders them."""
    height, width = hole.shape
    step = max(1, side // 2, side - 2 * reach if reach else 0)
    found = []
    for y in range(box[1], box[3], step):
        for x in range(box[0], box[2], step):
            target = (x, y, min(x + step, box[2]), min(y + step, box[3]))
            if not hole[target[1] : target[3], target[0] : target[2]].any():
                continue
            found.append(Window(_around(target, side, side, width, height), target))
    return tuple(found)


def in_turn(windows: Sequence[Window], unknown: np.ndarray) -> Iterator[Window]:
    """Each window once, always the one that knows most of what it shows by then, so that it leans on what is filled.

    Args:
        windows: of one region
        unknown: (H, W), True = unknown; brought up to date by the caller while a window is in hand
    """
    reach = max((max(crop[2] - crop[0], crop[3] - crop[1]) for crop in (each.crop for each in windows)), default=1)
    near: dict[tuple[int, int], list[int]] = defaultdict(list)  # windows by where they paste, in cells of `reach`
    for number, window in enumerate(windows):
        near[window.target[0] // reach, window.target[1] // reach].append(number)
    shares = [_share(unknown, window.crop) for window in windows]
    waiting = [(share, number) for number, share in enumerate(shares)]
    heapq.heapify(waiting)
    done = [False] * len(windows)
    while waiting:
        share, number = heapq.heappop(waiting)
        if done[number] or share != shares[number]:  # there is a newer entry of it
            continue
        done[number] = True
        yield windows[number]
        filled = windows[number].target
        x, y = filled[0] // reach, filled[1] // reach
        # a crop that shows what was filled is at most `reach` wide, so its target is no further than two cells away
        for cell in ((x + dx, y + dy) for dy in range(-2, 3) for dx in range(-2, 3)):
            for other in near.get(cell, ()):
                if not done[other] and _overlap(windows[other].crop, filled):
                    shares[other] = _share(unknown, windows[other].crop)
                    heapq.heappush(waiting, (shares[other], other))


def _share(unknown: np.ndarray, crop: Box) -> float:
    """Unknown pixels / all pixels of the crop as far as it is inside the picture."""
    inside = unknown[max(0, crop[1]) : crop[3], max(0, crop[0]) : crop[2]]
    return np.count_nonzero(inside) / inside.size


def _overlap(one: Box, two: Box) -> bool:
    return one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]


def with_something_known(window: Window, scale: float, unknown: np.ndarray) -> tuple[Window, float]:
    """The window itself, or, where all it shows is unknown, one doubled about its middle until it shows something.

    No more pixels are seen than before, and no longer side: the scale falls as the window grows.

    Args:
        window: may reach beyond the picture
        scale: size seen / size in the picture
        unknown: (H, W), True = unknown, not everywhere

    Returns: the window and its scale
    """
    height, width = unknown.shape
    left, top, right, bottom = crop = window.crop
    beyond = left < 0 or top < 0 or right > width or bottom > height
    while _share(unknown, crop) == 1:
        across, down = 2 * (crop[2] - crop[0]), 2 * (crop[3] - crop[1])
        if beyond:  # a network of one size: what it sees stays a square of that size
            x, y = (left + right - across) // 2, (top + bottom - down) // 2
            crop = (x, y, x + across, y + down)
        else:
            crop = _around(window.crop, across, down, width, height)
    fewer = math.sqrt((right - left) * (bottom - top) / area(crop))
    shorter = max(right - left, bottom - top) / max(crop[2] - crop[0], crop[3] - crop[1])
    return Window(crop, window.target), scale * min(fewer, shorter)


def thickness(hole: np.ndarray) -> float:
    """How thick a hole is, in pixels: about twice the largest distance from a hole pixel to the nearest known one.

    Args:
        hole: (h, w) bool, cut to its bounding box; beyond the box counts as known

    Returns: at least the true thickness, at most 1.5 times it; never more than the longer side
    """
    known = np.pad(~hole, 1, constant_values=True)
    # halving keeps the measurement cheap on holes of many megapixels; nothing finer is needed
    factor = 1
    while known.size > 1 << 20:
        trimmed = known[: known.shape[0] // 2 * 2, : known.shape[1] // 2 * 2]
        known = trimmed[::2, ::2] | trimmed[1::2, ::2] | trimmed[::2, 1::2] | trimmed[1::2, 1::2]
        known = np.pad(known, 1, constant_values=True)
        factor *= 2
    radius = 2
    while not _within(known, radius):
        radius = math.ceil(radius * 1.4)
    return float(min(2 * radius * factor, max(hole.shape)))


def _within(known: np.ndarray, radius: int) -> bool:
    """Whether no pixel is farther than `radius` from a known one."""
    # squares in the disc and around it are cheap, and mostly enough to know
    inner = int(radius / math.sqrt(2))
    near = squared(known, inner)
    if near.all():
        return True
    if not squared(known, radius).all():
        return False
    y, x = np.nonzero(~near)
    down, right = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    ring = (np.maximum(abs(down), abs(right)) > inner) & (down * down + right * right <= radius * radius)
    steps = np.argwhere(ring) - radius
    if len(steps) * y.size > known.size:
        return bool(dilate(known, radius).all())
    for dy, dx in steps:  # what a place beyond the edge is moved to is nearer still
        if not y.size:
            break
        far = ~known[(y + dy).clip(0, known.shape[0] - 1), (x + dx).clip(0, known.shape[1] - 1)]
        y, x = y[far], x[far]
    return y.size == 0

"""The date that a camera has written into a corner of a photograph: glowing digits, orange, yellow or red.

Its strokes are narrow, warm and brighter in red than what is around them, so that a top-hat transform of red minus blue
keeps them alone; they make glyphs of one height in one row, along the picture or, in one that was turned, across. Over
a folder the place and the size repeat while the digits change: what is found in one picture says where to look in the
others, and what stands elsewhere is no date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from retouche.finders.planes import Floats, box_sum, spots, touching
from retouche.image import Box
from retouche.masks import Mask, components, dilate

SIDE = 800
"""The shorter side of the copy in which a date is looked for, pixels."""
STROKE = 0.009
"""Half the widest stroke, in parts of the shorter side."""
HEIGHT = (0.009, 0.06)
"""Of the digits, in parts of the shorter side."""
CONTRAST = 0.2
"""Of red minus blue, of white, that a stroke has at least beside what is around it."""
WARM = 0.25
"""And red minus blue itself."""
RUNS = 4
"""Whole glyphs side by side at least, of a day, a month and a year of two digits each: some may be lost."""
PITCH = 1.3
"""And at most, in a length of one height: digits are narrower than high, but there are gaps between them."""
LONG = (4.2, 14.0)
"""Length of the row, in heights of a digit."""
GAPS = (0.002, 0.005, 0.009)
"""Between the strokes of one digit, in parts of the shorter side: each is tried."""
BRIGHT, RED, PURE = 0.25, 0.6, 0.36
"""Of the strokes' brightest tenth the contrast; of its brightest two fifths the red, and red minus blue: at least."""
ALONE = 0.15
"""Share of strokes around the row, of that inside it, at most."""
INK = (0.12, 0.5)
"""Share of the row's box that is stroke."""
SAME = 0.22
"""How far the strokes' colour may vary: root mean square of (green - blue) / (red - blue)."""
BAND, REACH = 0.22, 0.55
"""How far the row lies from the near side at most, and reaches from the side it begins at, in parts of the picture."""
REPEATS = 3
"""Pictures of a folder in which a date is found at one place before the others are asked about that place."""


@dataclass(frozen=True)
class Row:
    """Where a date stands.

    Attributes:
        box: of the digits, pixels
        height: of a digit, pixels: the box's shorter side
        score: how sure it is: glyphs times contrast
    """

    box: Box
    height: float
    score: float


@dataclass(frozen=True)
class DatePosition:
    """Where dates of a folder stand: a row's box from the corner that it is nearest to, in shorter sides.

    Attributes:
        corner: (right, bottom) as 0 or 1
        near, far: the box's nearest and farthest point (x, y), both from that corner
    """

    corner: tuple[int, int]
    near: tuple[float, float]
    far: tuple[float, float]

    def box(self, height: int, width: int) -> Box:
        """In a picture of this size."""
        side = min(height, width)
        ends = []
        for axis, length in enumerate((width, height)):
            pair = sorted((self.near[axis] * side, self.far[axis] * side))
            ends.append([length - x for x in reversed(pair)] if self.corner[axis] else pair)
        return round(ends[0][0]), round(ends[1][0]), round(ends[0][1]), round(ends[1][1])


def find_row(image: NDArray[np.floating], place: DatePosition | None = None) -> Row | None:
    """The date of one picture; None where there is none.

    Args:
        image: (H, W, 3), 0..1
        place: where the folder's other dates stand: there half the contrast and half the glyphs are enough
    """
    factor = max(1, round(min(image.shape[:2]) / SIDE))
    small = _shrunk(image, factor)
    height, width = small.shape[:2]
    side = min(height, width)
    hat = _glow(small, max(2, round(STROKE * side)))
    ease = 1.0 if place is None else 0.5
    zone = np.ones(hat.shape, np.bool_)
    if place is not None:
        left, top, right, bottom = place.box(height, width)
        margin = bottom - top if bottom - top < right - left else right - left
        zone[:] = False
        zone[max(0, top - margin) : bottom + margin, max(0, left - margin) : right + margin] = True
    core = (hat > CONTRAST * ease) & zone & (box_sum((hat > CONTRAST * ease).astype(np.float32), 1) >= 3)
    ink = touching((hat > CONTRAST * ease / 2) & zone, core)
    upright = _rows(ink, hat, small, ease)
    across = _rows(ink.swapaxes(0, 1), hat.swapaxes(0, 1), small.swapaxes(0, 1), ease)
    found = [row for row in (*upright, *map(_turned, across)) if _in_a_corner(row.box, height, width)]
    if not found:
        return None
    best = max(found, key=lambda row: row.score)
    left, top, right, bottom = (factor * end for end in best.box)
    return Row((left, top, min(right, image.shape[1]), min(bottom, image.shape[0])), best.height * factor, best.score)


def date_mask(image: NDArray[np.floating], row: Row) -> Mask:
    """The digits of a row with their glow.

    Args:
        image: (H, W, 3), 0..1, in which the row was found

    Returns: (H, W)
    """
    left, top, right, bottom = row.box
    margin = round(0.6 * row.height)
    height, width = image.shape[:2]
    y, x = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
    radius = max(2, round(STROKE * min(height, width)))
    wide = (
        slice(max(0, y.start - 2 * radius), y.stop + 2 * radius),
        slice(max(0, x.start - 2 * radius), x.stop + 2 * radius),
    )
    hat = _glow(image[wide], radius)
    inner = hat[y.start - wide[0].start :, x.start - wide[1].start :][: y.stop - y.start, : x.stop - x.start]
    strong = float(np.quantile(inner[inner > CONTRAST / 4], 0.9)) if (inner > CONTRAST / 4).any() else CONTRAST
    mask = np.zeros((height, width), np.bool_)
    level = min(CONTRAST / 2, 0.25 * strong)
    mask[y, x] = touching(inner > level, inner > 2 * level)
    return dilate(mask, max(1, round(0.08 * row.height)))


def common_place(rows: Sequence[Row | None], sizes: Sequence[tuple[int, int]]) -> DatePosition | None:
    """Where the dates of a folder stand; None where no place repeats.

    Args:
        rows: of each picture
        sizes: (height, width) of each
    """
    places = [place_of(row, *size) for row, size in zip(rows, sizes, strict=True) if row is not None]
    if not places:
        return None
    votes = [[other for other in places if _alike(place, other)] for place in places]
    most = max(votes, key=len)
    if len(most) < min(REPEATS, len(rows)) or 2 * len(most) <= len(places):
        return None
    near = [sorted(place.near[axis] for place in most)[len(most) // 2] for axis in (0, 1)]
    far = [max(place.far[axis] for place in most) for axis in (0, 1)]
    return DatePosition(most[0].corner, (near[0], near[1]), (far[0], far[1]))


def place_of(row: Row, height: int, width: int) -> DatePosition:
    """A row's place in a picture of this size."""
    left, top, right, bottom = row.box
    side = min(height, width)
    corner = int(left > width - right), int(top > height - bottom)
    x = sorted((width - left, width - right) if corner[0] else (left, right))
    y = sorted((height - top, height - bottom) if corner[1] else (top, bottom))
    return DatePosition(corner, (x[0] / side, y[0] / side), (x[1] / side, y[1] / side))


def _alike(one: DatePosition, other: DatePosition) -> bool:
    """The same corner, and near enough: digits of other widths make a row shorter or longer at one end."""
    if one.corner != other.corner:
        return False
    sizes = [min(place.far[0] - place.near[0], place.far[1] - place.near[1]) for place in (one, other)]
    if not 0.6 < sizes[0] / max(sizes[1], 1e-6) < 1.7:
        return False
    near = [abs(one.near[axis] - other.near[axis]) for axis in (0, 1)]
    far = [abs(one.far[axis] - other.far[axis]) for axis in (0, 1)]
    reach = 1.5 * max(sizes)
    return max(min(near[0], far[0]), min(near[1], far[1])) < reach


def _shrunk(image: NDArray[np.floating], factor: int) -> Floats:
    if factor == 1:
        return image.astype(np.float32)
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]
    return functional.avg_pool2d(planes, factor, ceil_mode=True, count_include_pad=False)[0].permute(1, 2, 0).numpy()


def _glow(image: NDArray[np.floating], radius: int) -> Floats:
    """How much more red than blue a pixel is than what stays without narrow details; 0 where it is not warm."""
    red, green, blue = (image[..., channel].astype(np.float32) for channel in range(3))
    light, _ = spots(red - blue, radius)
    warm = (red - blue > WARM) & (green - blue > -0.08) & (red - green > -0.08)
    return np.where(warm, light, 0).astype(np.float32)


def _rows(ink: Mask, hat: Floats, image: Floats, ease: float) -> list[Row]:
    """Rows of glyphs that run from left to right."""
    height, width = ink.shape
    side = min(height, width)
    low, high = HEIGHT[0] * side, HEIGHT[1] * side
    rows: list[list[Box]] = []
    for gap in sorted({max(1, round(share * side)) for share in GAPS}):
        boxes = [box for box in components(ink, gap) if low <= box[3] - box[1] <= high]
        rows += _lined_up(sorted(boxes))
    found = []
    for row in rows:
        left, right = min(box[0] for box in row), max(box[2] for box in row)
        top, bottom = min(box[1] for box in row), max(box[3] for box in row)
        size = float(np.median([box[3] - box[1] for box in row]))
        result = _as_row((left, top, right, bottom), size, ink, hat, image, ease)
        if result is not None:
            found.append(result)
    return found


def _lined_up(boxes: Sequence[Box]) -> list[list[Box]]:
    """Boxes of about one height side by side, given from left to right."""
    rows: list[list[Box]] = []
    for box in boxes:
        for row in rows:
            last, size = row[-1], float(np.median([each[3] - each[1] for each in row]))
            middle = abs((last[1] + last[3]) - (box[1] + box[3])) / 2
            if middle < 0.35 * size and 0.55 < (box[3] - box[1]) / size < 1.8 and box[0] - last[2] < 2.2 * size:
                row.append(box)
                break
        else:
            rows.append([box])
    return rows


def _as_row(box: Box, size: float, ink: Mask, hat: Floats, image: Floats, ease: float) -> Row | None:
    """A row that looks like a date; None for any other."""
    left, top, right, bottom = box
    if not LONG[0] * ease <= (right - left) / size <= LONG[1] or bottom - top > 1.6 * size:
        return None
    strokes = ink[top:bottom, left:right]
    if not INK[0] <= strokes.mean() <= INK[1]:
        return None
    light = hat[top:bottom, left:right]
    core = light > np.quantile(light[strokes], 0.6)
    red, green, blue = (image[top:bottom, left:right, channel][core] for channel in range(3))
    if (
        np.quantile(light[strokes], 0.9) < BRIGHT * ease
        or min(red.mean() / RED, (red - blue).mean() / PURE) < ease**0.5
    ):
        return None
    away = round(0.7 * size)  # around a date there is none of its colour; texture goes on
    wide = ink[max(0, top - away) : bottom + away, max(0, left - away) : right + away]
    if (wide.sum() - strokes.sum()) / max(1, wide.size - strokes.size) > ALONE / ease**2 * strokes.mean():
        return None
    columns = np.asarray(strokes.any(0))
    starts = np.flatnonzero(np.diff(columns.astype(np.int8), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(columns.astype(np.int8), append=0) == -1) + 1
    whole = 0.0
    for start, end in zip(starts, ends, strict=True):
        rows = np.flatnonzero(strokes[:, start:end].any(1))
        if rows[-1] - rows[0] + 1 >= 0.7 * size:
            whole += max(1.0, round((end - start) / (0.75 * size)))  # digits whose glow touches make one run
    if not RUNS * ease <= whole <= PITCH / ease * (right - left) / size:
        return None
    weight = (red - blue).clip(1e-3)
    tone = (green - blue) / weight
    mean = float((weight * tone).sum() / weight.sum())
    if float((weight * (tone - mean) ** 2).sum() / weight.sum()) > SAME**2 / ease:
        return None
    return Row(box, size, whole * float(light[strokes].mean()))


def _turned(row: Row) -> Row:
    left, top, right, bottom = row.box
    return Row((top, left, bottom, right), row.height, row.score)


def _in_a_corner(box: Box, height: int, width: int) -> bool:
    """Near one side, and wholly in the half (and a little more) of one of its ends."""
    left, top, right, bottom = box
    across, down = min(right, width - left) / width, min(bottom, height - top) / height
    return (down < BAND and across < REACH) or (across < BAND and down < REACH)


def at_place(image: NDArray[np.floating], row: Row | None, place: DatePosition) -> Row | None:
    """The date of one picture of a folder whose dates stand at a place.

    Args:
        image: (H, W, 3), 0..1
        row: what was found in it alone
    """
    height, width = image.shape[:2]
    if row is None or not _alike(place_of(row, height, width), place):
        row = find_row(image, place)
    if row is None:
        return None
    # all of the place: digits that the picture beneath hides from the row count, too
    there = place.box(height, width)
    left, top = (max(0, min(row.box[axis], there[axis])) for axis in (0, 1))
    return Row((left, top, max(row.box[2], there[2]), max(row.box[3], there[3])), row.height, row.score)

"""Masks and what is measured on them: dilating, feathering, grouping; `mask_reading` takes them in.

Here a mask is a boolean array (H, W), True = hole, in the picture's displayed orientation; networks see it as a float
tensor (N, 1, H, W), 1 = hole. `mask_reading.py` makes that of whatever a user gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError
from retouche.mask_reading import EMPTY as EMPTY
from retouche.mask_reading import Mask as Mask
from retouche.mask_reading import MaskLike as MaskLike
from retouche.mask_reading import as_shown as as_shown
from retouche.mask_reading import open_mask as open_mask
from retouche.mask_reading import open_sketch as open_sketch

Box: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are exclusive."""

FAR = 100  # pixels beyond which a search row by row costs more than one pass over all of them
STRIP = 1024  # columns of that pass
BLOCK = 256  # pixels; a block with its halo of 16-bit squares stays in a core's cache


# Measures -----------------------------------------------------------------------------------------------------------


def hole_ratio(mask: Mask) -> float:
    """Hole pixels / all pixels, 0..1."""
    return float(np.count_nonzero(mask)) / mask.size


def default_dilation(height: int, width: int) -> int:
    """Pixels by which a mask grows by default: a 256th of the longest side, at least 1; the editor
    shows the same number (`apps/editor/document.js`)."""
    return max(1, round(max(height, width) / 256))


def default_feather(dilation: int) -> int:
    """Pixels of the soft edge by default: half of those by which the mask grew. The editor shows the same number
    (`apps/editor/options.js`, `panel.js`)."""
    return dilation // 2


def diagonal(height: int, width: int) -> int:
    """Pixels from corner to corner, rounded up: no two pixels are farther apart."""
    return math.ceil(math.hypot(height - 1, width - 1))


# Distances ----------------------------------------------------------------------------------------------------------


def distance(mask: Mask, limit: int) -> NDArray[np.float32]:
    """Exact Euclidean distance in pixels to the nearest hole pixel, 0 in the hole, infinite beyond `limit`.

    Args:
        mask: (H, W), True = hole
        limit: pixels; the work grows with it, and only near holes

    Returns: (H, W) float32
    """
    result = np.full(mask.shape, np.inf, np.float32)
    limit = min(limit, diagonal(*mask.shape))
    for rows, columns, squares in _squared_blocks(mask, limit):
        near = np.sqrt(squares, dtype=np.float32)
        near[squares > limit * limit] = np.inf
        result[rows, columns] = near
    return result


def dilate(mask: Mask, pixels: int) -> Mask:
    """The mask grown by a disc: every pixel at most `pixels` from the hole becomes hole. (H, W) -> (H, W), a copy."""
    if pixels < 0:
        raise InputError(f"dilate is {pixels}: give 0 or more pixels")
    if pixels == 0:
        return mask.copy()
    if pixels >= diagonal(*mask.shape):
        return np.full(mask.shape, mask.any())
    result = np.zeros(mask.shape, np.bool_)
    for rows, columns, squares in _squared_blocks(mask, pixels):
        result[rows, columns] = squares <= pixels * pixels
    return result


def opened(mask: Mask, radius: int) -> Mask:
    """The parts of a mask that a square of 2 * radius + 1 pixels fits into; the picture's border is a mirror.

    Args:
        mask: (H, W), True = hole
        radius: pixels, 1 or more

    Returns: (H, W)
    """
    result = np.zeros_like(mask)
    near = around(mask, 2 * radius)  # so wide that the mirror at an edge that is not the picture's shows no hole
    here = mask[near]
    if not here.size:
        return result
    wide = np.pad(here, 2 * radius, mode="symmetric")
    core = ~squared(~wide, radius)
    # what lies within `radius` of the padding's own edge is not judged: squares from there do not reach the picture
    core[:radius] = core[-radius:] = core[:, :radius] = core[:, -radius:] = False
    result[near] = squared(core, radius)[2 * radius : -2 * radius, 2 * radius : -2 * radius] & here
    return result


def around(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the hole's bounding box with a margin of pixels, as far as the picture goes; none of either
    where there is no hole."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return slice(0), slice(0)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    return slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)


def squared(mask: Mask, radius: int) -> Mask:
    """Every hole pixel becomes a square of 2 * radius + 1 pixels, in log2(radius) passes."""
    grown = mask.copy()
    reach = 0
    while reach < radius:
        step = min(reach + 1, radius - reach)
        before = grown.copy()
        grown[step:] |= before[:-step]
        grown[:-step] |= before[step:]
        before = grown.copy()
        grown[:, step:] |= before[:, :-step]
        grown[:, :-step] |= before[:, step:]
        reach += step
    return grown


def dilate_thick(mask: Mask, pixels: int) -> Mask:
    """Grow holes by up to `pixels`, but no part of them by more than half its own thickness (at least 1).

    So a speck of 3 pixels does not become a hole of 35 because the picture is large.

    Args:
        mask: (H, W), True = hole
        pixels: 1 or more
    """
    near = around(mask, pixels)
    hole = mask[near]
    if not hole.size:
        return mask.copy()
    grown = dilate(hole, 1)
    step = 1
    while step < pixels:
        step = min(2 * step, pixels)
        thick = opened(hole, step)
        if not thick.any():
            break
        grown |= dilate(thick, step)
    result = mask.copy()
    result[near] = grown
    return result


def feather_weight(mask: Mask, dilated: Mask, pixels: int) -> NDArray[np.float32]:
    """How much of the fill each pixel takes: 1 in the mask, 0 outside the dilated mask, in between a linear fall.

    The fall is linear in the Euclidean distance from the mask and takes the outer `pixels` of the ring between mask
    and dilated mask, so that it would reach 0 on the first pixel outside; 0 pixels fill the whole dilated mask. A
    feather wider than the ring is limited to the ring: nothing outside the dilated mask ever changes.

    Args:
        mask, dilated: (H, W), True = hole; `dilated` contains `mask`
        pixels: width of the fall

    Returns: (H, W) float32 in 0..1
    """
    if pixels < 0:
        raise InputError(f"feather is {pixels}: give 0 or more pixels")
    whole = np.zeros(dilated.shape, np.float32)
    near = around(dilated, 0)
    whole[near] = _feathered(mask[near], dilated[near], pixels)
    return whole


def _feathered(mask: Mask, dilated: Mask, pixels: int) -> NDArray[np.float32]:
    """`feather_weight` where the whole picture is looked at."""
    weight = dilated.astype(np.float32)
    ring = dilated & ~mask
    if pixels == 0 or not ring.any() or not mask.any():
        return weight
    limit = max(2 * pixels, 16)
    away = distance(mask, limit)[ring]  # (ring pixels,)
    while np.isinf(away).any():  # a wider ring than guessed
        limit *= 2
        away = distance(mask, limit)[ring]
    width = float(away.max())
    fall = min(float(pixels), width)
    weight[ring] = np.minimum(1, (width + 1 - away) / (fall + 1))
    return weight


def _squared_blocks(mask: Mask, limit: int) -> Iterator[tuple[slice, slice, NDArray[np.unsignedinteger[Any]]]]:
    """Squared distances to the hole, block by block, only where some hole is within reach; capped beyond `limit`.

    Separable and exact: along rows the distance to the nearest hole pixel, then over rows the least dx^2 + dy^2.
    """
    height, width = mask.shape
    side = max(BLOCK, 4 * limit)
    kind = np.uint16 if 2 * (limit + 1) ** 2 < 2**16 else np.uint32
    for top in range(0, height, side):
        bottom = min(top + side, height)
        above, below = max(0, top - limit), min(height, bottom + limit)
        if not mask[above:below].any():
            continue
        for left in range(0, width, side):
            right = min(left + side, width)
            rows, columns = slice(top, bottom), slice(left, right)
            if mask[rows, columns].all():
                yield rows, columns, np.zeros((bottom - top, right - left), kind)
                continue
            before, after = max(0, left - limit), min(width, right + limit)
            around = mask[above:below, before:after]
            if not around.any():
                continue
            near = _along_rows(around, limit)[:, left - before : right - before].astype(kind)
            near *= near
            if limit > FAR:
                yield rows, columns, _lowest(near)[top - above : bottom - above]
                continue
            # dy beyond `limit` cannot matter; rows outside the picture hold no hole
            squares = near[top - above : bottom - above].copy()
            for dy in range(1, limit + 1):
                for shift in (-dy, dy):
                    first, last = max(above, top + shift), min(below, bottom + shift)
                    if first < last:
                        part = squares[first - shift - top : last - shift - top]
                        np.minimum(part, near[first - above : last - above] + kind(dy * dy), out=part)
            yield rows, columns, squares


def _lowest(squares: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.unsignedinteger[Any]]:
    """The least of dy^2 + squares over each column, for every row, in time that does not depend on how far it is.

    The lower envelope of parabolas, built row by row for all columns at once (Meijster, Roerdink, Hesselink: A general
    algorithm for computing distance transforms in linear time, 2000).

    Args:
        squares: (h, w)
    """
    height, width = squares.shape
    result = np.empty_like(squares)
    for left in range(0, width, STRIP):
        values = squares[:, left : left + STRIP].astype(np.int64)
        every = np.arange(values.shape[1])
        lowest = np.zeros(values.shape, np.int32)  # per column a stack of rows, each the lowest parabola
        start = np.zeros(values.shape, np.int32)  # from this row on
        top = np.zeros(len(every), np.int64)
        for row in range(1, height):
            beaten = every
            while beaten.size:
                at, since = lowest[top[beaten], beaten], start[top[beaten], beaten].astype(np.int64)
                there = (since - at) ** 2 + values[at, beaten]
                beaten = beaten[there > (since - row) ** 2 + values[row, beaten]]
                top[beaten] -= 1
                beaten = beaten[top[beaten] >= 0]
            alone = top < 0
            top[alone] = 0
            lowest[0, alone] = row
            others = every[~alone]
            at = lowest[top[others], others].astype(np.int64)
            rise = row * row - at * at + values[row, others] - values[at, others]
            meet = 1 + rise // (2 * (row - at))
            others, meet = others[meet < height], meet[meet < height]
            top[others] += 1
            lowest[top[others], others] = row
            start[top[others], others] = meet
        for row in range(height - 1, -1, -1):
            at = lowest[top, every]
            result[row, left : left + STRIP] = (row - at.astype(np.int64)) ** 2 + values[at, every]
            top = np.maximum(top - (start[top, every] == row), 0)
    return result


def _along_rows(mask: Mask, limit: int) -> NDArray[np.int32]:
    """(h, w) -> distance along the row to the nearest hole pixel, at most limit + 1."""
    width = mask.shape[1]
    at = np.arange(width, dtype=np.int32)
    far = np.int32(width + limit + 1)
    left = np.maximum.accumulate(np.where(mask, at, -far), axis=1)
    right = np.minimum.accumulate(np.where(mask, at, 2 * far)[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(np.minimum(at - left, right - at), np.int32(limit + 1))


# Groups -------------------------------------------------------------------------------------------------------------


def components(mask: Mask, gap: int) -> list[Box]:
    """Boxes of the groups of holes, from top to bottom; holes with at most `gap` known pixels between them are one.

    The distance between two hole pixels is the larger of their offsets in x and y; touching corners join. Boxes of
    two groups may overlap, their pixels do not.

    Args:
        mask: (H, W), True = hole
        gap: known pixels, 0 or more
    """
    occupied = np.flatnonzero(mask.any(axis=1))
    if not occupied.size:
        return []
    top, bottom = int(occupied[0]), int(occupied[-1]) + 1
    occupied = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = int(occupied[0]), int(occupied[-1]) + 1
    # every pixel grows into a square to its right and below: those within `gap` then touch
    grown = np.zeros((bottom - top + gap, right - left + gap + 1), np.bool_)
    grown[: bottom - top, : right - left] = mask[top:bottom, left:right]
    reach = 0
    while reach < gap:  # doubling, so in log2(gap) passes; the last column stays empty: no run crosses a row's end
        step = min(reach + 1, gap - reach)
        grown[step:] |= grown[:-step].copy()
        grown[:, step:-1] |= grown[:, : -1 - step].copy()
        reach += step
    starts, ends = _runs(grown)
    labels = _label(starts, ends, grown.shape[1])
    rows, first = np.divmod(starts, grown.shape[1])
    last = first + (ends - starts)
    _, group = np.unique(labels, return_inverse=True)
    count = int(group.max()) + 1
    lows = np.full((2, count), np.iinfo(np.int64).max)
    highs = np.zeros((2, count), np.int64)
    np.minimum.at(lows[0], group, first)
    np.minimum.at(lows[1], group, rows)
    np.maximum.at(highs[0], group, last)
    np.maximum.at(highs[1], group, rows + 1)
    boxes = [
        (left + int(x0), top + int(y0), left + int(x1) - gap, top + int(y1) - gap)
        for x0, y0, x1, y1 in zip(*lows, *highs, strict=True)
    ]
    return sorted(boxes, key=lambda box: (box[1], box[0], box[3], box[2]))


def _runs(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends (exclusive) of horizontal runs as flat positions; the last column must be empty."""
    flat = np.zeros(mask.size + 1, np.bool_)
    flat[1:] = mask.ravel()
    change = np.flatnonzero(flat[1:] != flat[:-1])  # the array ends with an empty pixel, so every run closes
    return change[::2], change[1::2]


def _label(starts: NDArray[np.int64], ends: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """A label per run, equal for runs that touch (corners too) directly or through others: union-find, vectorised."""
    # the runs of the next row that touch run i are low[i] .. high[i] - 1
    low = np.searchsorted(ends, starts + width, side="left")
    high = np.searchsorted(starts, ends + width, side="right")
    count = np.maximum(high - low, 0)
    upper = np.repeat(np.arange(len(starts)), count)
    offset = np.arange(len(upper)) - np.repeat(np.cumsum(count) - count, count)
    lower = low[upper] + offset
    labels = np.arange(len(starts))
    while True:
        a, b = labels[upper], labels[lower]
        differ = a != b
        if not differ.any():
            return labels
        upper, lower, a, b = upper[differ], lower[differ], a[differ], b[differ]
        np.minimum.at(labels, np.maximum(a, b), np.minimum(a, b))
        while True:  # every run points straight at its root
            root = labels[labels]
            if np.array_equal(root, labels):
                break
            labels = root

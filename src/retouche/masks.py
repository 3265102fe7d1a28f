"""Masks and what is measured on them: reading, dilating, feathering, grouping.

Here a mask is a boolean array (H, W), True = hole, in the picture's displayed orientation; networks see it as a float
tensor (N, 1, H, W), 1 = hole. Whatever a user gives becomes that here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from retouche.errors import InputError
from retouche.pictures import MAX_PIXELS, Picture
from retouche.pictures.decoding import from_pil
from retouche.pictures.doors import read_file

MaskLike: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[Any] | Tensor | Picture"
Mask: TypeAlias = NDArray[np.bool_]
Box: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are exclusive."""

LUMA = (0.299, 0.587, 0.114)
BLOCK = 256  # pixels; a block with its halo of 16-bit squares stays in a core's cache


# Reading ------------------------------------------------------------------------------------------------------------


def open_mask(
    given: MaskLike,
    size: tuple[int, int] | None,
    *,
    invert: bool = False,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> tuple[Mask, list[str]]:
    """What a user calls a mask, as booleans.

    Hole is: above 127 in 8 bit, above 32767 in 16 bit, above 0.5 in floats; 1 where the array is boolean or its
    largest value is 1. Colour masks count by luma; where the colour is the same everywhere, by opacity.

    Args:
        given: a path, a PIL image, an array (H, W), (H, W, 1), (H, W, 3 or 4), or a tensor (H, W), (1, H, W),
            (1, 1, H, W), or a decoded `Picture`
        size: (height, width) of the picture it belongs to; None accepts any
        invert: white is then what is kept
        name: what errors call it; None = its file's name, or "mask"

    Returns: (H, W), True = hole, and remarks worth a user's eye.
    Raises: InputError where it cannot be read, has another size, or holds values out of range
    """
    hole, grey, remarks = _read(given, size, max_pixels, name=name)
    if invert:
        hole = ~hole
    if grey:
        remarks.append(f"mask holds {grey} grey values between black and white (a JPEG?): the lighter half is hole")
    ratio = hole_ratio(hole)
    if ratio > 0.5:
        remedy = "leave out --invert-mask" if invert else "--invert-mask"
        remarks.append(f"mask is {ratio:.0%} hole: is it inverted? {remedy}")
    elif ratio == 0:
        remarks.append("mask is empty: nothing to fill")
    return hole, remarks


def open_sketch(given: MaskLike, size: tuple[int, int] | None, *, max_pixels: int = MAX_PIXELS) -> Mask:
    """White strokes on black as (H, W) booleans, True = stroke; given, read and refused like a mask."""
    return _read(given, size, max_pixels, word="sketch")[0]


def _read(
    given: MaskLike, size: tuple[int, int] | None, max_pixels: int, word: str = "mask", name: str | None = None
) -> tuple[Mask, int, list[str]]:
    """Hole or stroke, the number of values that are neither black nor white, remarks."""
    called, remarks, from_file = name or word, [], True
    if isinstance(given, (str, PathLike)):
        called = name or Path(given).name
        decoded = read_file(Path(given), max_pixels)
        values = decoded.pixels
    elif isinstance(given, Image.Image):
        decoded = from_pil(given, word, max_pixels)
        values = decoded.pixels
    elif isinstance(given, Picture):
        decoded = given
        values = decoded.pixels
    elif isinstance(given, Tensor):
        from_file = False
        tensor = given.detach().cpu()
        values = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        while values.ndim > 2 and values.shape[0] == 1:
            values = values[0]
        if values.ndim != 2:
            raise InputError(f"{word} is a tensor {tuple(given.shape)}: give (H, W), (1, H, W) or (1, 1, H, W)")
        values = values[..., None]
    elif isinstance(given, np.ndarray):
        from_file = False
        values = given[..., None] if given.ndim == 2 else given
        if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4):
            raise InputError(f"{word} is an array {given.shape}: give (H, W), or (H, W, 3) in black and white")
    else:
        raise InputError(f"{word} is a {type(given).__name__}: give a path, a PIL image, an array or a tensor")
    height, width = values.shape[:2]
    if not height or not width:
        raise InputError(f"{called} is {width}x{height}: give at least one pixel")
    if size is not None and (height, width) != tuple(size):
        raise InputError(
            f"{called} is {width}x{height} but the picture is {size[1]}x{size[0]}: "
            f"give a {word} of the same size, or scale it first"
        )
    if from_file and decoded.mode in ("CMYK", "YCbCr"):
        raise InputError(f"{called} is {decoded.mode}: save the {word} as black and white PNG")
    plane, opacity = _plane(values)
    if opacity:
        remarks.append(f"{word} has one colour only: its opacity was taken, opaque is {_WORDS[word]}")
    hole, grey = _threshold(plane, called, labels=not from_file)
    if from_file and not hole.any() and plane.max() == 1:
        remarks.append(f"{word} holds only 0 and 1, taken as black: scale it to 0 and 255")
    return hole, grey, remarks


_WORDS = {"mask": "hole", "sketch": "stroke"}


def _plane(values: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """(H, W, C) -> its luma in the same units (H, W); or its alpha, if that is the only information."""
    channels = values.shape[2]
    if channels in (2, 4):
        colour, alpha = values[..., :-1], values[..., -1]
        if (colour == colour[:1, :1]).all() and not (alpha == alpha[:1, :1]).all():
            return alpha, True
        values = colour
    if values.shape[2] == 1:
        return values[..., 0], False
    if values.dtype.kind == "b":
        return np.asarray(values.any(axis=2)), False
    if np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2]):
        return values[..., 0], False
    plane = np.zeros(values.shape[:2], np.float32)
    for channel, weight in enumerate(LUMA):
        plane += np.float32(weight) * values[..., channel]
    if values.dtype.kind == "f":
        return plane, False
    return np.rint(plane).astype(values.dtype), False


def _threshold(plane: NDArray[Any], name: str, labels: bool) -> tuple[Mask, int]:
    """Values -> hole, and how many are neither black nor white. `labels`: a largest value of 1 means 1 = hole."""
    kind, bits = plane.dtype.kind, plane.dtype.itemsize * 8
    if kind == "b":
        return plane.astype(np.bool_), 0
    if kind == "f":
        lowest, highest = float(plane.min()), float(plane.max())
        if not (lowest >= 0 and highest <= 1):  # also where either is NaN
            raise InputError(f"{name} holds floats from {lowest:g} to {highest:g}: give 0..1 with 1 = hole")
        return plane > 0.5, int(np.count_nonzero((plane > 0) & (plane < 1)))
    if kind not in "iu":
        raise InputError(f"{name} is of type {plane.dtype}: give booleans, uint8, uint16 or floats in 0..1")
    lowest, highest = int(plane.min()), int(plane.max())
    white = 65535 if kind == "u" and bits == 16 else 255
    if lowest < 0 or highest > white:
        raise InputError(f"{name} holds integers from {lowest} to {highest}: give 0..{white} or booleans")
    if labels and highest == 1:
        return plane == 1, 0
    grey = int(np.count_nonzero((plane > 0) & (plane < white)))
    return plane > white // 2, grey


# Measures -----------------------------------------------------------------------------------------------------------


def hole_ratio(mask: Mask) -> float:
    """Hole pixels / all pixels, 0..1."""
    return float(np.count_nonzero(mask)) / mask.size


def default_dilation(height: int, width: int) -> int:
    """Pixels by which a mask grows unless told otherwise: a 256th of the longest side, at least 1."""
    return max(1, round(max(height, width) / 256))


# Distances ----------------------------------------------------------------------------------------------------------


def distance(mask: Mask, limit: int) -> NDArray[np.float32]:
    """Exact Euclidean distance in pixels to the nearest hole pixel, 0 in the hole, infinite beyond `limit`.

    Args:
        mask: (H, W), True = hole
        limit: pixels; the work grows with it, and only near holes

    Returns: (H, W) float32
    """
    result = np.full(mask.shape, np.inf, np.float32)
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
    wide = np.pad(mask, 2 * radius, mode="symmetric")
    core = ~_squared(~wide, radius)
    # what lies within `radius` of the padding's own edge is not judged: squares from there do not reach the picture
    core[:radius] = core[-radius:] = core[:, :radius] = core[:, -radius:] = False
    return _squared(core, radius)[2 * radius : -2 * radius, 2 * radius : -2 * radius] & mask


def _squared(mask: Mask, radius: int) -> Mask:
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
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return mask.copy()
    near = tuple(
        slice(max(0, int(at[0]) - pixels), min(side, int(at[-1]) + 1 + pixels))
        for at, side in zip((rows, columns), mask.shape, strict=True)
    )
    hole = mask[near]
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
            # dy beyond `limit` cannot matter; rows outside the picture hold no hole
            squares = near[top - above : bottom - above].copy()
            for dy in range(1, limit + 1):
                for shift in (-dy, dy):
                    first, last = max(above, top + shift), min(below, bottom + shift)
                    if first < last:
                        part = squares[first - shift - top : last - shift - top]
                        np.minimum(part, near[first - above : last - above] + kind(dy * dy), out=part)
            yield rows, columns, squares


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

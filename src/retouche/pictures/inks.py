"""Four inks: how they look, and which inks a filled colour gets.

A colour says less than four inks do: black may be the black plate or the three others over each other. So a fill takes
its inks from the picture: from the known pixels around where it looks like them, else from known pixels of the same
colour, and only a colour that nobody had is separated anew.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]

NEAR = 2.0
"""Levels of 255 by which a fill may miss a colour and still have its inks: what rounding to 8 bit does, twice."""
BINS = 32  # of each channel in the table of known colours


@lru_cache(maxsize=4)
def _transforms(profile: bytes | None) -> tuple[Any, Any] | None:
    """To sRGB and back by a profile of four inks; None where it is none."""
    if profile is None:
        return None
    from PIL import ImageCms  # brings a library of its own, which pictures without four inks do not need

    try:
        inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if inks.profile.xcolor_space.strip() != "CMYK":
            return None
        screen = ImageCms.createProfile("sRGB")
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        return (
            ImageCms.buildTransform(inks, screen, "CMYK", "RGB", intent, flags),
            ImageCms.buildTransform(screen, inks, "RGB", "CMYK", intent, flags),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None


def appearance(inks: Array, profile: bytes | None) -> Array:
    """(..., 4) inks of 0..255 -> (..., 3) sRGB of 0..255, float32; exact where no profile says otherwise."""
    transforms = _transforms(profile)
    if transforms is not None:
        return _applied(transforms[0], inks, "CMYK", "RGB").astype(np.float32)
    amount = inks.astype(np.float32)
    return (255 - amount[..., 3:]) * (255 - amount[..., :3]) / 255


def separation(rgb: Array, black: Array, profile: bytes | None) -> Array:
    """(n, 3) sRGB of 0..255 -> (n, 4) inks, float32.

    Args:
        black: (n,), the black ink to use as far as the colour allows it; a profile has its own
    """
    transforms = _transforms(profile)
    if transforms is not None:
        levels = np.rint(rgb).astype(np.uint8)
        return _applied(transforms[1], levels, "RGB", "CMYK").astype(np.float32)
    plate = np.minimum(black, 255 - rgb.max(axis=1))
    light = np.maximum(255 - plate, 1e-3)[:, None]
    return np.concatenate([255 - 255 * rgb / light, plate[:, None]], axis=1).clip(0, 255)


def _applied(transform: Any, values: Array, before: str, after: str) -> Array:
    """A colour transform over the last axis."""
    flat = np.ascontiguousarray(values.reshape(1, -1, values.shape[-1]))
    from PIL import ImageCms

    image = Image.frombuffer(before, (flat.shape[1], 1), flat, "raw", before, 0, 1)
    result = ImageCms.applyTransform(image, transform)
    assert result is not None
    return np.asarray(result).reshape(*values.shape[:-1], len(after))


class Plates:
    """The inks that a picture's holes may get.

    Args:
        pixels: (H, W, 4), before the fill
        hole: (H, W), True = unknown: what is there is not looked at
        profile: of the four inks
    """

    def __init__(self, pixels: Array, hole: NDArray[np.bool_], profile: bytes | None) -> None:
        self._profile = profile
        rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
        margin = 16
        self._top, self._left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
        near = (slice(self._top, int(rows[-1]) + 1 + margin), slice(self._left, int(columns[-1]) + 1 + margin))
        known = ~hole[near]
        self._around = spread(pixels[near], known)
        self._colours, self._inks = self._table(pixels[near][known])

    def _table(self, inks: Array) -> tuple[Array, Array]:
        """For each bin of colours the inks and the look of one known pixel, (BINS ** 3, 4) and (BINS ** 3, 3)."""
        looks = np.full((BINS**3, 3), np.inf, np.float32)
        table = np.zeros((BINS**3, 4), np.uint8)
        step = max(1, len(inks) // 1_000_000)
        seen = appearance(inks[::step], self._profile)
        at = _bin(seen)
        table[at], looks[at] = inks[::step], seen
        return looks, table

    def inks(self, rgb: Array, y: NDArray[np.intp], x: NDArray[np.intp]) -> Array:
        """(n, 3) sRGB of 0..255 at these places -> (n, 4) inks, float32."""
        around = self._around[y - self._top, x - self._left].astype(np.float32)
        near = np.abs(appearance(np.rint(around).astype(np.uint8), self._profile) - rgb).max(axis=1) <= NEAR
        at = _bin(rgb)
        same = np.abs(self._colours[at] - rgb).max(axis=1) <= NEAR
        result = separation(rgb, around[:, 3], self._profile)
        result = np.where(same[:, None], self._inks[at], result)
        return np.where(near[:, None], around, result)


def _bin(rgb: Array) -> NDArray[np.intp]:
    cell = np.clip(rgb * (BINS / 256), 0, BINS - 1).astype(np.intp)
    return (cell[:, 0] * BINS + cell[:, 1]) * BINS + cell[:, 2]


def spread(values: Array, known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Known values spread over what is unknown: averaged down until all is known, and up again.

    Args:
        values: (H, W, C)
        known: (H, W); what is not known is not looked at

    Returns: (H, W, C) float32; known values as they are
    """
    weight = known.astype(np.float32)[..., None]
    level = np.where(known[..., None], values, 0).astype(np.float32)
    if known.all() or not known.any() or max(known.shape) == 1:
        return level
    height, width = known.shape
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    sums, weights = (
        np.pad(part, padding).reshape((height + 1) // 2, 2, (width + 1) // 2, 2, -1).sum(axis=(1, 3))
        for part in (level * weight, weight)
    )
    smaller = spread(sums / np.maximum(weights, 1), weights[..., 0] > 0)
    larger = _enlarged(smaller, height, width)
    return np.where(known[..., None], level, larger)


def _enlarged(values: Array, height: int, width: int) -> Array:
    """Twice as large, linear in between."""
    for axis, length in ((0, height), (1, width)):
        at = np.clip((np.arange(length) + 0.5) / 2 - 0.5, 0, values.shape[axis] - 1)
        low = np.floor(at).astype(np.intp)
        high = np.minimum(low + 1, values.shape[axis] - 1)
        share = (at - low).astype(np.float32)
        share = share[:, None, None] if axis == 0 else share[None, :, None]
        first = np.take(values, low, axis=axis)
        values = first + (np.take(values, high, axis=axis) - first) * share
    return values

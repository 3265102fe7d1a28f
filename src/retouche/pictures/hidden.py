"""Hidden colours, those of pixels of alpha 0, are nobody's: replaced by what is around them where networks look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche.pictures.picture import Picture


def seen(picture: Picture) -> Picture:
    """The picture with the colours around in place of hidden ones; itself, where all can be seen or nothing can.

    The colours come down a pyramid of means of visible pixels, enlarged smoothly: no edge appears that nobody sees.
    """
    alpha = picture.alpha()
    if alpha is None or alpha.all() or not alpha.any():
        return picture
    pixels = picture.pixels.copy()
    known = alpha > 0
    for channel in range(pixels.shape[2] - 1):
        plane = _around(pixels[..., channel].astype(np.float32), known.astype(np.float32))
        if pixels.dtype.kind == "u":
            plane = np.rint(plane)
        pixels[~known, channel] = plane[~known]
    return replace(picture, pixels=pixels, remarks=list(picture.remarks))


def _around(plane: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """(h, w), where weight is 0 from the mean of the nearest others; weight is 0..1 and somewhere more."""
    known = weight > 0
    if known.all():
        return plane
    height, width = plane.shape
    edges = ((0, height % 2), (0, width % 2))
    sums, weights = (
        np.pad(part, edges).reshape((height + 1) // 2, 2, (width + 1) // 2, 2).sum(axis=(1, 3))
        for part in (np.where(known, plane, 0) * weight, weight)
    )
    coarse = _around(sums / np.maximum(weights, 1e-9), np.minimum(weights, 1))
    smooth = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))
    return np.where(known, plane, smooth)

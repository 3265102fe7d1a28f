"""Dust, specks and scratches of a scan: small or thin, and unlike what is around them.

A top-hat transform keeps details up to a given width; those that stand out from the details around them are dust.
Film lets infrared light through and dust does not, so that an infrared picture of the same scan shows it at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retouche.finders.planes import Floats, box_mean, box_sum, spots, touching
from retouche.masks import Mask, dilate

WIDEST = 9
"""Pixels: the widest speck or scratch, by default."""
LEAST = 0.06
"""Contrast, of white, that a speck has at least."""
STANDS_OUT = 5.0
"""Times the usual detail around it (root mean square), at sensitivity 1."""
EXTREME = 2.0
"""Standard deviations of what is around it that it is away from their mean."""
AROUND = 24
"""Pixels around that are compared."""
BLOCKED = 0.15
"""Share of the infrared light that dust takes away at least."""


def find_dust(
    image: NDArray[np.floating], widest: int = WIDEST, sensitivity: float = 1.0, infrared: Floats | None = None
) -> Mask:
    """Specks and scratches.

    Args:
        image: (H, W, 3), 0..1
        widest: their largest width, pixels
        sensitivity: 2 finds what stands out half as much
        infrared: (H, W), 0..1, a picture of the same scan in infrared light; then nothing else counts

    Returns: (H, W), with a rim of one pixel
    """
    radius = max(1, (widest + 1) // 2)
    if infrared is not None:
        _, dark = spots(infrared.astype(np.float32), radius)
        return dilate(dark > BLOCKED / sensitivity * (dark + infrared).clip(1e-3), 1)
    found = np.zeros(image.shape[:2], np.bool_)
    grey = image.mean(-1).astype(np.float32)
    mean = box_mean(grey, AROUND)
    spread = np.sqrt((box_mean(grey * grey, AROUND) - mean * mean).clip(1e-6))
    for sign, detail in zip((1, -1), spots(grey, radius), strict=True):
        usual = np.sqrt(box_mean(detail * detail, AROUND))
        need = np.maximum(STANDS_OUT * usual, LEAST) / sensitivity
        core = (detail > need) & (sign * (grey - mean) > EXTREME / sensitivity * spread)
        found |= touching(detail > need / 2, core & (box_sum(core.astype(np.float32), 1) >= 2))
    return dilate(found, 1)

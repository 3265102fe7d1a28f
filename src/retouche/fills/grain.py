"""Grain: the noise of a picture around a hole, for fills that are smoother than their surroundings.

A second difference along rows and columns parts noise from slopes (Immerkaer 1996, "Fast noise variance estimation");
medians over the smoothest places near the hole and inside it give what is there and what is missing, for each colour.
A picture without noise in its smooth parts (flat graphics, gradients, most photographs of the web) gets nothing.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from retouche.masks import Mask, squared

RING = 16
"""How far from the hole its surroundings reach, in pixels."""
REACH = 3
"""Half of a patch on which a slope is measured, in pixels."""
SAMPLE, FEWEST = 4096, 100
"""At most so many places are measured; nothing is added where fewer are smooth."""
SMOOTHEST, STEEPEST = 0.3, 0.03
"""Share of the places around that counts as smooth, and the slope (difference of a patch's halves, -1..1) beyond which
none does."""
LEAST, MOST = 1.0 / 127.5, 16.0 / 127.5
"""Deviations that are added at least and at most: below one level nobody sees it, above it is texture."""


def matched(filled: Tensor, mask: Tensor, seed: int) -> Tensor:
    """Add to a fill the noise that it lacks beside its surroundings.

    Args:
        filled: (1, 3, H, W), -1..1, float, on the CPU: the fill inside the hole, the picture around it
        mask: (1, 1, H, W), 1 = hole
        seed: the same seed, picture and hole give the same noise; another hole gives another

    Returns: (1, 3, H, W); outside the hole, and wherever nothing is missing, what was given
    """
    hole = mask[0, 0].numpy() > 0.5
    around = squared(hole, RING) & ~squared(hole, REACH + 1)
    planes = filled[0].numpy()
    outside, inside = _some(around), _some(hole)
    if min(len(outside), len(inside)) < FEWEST:
        return filled
    luma = planes.mean(0)
    slopes = _slopes(luma, outside)
    steep = min(float(np.quantile(slopes, SMOOTHEST)), STEEPEST)
    outside, inside = outside[slopes <= steep], inside[_slopes(luma, inside) <= 1.5 * steep + 1e-3]
    if min(len(outside), len(inside)) < FEWEST:
        return filled
    there, here = _variances(planes, outside), _variances(planes, inside)
    strength = np.sqrt(np.clip(there - here, 0, MOST**2)[:3])
    if strength.max() < LEAST:
        return filled
    alike = float(np.clip((3 * there[3] / max(there[:3].mean(), 1e-12) - 1) / 2, 0, 1))  # correlation of the colours
    places = np.flatnonzero(hole)
    share = np.zeros(hole.shape, np.float32)
    share.flat[places] = np.clip((3 * steep + 2e-3 - _slopes(luma, places)) / (1.5 * steep + 1e-3), 0, 1)
    draw = torch.Generator().manual_seed((zlib.crc32(hole.tobytes()) + 2654435761 * seed) % 2**32)
    drawn = torch.randn(4, *hole.shape, generator=draw)
    grain = math.sqrt(alike) * drawn[3:] + math.sqrt(1 - alike) * drawn[:3]  # (3, H, W)
    grain *= torch.from_numpy(share) * torch.from_numpy(strength).to(grain)[:, None, None]
    return (filled + grain[None].to(filled)).clamp(-1, 1)


def _some(wanted: Mask) -> NDArray[np.intp]:
    """Places in the flattened picture, evenly taken, whose patch lies in the picture."""
    inner = np.zeros_like(wanted)
    middle = slice(REACH, -REACH)
    inner[middle, middle] = wanted[middle, middle]
    places = np.flatnonzero(inner)
    return places[:: max(1, -(-len(places) // SAMPLE))]


def _slopes(luma: NDArray[np.floating], places: NDArray[np.intp]) -> NDArray[np.floating]:
    """How far the halves of the patch around each place differ, across plus down; the picture's edge goes on."""
    height, width = luma.shape
    y, x = np.divmod(places, width)
    steps = range(-REACH, REACH + 1)
    columns = [(x + step).clip(0, width - 1) for step in steps]
    across, down = np.zeros(len(places)), np.zeros(len(places))
    for dy in steps:
        row = (y + dy).clip(0, height - 1) * width
        for dx, column in zip(steps, columns, strict=True):
            value = luma.ravel()[row + column]
            across += np.sign(dx) * value
            down += np.sign(dy) * value
    return np.asarray((np.abs(across) + np.abs(down)) / (REACH * len(steps)))


def _variances(planes: NDArray[np.floating], places: NDArray[np.intp]) -> NDArray[np.floating]:
    """(4,): robust variances of the noise of three colours and of their mean."""
    width = planes.shape[2]
    flat = planes.reshape(3, -1)
    seen = np.zeros((3, len(places)))
    for dy, down in zip((-width, 0, width), (1, -2, 1), strict=True):
        for dx, across in zip((-1, 0, 1), (1, -2, 1), strict=True):
            seen += down * across / 6 * flat[:, places + dy + dx]
    seen = np.concatenate([seen, seen.mean(0, keepdims=True)])
    return np.asarray((np.median(np.abs(seen), axis=1) / 0.6745) ** 2)

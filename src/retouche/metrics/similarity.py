"""Structural similarity, at one scale and at five.

Sources: Wang, Bovik, Sheikh, Simoncelli 2004 (SSIM); Wang, Simoncelli, Bovik 2003 (MS-SSIM). The window is the
original's: Gaussian, 11x11, sigma 1.5; only where it fits into the picture; colours averaged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError
from retouche.metrics.filters import gaussian_kernel, valid_filter
from retouche.metrics.pixels import pair

WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # for values in 0..1
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # table of the 2003 paper
MS_SSIM_SMALLEST = WINDOW * 2 ** (len(SCALE_WEIGHTS) - 1)
"""pixels: 176, so that the window fits the smallest scale"""


def ssim(filled: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean structural similarity, -1..1, 1 = identical.

    Equals scikit-image's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`, and
    the mean of torchmetrics' map (`return_full_image`) without its 5 outer pixels: torchmetrics' own mean takes in the
    border, where the window leaves the picture and sees it mirrored, and is higher for fills away from the border.

    Args:
        filled, truth: (H, W, 3), at least 11x11

    Raises: InputError if the picture is smaller than the window
    """
    a, b = _planes(filled, truth)
    if min(a.shape[1:]) < WINDOW:
        raise InputError(f"the picture is {a.shape[2]}x{a.shape[1]}: SSIM needs at least {WINDOW}x{WINDOW}")
    brightness, structure = _terms(a, b)
    return float((brightness * structure).mean())


def ssim_uniform(filled: NDArray[Any], truth: NDArray[Any], window: int) -> float:
    """Mean structural similarity over square windows that weigh alike, -1..1, 1 = identical.

    Equals scikit-image's `structural_similarity(win_size=window, data_range=1, channel_axis=-1)` of values in 0..1:
    with window 7 AOT-GAN's figure, with 51 StructureFlow's. Variances are the samples' own, divided by one
    less than the window's pixels.

    Args:
        filled, truth: (H, W, 3)
        window: side in pixels, odd

    Returns: NaN where a side is shorter than the window
    """
    a, b = _planes(filled, truth)
    if min(a.shape[1:]) < window:
        return math.nan
    sample = window**2 / (window**2 - 1)
    mean_a, mean_b = _box_means(a, window), _box_means(b, window)
    spread_a, spread_b, both = (
        sample * (_box_means(x * y, window) - m * n)
        for x, y, m, n in ((a, a, mean_a, mean_a), (b, b, mean_b, mean_b), (a, b, mean_a, mean_b))
    )
    brightness = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return float((brightness * (2 * both + C2) / (spread_a + spread_b + C2)).mean())


def _box_means(planes: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """(C, H, W) -> means of all squares that fit, (C, H - side + 1, W - side + 1)."""
    sums = np.pad(planes, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    corners = sums[:, side:, side:] - sums[:, :-side, side:] - sums[:, side:, :-side] + sums[:, :-side, :-side]
    return np.asarray(corners / side**2)


def ms_ssim(filled: NDArray[Any], truth: NDArray[Any]) -> float:
    """Multi-scale structural similarity over five scales, 0..1, 1 = identical; negative terms count as 0.

    Equals torchmetrics' `MultiScaleStructuralSimilarityIndexMeasure`: each scale's mean over pixels and colours, then
    the weighted product; at the smallest scale, as there, the picture is mirrored at its border.

    Returns: NaN where a side is shorter than `MS_SSIM_SMALLEST`
    """
    a, b = _planes(filled, truth)
    if min(a.shape[1:]) < MS_SSIM_SMALLEST:
        return math.nan
    result = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            a, b = _halved(a), _halved(b)
        if scale < len(SCALE_WEIGHTS) - 1:
            term = float(_terms(a, b)[1].mean())
        else:
            brightness, structure = _terms(_mirrored(a), _mirrored(b))
            term = float((brightness * structure).mean())
        result *= max(term, 0.0) ** weight
    return result


def _planes(filled: NDArray[Any], truth: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as contiguous (3, H, W) in 0..1."""
    a, b = pair(filled, truth)
    return np.ascontiguousarray(np.moveaxis(a, 2, 0)), np.ascontiguousarray(np.moveaxis(b, 2, 0))


def _terms(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The comparison of brightness, and that of contrast and structure together: (3, H - 10, W - 10) each."""
    kernel = gaussian_kernel(SIGMA, WINDOW // 2)
    mean_a, mean_b = valid_filter(a, kernel), valid_filter(b, kernel)
    # the two variances are needed as a sum only
    spread = valid_filter(a * a + b * b, kernel) - mean_a**2 - mean_b**2
    shared = valid_filter(a * b, kernel) - mean_a * mean_b
    brightness = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return brightness, (2 * shared + C2) / (spread + C2)


def _mirrored(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half a window more on every side, mirrored without the edge pixel."""
    more = WINDOW // 2
    return np.pad(planes, ((0, 0), (more, more), (more, more)), "reflect")


def _halved(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Averages of 2x2 pixels; an odd last row or column is left out."""
    height, width = planes.shape[1] // 2 * 2, planes.shape[2] // 2 * 2
    even = planes[:, :height, :width]
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4

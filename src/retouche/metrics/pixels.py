"""Pixel by pixel: absolute and squared error, PSNR, total variation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError

PSNR_CAP = 100.0
"""dB: what identical pictures get, whose PSNR is infinite; one wrong level in a 256x256 picture alone is 101 dB."""

LUMA = (0.299, 0.587, 0.114)


def unit(picture: NDArray[Any], name: str = "the picture") -> NDArray[np.float64]:
    """(H, W, 3) uint8 or floats in 0..1 -> float64 in 0..1.

    Raises: InputError for another shape or type
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype.kind not in "uf":
        raise InputError(f"{name} is {picture.shape} {picture.dtype}: give (H, W, 3) of uint8, or of floats in 0..1")
    if picture.dtype == np.uint8:
        return picture / 255.0
    if picture.dtype.kind == "u":
        raise InputError(f"{name} is {picture.dtype}: give uint8, or floats in 0..1")
    return picture.astype(np.float64)


def luma(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, 3) -> (H, W), in the same units."""
    red, green, blue = LUMA
    return red * picture[..., 0] + green * picture[..., 1] + blue * picture[..., 2]


def pair(filled: NDArray[Any], truth: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both in 0..1.

    Raises: InputError if their sizes differ
    """
    if filled.shape != truth.shape:
        raise InputError(f"the fill is {filled.shape} but the truth is {truth.shape}: give pictures of one size")
    return unit(filled, "the fill"), unit(truth, "the truth")


def _scored(
    filled: NDArray[Any], truth: NDArray[Any], hole: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The values that count: those in the hole, or all. (n, 3) or (H, W, 3)"""
    a, b = pair(filled, truth)
    if hole is None:
        return a, b
    if hole.shape != a.shape[:2]:
        raise InputError(f"the hole is {hole.shape} but the pictures are {a.shape[:2]}: give one size")
    return a[hole], b[hole]


def l1(filled: NDArray[Any], truth: NDArray[Any], hole: NDArray[np.bool_] | None = None) -> float:
    """Mean absolute error, values in 0..1 (times 255 for grey levels, times 100 for mmagic's "l1 error").

    Args:
        filled, truth: (H, W, 3)
        hole: (H, W): only its pixels count; None counts all

    Returns: 0..1; NaN for an empty hole
    """
    a, b = _scored(filled, truth, hole)
    return float(np.abs(a - b).mean()) if a.size else math.nan


def l2(filled: NDArray[Any], truth: NDArray[Any], hole: NDArray[np.bool_] | None = None) -> float:
    """Mean squared error, values in 0..1; arguments and result as of `l1`."""
    a, b = _scored(filled, truth, hole)
    return float(((a - b) ** 2).mean()) if a.size else math.nan


def relative_l1(filled: NDArray[Any], truth: NDArray[Any], hole: NDArray[np.bool_] | None = None) -> float:
    """Sum of absolute errors / sum of both pictures' values, 0..1: what some published tables call "MAE" or "l1".

    Dark pictures weigh more. Source: the evaluation scripts of EdgeConnect and its descendants (StructureFlow,
    AOT-GAN).
    """
    a, b = _scored(filled, truth, hole)
    total = float((a + b).sum())
    return float(np.abs(a - b).sum()) / total if total else math.nan


def psnr(filled: NDArray[Any], truth: NDArray[Any], hole: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio in dB: -10 log10 of `l2`, at most `PSNR_CAP` (which identical pictures get)."""
    error = l2(filled, truth, hole)
    if math.isnan(error):
        return math.nan
    return PSNR_CAP if error <= 10 ** (-PSNR_CAP / 10) else -10 * math.log10(error)


def total_variation(picture: NDArray[Any]) -> float:
    """Mean absolute difference of neighbours, across plus down: sum over all pairs / number of values; 0..2.

    The sum over 0..1 values as in torchmetrics' and TensorFlow's `total_variation`, divided by 3 H W.
    """
    values = unit(picture)
    across = np.abs(values[:, 1:] - values[:, :-1]).sum()
    down = np.abs(values[1:] - values[:-1]).sum()
    return float((across + down) / values.size)

"""How fills are judged without a pretrained network: hole PSNR and band error.

PSNR alone rewards fog and band error alone rewards noise, so both are read together (and the pictures looked at).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

LUMA = np.array([0.299, 0.587, 0.114])
SIGMAS = (0, 1, 2, 4)
CELL = 32
FEWEST = 40  # a cell counts with more hole pixels than this
FLOOR = 2e-6


def hole_psnr(filled: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over the hole's pixels.

    Args:
        filled, truth: (H, W, 3), 0..1
        hole: (H, W), bool
    """
    error = np.mean((filled[hole] - truth[hole]) ** 2)
    return float(-10 * np.log10(max(error, 1e-12)))


def band_error(filled: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    """How far the fill's texture is from the truth's in strength, in octaves of amplitude; lower is better.

    Luma is split into three bands (differences of Gaussians, sigma 0, 1, 2, 4 pixels); each band's energy is averaged
    over the hole pixels of each 32x32 cell with more than 40 of them; half the absolute binary logarithm of the ratio
    of energies is averaged over bands, then over cells weighted by their hole pixels.

    Args:
        filled, truth: (H, W, 3), 0..1
        hole: (H, W), bool

    Returns: octaves; NaN if no cell has enough hole pixels
    """
    cells, counts = _cells(hole)
    energies = [_energies(picture, hole, cells) for picture in (filled, truth)]
    octaves = 0.5 * np.abs(np.log2((energies[0] + FLOOR) / (energies[1] + FLOOR))).mean(0)
    return float((octaves * counts).sum() / counts.sum()) if len(counts) else float("nan")


def _cells(hole: np.ndarray) -> tuple[list[tuple[slice, slice]], np.ndarray]:
    grid = [
        (slice(y, y + CELL), slice(x, x + CELL))
        for y in range(0, hole.shape[0], CELL)
        for x in range(0, hole.shape[1], CELL)
    ]
    kept = [cell for cell in grid if hole[cell].sum() > FEWEST]
    return kept, np.array([hole[cell].sum() for cell in kept], dtype=float)


def _energies(picture: np.ndarray, hole: np.ndarray, cells: list[tuple[slice, slice]]) -> np.ndarray:
    """(bands, cells)"""
    luma = picture.astype(np.float64) @ LUMA
    blurred = [luma if sigma == 0 else gaussian_filter(luma, sigma) for sigma in SIGMAS]
    bands = [(fine - coarse) ** 2 for fine, coarse in pairwise(blurred)]
    return np.array([[band[cell][hole[cell]].mean() for cell in cells] for band in bands]).reshape(len(bands), -1)

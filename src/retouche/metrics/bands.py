"""Band error: whether a fill has as much fine, middle and coarse texture as the truth, without any learned network."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError
from retouche.metrics.filters import gaussian_filter
from retouche.metrics.pixels import luma, pair

SIGMAS = (1.0, 2.0, 4.0)  # pixels; the bands lie between 0, 1, 2 and 4
CELL = 32  # pixels
FEWEST = 40  # a cell counts with more hole pixels than this
FLOOR = 2e-6  # energy, of luma in 0..1


def band_error(filled: NDArray[Any], truth: NDArray[Any], hole: NDArray[np.bool_]) -> float:
    """How far the fill's texture is from the truth's in strength, in octaves of amplitude; lower is better.

    Luma in 0..1 is split into three bands (differences of Gaussians, sigma 0, 1, 2, 4 pixels). Each band's energy is
    averaged over the hole pixels of each 32x32 cell that has more than 40 of them; half of the absolute binary
    logarithm of fill's over truth's energy (2e-6 added to both) is averaged over bands, then over cells weighted by
    hole pixels.

    PSNR alone rewards fog and band error alone rewards noise: read both, and look.

    Args:
        filled, truth: (H, W, 3)
        hole: (H, W), True = hole

    Returns: octaves, 0 and more; NaN where no cell has enough hole pixels
    """
    a, b = pair(filled, truth)
    if hole.shape != a.shape[:2]:
        raise InputError(f"the hole is {hole.shape} but the pictures are {a.shape[:2]}: give one size")
    counts = _cell_sums(hole.astype(np.float64))
    counted = counts > FEWEST
    if not counted.any():
        return math.nan
    counts = counts[counted]
    octaves = np.zeros(len(counts))
    for fill, real in zip(_bands(luma(a)), _bands(luma(b)), strict=True):
        energies = [_cell_sums(np.where(hole, band**2, 0.0))[counted] / counts for band in (fill, real)]
        octaves += 0.5 * np.abs(np.log2((energies[0] + FLOOR) / (energies[1] + FLOOR)))
    octaves /= len(SIGMAS)
    return float((octaves * counts).sum() / counts.sum())


def _bands(plane: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    blurred = [plane, *(gaussian_filter(plane, sigma) for sigma in SIGMAS)]
    return [fine - coarse for fine, coarse in pairwise(blurred)]


def _cell_sums(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W) -> (ceil(H / 32), ceil(W / 32)); the cells at the right and lower edge may be smaller."""
    rows = np.add.reduceat(plane, np.arange(0, plane.shape[0], CELL), axis=0)
    return np.add.reduceat(rows, np.arange(0, plane.shape[1], CELL), axis=1)

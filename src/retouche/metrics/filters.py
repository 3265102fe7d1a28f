"""Gaussian filters, by weighted sums of shifted arrays: no SciPy, and the same digits on any number of threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gaussian_kernel(sigma: float, radius: int) -> NDArray[np.float64]:
    """(2 radius + 1,) samples of a Gaussian, sum 1."""
    at = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 / (sigma * sigma) * at**2)
    return kernel / kernel.sum()


def gaussian_filter(plane: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """(H, W) -> (H, W) as SciPy's `ndimage.gaussian_filter` with its defaults: cut at 4 sigma, edges mirrored.

    The mirror repeats the edge pixel (c b a | a b c | c b a), again and again where the picture is smaller than the
    filter.
    """
    radius = int(4 * sigma + 0.5)
    kernel = gaussian_kernel(sigma, radius)
    for axis in (0, 1):
        padded = np.pad(plane, [(radius, radius) if axis == each else (0, 0) for each in (0, 1)], "symmetric")
        plane = _along(padded, kernel, axis)
    return plane


def valid_filter(planes: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, H, W) -> (N, H - k + 1, W - k + 1): the symmetric kernel along both axes, where it fits."""
    return _along(_along(planes, kernel, 1), kernel, 2)


def _along(values: NDArray[np.float64], kernel: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Symmetric kernel of odd length k: the axis becomes k - 1 shorter."""
    radius = len(kernel) // 2
    length = values.shape[axis] - 2 * radius

    def shifted(by: int) -> NDArray[np.float64]:
        at = [slice(None)] * values.ndim
        at[axis] = slice(by, by + length)
        return values[tuple(at)]

    result = shifted(radius) * kernel[radius]
    for distance in range(1, radius + 1):
        both = shifted(radius - distance) + shifted(radius + distance)
        both *= kernel[radius + distance]
        result += both
    return result

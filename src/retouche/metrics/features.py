"""Distances between two sets of features: Frechet's and the kernel's. With Inception's features: FID and KID.

Sources: Heusel et al. 2017 (arXiv 1706.08500), Binkowski et al. 2018 (arXiv 1801.01401). Which features they are is the
caller's to say; under the names FID and KID only those of the TensorFlow Inception network of December 2015.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError

CHUNK = 1024  # rows read at once: the sets may be memory maps larger than memory


def moments(features: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d), n at least 2."""
    n, d = features.shape
    if n < 2:
        raise InputError(f"{n} picture(s): a distance of distributions needs at least 2")
    mean = np.zeros(d)
    for start in range(0, n, CHUNK):
        mean += features[start : start + CHUNK].astype(np.float64).sum(0)
    mean /= n
    spread = np.zeros((d, d))
    for start in range(0, n, CHUNK):
        centred = features[start : start + CHUNK].astype(np.float64) - mean
        spread += centred.T @ centred
    return mean, spread / (n - 1)


def frechet_distance(filled: NDArray[Any], truth: NDArray[Any]) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features; 0 = alike.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The root's trace is the sum of the singular values of
    C1^(1/2) C2^(1/2); with fewer pictures than features, of A B^T / sqrt((n - 1) (m - 1)) for the centred features A
    and B: the same number from a far smaller matrix. It is biased upwards for few pictures: compare equal counts only.

    Args:
        filled, truth: (n, d) and (m, d)
    """
    if filled.ndim != 2 or truth.ndim != 2 or filled.shape[1] != truth.shape[1]:
        raise InputError(f"features are {filled.shape} and {truth.shape}: give (n, d) and (m, d)")
    if len(filled) * len(truth) <= filled.shape[1] ** 2:
        return _of_few(filled.astype(np.float64), truth.astype(np.float64))
    (mean_a, spread_a), (mean_b, spread_b) = moments(filled), moments(truth)
    cross = float(np.linalg.svd(_root(spread_a) @ _root(spread_b), compute_uv=False).sum())
    distance = float(((mean_a - mean_b) ** 2).sum() + np.trace(spread_a) + np.trace(spread_b) - 2 * cross)
    return max(distance, 0.0)


def _of_few(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The Frechet distance without covariance matrices."""
    if min(len(a), len(b)) < 2:
        raise InputError(f"{min(len(a), len(b))} picture(s): a distance of distributions needs at least 2")
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    cross = float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
    distance = float(((mean_a - mean_b) ** 2).sum() + (a * a).sum() + (b * b).sum() - 2 * cross)
    return max(distance, 0.0)


def _root(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a covariance; rounding's negative eigenvalues count as 0."""
    values, vectors = np.linalg.eigh(spread)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def kernel_distance(
    filled: NDArray[Any], truth: NDArray[Any], subsets: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, over random subsets.

    Args:
        filled, truth: (n, d) and (m, d)
        subsets: how many are drawn, each without repetition
        size: pictures in each; all where there are fewer
        seed: of the draw

    Returns: mean and standard deviation over the subsets; may be slightly negative
    """
    if filled.ndim != 2 or truth.ndim != 2 or filled.shape[1] != truth.shape[1]:
        raise InputError(f"features are {filled.shape} and {truth.shape}: give (n, d) and (m, d)")
    n = min(size, len(filled), len(truth))
    if n < 2:
        raise InputError(f"{n} picture(s): a distance of distributions needs at least 2")
    random = np.random.default_rng(seed)
    found = []
    if n == len(filled) == len(truth):  # every subset would be the whole
        subsets = 1
    for _ in range(subsets):
        # sorted: memory maps are read in order
        a = filled[np.sort(random.choice(len(filled), n, replace=False))].astype(np.float64)
        b = truth[np.sort(random.choice(len(truth), n, replace=False))].astype(np.float64)
        found.append(_discrepancy(a, b))
    return float(np.mean(found)), float(np.std(found))


def _discrepancy(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The unbiased estimate for two sets (n, d)."""
    n, d = a.shape
    inside_a, inside_b, across = ((x @ y.T / d + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    pairs = n * (n - 1)
    return float(
        (inside_a.sum() - np.trace(inside_a)) / pairs
        + (inside_b.sum() - np.trace(inside_b)) / pairs
        - 2 * across.mean()
    )

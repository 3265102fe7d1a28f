"""P-IDS and U-IDS: how often a linear classifier takes fills for originals (Zhao et al. 2021, arXiv 2103.10428).

The classifier is the public code's: a linear support vector machine on Inception's features, squared hinge, strength 1,
its threshold weighed like a feature (what scikit-learn calls LinearSVC(dual=False)). That problem has one solution, and
Newton's method finds it: the same figures, without that package.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError

STEPS, TOLERANCE = 100, 1e-9
HALVINGS = 40
RESAMPLES, SEED, LEVEL = 1000, 0, 0.95
STRENGTH = 1.0  # of an error beside the weights' squares


class Indistinguishable(NamedTuple):
    """Shares in 0..1, higher is better, with 95 % intervals over pictures for the classifier as it is.

    Attributes:
        paired: fills that look more like an original to the classifier than their own original does; at best 0.5
        unpaired: originals and fills that it puts on the wrong side; at best 0.5
    """

    paired: float
    paired_interval: tuple[float, float]
    unpaired: float
    unpaired_interval: tuple[float, float]


def indistinguishable(filled: NDArray[Any], truth: NDArray[Any]) -> Indistinguishable:
    """P-IDS and U-IDS of fills and their originals.

    Args:
        filled, truth: features (n, d), row by row of the same pictures

    Raises: InputError if they are not of the same shape, or of fewer than two pictures
    """
    if filled.ndim != 2 or filled.shape != truth.shape:
        raise InputError(f"features are {filled.shape} and {truth.shape}: give (n, d) of the same pictures")
    n = len(filled)
    if n < 2:
        raise InputError(f"{n} picture(s): a classifier of originals and fills needs at least 2")
    originals, fills = (np.asarray(each, np.float64) for each in (truth, filled))
    rows = np.concatenate([originals, fills])
    weights = support_vector(rows, np.concatenate([np.ones(n), -np.ones(n)]))
    real, fake = (each @ weights[:-1] + weights[-1] for each in (originals, fills))
    paired = (fake > real).astype(np.float64)
    unpaired = ((real <= 0).astype(np.float64) + (fake > 0)) / 2  # of a picture and its fill
    return Indistinguishable(float(paired.mean()), _interval(paired), float(unpaired.mean()), _interval(unpaired))


def _interval(shares: NDArray[np.float64]) -> tuple[float, float]:
    random = np.random.default_rng(SEED)
    means = [shares[random.integers(0, len(shares), len(shares))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def support_vector(rows: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (d + 1,), the threshold last: the least |w|² / 2 + sum of max(0, 1 - sign (row, 1) w)².

    Newton's method with the rows inside the margin, its step halved until the sum falls enough (Mangasarian 2002).

    Args:
        rows: (n, d)
        signs: (n,), 1 or -1
    """
    rows = np.concatenate([rows, np.ones((len(rows), 1))], 1)
    weights = np.zeros(rows.shape[1])
    value, slack = _value(weights, rows, signs)
    for _ in range(STEPS):
        inside = slack > 0
        near = rows[inside]
        gradient = weights - 2 * STRENGTH * near.T @ (slack * signs)[inside]
        if np.linalg.norm(gradient) <= TOLERANCE * max(1.0, 2 * STRENGTH * float(np.linalg.norm(rows.T @ signs))):
            break
        step = _newton(near, gradient)
        size = 1.0
        for _ in range(HALVINGS):
            further, margin = _value(weights - size * step, rows, signs)
            if further <= value - 1e-4 * size * float(gradient @ step):
                break
            size /= 2
        else:
            break  # rounding allows no more
        weights, value, slack = weights - size * step, further, margin
    return weights


def _value(
    weights: NDArray[np.float64], rows: NDArray[np.float64], signs: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """What is to be least, and how far each row is inside the margin."""
    slack = np.maximum(0, 1 - signs * (rows @ weights))
    return float(weights @ weights) / 2 + STRENGTH * float(slack @ slack), slack


def _newton(near: NDArray[np.float64], gradient: NDArray[np.float64]) -> NDArray[np.float64]:
    """(1 + 2 c XᵀX)⁻¹ gradient for the rows X, by the smaller of the two systems."""
    n, d = near.shape
    if n < d:  # Woodbury
        inner = np.eye(n) + 2 * STRENGTH * near @ near.T
        return gradient - 2 * STRENGTH * near.T @ np.linalg.solve(inner, near @ gradient)
    return np.linalg.solve(np.eye(d) + 2 * STRENGTH * near.T @ near, gradient)

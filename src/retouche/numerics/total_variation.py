"""The weights of relative total variation, and their settings; `structure.py` says what they are for."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from torch import Tensor
from torch.nn import functional

Holes = Literal["published", "cut"]

LEAST_VARIATION = 0.001  # of the windowed inherent variation, tsmooth.m
LEAST_SIGMA = 0.5


class Setting(NamedTuple):
    """The settings of RTV; what they mean: `structure.rtv`."""

    strength: float
    sigma: float
    sharpness: float
    rounds: int

    def next_sigma(self, sigma: float) -> float:
        """The texture size of the round after the one with `sigma`."""
        return max(sigma / 2, LEAST_SIGMA)


def conductances(
    smooth: Tensor, sigma: float, sharpness: float, known: Tensor | None, holes: Holes
) -> tuple[Tensor, Tensor]:
    """Weights of the differences to the right, (N, H, W - 1), and to the lower neighbour, (N, H - 1, W)."""
    n, c, h, w = smooth.shape
    gradient = smooth.new_zeros(n, h, w)
    variation = [smooth.new_zeros(n, h, w - 1), smooth.new_zeros(n, h - 1, w)]
    links = None
    if known is not None and holes == "cut":
        links = known[:, 0, :, 1:] * known[:, 0, :, :-1], known[:, 0, 1:] * known[:, 0, :-1]
        share = _blurred(known[:, 0], sigma).clamp_min_(1e-12)
    for colour in range(c):  # one by one: a large picture's planes are 100 MB each
        plane = smooth[:, colour]
        horizontal, vertical = plane.diff(dim=2), plane.diff(dim=1)
        if links is not None:
            horizontal, vertical = horizontal * links[0], vertical * links[1]
        squares = functional.pad(horizontal.square_(), (0, 1)).add_(functional.pad(vertical.square_(), (0, 0, 0, 1)))
        gradient += squares.sqrt_()
        blurred = _blurred(plane, sigma)
        if links is not None:
            blurred /= share
        variation[0] += blurred.diff(dim=2).abs_()
        variation[1] += blurred.diff(dim=1).abs_()
    gradient /= c
    if known is not None and holes == "published":
        gradient *= known[:, 0]
    sharp = gradient.clamp_min_(sharpness).reciprocal_()
    weights = (
        (variation[0] / c).clamp_min_(LEAST_VARIATION).reciprocal_().mul_(sharp[:, :, :-1]),
        (variation[1] / c).clamp_min_(LEAST_VARIATION).reciprocal_().mul_(sharp[:, :-1]),
    )
    return weights if links is None else (weights[0] * links[0], weights[1] * links[1])


def blur_reach(sigma: float) -> int:
    """How many pixels away `_blurred` looks."""
    return (math.floor(5 * sigma + 0.5) | 1) // 2


def _blurred(plane: Tensor, sigma: float) -> Tensor:
    """(N, H, W) blurred by a Gaussian of size round(5 sigma), made odd upwards; beyond the border is 0."""
    reach = blur_reach(sigma)
    taps = [math.exp(-((k - reach) ** 2) / (2 * sigma**2)) for k in range(2 * reach + 1)]
    total = sum(taps)
    for axis in (2, 1):
        length = plane.shape[axis]
        result = plane * (taps[reach] / total)
        for shift in range(1, min(reach, length - 1) + 1):
            weight = taps[reach + shift] / total
            ends = length - shift
            result.narrow(axis, shift, ends).add_(plane.narrow(axis, 0, ends), alpha=weight)
            result.narrow(axis, 0, ends).add_(plane.narrow(axis, shift, ends), alpha=weight)
        plane = result
    return plane

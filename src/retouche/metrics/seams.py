"""Seam score: how much the border of a hole shows, measured in the filled picture alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError
from retouche.masks import dilate
from retouche.metrics.pixels import luma, unit

RING = 8  # pixels on either side of the border that are compared


def seam_score(filled: NDArray[Any], hole: NDArray[np.bool_]) -> float:
    """The gradient's jump at the hole's border against the hole's surroundings, in grey levels; lower is better.

    Two parts are added, both of luma times 255:

    - an edge on the border: four pixels a b | c d in a row, the border between b and c, bend by
      |(c - b) - ((b - a) + (d - c)) / 2|, 0 on any straight ramp. The mean over the border less the mean over the known
      ring of 8 pixels around the hole, absolute.
    - texture that stops at the border (fog) or begins there: the mean absolute difference of neighbours within 8 pixels
      inside the hole less that in the ring, absolute.

    0: border and rim are like their surroundings. The truth is not needed, so the score sorts a batch by likely
    failure. It cannot see what is wrong deep in a hole, and busy surroundings count more than calm ones.

    Args:
        filled: (H, W, 3)
        hole: (H, W), True = hole

    Returns: grey levels, 0 and more; NaN where the hole has no border with two known pixels, or no known surroundings
    """
    values = luma(unit(filled)) * 255
    if hole.shape != values.shape:
        raise InputError(f"the hole is {hole.shape} but the picture is {values.shape}: give one size")
    if not hole.any() or hole.all():
        return math.nan
    ring, rim = dilate(hole, RING) & ~hole, dilate(~hole, RING) & hole
    bends: dict[str, list[NDArray[np.float64]]] = {"border": [], "ring": []}
    gradients: dict[str, list[NDArray[np.float64]]] = {"rim": [], "ring": []}
    for plane, inside, around, within in ((values, hole, ring, rim), (values.T, hole.T, ring.T, rim.T)):
        gradient = np.abs(plane[:, 1:] - plane[:, :-1])
        gradients["ring"].append(gradient[around[:, 1:] & around[:, :-1]])
        gradients["rim"].append(gradient[within[:, 1:] & within[:, :-1]])
        if plane.shape[1] < 4:
            continue
        a, b, c, d = _fours(plane)
        bend = np.abs((c - b) - ((b - a) + (d - c)) / 2)
        known = [~each for each in _fours(inside)]
        near = _fours(around)
        bends["border"].append(bend[(known[0] & known[1] & ~known[2]) | (known[3] & known[2] & ~known[1])])
        bends["ring"].append(bend[near[0] & near[1] & near[2] & near[3]])
    border, calm = (_mean(bends[place]) for place in ("border", "ring"))
    fill, known_slope = (_mean(gradients[place]) for place in ("rim", "ring"))
    if math.isnan(fill):  # a hole one pixel wide has no texture of its own
        fill = known_slope
    return abs(border - calm) + abs(fill - known_slope)


def _fours(plane: NDArray[Any]) -> list[NDArray[Any]]:
    """Each pixel of a row with its three successors."""
    return [plane[:, shift : plane.shape[1] - 3 + shift] for shift in range(4)]


def _mean(parts: list[NDArray[np.float64]]) -> float:
    count = sum(part.size for part in parts)
    return float(sum(part.sum() for part in parts)) / count if count else math.nan

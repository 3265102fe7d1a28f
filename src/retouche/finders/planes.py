"""What the finders share: sums over squares, enclosed and connected parts, light and dark spots."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from retouche.masks import Mask

Floats = NDArray[np.float32]


def box_mean(plane: Floats, radius: int) -> Floats:
    """Mean over a square around each pixel, of what lies in the picture."""
    return (box_sum(plane, radius) / box_sum(np.ones_like(plane), radius)).astype(np.float32)


def box_sum(plane: Floats, radius: int) -> NDArray[np.float64]:
    """Sum over a square of 2 radius + 1 pixels around each pixel; nothing lies beyond the border."""
    padded = np.pad(plane.astype(np.float64), radius + 1).cumsum(0).cumsum(1)
    side = 2 * radius + 1
    total = padded[side:, side:] - padded[:-side, side:] - padded[side:, :-side] + padded[:-side, :-side]
    return total[: plane.shape[0], : plane.shape[1]]


def filled(mask: Mask) -> Mask:
    """The mask with what it encloses."""
    wide = np.pad(mask, 1)
    edge = np.zeros_like(wide)
    edge[0, 0] = True
    return ~touching(~wide, edge)[1:-1, 1:-1]


def touching(mask: Mask, seeds: Mask) -> Mask:
    """The parts of a mask that hang together with a seed over their sides."""
    reached = mask & seeds
    while True:  # runs along columns and rows, both ways, until nothing more is reached
        before = int(reached.sum())
        for part, free in ((reached, mask), (reached.T, mask.T)):
            for turn in (1, -1):
                rows, open_rows = part[::turn], free[::turn]
                for row in range(1, len(rows)):
                    rows[row] |= rows[row - 1] & open_rows[row]
        if int(reached.sum()) == before:
            return reached


def spots(plane: Floats, radius: int) -> tuple[Floats, Floats]:
    """How much lighter, and how much darker, a pixel is than what stays without details up to 2 radius wide.

    Args:
        plane: (H, W)
        radius: pixels

    Returns: the white and the black top-hat transform (H, W), 0 and more
    """
    x = torch.from_numpy(plane)[None, None]
    opened = _maximum(-_maximum(-x, radius), radius)
    closed = -_maximum(-_maximum(x, radius), radius)
    light, dark = x - opened, closed - x
    return light[0, 0].numpy(), dark[0, 0].numpy()


def _maximum(x: torch.Tensor, radius: int) -> torch.Tensor:
    side = 2 * radius + 1
    across = functional.max_pool2d(x, (1, side), 1, (0, radius))
    return functional.max_pool2d(across, (side, 1), 1, (radius, 0))

"""A smooth first fill for networks to start from: close to the membrane, cheap, and for whole batches at once.

Known colours are averaged on ever coarser grids until nothing is missing; on the way back each finer grid's missing
values are the coarser ones, relaxed a few times towards the mean of their neighbours. `numerics.laplace.membrane`
solves the same equation exactly at several times the cost.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from retouche.layers.exporting import cut_to, exporting

SWEEPS = 4
"""Relaxations on each grid."""
LEVELS = 10
"""Grids of an exported graph, which cannot stop when nothing is missing: enough for holes 1,000 pixels thick."""


def first_fill(image: Tensor, mask: Tensor) -> Tensor:
    """Fill each sample's hole smoothly from its known pixels.

    Args:
        image: (N, C, H, W); the hole is not read
        mask: (N, 1, H, W), 1 = hole; a sample without any known pixel is filled with 0

    Returns: (N, C, H, W) float32 (float64 for float64), the known values unchanged
    """
    with torch.autocast(image.device.type, enabled=False):
        dtype = torch.float64 if image.dtype == torch.float64 else torch.float32
        hole = mask > 0.5
        values = image.to(dtype).masked_fill(hole, 0)
        known = (~hole).to(dtype)
        filled = _recorded(values, known, LEVELS) if exporting() else _filled(values, known)
        return torch.where(hole, filled, image.to(dtype))


def _filled(values: Tensor, known: Tensor) -> Tensor:
    """values (N, C, h, w), 0 where `known` (N, 1, h, w) is 0 -> without gaps."""
    h, w = known.shape[-2:]
    if max(h, w) == 1 or bool((known > 0).all()):
        return values
    odd = h % 2 or w % 2
    even = [functional.pad(part, (0, w % 2, 0, h % 2)) if odd else part for part in (known, values)]
    share, mean = (functional.avg_pool2d(part, 2) for part in even)
    return _refined(values, known[:, 0] == 0, _filled(mean / share.clamp_min(1e-6), (share > 0).to(known)))


def _recorded(values: Tensor, known: Tensor, levels: int) -> Tensor:
    """The same on so many grids, whatever is missing, in few operators: more grids than needed change nothing."""
    if levels == 0:
        return values
    # a line more than an even side has is left out by the pool
    share, mean = (functional.avg_pool2d(functional.pad(part, (0, 1, 0, 1)), 2) for part in (known, values))
    coarse = _recorded(mean / share.clamp_min(1e-6), (share > 0).to(known), levels - 1)
    up = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    gap = known == 0
    x = torch.where(gap, cut_to(up, values), values)
    for _ in range(SWEEPS):
        around = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        x = torch.where(gap, functional.conv2d(around, _cross(x), groups=int(x.shape[1])), x)
    return x


def _cross(x: Tensor) -> Tensor:
    """The kernel that averages the four neighbours, for each channel: (C, 1, 3, 3)"""
    cross = torch.tensor([[0.0, 0.25, 0.0], [0.25, 0.0, 0.25], [0.0, 0.25, 0.0]], dtype=x.dtype, device=x.device)
    return cross.repeat(int(x.shape[1]), 1, 1, 1)


def _refined(values: Tensor, gap: Tensor, coarse: Tensor) -> Tensor:
    """values (N, C, h, w) with its gaps (N, h, w) taken from a grid of half the size and relaxed; the rest unread."""
    n, c, h, w = values.shape
    half_h, half_w = coarse.shape[-2:]
    place = gap.flatten().nonzero()[:, 0]  # (K,), of the samples' pixels one after another
    line, x = place // w, place % w
    sample, y = line // h, line % h
    near_y, near_x = y // 2, x // 2
    far_y = (near_y + 2 * (y % 2) - 1).clamp_(0, half_h - 1)
    far_x = (near_x + 2 * (x % 2) - 1).clamp_(0, half_w - 1)
    above = coarse.transpose(0, 1).reshape(c, -1)
    start = sample * half_h

    def row(at: Tensor) -> Tensor:  # bilinear: three quarters of the nearer pixel
        first = (start + at) * half_w
        return above[:, first + near_x].mul_(0.75).add_(above[:, first + far_x], alpha=0.25)

    fresh = row(near_y).mul_(0.75).add_(row(far_y), alpha=0.25)  # (C, K)
    flat = values.transpose(0, 1).reshape(c, -1).clone()
    around = (place - w * (y > 0), place + w * (y < h - 1), place - (x > 0).to(place), place + (x < w - 1).to(place))
    for _ in range(SWEEPS):
        flat[:, place] = fresh
        fresh = flat[:, around[0]]
        for beside in around[1:]:
            fresh += flat[:, beside]
        fresh.div_(4)
    flat[:, place] = fresh
    return flat.view(c, n, h, w).transpose(0, 1)

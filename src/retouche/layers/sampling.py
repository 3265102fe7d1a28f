"""Gaussian sampling: a feature map read at fractional positions through a small Gaussian window.

Source: Ren et al. 2019, StructureFlow (arXiv 1908.03852), section 3.2; numbers follow the published CUDA kernel of
RenYurui/StructureFlow. Its backward pass truncates negative coordinates towards zero where its forward pass
floors them, so its gradient to the features is wrong there; ours is the exact one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from retouche.errors import InputError
from retouche.layers.exporting import exporting

TAPS_AT_ONCE = 1 << 20
"""Taps whose weight and index lie in memory together: 12 bytes each in float32, 12 MB."""


def gaussian_sample(features: Tensor, flow: Tensor, kernel_size: int, sigma: float) -> Tensor:
    """Read `features` at each pixel plus its flow, averaged with Gaussian weights over a window.

    The window holds the taps -(K/2 - 1) ... K/2 around the position rounded down (K = kernel_size; an odd one loses
    a tap). Weights are exp(-distance² / (2 sigma²)) of the true distance, divided by their sum; indices beyond the
    border are clamped to it. Weights do not fade to zero at the window's edge, so the output jumps where a
    position crosses an integer; the gradient to the flow takes the rounded position as constant.

    Args:
        features: (N, C, H, W)
        flow: (N, 2, h, w), offsets (x, y) in feature pixels; h and w may differ from H and W (nothing is scaled)
        kernel_size: taps along each axis, at least 2
        sigma: of the weights, in pixels; 0 reads whole positions only

    Returns: (N, C, h, w) in the features' dtype. float16 and bfloat16 are computed in float32.
    Raises: InputError if shapes, kernel or sigma do not fit
    """
    n, c, h, w = features.shape if features.ndim == 4 else (0, 0, 0, 0)
    if n == 0 or flow.ndim != 4 or flow.shape[:2] != (n, 2):
        raise InputError(
            f"features are {tuple(features.shape)} and flow is {tuple(flow.shape)}: give (N, C, H, W) and (N, 2, h, w)"
        )
    if kernel_size < 2 or sigma < 0:
        raise InputError(f"kernel_size is {kernel_size} and sigma {sigma}: give at least 2 taps and no negative sigma")
    dtype = torch.promote_types(torch.promote_types(features.dtype, flow.dtype), torch.float32)
    rows, columns = flow.shape[2:]
    table = (
        features.to(dtype).permute(0, 2, 3, 1).reshape(n * h * w, c).contiguous()
    )  # else the bags are 20 times slower
    flow = flow.to(dtype)
    x = (flow[:, 0] + torch.arange(columns, device=flow.device, dtype=dtype)).flatten()
    y = (flow[:, 1] + torch.arange(rows, device=flow.device, dtype=dtype)[:, None]).flatten()
    first = torch.arange(n, device=flow.device).repeat_interleave(rows * columns) * (h * w)
    if exporting():
        output = _gathered(table, x, y, first, (h, w), kernel_size, sigma)
        return output.view(n, rows, columns, c).permute(0, 3, 1, 2).to(features.dtype)

    # one position's taps are one bag of table rows; both gradients come from embedding_bag itself
    size = max(1, TAPS_AT_ONCE // kernel_size**2)
    parts = list(zip(x.split(size), y.split(size), first.split(size), strict=True))
    again = len(parts) > 1 and torch.is_grad_enabled() and (table.requires_grad or flow.requires_grad)
    sampled = [
        # the backward pass makes a part's weights anew instead of keeping those of all parts
        checkpoint(_bags, table, *part, (h, w), kernel_size, sigma, use_reentrant=False, preserve_rng_state=False)
        if again
        else _bags(table, *part, (h, w), kernel_size, sigma)
        for part in parts
    ]
    output = torch.cat(sampled) if len(sampled) > 1 else sampled[0]  # (N h w, C)
    return output.view(n, rows, columns, c).permute(0, 3, 1, 2).contiguous().to(features.dtype)


def _bags(
    table: Tensor, x: Tensor, y: Tensor, first: Tensor, size: tuple[int, int], kernel_size: int, sigma: float
) -> Tensor:
    """The weighted sums of table rows around the positions x, y (P,); `first` is the row of each one's pixel (0, 0)."""
    h, w = size
    columns, along_x = _taps(x, w, kernel_size, sigma)  # (P, K)
    rows, along_y = _taps(y, h, kernel_size, sigma)
    index = (first[:, None] + rows * w)[:, :, None] + columns[:, None, :]
    weight = along_y[:, :, None] * along_x[:, None, :]
    if table.shape[0] < 2**31:
        index = index.int()
    return functional.embedding_bag(index.flatten(1), table, mode="sum", per_sample_weights=weight.flatten(1))


def _gathered(
    table: Tensor, x: Tensor, y: Tensor, first: Tensor, size: tuple[int, int], kernel_size: int, sigma: float
) -> Tensor:
    """`_bags` by operators that every engine has: one row of taps after the other."""
    h, w = size
    columns, along_x = _taps(x, w, kernel_size, sigma)  # (P, K)
    rows, along_y = _taps(y, h, kernel_size, sigma)
    total = torch.zeros_like(table[:1, :1])
    for tap in range(along_y.shape[1]):
        index = (first + rows[:, tap] * w)[:, None] + columns  # (P, K)
        total = total + along_y[:, tap, None] * (along_x[:, None] @ table[index])[:, 0]
    return total


def _taps(position: Tensor, length: int, kernel_size: int, sigma: float) -> tuple[Tensor, Tensor]:
    """Indices (P, K) along one axis, clamped to it, and weights that add up to 1."""
    half = kernel_size // 2
    offsets = torch.arange(1 - half, half + 1, device=position.device)
    whole = position.detach().floor()
    distance = offsets - (position - whole)[:, None]
    weight = torch.exp(-(distance**2) / max(2 * sigma**2, 1e-8))
    total = weight.sum(1, keepdim=True)
    weight = weight / torch.where(total == 0, 1e-8, total)
    # clamped before it becomes an integer: a flow of 1e20 must not wrap around
    index = whole.clamp(-kernel_size, length + kernel_size).long()[:, None] + offsets
    return index.clamp(0, length - 1), weight

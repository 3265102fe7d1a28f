"""Convolutions only where their result is wanted: near a hole, where a whole map would be thrown away elsewhere.

A map (N, C, H, W) is kept as `Cells`: one row of C values for each cell that is wanted. A convolution gathers the rows
beneath its kernel and multiplies them with the kernel as one matrix; beyond the picture and where nothing is kept it
reads zeros. The same sums as the dense convolution's, in another order. (Graham et al. 2018, arXiv 1711.10275, call
convolutions that keep to a set of cells submanifold sparse.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CHUNK = 1024
"""Rows multiplied at once: what is gathered for them stays in the processor's cache."""


@dataclass(frozen=True)
class Cells:
    """Some cells of a map.

    Attributes:
        rows: (K + 1, C); the last row is 0 and stands for every cell that is not kept
        number: (N, H, W), int64: a cell's row; K where it is not kept
    """

    rows: Tensor
    number: Tensor


def grown(wanted: Tensor, by: int) -> Tensor:
    """(N, H, W) bool -> the cells at most `by` cells away in rows and columns."""
    for axis in (1, 2):
        length, spread = wanted.shape[axis], wanted.clone()
        for step in range(1, min(by, length - 1) + 1):
            spread.narrow(axis, step, length - step).logical_or_(wanted.narrow(axis, 0, length - step))
            spread.narrow(axis, 0, length - step).logical_or_(wanted.narrow(axis, step, length - step))
        wanted = spread
    return wanted


def parents(wanted: Tensor) -> Tensor:
    """(N, H, W) bool, H and W even -> (N, H/2, W/2): the cells of half the size that hold a wanted one."""
    rows = wanted[:, ::2] | wanted[:, 1::2]
    return rows[..., ::2] | rows[..., 1::2]


def kept(rows: Tensor, wanted: Tensor) -> Cells:
    """Rows (K, C) in the order of the wanted cells (N, H, W) bool."""
    number = torch.full(wanted.shape, len(rows), device=rows.device)
    number[wanted] = torch.arange(len(rows), device=rows.device)
    return Cells(functional.pad(rows, (0, 0, 0, 1)), number)


def from_dense(x: Tensor, wanted: Tensor) -> Tensor:
    """(N, C, H, W) -> the wanted cells' rows (K, C)"""
    rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    return rows[wanted.flatten().nonzero()[:, 0]]


def at(cells: Cells, wanted: Tensor) -> Tensor:
    """The rows (K, C) of the wanted cells."""
    return cells.rows[cells.number[wanted]]


def convolved(cells: Cells, wanted: Tensor, convolution: nn.Conv2d) -> Tensor:
    """The convolution's result (K, out) at the wanted cells; stride 1, odd kernel, zeros beyond the border."""
    height, width = convolution.kernel_size
    dilation = convolution.dilation[0]
    border = dilation * (height // 2)
    number = functional.pad(cells.number, (border,) * 4, value=len(cells.rows) - 1)
    stride = number.shape[2]
    offsets = torch.tensor(
        [(y * stride + x) * dilation for y in range(height) for x in range(width)], device=number.device
    )
    n, y, x = wanted.nonzero().unbind(1)
    first = (n * number.shape[1] + y) * stride + x  # the kernel's upper left cell, in the map with a border
    kernel = convolution.weight.permute(2, 3, 1, 0).reshape(-1, convolution.out_channels)
    result = cells.rows.new_empty(len(first), convolution.out_channels)
    for some, made in zip(first.split(CHUNK), result.split(CHUNK), strict=True):
        beneath = number.flatten()[some[:, None] + offsets]  # (chunk, cells of the kernel)
        gathered = cells.rows.index_select(0, beneath.flatten()).view(len(some), len(kernel))
        torch.mm(gathered, kernel, out=made)
    return result if convolution.bias is None else result.add_(convolution.bias)


def doubled(rows: Tensor, coarse: Tensor, wanted: Tensor, spread: nn.Conv2d) -> Tensor:
    """What `functional.pixel_shuffle(spread(x), 2)` has at the wanted cells.

    Args:
        rows: (K, C), of the coarse cells
        coarse: (N, H/2, W/2), bool: holds every parent of a wanted cell
        wanted: (N, H, W), bool
        spread: the 1x1 convolution to four times the channels

    Returns: (cells, C')
    """
    channels = spread.out_channels // 4
    kernel = spread.weight.view(channels, 4, -1).transpose(0, 1).reshape(4 * channels, -1)  # the 2x2 pixels first
    assert spread.bias is not None
    bias = spread.bias.view(channels, 4).t().reshape(-1)
    four = torch.addmm(bias, rows, kernel.t()).view(-1, channels)
    number = torch.zeros(coarse.shape, dtype=torch.long, device=rows.device)
    number[coarse] = torch.arange(len(rows), device=rows.device)
    n, y, x = wanted.nonzero().unbind(1)
    return four[4 * number[n, y // 2, x // 2] + 2 * (y % 2) + x % 2]

"""Fast Fourier convolution's global part: a 1x1 convolution over the frequencies of the whole map.

Source: Chi, Jiang, Mu 2020 (Fast Fourier Convolution, NeurIPS) as LaMa uses it (arXiv 2109.07161): no local Fourier
unit, no gates. Tensor names are those of advimman/lama.

The transform is computed in float32 at least: its lowest frequency is the mean times sqrt(h w), which half precision
cannot hold, and half-precision transforms are missing on most devices. Where a network is exported or compiled it is
written as products with tables of sines, which every engine knows; both forms are exact up to rounding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def frequencies(x: Tensor) -> Tensor:
    """The real two-dimensional transform, scaled by 1 / sqrt(h w).

    Args:
        x: (N, C, h, w), real

    Returns: (N, 2 C, h, w // 2 + 1), float32 or float64: channel 2 c is the real part of channel c, 2 c + 1 the
        imaginary part
    """
    with torch.autocast(x.device.type, enabled=False):
        found = torch.view_as_real(torch.fft.rfft2(_full(x), norm="ortho"))  # (N, C, h, K, 2)
        return found.permute(0, 1, 4, 2, 3).flatten(1, 2)


def pictured(parts: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `frequencies` for a map of this size.

    Imaginary parts that no real map has (of the lowest column and, for even widths, of the highest) are ignored.

    Args:
        parts: (N, 2 C, height, width // 2 + 1)

    Returns: (N, C, height, width)
    """
    with torch.autocast(parts.device.type, enabled=False):
        pairs = _full(parts).unflatten(1, (-1, 2)).permute(0, 1, 3, 4, 2).contiguous()
        return torch.fft.irfft2(torch.view_as_complex(pairs), s=(height, width), norm="ortho")


def frequencies_by_products(x: Tensor) -> Tensor:
    """`frequencies` without a Fourier operator: products with tables of cosines and sines."""
    with torch.autocast(x.device.type, enabled=False):
        x = _full(x)
        kept = x.shape[-1] // 2 + 1
        (tall, tall_sine), (wide, wide_sine) = tables(x[0, 0, :, 0]), tables(x[0, 0, 0], kept)
        a, b = x @ wide, -(x @ wide_sine)  # along each row
        return torch.stack([tall @ a + tall_sine @ b, tall @ b - tall_sine @ a], 2).flatten(1, 2)


def pictured_by_products(parts: Tensor, like: Tensor) -> Tensor:
    """`pictured` without a Fourier operator.

    Args:
        parts: (N, 2 C, h, w // 2 + 1)
        like: (N, C, h, w), whose size is wanted
    """
    with torch.autocast(parts.device.type, enabled=False):
        parts, like = _full(parts), _full(like)
        kept = parts.shape[-1]
        (tall, tall_sine), (wide, wide_sine) = tables(like[0, 0, :, 0]), tables(like[0, 0, 0], kept)
        real, imaginary = parts.unflatten(1, (-1, 2)).unbind(2)
        a, b = tall @ real - tall_sine @ imaginary, tall @ imaginary + tall_sine @ real
        # each column stands for itself and its mirror image, but the lowest and, for even widths, the highest
        column = _positions(like.new_ones(kept))
        alone = (column == 0).to(parts) + (2 * column == torch.ones_like(like[0, 0, 0]).sum()).to(parts)
        share = 2 - alone
        return a @ (wide * share).t() - b @ (wide_sine * share).t()


def _full(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _positions(line: Tensor) -> Tensor:
    """0, 1, 2, ... of a line's length, by sums alone: exporters follow these through any size."""
    return torch.ones_like(line).cumsum(0) - 1


def tables(line: Tensor, columns: int | None = None) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi i k / n over sqrt(n) for a line of n; exact in float32 up to n = 4,096.

    Args:
        line: (n,), whose length and type are wanted
        columns: how many k; n by default

    Returns: (n, columns) each
    """
    position = _positions(line)
    across = position if columns is None else _positions(line.new_ones(columns))
    n = torch.ones_like(line).sum()
    product = position[:, None] * across[None, :]
    angle = (product - n * (product / n).floor()) * (2 * math.pi) / n
    return angle.cos() / n.sqrt(), angle.sin() / n.sqrt()


class FourierUnit(nn.Module):
    """1x1 convolution, batch normalisation and ReLU over real and imaginary parts, which are channels of their own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> the same shape and dtype."""
        by_products = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
        parts = frequencies_by_products(x) if by_products else frequencies(x)
        parts = functional.relu(self.bn(self.conv_layer(parts.to(x.dtype))))
        result = pictured_by_products(parts, x) if by_products else pictured(parts, x.shape[-2], x.shape[-1])
        return result.to(x.dtype)


class SpectralTransform(nn.Module):
    """Half the channels, once as they are and once through the Fourier unit, then a 1x1 convolution of the sum."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = outputs // 2
        self.conv1 = nn.Sequential(nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU())
        self.fu = FourierUnit(inner)
        self.conv2 = nn.Conv2d(inner, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        x = self.conv1(x)
        return self.conv2(x + self.fu(x))

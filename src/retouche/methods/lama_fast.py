"""LaMa's generator for use: the same numbers as `lama.LamaGenerator`'s layers give, sooner and in less memory.

Batch normalisation is folded into the convolutions, each half is padded once for all that read it, pixels lie together
in memory where the 3x3 convolutions work, and the layers at full size are computed in strips of rows. Gradients reach
the features, not the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.layers.fourier import frequencies, pictured

STRIP_PIXELS = 1 << 18
"""Pixels of a strip: what it holds at once is 64 channels of each."""

Halves = tuple[Tensor, Tensor]
"""Local and global features."""


class Weight(NamedTuple):
    """Of a convolution with what followed it folded in."""

    kernel: Tensor
    bias: Tensor | None = None


class Layer(NamedTuple):
    """One layer with both halves; `bn_l` and `bn_g` are folded into all that adds up before them."""

    local: Weight
    local_to_global: Weight
    global_to_local: Weight
    narrow: Weight
    frequencies: Weight
    widen: Weight


@dataclass(frozen=True)
class Folded:
    """All weights of a generator, detached.

    Attributes:
        head: 7x7, then two of stride 2
        split: stride 2, to the local and to the global half
        blocks: the two layers of each residual block
        tail: three transposed convolutions
        last: 7x7, to the picture
    """

    head: tuple[Weight, ...]
    split: tuple[Weight, Weight]
    blocks: tuple[tuple[Layer, Layer], ...]
    tail: tuple[Weight, ...]
    last: Weight


def folded(layer: nn.Module, norm: nn.Module | None = None) -> Weight:
    """A convolution's kernel and bias, with the batch normalisation behind it where there is one."""
    assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    kernel, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    if norm is None:
        return Weight(_laid(kernel), bias)
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_var is not None and norm.running_mean is not None
    factor = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    each = (1, -1, 1, 1) if isinstance(layer, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    shift = norm.bias.detach().double() + ((0 if bias is None else bias.double()) - norm.running_mean.double()) * factor
    return Weight(_laid((kernel.double() * factor.view(each)).to(kernel)), shift.to(kernel))


def _laid(kernel: Tensor) -> Tensor:
    return kernel.contiguous(memory_format=torch.channels_last) if kernel.shape[-1] > 1 else kernel.contiguous()


# Blocks


def block(layers: tuple[Layer, Layer], x: Halves) -> Halves:
    """A residual block: both layers end in a ReLU, nothing follows the sum."""
    y = _layer(layers[1], _layer(layers[0], x))
    return x[0] + y[0], x[1] + y[1]


def _layer(layer: Layer, x: Halves) -> Halves:
    near, far = (functional.pad(half, (1, 1, 1, 1), mode="reflect") for half in x)
    local = functional.conv2d(near, *layer.local)
    local = local + functional.conv2d(far, *layer.global_to_local)
    spread = functional.conv2d(near, *layer.local_to_global)
    spread = spread + _spectral(layer, x[1])
    return functional.relu_(local), functional.relu_(spread)


def _spectral(layer: Layer, x: Tensor) -> Tensor:
    """1x1 convolutions and transforms are quicker here with each channel's pixels together."""
    a = functional.relu_(functional.conv2d(x.contiguous(), *layer.narrow))
    parts = functional.relu_(functional.conv2d(frequencies(a).to(a), *layer.frequencies))
    made = functional.conv2d(a + pictured(parts, *a.shape[-2:]).to(a), *layer.widen)
    return made.contiguous(memory_format=torch.channels_last)


# Ends


def head(weights: Folded, seen: Tensor) -> Halves:
    """Network input (N, 4, H, W), 0..1 -> the halves that enter the first block, (N, C, H/8, W/8)."""
    height, width = seen.shape[-2:]
    seen = functional.pad(seen, (3, 3, 3, 3), mode="reflect").contiguous(memory_format=torch.channels_last)
    rows = _strip_rows(width)
    strips = []
    for first in range(0, height, rows):  # rows first - 1 .. last of the 7x7 layer
        last = min(first + rows, height)
        start = max(first - 1, 0)
        x = functional.relu_(functional.conv2d(seen[:, :, start : last + 6], *weights.head[0]))
        x = functional.pad(x, (1, 0, 1 if first == 0 else 0, 0), mode="reflect")
        strips.append(functional.relu_(functional.conv2d(x, *weights.head[1], stride=2)))
        del x
    x = strips[0] if len(strips) == 1 else torch.cat(strips, 2)
    x = functional.relu_(functional.conv2d(_before(x), *weights.head[2], stride=2))
    x = _before(x)
    local, spread = (functional.relu_(functional.conv2d(x, *weight, stride=2)) for weight in weights.split)
    return local, spread


def _before(x: Tensor) -> Tensor:
    """Reflected by a pixel above and at the left: with stride 2 even sides need nothing below and at the right."""
    return functional.pad(x, (1, 0, 1, 0), mode="reflect")


def tail(weights: Folded, x: Halves) -> Tensor:
    """The halves behind the last block -> picture (N, 3, H, W), 0..1."""
    y = _doubled(weights.tail[0], torch.cat(x, 1), 0, 2 * x[0].shape[-2])
    height, rows = 4 * y.shape[-2], _strip_rows(4 * y.shape[-1])
    strips = [_tail_strip(weights, y, first, min(first + rows, height)) for first in range(0, height, rows)]
    return strips[0] if len(strips) == 1 else torch.cat(strips, 2)


def _tail_strip(weights: Folded, y: Tensor, first: int, last: int) -> Tensor:
    """Rows first..last of the picture from features (N, C, H/4, W/4)."""
    height = 4 * y.shape[-2]
    start, end = max(first - 3, 0), min(last + 3, height)
    above, below = start // 2, min(end // 2 + 1, height // 2)  # rows at half the size
    x = _doubled(weights.tail[1], y, above, below)
    x = _doubled(weights.tail[2], x, start - 2 * above, end - 2 * above)
    x = functional.pad(x, (3, 3, 3 if first == 0 else 0, 3 if last == height else 0), mode="reflect")
    return _last(weights.last, x)


def _last(weight: Weight, x: Tensor) -> Tensor:
    """The 7x7 convolution to three channels: columns of 7 to 21 channels first, then these side by side.

    Kernels with few outputs leave most of a processor's lanes empty: 21 fill them better than 3.
    """
    kernel, bias = weight
    outputs, inputs, _, wide = kernel.shape
    columns = kernel.permute(3, 0, 1, 2).reshape(wide * outputs, inputs, -1, 1)
    tall = functional.conv2d(x, columns.contiguous(memory_format=torch.channels_last))
    width = tall.shape[-1] - wide + 1
    made = sum(
        (tall[:, i * outputs : (i + 1) * outputs, :, i : i + width] for i in range(1, wide)),
        tall[:, :outputs, :, :width],
    )
    assert bias is not None and isinstance(made, Tensor)
    return torch.sigmoid(made + bias.view(1, -1, 1, 1)).contiguous()


def _doubled(weight: Weight, x: Tensor, first: int, last: int) -> Tensor:
    """Rows first..last of the transposed convolution of x, stride 2, behind its ReLU."""
    above, below = first // 2, min(last // 2 + 1, x.shape[-2])
    made = functional.conv_transpose2d(x[:, :, above:below], *weight, stride=2, padding=1, output_padding=1)
    return functional.relu_(made[:, :, first - 2 * above : last - 2 * above])


def _strip_rows(width: int) -> int:
    """A multiple of 8."""
    return max(8, STRIP_PIXELS // width // 8 * 8)

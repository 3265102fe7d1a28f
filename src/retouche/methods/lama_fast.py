"""LaMa's generator for use: the same numbers as `lama.LamaGenerator`'s layers give, sooner and in less memory.

Batch normalisation is folded into the convolutions, each half is padded once for all that read it, channels lie
together in memory, where 1x1 convolutions and the Fourier transform are products of matrices, and the layers at full
size are computed in strips of rows. Gradients reach the features, not the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from retouche.layers.fourier import tables
from retouche.layers.winograd import convolved, worthwhile

STRIP_PIXELS = 1 << 18
"""Pixels of a strip: what it holds at once is 64 channels of each."""

Halves = tuple[Tensor, Tensor]
"""Local and global features."""


class Weight(NamedTuple):
    """Of a convolution with what followed it folded in."""

    kernel: Tensor
    bias: Tensor | None = None


class Layer(NamedTuple):
    """One layer with both halves; `bn_l` and `bn_g` are folded into all that adds up before them.

    `narrow`, `frequencies` and `widen` are matrices (inputs, outputs); in `frequencies` all real parts come before all
    imaginary ones.
    """

    local: Weight
    local_to_global: Weight
    global_to_local: Weight
    narrow: Weight
    frequencies: Weight
    widen: Weight


class Transforms(NamedTuple):
    """The Fourier transform of maps of one size as matrices, see `layers.fourier`.

    Attributes:
        across, down: from (w) to real and imaginary parts (2 K); of both parts along a column (2 h, 2 h)
        up, along: back
    """

    across: Tensor
    down: Tensor
    up: Tensor
    along: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Transforms:
        """For features (N, C, h, w); float32, or float64 where they are."""
        like = x.new_zeros(1, dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)
        (tall, tall_sine), (wide, wide_sine) = (tables(like.expand(side)) for side in x.shape[-2:])
        kept = x.shape[-1] // 2 + 1
        share = like.new_full((kept, 1), 2.0)  # a column stands for its mirror image, too
        share[0] = 1
        if x.shape[-1] % 2 == 0:
            share[-1] = 1
        return cls(
            across=torch.cat([wide[:kept], -wide_sine[:kept]]),
            down=torch.cat([torch.cat([tall, tall_sine], 1), torch.cat([-tall_sine, tall], 1)]),
            up=torch.cat([torch.cat([tall, -tall_sine], 1), torch.cat([tall_sine, tall], 1)]),
            along=torch.cat([wide[:kept] * share, -wide_sine[:kept] * share]).t().contiguous(),
        )


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


def as_matrix(weight: Weight) -> Weight:
    """A 1x1 convolution's kernel (outputs, inputs, 1, 1) as (inputs, outputs)."""
    return weight._replace(kernel=weight.kernel[:, :, 0, 0].t().contiguous())


def parts_apart(weight: Weight) -> Weight:
    """A matrix over real and imaginary parts in turn, with all real parts first, of inputs and outputs alike."""
    order = torch.arange(len(weight.kernel), device=weight.kernel.device).view(-1, 2).t().flatten()
    return Weight(weight.kernel[order][:, order].contiguous(), _bias(weight)[order])


def _laid(kernel: Tensor) -> Tensor:
    return kernel.contiguous(memory_format=torch.channels_last) if kernel.shape[-1] > 1 else kernel.contiguous()


# Blocks


def block(layers: tuple[Layer, Layer], x: Halves, transforms: Transforms) -> Halves:
    """A residual block: both layers end in a ReLU, nothing follows the sum."""
    y = _layer(layers[1], _layer(layers[0], x, transforms), transforms)
    return x[0] + y[0], x[1] + y[1]


def _layer(layer: Layer, x: Halves, transforms: Transforms) -> Halves:
    local, spread = _mixed(layer, *(functional.pad(half, (1, 1, 1, 1), mode="reflect") for half in x))
    spread = spread.permute(0, 2, 3, 1).contiguous()  # (N, h, w, C)
    rows = spread.view(-1, spread.shape[-1]).addmm_(_spectral(layer, x[1], transforms), layer.widen.kernel)
    return functional.relu_(local), functional.relu_(rows).view(spread.shape).permute(0, 3, 1, 2)


def _mixed(layer: Layer, near: Tensor, far: Tensor) -> Halves:
    """The three 3x3 convolutions of the padded halves."""
    to_local, to_global, back = layer.local, layer.local_to_global, layer.global_to_local.kernel
    if worthwhile(near):
        local, spread = convolved((near, far), ((to_local.kernel, back), (to_global.kernel, None)))
        return local.add_(_bias(to_local).view(-1, 1, 1)), spread.add_(_bias(to_global).view(-1, 1, 1))
    local = functional.conv2d(near, *to_local)
    local += functional.conv2d(far, back)
    return local, functional.conv2d(near, *to_global)


def _spectral(layer: Layer, x: Tensor, transforms: Transforms) -> Tensor:
    """Features (N, C, h, w) -> rows (N h w, C / 2) of what `widen` takes."""
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, c)
    a = functional.relu_(torch.addmm(_bias(layer.narrow), rows, layer.narrow.kernel))
    c = a.shape[1]
    full = a.to(transforms.across.dtype).view(n, h, w, c)
    k = w // 2 + 1
    parts = (transforms.across @ full).view(n, h, 2, k, c).transpose(1, 2).reshape(n, 2 * h, k * c)
    parts = (transforms.down @ parts).to(a.dtype).view(n, 2, h * k, c).transpose(1, 2).reshape(-1, 2 * c)
    result = functional.relu_(torch.addmm(_bias(layer.frequencies), parts, layer.frequencies.kernel))
    both = result.view(n, h * k, 2, c).transpose(1, 2).reshape(n, 2 * h, k * c).to(full.dtype)
    back = transforms.up @ both
    back = back.view(n, 2, h, k, c).transpose(1, 2).reshape(n, h, 2 * k, c)
    return a + (transforms.along @ back).to(a.dtype).view(-1, c)


def _bias(weight: Weight) -> Tensor:
    assert weight.bias is not None
    return weight.bias


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


def tail(weights: Folded, x: Halves, again: bool = False) -> Tensor:
    """The halves behind the last block -> picture (N, 3, H, W), 0..1.

    Args:
        again: whether each strip is computed once more for its gradients, instead of being kept
    """
    y = _doubled(weights.tail[0], torch.cat(x, 1), 0, 2 * x[0].shape[-2])
    height, rows = 4 * y.shape[-2], _strip_rows(4 * y.shape[-1])
    strips = []
    for first in range(0, height, rows):
        words = weights, y, first, min(first + rows, height)
        strips.append(checkpoint(_tail_strip, *words, use_reentrant=False) if again else _tail_strip(*words))
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
    result = sum(
        (tall[:, i * outputs : (i + 1) * outputs, :, i : i + width] for i in range(1, wide)),
        tall[:, :outputs, :, :width],
    )
    assert bias is not None and isinstance(result, Tensor)
    return torch.sigmoid(result + bias.view(1, -1, 1, 1)).contiguous()


def _doubled(weight: Weight, x: Tensor, first: int, last: int) -> Tensor:
    """Rows first..last of the transposed convolution of x, stride 2, behind its ReLU."""
    above, below = first // 2, min(last // 2 + 1, x.shape[-2])
    result = functional.conv_transpose2d(x[:, :, above:below], *weight, stride=2, padding=1, output_padding=1)
    return functional.relu_(result[:, :, first - 2 * above : last - 2 * above])


def _strip_rows(width: int) -> int:
    """A multiple of 8."""
    return max(8, STRIP_PIXELS // width // 8 * 8)

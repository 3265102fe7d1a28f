"""The block of AOT-GAN: dilated convolutions side by side, whose sum of views is let in through a gate.

Source: Zeng et al. 2021 (arXiv 2104.01431), researchmm/AOT-GAN-for-Inpainting; the narrow branches are those of
lazy-cat-y/SII-GAN-for-Image-Inpainting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from retouche.layers.exporting import exporting, plainly, without_autocast
from retouche.layers.winograd import convolved, worthwhile

BAND_BYTES = 8 * 2**20
"""What is squared at a time: pieces of this size are in the memory that the last one left."""

Branch = Literal["plain", "narrow", "shrinking"]
Gate = Literal["normalised", "plain"]


class DilatedBranch(nn.Module):
    """One view of the features: a dilated 3x3 convolution and, unless plain, a narrow pass behind it.

    Args:
        inputs, outputs: channels
        rate: dilation in pixels
        kind: "plain" ends after the dilated convolution and its ReLU; "narrow" goes on through a quarter of the
            channels (1x1, 3x3, 1x1, ReLU between them, none at the end); "shrinking" is narrow without the padding
            of its inner 3x3, so that the result is 2 pixels smaller each way
    """

    def __init__(self, inputs: int, outputs: int, rate: int, kind: Branch = "plain") -> None:
        super().__init__()
        self.kind = kind
        self.dilated = nn.Conv2d(inputs, outputs, 3, dilation=rate)
        if kind != "plain":
            self.squeeze = nn.Conv2d(outputs, outputs // 4, 1)
            self.inner = nn.Conv2d(outputs // 4, outputs // 4, 3)
            self.expand = nn.Conv2d(outputs // 4, outputs, 1)

    def forward(self, padded: Tensor) -> Tensor:
        """Features already padded by the rate -> (N, outputs, h, w), or (h - 2, w - 2) where shrinking."""
        return self.seen(self.dilated(padded))

    def seen(self, x: Tensor) -> Tensor:
        """What follows the dilated convolution, whose result is overwritten."""
        x = functional.relu(x, inplace=True)
        if self.kind == "plain":
            return x
        x = functional.relu(self.squeeze(x))
        if self.kind == "narrow":
            x = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return self.expand(functional.relu(self.inner(x)))


class DilatedBlock(nn.Module):
    """Dilated branches, joined and let in through a gate that looks at the block's input.

    Args:
        channels: in and out
        rates: dilations of the branches, each of channels / len(rates)
        branch: as in `DilatedBranch`
        fuse: whether a 3x3 convolution mixes the joined branches
        gate: "normalised" lets the new in by sigmoid of the gate normalised over the whole map (see
            `normalised_gate`); "plain" keeps the old by sigmoid of the gate
    """

    def __init__(
        self,
        channels: int,
        rates: Sequence[int] = (1, 2, 4, 8),
        branch: Branch = "plain",
        fuse: bool = True,
        gate: Gate = "normalised",
    ) -> None:
        super().__init__()
        self.rates, self.rule = tuple(rates), gate
        self.branches = nn.ModuleList(DilatedBranch(channels, channels // len(rates), r, branch) for r in rates)
        self.fuse = nn.Conv2d(channels, channels, 3) if fuse else None
        self.gate = nn.Conv2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same shape; h and w must exceed the largest rate."""
        *views, around = mirrored(x, (*self.rates, 1))
        if not plainly(x) and not exporting() and x.dtype in {torch.float32, torch.float64}:
            return self._for_use(x, views, around)
        joined = torch.cat([branch(view) for branch, view in zip(self.branches, views, strict=True)], 1)
        if self.fuse is not None:
            (around_joined,) = mirrored(joined, (1,))
            joined = self.fuse(around_joined)
        if joined.shape != x.shape:  # shrinking branches
            joined = functional.interpolate(joined, size=x.shape[-2:], mode="bilinear", align_corners=True)
        gate = self.gate(around)
        if self.rule == "plain":
            return torch.lerp(joined, x.to(joined.dtype), torch.sigmoid(gate))
        return torch.lerp(x.to(joined.dtype), joined, normalised_gate(gate))

    def _for_use(self, x: Tensor, views: Sequence[Tensor], around: Tensor) -> Tensor:
        """The same without gradients, with fewer multiplications and little new memory."""
        branches = list(zip(self.rates, self.branches, views, strict=True))
        first = [branch.dilated for rate, branch, _ in branches if rate == 1]  # these see what the gate sees
        gate, *made = side_by_side(around, [self.gate, *first])  # type: ignore[list-item]
        results = iter(made)
        joined = torch.cat(
            [branch.seen(next(results)) if rate == 1 else branch(view) for rate, branch, view in branches],  # type: ignore[operator]
            1,
        )
        if self.fuse is not None:
            (joined,) = side_by_side(mirrored(joined, (1,))[0], [self.fuse])
        if joined.shape != x.shape:  # shrinking branches
            joined = functional.interpolate(joined, size=x.shape[-2:], mode="bilinear", align_corners=True)
        # products come four pixels at a time: where some are left over, what was wanted lies in rows with gaps
        dense = joined.is_contiguous() or joined.is_contiguous(memory_format=torch.channels_last)
        room = joined if dense else None
        if self.rule == "plain":
            return torch.lerp(joined, x, gate.sigmoid_(), out=room)
        return torch.lerp(x, joined, normalised_gate_(gate), out=room)


def side_by_side(padded: Tensor, layers: Sequence[nn.Conv2d]) -> list[Tensor]:
    """3x3 convolutions of one map, mirrored by a pixel; by products of matrices where that is quicker.

    Of 256 channels at 128x128 two such layers took 0.51 of their time, with a third to 64 channels 0.53.
    """
    if not worthwhile(padded):
        return [layer(padded) for layer in layers]
    results = convolved([padded], [[layer.weight] for layer in layers])
    for result, layer in zip(results, layers, strict=True):
        if layer.bias is not None:
            result.add_(layer.bias[:, None, None])
    return results


def mirrored(x: Tensor, margins: Sequence[int]) -> Sequence[Tensor]:
    """The map with each of these margins of mirrored pixels. Only the widest is made: the others lie in its inside."""
    if torch.is_grad_enabled() and x.requires_grad:
        return Mirrored.apply(x, *margins)
    device = x.device.type
    # autocast would mirror in float32 and back: copied numbers need no precision
    with without_autocast(device):
        padded = functional.pad(x, (max(margins),) * 4, mode="reflect")
    return [_trimmed(padded, max(margins) - margin) for margin in margins]


class Mirrored(torch.autograd.Function):
    """`mirrored` for training: one sum takes up the gradients of all margins, each where it lies.

    PyTorch's own backward pads the gradient of every cut with zeros to the whole again, and adds those.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *margins: int) -> tuple[Tensor, ...]:
        """(N, C, h, w) -> a tensor (N, C, h + 2m, w + 2m) for each margin m."""
        ctx.margins = margins
        return tuple(mirrored(x, margins))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        widest = max(ctx.margins)
        first = ctx.margins.index(widest)
        half = slopes[first].dtype in {torch.float16, torch.bfloat16}
        total = slopes[first].float() if half else slopes[first].clone()  # sums of halves would round
        for i, (margin, slope) in enumerate(zip(ctx.margins, slopes, strict=True)):
            if i != first:
                _trimmed(total, widest - margin).add_(slope)
        for axis in (2, 3):  # what fell on a mirrored row or column goes to the one that it mirrors
            side = total.shape[axis] - 2 * widest
            total.narrow(axis, widest + 1, widest).add_(total.narrow(axis, 0, widest).flip(axis))
            total.narrow(axis, side - 1, widest).add_(total.narrow(axis, side + widest, widest).flip(axis))
        return _trimmed(total, widest).to(slopes[first].dtype), *(None for _ in ctx.margins)


def normalised_gate(x: Tensor) -> Tensor:
    """sigmoid(10 * (x - mean) / (std + 1e-9) - 5), mean and unbiased std over (h, w) per sample and channel.

    Steep: only positions more than half a deviation above the mean open. In half precision the inside is float32,
    since 1e-9 and the rounding of the mean would be lost.
    """
    exact = x if x.dtype == torch.float64 else x.float()
    centred = exact - exact.mean((2, 3), keepdim=True)
    # not torch.var_mean: on a CPU with channels last it takes five times as long as these two passes
    variance = centred.square().sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
    return torch.sigmoid(centred * (10 / (variance.sqrt() + 1e-9)) - 5).to(x.dtype)


def normalised_gate_(x: Tensor) -> Tensor:
    """`normalised_gate` in the memory of the map itself, in bands of rows; float32 or float64."""
    pixels = x.shape[2] * x.shape[3]
    x.sub_(x.mean((2, 3), keepdim=True))
    bands = x.split(max(1, BAND_BYTES * x.shape[2] // (x.numel() * x.element_size())), 2)
    squares = torch.stack([band.square().sum((2, 3), keepdim=True) for band in bands]).sum(0)
    factor = 10 / ((squares / (pixels - 1)).sqrt() + 1e-9)
    for band in bands:
        band.mul_(factor).sub_(5).sigmoid_()
    return x


def _trimmed(x: Tensor, pixels: int) -> Tensor:
    """The map without `pixels` rows and columns at each side."""
    h, w = x.shape[-2:]
    return x[..., pixels : h - pixels, pixels : w - pixels]

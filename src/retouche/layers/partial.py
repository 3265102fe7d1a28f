"""Partial convolution: only valid pixels are weighed, and a place becomes valid once it has seen one.

Source: Liu et al. 2018 (arXiv 1804.07723), github.com/NVIDIA/partialconv, whose layer multiplies by the window's size
over the number of valid pixels in it; naoto0804/pytorch-inpainting-with-partial-conv, whose layer only divides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers.exporting import without_autocast

EPSILON = 1e-8
Window = Literal["ratio", "none"]
"""What a sum over valid pixels is multiplied by: the window's size / their number, or 1 / their number."""


class PartialConv2d(nn.Conv2d):
    """A convolution over valid pixels; its masks are **1 = valid**, the opposite of everywhere else here.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, dilation, bias: as in nn.Conv2d; square kernels,
            zero padding, which counts as not valid
        multi_channel: each channel has its own mask, (N, C, H, W), instead of one for all, (N, 1, H, W)
        return_mask: `forward` returns (image, mask) instead of the image alone
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
        *,
        multi_channel: bool = False,
        return_mask: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias)
        self.multi_channel, self.return_mask = multi_channel, return_mask

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:  # type: ignore[override]
        """Convolve, and say where the result is valid.

        Args:
            x: (N, C, H, W)
            mask: (N or 1, 1, H, W), or (N or 1, C, H, W) with `multi_channel`, 1 = valid, 0 = not; None is all valid,
                which still makes up for the zeros around the image

        Returns: (N, out, h, w), 0 where nothing was valid; with `return_mask` also the new mask, of 1 channel or `out`
        Raises: InputError for a mask of another shape
        """
        n, c, height, width = x.shape
        channels = c if self.multi_channel else 1
        if mask is None:
            known = x.new_ones(1, channels, height, width)
        elif mask.shape in ((n, channels, height, width), (1, channels, height, width)):
            known = mask.to(x)
            x = x * known
        else:
            wanted = (n, channels, height, width)
            raise InputError(f"mask is {tuple(mask.shape)} for features {tuple(x.shape)}: give {wanted}")
        count = _counted(self, known, [1] * channels)
        summed = functional.conv2d(x, self.weight, None, self.stride, self.padding, self.dilation)
        size = channels * self.kernel_size[0] * self.kernel_size[1]
        result, valid = _weighed(summed, count, size, self.bias, "ratio")
        if not self.return_mask:
            return result
        return result, valid.expand(-1, self.out_channels, -1, -1) if self.multi_channel else valid


class GroupedPartialConv2d(nn.Conv2d):
    """A convolution over features that come in groups, each with one mask, **1 = valid**, for all its channels.

    The numbers of a layer with a mask for every channel, where those of a group are equal, without making them. Masks
    between 0 and 1 weigh by what they are: with window "ratio" the new mask stays below 1 where less than one whole
    pixel was seen, with "none" it is 1 wherever anything was.

    Args:
        widths: channels of each group
        out_channels: channels made
        kernel_size: odd; the padding of half of it counts as not valid
        stride, bias: as in nn.Conv2d
        window: see `Window`
    """

    def __init__(
        self,
        widths: Sequence[int],
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        bias: bool = True,
        window: Window = "ratio",
    ) -> None:
        super().__init__(sum(widths), out_channels, kernel_size, stride, kernel_size // 2, bias=bias)
        self.widths, self.window = tuple(widths), window

    def forward(self, groups: Sequence[Tensor], known: Sequence[Tensor]) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Convolve, and say where the result is valid.

        Args:
            groups: (N, widths[i], H, W)
            known: (N, 1, H, W) each, 0..1, 1 = valid

        Returns: (N, out, h, w), 0 where nothing was valid, and the new mask (N, 1, h, w)
        """
        x = torch.cat([group * mask for group, mask in zip(groups, known, strict=True)], 1)
        count = _counted(self, torch.cat(list(known), 1), self.widths)
        summed = functional.conv2d(x, self.weight, None, self.stride, self.padding)
        return _weighed(summed, count, self.weight[0].numel(), self.bias, self.window)


def _counted(layer: nn.Conv2d, known: Tensor, widths: Sequence[int]) -> Tensor:
    """How many valid values a layer's windows hold: masks (N, G, H, W), each for so many channels -> (N, 1, h, w).

    Counted in float32 at least: half precision can neither hold a window's size nor divide by EPSILON.
    """
    known = known.to(torch.promote_types(known.dtype, torch.float32))
    each = known.new_tensor(widths).view(1, -1, 1, 1).expand(1, -1, *layer.kernel_size)
    with without_autocast(known.device.type):
        return functional.conv2d(known, each, None, layer.stride, layer.padding, layer.dilation)


def _weighed(summed: Tensor, count: Tensor, size: int, bias: Tensor | None, window: Window) -> tuple[Tensor, Tensor]:
    """Sums over valid values, brought to the size of whole windows, with bias; and the new mask.

    Args:
        count: valid values in each window, (N, 1, h, w)
        size: values in a whole window
    """
    if window == "ratio":
        valid = count.clamp(0, 1)
        factor = size / (count + EPSILON) * valid
    else:
        valid = (count != 0).to(count)
        factor = valid / torch.where(count != 0, count, 1)
    valid = valid.to(summed.dtype)
    result = summed * factor.to(summed.dtype)
    if bias is not None:
        # the bias is added once, unscaled, and only where something is valid
        result = (result + bias[:, None, None]) * valid
    return result, valid

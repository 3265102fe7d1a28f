"""Partial convolution: only valid pixels are weighed, and a place becomes valid once it has seen one.

Source: Liu et al. 2018 (arXiv 1804.07723), github.com/NVIDIA/partialconv, whose layer multiplies by the window's size
over the number of valid pixels in it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError

EPSILON = 1e-8


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
        elif mask.shape in {(n, channels, height, width), (1, channels, height, width)}:
            known = mask.to(x)
            x = x * known
        else:
            wanted = (n, channels, height, width)
            raise InputError(f"mask is {tuple(mask.shape)} for features {tuple(x.shape)}: give {wanted}")
        # counted in float32 at least: half precision can neither hold a window's size nor divide by EPSILON
        count = known.to(torch.promote_types(x.dtype, torch.float32))
        ones = count.new_ones(1, channels, *self.kernel_size)
        count = functional.conv2d(count, ones, None, self.stride, self.padding, self.dilation)  # (N, 1, h, w)
        valid = count.clamp(0, 1)
        ratio = (ones.numel() / (count + EPSILON) * valid).to(x.dtype)
        valid = valid.to(x.dtype)
        summed = functional.conv2d(x, self.weight, None, self.stride, self.padding, self.dilation)
        result = summed * ratio
        if self.bias is not None:
            # the bias is added once, unscaled, and only where something is valid
            result = (result + self.bias[:, None, None]) * valid
        if not self.return_mask:
            return result
        return result, valid.expand(-1, self.out_channels, -1, -1) if self.multi_channel else valid

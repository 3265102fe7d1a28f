"""Convolutions that keep a picture's size, by the three ways of padding that published networks use."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError

Padding = Literal["same", "zeros", "reflect"]
"""same: TensorFlow's, zeros, the odd one of an odd total at the bottom and right, so that a kernel of 3 with stride 2
pads 0 before and 1 after an even side; zeros: the same number of zeros on all sides, whatever the stride; reflect: as
many mirrored pixels, so a side must be longer than its padding."""

Borders = tuple[int, int, int, int]
"""Pixels to pad at the left, right, top and bottom."""


def margins(side: int, kernel: int, stride: int, dilation: int, padding: Padding) -> tuple[int, int]:
    """Pixels to add before and after a side so that a convolution makes ceil(side / stride) of it.

    Raises: InputError if there is no such padding
    """
    if padding not in get_args(Padding):
        raise InputError(f'no padding "{padding}"; known: {", ".join(get_args(Padding))}')
    reach = (kernel - 1) * dilation
    if padding == "same":
        total = max((-(side // -stride) - 1) * stride + reach + 1 - side, 0)
        return total // 2, total - total // 2
    return reach // 2, reach // 2


def pad(x: Tensor, kernel: int, stride: int = 1, dilation: int = 1, padding: Padding = "same") -> Tensor:
    """(N, C, H, W) with the margins that a square kernel needs."""
    top, bottom = margins(x.shape[2], kernel, stride, dilation, padding)
    left, right = margins(x.shape[3], kernel, stride, dilation, padding)
    return functional.pad(x, (left, right, top, bottom), mode="reflect" if padding == "reflect" else "constant")


class PaddedConv2d(nn.Conv2d):
    """A 2-D convolution with a square kernel that pads its image by one of the three rules.

    Args:
        inputs, outputs: channels
        kernel, stride, dilation: in pixels
        rule: how the image is padded, see `Padding`
        doubles: whether the image's sides are doubled first, each pixel becoming four
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        rule: Padding = "same",
        doubles: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, dilation=dilation)
        margins(1, kernel, stride, dilation, rule)  # refuses an unknown rule now
        self.rule: Padding = rule
        self.doubles = doubles
        self.doubled: nn.Parameter | None = None  # the kernel of `doubling`, kept for exported graphs alone

    def export_form(self) -> nn.Module:
        """Itself, with the kernel that doubles already summed; see `layers.exporting`."""
        if self.doubles:
            self.doubled = nn.Parameter(doubling(self.weight.detach()), requires_grad=False)
        return self

    def forward(self, x: Tensor, borders: Borders | None = None) -> Tensor:
        """(N, C, H, W) -> (N, outputs, ...), of ceil(side / stride) unless `borders` are given.

        Args:
            borders: what to pad instead: of a part of a map that is not `doubles`, 0 where the map goes on
        """
        kernel, stride, dilation = self.kernel_size[0], self.stride[0], self.dilation[0]
        if borders is not None:
            left, right, top, bottom = borders
            if self.rule != "reflect" and left == right and top == bottom:
                return functional.conv2d(x, self.weight, self.bias, stride, (top, left), dilation)
            x = functional.pad(x, borders, mode="reflect" if self.rule == "reflect" else "constant")
            return functional.conv2d(x, self.weight, self.bias, stride, 0, dilation)
        if self.doubles:
            if self.rule != "reflect" and kernel % 2 and stride == dilation == 1:
                weight = doubling(self.weight) if self.doubled is None else self.doubled
                return functional.conv_transpose2d(x, weight, self.bias, 2, kernel // 2)
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        if self.rule == "zeros" or (self.rule == "same" and stride == 1 and kernel % 2):
            # the convolution pads by itself, without a padded copy
            reach = (kernel - 1) * dilation
            return functional.conv2d(x, self.weight, self.bias, stride, reach // 2, dilation)
        padded = pad(x, kernel, stride, dilation, self.rule)
        return functional.conv2d(padded, self.weight, self.bias, stride, 0, dilation)


def doubling(kernel: Tensor) -> Tensor:
    """The transposed convolution, stride 2, that does what this kernel does after each pixel became four.

    The taps that fall on copies of one pixel are summed beforehand: a 3x3 kernel needs 4 products for each number it
    makes instead of 9, and the doubled image is never in memory. Exact where the border is padded with zeros.

    Args:
        kernel: (outputs, inputs, k, k)

    Returns: (inputs, outputs, k + 1, k + 1)
    """
    turned = kernel.transpose(0, 1).flip(2, 3)
    wide = functional.pad(turned, (0, 1)) + functional.pad(turned, (1, 0))
    return functional.pad(wide, (0, 0, 0, 1)) + functional.pad(wide, (0, 0, 1, 0))


def doubled_mirrored(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution by a 5x5 kernel of a map whose pixels each became four, two mirrored pixels around them.

    Made as by `doubling`, 9 products for each number instead of 25. The pixel nearest to a border then stands beyond
    it twice; mirroring has the second nearest there, which matters to the outermost numbers: those are made plainly.

    Args:
        x: (N, C, H, W), H and W at least 2
        kernel: (outputs, C, 5, 5)

    Returns: (N, outputs, 2 H, 2 W)
    """
    made = functional.conv_transpose2d(functional.pad(x, (1,) * 4, mode="replicate"), doubling(kernel), bias, 2, 4)
    for axis in (2, 3):
        side = x.shape[axis]
        for nearest, read, written in ((0, 0, 0), (side - 2, 3, 2 * side - 1)):
            four = functional.interpolate(x.narrow(axis, nearest, 2), scale_factor=2.0, mode="nearest")
            around = functional.pad(four, (2,) * 4, mode="reflect").narrow(axis, read, 5)
            made.narrow(axis, written, 1).copy_(functional.conv2d(around, kernel, bias))
    return made

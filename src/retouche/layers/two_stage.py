"""The backbone of DeepFill v1 and v2: convolutions in five chains, which differ between the two in kind and width only.

Source: Yu et al. 2018 (arXiv 1801.07892) and 2019 (arXiv 1806.03589), whose official code names the convolutions so:
a coarse network, and a refining one of two branches, one of which matches places for the attention between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.image import Box
from retouche.layers.exporting import exporting
from retouche.layers.gated import GatedConv2d, activation
from retouche.layers.padding import PaddedConv2d, Padding, margins, pad
from retouche.layers.partial import PartialConv2d

Size = tuple[int, int]
"""Height and width."""

BAND_BYTES = 8 * 2**20
"""What a gated convolution makes at a time where no gradient is wanted: freed memory of this size is used again, while
larger pieces are given back to the system and each page is fetched anew."""
LAUNCHES = 8
"""How many times as much on other devices, which are slow to begin and keep their memory."""

Row = tuple[str, int, int, int, int]
"""Name, kernel, stride, dilation, channels made in quarters of the width. Names with `upsample` double sides first."""

NECK: tuple[Row, ...] = tuple((f"conv{i}_atrous", 3, 1, 2 ** (i - 6), 8) for i in (7, 8, 9, 10))
DECODER: tuple[Row, ...] = (
    ("conv11", 3, 1, 1, 8),
    ("conv12", 3, 1, 1, 8),
    ("conv13_upsample", 3, 1, 1, 4),
    ("conv14", 3, 1, 1, 4),
    ("conv15_upsample", 3, 1, 1, 2),
    ("conv16", 3, 1, 1, 1),
    ("conv17", 3, 1, 1, 0),  # the picture
)
COARSE: tuple[Row, ...] = (
    ("conv1", 5, 1, 1, 2),
    ("conv2_downsample", 3, 2, 1, 4),
    ("conv3", 3, 1, 1, 4),
    ("conv4_downsample", 3, 2, 1, 8),
    ("conv5", 3, 1, 1, 8),
    ("conv6", 3, 1, 1, 8),
    *NECK,
    *DECODER,
)
HALLUCINATE: tuple[Row, ...] = (
    ("conv1", 5, 1, 1, 2),
    ("conv2_downsample", 3, 2, 1, 2),
    ("conv3", 3, 1, 1, 4),
    ("conv4_downsample", 3, 2, 1, 4),
    ("conv5", 3, 1, 1, 8),
    ("conv6", 3, 1, 1, 8),
    *NECK,
)
MATCH: tuple[Row, ...] = (
    ("conv1", 5, 1, 1, 2),
    ("conv2_downsample", 3, 2, 1, 2),
    ("conv3", 3, 1, 1, 4),
    ("conv4_downsample", 3, 2, 1, 8),
    ("conv5", 3, 1, 1, 8),
    ("conv6", 3, 1, 1, 8),
)
ATTENDED: tuple[Row, ...] = (("conv9", 3, 1, 1, 8), ("conv10", 3, 1, 1, 8))


@dataclass(frozen=True)
class Style:
    """What the convolutions of a backbone are.

    Attributes:
        convolution: gated, partial (Liu et al. 2018) or plain
        activation: after every convolution but those that make pictures; a name of `layers.gated.ACTIVATIONS`
        padding: same, zeros or reflect, see `layers.padding`
        gated_picture: whether the convolutions that make pictures are gated too
    """

    convolution: str = "gated"
    activation: str = "elu"
    padding: str = "same"
    gated_picture: bool = False

    def __post_init__(self) -> None:
        if self.convolution not in {"gated", "partial", "plain"}:
            raise InputError(f'no convolution "{self.convolution}"; known: gated, partial, plain')


@dataclass(frozen=True)
class Span:
    """What of one side of a map a layer reads to make some places of its result.

    Attributes:
        first, last: places that are read, the last exclusive
        before, after: places padded there
        skip: places that are made before the first wanted one
    """

    first: int
    last: int
    before: int
    after: int
    skip: int


class Unit(nn.Module):
    """One row of the tables: a convolution of the chosen kind with its activation."""

    def __init__(self, style: Style, inputs: int, outputs: int, row: Row, activate: str, gated: bool) -> None:
        super().__init__()
        _, kernel, stride, dilation, _ = row
        self.upsample = "upsample" in row[0]
        rule: Padding = style.padding  # type: ignore[assignment]  # checked by PaddedConv2d
        self.activate = activation("none" if gated else activate)
        self.conv: nn.Conv2d
        if gated:
            self.conv = GatedConv2d(inputs, outputs, kernel, stride, dilation, rule, activate, self.upsample)
        elif style.convolution == "partial":
            self.conv = PartialConv2d(inputs, outputs, kernel, stride, dilation=dilation, return_mask=True)
        else:
            self.conv = PaddedConv2d(inputs, outputs, kernel, stride, dilation, rule, self.upsample)
        self.margins = (kernel, stride, dilation, rule)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) and its valid pixels, (N or 1, 1, H, W), which only partial convolution uses and moves on."""
        if not isinstance(self.conv, PartialConv2d):  # these double sides by themselves
            high = self._high(x)
            return self._in_bands(x, high) if high else self.activate(self.conv(x)), valid
        if self.upsample:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            valid = functional.interpolate(valid, scale_factor=2.0, mode="nearest")
        x, valid = self.conv(pad(x, *self.margins), pad(valid, *self.margins))
        return self.activate(x), valid

    def _high(self, x: Tensor) -> int:
        """Rows of the result to be made at a time; 0 for all of them."""
        if not isinstance(self.conv, GatedConv2d) or torch.is_grad_enabled() or exporting():
            return 0
        height, width = self.made((x.shape[2], x.shape[3]))
        most = BAND_BYTES * (1 if x.device.type == "cpu" else LAUNCHES)
        high = max(1, most // (x.shape[0] * self.conv.out_channels * width * x.element_size()))
        return high if high < height else 0

    def _in_bands(self, x: Tensor, high: int) -> Tensor:
        """The same numbers: halves of channels, their activation and their product are in memory for a band only."""
        size = (x.shape[2], x.shape[3])
        height, width = self.made(size)
        result = x.new_empty(0)
        for top in range(0, height, high):
            wanted = (0, top, width, min(top + high, height))
            read = self.reads(size, wanted)
            out = result[..., top : wanted[3], :] if top else None
            part = self.part(x[..., read[1] : read[3], :], size, read, wanted, out)
            if top == 0:
                layout = torch.channels_last if part.stride(1) == 1 else torch.contiguous_format
                shape = (*part.shape[:2], height, width)
                result = torch.empty(shape, dtype=part.dtype, memory_format=layout)
                result[..., : wanted[3], :] = part
        return result

    def made(self, size: Size) -> Size:
        """Height and width of what comes in -> of what goes out."""
        stride, grow = self.margins[1], 2 if self.upsample else 1
        height, width = (-(grow * side // -stride) for side in size)
        return height, width

    def reads(self, size: Size, wanted: Box) -> Box:
        """What of a map of this size is read to make a box of the result."""
        across, down = self._spans(size, wanted)
        grow = 2 if self.upsample else 1
        return across.first // grow, down.first // grow, -(across.last // -grow), -(down.last // -grow)

    def part(self, x: Tensor, size: Size, begun: Box, wanted: Box, out: Tensor | None = None) -> Tensor:
        """The result in a box, from the part of a map of this size that begins at the corner of `begun`.

        Args:
            out: where a gated convolution puts it
        """
        across, down = self._spans(size, wanted)
        kernel, stride, dilation, rule = self.margins
        left, top = across.skip, down.skip
        convolve = self.conv.both if isinstance(self.conv, GatedConv2d) else self.conv
        if self.upsample and rule != "reflect" and kernel % 2 and stride == dilation == 1:
            # made from the small map; wrong beside its edges, which the layer takes for borders, but that is not wanted
            x = convolve(x)
            left, top = wanted[0] - 2 * begun[0], wanted[1] - 2 * begun[1]
        else:
            if self.upsample:
                x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
                x = x[..., down.first - 2 * begun[1] :, across.first - 2 * begun[0] :]
                x = x[..., : down.last - down.first, : across.last - across.first]
            x = convolve(x, (across.before, across.after, down.before, down.after))
        x = x[..., top : top + wanted[3] - wanted[1], left : left + wanted[2] - wanted[0]]
        return self.conv.gated(x, out) if isinstance(self.conv, GatedConv2d) else self.activate(x)

    def _spans(self, size: Size, wanted: Box) -> tuple[Span, Span]:
        """Across and down, of the map after it is doubled, where the unit does that."""
        grow = 2 if self.upsample else 1
        across = _span(self, grow * size[1], wanted[0], wanted[2])
        return across, _span(self, grow * size[0], wanted[1], wanted[3])


def _span(unit: Unit, length: int, first: int, last: int) -> Span:
    kernel, stride, dilation, rule = unit.margins
    start = first * stride - margins(length, kernel, stride, dilation, rule)[0]
    stop = start + (last - 1 - first) * stride + (kernel - 1) * dilation + 1
    before, after = max(-start, 0), max(stop - length, 0)
    begun, low, high = max(start, 0), max(start, 0), min(stop, length)
    if rule == "reflect":  # what stands in for places beyond the border is read, too
        high = max(high, before + 1 if before else 0)
        low = min(low, length - 1 - after if after else length)
    skip = -((begun - low) // -stride)
    return Span(begun - skip * stride, high, before, after, skip)


class Chain(nn.Module):
    """The rows of a table, one after the other.

    Args:
        style: what the convolutions are
        inputs: channels of what comes in
        rows: of one of the tables above
        width: four quarters of which make the rows' channels; divides by 4
        last_activation: of the last row, where it is another than the others'

    Attributes:
        outputs: channels of what comes out
    """

    def __init__(
        self, style: Style, inputs: int, rows: Iterable[Row], width: int, last_activation: str | None = None
    ) -> None:
        super().__init__()
        if width % 4:
            raise InputError(f"a width of {width} has no whole quarters: choose a multiple of 4")
        rows = list(rows)
        for row in rows:
            name, *_, quarters = row
            outputs = quarters * width // 4 or 3
            activate = last_activation if last_activation and row is rows[-1] else style.activation
            gated = style.convolution == "gated" and (quarters > 0 or style.gated_picture)
            self.add_module(name, Unit(style, inputs, outputs, row, activate if quarters else "none", gated))
            inputs = outputs
        self.outputs = inputs

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        valid = x.new_ones(1, 1, *x.shape[2:]) if valid is None else valid
        for unit in self.children():
            x, valid = unit(x, valid)
        return x

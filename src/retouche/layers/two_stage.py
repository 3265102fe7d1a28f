"""The backbone of DeepFill v1 and v2: convolutions in five chains, which differ between the two in kind and width only.

Source: Yu et al. 2018 (arXiv 1801.07892) and 2019 (arXiv 1806.03589), whose official code names the convolutions so:
a coarse network, and a refining one of two branches, one of which matches places for the attention between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers.gated import GatedConv2d, activation
from retouche.layers.padding import PaddedConv2d, Padding, pad
from retouche.layers.partial import PartialConv2d

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
            return self.activate(self.conv(x)), valid
        if self.upsample:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            valid = functional.interpolate(valid, scale_factor=2.0, mode="nearest")
        x, valid = self.conv(pad(x, *self.margins), pad(valid, *self.margins))
        return self.activate(x), valid


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

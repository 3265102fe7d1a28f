"""Gated convolution: each feature learns, place by place, how far to let itself through.

Source: Yu et al. 2019 (arXiv 1806.03589), github.com/JiahuiYu/generative_inpainting.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers.padding import Borders, PaddedConv2d, Padding

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda x: x,
    "elu": lambda x: functional.elu(x, inplace=True),
    "relu": torch.relu_,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.2, inplace=True),
    "silu": functional.silu,
    "gelu": functional.gelu,
    "tanh": lambda x: x.tanh(),
}
"""By name. Some work in place, which a convolution's output allows and which halves what waits for the gradient."""


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of this name.

    Raises: InputError if there is none
    """
    if name not in ACTIVATIONS:
        raise InputError(f'no activation "{name}"; known: {", ".join(ACTIVATIONS)}')
    return ACTIVATIONS[name]


class GatedConv2d(PaddedConv2d):
    """activation(feature) * sigmoid(gate), both made by one convolution: its first half of channels, and its second.

    Args:
        inputs: channels of the image
        outputs: channels after the gate, so that the kernel has twice as many
        kernel, stride, dilation, rule, doubles: as in `PaddedConv2d`
        activate: a name of `ACTIVATIONS`
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        rule: Padding = "same",
        activate: str = "elu",
        doubles: bool = False,
    ) -> None:
        super().__init__(inputs, 2 * outputs, kernel, stride, dilation, rule, doubles)
        self.activate = activation(activate)

    def forward(self, x: Tensor, borders: Borders | None = None) -> Tensor:
        return self.gated(self.both(x, borders))

    def both(self, x: Tensor, borders: Borders | None = None) -> Tensor:
        """The convolution alone: features, then their gates, (N, 2 * outputs, ...)."""
        return super().forward(x, borders)

    def gated(self, both: Tensor, out: Tensor | None = None) -> Tensor:
        """Features let through, (N, outputs, ...), of any part of what `both` makes; into `out` where that is given."""
        feature, gate = both.chunk(2, dim=1)
        # Each half goes to memory of its own. With channels last it is a short piece of every place's channels, and
        # on such pieces PyTorch's elementwise kernels take up to fifteen times as long; copying them is cheap.
        return torch.mul(self.activate(feature.clone()), gate.clone().sigmoid_(), out=out)

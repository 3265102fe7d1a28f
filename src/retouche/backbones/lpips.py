"""LPIPS: distance of two pictures in a classifier's features, weighted by what people find similar.

Source: Zhang et al. 2018 (arXiv 1801.03924), version 0.1 of the authors' weights: five layers of AlexNet or VGG16, each
normalised over channels, squared differences weighted by the file's heads, averaged over pixels, summed over layers.
Needs two files: torchvision's classifier and the authors' heads. With other weights the figure is not LPIPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from retouche.backbones.files import opened, remedy
from retouche.errors import InputError, WeightsError
from retouche.weights.layout import load_strictly

Backbone = Literal["alex", "vgg"]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of an image in -1..1, as in the authors' code
WIDTHS: dict[str, tuple[int, ...]] = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def _layers(backbone: Backbone) -> tuple[nn.Sequential, tuple[int, ...]]:
    """torchvision's `features` up to the last layer compared, and the positions compared."""
    if backbone == "alex":
        plan: list[int | tuple[int, int, int, int] | None] = [
            (64, 11, 4, 2), None, (192, 5, 1, 2), None, (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1),
        ]  # fmt: skip
        pool = (3, 2)
    else:
        plan = [64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512]
        pool = (2, 2)
    layers: list[nn.Module] = []
    inputs = 3
    for step in plan:
        if step is None:
            layers.append(nn.MaxPool2d(*pool))
            continue
        outputs, kernel, stride, padding = (step, 3, 1, 1) if isinstance(step, int) else step
        layers += [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers), (1, 4, 7, 9, 11) if backbone == "alex" else (3, 8, 15, 22, 29)


class LPIPS(nn.Module):
    """Two batches of images to one distance each; frozen.

    Attributes:
        backbone: "alex" or "vgg"
        origin: both files' names and the starts of their SHA-256
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone, self.origin = backbone, "unfilled"
        self.features, self.compared = _layers(backbone)
        self.heads = nn.ParameterList([nn.Parameter(torch.zeros(1, width, 1, 1)) for width in WIDTHS[backbone]])
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, filled: Tensor, truth: Tensor) -> Tensor:
        """(N, 3, H, W) each, RGB -1..1 -> (N,), 0 = alike.

        Raises: InputError where the pictures differ in size or are too small for the backbone
        """
        if filled.shape != truth.shape or filled.ndim != 4 or min(filled.shape[-2:]) < 32:
            raise InputError(
                f"pictures are {tuple(filled.shape)} and {tuple(truth.shape)}: give two of one size, at least 32x32"
            )
        a, b = ((image - self.shift) / self.scale for image in (filled, truth))
        distance = filled.new_zeros(len(filled))
        heads = iter(self.heads)
        for position, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if position in self.compared:
                difference = (_normalised(a) - _normalised(b)) ** 2  # (N, C, h, w)
                distance = distance + (difference * next(heads)).sum(1).mean((1, 2))
        return distance


def _normalised(features: Tensor) -> Tensor:
    """Each pixel's features divided by their length."""
    return features / (features.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)


def lpips(backbone: Path | str | Mapping[str, Tensor], heads: Path | str | Mapping[str, Tensor]) -> LPIPS:
    """The distance with the weights of two files.

    Args:
        backbone: torchvision's AlexNet or VGG16, recognised by its shapes (`features.0.weight`, ...)
        heads: the authors' heads (`lin0.model.1.weight`, ...) for the same backbone

    Raises: WeightsError where a file does not fit
    """
    network_file = opened(backbone, "AlexNet or VGG16", remedy("alexnet"))
    heads_file = opened(heads, "LPIPS heads", remedy("lpips-alex"))
    first = network_file.tensors.get("features.0.weight")
    if first is None or first.shape[-1] not in (11, 3):
        raise WeightsError(f"the LPIPS backbone is no AlexNet or VGG16 of torchvision: {remedy('alexnet')}")
    network = LPIPS("alex" if first.shape[-1] == 11 else "vgg")
    features = {name: each for name, each in network_file.tensors.items() if name.startswith("features.")}
    weighed = {f"heads.{name[3]}": each for name, each in heads_file.tensors.items() if name.startswith("lin")}
    wanted = remedy(f"lpips-{network.backbone}")
    load_strictly(network, features | weighed, (), f"{network_file.title} with {heads_file.title}", wanted)
    if any((head < 0).any() for head in network.heads):
        raise WeightsError(f"the LPIPS heads hold negative weights: {wanted}")
    network.origin = f"{network_file.origin}, {heads_file.origin}"
    return network

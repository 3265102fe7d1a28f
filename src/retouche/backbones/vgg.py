"""VGG16 and VGG19 as backbones of perceptual losses: torchvision's tensor names, the weights' own normalisation.

Source: Simonyan and Zisserman 2014 (arXiv 1409.1556); names and indices as in torchvision's `vgg16().features` and
`vgg19().features`. Unlike there no ReLU works in place, so that `conv3_1` and `relu3_1` can both be had.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from retouche.backbones.files import opened, remedy
from retouche.errors import InputError, WeightsError
from retouche.weights.layout import load_strictly

Depth = Literal[16, 19]
Normalisation = Literal["torchvision", "caffe", "none"]
Order = Literal["rgb", "bgr"]

BLOCKS: dict[int, tuple[int, ...]] = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions per block; each block but the last of a backbone ends in a 2x2 maximum pool."""
WIDTHS = (64, 128, 256, 512, 512)
"""Channels per block."""

NORMALISATIONS: dict[str, tuple[tuple[float, float, float], float | tuple[float, float, float]]] = {
    # red, green, blue of a picture in 0..1: what is subtracted, what it is then divided by
    "torchvision": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": ((123.68 / 255, 116.779 / 255, 103.939 / 255), 1 / 255),
    "none": ((0.5, 0.5, 0.5), 0.5),  # the image as it is, -1..1
}

CAFFE: dict[str, Order] = {
    # start of the file's SHA-256 -> order of the first kernel's input channels; their names are torchvision's
    "88682ab5": "rgb",  # torchvision's vgg16_features-amdegroot
    "00b39a1b": "bgr",  # jcjohnson/pytorch-vgg, VGG16
    "d01eb7cb": "bgr",  # jcjohnson/pytorch-vgg, VGG19
}


def layer_names(depth: Depth) -> list[str]:
    """Names of the layers in order: conv1_1, relu1_1, ..., pool1, ...; the position is torchvision's index."""
    names: list[str] = []
    for block, convolutions in enumerate(BLOCKS[depth], 1):
        for i in range(1, convolutions + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return names


class VGG(nn.Module):
    """A frozen VGG backbone that returns the layers asked for.

    Args:
        depth: 16 or 19
        last: the deepest layer that is built; everything by default up to the last ReLU (relu5_3, relu5_4)
        normalisation: how the weights want their input; "torchvision" subtracts and divides by ImageNet's mean and
            deviation, "caffe" wants 0..255 minus a mean colour, "none" takes the image as it is

    Attributes:
        origin: which weights these are: "random" or a file's name and the start of its SHA-256

    Raises: InputError for a layer that this depth does not have
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, depth: Depth, last: str | None = None, normalisation: Normalisation = "torchvision") -> None:
        super().__init__()
        if depth not in BLOCKS:
            raise InputError(f"no VGG of depth {depth}: choose 16 or 19")
        if normalisation not in NORMALISATIONS:
            raise InputError(f'no normalisation "{normalisation}": choose one of {", ".join(NORMALISATIONS)}')
        names = layer_names(depth)
        last = last or names[-2]
        if last not in names:
            raise InputError(f'VGG{depth} has no layer "{last}": its layers are {", ".join(names)}')
        self.depth, self.last, self.normalisation = depth, last, normalisation
        self.names = names[: names.index(last) + 1]
        self.origin = "unfilled"
        layers: list[nn.Module] = []
        inputs = 3
        for name in self.names:
            if name.startswith("conv"):
                outputs = WIDTHS[int(name[4]) - 1]
                layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
                inputs = outputs
            else:
                layers.append(nn.ReLU() if name.startswith("relu") else nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        mean, deviation = NORMALISATIONS[normalisation]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        spread = torch.tensor(deviation).expand(3).reshape(1, 3, 1, 1).clone()
        self.register_buffer("deviation", spread, persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Features of an image.

        Args:
            image: (N, 3, H, W), RGB, -1..1
            layers: names such as conv1_1, relu3_4, pool2

        Returns: name -> (N, C, h, w), for exactly the layers asked for; nothing deeper is computed
        Raises: InputError for a layer that is not built
        """
        absent = [name for name in layers if name not in self.names]
        if absent:
            raise InputError(f'VGG{self.depth} up to {self.last} has no layer "{absent[0]}"')
        x = image if self.normalisation == "none" else ((image + 1) / 2 - self.mean) / self.deviation
        found: dict[str, Tensor] = {}
        for name, layer in zip(self.names, self.features, strict=True):
            if len(found) == len(set(layers)):
                break
            x = layer(x)
            if name in layers:
                found[name] = x
        return found


def vgg(
    depth: Depth,
    weights: Path | str | Mapping[str, Tensor] | None,
    last: str | None = None,
    normalisation: Normalisation | None = None,
    order: Order | None = None,
    seed: int = 0,
) -> VGG:
    """A VGG backbone with weights.

    Args:
        depth: 16 or 19
        weights: a file (torchvision's, Caffe's converted, or ours), its tensors by torchvision's names or by
            conv1_1.weight and so on, or "random" for a seeded random backbone; classifiers in it are ignored
        last: the deepest layer needed; deeper ones of the file are ignored
        normalisation: what the weights want; by default what the file says of itself, else "caffe" for files known
            to come from Caffe, else "torchvision"
        order: of the first kernel's input channels; by default as the file says, else "rgb"
        seed: of the random backbone

    Returns: the backbone, in evaluation mode, nothing of it trained
    Raises: WeightsError if there are no weights (it says where they are to be had) or if they do not fit
    """
    if weights is None:
        raise WeightsError(
            f"the perceptual and style losses need VGG{depth} and none was given: {remedy(f'vgg{depth}')}, "
            'or say "random" for a random backbone (another loss than the published one)'
        )
    if isinstance(weights, str) and weights == "random":
        network = _unfilled(depth, last, normalisation or "torchvision")
        _randomise(network, seed)
        return network
    given = opened(weights, f"VGG{depth}", remedy(f"vgg{depth}"))
    tensors, header = given.tensors, given.header
    if "normalisation" not in header and given.sha256[:8] in CAFFE:
        header = {**header, "normalisation": "caffe", "order": CAFFE[given.sha256[:8]]}
    tensors, from_caffe = _torchvision_names(depth, tensors)
    if from_caffe:
        header = {"normalisation": "caffe", "order": "bgr", **header}
    chosen = normalisation or header.get("normalisation", "torchvision")
    network = _unfilled(depth, last, chosen)
    built = {f"features.{i}" for i in range(len(network.names))}
    wanted = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith("classifier.") and not _deeper(name, depth, built)
    }
    first = "features.0.weight"
    if (order or header.get("order", "rgb")) == "bgr" and first in wanted:
        wanted[first] = wanted[first].flip(1)
    load_strictly(network, wanted, (), given.title, f"VGG{depth} up to {network.last} wants {remedy(f'vgg{depth}')}")
    network.origin = given.origin
    return network


def _unfilled(depth: Depth, last: str | None, normalisation: str) -> VGG:
    """A backbone whose first numbers come from a random stream of their own: the host's stays where it was."""
    with torch.random.fork_rng(devices=[]):
        return VGG(depth, last, normalisation)  # type: ignore[arg-type]  # VGG refuses other words


def _deeper(name: str, depth: Depth, built: set[str]) -> bool:
    """Whether a tensor belongs to a layer of the whole network that this backbone does not reach."""
    layer, _, kind = name.rpartition(".")
    convolutions = {f"features.{i}" for i, title in enumerate(layer_names(depth)) if title.startswith("conv")}
    return layer in convolutions - built and kind in {"weight", "bias"}


def _torchvision_names(depth: Depth, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """The tensors under torchvision's names, and whether they came under Caffe's (conv1_1.weight)."""
    if "conv1_1.weight" not in tensors:
        return dict(tensors), False
    index = {name: i for i, name in enumerate(layer_names(depth))}
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if re.fullmatch(r"fc[678]", layer):
            continue
        renamed[f"features.{index[layer]}.{kind}" if layer in index else name] = tensor
    return renamed, True


def _randomise(network: VGG, seed: int) -> None:
    """Normal kernels of He et al. 2015 and zero biases, by their own random stream."""
    stream = torch.Generator().manual_seed(seed)
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            deviation = (2 / layer.weight[0].numel()) ** 0.5
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=stream) * deviation)
            assert layer.bias is not None
            layer.bias.zero_()
    network.origin = "random"

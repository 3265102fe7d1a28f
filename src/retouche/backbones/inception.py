"""Inception v3 as the feature network of FID and KID, and as torchvision has it.

Two networks share one set of names: the one of TensorFlow's graph of December 2015, whose features define FID (its
average pools leave padding out, its last block pools by maximum, 1008 classes, input as TensorFlow 1 resized it), and
torchvision's, trained anew (1000 classes). Which one a file holds is read off its tensors; the distances are called FID
and KID with the former alone.

Source: Szegedy et al. 2015 (arXiv 1512.00567); names of torchvision's `inception_v3` and of the graph's nodes
(mixed_10/tower_1/mixed/conv_1/conv2d_params).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.backbones.files import opened, remedy
from retouche.errors import InputError, WeightsError
from retouche.weights.layout import load_strictly

Kind = Literal["tensorflow-2015", "torchvision"]
FEATURES = 2048
SIDE = 299  # pixels the network sees
CLASSES = {1008: "tensorflow-2015", 1000: "torchvision"}
Geometry = tuple[int, "int | tuple[int, int]", int, "int | tuple[int, int]"]
"""Output channels, kernel, stride, padding."""


class Convolution(nn.Module):
    """Convolution without bias, batch normalisation, ReLU: torchvision's `BasicConv2d`."""

    def __init__(self, inputs: int, geometry: Geometry) -> None:
        super().__init__()
        outputs, kernel, stride, padding = geometry
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Parallel branches, joined by channel.

    Args:
        inputs: channels
        branches: each a chain of (name, geometry); two names joined by "+" branch once more and are joined
        pool: output channels of the convolution behind the pool, 0 for a bare pool of stride 2
        maximum: the pool before that convolution takes maxima
        padded: the average counts the padding's zeros (torchvision's does)
    """

    def __init__(
        self,
        inputs: int,
        branches: tuple[tuple[tuple[str, Geometry], ...], ...],
        pool: int,
        maximum: bool = False,
        padded: bool = False,
    ) -> None:
        super().__init__()
        self.chains: list[list[tuple[str, ...]]] = []
        self.pool, self.maximum, self.padded = pool, maximum, padded
        for branch in branches:
            channels, chain = inputs, []
            for names, geometry in branch:
                parts = tuple(names.split("+"))
                for number, name in enumerate(parts):
                    kernel, padding = geometry[1], geometry[3]
                    if number:  # the second of the pair lies the other way
                        assert isinstance(kernel, tuple) and isinstance(padding, tuple)
                        kernel, padding = kernel[::-1], padding[::-1]
                    setattr(self, name, Convolution(channels, (geometry[0], kernel, geometry[2], padding)))
                channels = geometry[0] * len(parts)
                chain.append(parts)
            self.chains.append(chain)
        if pool:
            self.branch_pool = Convolution(inputs, (pool, 1, 1, 0))

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for chain in self.chains:
            y = x
            for parts in chain:
                y = torch.cat([getattr(self, name)(y) for name in parts], 1)
            found.append(y)
        if not self.pool:
            found.append(functional.max_pool2d(x, 3, 2))
        elif self.maximum:
            found.append(self.branch_pool(functional.max_pool2d(x, 3, 1, 1)))
        else:
            found.append(self.branch_pool(functional.avg_pool2d(x, 3, 1, 1, count_include_pad=self.padded)))
        return torch.cat(found, 1)


def _small(pool: int) -> tuple[tuple[tuple[tuple[str, Geometry], ...], ...], int]:
    """Blocks at 35x35."""
    return (
        (("branch1x1", (64, 1, 1, 0)),),
        (("branch5x5_1", (48, 1, 1, 0)), ("branch5x5_2", (64, 5, 1, 2))),
        (("branch3x3dbl_1", (64, 1, 1, 0)), ("branch3x3dbl_2", (96, 3, 1, 1)), ("branch3x3dbl_3", (96, 3, 1, 1))),
    ), pool


def _middle(width: int) -> tuple[tuple[tuple[tuple[str, Geometry], ...], ...], int]:
    """Blocks at 17x17, with 1x7 and 7x1 kernels."""
    row: tuple[tuple[int, int], int, tuple[int, int]] = ((1, 7), 1, (0, 3))
    column: tuple[tuple[int, int], int, tuple[int, int]] = ((7, 1), 1, (3, 0))
    return (
        (("branch1x1", (192, 1, 1, 0)),),
        (("branch7x7_1", (width, 1, 1, 0)), ("branch7x7_2", (width, *row)), ("branch7x7_3", (192, *column))),
        (
            ("branch7x7dbl_1", (width, 1, 1, 0)),
            ("branch7x7dbl_2", (width, *column)),
            ("branch7x7dbl_3", (width, *row)),
            ("branch7x7dbl_4", (width, *column)),
            ("branch7x7dbl_5", (192, *row)),
        ),
    ), 192


_LAST: tuple[tuple[tuple[str, Geometry], ...], ...] = (  # at 8x8
    (("branch1x1", (320, 1, 1, 0)),),
    (("branch3x3_1", (384, 1, 1, 0)), ("branch3x3_2a+branch3x3_2b", (384, (1, 3), 1, (0, 1)))),
    (
        ("branch3x3dbl_1", (448, 1, 1, 0)),
        ("branch3x3dbl_2", (384, 3, 1, 1)),
        ("branch3x3dbl_3a+branch3x3dbl_3b", (384, (1, 3), 1, (0, 1))),
    ),
)


class Inception(nn.Module):
    """Pictures to the 2048 features before the classes; frozen.

    Attributes:
        kind: which of the two networks it is
        origin: the weights' file and the start of its SHA-256
    """

    def __init__(self, kind: Kind = "tensorflow-2015") -> None:
        super().__init__()
        self.kind, self.origin = kind, "unfilled"
        padded, last = kind == "torchvision", kind != "torchvision"
        self.Conv2d_1a_3x3 = Convolution(3, (32, 3, 2, 0))
        self.Conv2d_2a_3x3 = Convolution(32, (32, 3, 1, 0))
        self.Conv2d_2b_3x3 = Convolution(32, (64, 3, 1, 1))
        self.Conv2d_3b_1x1 = Convolution(64, (80, 1, 1, 0))
        self.Conv2d_4a_3x3 = Convolution(80, (192, 3, 1, 0))
        self.Mixed_5b = Block(192, *_small(32), padded=padded)
        self.Mixed_5c = Block(256, *_small(64), padded=padded)
        self.Mixed_5d = Block(288, *_small(64), padded=padded)
        self.Mixed_6a = Block(
            288,
            (
                (("branch3x3", (384, 3, 2, 0)),),
                (
                    ("branch3x3dbl_1", (64, 1, 1, 0)),
                    ("branch3x3dbl_2", (96, 3, 1, 1)),
                    ("branch3x3dbl_3", (96, 3, 2, 0)),
                ),
            ),
            0,
        )
        self.Mixed_6b = Block(768, *_middle(128), padded=padded)
        self.Mixed_6c = Block(768, *_middle(160), padded=padded)
        self.Mixed_6d = Block(768, *_middle(160), padded=padded)
        self.Mixed_6e = Block(768, *_middle(192), padded=padded)
        self.Mixed_7a = Block(
            768,
            (
                (("branch3x3_1", (192, 1, 1, 0)), ("branch3x3_2", (320, 3, 2, 0))),
                (
                    ("branch7x7x3_1", (192, 1, 1, 0)),
                    ("branch7x7x3_2", (192, (1, 7), 1, (0, 3))),
                    ("branch7x7x3_3", (192, (7, 1), 1, (3, 0))),
                    ("branch7x7x3_4", (192, 3, 2, 0)),
                ),
            ),
            0,
        )
        self.Mixed_7b = Block(1280, _LAST, 192, padded=padded)
        self.Mixed_7c = Block(2048, _LAST, 192, maximum=last, padded=padded)
        self.requires_grad_(False)
        self.eval()

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) uint8, RGB -> (N, 2048) float32.

        Raises: InputError for another kind of tensor
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.uint8:
            raise InputError(f"pictures are {tuple(pictures.shape)} {pictures.dtype}: give (N, 3, H, W) of uint8")
        values = pictures.to(self.Conv2d_1a_3x3.conv.weight.dtype)
        if self.kind == "torchvision":
            values = functional.interpolate(values / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
            mean = values.new_tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
            x = (values - mean) / values.new_tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)
        else:
            x = (tensorflow_resize(values, SIDE) - 128) / 128  # as the graph has it
        for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"):
            x = getattr(self, name)(x)
        x = functional.max_pool2d(x, 3, 2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = functional.max_pool2d(x, 3, 2)
        for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
            x = getattr(self, f"Mixed_{name}")(x)
        return x.mean((2, 3))


def tensorflow_resize(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> (N, C, side, side) as TensorFlow 1's `resize_bilinear`: sample i at i * H / side, unfiltered."""
    for axis in (2, 3):
        length = images.shape[axis]
        at = torch.arange(side, device=images.device, dtype=torch.float32) * (length / side)
        low = at.floor().long()
        high = (low + 1).clamp(max=length - 1)
        share = (at - low).to(images.dtype).view((-1, 1) if axis == 2 else (1, -1))
        first, second = images.index_select(axis, low), images.index_select(axis, high)
        images = first + (second - first) * share
    return images


def inception(weights: Path | str | Mapping[str, Tensor]) -> Inception:
    """The network with a file's weights.

    Args:
        weights: a file (safetensors, .pth, TensorFlow checkpoint) or its tensors; names of torchvision (both networks
            have been published under them) or of the graph of 2015

    Raises: WeightsError where it fits neither network
    """
    given = opened(weights, "Inception", remedy("inception"))
    tensors = given.tensors
    if any(name.endswith("conv2d_params") for name in tensors):
        kind, tensors = "tensorflow-2015", _from_graph(tensors)
    else:
        classes = tensors["fc.weight"].shape[0] if "fc.weight" in tensors else 0
        if classes not in CLASSES:
            raise WeightsError(
                "the Inception file does not show which network it is (fc.weight of 1008 or 1000 classes): "
                f"{remedy('inception')}, or give the tensors of TensorFlow's own graph"
            )
        kind = CLASSES[classes]
        tensors = {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(("fc.", "AuxLogits.")) and not name.endswith("num_batches_tracked")
        }
    network = Inception("torchvision" if kind == "torchvision" else "tensorflow-2015")
    load_strictly(network, tensors, (".*num_batches_tracked",), given.title, remedy("inception"))
    network.origin = given.origin
    return network


# The graph's names ---------------------------------------------------------------------------------------------------

_STEM = {"conv": "1a_3x3", "conv_1": "2a_3x3", "conv_2": "2b_3x3", "conv_3": "3b_1x1", "conv_4": "4a_3x3"}
_MIXED = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")  # mixed, mixed_1, ... mixed_10
_SMALL = {
    "conv": "branch1x1",
    "tower/conv": "branch5x5_1",
    "tower/conv_1": "branch5x5_2",
    "tower_1/conv": "branch3x3dbl_1",
    "tower_1/conv_1": "branch3x3dbl_2",
    "tower_1/conv_2": "branch3x3dbl_3",
    "tower_2/conv": "branch_pool",
}
_MIDDLE = {
    "conv": "branch1x1",
    **{f"tower/conv{'_' * (i > 0)}{i or ''}": f"branch7x7_{i + 1}" for i in range(3)},
    **{f"tower_1/conv{'_' * (i > 0)}{i or ''}": f"branch7x7dbl_{i + 1}" for i in range(5)},
    "tower_2/conv": "branch_pool",
}
_FIRST_STEP = {
    "conv": "branch3x3",
    "tower/conv": "branch3x3dbl_1",
    "tower/conv_1": "branch3x3dbl_2",
    "tower/conv_2": "branch3x3dbl_3",
}
_SECOND_STEP = {
    "tower/conv": "branch3x3_1",
    "tower/conv_1": "branch3x3_2",
    **{f"tower_1/conv{'_' * (i > 0)}{i or ''}": f"branch7x7x3_{i + 1}" for i in range(4)},
}
_LAST_NAMES = {
    "conv": "branch1x1",
    "tower/conv": "branch3x3_1",
    "tower/mixed/conv": "branch3x3_2a",
    "tower/mixed/conv_1": "branch3x3_2b",
    "tower_1/conv": "branch3x3dbl_1",
    "tower_1/conv_1": "branch3x3dbl_2",
    "tower_1/mixed/conv": "branch3x3dbl_3a",
    "tower_1/mixed/conv_1": "branch3x3dbl_3b",
    "tower_2/conv": "branch_pool",
}
_BRANCHES = (*[_SMALL] * 3, _FIRST_STEP, *[_MIDDLE] * 4, _SECOND_STEP, *[_LAST_NAMES] * 2)
_PARTS = {
    "conv2d_params": "conv.weight",
    "batchnorm/beta": "bn.bias",
    "batchnorm/gamma": "bn.weight",
    "batchnorm/moving_mean": "bn.running_mean",
    "batchnorm/moving_variance": "bn.running_var",
}


def graph_names() -> dict[str, str]:
    """Names of the graph of 2015 -> torchvision's, all 94 convolutions of them."""
    places = {node: f"Conv2d_{name}" for node, name in _STEM.items()}
    for number, (name, branches) in enumerate(zip(_MIXED, _BRANCHES, strict=True)):
        block = f"mixed_{number}" if number else "mixed"
        places |= {f"{block}/{node}": f"Mixed_{name}.{branch}" for node, branch in branches.items()}
    return {f"{node}/{a}": f"{place}.{b}" for node, place in places.items() for a, b in _PARTS.items()}


def _from_graph(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels (h, w, in, out) -> (out, in, h, w); the classes are left out."""
    names = graph_names()
    renamed = {}
    for name, tensor in tensors.items():
        if re.fullmatch(r"softmax/(weights|biases)", name):
            continue
        kernel = name.endswith("conv2d_params") and tensor.ndim == 4
        renamed[names.get(name, name)] = tensor.permute(3, 2, 0, 1).contiguous() if kernel else tensor
    return renamed

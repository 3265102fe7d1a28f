"""HED, edges by a network (Xie and Tu 2015, arXiv 1504.06375), with which guided filling was published.

VGG16's convolutions; the last of each of its five blocks gives a map of edges, which is enlarged to the picture; a
sixth map weighs the five. The weights are the user's to bring, for their licence is not stated: the authors'
`.caffemodel` (github.com/s9xie/hed), or a PyTorch port's file (github.com/sniklaus/pytorch-hed). They do not compute
the same:

- Caffe pads the picture by 35 zeros at the first convolution, halves with rounding up, enlarges by the file's own
  transposed convolutions, and cuts the picture's place out of each map;
- the port pads by 1 everywhere and enlarges bilinearly to the picture's size.

Each file is run by its own rule. None of the published files was opened for this; names and rules are from their codes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.backbones.files import opened
from retouche.weights.layout import load_strictly

Rule = Literal["caffe", "port"]

MEAN = (104.00698793, 116.66876762, 122.67891434)
"""Blue, green, red, 0..255, subtracted by both codes."""
WIDTHS, COUNTS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)
PADDING = 35
"""Of Caffe's first convolution."""
WANTED = "give the authors' hed_pretrained_bsds.caffemodel, or the PyTorch port's file"
_WORDS = ("One", "Two", "Thr", "Fou", "Fiv")


class HED(nn.Module):
    """The network; parameters are frozen.

    Args:
        rule: whose padding and enlarging

    Attributes:
        origin: the file's name and the start of its SHA-256
    """

    mean: Tensor

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule, self.origin = rule, "unfilled"
        self.blocks = nn.ModuleList()
        before = 3
        for number, (width, count) in enumerate(zip(WIDTHS, COUNTS, strict=True)):
            block = nn.ModuleList()
            for layer in range(count):
                padding = PADDING if rule == "caffe" and (number, layer) == (0, 0) else 1
                block.append(nn.Conv2d(before, width, 3, padding=padding))
                before = width
            self.blocks.append(block)
        self.sides = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in WIDTHS)
        if rule == "caffe":
            self.enlarge = nn.ModuleList(
                nn.ConvTranspose2d(1, 1, 2 << number, stride=1 << number, bias=False)
                for number in range(1, len(WIDTHS))
            )
        self.fuse = nn.Conv2d(len(WIDTHS), 1, 1)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """How sure it is of an edge.

        Args:
            image: (N, 3, H, W), RGB, -1..1

        Returns: (N, 1, H, W), 0..1
        """
        x = (image.flip(1) + 1) * 127.5 - self.mean
        size = (image.shape[-2], image.shape[-1])
        maps = []
        for number, (block, side) in enumerate(zip(self.blocks, self.sides, strict=True)):
            if number:
                x = functional.max_pool2d(x, 2, ceil_mode=self.rule == "caffe")
            for layer in block:  # type: ignore[attr-defined]  # a ModuleList
                x = torch.relu(layer(x))
            maps.append(self._enlarged(side(x), number, size))
        return torch.sigmoid(self.fuse(torch.cat(maps, 1)))

    def _enlarged(self, edges: Tensor, number: int, size: tuple[int, int]) -> Tensor:
        """A block's map at the picture's size and place."""
        if self.rule == "port":
            return functional.interpolate(edges, size, mode="bilinear", align_corners=False)
        if number:
            edges = self.enlarge[number - 1](edges)
        # the first block has lost one of its 35 pixels; a transposed convolution moves by half its stride
        start = PADDING - 1 + (1 << number) // 2 if number else PADDING - 1
        return edges[..., start : start + size[0], start : start + size[1]]


def hed(weights: Path | str | Mapping[str, Tensor]) -> HED:
    """The network with a user's weights.

    Args:
        weights: Caffe's file or the port's, or their tensors by name

    Raises: WeightsError if the file is not there, cannot be read or is no HED
    """
    given = opened(weights, "HED", WANTED)
    rule: Rule = "caffe" if "score-dsn1.weight" in given.tensors else "port"
    tensors = {}
    for name, tensor in given.tensors.items():
        own = _caffe_name(name) if rule == "caffe" else _port_name(name)
        tensors[own or name] = tensor
    with torch.random.fork_rng(devices=[]):
        network = HED(rule)
    for name, own in network.state_dict().items():
        # Caffe's older files have four axes in every blob
        if name in tensors and tensors[name].shape != own.shape and tensors[name].numel() == own.numel() == len(own):
            tensors[name] = tensors[name].reshape(own.shape)
    load_strictly(network, tensors, (), given.title, WANTED)
    network.origin = given.origin
    return network


def _caffe_name(name: str) -> str | None:
    if found := re.fullmatch(r"conv([1-5])_([1-3])\.(weight|bias)", name):
        return f"blocks.{int(found[1]) - 1}.{int(found[2]) - 1}.{found[3]}"
    if found := re.fullmatch(r"score-dsn([1-5])\.(weight|bias)", name):
        return f"sides.{int(found[1]) - 1}.{found[2]}"
    if found := re.fullmatch(r"upsample_(2|4|8|16)\.weight", name):
        return f"enlarge.{int(found[1]).bit_length() - 2}.weight"
    return name.replace("new-score-weighting", "fuse") if name.startswith("new-score-weighting.") else None


def _port_name(name: str) -> str | None:
    """`netVggTwo.3.weight` is the second convolution of the second block; earlier files say `moduleVggTwo`."""
    if found := re.fullmatch(r"(?:net|module)Vgg(\w{3})\.(\d)\.(weight|bias)", name):
        block = _WORDS.index(found[1]) if found[1] in _WORDS else -1
        place = int(found[2]) - (block > 0)  # the later blocks begin with their pooling
        return f"blocks.{block}.{place // 2}.{found[3]}" if block >= 0 and place % 2 == 0 else None
    if found := re.fullmatch(r"(?:net|module)Score(\w{3})\.(weight|bias)", name):
        return f"sides.{_WORDS.index(found[1])}.{found[2]}" if found[1] in _WORDS else None
    found = re.fullmatch(r"(?:net|module)Combine\.0\.(weight|bias)", name)
    return f"fuse.{found[1]}" if found else None


# Edges of whole pictures ----------------------------------------------------------------------------------------------

THRESHOLD = 0.6
"""Above it is an edge, as DeepFill v2 was trained (Yu et al. 2019, section 3.4)."""
WHOLE = 1 << 22
"""Pixels up to which a picture is seen whole."""
BAND, MARGIN = 512, 192
"""Rows at once of larger ones, and what is shown beside them: the deepest features see 98 pixels, their map reaches 16
further, and Caffe's zeros 35. Both are whole steps of the deepest block, so that Caffe's rule gives the same as the
whole; the port's stretches each map to the picture, which rounds a little otherwise."""


@torch.inference_mode()
def edges(network: HED, image: Tensor) -> Tensor:
    """As the network itself, of large pictures in bands, so that memory stays bounded.

    Args:
        image: (1, 3, H, W), RGB, -1..1, on any device

    Returns: (1, 1, H, W), 0..1
    """
    height = image.shape[-2]
    if height * image.shape[-1] <= WHOLE:
        made: Tensor = network(image)
        return made
    parts = []
    for top in range(0, height, BAND):
        above, below = max(0, top - MARGIN), min(height, top + BAND + MARGIN)
        part = network(image[..., above:below, :])
        parts.append(part[..., top - above : min(height, top + BAND) - above, :])
    return torch.cat(parts, -2)

"""HED, edges by a network (Xie and Tu 2015, arXiv 1504.06375), with which guided filling was published.

VGG16's convolutions; the last of each of its five blocks gives a map of edges, which is enlarged to the picture; a
sixth map weighs the five. The weights are the user's to bring, for their licence is not stated: the authors'
`.caffemodel` (github.com/s9xie/hed), a PyTorch port's file (github.com/sniklaus/pytorch-hed), or a Keras port's HDF5
(github.com/lc82111/Keras_HED). They do not compute the same:

- Caffe pads the picture by 35 zeros at the first convolution, halves with rounding up, enlarges by the file's own
  transposed convolutions, and cuts the picture's place out of each map;
- the PyTorch port pads by 1 everywhere and enlarges bilinearly to the picture's size;
- the Keras port pads by 1, halves with rounding up, enlarges each of the five maps by transposed convolutions of its
  own, the first one's of 2x2 pixels, subtracts other means, and weighs without a bias. It takes pictures of 480x480;
  of other sizes its maps are cut at the right and bottom.

Each file is run by its own rule. None of the published files was opened for this; names and rules are from their codes.
In the Keras port only the 13 convolutions of VGG16 have names; Keras numbers the others as the code makes them.
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

Rule = Literal["caffe", "port", "keras"]

MEAN = (104.00698793, 116.66876762, 122.67891434)
"""Blue, green, red, 0..255, subtracted by the authors' code and the PyTorch port."""
KERAS_MEAN = (103.939, 116.779, 123.68)
"""The same in the Keras port."""
WIDTHS, COUNTS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)
PADDING = 35
"""Of Caffe's first convolution."""
WANTED = "give the authors' hed_pretrained_bsds.caffemodel, or the PyTorch or Keras port's file"
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
        self.first_enlarged = 0 if rule == "keras" else 1  # Caffe's first map is of the picture's size
        if rule != "port":
            self.enlarge = nn.ModuleList(
                nn.ConvTranspose2d(1, 1, 2 << number, stride=1 << number, bias=False)
                for number in range(self.first_enlarged, len(WIDTHS))
            )
        self.fuse = nn.Conv2d(len(WIDTHS), 1, 1, bias=rule != "keras")
        mean = torch.tensor(KERAS_MEAN if rule == "keras" else MEAN)
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
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
                x = functional.max_pool2d(x, 2, ceil_mode=self.rule != "port")
            for layer in block:  # type: ignore[attr-defined]  # a ModuleList
                x = torch.relu(layer(x))
            maps.append(self._enlarged(side(x), number, size))
        return torch.sigmoid(self.fuse(torch.cat(maps, 1)))

    def _enlarged(self, edges: Tensor, number: int, size: tuple[int, int]) -> Tensor:
        """A block's map at the picture's size and place."""
        if self.rule == "port":
            return functional.interpolate(edges, size, mode="bilinear", align_corners=False)
        start = PADDING - 1 if self.rule == "caffe" else 0  # the first block has lost one of its 35 pixels
        if number >= self.first_enlarged:
            edges = self.enlarge[number - self.first_enlarged](edges)
            start += (1 << number) // 2  # a transposed convolution moves by half its stride
        return edges[..., start : start + size[0], start : start + size[1]]


def hed(weights: Path | str | Mapping[str, Tensor]) -> HED:
    """The network with a user's weights.

    Args:
        weights: Caffe's file, the PyTorch port's or the Keras port's, or their tensors by name

    Raises: WeightsError if the file is not there, cannot be read or is no HED
    """
    given = opened(weights, "HED", WANTED)
    rule, tensors = _renamed(given.tensors)
    with torch.random.fork_rng(devices=[]):
        network = HED(rule)
    for name, own in network.state_dict().items():
        # Caffe's older files have four axes in every blob
        if name in tensors and tensors[name].shape != own.shape and tensors[name].numel() == own.numel() == len(own):
            tensors[name] = tensors[name].reshape(own.shape)
    load_strictly(network, tensors, (), given.title, WANTED)
    network.origin = given.origin
    return network


def _renamed(given: Mapping[str, Tensor]) -> tuple[Rule, dict[str, Tensor]]:
    """Whose file it is, and its tensors by our names; what has none of ours keeps its own, to be listed as unknown."""
    if any(_KERAS.fullmatch(name) for name in given):
        return "keras", _from_keras(given)
    rule: Rule = "caffe" if "score-dsn1.weight" in given else "port"
    named = _caffe_name if rule == "caffe" else _port_name
    return rule, {named(name) or name: tensor for name, tensor in given.items()}


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


_KERAS = re.compile(r"(block[1-5]_conv[1-3]|conv2d(?:_transpose)?(?:_\d+)?)\.(?:.+\.)?(kernel|bias)(?::0)?")
"""LAYER.LAYER.kernel:0, as Keras's files have it; what stands between differs from version to version."""
_WORDS_OF_KERAS = {"kernel": "weight", "bias": "bias"}


def _from_keras(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Kernels (height, width, in, out) and, of transposed convolutions, (height, width, out, in) -> ours reversed.

    Layers that the port does not name come in the order of Keras's numbers, which need not begin at 1: five sides and
    the last, and the five that enlarge.
    """
    found = {name: match for name in given if (match := _KERAS.fullmatch(name)) is not None}
    layers = {match[1] for match in found.values()}
    own = {f"block{b}_conv{c}": f"blocks.{b - 1}.{c - 1}" for b, n in enumerate(COUNTS, 1) for c in range(1, n + 1)}
    for kind, places in (
        ("conv2d", [*(f"sides.{number}" for number in range(len(WIDTHS))), "fuse"]),
        ("conv2d_transpose", [f"enlarge.{number}" for number in range(len(WIDTHS))]),
    ):
        numbered = [
            (int(match[1] or 0), layer) for layer in layers if (match := re.fullmatch(rf"{kind}_?(\d*)", layer))
        ]
        own |= {layer: place for (_, layer), place in zip(sorted(numbered), places, strict=False)}
    tensors: dict[str, Tensor] = {}
    for name, tensor in given.items():
        layer = found[name][1] if name in found else ""
        ours = f"{own[layer]}.{_WORDS_OF_KERAS[found[name][2]]}" if layer in own else name
        tensors[ours] = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
    return tensors


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
        result: Tensor = network(image)
        return result
    parts = []
    for top in range(0, height, BAND):
        above, below = max(0, top - MARGIN), min(height, top + BAND + MARGIN)
        part = network(image[..., above:below, :])
        parts.append(part[..., top - above : min(height, top + BAND) - above, :])
    return torch.cat(parts, -2)

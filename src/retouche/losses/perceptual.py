"""Losses on the features of a frozen backbone: perceptual (the features themselves) and style (their Gram matrices).

Sources: Johnson et al. 2016 (arXiv 1603.08155), Gatys et al. 2016 (arXiv 1508.06576); layers and sums as in published
inpainting code. What is compared passes the backbone once however many losses read its features, and the original
passes without a graph.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from retouche.backbones.efficientnet import NAME
from retouche.backbones.vgg import VGG
from retouche.losses.reconstruction import overlap_reconstruction, same_size

Features = Mapping[str, Tensor]

PERCEPTUAL_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE_LAYERS = ("relu2_2", "relu3_4", "relu4_4", "relu5_2")
"""The layers of AOT-GAN, StructureFlow and EdgeConnect, all of VGG19."""
STRUCTURAL_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
"""The paper of structural inpainting compares sets of VGG16's layers (its figure 3) and finds conv1_1, conv2_1, conv3_1
best; the published code takes them after their ReLU."""
UNIT = {"caffe": 1 / 255, "torchvision": 0.226, "none": 1.0}
"""What features are multiplied by so that squared differences have the same size whatever the backbone's input range.
Caffe's 1/255 is structural inpainting's; torchvision's backbone has its input divided by 0.226 on average."""

MAGNITUDES = (6.4, 8.8, 7.7, 6.4, 2.7)
"""Root mean square of EfficientNet-Lite0's features at each resolution, over 60 photographs of 256 pixels. Variants 1
and 2, and pictures of 128 pixels, are within a sixth of these."""


class ByBlock(nn.Module):
    """A backbone of five resolutions in the place of a VGG: what a recipe asks of block N, resolution N answers.

    Another loss than the published one, with weights that anybody can install; the weight file's header says so. Its
    features are divided by `MAGNITUDES`: a Gram matrix grows with their square, and as they come the style term of
    AOT-GAN's preset would be 1,000 times its L1 term for a hole of mean colour, and nothing else would be learned.
    """

    normalisation = NAME

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Image (N, 3, H, W), -1..1, and names such as relu3_4 -> the third resolution's features under that name."""
        found = self.backbone(image)
        blocks = {name: int(re.sub(r"^[a-z]+", "", name)[0]) - 1 for name in layers}
        return {name: found[block] / MAGNITUDES[block] for name, block in blocks.items()}


def features(backbone: VGG, prediction: Tensor, image: Tensor, layers: Sequence[str]) -> tuple[Features, Features]:
    """One pass of each picture: features of the prediction, and of the image without a graph.

    Args:
        backbone: `retouche.backbones.vgg`
        prediction: (N, 3, H, W), -1..1
        image: the original, same shape and range
        layers: names of the backbone's layers

    Raises: InputError if the sizes differ
    """
    same_size(prediction, image)
    with torch.no_grad():
        wanted = backbone(image, layers)
    return backbone(prediction, layers), wanted


def feature_distance(
    predicted: Features,
    wanted: Features,
    layers: Sequence[str] = PERCEPTUAL_LAYERS,
    distance: Literal["l1", "l2"] = "l1",
) -> Tensor:
    """Sum over the layers of the mean absolute ("l1") or mean squared ("l2") difference."""
    differences = [_full(predicted[name]) - _full(wanted[name]) for name in layers]
    # sum / n, not mean: its gradient is one number until it meets the features, not a map of equal ones
    return sum_of([(d.abs() if distance == "l1" else d.square()).sum() / d.numel() for d in differences])


def gram(x: Tensor) -> Tensor:
    """Products of all pairs of channels, averaged: (N, C, h, w) -> (N, C, C), divided by C * h * w."""
    c, h, w = x.shape[1:]
    with torch.autocast(x.device.type, enabled=False):
        flat = _full(x).permute(0, 2, 3, 1).flatten(1, 2)  # (N, h * w, C), no copy with channels last
        return flat.transpose(1, 2) @ flat / (c * h * w)


def style_distance(predicted: Features, wanted: Features, layers: Sequence[str] = STYLE_LAYERS) -> Tensor:
    """Sum over the layers of the mean absolute difference of Gram matrices."""
    return sum_of([(gram(predicted[name]) - gram(wanted[name])).abs().mean() for name in layers])


def perceptual_loss(
    backbone: VGG, prediction: Tensor, image: Tensor, layers: Sequence[str] = PERCEPTUAL_LAYERS
) -> Tensor:
    """Sum over the layers of the mean absolute difference of features.

    Args:
        backbone: a VGG19 of `retouche.backbones.vgg`
        prediction: (N, 3, H, W), -1..1
        image: the original, same shape and range
        layers: names of the backbone's layers, each of weight 1

    Returns: a scalar, differentiable in the prediction
    Raises: InputError if the sizes differ or a layer is not built
    """
    return feature_distance(*features(backbone, prediction, image, layers), layers)


def style_loss(backbone: VGG, prediction: Tensor, image: Tensor, layers: Sequence[str] = STYLE_LAYERS) -> Tensor:
    """Sum over the layers of the mean absolute difference of Gram matrices; arguments as of `perceptual_loss`."""
    return style_distance(*features(backbone, prediction, image, layers), layers)


def perceptual_and_style(
    backbone: VGG,
    prediction: Tensor,
    image: Tensor,
    perceptual_layers: Sequence[str] = PERCEPTUAL_LAYERS,
    style_layers: Sequence[str] = STYLE_LAYERS,
) -> tuple[Tensor, Tensor]:
    """`perceptual_loss` and `style_loss` from the same features, at the price of one of them."""
    found = features(backbone, prediction, image, list(dict.fromkeys([*perceptual_layers, *style_layers])))
    return feature_distance(*found, perceptual_layers), style_distance(*found, style_layers)


def feature_reconstruction(
    prediction: Tensor,
    target: Tensor,
    network: VGG,
    layers: Sequence[str] = STRUCTURAL_LAYERS,
    unit: float | None = None,
) -> dict[str, Tensor]:
    """Mean squared difference of VGG features, layer by layer; the feature reconstruction loss is their sum.

    Args:
        prediction: (N, 3, H, W), -1..1
        target: the original, same shape and range
        network: VGG16 for the published numbers, with Caffe's weights
        layers: which; after the ReLU unless named conv*
        unit: what features are multiplied by; by default as `UNIT` says for the backbone

    Returns: layer -> scalar, 0 when both agree
    Raises: InputError if the sizes differ
    Source: Vo, Duong, Perez 2018 (arXiv 1803.10348); divisors as in github.com/jonzhaocn/structural_inpainting.
    """
    unit = UNIT[network.normalisation] if unit is None else unit
    found, wanted = features(network, prediction, target, layers)
    return {layer: ((wanted[layer] - found[layer]) * unit).square().mean() for layer in layers}


def structural_loss(
    prediction: Tensor,
    target: Tensor,
    network: VGG,
    layers: Sequence[str] = STRUCTURAL_LAYERS,
    overlap: int = 4,
    overlap_weight: float = 10.0,
    feature_weight: float = 1.0,
) -> dict[str, Tensor]:
    """What structural inpainting lowers beside the adversarial loss; the structural loss is the sum of all terms.

    Args:
        prediction: (N, 3, H, W), -1..1, the block that the network predicts
        target: the original's block, same shape and range
        network, layers: as in `feature_reconstruction`
        overlap, overlap_weight: as in `overlap_reconstruction`; squared errors are those of pictures in 0..1
        feature_weight: of every layer; 1 in the published code

    Returns: "centre", "overlap" and one entry per layer, weighted scalars
    """
    centre, ring = overlap_reconstruction((prediction + 1) / 2, (target + 1) / 2, overlap, overlap_weight)
    terms = feature_reconstruction(prediction, target, network, layers)
    return {"centre": centre, "overlap": ring, **{name: feature_weight * value for name, value in terms.items()}}


def sum_of(terms: Sequence[Tensor]) -> Tensor:
    """The sum of scalars."""
    return torch.stack(list(terms)).sum()


def _full(x: Tensor) -> Tensor:
    """Half-precision features in float32: their sums overflow or round away."""
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x

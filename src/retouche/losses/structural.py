"""The losses of context encoders and of structural inpainting: overlap-weighted, feature and binary adversarial.

Sources: Pathak et al. 2016 (arXiv 1604.07379), Vo, Duong, Perez 2018 (arXiv 1803.10348); weights, layers and divisors
as in github.com/jonzhaocn/structural_inpainting, whose numbers the golden files hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from retouche.backbones.vgg import VGG
from retouche.errors import InputError

LAYERS = ("relu1_1", "relu2_1", "relu3_1")
"""The paper compares sets of VGG16's layers (its figure 3) and finds conv1_1, conv2_1, conv3_1 best; the published code
takes them after their ReLU."""

UNIT = {"caffe": 1 / 255, "torchvision": 0.226, "none": 1.0}
"""What features are multiplied by so that the loss has the same size whatever the backbone's input range. Caffe's 1/255
is the published code's; torchvision's backbone has its input divided by 0.226 on average, which this undoes."""


def overlap_reconstruction(
    prediction: Tensor, target: Tensor, overlap: int = 4, weight: float = 10.0
) -> tuple[Tensor, Tensor]:
    """Mean squared error of a block whose border, the overlap with known surroundings, counts more.

    Both means are over the whole block, so that their sum is one weighted mean.

    Args:
        prediction: (N, C, H, W), the block that the network predicts
        target: the original's block, same shape and range
        overlap: width of the border, in pixels
        weight: of the border; 10 in both papers' codes

    Returns: two scalars in the squared unit of the arguments: inside the border; the border, weighted
    Raises: InputError if the shapes differ or the border leaves nothing inside
    """
    _same_shape(prediction, target)
    h, w = prediction.shape[-2:]
    if not 0 <= 2 * overlap < min(h, w):
        raise InputError(f"an overlap of {overlap} pixels leaves nothing of a {w}x{h} block: make it smaller")
    inside = functional.pad(prediction.new_ones(1, 1, h - 2 * overlap, w - 2 * overlap), (overlap,) * 4)
    error = (target - prediction) ** 2
    return (error * inside).mean(), (weight * error * (1 - inside)).mean()


def feature_reconstruction(
    prediction: Tensor, target: Tensor, network: VGG, layers: Sequence[str] = LAYERS, unit: float | None = None
) -> dict[str, Tensor]:
    """Mean squared difference of VGG features, layer by layer; the feature reconstruction loss is their sum.

    Args:
        prediction: (N, 3, H, W), -1..1
        target: the original, same shape and range
        network: VGG16 for the published numbers, with Caffe's weights
        layers: which; after the ReLU unless named conv*
        unit: what features are multiplied by; by default as `UNIT` says for the backbone

    Returns: layer -> scalar, 0 when both agree
    Raises: InputError if the shapes differ
    """
    _same_shape(prediction, target)
    unit = UNIT[network.normalisation] if unit is None else unit
    with torch.no_grad():
        wanted = network(target, layers)
    found = network(prediction, layers)
    return {layer: ((wanted[layer] - found[layer]) * unit).square().mean() for layer in layers}


def structural_loss(
    prediction: Tensor,
    target: Tensor,
    network: VGG,
    layers: Sequence[str] = LAYERS,
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
    features = feature_reconstruction(prediction, target, network, layers)
    return {"centre": centre, "overlap": ring, **{name: feature_weight * value for name, value in features.items()}}


def binary_critic(real: Tensor, fake: Tensor, weight: float = 1.0) -> Tensor:
    """Cross entropy of a discriminator that should say 1 to real and 0 to filled pictures.

    Args:
        real, fake: logits of any shape
        weight: 0.1 in structural inpainting's code, 1 in the context encoder's

    Returns: a scalar, 2 ln 2 times the weight for an undecided discriminator
    """
    said_real = functional.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    said_fake = functional.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    return weight * (said_real + said_fake)


def binary_generator(fake: Tensor) -> Tensor:
    """Cross entropy of filled pictures against "real": what the generator lowers.

    Args:
        fake: logits of any shape

    Returns: a scalar, unweighted (0.1 in structural inpainting, 0.001 in the context encoder)
    """
    return functional.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def _same_shape(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape:
        raise InputError(
            f"prediction is {tuple(prediction.shape)} but target is {tuple(target.shape)}: crop one of them"
        )

"""The losses of partial convolutions: valid and hole L1, perceptual, style and total variation.

Source: Liu et al. 2018 (arXiv 1804.07723). The authors published no training code; what is compared, and over how many
pixels it is averaged, differs in the codes that others wrote: mmagic (github.com/open-mmlab/mmagic) and naoto
(github.com/naoto0804/pytorch-inpainting-with-partial-conv). The golden files hold the numbers of both.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from retouche.backbones.vgg import VGG
from retouche.errors import InputError
from retouche.losses.perceptual import feature_distance, style_distance
from retouche.losses.reconstruction import l1

LAYERS = ("pool1", "pool2", "pool3")
"""Of VGG16."""
Share = Literal["all", "region"]
"""What an L1 of a region is averaged over: all pixels (naoto; the paper, as far as its author says), or the region's
(mmagic), which weighs a hole of a quarter of the picture four times as much."""
Variation = Literal["dilated", "hole", "whole"]
"""Where neighbours are compared: both in the hole grown by a pixel (the paper); the upper or left one in the hole, a
mean over those (mmagic); everywhere (naoto)."""


def hole_and_valid(prediction: Tensor, image: Tensor, mask: Tensor, share: Share = "all") -> tuple[Tensor, Tensor]:
    """Mean absolute errors of the hole and of the known pixels, unweighted.

    Args:
        prediction: (N, C, H, W), the network's output as it is
        image: the original, same shape and range
        mask: (N, 1, H, W), 1 = hole
        share: see `Share`

    Raises: InputError if the sizes differ
    """
    known = 1 - mask
    if share == "region":
        return l1(prediction, image, mask), l1(prediction, image, known)
    return l1(prediction * mask, image * mask), l1(prediction * known, image * known)


def total_variation(filled: Tensor, mask: Tensor, where: Variation = "dilated") -> Tensor:
    """Differences between neighbours, down and across, of a filled picture.

    Args:
        filled: (N, C, H, W), original outside the hole
        mask: (N, 1, H, W), 1 = hole
        where: see `Variation`. "dilated" divides by all values of the picture, the other two by those compared

    Returns: a scalar, 0 without a hole (but for "whole")
    Raises: InputError if the sizes differ
    """
    (down, _), (across, _) = variations(filled, mask, where)
    return down + across


def variations(filled: Tensor, mask: Tensor, where: Variation) -> list[tuple[Tensor, Tensor]]:
    """`total_variation` down and across, each with the number of places that its mean is over."""
    if filled.shape[-2:] != mask.shape[-2:]:
        raise InputError(f"mask is {tuple(mask.shape)} but the picture is {tuple(filled.shape)}: give both at one size")
    mask = mask.to(filled)
    grown = functional.max_pool2d(mask, 3, 1, 1) if where == "dilated" else mask
    terms = []
    for axis in (2, 3):
        length = filled.shape[axis] - 1
        first, second = filled.narrow(axis, 0, length), filled.narrow(axis, 1, length)
        if where == "whole":
            terms.append(((first - second).abs().mean(), filled.new_tensor(first[:, :1].numel())))
        elif where == "hole":
            region = mask.narrow(axis, 0, length)
            terms.append((l1(first, second, region), region.sum()))
        else:
            both = grown.narrow(axis, 0, length) * grown.narrow(axis, 1, length)
            terms.append((((first - second).abs() * both).sum() / filled.numel(), filled.new_tensor(mask.numel())))
    return terms


def perceptual_and_style_of_both(
    backbone: VGG, prediction: Tensor, filled: Tensor, image: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """Feature and Gram distances to the original, of the raw prediction and of the filled picture.

    Args:
        backbone: a VGG16 of `retouche.backbones.vgg`, up to pool3 at least
        prediction: (N, 3, H, W), the network's output in -1..1, not cut off there
        filled: original outside the hole
        image: the original

    Returns: "raw" and "filled" -> (perceptual, style), unweighted
    """
    with torch.no_grad():
        wanted = backbone(image, LAYERS)
    found = {"raw": backbone(prediction, LAYERS), "filled": backbone(filled, LAYERS)}
    return {
        name: (feature_distance(result, wanted, LAYERS), style_distance(result, wanted, LAYERS))
        for name, result in found.items()
    }

"""Losses that compare a prediction with the original, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from retouche.errors import InputError

DISTANCE_NUMBERS = 1 << 24
"""How many numbers the distance search may hold at once."""


def l1(prediction: Tensor, image: Tensor, region: Tensor | None = None) -> Tensor:
    """Mean absolute error.

    Args:
        prediction: (N, C, H, W), -1..1
        image: the original, same shape and range
        region: (N, 1, H, W) or (1, 1, H, W), 1 where pixels count, 0 where not; all count without it

    Returns: a scalar; sum(error * region) / sum(region), 0 for an empty region
    Raises: InputError if the sizes differ
    """
    same_size(prediction, image)
    error = (prediction - image).abs()
    if region is None:
        return error.mean()
    weight = region.to(error).expand_as(error)
    return (error * weight).sum() / weight.sum().clamp_min(1)


def discounted_l1(prediction: Tensor, image: Tensor, mask: Tensor, gamma: float = 0.99) -> Tensor:
    """Mean absolute error whose weight falls off towards the middle of the hole.

    A hole pixel d pixels from the nearest known one weighs gamma ** d; a known pixel weighs 1.
    Deep inside a hole many fillings are right, so the loss insists less on the original.

    Args:
        prediction: (N, C, H, W), -1..1
        image: the original, same shape and range
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole, of any form
        gamma: 0..1; 0.99 in the paper, 0.9 in every published configuration

    Returns: a scalar, 0 when both agree; the mean is over all values, known ones included
    Raises: InputError if the sizes differ
    Source: Yu et al. 2018 (arXiv 1801.07892). Published code knows box holes only, `box_discounted_l1`.
    """
    same_size(prediction, image)
    if mask.shape[-2:] != image.shape[-2:]:
        raise InputError(f"mask is {tuple(mask.shape)} but image is {tuple(image.shape)}: give both at one size")
    weight = (gamma ** distance_to_known(mask)).to(prediction)
    return ((prediction - image).abs() * weight).mean()


def box_discounted_l1(prediction: Tensor, image: Tensor, gamma: float = 0.9) -> Tensor:
    """The published discounted L1, on the crop of a box hole.

    Args:
        prediction: (N, C, h, w), -1..1, cut to the box
        image: the original, cut likewise
        gamma: 0..1; 0.9 in every published configuration, 0.99 in the paper

    Returns: a scalar, the mean over all values of the box
    Raises: InputError if the sizes differ
    Source: JiahuiYu/generative_inpainting. Row and column 0 have distance 0 and the last ones distance 1; the table
        belongs to the whole box, whatever smaller hole lies in it.
    """
    same_size(prediction, image)
    h, w = image.shape[-2:]
    rows, columns = torch.arange(h, device=image.device), torch.arange(w, device=image.device)
    rows, columns = torch.minimum(rows, h - rows), torch.minimum(columns, w - columns)
    depth = torch.minimum(rows[:, None], columns)  # (h, w); max(gamma^a, gamma^b) = gamma^min(a, b)
    weight = (gamma ** depth.to(_exact(prediction))).to(prediction)
    return ((prediction - image).abs() * weight).mean()


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
    Raises: InputError if the sizes differ or the border leaves nothing inside
    Source: Pathak et al. 2016 (arXiv 1604.07379), Vo, Duong, Perez 2018 (arXiv 1803.10348).
    """
    same_size(prediction, target)
    h, w = prediction.shape[-2:]
    if not 0 <= 2 * overlap < min(h, w):
        raise InputError(f"an overlap of {overlap} pixels leaves nothing of a {w}x{h} block: make it smaller")
    inside = functional.pad(prediction.new_ones(1, 1, h - 2 * overlap, w - 2 * overlap), (overlap,) * 4)
    error = (target - prediction) ** 2
    return (error * inside).mean(), (weight * error * (1 - inside)).mean()


def distance_to_known(mask: Tensor) -> Tensor:
    """Exact Euclidean distance of each pixel to the nearest known one.

    Args:
        mask: (N, 1, H, W), > 0.5 = hole

    Returns: (N, 1, H, W), in pixels, float64 for a float64 mask, else float32: 0 at known pixels, 1 at hole pixels
        beside them; infinite where a picture has no known pixel
    """
    with torch.no_grad():
        known = mask[:, 0] <= 0.5  # (N, H, W)
        n, h, w = known.shape
        far, exact = float("inf"), _exact(mask)
        row = torch.arange(h, dtype=exact, device=mask.device).view(1, h, 1)
        above = torch.where(known, row, -far).cummax(1).values
        below = torch.where(known, row, far).flip(1).cummin(1).values.flip(1)
        vertical = torch.minimum(row - above, below - row).square().view(n * h, w)
        column = torch.arange(w, dtype=exact, device=mask.device)
        across = (column[:, None] - column).square()  # (W, W)
        rows = max(1, DISTANCE_NUMBERS // (w * w))
        # the nearest known pixel lies in some column: the best over columns of height^2 + width^2
        parts = [(part[:, None, :] + across).amin(2) for part in vertical.split(rows)]
        return torch.cat(parts).view(n, 1, h, w).sqrt()


def same_size(prediction: Tensor, image: Tensor) -> None:
    """Raises: InputError if the shapes differ"""
    if prediction.shape != image.shape:
        raise InputError(
            f"prediction is {tuple(prediction.shape)} but image is {tuple(image.shape)}: "
            "crop one of them to give both at one size"
        )


def _exact(x: Tensor) -> torch.dtype:
    """A type that holds squares of distances exactly (float32: up to 4096 pixels)."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32

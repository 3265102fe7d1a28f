"""Sketches from pictures: thin lines where a picture has edges, in place of what a user would draw.

The steps are Canny's (1986): smooth, take the steepest direction, keep the ridge of the slope, drop what is faint and
not joined to something strong.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from retouche.masks import Mask
from retouche.pictures import Picture
from retouche.pictures.hidden import seen

SIGMA = 0.006  # of the shorter side: 1.5 pixels at 256
STRONG, FAINT = 0.12, 0.05  # slope in units of the grey range per pixel of smoothing width
REACH = 64  # joins of faint to strong, pixels
ROWS = 512  # at once


def usual_sigma(height: int, width: int) -> float:
    """Smoothing in pixels for a picture of this size: 0.6 % of the shorter side, at least 0.8."""
    return max(0.8, SIGMA * min(height, width))


def sketch(picture: Picture, sigma: float | None = None) -> Mask:
    """The `edges` of a picture of any size, band by band so that memory stays bounded: (H, W), True = stroke."""
    picture = seen(picture)
    height, width = picture.height, picture.width
    sigma = usual_sigma(height, width) if sigma is None else sigma
    margin = math.ceil(3 * sigma) + REACH + 2  # from further away nothing reaches a band
    lines = np.zeros((height, width), np.bool_)
    for top in range(0, height, ROWS):
        bottom = min(height, top + ROWS)
        above, below = max(0, top - margin), min(height, bottom + margin)
        band = edges(picture.rgb((0, above, width, below)), sigma)[0, 0]
        lines[top:bottom] = band[top - above : bottom - above].numpy() > 0
    return lines


@torch.no_grad()
def edges(image: Tensor, sigma: float | None = None) -> Tensor:
    """Where the picture's edges run.

    Args:
        image: (N, 3, H, W), -1..1
        sigma: smoothing in pixels; larger keeps only coarse shapes. None: 0.6 % of the shorter side, at least 0.8

    Returns: (N, 1, H, W), 1 = stroke, in the image's dtype
    """
    sigma = usual_sigma(*image.shape[-2:]) if sigma is None else sigma
    luma = torch.tensor([0.299, 0.587, 0.114]).to(image).view(1, 3, 1, 1)
    grey = _blurred(((image + 1) / 2 * luma).sum(1, keepdim=True), sigma)  # (N, 1, H, W), 0..1
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    horizontal = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    vertical = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    gradient = torch.hypot(horizontal, vertical) * sigma
    ridge = gradient * _is_ridge(gradient, horizontal, vertical)
    strong, faint = (ridge >= STRONG).to(image), (ridge >= FAINT).to(image)
    lines = strong
    for _ in range(REACH):
        grown = functional.max_pool2d(lines, 3, stride=1, padding=1) * faint
        if torch.equal(grown, lines):
            break
        lines = grown
    return lines


def _blurred(plane: Tensor, sigma: float) -> Tensor:
    reach = min(math.ceil(3 * sigma), *(side - 1 for side in plane.shape[-2:]))
    if reach < 1:
        return plane
    offsets = torch.arange(-reach, reach + 1, dtype=plane.dtype, device=plane.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    plane = functional.pad(plane, (reach, reach, reach, reach), mode="reflect")
    plane = functional.conv2d(plane, kernel.view(1, 1, 1, -1))
    return functional.conv2d(plane, kernel.view(1, 1, -1, 1))


def _is_ridge(gradient: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    """Whether the slope is the largest of its two neighbours in the direction of ascent, among four directions."""
    padded = functional.pad(gradient, (1, 1, 1, 1))
    h, w = gradient.shape[-2:]

    def neighbour(dy: int, dx: int) -> Tensor:
        return padded[..., 1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]

    angle = torch.atan2(vertical, horizontal)
    sector = torch.remainder(torch.round(angle / (math.pi / 4)), 4)  # 0 right, 1 down right, ...
    ridge = torch.zeros_like(gradient, dtype=torch.bool)
    for number, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        # one side strictly, or a plateau two pixels wide would give two lines
        larger = (gradient > neighbour(dy, dx)) & (gradient >= neighbour(-dy, -dx))
        ridge |= (sector == number) & larger
    return ridge

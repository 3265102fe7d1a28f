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
FINE = (
    6  # where more is smoothed than two such widths, in pixels, the smoothing is done on a smaller grid of this width
)
SPREAD = 1.0  # of the Gaussian that enlarges that grid, in its pixels: it ripples by 1e-8


def usual_sigma(height: int, width: int) -> float:
    """Smoothing in pixels for a picture of this size: 0.6 % of the shorter side, at least 0.8."""
    return max(0.8, SIGMA * min(height, width))


def sketch(picture: Picture, sigma: float | None = None) -> Mask:
    """The `edges` of a picture of any size, band by band so that memory stays bounded: (H, W), True = stroke."""
    picture = seen(picture)
    height, width = picture.height, picture.width
    sigma = usual_sigma(height, width) if sigma is None else sigma
    factor = _reduction(sigma, min(height, width))
    small = None if factor == 1 else _small(picture, sigma, factor)
    margin = REACH + 2 + (math.ceil(3 * sigma) if small is None else 0)  # from further away nothing reaches a band
    lines = np.zeros((height, width), np.bool_)
    for top in range(0, height, ROWS):
        bottom = min(height, top + ROWS)
        above, below = max(0, top - margin), min(height, bottom + margin)
        if small is None:
            grey = _blurred(_grey(picture.rgb((0, above, width, below))), sigma)
        else:
            grey = _enlarged(small, factor, (above, below), (0, width))
        lines[top:bottom] = _lines(grey, sigma)[0, 0, top - above : bottom - above].numpy()
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
    return _lines(_blurred(_grey(image), sigma), sigma).to(image)


def _lines(grey: Tensor, sigma: float) -> Tensor:
    """(N, 1, H, W), smoothed by sigma -> bool, True = stroke."""
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    horizontal = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]).div_(2)
    vertical = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]).div_(2)
    gradient = torch.hypot(horizontal, vertical).mul_(sigma)
    ridge = _is_ridge(gradient, horizontal, vertical)
    return _joined(ridge & (gradient >= STRONG), ridge & (gradient >= FAINT))


def _joined(strong: Tensor, faint: Tensor) -> Tensor:
    """(N, 1, H, W): what is strong, and what is faint and joined to it by at most `REACH` steps among the faint."""
    wide = strong.shape[-1] + 2  # with a border of one pixel, so that a neighbour is a fixed step away
    lines = functional.pad(strong, (1, 1, 1, 1))
    waiting = functional.pad(faint & ~strong, (1, 1, 1, 1)).flatten()
    flat = lines.view(-1)
    steps = torch.tensor([dy * wide + dx for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx], device=strong.device)
    front = flat.nonzero()  # (K, 1)
    for _ in range(REACH):
        near = (front + steps).flatten()
        near = near[waiting[near]].unique()
        if not near.numel():
            break
        flat[near] = True
        waiting[near] = False
        front = near[:, None]
    return lines[..., 1:-1, 1:-1]


def _grey(image: Tensor) -> Tensor:
    """(N, 3, H, W), -1..1 -> luma (N, 1, H, W), 0..1."""
    luma = torch.tensor([0.299, 0.587, 0.114]).to(image).view(1, 3, 1, 1)
    return ((image + 1) / 2 * luma).sum(1, keepdim=True)


# Wide smoothing on a smaller grid -------------------------------------------------------------------------------------


def _reduction(sigma: float, shorter: int) -> int:
    """By which power of two the grid may be smaller on which so much is smoothed."""
    factor = 1
    while sigma / (2 * factor) >= FINE and shorter >= 16 * factor:
        factor *= 2
    return factor


def _small(picture: Picture, sigma: float, factor: int) -> Tensor:
    """The luma (1, 1, h, w) on a grid smaller by the factor, smoothed by what `_enlarged` leaves of sigma."""
    height, width = picture.height, picture.width
    rows = []
    step = max(1, ROWS // factor) * factor
    for top in range(0, height, step):
        grey = _grey(picture.rgb((0, top, width, min(height, top + step))))
        # the last cells may be cut off by the picture's edge
        rows.append(functional.avg_pool2d(grey, factor, ceil_mode=True, count_include_pad=False))
    cell = (factor**2 - 1) / 12  # variance of the mean over a cell
    return _blurred(torch.cat(rows, 2), math.sqrt((sigma**2 - cell) / factor**2 - SPREAD**2))


def _enlarged(small: Tensor, factor: int, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    """These rows and columns (start, end) of the large grid, from (1, 1, h, w): (1, 1, rows, columns)."""
    tall = _stretched(small[0, 0].T, rows, factor).T
    return _stretched(tall, columns, factor)[None, None]


def _stretched(plane: Tensor, places: tuple[int, int], factor: int) -> Tensor:
    """(a, count) -> (a, places): these places of the large grid along the second axis."""
    pieces = []
    for start in range(*places, ROWS):  # further than five small pixels away nothing weighs
        end = min(start + ROWS, places[1])
        near = torch.arange(max(0, start // factor - 5), min(plane.shape[1], end // factor + 6))
        at = (torch.arange(start, end, dtype=torch.float32)[:, None] + 0.5) / factor - 0.5
        weights = torch.exp(-((at - near) ** 2) / (2 * SPREAD**2))
        pieces.append(plane[:, near[0] : int(near[-1]) + 1] @ (weights / weights.sum(1, keepdim=True)).T)
    return torch.cat(pieces, 1)


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

    across, down = horizontal.abs(), vertical.abs()
    level, upright = down < across * math.tan(math.pi / 8), across < down * math.tan(math.pi / 8)
    alike = (horizontal > 0) == (vertical > 0)
    slanted = ~(level | upright)
    ridge = torch.zeros_like(gradient, dtype=torch.bool)
    for wanted, (dy, dx) in (
        (level, (0, 1)),
        (slanted & alike, (1, 1)),
        (upright, (1, 0)),
        (slanted & ~alike, (1, -1)),
    ):
        # one side strictly, or a plateau two pixels wide would give two lines
        larger = (gradient > neighbour(dy, dx)) & (gradient >= neighbour(-dy, -dx))
        ridge |= wanted & larger
    return ridge

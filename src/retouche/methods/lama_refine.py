"""Refinement of LaMa's fills at high resolution: features are fitted so that the fill, shrunk, is the coarser one.

Source: Kulshreshtha, Pugh, Jiddi 2022 (arXiv 2206.13644) as in advimman/lama. There the result of a picture over the
limit stays shrunk, and a level takes all the memory that its graph needs; here it is enlarged again, and blocks and
strips of rows are computed anew for the backward pass, so that about 2,000 bytes a pixel are enough, 4 GB at
the limit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from retouche.image import composite, pad_to
from retouche.methods.lama_fast import Folded, Halves, Transforms, block, head, tail

LIMIT_PIXELS = 1_800_000
"""Larger pictures are shrunk to this first."""
COARSEST = 512
"""About how long the shorter side is at the level that is filled plainly, in pixels."""
LEVELS = 3
ROUNDS, RATE = 15, 0.002
"""Forward passes of a level (no step follows the last) and Adam's learning rate."""
ERODED = 15
"""Diameter of the ellipse by which the shrunk hole is thinned before it is compared."""


def refined(weights: Folded, image: Tensor, mask: Tensor) -> Tensor:
    """Fill one picture from coarse to fine.

    Args:
        image: (1, 3, H, W), 0..1, its hole at any value
        mask: (1, 1, H, W), 1 = hole

    Returns: (1, 3, H, W), 0..1; the image itself where it is known
    """
    height, width = image.shape[-2:]
    image = image * (1 - mask)
    share = math.sqrt(LIMIT_PIXELS / (height * width))
    if share < 1:
        size = max(16, int(height * share)), max(16, int(width * share))
        seen = _covered(functional.interpolate(mask, size, mode="bilinear"))
        small = functional.interpolate(image, size, mode="bilinear") * (1 - seen)
        output = functional.interpolate(refined(weights, small, seen), (height, width), mode="bicubic").clamp(0, 1)
        return composite(image, output, mask)
    levels = min(1 + round(max(0.0, math.log2(min(height, width) / COARSEST))), LEVELS)
    pyramid = [(image, mask)]
    for _ in range(levels - 1):
        finer, hole = pyramid[-1]
        hole = _covered(halved(hole))
        pyramid.append((halved(finer) * (1 - hole), hole))
    result: Tensor | None = None
    for picture, hole in reversed(pyramid):
        padded, box = pad_to(picture, 8, 16)
        unknown, _ = pad_to(hole, 8, 16)
        output = _fitted(weights, padded, unknown, picture, hole, result)[..., : box[3], : box[2]]
        result = composite(picture, output, hole)
    assert result is not None
    return result


def _fitted(
    weights: Folded, padded: Tensor, unknown: Tensor, picture: Tensor, hole: Tensor, coarser: Tensor | None
) -> Tensor:
    """The prediction of one level: plain without a coarser result, else with features fitted to it."""
    with torch.no_grad():
        x = head(weights, torch.cat([padded * (1 - unknown), unknown], 1))
        transforms = Transforms.of(x[0])
    if coarser is None:
        with torch.no_grad():
            return _decoded(weights, x, transforms)
    height, width = picture.shape[-2:]
    inner = eroded(functional.interpolate(hole, coarser.shape[-2:], mode="bilinear") >= 1 - 1e-8)
    known = (1 - hole).expand_as(picture)
    features = [half.detach().clone().requires_grad_() for half in x]
    optimizer = torch.optim.Adam(features, lr=RATE)
    for turn in range(ROUNDS):
        with torch.set_grad_enabled(turn < ROUNDS - 1):
            result = _decoded(weights, (features[0], features[1]), transforms)
        if turn == ROUNDS - 1:
            break
        inside = result[..., :height, :width]
        loss = ((inside - picture).abs() * known).sum() / known.sum().clamp_min(1)
        if inner.any():
            wide = inner.expand_as(coarser)
            loss = loss + (halved(inside, coarser.shape[-2:]) - coarser).abs()[wide].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return result.detach()


def _decoded(weights: Folded, x: Halves, transforms: Transforms) -> Tensor:
    """Blocks and tail; with gradients each block and strip is computed again when its turn comes."""
    if not torch.is_grad_enabled():
        for layers in weights.blocks:
            x = block(layers, x, transforms)
        return tail(weights, x)
    for layers in weights.blocks:
        x = checkpoint(block, layers, x, transforms, use_reentrant=False)
    return tail(weights, x, again=True)


def halved(x: Tensor, size: tuple[int, int] | torch.Size | None = None) -> Tensor:
    """Half the size, behind a Gaussian of 5x5 with deviation 1 whose border is mirrored."""
    taps = torch.exp(-(torch.arange(5, dtype=torch.float64) - 2).square() / 2)
    taps = (taps / taps.sum()).to(x)
    channels = x.shape[1]
    x = functional.pad(x, (2, 2, 2, 2), mode="reflect")
    x = functional.conv2d(x, taps.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    x = functional.conv2d(x, taps.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    wanted = (x.shape[-2] // 2, x.shape[-1] // 2) if size is None else tuple(size)
    return functional.interpolate(x, wanted, mode="bilinear", align_corners=False)


def _covered(mask: Tensor) -> Tensor:
    """1 where any of the hole has come."""
    return (mask >= 1e-8).to(mask)


def eroded(hole: Tensor) -> Tensor:
    """Places whose whole ellipse of 15 pixels is hole; beyond the border counts as hole.

    Args:
        hole: (1, 1, h, w) bool
    """
    radius = ERODED // 2
    place = torch.arange(-radius, radius + 1, device=hole.device)
    # each row as long as an ellipse drawn pixel by pixel has it
    reach = (radius * (1 - (place / radius).square()).clamp_min(0).sqrt()).round()
    disc = (place.abs()[None, :] <= reach[:, None]).float()[None, None]
    known = functional.conv2d((~hole).float(), disc, padding=radius)
    return known < 0.5

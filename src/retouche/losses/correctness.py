"""Sampling correctness: whether a flow fetches the features that belong where it puts them.

Source: Ren et al. 2019, StructureFlow (arXiv 1908.03852), section 3.3; numbers as in RenYurui/StructureFlow.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from retouche.backbones.vgg import VGG
from retouche.errors import InputError
from retouche.layers.sampling import gaussian_sample

LAYER = "relu3_1"
PAIRS_AT_ONCE = 1 << 24
"""Pairs of places whose likeness lies in memory together, 64 MB in float32."""
EPSILON = 1e-8


def sampling_correctness(
    backbone: VGG, image: Tensor, masked: Tensor, flow: Tensor, mask: Tensor, kernel_size: int = 4, sigma: float = 2.0
) -> Tensor:
    """Mean over the hole of exp(-(likeness of what the flow fetches) / (best likeness there is anywhere)).

    The likeness of two places is the cosine of their VGG19 features: of the original at the one, of the masked image
    at the other. Only the flow gets a gradient. The lower end is exp(-1) = 0.37, not 0.

    Args:
        backbone: a VGG19 of `retouche.backbones.vgg`, normalisation "none" as the published code feeds it
        image: the original, (N, 3, H, W), -1..1
        masked: the image with 0 in its hole, same shape
        flow: (N, 2, h, w), offsets (x, y) in places of the features, (H/4, W/4); averaged to their size if larger
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole; shrunk by nearest neighbour
        kernel_size, sigma: of the sampling, `retouche.layers.gaussian_sample`

    Returns: a scalar over the whole batch together, 0 without a hole
    Raises: InputError if the sizes differ
    """
    n, _, h, w = image.shape
    if masked.shape != image.shape or tuple(mask.shape) not in {(n, 1, h, w), (1, 1, h, w)}:
        raise InputError(
            f"image is {tuple(image.shape)}, masked {tuple(masked.shape)}, mask {tuple(mask.shape)}: give one size"
        )
    with torch.no_grad():
        wanted, there = backbone(image, [LAYER])[LAYER], backbone(masked, [LAYER])[LAYER]
    places = correctness_map(wanted, there, flow, kernel_size, sigma)
    hole = functional.interpolate(mask.to(places), size=places.shape[-2:]).expand_as(places)
    return (places * hole).sum() / (hole.sum() + EPSILON)


def correctness_map(wanted: Tensor, there: Tensor, flow: Tensor, kernel_size: int = 4, sigma: float = 2.0) -> Tensor:
    """`sampling_correctness` place by place, on given features.

    Args:
        wanted: features of the original, (N, C, h, w); no gradient
        there: features of the masked image, same shape; no gradient
        flow: (N, 2, h, w) or larger

    Returns: (N, 1, h, w), from exp(-1) where the flow fetches the best there is
    """
    wanted, there = wanted.detach(), there.detach()
    if wanted.dtype in {torch.float16, torch.bfloat16}:
        wanted, there = wanted.float(), there.float()
    n, _, h, w = wanted.shape
    with torch.autocast(wanted.device.type, enabled=False):
        flow = functional.adaptive_avg_pool2d(flow.to(wanted), (h, w))
        best = best_likeness(wanted, there)
        fetched = gaussian_sample(there, flow, kernel_size, sigma)
        likeness = functional.cosine_similarity(fetched, wanted, dim=1, eps=EPSILON).view(n, 1, h, w)
        return torch.exp(-likeness / (best + EPSILON))


@torch.no_grad()
def best_likeness(wanted: Tensor, there: Tensor) -> Tensor:
    """The largest cosine of each place's `wanted` feature with any place's in `there`, in the hole or not.

    Args:
        wanted, there: (N, C, h, w)

    Returns: (N, 1, h, w); only a few rows of all pairs are in memory at once
    """
    n, _, h, w = wanted.shape
    rows = (wanted / (wanted.norm(dim=1, keepdim=True) + EPSILON)).flatten(2).transpose(1, 2)  # (N, h w, C)
    columns = (there / (there.norm(dim=1, keepdim=True) + EPSILON)).flatten(2)  # (N, C, h w)
    best = wanted.new_empty(n, h * w)
    count = max(1, PAIRS_AT_ONCE // (h * w))
    for sample in range(n):
        for first in range(0, h * w, count):
            piece = slice(first, first + count)
            best[sample, piece] = (rows[sample, piece] @ columns[sample]).amax(1)
    return best.view(n, 1, h, w)

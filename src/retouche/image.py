"""Images: float tensors (N, 3, H, W), RGB, -1..1, that networks see. What a user gives is a picture: `pictures`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from retouche.conventions import LUMA as LUMA
from retouche.conventions import Box as Box
from retouche.conventions import area as area
from retouche.conventions import union as union


def to_uint8(image: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W), -1..1 -> (H, W, 3) rounded to 0..255; values beyond are cut."""
    assert image.ndim == 4 and image.shape[0] == 1, tuple(image.shape)
    levels = image[0].detach().to(torch.float32).add(1).mul(127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def composite(image: Tensor, prediction: Tensor, mask: Tensor) -> Tensor:
    """The prediction inside the hole, the image's own values, bit for bit, elsewhere.

    Args:
        image, prediction: (N, C, H, W)
        mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole

    Returns: (N, C, H, W) in the image's dtype
    """
    return torch.where(mask > 0.5, prediction.to(image.dtype), image)


def pad_to(
    image: Tensor, multiple: int, smallest: int, mode: Literal["reflect", "replicate", "zeros"] = "reflect"
) -> tuple[Tensor, Box]:
    """Grow an image to the right and below until its sides suit a network.

    Args:
        image: (N, C, H, W) of any size, from 1x1 on
        multiple: both sides will divide by this
        smallest: and be at least this
        mode: what the border shows: the image mirrored without its edge pixel (again and again where it is small),
            its edge pixel, or 0

    Returns: the padded image, and the box of the original in it: padded[..., top:bottom, left:right]
    """
    height, width = image.shape[-2:]
    for axis, side in ((-2, height), (-1, width)):
        wanted = max(side, smallest)
        wanted += -wanted % multiple
        if wanted == side:
            continue
        if mode == "zeros":
            image = functional.pad(image, (0, wanted - side) if axis == -1 else (0, 0, 0, wanted - side))
            continue
        at = torch.arange(wanted, device=image.device)
        if mode == "replicate" or side == 1:
            at = at.clamp(max=side - 1)
        else:  # 0 1 2 1 0 1 2 ...
            at = at % (2 * side - 2)
            at = torch.where(at < side, at, 2 * side - 2 - at)
        image = image.index_select(axis, at)
    return image, (0, 0, width, height)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """(N, 3, H, W), -1..1 -> (N, 3, height, width): bicubic, antialiased when smaller, cut to -1..1."""
    if image.shape[-2:] == (height, width):
        return image
    kind = image.dtype if image.dtype in (torch.float32, torch.float64) else torch.float32
    resized = functional.interpolate(
        image.to(kind), (height, width), mode="bicubic", align_corners=False, antialias=True
    )
    return resized.clamp(-1, 1).to(image.dtype)

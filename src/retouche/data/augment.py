"""From a picture to a square training image, each paper's way; every choice comes from the sample's random numbers."""

from __future__ import annotations

import io
import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor
from torch.nn import functional

from retouche.masks import Box
from retouche.pictures import Picture

Kind: TypeAlias = Literal["random", "resize", "area", "short", "zoom", "centre"]


class Crop(NamedTuple):
    """How training images are cut from pictures; the words are explained at `retouche.methods.method.DataConfig`."""

    size: int
    kind: Kind = "random"
    scale: float = 1.0
    flip: bool = False
    jitter: float = 0.0
    degrade: float = 0.0


class View(NamedTuple):
    """One choice: which part of the picture, mirrored or not, and how its colours change."""

    box: Box
    size: int
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


def choose(rng: Generator, height: int, width: int, crop: Crop) -> View:
    """What to cut from a picture of this size; a part smaller than `crop.size` is enlarged afterwards."""
    box = _BOXES[crop.kind](rng, height, width, crop)
    flip = crop.flip and rng.uniform() < 0.5
    if not crop.jitter:
        return View(box, crop.size, flip)
    low, high = max(0.0, 1 - crop.jitter), 1 + crop.jitter
    brightness, contrast, saturation = (float(rng.uniform(low, high)) for _ in range(3))
    hue = float(rng.uniform(-crop.jitter, crop.jitter))
    return View(box, crop.size, flip, brightness, contrast, saturation, hue)


def middle(height: int, width: int, crop: Crop) -> View:
    """The choice without chance, for validation: the largest square in the middle, or the whole for "resize"."""
    return View((0, 0, width, height) if crop.kind == "resize" else _middle_square(height, width), crop.size)


def _middle_square(height: int, width: int) -> Box:
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return (left, top, left + side, top + side)


def cut(picture: Picture, view: View) -> Tensor:
    """The part of a picture that a view says, as an image (1, 3, size, size), -1..1."""
    left, top, right, bottom = view.box
    if picture.pixels.dtype == "uint8" and picture.mode in ("RGB", "RGBA"):
        # bytes are resized several times faster than floats
        pixels = torch.from_numpy(picture.pixels[top:bottom, left:right, :3]).permute(2, 0, 1)[None]
        image = _resized(pixels, view.size).float().div_(127.5).sub_(1)
    else:
        image = _resized(picture.rgb(view.box), view.size)
    image = recoloured(image, view)
    return image.flip(-1) if view.flip else image


def cut_plane(plane: Tensor, view: View) -> Tensor:
    """The same part of a plane (1, 1, H, W), 0..1, as (1, 1, size, size); thin strokes survive shrinking."""
    left, top, right, bottom = view.box
    part = plane[..., top:bottom, left:right]
    if part.shape[-1] >= view.size and part.shape[-2] >= view.size:
        part = functional.adaptive_max_pool2d(part, view.size)
    else:
        part = functional.interpolate(part, (view.size, view.size), mode="nearest")
    return part.flip(-1) if view.flip else part


def recoloured(image: Tensor, view: View) -> Tensor:
    """Brightness, contrast, saturation and hue changed, in this order; cut to -1..1 after each.

    Hue turns the colours about the grey axis by `hue` of a full turn, which leaves their sum alone.
    """
    if (view.brightness, view.contrast, view.saturation, view.hue) == (1.0, 1.0, 1.0, 0.0):
        return image
    x = ((image + 1) / 2 * view.brightness).clamp(0, 1)
    x = torch.lerp(_grey(x).mean(), x, view.contrast).clamp(0, 1)
    x = torch.lerp(_grey(x).expand_as(x), x, view.saturation).clamp(0, 1)
    angle = 2 * math.pi * view.hue
    third, root = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    a, b, c = math.cos(angle) + third, third - root, third + root  # Rodrigues' rotation about (1, 1, 1)
    turn = torch.tensor([[a, b, c], [c, a, b], [b, c, a]], dtype=x.dtype)
    x = torch.einsum("ij,njhw->nihw", turn, x).clamp(0, 1)
    return x * 2 - 1


def degraded(rng: Generator, image: Tensor) -> Tensor:
    """The image as cheap cameras and old files have it: noise, JPEG's blocks, or both; what is filled should match.

    Args:
        image: (1, 3, H, W), -1..1

    Returns: the same shape and range; noise of 1 to 14 levels of 255, JPEG of quality 25 to 90
    """
    both = rng.uniform()
    if both < 0.7:
        levels = math.exp(rng.uniform(0, math.log(14)))
        grey = rng.uniform() < 0.5
        noise = rng.standard_normal((1, 1 if grey else 3, *image.shape[-2:]), np.float32) * (levels / 127.5)
        image = (image + torch.from_numpy(noise)).clamp(-1, 1)
    if both > 0.4:
        pixels = ((image[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        held = io.BytesIO()
        Image.fromarray(pixels).save(held, "JPEG", quality=int(rng.integers(25, 91)))
        decoded = np.array(Image.open(held).convert("RGB"))
        image = torch.from_numpy(decoded).permute(2, 0, 1)[None].float() / 127.5 - 1
    return image


def _grey(x: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of (N, 3, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def _resized(image: Tensor, size: int) -> Tensor:
    """(1, 3, h, w) -> (1, 3, size, size), bilinear, antialiased, in the same dtype."""
    if image.shape[-2:] == (size, size):
        return image
    return functional.interpolate(image, (size, size), mode="bilinear", align_corners=False, antialias=True)


def _square(rng: Generator, height: int, width: int, side: int) -> Box:
    side = max(1, min(side, height, width))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    return (left, top, left + side, top + side)


def _random(rng: Generator, height: int, width: int, crop: Crop) -> Box:
    return _square(rng, height, width, round(crop.size * crop.scale))


def _whole(rng: Generator, height: int, width: int, crop: Crop) -> Box:
    return (0, 0, width, height)


def _area(rng: Generator, height: int, width: int, crop: Crop) -> Box:
    """A rectangle of 8 to 100 % of the area whose aspect is 3/4 to 4/3, even on the logarithm."""
    for _ in range(10):
        area = height * width * rng.uniform(0.08, 1.0)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            top, left = int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1))
            return (left, top, left + wide, top + tall)
    return _square(rng, height, width, min(height, width))


LONGEST_SHORT_SIDE = 25 / 16  # of the crop: 200 to 128 pixels in the code of Vo et al. 2018


def _short(rng: Generator, height: int, width: int, crop: Crop) -> Box:
    """A square from the picture as if its shorter side had first been scaled to at most 25/16 of `size`, by chance.

    With another `scale` than 1 to exactly that multiple of `size`.
    """
    short, most = min(height, width), int(crop.size * LONGEST_SHORT_SIDE)
    wanted = short if short <= most else int(rng.integers(crop.size, most + 1))
    if crop.scale != 1:
        wanted = round(crop.size * crop.scale)
    return _square(rng, height, width, round(crop.size * short / max(1, wanted)))


def _zoom(rng: Generator, height: int, width: int, crop: Crop) -> Box:
    """A random square whose side is between `scale` and 1 times the shorter side, even on the logarithm."""
    short = min(height, width)
    least = min(short, max(crop.size, crop.scale * short))
    return _square(rng, height, width, round(math.exp(rng.uniform(math.log(least), math.log(short)))))


def _centre(rng: Generator, height: int, width: int, crop: Crop) -> Box:
    return _middle_square(height, width)


_BOXES = {"random": _random, "resize": _whole, "area": _area, "short": _short, "zoom": _zoom, "centre": _centre}

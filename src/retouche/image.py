"""Pictures and images: the conventions of the house, at the border where they are made.

A picture is what a user gives: a path, a PIL image, an array or a tensor in its own units. An image is what networks
see: a float tensor (N, 3, H, W), RGB, -1..1. A `Picture` holds the user's own values, lends crops of them as images and
takes filled crops back, so that whatever is not filled comes out as it came in, bit for bit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from retouche.errors import InputError
from retouche.picture_files import (
    MAX_PIXELS,
    Source,
    as_pil,
    decode,
    finished_exif,
    read_file,
)
from retouche.picture_writing import atomic_write as atomic_write
from retouche.picture_writing import write_file

Box: TypeAlias = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are exclusive."""

LUMA = (0.299, 0.587, 0.114)
_WHITE = {"u1": 255.0, "u2": 65535.0, "f4": 1.0, "f8": 1.0}
_ARRAY_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


# Pictures -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Given:
    """How the user gave the picture, so that it can be given back the same way."""

    kind: Literal["path", "pil", "array", "tensor"]
    shape: tuple[int, ...] = ()
    dtype: Any = None
    device: torch.device | None = None


@dataclass(eq=False)
class Picture:
    """What a user gives, decoded; known values are kept bit for bit.

    Attributes:
        pixels: (H, W, C) uint8, uint16, or float32/float64 in 0..1 (from float tensors), as displayed
        mode: "L", "LA", "RGB", "RGBA", "CMYK" or "YCbCr"; alpha, where there, is the last channel
        source: profile, EXIF and encoder settings of the file it came from
        remarks: what a user should know, e.g. that a palette became RGB
    """

    pixels: NDArray[Any]
    mode: str
    source: Source = field(default_factory=Source)
    remarks: list[str] = field(default_factory=list)
    given: _Given = field(default_factory=lambda: _Given("array"))

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def _white(self) -> float:
        """The value of white: 255, 65535 or 1."""
        return _WHITE[self.pixels.dtype.str[1:]]

    def alpha(self) -> NDArray[Any] | None:
        """(H, W) opacity in the pixels' dtype, a view; None where all is opaque by nature."""
        return self.pixels[..., -1] if self.mode in ("LA", "RGBA") else None

    def copy(self) -> Picture:
        """An independent picture with the same content."""
        return replace(self, pixels=self.pixels.copy(), remarks=list(self.remarks))

    def rgb(self, box: Box | None = None) -> Tensor:
        """The pixels inside a box, all of them without one, as an image (1, 3, h, w) float32, -1..1."""
        left, top, right, bottom = box or (0, 0, self.width, self.height)
        values = self.pixels[top:bottom, left:right]  # (h, w, C)
        if self.mode in ("CMYK", "YCbCr"):
            values = np.asarray(as_pil(values, self.mode).convert("RGB"))
        elif self.mode in ("L", "LA"):
            values = values[..., :1]
        planes = np.moveaxis(values[..., :3], 2, 0)  # (1 or 3, h, w)
        image = torch.from_numpy(np.array(planes, np.float32, order="C"))
        image = image.div_(self._white / 2).sub_(1)
        return image.expand(3, -1, -1).contiguous()[None]

    def paste(self, rgb: Tensor, box: Box, weight: Tensor) -> None:
        """Blend an image into the pixels inside a box, in place and in the picture's own units.

        Weight 0 keeps a pixel bit for bit, 1 replaces it, between blends. Alpha stays. Grey takes the image's luma.

        Args:
            rgb: (1, 3, h, w), -1..1; values beyond are cut
            box: where it belongs, h by w pixels inside the picture
            weight: (1, 1, h, w), 0..1

        Raises: InputError if the image holds NaN where the weight is not 0
        """
        left, top, right, bottom = box
        shape = (bottom - top, right - left)
        assert 0 <= left < right <= self.width and 0 <= top < bottom <= self.height, box
        assert rgb.shape == (1, 3, *shape) and weight.shape == (1, 1, *shape), (rgb.shape, weight.shape, box)
        kind = np.float64 if self.pixels.dtype == np.float64 else np.float32
        share = weight[0, 0].detach().cpu().to(torch.float32).numpy()  # (h, w)
        at = np.nonzero(share > 0)
        if not at[0].size:
            return
        share = share[at][:, None].astype(kind)  # (n, 1)
        exact = torch.float64 if kind == np.float64 else torch.float32
        image = rgb[0].detach().cpu().to(exact).numpy()
        fill = image[:, at[0], at[1]].T  # (n, 3)
        if not np.isfinite(fill).all():
            raise InputError("the fill holds NaN or infinity: try another model, or --device cpu")
        target = self.pixels[top:bottom, left:right]
        old = target[at]  # (n, C)
        colours = old.shape[1] - (self.mode in ("LA", "RGBA"))
        new = self._native(np.clip((fill + 1) / 2, 0, 1))  # (n, colours)
        blend = np.where(share >= 1, new, old[:, :colours] + share * (new - old[:, :colours]))
        if self.pixels.dtype.kind == "u":
            blend = np.rint(blend)
        old[:, :colours] = np.clip(blend, 0, self._white).astype(self.pixels.dtype)
        target[at] = old

    def _native(self, rgb: NDArray[Any]) -> NDArray[Any]:
        """(n, 3) in 0..1 -> (n, colours) floats in the picture's own units."""
        if self.mode in ("L", "LA"):
            return (rgb @ np.array(LUMA, rgb.dtype))[:, None] * self._white
        if self.mode in ("CMYK", "YCbCr"):
            levels = np.rint(rgb * 255).astype(np.uint8)[None]  # (1, n, 3)
            return np.asarray(as_pil(levels, "RGB").convert(self.mode))[0].astype(rgb.dtype)
        return rgb * self._white

    def as_given(self) -> Image.Image | NDArray[Any] | Tensor:
        """The picture as it came: PIL -> PIL, array -> array, tensor -> tensor of the same shape, dtype and device.

        A path gives a PIL image; 16-bit colour, for which Pillow has no mode, an array (H, W, 3 or 4) uint16.
        """
        if self.given.kind == "tensor":
            values = torch.from_numpy(np.moveaxis(self.pixels, 2, 0).copy())  # (C, H, W)
            return values.reshape(self.given.shape).to(device=self.given.device, dtype=self.given.dtype)
        if self.given.kind == "array":
            return self.pixels.reshape(self.given.shape).astype(self.given.dtype)
        if self.pixels.dtype == np.uint16 and self.mode != "L":
            return self.pixels.copy()
        image = as_pil(self.pixels, self.mode, self.source.bilevel).copy()
        exif = finished_exif(self.source, self.pixels, self.mode)
        info: dict[str | tuple[int, int], Any] = {
            "icc_profile": self.source.icc,
            "dpi": self.source.dpi,
            "exif": b"Exif\0\0" + exif if exif else None,
            "xmp": self.source.xmp,
            "comment": self.source.comment,
        }
        image.info = {name: value for name, value in info.items() if value is not None}
        return image


PictureLike: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[Any] | Tensor | Picture"


def open_picture(given: PictureLike, max_pixels: int = MAX_PIXELS) -> Picture:
    """Take a picture in any of the forms users have them; what they gave is never changed.

    Args:
        given: a path (JPEG, PNG, WebP, TIFF, BMP), a PIL image, an array (H, W) or (H, W, 1..4) of uint8 or uint16,
            a float tensor (3, H, W) or (1, 3, H, W) in 0..1, or a `Picture`, which is returned as it is
        max_pixels: height times width at most, for paths and PIL images

    Raises: InputError in one line with the remedy
    """
    if isinstance(given, Picture):
        return given
    if isinstance(given, (str, PathLike)):
        decoded = read_file(Path(os.fspath(given)), max_pixels)
        return Picture(_owned(decoded.pixels), decoded.mode, decoded.source, decoded.remarks, _Given("path"))
    if isinstance(given, Image.Image):
        decoded = decode(given, "the picture", max_pixels)
        return Picture(_owned(decoded.pixels), decoded.mode, decoded.source, decoded.remarks, _Given("pil"))
    if isinstance(given, Tensor):
        return _from_tensor(given)
    if isinstance(given, np.ndarray):
        return _from_array(given)
    raise InputError(
        f"the picture is a {type(given).__name__}: give a path, a PIL image, an array of uint8 or uint16, "
        "or a float tensor"
    )


def _owned(pixels: NDArray[Any]) -> NDArray[Any]:
    """A writable array of our own."""
    return pixels if pixels.flags.writeable and pixels.flags.owndata else pixels.copy()


def _from_array(given: NDArray[Any]) -> Picture:
    accepted = "give (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8 or uint16"
    if given.dtype.kind != "u" or given.dtype.itemsize > 2:
        raise InputError(f"the picture is an array of {given.dtype}: {accepted}")
    values = given[..., None] if given.ndim == 2 else given
    if values.ndim != 3 or values.shape[2] not in _ARRAY_MODES or 0 in values.shape:
        raise InputError(f"the picture is an array {given.shape}: {accepted}")
    pixels = np.array(values, given.dtype.newbyteorder("="), order="C", subok=False)
    return Picture(pixels, _ARRAY_MODES[values.shape[2]], given=_Given("array", given.shape, given.dtype))


def _from_tensor(given: Tensor) -> Picture:
    accepted = "give a float tensor (3, H, W) or (1, 3, H, W) in 0..1"
    if not given.is_floating_point():
        raise InputError(f"the picture is a tensor of {given.dtype}: {accepted}")
    values = given.detach()
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 3 or values.shape[0] not in (1, 3, 4) or 0 in values.shape:
        raise InputError(f"the picture is a tensor {tuple(given.shape)}: {accepted}")
    lowest, highest = float(values.min()), float(values.max())
    if not (lowest >= 0 and highest <= 1):  # also where either is NaN
        raise InputError(f"the picture is a tensor of values from {lowest:g} to {highest:g}: {accepted}")
    # float32 holds every float16 and bfloat16; so they return bit for bit
    values = values.cpu().to(torch.float64 if given.dtype == torch.float64 else torch.float32)
    pixels = np.array(np.moveaxis(values.numpy(), 0, 2), order="C")
    mode = _ARRAY_MODES[pixels.shape[2]]
    return Picture(pixels, mode, given=_Given("tensor", tuple(given.shape), given.dtype, given.device))


def write_picture(picture: Picture, path: Path, *, overwrite: bool = False) -> None:
    """Write a picture in the format of the suffix, whole or not at all.

    Profile, EXIF (its thumbnail remade), resolution, XMP and comments go along where the format has a place for them. A
    JPEG from a JPEG has the same tables and subsampling; a WebP from a lossless one is lossless. Floats become 8 bit.

    Raises: InputError where the file exists and `overwrite` is false, the folder cannot be written, or the format
        cannot hold the picture (transparency, CMYK, 16 bit)
    """
    pixels = picture.pixels
    if pixels.dtype.kind == "f":
        pixels = np.rint(pixels * 255).astype(np.uint8)
    write_file(pixels, picture.mode, picture.source, Path(path), overwrite=overwrite)


# Images -------------------------------------------------------------------------------------------------------------


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

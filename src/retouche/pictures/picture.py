"""The picture: a user's own values, of which crops are lent as images and taken back filled."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche.conventions import LUMA, Box
from retouche.errors import InputError
from retouche.pictures.inks import Plates, appearance, separation
from retouche.pictures.source import Source, as_pil, finished_exif

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_WHITE = {"u1": 255.0, "u2": 65535.0, "f4": 1.0, "f8": 1.0}


@dataclass(frozen=True)
class Given:
    """How the user gave the picture, so that it can be given back the same way."""

    kind: Literal["file", "pil", "array", "tensor"]
    shape: tuple[int, ...] = ()
    dtype: Any = None
    device: torch.device | None = None


@dataclass(eq=False)
class Picture:
    """What a user gives, decoded; known values are kept bit for bit.

    Attributes:
        pixels: (H, W, C) uint8, uint16, or float32/float64, as displayed
        mode: "L", "LA", "RGB", "RGBA", "CMYK" or "YCbCr"; alpha, where there, is the last channel
        source: profile, EXIF and encoder settings of the file it came from
        remarks: what a user should know, e.g. that a palette became RGB
        given: how the user gave it
        span: black and white of floats, in their own units
        expendable: whoever gave it wants it no more, so that a fill may write into it instead of a copy
    """

    pixels: NDArray[Any]
    mode: str
    source: Source = field(default_factory=Source)
    remarks: list[str] = field(default_factory=list)
    given: Given = field(default_factory=lambda: Given("array"))
    span: tuple[float, float] = (0.0, 1.0)
    expendable: bool = field(default=False, init=False, compare=False)
    _plates: Plates | None = field(default=None, init=False, repr=False)

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

    def unseen(self) -> NDArray[np.bool_]:
        """(H, W), True where alpha is 0: such a pixel has a colour in the file, but nobody knows it."""
        alpha = self.alpha()
        return np.zeros((self.height, self.width), np.bool_) if alpha is None else np.asarray(alpha == 0)

    def copy(self) -> Picture:
        """An independent picture with the same content."""
        return replace(self, pixels=self.pixels.copy(), remarks=list(self.remarks))

    def rgb(self, box: Box | None = None) -> Tensor:
        """The pixels inside a box, all of them without one, as an image (1, 3, h, w) float32, -1..1."""
        import torch  # only who lends and takes images waits for it

        left, top, right, bottom = box or (0, 0, self.width, self.height)
        values = self.pixels[top:bottom, left:right]  # (h, w, C)
        if self.mode == "CMYK":
            values = appearance(values, self.source.icc)
        elif self.mode == "YCbCr":
            values = np.asarray(as_pil(values, self.mode).convert("RGB"))
        elif self.mode in ("L", "LA"):
            values = values[..., :1]
        planes = np.moveaxis(values[..., :3], 2, 0)  # (1 or 3, h, w)
        image = torch.from_numpy(np.array(planes, np.float32, order="C"))
        if self.span != (0.0, 1.0):
            low, high = self.span
            image = image.sub_(low).div_(high - low).clamp_(0, 1)
        if self.pixels.dtype.kind == "f":
            image = image.nan_to_num_(0.0)
        image = image.div_(self._white / 2).sub_(1)
        return image.expand(3, -1, -1).contiguous()[None]

    def expect(self, hole: NDArray[np.bool_]) -> None:
        """Say which pixels will be pasted over, (H, W): inks and units are then those of the others, as they are."""
        if self.mode == "CMYK" and hole.any():
            self._plates = Plates(self.pixels, hole, self.source.icc)
        if self.span != (0.0, 1.0):
            self.span = span_of(self.pixels[~hole])

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
        share = weight[0, 0].detach().cpu().float().numpy()  # (h, w)
        at = np.nonzero(share > 0)
        if not at[0].size:
            return
        share = share[at][:, None].astype(kind)  # (n, 1)
        given = rgb[0].detach().cpu()
        image = (given.double() if kind == np.float64 else given.float()).numpy()
        fill = image[:, at[0], at[1]].T  # (n, 3)
        if not np.isfinite(fill).all():
            raise InputError("the fill holds NaN or infinity: try another model, or --device cpu")
        target = self.pixels[top:bottom, left:right]
        old = target[at]  # (n, C)
        colours = old.shape[1] - (self.mode in ("LA", "RGBA"))
        colour = np.clip((fill + 1) / 2, 0, 1)
        inked = self.mode == "CMYK"
        new = self._inks(colour * 255, old, at[0] + top, at[1] + left) if inked else self._native(colour)
        blend = np.where(share >= 1, new, old[:, :colours] + share * (new - old[:, :colours]))
        if self.pixels.dtype.kind == "u":
            blend = np.rint(blend)
        low, high = self.span if self.pixels.dtype.kind == "f" else (0, self._white)
        old[:, :colours] = np.clip(blend, low, high).astype(self.pixels.dtype)
        target[at] = old

    def _inks(self, rgb: NDArray[Any], old: NDArray[Any], y: NDArray[np.intp], x: NDArray[np.intp]) -> NDArray[Any]:
        """(n, 3) in 0..255 at these places -> (n, 4) inks; `old` are those there, where nothing else is known."""
        if self._plates is not None:
            return self._plates.inks(rgb, y, x)
        return separation(rgb, old[:, 3].astype(rgb.dtype), self.source.icc)

    def _native(self, rgb: NDArray[Any]) -> NDArray[Any]:
        """(n, 3) in 0..1 -> (n, colours) floats in the picture's own units."""
        if self.mode in ("L", "LA"):
            return self._measured((rgb @ np.array(LUMA, rgb.dtype))[:, None])
        if self.mode == "YCbCr":
            levels = np.rint(rgb * 255).astype(np.uint8)[None]  # (1, n, 3)
            return np.asarray(as_pil(levels, "RGB").convert(self.mode))[0].astype(rgb.dtype)
        return self._measured(rgb)

    def _measured(self, share: NDArray[Any]) -> NDArray[Any]:
        """0..1 in the picture's own units."""
        low, high = self.span
        return share * self._white if self.pixels.dtype.kind == "u" else low + share * (high - low)

    def as_given(self) -> Image.Image | NDArray[Any] | Tensor:
        """The picture as it came: PIL -> PIL, array -> array, tensor -> tensor of the same shape, dtype and device.

        A file gives a PIL image; 16-bit colour, for which Pillow has no mode, an array (H, W, 3 or 4) uint16;
        floats an array (H, W, C) float32.
        """
        if self.given.kind == "tensor":
            import torch

            values = torch.from_numpy(np.moveaxis(self.pixels, 2, 0).copy())  # (C, H, W)
            return values.reshape(self.given.shape).to(device=self.given.device, dtype=self.given.dtype)
        if self.given.kind == "array":
            return self.pixels.reshape(self.given.shape).astype(self.given.dtype)
        if self.pixels.dtype.kind == "f" or (self.pixels.dtype == np.uint16 and self.mode != "L"):
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


MISSING = 1e30
"""Floats beyond stand for "no data", -3.4e38 for one: they say nothing about black and white."""


def span_of(values: NDArray[Any]) -> tuple[float, float]:
    """Black and white of floats: 0 and 1 where all lie between, else the least and the greatest of them."""
    known = values[np.abs(values) < MISSING]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low - 0.5, low + 0.5)

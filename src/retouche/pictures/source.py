"""What a picture came as, apart from its pixels, and its pixels as Pillow sees them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from retouche.pictures import exif_block

MAX_PIXELS = 100_000_000
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3}

Pixels: TypeAlias = NDArray[Any]
"""(H, W, C) as displayed"""


@dataclass(frozen=True)
class Source:
    """What a picture came as; everything here is written out again where a format has a place.

    Attributes:
        format: a name in `formats.FORMATS`, or None where no file or another kind was given
        orientation: how the stored pixels were turned to be upright, EXIF's 1..8
        bilevel: black and white only (mode "1"), held as 0 and 255
        icc: colour profile
        dpi: pixels per inch, (x, y)
        exif: from "II" or "MM" on, already upright
        xmp, extended: as in the file, cleaned; what of it a JPEG stores apart
        comment: as in the file
        photoshop: image resources ("8BIM"), IPTC among them, without previews
        aspect: width and height of a pixel, in units of their own, where no resolution is given
        extra: further samples of a TIFF's pixels, (H, W, k) as displayed
        settings: what Pillow's encoder of the same format needs to repeat the source's own
        block: width and height of the blocks whose samples a lossy file stores together, pixels
        chunks: PNG's further chunks
    """

    format: str | None = None
    orientation: int = 1
    bilevel: bool = False
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    extended: bytes | None = None
    comment: bytes | None = None
    photoshop: bytes | None = None
    aspect: tuple[int, int] | None = None
    extra: NDArray[Any] | None = field(default=None, repr=False, compare=False)
    settings: dict[str, Any] = field(default_factory=dict)
    block: tuple[int, int] = (8, 8)
    chunks: tuple[tuple[bytes, bytes], ...] = ()


def as_pil(pixels: Pixels, mode: str, bilevel: bool = False) -> Image.Image:
    """(H, W, C) uint8, or uint16 grey, as a PIL image that may share the memory: for reading only."""
    size = (pixels.shape[1], pixels.shape[0])
    if bilevel:
        pixels = np.where(pixels > 127, np.uint8(255), np.uint8(0))
    raw = mode
    if pixels.dtype == np.uint16:
        assert mode == "L", mode
        raw = "I;16"
        pixels = pixels.astype("<u2", copy=False)
    pixels = np.ascontiguousarray(pixels)
    if raw == "RGB":  # which Pillow stores with a fourth byte; `frombuffer` would blacken the picture first
        image = Image.new(raw, size, None)
        image.frombytes(pixels)
    else:
        image = Image.frombuffer(raw, size, pixels, "raw", raw, 0, 1)
    return image.convert("1", dither=Image.Dither.NONE) if bilevel else image


def finished_exif(source: Source, pixels: Pixels, mode: str) -> bytes | None:
    """The source's EXIF with its thumbnail remade from these pixels."""
    if source.exif is None:
        return None

    def make(side: int, quality: int) -> bytes:
        step = max(1, max(pixels.shape[:2]) // (4 * side))  # a 100-megapixel picture is not copied for this
        small = pixels[::step, ::step]
        if small.dtype == np.uint16:
            small = (small >> 8).astype(np.uint8)
        image = as_pil(small, mode).convert("RGB")
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return file.getvalue()

    def side_of(old: bytes) -> int:
        try:
            return max(JpegImagePlugin.JpegImageFile(io.BytesIO(old)).size)
        except Exception:  # a damaged or foreign thumbnail: only its size is asked for
            return 0

    try:
        return exif_block.with_thumbnail(source.exif, make, side_of)
    except exif_block.DamagedExif:  # better none than one with the old thumbnail
        return None


def common(source: Source) -> dict[str, Any]:
    """The words for Pillow's encoders that several formats share; only what is there."""
    words = {
        "icc_profile": source.icc,
        "dpi": source.dpi,
        "exif": b"Exif\0\0" + source.exif if source.exif else None,
        "xmp": source.xmp,
    }
    return {name: value for name, value in words.items() if value is not None}


_TITLES = {
    "photoshop": "Photoshop data (IPTC)",
    "extra": "what its pixels hold beside colour and alpha",
    "extended": "extended XMP",
    "aspect": "the aspect of its pixels",
    "comment": "a comment",
    "exif": "EXIF",
    "xmp": "XMP",
    "icc": "the colour profile",
    "dpi": "the resolution",
}


def no_place(source: Source, title: str, *kinds: str) -> list[str]:
    """Remarks about what of these kinds is there and has no place in a format."""
    found = [_TITLES[kind] for kind in kinds if getattr(source, kind) is not None]
    return [f"{what} has no place in {title} and is left out" for what in found]

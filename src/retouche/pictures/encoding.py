"""Encoding pictures into streams, with everything of their source that the format can hold."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from retouche.errors import InputError, reason
from retouche.pictures import bmp, jpeg, modern, png, tiff, webp, xmp
from retouche.pictures.formats import BY_SUFFIX, FORMATS, Format
from retouche.pictures.picture import Picture
from retouche.pictures.source import Pixels, Source, as_pil, finished_exif

_WRITERS: dict[str, Callable[[BinaryIO, Pixels, str, Source, str], list[str]]] = {
    "JPEG": jpeg.write,
    "PNG": png.write,
    "WEBP": webp.write,
    "TIFF": tiff.write,
    "BMP": bmp.write,
    "AVIF": modern.write_avif,
    "HEIF": modern.write_heif,
    "JXL": modern.write_jxl,
}


def encode(picture: Picture, format: str | None = None, name: str | None = None) -> bytes:
    """A picture as a file's bytes.

    Profile, EXIF (its thumbnail remade), resolution, XMP and comments go along where the format has a place for them. A
    file of the source's own format repeats the source's settings: a JPEG from a JPEG has the same tables and
    subsampling, a WebP from a lossless one is lossless; another format is written at high quality. Floats of a TIFF
    stay floats in a TIFF, others become 8 bit. What has no place in the format is added to the picture's remarks.

    Args:
        picture: of any kind
        format: a name in `formats.FORMATS`; None = the source's own, PNG where it came from no file
        name: what errors call it; None = "picture" with the format's suffix

    Raises: InputError where the format cannot hold the picture (transparency, CMYK, 16 bit)
    """
    stream = io.BytesIO()
    kind = FORMATS[format or picture.source.format or "PNG"]
    encode_into(picture, stream, kind, name or f"picture{kind.suffixes[0]}")
    return stream.getvalue()


def format_of(path: Path) -> Format:
    """The format that a file name asks for. Raises: InputError"""
    kind = BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        known = ", ".join(sorted(BY_SUFFIX))
        raise InputError(f"{path.name} has no picture suffix known here: use one of {known}")
    return kind


def encode_into(picture: Picture, stream: BinaryIO, kind: Format, name: str) -> None:
    """`encode` into a stream that can be read and written at any place.

    Raises: InputError, OSError where the stream cannot be written
    """
    pixels, mode, source = picture.pixels, picture.mode, picture.source
    if pixels.dtype.kind == "f" and not (kind.name == "TIFF" == source.format):
        low, high = picture.span
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # what overflows is black or white, what is no number is black
            share = np.nan_to_num((pixels - low) / (high - low))
        pixels = np.rint(share.clip(0, 1) * 255).astype(np.uint8)
        if picture.span != (0.0, 1.0):
            picture.remarks.append(f"floats of {low:g} to {high:g} became 8 bit: choose TIFF to keep them")
    elif pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32, copy=False)
    longest = max(pixels.shape[:2])
    if kind.longest is not None and longest > kind.longest:
        raise InputError(f"{name} cannot hold a side of {longest} pixels, only {kind.longest}: choose PNG or TIFF")
    if pixels.dtype == np.uint16 and mode not in kind.deep:
        raise InputError(f"{name} cannot hold 16-bit {mode}: choose PNG or TIFF, and L, RGB or RGBA")
    if mode not in kind.modes:
        if mode in ("LA", "RGBA") and "RGBA" not in kind.modes:
            raise InputError(f"{name} cannot hold transparency: choose PNG")
        if mode == "CMYK":
            raise InputError(f"{name} cannot hold CMYK: choose TIFF or JPEG")
        pixels, mode = _converted(pixels, mode)
    if kind.name != source.format:
        source = replace(source, settings={}, chunks=())
    if kind.name != "JPEG" and source.xmp is not None and source.extended is not None:
        source = replace(source, xmp=xmp.pointing(source.xmp, None))
    try:
        source = replace(source, exif=finished_exif(source, pixels, mode))
        remarks = _WRITERS[kind.name](stream, pixels, mode, source, name)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{name} cannot be written: it needs more memory than there is; scale it down") from error
    except Exception as error:  # encoders, too, raise whatever they stumble over
        if isinstance(error, OSError) and error.errno is not None:  # the disk's: reported where the stream was opened
            raise
        raise InputError(
            f"{name} cannot be written as {kind.title} ({reason(error)}): choose another format"
        ) from error
    picture.remarks += [remark for remark in remarks if remark not in picture.remarks]


def _converted(pixels: Pixels, mode: str) -> tuple[Pixels, str]:
    """YCbCr or grey as RGB, for formats without it."""
    assert mode in ("YCbCr", "L", "LA"), mode
    wider = "RGBA" if mode == "LA" else "RGB"
    return np.asarray(as_pil(pixels, mode).convert(wider)), wider

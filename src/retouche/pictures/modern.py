"""AVIF, HEIC and JPEG XL: Pillow's own decoder for the first, the extra `formats` for the others.

Which file is which: ISO/IEC 14496-12 (ftyp), 23008-12 (HEIF's brands), 18181-2 (JPEG XL's containers).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, features

from retouche.errors import InputError
from retouche.pictures.segments import Held
from retouche.pictures.source import Pixels, Source, as_pil, common, no_place

AVIF_BRANDS = (b"avif", b"avis")
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
QUALITY = 90
"""What AVIF and HEIC are written at: their quality cannot be read from a file."""


def sniff(head: bytes) -> str | None:
    """ "AVIF", "HEIF" or "JXL" by a file's first 64 bytes; None where it is none of them."""
    if head.startswith(b"\xff\x0a") or head[4:12] == b"JXL \r\n\x87\n":
        return "JXL"
    if head[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    for kind, known in (("AVIF", AVIF_BRANDS), ("HEIF", HEIF_BRANDS)):
        if brands[0] in known[:-2] or (kind == "AVIF" and brands[0] in known):
            return kind
    return next((kind for kind, known in (("AVIF", AVIF_BRANDS), ("HEIF", HEIF_BRANDS))
                 if any(brand in known for brand in brands)), None)  # fmt: skip


def _needs(name: str, title: str) -> InputError:
    return InputError(f'{name} needs the extra for {title}: pip install "retouche[formats]"')


def _heif(name: str) -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise _needs(name, "HEIC") from None
    return pillow_heif


def _jxl(name: str) -> Any:
    try:
        from pillow_jxl import JpegXLImagePlugin
    except ImportError:
        raise _needs(name, "JPEG XL") from None
    return JpegXLImagePlugin


def _check_avif(name: str) -> None:
    if not features.check("avif"):
        raise InputError(f"{name} is AVIF, which this Pillow was built without: install Pillow 11.3 or newer")


def parser(kind: str, name: str) -> Callable[[BinaryIO], Image.Image]:
    """Who opens such a file. Raises: InputError where the extra is missing"""
    if kind == "AVIF":
        _check_avif(name)
        from PIL import AvifImagePlugin

        return AvifImagePlugin.AvifImageFile
    result: Callable[[BinaryIO], Image.Image] = _heif(name).HeifImageFile if kind == "HEIF" else _jxl(name).JXLImageFile
    return result


def held(stream: BinaryIO) -> Held:
    """XMP of a JPEG XL, which its parser does not report."""
    found = Held()
    size = stream.seek(0, io.SEEK_END)
    at = 0
    while at + 8 <= size:
        stream.seek(at)
        head = stream.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        start = 16 if length == 1 else 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        elif length == 0:
            length = size - at
        if length < start:
            break
        if kind == b"xml " and found.fits(length, "XMP"):
            stream.seek(at + start)
            found.xmp = stream.read(length - start)
        at += length
    return found


@lru_cache(maxsize=1)
def _own_profile(mode: str) -> bytes | None:
    """What JPEG XL reports of sRGB without a profile."""
    file = io.BytesIO()
    write_jxl(file, np.zeros((1, 1, len(mode)), np.uint8), mode, Source(), "")
    file.seek(0)
    profile = _jxl("").JXLImageFile(file).info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None


def write_avif(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    _check_avif(name)
    words = common(source)
    words.pop("dpi", None)
    quality = source.settings.get("quality", QUALITY)
    as_pil(pixels, mode).save(stream, "AVIF", quality=quality, subsampling="4:4:4", **words)
    return no_place(source, "AVIF", "dpi", "aspect", "photoshop", "extended", "comment", "extra")


def write_heif(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    heif = _heif(name)
    image = as_pil(pixels, mode).copy()
    image.info = {key: value for key, value in common(source).items() if key != "dpi"}
    content = io.BytesIO()
    heif.from_pillow(image).save(content, quality=source.settings.get("quality", QUALITY), chroma=444)
    stream.write(content.getvalue())
    return no_place(source, "HEIC", "dpi", "aspect", "photoshop", "extended", "comment", "extra")


def write_jxl(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    """Without loss: then nothing outside the hole moves, whatever the source was."""
    plugin = _jxl(name)
    image = as_pil(pixels, mode).copy()
    words = {"lossless": True, "use_container": True, "exif": source.exif, "xmp": source.xmp}
    image.encoderinfo = words
    plugin._save(image, stream, name)
    lost = () if source.icc is None or source.icc == _own_profile(mode) else ("icc",)
    return no_place(source, "JPEG XL", *lost, "dpi", "aspect", "photoshop", "extended", "comment", "extra")

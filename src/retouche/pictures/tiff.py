"""TIFF: 16-bit colour, which Pillow silently reads as 8 bit, and directories inside directories."""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import TiffImagePlugin

from retouche.errors import InputError
from retouche.pictures import exif_block, photoshop
from retouche.pictures.segments import Held
from retouche.pictures.source import Pixels, Source, as_pil, common, no_place

PHOTOSHOP, IPTC = 34377, 33723
BYTES, UNDEFINED = 1, 7
_WORDS = "Photoshop data (IPTC)"
MOST_TAGS = 1000  # of a directory; cameras and scanners write less than a hundred
REMEDY = "save it as 16-bit RGB or RGBA, or as 8 bit, first"


def settings(image: TiffImagePlugin.TiffImageFile) -> dict[str, Any]:
    """The words for Pillow's encoder that repeat the file's own compression."""
    compression = image.info.get("compression", "raw")
    # JPEG inside TIFF is not repeated: nothing outside the hole would stay the same.
    kept = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "group3", "group4", "tiff_deflate")
    words: dict[str, Any] = {"compression": compression if compression in kept else "tiff_adobe_deflate"}
    if image.tag_v2.get(317) == 2 and compression in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"):
        words["predictor"] = 2
    return words


# Reading ------------------------------------------------------------------------------------------------------------


def check(stream: BinaryIO, name: str) -> Held:
    """Refuse files whose first directory would take a parser long: tags without end, values that overlap many times.

    Returns: Photoshop's resources, or IPTC alone as one, which parsers take for numbers
    Raises: InputError, struct.error
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head.startswith(b"II") else ">"
    big = b"+" in head[2:4]
    counts, entry, row = ("Q", "HHQQ", 20) if big else ("H", "HHII", 12)
    at = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)[0]
    stream.seek(min(at, size))
    (count,) = struct.unpack(order + counts, stream.read(struct.calcsize("<" + counts)))
    if count > MOST_TAGS:
        raise InputError(f"{name} has a directory of {count} tags: save it anew with a picture editor")
    rows = stream.read(row * count)
    total, held = 0, Held()
    for start in range(0, len(rows) - row + 1, row):
        tag, kind, values, place = struct.unpack_from(order + entry, rows, start)
        length = exif_block.SIZES.get(kind, 1) * values
        total += length
        if tag not in (PHOTOSHOP, IPTC) or not 8 < length <= size or (tag == IPTC and held.photoshop is not None):
            continue
        if held.fits(length, _WORDS):
            stream.seek(place)
            held.photoshop = _resources(stream.read(length), tag)
    if total > 2 * size + (1 << 16):
        raise InputError(f"{name} has tags that are larger than the file: it is damaged; save it anew")
    return held


def _resources(content: bytes, tag: int) -> bytes:
    if tag == PHOTOSHOP:
        return content
    if content[:1] != b"\x1c" and content[3:4] == b"\x1c":  # said to be numbers of four bytes, and turned as such
        content = b"".join(content[at : at + 4][::-1] for at in range(0, len(content), 4))
    return photoshop.of_iptc(content)


def _tags(source: Source) -> dict[int, Any]:
    """What goes into the first directory beside the pixels."""
    tags: dict[int, Any] = exif_block.tiff_tags(source.exif) if source.exif else {}
    if source.xmp is not None:
        tags[700] = source.xmp
    if source.photoshop is not None:
        tags[PHOTOSHOP] = source.photoshop
        iptc = photoshop.iptc_of(source.photoshop)
        if iptc:
            tags[IPTC] = iptc
    return tags


def read_deep(
    image: TiffImagePlugin.TiffImageFile, stream: BinaryIO, name: str, depths: tuple[int, ...]
) -> tuple[Pixels, str]:
    """16-bit colour (H, W, 3 or 4) as stored, and the mode."""
    if len(depths) not in (3, 4) or image.mode not in ("RGB", "RGBA"):
        raise InputError(f"{name} is 16-bit {image.mode}: {REMEDY}")
    try:
        stream.seek(0)
        with tifffile.TiffFile(stream) as file:
            page = file.pages[0]
            pixels = page.asarray()
            if int(getattr(page, "planarconfig", 1) or 1) == 2:
                pixels = np.moveaxis(pixels, 0, -1)
    except (ImportError, ValueError) as error:
        if "imagecodecs" not in str(error):
            raise
        pixels = _by_halves(image, stream, name)
    if pixels.dtype.kind != "u" or pixels.ndim != 3 or pixels.shape[2] != len(depths):
        raise InputError(f"{name} is TIFF of {pixels.dtype} {pixels.shape}: {REMEDY}")
    return pixels.astype(np.uint16, copy=False), "RGB" if len(depths) == 3 else "RGBA"


def _by_halves(image: TiffImagePlugin.TiffImageFile, stream: BinaryIO, name: str) -> Pixels:
    """16-bit colour of a TIFF whose compression (LZW) `tifffile` only knows with another package.

    Pillow's libtiff knows it but keeps one byte per sample; as with PNG, the wrong byte order yields the other one.
    """
    if len(image.tile) != 1:
        raise InputError(
            f"{name} is 16-bit TIFF with a compression that needs imagecodecs: "
            "pip install imagecodecs, or save it with ZIP (deflate) or no compression"
        )
    halves = []
    for order in ("16L", "16B") if sys.byteorder == "little" else ("16B", "16L"):
        stream.seek(0)
        half = TiffImagePlugin.TiffImageFile(stream)
        tile = half.tile[0]
        half.tile = [tile._replace(args=(f"{half.mode};{order}", *tuple(tile.args or ())[1:]))]
        half.load()
        halves.append(np.asarray(half))
    image.tag_v2.pop(exif_block.ORIENTATION, None)  # Pillow has turned the halves
    return (halves[0].astype(np.uint16) << 8) | halves[1]


# Writing ------------------------------------------------------------------------------------------------------------


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    remarks = no_place(source, "TIFF", "extended", "comment")
    if pixels.dtype == np.uint16 and mode != "L":
        _write_deep(stream, pixels, mode, source)
        return remarks
    words = common(source)
    words.pop("exif", None)
    words.pop("xmp", None)
    tags = _tags(source)
    own = dict(source.settings) or {"compression": "tiff_adobe_deflate"}
    if predictor := own.pop("predictor", None):
        tags[317] = predictor
    if not source.bilevel and own["compression"] in ("group3", "group4"):
        own["compression"] = "tiff_adobe_deflate"
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        if not isinstance(value, dict):
            directory[tag] = value
            if isinstance(value, bytes):
                directory.tagtype[tag] = UNDEFINED if tag == IPTC else BYTES
    if source.aspect is not None:
        directory[282], directory[283], directory[296] = (*source.aspect, 1)
    as_pil(pixels, mode, source.bilevel).save(stream, "TIFF", tiffinfo=directory, **own, **words)
    _add_directories(stream, tags)
    return remarks


def _write_deep(stream: BinaryIO, pixels: Pixels, mode: str, source: Source) -> None:
    tags = _tags(source)
    extra: list[tuple[int, Any, int, Any, bool]] = [
        (tag, 2, 0, text, True) for tag, text in tags.items() if isinstance(text, str) and tag not in (270, 305)
    ]
    extra += [
        (tag, UNDEFINED if tag == IPTC else BYTES, len(value), value, True)
        for tag, value in tags.items()
        if isinstance(value, bytes)
    ]
    compressed = source.settings.get("compression", "tiff_adobe_deflate") != "raw"
    tifffile.imwrite(
        stream,
        pixels,
        photometric="rgb",
        planarconfig="contig",
        compression="adobe_deflate" if compressed else None,
        predictor=compressed,
        rowsperstrip=max(1, (1 << 20) // (pixels.shape[1] * pixels.shape[2] * 2)),
        extrasamples=["unassalpha"] if mode == "RGBA" else None,
        iccprofile=source.icc,
        resolution=source.dpi or source.aspect,
        resolutionunit="inch" if source.dpi else "none" if source.aspect else None,
        description=tags.get(270),
        software=tags.get(305, False),
        metadata=None,
        extratags=extra,
    )
    _add_directories(stream, tags)


def _add_directories(stream: BinaryIO, tags: dict[int, Any]) -> None:
    """Append the EXIF and GPS directories among `tags` to a TIFF, which neither writer can do in every case.

    They go to the end, followed by the file's first directory anew with their offsets in it.
    """
    inner = {tag: values for tag, values in tags.items() if isinstance(values, dict)}
    if not inner:
        return
    stream.seek(0)
    head = stream.read(8)
    order = "<" if head.startswith(b"II") else ">"
    stream.seek(struct.unpack(order + "I", head[4:])[0])
    rows = [stream.read(12) for _ in range(struct.unpack(order + "H", stream.read(2))[0])]
    following = stream.read(4)

    def at_end() -> int:
        end = stream.seek(0, os.SEEK_END)
        stream.write(bytes(end % 2))
        return end + end % 2

    for tag, values in inner.items():
        at = at_end()
        directory = TiffImagePlugin.ImageFileDirectory_v2(head[:4] + bytes(4), group=tag)
        for key, value in values.items():
            directory[key] = value
        stream.write(directory.tobytes(at))
        rows.append(struct.pack(order + "HHII", tag, 4, 1, at))
    rows.sort(key=lambda row: int(struct.unpack(order + "H", row[:2])[0]))
    at = at_end()
    stream.write(struct.pack(order + "H", len(rows)) + b"".join(rows) + following)
    stream.seek(4)
    stream.write(struct.pack(order + "I", at))

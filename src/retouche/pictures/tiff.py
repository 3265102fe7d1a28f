"""TIFF: 16-bit colour, which Pillow silently reads as 8 bit, and directories inside directories."""

from __future__ import annotations

import io
import os
import struct
import sys
from dataclasses import replace
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
from PIL import TiffImagePlugin

from retouche.errors import InputError
from retouche.pictures import exif_block, photoshop
from retouche.pictures.segments import Held, Overlaid
from retouche.pictures.source import Pixels, Source, as_pil, common, no_place

PHOTOSHOP, IPTC = 34377, 33723
BYTES, SHORT, UNDEFINED = 1, 3, 7  # kinds of values
BITS, KINDS, FLOAT = 258, 339, 3
_PHOTOMETRIC = {"L": "minisblack", "LA": "minisblack", "RGB": "rgb", "RGBA": "rgb", "CMYK": "separated"}
_WORDS = "Photoshop data (IPTC)"
_Order: TypeAlias = Literal["<", ">"]
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


def check(stream: BinaryIO, name: str) -> tuple[BinaryIO, Held]:
    """Refuse files whose first directory would take a parser long: tags without end, values that overlap many times.

    Returns: the stream for Pillow, to which floats are made out to be bytes, for it knows no colours of them; and
        Photoshop's resources, or IPTC alone as one, which parsers take for numbers
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
    first = stream.tell()
    rows = stream.read(row * count)
    total, held, shapes = 0, Held(), {}
    for start in range(0, len(rows) - row + 1, row):
        tag, kind, values, place = struct.unpack_from(order + entry, rows, start)
        length = exif_block.SIZES.get(kind, 1) * values
        total += length
        if tag in (BITS, KINDS) and kind == SHORT and 0 < values <= 8:
            where = place if length > (8 if big else 4) else first + start + row - (8 if big else 4)
            shapes[tag] = (where, values)
        if tag not in (PHOTOSHOP, IPTC) or not 8 < length <= size or (tag == IPTC and held.photoshop is not None):
            continue
        if held.fits(length, _WORDS):
            stream.seek(place)
            held.photoshop = _resources(stream.read(length), tag)
    if total > 2 * size + (1 << 16):
        raise InputError(f"{name} has tags that are larger than the file: it is damaged; save it anew")
    stream.seek(0)
    if _shorts(stream, order, shapes.get(KINDS)) != {FLOAT} or _shorts(stream, order, shapes.get(BITS)) != {32}:
        return stream, held
    held.floats = True
    changes = [(shapes[tag][0], struct.pack(f"{order}{shapes[tag][1]}H", *[value] * shapes[tag][1]))
               for tag, value in ((BITS, 8), (KINDS, 1))]  # fmt: skip
    return io.BufferedReader(Overlaid(stream, size, changes)), held


def _shorts(stream: BinaryIO, order: str, shape: tuple[int, int] | None) -> set[int]:
    """The different values that a tag's numbers have."""
    if shape is None:
        return set()
    stream.seek(shape[0])
    return set(struct.unpack(f"{order}{shape[1]}H", stream.read(2 * shape[1])))


def _resources(content: bytes, tag: int) -> bytes:
    if tag == PHOTOSHOP:
        return content
    if content[:1] != b"\x1c" and content[3:4] == b"\x1c":  # declared as numbers of four bytes, and swapped as such
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
        pixels = _stored(stream)
    except (ImportError, ValueError) as error:
        if "imagecodecs" not in str(error):
            raise
        pixels = _by_halves(image, stream, name)
    if pixels.dtype.kind != "u" or pixels.ndim != 3 or pixels.shape[2] != len(depths):
        raise InputError(f"{name} is TIFF of {pixels.dtype} {pixels.shape}: {REMEDY}")
    return pixels.astype(np.uint16, copy=False), "RGB" if len(depths) == 3 else "RGBA"


def read_floats(stream: BinaryIO, name: str) -> tuple[Pixels, str]:
    """32-bit floats (H, W, C) as stored, and the mode."""
    pixels = _samples(stream, name)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(pixels.shape[2])
    if mode is None or pixels.dtype != np.float32:
        raise InputError(f"{name} is TIFF of {pixels.dtype} {pixels.shape}: save it as grey or RGB of 32-bit floats")
    if mode == "RGBA":
        raise InputError(f"{name} is TIFF of floats with a fourth sample: save it as RGB without alpha")
    return pixels, mode


def read_extra(image: TiffImagePlugin.TiffImageFile, stream: BinaryIO, name: str, known: int) -> Pixels | None:
    """The samples beyond those that are colours or alpha, (H, W, k) as stored; None where there are none."""
    if image.tag_v2.get(277, known) <= known:
        return None
    return _samples(stream, name)[..., known:]


def _stored(stream: BinaryIO) -> Pixels:
    """(H, W) or (H, W, C) of the first page, whatever its samples are."""
    import tifffile  # only here and in `_write_deep`: it is large, and most pictures do without

    stream.seek(0)
    with tifffile.TiffFile(stream) as file:
        page = file.pages[0]
        pixels = page.asarray()
        planes = int(getattr(page, "planarconfig", 1) or 1) == 2 and pixels.ndim == 3
        return np.moveaxis(pixels, 0, -1) if planes else pixels


def _samples(stream: BinaryIO, name: str) -> Pixels:
    """All samples (H, W, C) of the first page."""
    try:
        pixels = _stored(stream)
    except (ImportError, ValueError) as error:
        if "imagecodecs" not in str(error):
            raise
        raise InputError(f"{name} has a compression that needs imagecodecs: save it with ZIP or none") from error
    pixels = np.asarray(pixels)
    if pixels.dtype.kind in "uf":
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return pixels[..., None] if pixels.ndim == 2 else pixels


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
    extra = source.extra
    if extra is not None and (extra.shape[:2] != pixels.shape[:2] or extra.dtype != pixels.dtype):
        source = replace(source, extra=None)
        remarks.append("further samples of its pixels no longer fit them and are left out")
    if source.extra is not None or pixels.dtype == np.float32 or (pixels.dtype == np.uint16 and mode != "L"):
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


def write_page(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str, order: _Order) -> list[str]:
    """As `write`, with samples of more than a byte in a given order, "<" or ">"."""
    if pixels.dtype.itemsize == 1 or (order == "<" and sys.byteorder == "little"):
        return write(stream, pixels, mode, source, name)
    _write_deep(stream, pixels, mode, source, order)
    return no_place(source, "TIFF", "extended", "comment")


def _write_deep(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, order: _Order = "<") -> None:
    import tifffile

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
    named = ["unassalpha"] if mode in ("RGBA", "LA") else []
    if source.extra is not None:
        pixels = np.concatenate([pixels, source.extra], axis=2)
        named += ["unspecified"] * source.extra.shape[2]
    tifffile.imwrite(
        stream,
        pixels if pixels.shape[2] > 1 else pixels[..., 0],
        photometric=_PHOTOMETRIC[mode],
        planarconfig="contig" if pixels.shape[2] > 1 else None,
        compression="adobe_deflate" if compressed else None,
        predictor=compressed and pixels.dtype.kind == "u",
        rowsperstrip=max(1, (1 << 20) // (pixels.shape[1] * pixels.shape[2] * 2)),
        extrasamples=named or None,
        iccprofile=source.icc,
        resolution=source.dpi or source.aspect,
        resolutionunit="inch" if source.dpi else "none" if source.aspect else None,
        description=tags.get(270),
        software=tags.get(305, False),
        metadata=None,
        extratags=extra,
        byteorder=order,
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

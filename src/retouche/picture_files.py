"""Reading picture files, with all that must come out again (`picture_writing` puts it there).

Pillow decodes 8 bit and 16-bit grey; 16-bit colour goes through `tifffile` and `picture_png`, because
Pillow silently opens it as 8 bit. Only the five formats' own parsers ever see a file, and its size is checked from the
header.
"""

from __future__ import annotations

import io
import logging
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from retouche import picture_metadata as metadata
from retouche import picture_png as png
from retouche.errors import InputError

MAX_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3}

log = logging.getLogger(__name__)

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """What a picture came as, apart from its pixels; everything here is written out again where a format has a place.

    Attributes:
        format: "JPEG", "PNG", "WEBP", "TIFF", "BMP", or None where no file or another kind was given
        bilevel: black and white only (mode "1"), held as 0 and 255
        icc: colour profile
        dpi: pixels per inch, (x, y)
        exif: from "II" or "MM" on, already upright
        xmp, comment: as in the file
        settings: what Pillow's encoder of the same format needs to repeat the source's own
        chunks: PNG's further chunks
    """

    format: str | None = None
    bilevel: bool = False
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    comment: bytes | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    chunks: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True)
class Decoded:
    """A picture read: pixels (H, W, C) upright, uint8 or uint16; what they mean; the rest; remarks for the user."""

    pixels: Pixels
    mode: str
    source: Source
    remarks: list[str]


# Reading ------------------------------------------------------------------------------------------------------------

# What a file starts with -> who reads it. Opening the parsers directly leaves out Pillow's other formats and its
# own limit on pixels, which only warns, and does so for the whole process.
_PARSERS: tuple[tuple[bytes, type[Any]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (png.SIGNATURE, PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
    (b"II+\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0+", TiffImagePlugin.TiffImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)


def read_file(path: Path, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Read one picture file, upright.

    Args:
        path: a JPEG, PNG, WebP, TIFF or BMP, recognised by its content
        max_pixels: height times width at most, checked before anything is decoded

    Raises: InputError in one line with the remedy
    """
    name = path.name or str(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give one picture file")
    try:
        with path.open("rb") as file:
            head = file.read(16)
            parser = next((parser for magic, parser in _PARSERS if head.startswith(magic)), None)
            if not head:
                raise InputError(f"{name} is empty: give a picture")
            if parser is None:
                raise InputError(f"{name} is not a JPEG, PNG, WebP, TIFF or BMP: convert it to PNG first")
            file.seek(0)
            try:
                picture = parser(file)  # without a name: Pillow maps named files, and turns mapped TIFFs wrongly
            except Exception as error:  # parsers of foreign bytes raise whatever they stumble over
                raise InputError(f"{name} cannot be read ({reason(error)}): it is damaged, or no picture") from error
            return decode(picture, name, max_pixels, path)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}): check its permissions") from error


def decode(given: Image.Image, name: str, max_pixels: int = MAX_PIXELS, path: Path | None = None) -> Decoded:
    """Pixels and all the rest of a PIL image; with `path`, also what Pillow does not tell of the file.

    The image given is loaded, otherwise unchanged.
    """
    width, height = given.size
    if not width or not height:
        raise InputError(f"{name} is {width}x{height}: give at least one pixel")
    if width * height > max_pixels:
        raise InputError(
            f"{name} is {width}x{height}, {width * height / 1e6:.1f} megapixels, but the limit is "
            f"{max_pixels / 1e6:.1f}: scale it down or cut it first"
        )
    # MPO is a JPEG with previews or a second view behind it: what is shown is its first picture
    if getattr(given, "is_animated", False) and given.format != "MPO":
        raise InputError(f"{name} holds several pages or frames: save the one to fill as a picture of its own")
    remarks: list[str] = []
    try:
        source, orientation = _source(given, path, remarks)
        pixels, mode, bilevel = _pixels(given, name, path, remarks)
    except InputError:
        raise
    except Exception as error:  # decoders of foreign bytes raise whatever they stumble over
        raise InputError(f"{name} cannot be decoded ({reason(error)}): it is cut short or damaged") from error
    # Pillow turns TIFFs as it decodes them, and takes their tag away; 16-bit colour it has not decoded
    turned = isinstance(given, TiffImagePlugin.TiffImageFile) and metadata.ORIENTATION not in given.tag_v2
    if orientation > 1 and not turned:
        pixels = _turned(pixels, orientation)
    return Decoded(np.ascontiguousarray(pixels), mode, replace(source, bilevel=bilevel), remarks)


def reason(error: BaseException) -> str:
    """One short line of what another library says."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:120] or type(error).__name__


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Stored pixels -> as displayed. EXIF counts 2..8: mirrored, half turn, flipped, transposed, right, ..., left."""
    turns: dict[int, Callable[[Pixels], Pixels]] = {
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p.swapaxes(0, 1)[:, ::-1],
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: p.swapaxes(0, 1)[::-1],
    }
    return turns[orientation](pixels)


def _pixels(given: Image.Image, name: str, path: Path | None, remarks: list[str]) -> tuple[Pixels, str, bool]:
    """(H, W, C) as stored, the mode, whether bilevel."""
    depths = _depths(given, path)
    colour16 = path is not None and max(depths, default=8) == 16 and given.mode not in ("I;16", "I;16B", "I;16L", "I")
    if max(depths, default=8) > 8 and set(depths) != {16}:
        raise InputError(f"{name} has {max(depths)} bits per sample: convert it to 8 or 16 bits first")
    if colour16 and path is not None:
        return *_colour16(given, name, path, depths), False
    given.load()
    mode = given.mode
    if mode == "I" and not (given.format == "PNG" and set(depths) == {16}):
        mode = "I;32"
    if mode in ("P", "PA"):
        transparent = mode == "PA" or "transparency" in given.info
        remarks.append(f"palette picture became {'RGBA' if transparent else 'RGB'}")
        given = given.convert("RGBA" if transparent else "RGB")
        mode = given.mode
    elif mode in ("1", "L", "RGB") and given.info.get("transparency") is not None:
        mode = "RGBA" if mode == "RGB" else "LA"
        remarks.append(f"transparent colour became an alpha channel ({mode})")
        given = (given.convert("L") if given.mode == "1" else given).convert(mode)
    elif mode.startswith("I;16") and given.info.get("transparency") is not None:
        raise InputError(f"{name} is 16-bit grey with transparency: convert it to 16-bit RGBA or 8 bit first")
    if depths and mode == "L" and max(depths) in (2, 4):
        remarks.append(f"{max(depths)}-bit grey became 8 bit")
    if mode == "1":
        return np.asarray(given.convert("L"))[..., None], "L", True
    if mode in ("I;16", "I;16L", "I;16B", "I"):
        return np.asarray(given).astype(np.uint16)[..., None], "L", False
    if mode not in CHANNELS:
        raise InputError(f"{name} is of mode {given.mode}: convert it to RGB or grey at 8 or 16 bits first")
    pixels = np.asarray(given)
    return (pixels[..., None] if pixels.ndim == 2 else pixels), mode, False


def _depths(given: Image.Image, path: Path | None) -> tuple[int, ...]:
    """Bits of each sample, as far as the format says."""
    if isinstance(given, TiffImagePlugin.TiffImageFile):
        bits = given.tag_v2.get(258, (1,))
        return tuple(bits) if isinstance(bits, tuple) else (bits,)
    if isinstance(given, PngImagePlugin.PngImageFile) and path is not None:
        return (png.depth_and_colour(path)[0],)
    return ()


def _colour16(given: Image.Image, name: str, path: Path, depths: tuple[int, ...]) -> tuple[Pixels, str]:
    """16-bit colour (H, W, 3 or 4) as stored, and the mode."""
    remedy = "save it as 16-bit RGB or RGBA, or as 8 bit, first"
    if given.format == "PNG":
        if png.depth_and_colour(path)[1] == 4:
            raise InputError(f"{name} is 16-bit grey with alpha: {remedy}")
        pixels = png.read_samples(path, len(given.mode))
        key = given.info.get("transparency")
        if key is None:
            return pixels, given.mode
        alpha = np.where((pixels == np.array(key, np.uint16)).all(axis=2), 0, 65535).astype(np.uint16)
        return np.concatenate([pixels, alpha[..., None]], axis=2), "RGBA"
    if (
        not isinstance(given, TiffImagePlugin.TiffImageFile)
        or len(depths) not in (3, 4)
        or given.mode not in ("RGB", "RGBA")
    ):
        raise InputError(f"{name} is 16-bit {given.mode}: {remedy}")
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            pixels = page.asarray()
            if int(getattr(page, "planarconfig", 1) or 1) == 2:
                pixels = np.moveaxis(pixels, 0, -1)
    except (ImportError, ValueError) as error:
        if "imagecodecs" not in str(error):
            raise
        pixels = _libtiff16(given, name, path)
    if pixels.dtype.kind != "u" or pixels.ndim != 3 or pixels.shape[2] != len(depths):
        raise InputError(f"{name} is TIFF of {pixels.dtype} {pixels.shape}: {remedy}")
    return pixels.astype(np.uint16, copy=False), "RGB" if len(depths) == 3 else "RGBA"


def _libtiff16(given: TiffImagePlugin.TiffImageFile, name: str, path: Path) -> Pixels:
    """16-bit colour of a TIFF whose compression (LZW) `tifffile` only knows with another package.

    Pillow's libtiff knows it but keeps one byte per sample; as with PNG, the wrong byte order yields the other one.
    """
    if len(given.tile) != 1:
        raise InputError(
            f"{name} is 16-bit TIFF with a compression that needs imagecodecs: "
            "pip install imagecodecs, or save it with ZIP (deflate) or no compression"
        )
    halves = []
    for order in ("16L", "16B") if sys.byteorder == "little" else ("16B", "16L"):
        with path.open("rb") as file, TiffImagePlugin.TiffImageFile(file) as half:
            tile = half.tile[0]
            half.tile = [tile._replace(args=(f"{half.mode};{order}", *tile.args[1:]))]
            half.load()
            halves.append(np.asarray(half))
    given.tag_v2.pop(metadata.ORIENTATION, None)  # Pillow has turned the halves
    return (halves[0].astype(np.uint16) << 8) | halves[1]


def _source(given: Image.Image, path: Path | None, remarks: list[str]) -> tuple[Source, int]:
    """Everything but the pixels, upright, and how the stored pixels must be turned."""
    info = given.info
    exif = info.get("exif")
    exif = metadata.bare(exif) if isinstance(exif, bytes) and given.format != "TIFF" else None
    if exif is None:
        exif = metadata.from_tags(_tags(given))
    orientation = 1
    if exif:
        try:
            orientation = metadata.orientation(exif)
            exif = metadata.upright(exif)
        except metadata.DamagedExif as error:
            remarks.append(f"EXIF is damaged ({error}) and is left out")
            exif, orientation = None, 1
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if isinstance(xmp, bytes):
        cleaned = metadata.clean_xmp(xmp)
        if cleaned is None:
            remarks.append("further pictures inside (depth, gain map, film) are left out, and the XMP that names them")
        xmp = cleaned
    else:
        xmp = None
    if "mp" in info:
        remarks.append("embedded previews (MPF) are left out: they would show what was removed")
    comment = info.get("comment")
    dpi = info.get("dpi")
    if isinstance(given, TiffImagePlugin.TiffImageFile) and 282 not in given.tag_v2:
        dpi = None  # Pillow's 1, where the file says nothing
    source = Source(
        format=given.format if given.format in FORMATS else "JPEG" if given.format == "MPO" else None,
        icc=info.get("icc_profile") or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and all(0 < float(value) < 1e6 for value in dpi) else None,
        exif=exif or None,
        xmp=xmp,
        comment=comment if isinstance(comment, bytes) else None,
        settings=_settings(given, path),
        chunks=tuple(png.kept_chunks(path)) if given.format == "PNG" and path is not None else (),
    )
    return source, orientation


def _tags(given: Image.Image) -> Image.Exif:
    """EXIF as Pillow reads it; none where the file has been closed before."""
    try:
        return given.getexif()
    except (ValueError, AttributeError, SyntaxError, struct.error):
        return Image.Exif()


def _settings(given: Image.Image, path: Path | None) -> dict[str, Any]:
    """The source's own encoder settings, in the words of Pillow's encoder."""
    if isinstance(given, JpegImagePlugin.JpegImageFile):
        # One table per component, the last repeated by the encoder: files may map them as they like.
        tables = [list(given.quantization[layer[3]]) for layer in given.layer if layer[3] in given.quantization]
        while len(tables) > 1 and tables[-1] == tables[-2]:
            tables.pop()
        sampling = JpegImagePlugin.get_sampling(given)
        settings: dict[str, Any] = {"qtables": tables} if tables else {"quality": 95}
        if given.layers == 3:
            settings["subsampling"] = sampling if sampling >= 0 else 0  # Pillow knows three patterns; 4:4:4 loses least
            if given.info.get("adobe_transform") == 0 or [layer[0] for layer in given.layer] == [*b"RGB"]:
                settings |= {"keep_rgb": True, "subsampling": 0}
        if given.info.get("progressive"):
            settings["progressive"] = True
        return settings
    if isinstance(given, WebPImagePlugin.WebPImageFile):
        return {"lossless": True} if path is not None and _webp_is_lossless(path) else {}
    if isinstance(given, TiffImagePlugin.TiffImageFile):
        compression = given.info.get("compression", "raw")
        # JPEG inside TIFF is not repeated: nothing outside the hole would stay the same.
        kept = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "group3", "group4", "tiff_deflate")
        settings = {"compression": compression if compression in kept else "tiff_adobe_deflate"}
        if given.tag_v2.get(317) == 2 and compression in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"):
            settings["predictor"] = 2
        return settings
    return {}


def _webp_is_lossless(path: Path) -> bool:
    """Whether the picture chunk is VP8L; quality, unlike this, cannot be read from a WebP."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name in (b"VP8L", b"VP8 "):
                return bool(name == b"VP8L")
            file.seek(length + length % 2, 1)
    return False


# PIL images of pixels -----------------------------------------------------------------------------------------------


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
    image = Image.frombuffer(raw, size, np.ascontiguousarray(pixels), "raw", raw, 0, 1)
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
        return metadata.with_thumbnail(source.exif, make, side_of)
    except metadata.DamagedExif as error:  # better none than one with the old thumbnail
        log.warning("EXIF is damaged (%s) and is left out", error)
        return None

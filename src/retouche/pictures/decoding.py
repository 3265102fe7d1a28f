"""Decoding pictures from streams, with all that must come out again (`encoding` puts it there).

Pillow decodes 8 bit and 16-bit grey; 16-bit colour goes through `tifffile` and `png`, because Pillow silently opens it
as 8 bit. Only the parsers of the formats known here ever see a file, and its size is checked from the header. Whatever
they raise leaves here as one `InputError`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from retouche.errors import InputError, reason
from retouche.pictures import exif_block, jpeg, modern, photoshop, png, tiff, webp, xmp
from retouche.pictures.formats import FORMATS, TITLES
from retouche.pictures.picture import Given, Picture, span_of
from retouche.pictures.segments import Held
from retouche.pictures.source import CHANNELS, MAX_PIXELS, Pixels, Source

BAND = 1 << 20  # bytes that are copied at once: they stay in the processor's cache

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
# Whose metadata is taken out before, because their parsers' time grows faster than the file
_SIEVES: dict[type[Any], Callable[[BinaryIO], tuple[BinaryIO, Held]]] = {
    JpegImagePlugin.JpegImageFile: jpeg.sieve,
    PngImagePlugin.PngImageFile: png.sieve,
}


@dataclass
class _Reading:
    """One picture on its way in.

    Attributes:
        name: what errors call it
        stream: the file, where there is one; whoever reads it seeks first
        remarks: gathered for the user
        held: metadata, where the file was walked for it
        resources: the part of it that a TIFF was walked for
        raw: a TIFF as it is, where Pillow sees another
    """

    name: str
    stream: BinaryIO | None
    remarks: list[str]
    held: Held | None = None
    resources: Held | None = None
    raw: BinaryIO | None = None


def decode(stream: BinaryIO | bytes, name: str = "the picture", max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode one picture file, upright.

    Args:
        stream: a file's content, or a binary stream at its start: of a format in `formats.FORMATS`, recognised by
            its content; a pipe is read to its end first
        name: what errors call it
        max_pixels: height times width at most, checked before anything is decoded

    Raises: InputError in one line with the remedy, whatever the file holds
    """
    reading = _Reading(name, _seekable(stream, name), [])
    with border(name, "read", "it is damaged, or no picture"):
        image = _parsed(reading)
    return _picture(image, reading, max_pixels, Given("file"))


def from_pil(image: Image.Image, name: str = "the picture", max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture of a PIL image, which is loaded, otherwise unchanged.

    Raises: InputError in one line with the remedy
    """
    return _picture(image, _Reading(name, None, []), max_pixels, Given("pil"))


def measure(stream: BinaryIO | bytes, name: str = "the picture") -> tuple[int, int]:
    """Width and height as displayed, from the header alone.

    Raises: InputError in one line with the remedy
    """
    reading = _Reading(name, _seekable(stream, name), [])
    with border(name, "read", "it is damaged, or no picture"):
        image = _parsed(reading)
        width, height = image.size
        turned = _source(image, reading).orientation > 4
    return (height, width) if turned else (width, height)


@contextmanager
def border(name: str, verb: str, remedy: str) -> Iterator[None]:
    """Parsers of foreign bytes raise whatever they stumble over; here it becomes one line."""
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{name} cannot be {verb}: it needs more memory than there is; scale it down") from error
    except Exception as error:
        raise InputError(f"{name} cannot be {verb} ({reason(error)}): {remedy}") from error


def _seekable(stream: BinaryIO | bytes, name: str) -> BinaryIO:
    """A stream that can be read again and again."""
    if isinstance(stream, (bytes, bytearray, memoryview)):
        return io.BytesIO(stream)
    if stream.seekable():
        return stream
    with border(name, "read", "give a file instead"):
        return io.BytesIO(stream.read())


def _parsed(reading: _Reading) -> Image.Image:
    """The file as its format's parser opens it: header and tags read, pixels not yet decoded."""
    assert reading.stream is not None
    reading.stream.seek(0)
    head = reading.stream.read(64)
    if not head:
        raise InputError(f"{reading.name} is empty: give a picture")
    parser: Any = next((parser for magic, parser in _PARSERS if head.startswith(magic)), None)
    if parser is None and (kind := modern.sniff(head)) is not None:
        parser = modern.parser(kind, reading.name)
        reading.resources = modern.held(reading.stream) if kind == "JXL" else None
    if parser is None and head.startswith((b"GIF87a", b"GIF89a")):
        raise InputError(
            f"{reading.name} is a GIF: fill its frames (retouche run --pages all), or convert it to PNG first"
        )
    if parser is None:
        raise InputError(f"{reading.name} is not a {TITLES}: convert it to PNG first")
    if parser in _SIEVES:
        reading.stream, reading.held = _SIEVES[parser](reading.stream)
    elif parser is TiffImagePlugin.TiffImageFile:
        reading.raw = reading.stream
        reading.stream, reading.resources = tiff.check(reading.stream, reading.name)
    reading.stream.seek(0)
    # without a name: Pillow maps named files, and turns mapped TIFFs wrongly
    image: Image.Image = parser(reading.stream)
    return image


def _picture(image: Image.Image, reading: _Reading, max_pixels: int, given: Given) -> Picture:
    """Pixels upright, and all the rest."""
    name = reading.name
    width, height = image.size
    if not width or not height:
        raise InputError(f"{name} is {width}x{height}: give at least one pixel")
    if width * height > max_pixels:
        raise InputError(
            f"{name} is {width}x{height}, {width * height / 1e6:.1f} megapixels, but the limit is "
            f"{max_pixels / 1e6:.1f}: scale it down or cut it first"
        )
    several = getattr(image, "is_animated", False)
    if several and image.format == "HEIF":
        reading.remarks.append("further pictures in it are left out: only the one that is shown first is kept")
    # MPO is a JPEG with previews or a second view behind it: what is shown is its first picture
    elif several and image.format != "MPO":
        raise InputError(
            f"{name} holds several pages or frames: fill those of a TIFF or GIF by retouche run --pages, or save the "
            "one to fill as a picture of its own"
        )
    with border(name, "decoded", "it is cut short or damaged"):
        source = _source(image, reading)
        pixels, mode, bilevel = _pixels(image, reading)
        extra = _extra(image, reading, CHANNELS[mode])
        # Pillow turns TIFFs as it decodes them, and takes their tag away; 16-bit colour it has not decoded
        turned = isinstance(image, TiffImagePlugin.TiffImageFile) and exif_block.ORIENTATION not in image.tag_v2
        if source.orientation > 1 and not turned:
            pixels = _turned(pixels, source.orientation)
        if extra is not None and source.orientation > 1:
            extra = _turned(extra, source.orientation)
        pixels = np.ascontiguousarray(pixels)
        if not (pixels.flags.writeable and pixels.flags.owndata):
            pixels = pixels.copy()
    span = span_of(pixels) if pixels.dtype.kind == "f" else (0.0, 1.0)
    return Picture(pixels, mode, replace(source, bilevel=bilevel, extra=extra), reading.remarks, given, span)


def _extra(image: Image.Image, reading: _Reading, known: int) -> Pixels | None:
    """Further samples of a TIFF's pixels, as stored."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or reading.raw is None:
        return None
    try:
        return tiff.read_extra(image, reading.raw, reading.name, known)
    except InputError:
        reading.remarks.append("what its pixels hold beside colour and alpha is left out: its compression is not known")
        return None


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


# Pixels -------------------------------------------------------------------------------------------------------------


def _pixels(image: Image.Image, reading: _Reading) -> tuple[Pixels, str, bool]:
    """(H, W, C) as stored, the mode, whether bilevel."""
    name, stream, remarks = reading.name, reading.stream, reading.remarks
    if reading.resources is not None and reading.resources.floats and reading.raw is not None:
        return *tiff.read_floats(reading.raw, name), False
    depths = _depths(image, stream)
    if max(depths, default=8) > 8 and set(depths) != {16}:
        raise InputError(f"{name} has {max(depths)} bits per sample: convert it to 8 or 16 bits first")
    deep = max(depths, default=8) == 16 and image.mode not in ("I;16", "I;16B", "I;16L", "I")
    if deep and stream is not None:
        if isinstance(image, PngImagePlugin.PngImageFile):
            return *png.read_deep(image, stream, name), False
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        return *tiff.read_deep(image, stream, name, depths), False
    image.load()
    mode = image.mode
    if mode == "I" and not (image.format == "PNG" and set(depths) == {16}):
        mode = "I;32"
    if mode in ("P", "PA"):
        transparent = mode == "PA" or "transparency" in image.info
        remarks.append(f"palette picture became {'RGBA' if transparent else 'RGB'}")
        image = image.convert("RGBA" if transparent else "RGB")
        mode = image.mode
    elif mode in ("1", "L", "RGB") and image.info.get("transparency") is not None:
        mode = "RGBA" if mode == "RGB" else "LA"
        remarks.append(f"transparent colour became an alpha channel ({mode})")
        image = (image.convert("L") if image.mode == "1" else image).convert(mode)
    elif mode.startswith("I;16") and image.info.get("transparency") is not None:
        raise InputError(f"{name} is 16-bit grey with transparency: convert it to 16-bit RGBA or 8 bit first")
    if depths and mode == "L" and max(depths) in (2, 4):
        remarks.append(f"{max(depths)}-bit grey became 8 bit")
    if mode == "1":
        return np.asarray(image.convert("L"))[..., None], "L", True
    if mode in ("I;16", "I;16L", "I;16B", "I"):
        return np.asarray(image).astype(np.uint16)[..., None], "L", False
    if mode not in CHANNELS:
        raise InputError(f"{name} is of mode {image.mode}: convert it to RGB or grey at 8 or 16 bits first")
    return _copied(image, CHANNELS[mode]), mode, False


def _copied(image: Image.Image, channels: int) -> Pixels:
    """(H, W, channels) of 8 bits, a band at a time: at once, Pillow would make two further copies of the whole."""
    width, height = image.size
    pixels = np.empty((height, width, channels), np.uint8)
    rows = max(1, BAND // (width * channels))
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        pixels[top : top + rows] = np.asarray(band).reshape(-1, width, channels)
    return pixels


def _depths(image: Image.Image, stream: BinaryIO | None) -> tuple[int, ...]:
    """Bits of each sample, as far as the format says."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(258, (1,))
        return tuple(bits) if isinstance(bits, tuple) else (bits,)
    if isinstance(image, PngImagePlugin.PngImageFile) and stream is not None:
        return (png.depth_and_colour(stream)[0],)
    return ()


# All the rest -------------------------------------------------------------------------------------------------------


def _source(image: Image.Image, reading: _Reading) -> Source:
    """Everything but the pixels, upright."""
    held = reading.held or _metadata_of(image, reading.resources or Held())
    exif, orientation = _exif(held, image, reading.remarks)
    if image.format == "JXL":  # its decoder has turned the pixels, whatever EXIF says
        orientation = 1
    if image.info.get("bit_depth", 8) > 8:
        reading.remarks.append(f"{image.info['bit_depth']} bits per sample became 8")
    packet, extended = _xmp(held, reading.remarks)
    if held.previews:
        reading.remarks.append("embedded previews (MPF) are left out: they would show what was removed")
    reading.remarks += held.remarks
    dpi, aspect = _resolution(image)
    if orientation > 4:
        dpi, aspect = dpi and dpi[::-1], aspect and aspect[::-1]
    kind = "JPEG" if image.format == "MPO" else image.format
    return Source(
        format=kind if kind in FORMATS else None,
        orientation=orientation,
        icc=held.icc or None,
        dpi=dpi,
        exif=exif or None,
        xmp=packet,
        extended=extended,
        comment=held.comment,
        photoshop=None if held.photoshop is None else photoshop.cleaned(held.photoshop),
        aspect=aspect,
        settings=_settings(image, reading.stream),
        block=jpeg.block(image) if isinstance(image, JpegImagePlugin.JpegImageFile) else (8, 8),
        chunks=tuple(held.chunks),
    )


def _metadata_of(image: Image.Image, held: Held) -> Held:
    """Metadata as Pillow reports it, where no file was walked."""
    info = image.info
    exif, packet, comment = info.get("exif"), info.get("xmp") or info.get("XML:com.adobe.xmp"), info.get("comment")
    packet = packet.encode() if isinstance(packet, str) else packet
    profile = info.get("icc_profile")
    if isinstance(exif, bytes) and image.format != "TIFF" and held.fits(len(exif), "EXIF"):
        held.exif = exif
    if isinstance(packet, bytes) and held.fits(len(packet), "XMP"):
        held.xmp = packet
    if isinstance(profile, bytes) and held.fits(len(profile), "the colour profile"):
        held.icc = profile
    if isinstance(comment, bytes):
        held.comment = comment
    held.previews = "mp" in info
    return held


def _exif(held: Held, image: Image.Image, remarks: list[str]) -> tuple[bytes | None, int]:
    """The EXIF block made upright, and the orientation it gave."""
    exif = exif_block.bare(held.exif) if held.exif is not None else None
    try:
        if exif is None and not isinstance(image, (JpegImagePlugin.JpegImageFile, PngImagePlugin.PngImageFile)):
            exif = exif_block.from_tags(_tags(image))
        if not exif:
            return None, 1
        exif_block.check(exif)
        return exif_block.upright(exif), exif_block.orientation(exif)
    except exif_block.DamagedExif as error:
        remarks.append(f"EXIF is damaged ({error}) and is left out")
        return None, 1


def _xmp(held: Held, remarks: list[str]) -> tuple[bytes | None, bytes | None]:
    """The packet and its extension without previews."""
    packet, extended = held.xmp, held.extended
    if packet is None:
        return None, None
    if xmp.names_further_pictures(packet) or (extended is not None and xmp.names_further_pictures(extended)):
        remarks.append("further pictures inside (depth, gain map, film) are left out, and the XMP that names them")
        return None, None
    packet = xmp.cleaned(packet)
    if packet is not None and extended is not None:
        extended = xmp.cleaned(extended)
        packet = xmp.pointing(packet, extended)
    if packet is None:
        remarks.append("XMP holds previews that cannot be taken out of it, and is left out")
        return None, None
    return packet, extended


def _resolution(image: Image.Image) -> tuple[tuple[float, float] | None, tuple[int, int] | None]:
    """Pixels per inch, or where only their ratio is given, the aspect of a pixel as stored beside it."""
    info = image.info
    dpi = info.get("dpi")
    aspect = info.get("aspect") or (info.get("jfif_density") if info.get("jfif_unit") == 0 else None)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if 282 not in image.tag_v2:
            dpi = None  # Pillow's 1, where the file says nothing
        elif image.tag_v2.get(296) == 1:
            dpi, aspect = None, tuple(round(100 * float(image.tag_v2.get(tag, 1))) for tag in (282, 283))
    if aspect is not None and (aspect[0] == aspect[1] or not all(0 < value < 65536 for value in aspect)):
        aspect = None  # square, which needs no words
    if dpi and all(0 < float(value) < 1e6 for value in dpi):
        return (float(dpi[0]), float(dpi[1])), None
    return None, None if aspect is None else (int(aspect[0]), int(aspect[1]))


def _tags(image: Image.Image) -> Image.Exif:
    """EXIF as Pillow reads it; none where the file has been closed before."""
    try:
        return image.getexif()
    except (ValueError, AttributeError, SyntaxError, struct.error):
        return Image.Exif()


def _settings(image: Image.Image, stream: BinaryIO | None) -> dict[str, Any]:
    """The source's own encoder settings, in the words of Pillow's encoder."""
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return jpeg.settings(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return tiff.settings(image)
    if isinstance(image, WebPImagePlugin.WebPImageFile) and stream is not None:
        return webp.settings(stream)
    return {}

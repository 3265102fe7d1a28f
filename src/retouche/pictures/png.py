"""PNG at 16 bits per sample, which Pillow silently reads as 8 bit in colour and cannot write.

Layout: W3C PNG specification, third edition.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile, PngInfo

from retouche.errors import InputError
from retouche.pictures import photoshop
from retouche.pictures.segments import CAP, Held, spliced
from retouche.pictures.source import Pixels, Source, as_pil, common, no_place

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {"L": 0, "RGB": 2, "RGBA": 6}
BLOCK_BYTES = 8 << 20  # rows are filtered and compressed in blocks of about this size

# Chunks that mean the same beside changed pixels: colour, physical size, words, time. EXIF and XMP are rewritten.
COLOUR_CHUNKS = (b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP")
WORD_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"tIME")
APART = (b"eXIf", b"iCCP")


def depth_and_colour(stream: BinaryIO) -> tuple[int, int]:
    """Bits per sample and colour type (0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA), from the header."""
    stream.seek(0)
    head = stream.read(26)
    return head[24], head[25]


def sieve(stream: BinaryIO) -> tuple[BinaryIO, Held]:
    """The file without its metadata, and these."""
    held, parts, at = Held(), [(0, len(SIGNATURE))], len(SIGNATURE)
    size, kept = stream.seek(0, io.SEEK_END), 0
    while at < size:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:
            parts.append((at, size))
            break
        length, name = struct.unpack(">I4s", head)
        end = min(at + 12 + length, size)
        if name not in COLOUR_CHUNKS + WORD_CHUNKS + APART:
            parts.append((at, end))
        elif kept + length <= CAP or held.fits(kept + length, "metadata"):
            kept += length
            _take(held, name, stream.read(length))
        else:
            parts.extend(_pixels_only(stream, end, size))
            break
        at = end
    return spliced(stream, parts), held


def _pixels_only(stream: BinaryIO, at: int, size: int) -> Iterator[tuple[int, int]]:
    """The further chunks that are no metadata, as (start, end)."""
    while at < size:
        stream.seek(at)
        head = stream.read(8)
        length, name = struct.unpack(">I4s", head) if len(head) == 8 else (size, b"")
        end = min(at + 12 + length, size)
        if name not in COLOUR_CHUNKS + WORD_CHUNKS + APART:
            yield at, end
        at = end


def _take(held: Held, name: bytes, content: bytes) -> None:
    """Keep a chunk of metadata in its place."""
    keyword, _, rest = content.partition(b"\0")
    if name == b"eXIf":
        held.exif = content
    elif name == b"iCCP":
        held.icc = _inflated(rest[1:], held, "the colour profile")
    elif name == b"iTXt" and keyword == b"XML:com.adobe.xmp":
        language = rest[2:].partition(b"\0")[2]
        text = language.partition(b"\0")[2]
        held.xmp = _inflated(text, held, "XMP") if rest[:1] == b"\1" else text
    elif name in WORD_CHUNKS and keyword.startswith(b"Raw profile type"):
        _take_raw_profile(held, name, keyword, rest)
    elif name not in WORD_CHUNKS or not keyword.startswith(b"Thumb::"):
        held.chunks.append((name, content))


def _take_raw_profile(held: Held, name: bytes, keyword: bytes, rest: bytes) -> None:
    """Keep metadata written as hexadecimal words, as ImageMagick does: kind, length, digits."""
    text = _inflated(rest[1:], held, "metadata written as words") if name == b"zTXt" else rest
    try:
        content = bytes.fromhex((text or b"").split(maxsplit=2)[2].decode("ascii"))
    except (ValueError, IndexError):
        held.remarks.append(f"{keyword.decode('latin-1')[:40]} is damaged and is left out")
        return
    if content.startswith(b"Exif\0\0") and held.exif is None:
        held.exif = content
    elif content.startswith(b"8BIM"):
        held.photoshop = content
    elif content.startswith(b"\x1c"):
        held.photoshop = photoshop.of_iptc(content)
    elif keyword.endswith(b"xmp") and held.xmp is None:
        held.xmp = content
    elif keyword.endswith((b"icc", b"icm")) and held.icc is None:
        held.icc = content


def _inflated(packed: bytes, held: Held, what: str) -> bytes | None:
    """Its content, as long as that is not larger than what is kept."""
    try:
        content = zlib.decompressobj().decompress(packed, CAP + 1)
    except zlib.error:
        held.remarks.append(f"{what} is damaged and is left out")
        return None
    return content if held.fits(len(content), what) else None


def read_deep(image: PngImageFile, stream: BinaryIO, name: str) -> tuple[Pixels, str]:
    """16-bit colour (H, W, 3 or 4) as stored, and the mode."""
    if depth_and_colour(stream)[1] == 4:
        raise InputError(f"{name} is 16-bit grey with alpha: save it as 16-bit RGB or RGBA, or as 8 bit, first")
    pixels = read_samples(image, stream)
    key = image.info.get("transparency")
    if key is None:
        return pixels, image.mode
    alpha = np.where((pixels == np.array(key, np.uint16)).all(axis=2), 0, 65535).astype(np.uint16)
    return np.concatenate([pixels, alpha[..., None]], axis=2), "RGBA"


def read_samples(image: PngImageFile, stream: BinaryIO) -> NDArray[np.uint16]:
    """(H, W, 3 or 4) of a 16-bit colour PNG, both bytes of each sample.

    Pillow's decoder takes the higher byte of each big-endian sample ("RGB;16B"); given them as little-endian
    ("RGB;16L") it takes the byte that follows, which is the lower one. Two passes at C speed give both.
    """
    stream.seek(0)
    lower = PngImageFile(stream)
    lower.tile = [lower.tile[0]._replace(args=f"{image.mode};16L")]
    lower.load()
    image.load()
    samples = np.asarray(image).astype(np.uint16)
    samples <<= 8
    samples |= np.asarray(lower)
    return samples


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    chunks = [(kind, content) for kind, content in source.chunks if not (kind == b"sRGB" and source.icc)]
    if source.xmp is not None:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + source.xmp))
    if source.photoshop is not None:  # PNG's own place for IPTC is none; readers know this one
        digits = b"\niptc\n%8d\n" % len(source.photoshop) + source.photoshop.hex().encode() + b"\n"
        chunks.append((b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(digits)))
    remarks = no_place(source, "PNG", "extended", "comment", "extra")
    if pixels.dtype == np.uint16:
        before = [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(source.icc))] if source.icc else []
        before += chunks
        if source.aspect is not None:
            before.append((b"pHYs", struct.pack(">IIB", *source.aspect, 0)))
        if source.dpi is not None:
            metre = [round(value / 0.0254) for value in source.dpi]
            before.append((b"pHYs", struct.pack(">IIB", *metre, 1)))
        if source.exif:
            before.append((b"eXIf", source.exif))
        write_samples(stream, pixels, mode, before)
        return remarks
    words = common(source)
    words.pop("xmp", None)
    if source.aspect is not None:
        words["dpi"] = tuple(value * 0.0254 for value in source.aspect)
    info = PngInfo()
    for kind, content in chunks:
        info.add(kind, content)
    as_pil(pixels, mode, source.bilevel).save(stream, "PNG", pnginfo=info, **words)
    if source.aspect is not None:
        _without_unit(stream)
    return remarks


def _without_unit(stream: BinaryIO) -> None:
    """Take the metre from what the file says of its pixels, for which Pillow knows no other way."""
    stream.seek(len(SIGNATURE))
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"pHYs":
            at = stream.tell()
            content = stream.read(length)[:-1] + b"\0"
            stream.seek(at)
            stream.write(content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))
            break
        stream.seek(length + 4, 1)
    stream.seek(0, io.SEEK_END)


def write_samples(
    stream: BinaryIO, pixels: NDArray[np.uint16], mode: str, before: Sequence[tuple[bytes, bytes]], level: int = 6
) -> None:
    """Write (H, W, 1, 3 or 4) uint16 as a PNG; `before` are the chunks between header and pixels."""
    height, width = pixels.shape[:2]
    stream.write(SIGNATURE)
    _chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[mode], 0, 0, 0))
    for name, content in before:
        _chunk(stream, name, content)
    deflate = zlib.compressobj(level)
    for rows in _filtered(pixels):
        if content := deflate.compress(rows):
            _chunk(stream, b"IDAT", content)
    _chunk(stream, b"IDAT", deflate.flush())
    _chunk(stream, b"IEND", b"")


def _chunk(stream: BinaryIO, name: bytes, content: bytes) -> None:
    stream.write(struct.pack(">I", len(content)) + name + content)
    stream.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))


def _filtered(pixels: NDArray[np.uint16]) -> Iterator[bytes]:
    """The filter byte and the filtered bytes of each row, in blocks: Sub or Up, whichever leaves smaller residues."""
    height, width, channels = pixels.shape
    step = 2 * channels  # bytes per pixel
    block = max(1, BLOCK_BYTES // (width * step))
    above: NDArray[Any] = np.zeros((1, width * step), np.uint8)
    for top in range(0, height, block):
        raw = np.ascontiguousarray(pixels[top : top + block].astype(">u2")).view(np.uint8).reshape(-1, width * step)
        sub = raw.copy()
        sub[:, step:] -= raw[:, :-step]
        up = raw - np.concatenate([above, raw[:-1]])
        # residues are small around 0 modulo 256
        cost = [np.abs(part.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for part in (sub, up)]
        better = cost[1] < cost[0]
        rows = np.empty((len(raw), 1 + width * step), np.uint8)
        rows[:, 0] = np.where(better, 2, 1)
        rows[:, 1:] = np.where(better[:, None], up, sub)
        above = raw[-1:]
        yield rows.tobytes()

"""PNG at 16 bits per sample, which Pillow silently reads as 8 bit in colour and cannot write.

Layout: W3C PNG specification, third edition.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile, PngInfo

from retouche.errors import InputError
from retouche.pictures.source import Pixels, Source, as_pil, common

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {"L": 0, "RGB": 2, "RGBA": 6}
BLOCK_BYTES = 8 << 20  # rows are filtered and compressed in blocks of about this size

# Chunks that mean the same beside changed pixels: colour, physical size, words, time. EXIF and XMP are rewritten.
COLOUR_CHUNKS = (b"cHRM", b"gAMA", b"sBIT", b"sRGB", b"cICP")
WORD_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"tIME")


def depth_and_colour(stream: BinaryIO) -> tuple[int, int]:
    """Bits per sample and colour type (0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA), from the header."""
    stream.seek(0)
    head = stream.read(26)
    return head[24], head[25]


def kept_chunks(stream: BinaryIO) -> list[tuple[bytes, bytes]]:
    """(name, content) of the chunks worth keeping, in the file's order; XMP and EXIF written as words left out."""
    kept = []
    stream.seek(len(SIGNATURE))
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in COLOUR_CHUNKS + WORD_CHUNKS:
            content = stream.read(length)
            keyword = content.split(b"\0", 1)[0]
            embedded = keyword == b"XML:com.adobe.xmp" or keyword.startswith((b"Raw profile type", b"Thumb::"))
            if name not in WORD_CHUNKS or not embedded:
                kept.append((name, content))
            stream.seek(4, 1)
        else:
            stream.seek(length + 4, 1)
    return kept


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

    Pillow's decoder takes the higher byte of each big-endian sample ("RGB;16B"); told that they are little-endian
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


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> None:
    chunks = [(kind, content) for kind, content in source.chunks if not (kind == b"sRGB" and source.icc)]
    if source.xmp is not None:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + source.xmp))
    if pixels.dtype == np.uint16:
        before = [(b"iCCP", b"ICC Profile\0\0" + zlib.compress(source.icc))] if source.icc else []
        before += chunks
        if source.dpi is not None:
            metre = [round(value / 0.0254) for value in source.dpi]
            before.append((b"pHYs", struct.pack(">IIB", *metre, 1)))
        if source.exif:
            before.append((b"eXIf", source.exif))
        write_samples(stream, pixels, mode, before)
        return
    words = common(source)
    words.pop("xmp", None)
    info = PngInfo()
    for kind, content in chunks:
        info.add(kind, content)
    as_pil(pixels, mode, source.bilevel).save(stream, "PNG", pnginfo=info, **words)


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

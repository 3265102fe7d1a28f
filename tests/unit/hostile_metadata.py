"""Files made to take long: each function makes one of about `size` bytes, by format and by field."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from retouche.pictures import jpeg

SMALL = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))


def _plain(format: str) -> bytes:
    file = io.BytesIO()
    SMALL.save(file, format)
    return file.getvalue()


def _jpeg(*segments: bytes) -> bytes:
    whole = _plain("JPEG")
    return whole[:2] + b"".join(segments) + whole[2:]


def _pieces(marker: int, head: bytes, content: bytes, length: int = 60000) -> list[bytes]:
    return [jpeg._segment(marker, head + content[at : at + length]) for at in range(0, len(content), length)]


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(*chunks: bytes) -> bytes:
    whole = _plain("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def _webp(name: bytes, content: bytes) -> bytes:
    picture = _plain("WEBP")[12:]
    flags = {b"EXIF": 8, b"XMP ": 4, b"ICCP": 32}[name]
    head = b"VP8X" + struct.pack("<II", 10, flags) + struct.pack("<I", 7)[:3] + struct.pack("<I", 7)[:3]
    more = name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    body = b"WEBP" + head + (more + picture if name == b"ICCP" else picture + more)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff(*tags: tuple[int, int, bytes]) -> bytes:
    """(tag, kind, content) beside a small picture."""
    pixels = np.asarray(SMALL).tobytes()
    rows = {
        256: (3, 1, struct.pack("<I", 8)), 257: (3, 1, struct.pack("<I", 8)), 258: (3, 1, struct.pack("<I", 8)),
        259: (3, 1, struct.pack("<I", 1)), 262: (3, 1, struct.pack("<I", 1)), 273: (4, 1, struct.pack("<I", 8)),
        277: (3, 1, struct.pack("<I", 1)), 278: (3, 1, struct.pack("<I", 8)), 279: (4, 1, struct.pack("<I", 64)),
    }  # fmt: skip
    data = b"II*\0" + bytes(4) + pixels
    for tag, kind, content in tags:
        rows[tag] = (kind, len(content), struct.pack("<I", len(data)))
        data += content + bytes(len(content) % 2)
    directory = struct.pack("<H", len(rows))
    for tag, (kind, count, value) in sorted(rows.items()):
        directory += struct.pack("<HHI", tag, kind, count) + value
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory + bytes(4)


def exif_of_strips(size: int) -> bytes:
    """EXIF whose thumbnail is in thousands of strips, each over the rest of the block."""
    count = size // 8
    second = 8 + 2 + 4
    values = second + 2 + 2 * 12 + 4
    starts = struct.pack(f"<{count}I", *range(values, values + count))
    sizes = struct.pack(f"<{count}I", *([size] * count))
    directory = struct.pack("<HHHIIHHII", 2, 273, 4, count, values, 279, 4, count, values + len(starts))
    return b"II*\0" + struct.pack("<IHI", 8, 0, second) + directory + bytes(4) + starts + sizes


def exif_of_overlaps(size: int) -> bytes:
    """EXIF of as many entries as fit, each holding all of the rest."""
    count = min(size // 24, 60000)
    rest = size // 2
    rows = b"".join(struct.pack("<HHII", 5000 + number, 7, rest, 8) for number in range(count))
    return b"II*\0" + struct.pack("<IH", 8, count) + rows + bytes(4) + bytes(rest)


def exif_of_jpegs(size: int) -> bytes:
    """EXIF full of the beginnings of pictures."""
    return b"II*\0" + struct.pack("<IHI", 8, 0, 0) + b"\xff\xd8\xff\xe0" * (size // 4)


def tags_of_thumbnails(size: int) -> bytes:
    return b"<xmp:Thumbnails>" * (size // 16)


def attributes_of_images(size: int) -> bytes:
    return b" xmpGImg:image='\"" * (size // 17)


def extended(size: int) -> bytes:
    """A JPEG whose extended XMP comes in the smallest pieces."""
    content = tags_of_thumbnails(size // 50)
    name = hashlib.md5(content).hexdigest().upper().encode()
    pieces = [
        jpeg._segment(0xE1, jpeg.MORE_HEAD + name + struct.pack(">II", len(content), at) + content[at : at + 1])
        for at in range(len(content))
    ]
    packet = b'<x xmpNote:HasExtendedXMP="' + name + b'"/>'
    return _jpeg(jpeg._segment(0xE1, jpeg.XMP_HEAD + packet), *pieces)


def resources(size: int) -> bytes:
    return b"8BIM\x04\x04\0\0\0\0\0\0" * (size // 12)


def data_sets(size: int) -> bytes:
    iptc = b"\x1c\x02\x05\0\x01a" * (size // 6)
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "jpeg: exif in small pieces": lambda n: _jpeg(*_pieces(0xE1, jpeg.EXIF_HEAD, exif_of_jpegs(n // 12), 1)),
    "jpeg: exif of jpegs": lambda n: _jpeg(*_pieces(0xE1, jpeg.EXIF_HEAD, exif_of_jpegs(n))),
    "jpeg: exif of strips": lambda n: _jpeg(*_pieces(0xE1, jpeg.EXIF_HEAD, exif_of_strips(n))),
    "jpeg: exif of overlaps": lambda n: _jpeg(*_pieces(0xE1, jpeg.EXIF_HEAD, exif_of_overlaps(n))),
    "jpeg: xmp of tags": lambda n: _jpeg(*_pieces(0xE1, jpeg.XMP_HEAD, tags_of_thumbnails(n))),
    "jpeg: xmp of attributes": lambda n: _jpeg(*_pieces(0xE1, jpeg.XMP_HEAD, attributes_of_images(n))),
    "jpeg: extended xmp in small pieces": extended,
    "jpeg: photoshop resources": lambda n: _jpeg(*_pieces(0xED, jpeg.PHOTOSHOP_HEAD, resources(n))),
    "jpeg: iptc data sets": lambda n: _jpeg(*_pieces(0xED, jpeg.PHOTOSHOP_HEAD, data_sets(n))),
    "jpeg: photoshop in small pieces": lambda n: _jpeg(*_pieces(0xED, jpeg.PHOTOSHOP_HEAD, resources(n // 20), 1)),
    "jpeg: profile in small pieces": lambda n: _jpeg(*_pieces(0xE2, jpeg.ICC_HEAD, bytes(n // 18), 3)),
    "jpeg: comments": lambda n: _jpeg(*_pieces(0xFE, b"", bytes(n // 5), 1)),
    "jpeg: mpf": lambda n: _jpeg(*_pieces(0xE2, b"MPF\0", exif_of_overlaps(n))),
    "png: words": lambda n: _png(*[png_chunk(b"tEXt", b"Title\0%d" % k) for k in range(n // 24)]),
    "png: one long word": lambda n: _png(png_chunk(b"tEXt", b"Title\0" + b"a" * n)),
    "png: packed words": lambda n: _png(png_chunk(b"zTXt", b"T\0\0" + zlib.compress(bytes(n * 50), 1))),
    "png: xmp of tags": lambda n: _png(
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + tags_of_thumbnails(n))
    ),
    "png: packed xmp": lambda n: _png(
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(tags_of_thumbnails(n * 10)))
    ),
    "png: exif of strips": lambda n: _png(png_chunk(b"eXIf", exif_of_strips(n))),
    "png: exif of overlaps": lambda n: _png(png_chunk(b"eXIf", exif_of_overlaps(n))),
    "png: profile": lambda n: _png(png_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(n * 50), 1))),
    "png: raw profile": lambda n: _png(
        png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n1\n" + exif_of_jpegs(n // 2).hex().encode())
    ),
    "webp: xmp of tags": lambda n: _webp(b"XMP ", tags_of_thumbnails(n)),
    "webp: exif of strips": lambda n: _webp(b"EXIF", exif_of_strips(n)),
    "webp: exif of overlaps": lambda n: _webp(b"EXIF", exif_of_overlaps(n)),
    "tiff: xmp of tags": lambda n: _tiff((700, 1, tags_of_thumbnails(n))),
    "tiff: photoshop resources": lambda n: _tiff((34377, 1, resources(n))),
    "tiff: iptc": lambda n: _tiff((33723, 7, b"\x1c\x02\x05\0\x01a" * (n // 6))),
    "tiff: overlapping tags": exif_of_overlaps,
    "tiff: a long description": lambda n: _tiff((270, 2, b"a" * n)),
}  # fmt: skip

"""Picture files as they should not be: valid ones of every kind, what breaks them, and metadata that costs."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from PIL import Image, features

from retouche.errors import InputError
from retouche.pictures import Picture, decode, encode, open_picture
from retouche.pictures.pages import pages_of, rewrite

SIDE = (40, 56)  # rows and columns of the files that are broken
ODD = (0, 1, 2, 3, 4, 5, 8, 9, 16, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
"""Numbers at which readers stumble: sizes, counts, offsets."""


# Valid files --------------------------------------------------------------------------------------------------------


def pixels(mode: str, seed: int = 0) -> Image.Image:
    """A smooth picture with some noise in a mode of Pillow's."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[: SIDE[0], : SIDE[1]]
    planes = [128 + 90 * np.sin(x / (5 + n) + y / (9 - n)) + generator.normal(0, 4, SIDE) for n in range(4)]
    rgba = np.clip(np.dstack(planes), 0, 255).astype(np.uint8)
    return Image.fromarray(rgba).convert("RGB" if mode in {"CMYK", "YCbCr", "P", "1"} else mode).convert(mode)


def tags(thumbnail: bool = True) -> bytes:
    """An EXIF block with the directories that cameras write, thumbnail included."""
    small = io.BytesIO()
    pixels("RGB").resize((16, 12)).save(small, "JPEG")
    first = [(0x010F, 2, b"maker\0"), (0x0112, 3, struct.pack("<H", 6)), (0x011A, 5, struct.pack("<II", 300, 1))]
    inner = [
        (0x9003, 2, b"2024:01:02 03:04:05\0"),
        (0x829A, 5, struct.pack("<II", 1, 60)),
        (0x927C, 7, bytes(range(64))),
    ]
    place = [(0x0001, 2, b"N\0"), (0x0002, 5, struct.pack("<IIIIII", 48, 1, 8, 1, 0, 1))]
    parts = {"first": 8}
    parts["inner"] = parts["first"] + _length([*first, (0x8769, 4, bytes(4)), (0x8825, 4, bytes(4))])
    parts["place"] = parts["inner"] + _length(inner)
    parts["second"] = parts["place"] + _length(place)
    jpeg = small.getvalue()
    second = [(0x0103, 3, struct.pack("<H", 6)), (0x0201, 4, bytes(4)), (0x0202, 4, struct.pack("<I", len(jpeg)))]
    at = parts["second"] + _length(second)
    second[1] = (0x0201, 4, struct.pack("<I", at))
    first += [(0x8769, 4, struct.pack("<I", parts["inner"])), (0x8825, 4, struct.pack("<I", parts["place"]))]
    blocks = [
        directory(first, parts["first"], parts["second"] if thumbnail else 0),
        directory(inner, parts["inner"]),
        directory(place, parts["place"]),
        directory(second, parts["second"]) + jpeg if thumbnail else b"",
    ]
    return b"II*\0\x08\0\0\0" + b"".join(blocks)


_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8, 13: 4}


def directory(entries: list[tuple[int, int, bytes]], at: int, following: int = 0) -> bytes:
    """A TIFF directory of (tag, type, value), little-endian, for the place `at`; long values lie behind it."""
    rows, behind = [], b""
    end = at + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        count = len(value) // _SIZES[kind]
        if len(value) <= 4:
            rows.append(struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0"))
        else:
            rows.append(struct.pack("<HHII", tag, kind, count, end + len(behind)))
            behind += value + bytes(len(value) % 2)
    return struct.pack("<H", len(entries)) + b"".join(rows) + struct.pack("<I", following) + behind


def _length(entries: list[tuple[int, int, bytes]]) -> int:
    return len(directory(entries, 0))


XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="maker"/></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)


def valid() -> dict[str, bytes]:
    """A file of every format, mode and depth, and with every kind of metadata."""
    made: dict[str, bytes] = {}

    def save(name: str, mode: str, format: str, **words: object) -> None:
        stream = io.BytesIO()
        try:
            pixels(mode).save(stream, format, **words)
        except (OSError, KeyError, ValueError, TypeError):  # this Pillow does not write it
            return
        made[name] = stream.getvalue()

    exif, icc = b"Exif\0\0" + tags(), icc_profile()
    for mode in ("L", "RGB", "CMYK", "YCbCr"):
        save(f"{mode}.jpg", mode, "JPEG", quality=80, exif=exif, icc_profile=icc, comment=b"a comment")
    save("progressive.jpg", "RGB", "JPEG", progressive=True, subsampling=2, dpi=(72, 72))
    save("mpo.jpg", "RGB", "MPO", save_all=True, append_images=[pixels("RGB", 1)])
    made["full.jpg"] = with_segments(
        made["RGB.jpg"],
        [
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
            (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 9, 0) + b"<x></x>  "),
            (0xED, b"Photoshop 3.0\0" + photoshop(4)),
            (0xE2, b"MPF\0" + tags(thumbnail=False)),
            (0xFE, b"another"),
        ],
    )
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        save(f"{mode}.png", mode, "PNG", exif=tags(), icc_profile=icc, dpi=(300, 300))
    save("transparent.png", "P", "PNG", transparency=3)
    save("key.png", "RGB", "PNG", transparency=(1, 2, 3))
    for mode in ("RGB", "RGBA"):
        save(f"{mode}.webp", mode, "WEBP", exif=exif, icc_profile=icc, xmp=XMP, quality=70)
        save(f"{mode}-lossless.webp", mode, "WEBP", lossless=True)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"):
        save(f"{mode}.tif", mode, "TIFF", icc_profile=icc, dpi=(300, 300))
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        save(f"{packing}.tif", "RGB", "TIFF", compression=packing)
    save("group4.tif", "1", "TIFF", compression="group4")
    save("pages.tif", "RGB", "TIFF", save_all=True, append_images=[pixels("RGB", 1)])
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        save(f"{mode}.bmp", mode, "BMP")
    save("P.gif", "P", "GIF")
    save("frames.gif", "P", "GIF", save_all=True, append_images=[pixels("P", 1)])
    if features.check("avif"):
        for mode in ("RGB", "RGBA"):
            save(f"{mode}.avif", mode, "AVIF", exif=exif, icc_profile=icc, xmp=XMP)
    deep = np.random.default_rng(0).integers(0, 65536, (*SIDE, 4), np.uint16)
    for kind, package in (("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")):  # the extra `formats`
        if find_spec(package) is not None:
            for source in ("RGB.jpg", "RGBA.png", "RGB.webp"):
                made[f"{source[:-4]}.{kind.lower()}"] = encode(decode(made[source]), kind)
    made["tags.tif"] = encode(decode(made["RGB.jpg"]), "TIFF")
    for kind in ("PNG", "TIFF"):
        for channels in (1, 3, 4):
            made[f"deep{channels}.{kind.lower()}"] = encode(open_picture(deep[..., :channels]), kind)
    return made


def icc_profile(size: int = 0) -> bytes:
    """sRGB, longer by `size` bytes."""
    from PIL import ImageCms

    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(size)
    return struct.pack(">I", len(data)) + data[4:]


def photoshop(blocks: int, length: int = 10) -> bytes:
    """Photoshop's image resources: captions, previews and others by turns."""
    kinds = (0x0404, 0x040C, 0x03ED, 0x0425)
    return b"".join(
        b"8BIM" + struct.pack(">HH", kinds[number % 4], 0) + struct.pack(">I", length) + bytes(length + length % 2)
        for number in range(blocks)
    )


# Parts of files, with their checksums and lengths repaired ----------------------------------------------------------


def with_segments(jpeg: bytes, segments: list[tuple[int, bytes]]) -> bytes:
    """A JPEG with further segments behind its start."""
    return jpeg[:2] + b"".join(segment(kind, content) for kind, content in segments) + jpeg[2:]


def segment(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", min(len(content) + 2, 65535)) + content[:65533]


def segments_of(jpeg: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Marker segments up to the scan, and the rest."""
    found, at = [], 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != 0xDA:
        length = struct.unpack(">H", jpeg[at + 2 : at + 4])[0]
        found.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, jpeg[at:]


def chunk(name: bytes, content: bytes) -> bytes:
    """A PNG chunk with the right checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at + 12 <= len(png):
        length = struct.unpack(">I", png[at : at + 4])[0]
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def riff_chunks_of(webp: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at + 8 <= len(webp):
        length = struct.unpack("<I", webp[at + 4 : at + 8])[0]
        found.append((webp[at : at + 4], webp[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def riff_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


# What breaks them ---------------------------------------------------------------------------------------------------


def flipped(rng: random.Random, data: bytes) -> bytes:
    """Some bytes changed, mostly among the first."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        reach = min(len(made), rng.choice((40, 400, len(made))))
        made[rng.randrange(reach)] = rng.choice((rng.randrange(256), 0, 255))
    return bytes(made)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end, or a piece of the middle, is gone or there twice."""
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((1, 2, 16, 200, len(data))))
    return rng.choice((data[:start], data[:start] + data[stop:], data[:stop] + data[start:]))


def spliced(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """Pieces of another file in this one."""
    other = rng.choice(others)
    at, start = rng.randrange(len(data)), rng.randrange(len(other))
    piece = other[start : start + rng.choice((4, 30, 300, len(other)))]
    return data[:at] + piece + data[at + rng.choice((0, len(piece))) :]


def retagged(rng: random.Random, data: bytes) -> bytes:
    """A field of the metadata changed, with lengths and checksums repaired."""
    if data.startswith(b"\x89PNG"):
        return png_of(_shuffled(rng, chunks_of(data), (b"tEXt", b"iCCP", b"eXIf", b"tRNS", b"pHYs", b"PLTE", b"IHDR")))
    if data.startswith(b"RIFF"):
        return riff_of(_shuffled(rng, riff_chunks_of(data), (b"EXIF", b"XMP ", b"ICCP", b"ALPH", b"VP8X", b"ANIM")))
    if data.startswith(b"\xff\xd8"):
        segments, rest = segments_of(data)
        return data[:2] + b"".join(segment(*each) for each in _shuffled(rng, segments, (0xE1, 0xE2, 0xED, 0xDB))) + rest
    if data[:2] in (b"II", b"MM"):
        return edited_directory(rng, data)
    return flipped(rng, data[:60]) + data[60:]


def _shuffled(rng: random.Random, parts: list, kinds: tuple) -> list:
    """One part changed, doubled, moved, renamed, emptied or left out."""
    parts = list(parts) or [(kinds[0], b"")]
    at = rng.randrange(len(parts))
    kind, content = parts[at]
    way = rng.randrange(8)
    if way == 0:
        parts.insert(rng.randrange(len(parts) + 1), (kind, content))
    elif way == 1:
        del parts[at]
    elif way == 2:
        parts[at] = (rng.choice(kinds), content)
    elif way == 3:
        parts[at] = (kind, content[: rng.randrange(len(content) + 1)])
    elif way == 4:
        parts[at] = (kind, content + bytes(rng.choice((1, 100, 5000))))
    elif way == 5 and kind in (b"iCCP", b"zTXt", b"IDAT", b"iTXt"):
        parts[at] = (kind, _unpacked_and_changed(rng, content))
    elif content:
        start = next((place for place in (content.find(b"II*\0"), content.find(b"MM\0*")) if place >= 0), None)
        if start is not None and rng.random() < 0.7:
            parts[at] = (kind, content[:start] + edited_directory(rng, content[start:]))
        else:
            parts[at] = (kind, flipped(rng, content))
    return parts


def _unpacked_and_changed(rng: random.Random, content: bytes) -> bytes:
    at = content.find(b"\x78")  # zlib's first byte
    try:
        inside = zlib.decompress(content[max(at, 0) :])
    except zlib.error:
        return flipped(rng, content) if content else b""
    return content[: max(at, 0)] + zlib.compress(flipped(rng, inside) if inside else b"x")


def edited_directory(rng: random.Random, data: bytes) -> bytes:
    """A TIFF block with a field of one of its directories set to an odd number, or pointing to itself."""
    made = bytearray(data)
    order = "<" if data[:2] == b"II" else ">"
    places = [at for at, _ in _directories(data, order)] or [8]
    at = rng.choice(places)
    if at + 2 > len(made):
        return flipped(rng, data)
    count = struct.unpack(order + "H", made[at : at + 2])[0]
    entry = at + 2 + 12 * rng.randrange(max(1, min(count, 200)))
    number = rng.choice((*ODD, *places, entry, len(data), len(data) - 1, rng.randrange(2**32)))
    field, layout = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (-2, "H"), (12 * count, "I")))
    place = at if field == -2 else at + 2 + field if field == 12 * count else entry + field
    packed = struct.pack(order + layout, number % (65536 if layout == "H" else 2**32))
    made[place : place + len(packed)] = packed
    return bytes(made)


def _directories(data: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of the directories of a sound TIFF block."""
    waiting = [struct.unpack(order + "I", data[4:8])[0]] if len(data) >= 8 else []
    seen: set[int] = set()
    while waiting and len(seen) < 20:
        at = waiting.pop()
        if at in seen or not 8 <= at <= len(data) - 2:
            continue
        seen.add(at)
        count = struct.unpack(order + "H", data[at : at + 2])[0]
        yield at, count
        for place in range(at + 2, min(at + 2 + 12 * count, len(data) - 12), 12):
            tag, _, _, value = struct.unpack(order + "HHII", data[place : place + 12])
            if tag in (0x8769, 0x8825, 0xA005):
                waiting.append(value)
        end = at + 2 + 12 * count
        if end + 4 <= len(data):
            waiting.append(struct.unpack(order + "I", data[end : end + 4])[0])


# Metadata made to take forever --------------------------------------------------------------------------------------


def _jpeg(segments: list[tuple[int, bytes]]) -> bytes:
    stream = io.BytesIO()
    pixels("RGB").save(stream, "JPEG")
    return with_segments(stream.getvalue(), segments)


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    stream = io.BytesIO()
    pixels("RGB").save(stream, "PNG")
    first, *rest = chunks_of(stream.getvalue())
    return png_of([first, *chunks, *rest])


def _webp(chunks: list[tuple[bytes, bytes]]) -> bytes:
    stream = io.BytesIO()
    pixels("RGB").save(stream, "WEBP", exif=b"Exif\0\0" + tags(), xmp=XMP)
    kept = [each for each in riff_chunks_of(stream.getvalue()) if each[0] not in (b"EXIF", b"XMP ")]
    return riff_of([*kept, *chunks])


def _tiff(entries: list[tuple[int, int, bytes]]) -> bytes:
    """An uncompressed RGB TIFF with further entries in its directory."""
    image = pixels("RGB").tobytes()
    rows, columns = SIDE
    own = [
        (256, 4, struct.pack("<I", columns)),
        (257, 4, struct.pack("<I", rows)),
        (258, 3, struct.pack("<HHH", 8, 8, 8)),
        (259, 3, struct.pack("<H", 1)),
        (262, 3, struct.pack("<H", 2)),
        (273, 4, struct.pack("<I", 8)),
        (277, 3, struct.pack("<H", 3)),
        (278, 4, struct.pack("<I", rows)),
        (279, 4, struct.pack("<I", len(image))),
    ]
    there = {tag for tag, _, _ in entries}
    table = sorted([*(each for each in own if each[0] not in there), *entries], key=lambda each: each[0])
    at = 8 + len(image)
    return b"II*\0" + struct.pack("<I", at) + image + directory(table, at)


def _many(length: int, make: Callable[[int], bytes]) -> bytes:
    """So many bytes of something repeated."""
    parts: list[bytes] = []
    total = 0
    while total < length:
        parts.append(make(len(parts)))
        total += len(parts[-1])
    return b"".join(parts)


def _exif(entries: list[tuple[int, int, bytes]]) -> bytes:
    return b"II*\0\x08\0\0\0" + directory(entries, 8)


def _strips(length: int) -> bytes:
    """EXIF whose thumbnail lies in thousands of strips."""
    count = max(1, length // 8)
    at = 8 + _length([])
    offsets = struct.pack(f"<{count}I", *range(count))
    second = [(0x0111, 4, offsets), (0x0117, 4, struct.pack(f"<{count}I", *([1] * count)))]
    return b"II*\0\x08\0\0\0" + directory([], 8, at) + directory(second, at)


def _loop(length: int) -> bytes:
    """Directories, each of which points to the next and the last to the first."""
    count = max(1, length // 18)
    step = len(directory([(0x8769, 4, bytes(4))], 0))
    rows = [
        directory(
            [(0x8769, 4, struct.pack("<I", 8 + step * ((n + 1) % count)))], 8 + step * n, 8 + step * ((n + 7) % count)
        )
        for n in range(count)
    ]
    return b"II*\0\x08\0\0\0" + b"".join(rows)


def _deep_tags(length: int) -> bytes:
    entries = [(0x9000 + number % 0x6000, 2, b"value %d\0" % number) for number in range(max(1, length // 24))]
    return _exif(entries[:65000])


def _in_app1(content: bytes, head: bytes = b"Exif\0\0") -> list[tuple[int, bytes]]:
    return [(0xE1, head + content)]


_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
XMP_TEXTS: dict[str, Callable[[int], bytes]] = {
    "start tags": lambda length: _many(length, lambda n: b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>"),
    "open brackets": lambda length: b"<" * length,
    "quotes": lambda length: b'<rdf:Description a="' * (length // 20),
    "thumbnails": lambda length: _many(length, lambda n: b"<xmp:Thumbnails><rdf:Alt>"),
    "packets": lambda length: _many(length, lambda n: b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'),
    "attributes": lambda length: b"<rdf:Description " + _many(length, lambda n: b'a%d="GainMap" ' % n) + b"/>",
    "nested": lambda length: b"<rdf:li>" * (length // 17) + b"</rdf:li>" * (length // 17),
    "spaces": lambda length: b"<x:xmpmeta" + b" " * length,
    "nothing but zeros": bytes,
    "comments": lambda length: _many(length, lambda n: b"<!-- "),
    "entities": lambda length: (
        b"<!DOCTYPE x [" + _many(length, lambda n: b'<!ENTITY a%d "&a%d;&a%d;">' % (n + 1, n, n)) + b"]><x>&a9;</x>"
    ),
    "orientations": lambda length: _many(length, lambda n: b'tiff:Orientation="6" '),
}


def _around(
    text: Callable[[int], bytes], packet: Callable[[bytes], bytes], most: int = 2**31
) -> Callable[[int], bytes]:
    """A file around a text of so many bytes, or of the most that its packet holds."""
    return lambda length: packet(text(min(length, most)))


HOSTILE: dict[str, Callable[[int], bytes]] = {
    **{
        f"jpeg xmp {name}": _around(text, lambda made: _jpeg([(0xE1, _XMP_HEAD + made)]), 65000)
        for name, text in XMP_TEXTS.items()
    },
    **{
        f"png xmp {name}": _around(text, lambda made: _png([(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + made)]))
        for name, text in XMP_TEXTS.items()
    },
    **{f"webp xmp {name}": _around(text, lambda made: _webp([(b"XMP ", made)])) for name, text in XMP_TEXTS.items()},
    **{f"tiff xmp {name}": _around(text, lambda made: _tiff([(700, 1, made)])) for name, text in XMP_TEXTS.items()},
    "jpeg exif strips": lambda length: _jpeg(_in_app1(_strips(min(length, 65000)))),
    "jpeg exif entries": lambda length: _jpeg(_in_app1(_deep_tags(min(length, 65000)))),
    "jpeg exif loop": lambda length: _jpeg(_in_app1(_loop(min(length, 65000)))),
    "png exif strips": lambda length: _png([(b"eXIf", _strips(length))]),
    "png exif entries": lambda length: _png([(b"eXIf", _deep_tags(length))]),
    "png exif loop": lambda length: _png([(b"eXIf", _loop(length))]),
    "webp exif strips": lambda length: _webp([(b"EXIF", _strips(length))]),
    "webp exif entries": lambda length: _webp([(b"EXIF", _deep_tags(length))]),
    "webp exif loop": lambda length: _webp([(b"EXIF", _loop(length))]),
    "tiff entries": lambda length: _tiff([(40000 + n, 2, b"value\0") for n in range(min(length // 18, 20000))]),
    "tiff strips": lambda length: _tiff(
        [
            (273, 4, struct.pack("<I", 8) * (length // 8)),
            (279, 4, struct.pack("<I", 3 * SIDE[1]) * (length // 8)),
            (278, 4, struct.pack("<I", 1)),
        ]
    ),
    "tiff photoshop": lambda length: _tiff([(34377, 1, photoshop(length // 22))]),
    "tiff iptc": lambda length: _tiff([(33723, 1, b"\x1c\x02\x05\0\0" * (length // 5))]),
    "jpeg comments": lambda length: _jpeg([(0xFE, b"c")] * (length // 5)),
    "jpeg application segments": lambda length: _jpeg([(0xE3 + n % 9, b"s%d" % n) for n in range(length // 8)]),
    "jpeg photoshop": lambda length: _jpeg([(0xED, b"Photoshop 3.0\0" + photoshop(length // 22)[:65000])]),
    "jpeg photoshop in pieces": lambda length: _jpeg([(0xED, b"Photoshop 3.0\0" + photoshop(1))] * (length // 40)),
    "jpeg profile in pieces": lambda length: _jpeg(
        [(0xE2, b"ICC_PROFILE\0" + bytes([n % 255 + 1, 255]) + b"x") for n in range(length // 20)]
    ),
    "jpeg extended xmp": lambda length: _jpeg(
        [
            (0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", 2**31, 40 * n) + b"y" * 40)
            for n in range(length // 120)
        ]
    ),
    "jpeg pictures (MPF)": lambda length: _jpeg(
        [
            (
                0xE2,
                b"MPF\0"
                + _exif(
                    [
                        (0xB000, 7, b"0100"),
                        (0xB001, 4, struct.pack("<I", length // 16)),
                        (0xB002, 7, bytes(min(length, 60000))),
                    ]
                ),
            )
        ]
    ),
    "png texts": lambda length: _png([(b"tEXt", b"key\0value")] * (length // 21)),
    "png packed texts": lambda length: _png([(b"zTXt", b"key\0\0" + zlib.compress(bytes(1 << 16)))] * (length // 120)),
    "png text bomb": lambda length: _png(
        [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(200 * length), 9))]
    ),
    "png profile bomb": lambda length: _png([(b"iCCP", b"icc\0\0" + zlib.compress(bytes(200 * length), 9))]),
    "png long profile": lambda length: _png([(b"iCCP", b"icc\0\0" + zlib.compress(icc_profile(length)))]),
    "png empty data": lambda length: _png([(b"IDAT", b"")] * (length // 12)),
    "png unknown": lambda length: _png([(b"abCd", b"")] * (length // 12)),
    "webp unknown": lambda length: _webp([(b"abcd", b"")] * (length // 8)),
    "bmp palette": lambda length: (
        struct.pack("<2sIHHI", b"BM", 54 + length, 0, 0, 54 + length)
        + struct.pack("<IiiHHIIiiII", 40, 9, 9, 1, 8, 0, 0, 0, 0, length // 4, 0)
        + bytes(length + 108)
    ),
    "gif frames": lambda length: _gif(length),
}
"""Name -> a file of about so many bytes whose metadata, not its pixels, is what costs."""


def _gif(length: int) -> bytes:
    stream = io.BytesIO()
    Image.new("P", (2, 2)).save(stream, "GIF", save_all=True, append_images=[Image.new("P", (2, 2), 1)])
    data = stream.getvalue()
    at = data.rfind(b"!\xf9")
    frame = data[at:-1]
    return data[:-1] + frame * (length // max(1, len(frame))) + data[-1:]


def generated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many broken files, each with a word for how it was made; the same seed makes the same files."""
    rng = random.Random(seed)
    files = valid()
    names, others = sorted(files), list(files.values())
    hostile = sorted(HOSTILE)
    for number in range(count):
        if number % 5 == 4:
            name = hostile[(number // 5) % len(hostile)]
            yield f"{number}: {name}", HOSTILE[name](rng.choice((500, 4000, 30_000, 60_000, 250_000)))
            continue
        name = names[number % len(names)]
        data = files[name]
        ways = []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            way: Any = rng.choice((flipped, cut, spliced, retagged, retagged))
            ways.append(way.__name__)
            changed = spliced(rng, data, others) if way is spliced else way(rng, data)
            data = changed or data
        yield f"{number}: {name} {' '.join(ways)}", data


def _blotted(number: int, picture: Picture) -> Picture:
    """A page with a fill in its corner."""
    filled = picture.copy()
    filled.pixels[:9, :9] = filled.pixels[:9, :9][::-1]
    return filled


def passed(name: str, data: bytes, max_pixels: int) -> str:
    """Decode and encode one file, and its pages where it has several: "kept", or the refusal.

    What is read must be written, and read again the same.

    Raises: whatever is no `InputError`; AssertionError where a lossless format gave something else back
    """
    try:
        if (pages := pages_of(data, name, max_pixels)) is not None:
            rewrite(pages, range(0, pages.count, 2), _blotted)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 400, str(error)
    try:
        picture = decode(data, name, max_pixels)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 400, str(error)
        return str(error)
    said = "kept"
    for kind in dict.fromkeys((picture.source.format or "PNG", "PNG")):
        try:
            again = decode(encode(picture, kind), name, max_pixels)
        except InputError as error:
            said = f"{kind}: {error}"
            continue
        assert (again.height, again.width) == (picture.height, picture.width), kind
        if kind == "PNG" and picture.mode == again.mode and picture.pixels.dtype == again.pixels.dtype:
            assert np.array_equal(again.pixels, picture.pixels), kind
    return said

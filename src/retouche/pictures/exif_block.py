"""EXIF made upright, with its thumbnail remade.

EXIF is edited in place of being parsed and written anew: makers' notes hold offsets that survive only so.
Layout: CIPA DC-008 (Exif 2.32), TIFF 6.0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from PIL import Image

EXIF_LIMIT = 65533 - 6  # bytes: what one JPEG segment can hold beside its length and the words "Exif\0\0"
ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY = 274, 34665, 34853
PIXEL_WIDTH, PIXEL_HEIGHT, INTEROPERABILITY = 40962, 40963, 40965
THUMBNAIL_AT, THUMBNAIL_BYTES = 513, 514
STRIPS_AT, STRIPS_BYTES = 273, 279
WIDTH, HEIGHT = 256, 257
X_RESOLUTION, Y_RESOLUTION = 282, 283
SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # bytes of a value by its kind
MOST_ENTRIES = 1000  # of a directory; cameras write less than a hundred

# Tags of a TIFF directory that describe the picture rather than how its pixels lie in the file: document name,
# description, make, model, page name, software, date, artist, host, copyright.
DESCRIPTIVE = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)

_JPEG = re.compile(rb"\xff\xd8\xff[\xc0-\xfe].*?(?:\xff\xd9|\Z)", re.DOTALL)


class _Entry(NamedTuple):
    kind: int
    values: int
    field: int  # where the four bytes of the value, or of its offset, stand


class _Directory(NamedTuple):
    entries: dict[int, _Entry]
    start: int
    next_at: int  # where the offset of the next directory stands


class DamagedExif(ValueError):
    """The EXIF block contradicts itself; the caller drops it with a remark."""


def bare(exif: bytes) -> bytes:
    """Without the words "Exif\\0\\0" that some formats put in front."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    return exif


def orientation(exif: bytes) -> int:
    """1..8, how the stored pixels lie; 1 where not given. Raises DamagedExif."""
    order, first = _first(exif)
    entry = first.entries.get(ORIENTATION)
    value = _numbers(exif, order, entry)[0] if entry else 1
    return value if 1 <= value <= 8 else 1


def check(exif: bytes) -> None:
    """Refuse blocks that others would take long over: values that overlap many times, directories without end.

    Raises: DamagedExif
    """
    order, first = _first(exif)
    starts = [_numbers(exif, order, first.entries[tag])[0] for tag in (EXIF_DIRECTORY, GPS_DIRECTORY)
              if tag in first.entries]  # fmt: skip
    (following,) = struct.unpack_from(order + "I", exif, first.next_at)
    directories = [first, *(_directory(exif, order, start) for start in [*starts, following] if start)]
    total = sum(SIZES.get(entry.kind, 1) * entry.values for one in directories for entry in one.entries.values())
    if total > 2 * len(exif):
        raise DamagedExif("its values overlap")


def upright(exif: bytes) -> bytes:
    """The same EXIF for pixels that have been turned: orientation 1, width and height, and the resolutions
    of both, exchanged where they were.

    Raises: DamagedExif
    """
    order, first = _first(exif)
    turned = orientation(exif)
    data = bytearray(exif)
    if ORIENTATION in first.entries:
        entry = first.entries[ORIENTATION]
        struct.pack_into(order + ("H" if entry.kind == 3 else "I"), data, entry.field, 1)
    inner = first.entries.get(EXIF_DIRECTORY)
    if turned >= 5:
        _exchange(data, first, X_RESOLUTION, Y_RESOLUTION)
        if inner:
            _exchange(data, _directory(exif, order, _numbers(exif, order, inner)[0]), PIXEL_WIDTH, PIXEL_HEIGHT)
    return bytes(data)


def resized(exif: bytes, width: int, height: int) -> bytes:
    """The same EXIF for a picture of another size: the numbers of pixels it states, where it does, become these.

    Raises: DamagedExif
    """
    order, first = _first(exif)
    inner = first.entries.get(EXIF_DIRECTORY)
    if inner is None:
        return exif
    data = bytearray(exif)
    directory = _directory(exif, order, _numbers(exif, order, inner)[0])
    for tag, pixels in ((PIXEL_WIDTH, width), (PIXEL_HEIGHT, height)):
        entry = directory.entries.get(tag)
        if (
            entry is not None
            and entry.values == 1
            and entry.kind in (3, 4)
            and not (entry.kind == 3 and pixels > 65535)
        ):
            struct.pack_into(order + ("H" if entry.kind == 3 else "I"), data, entry.field, pixels)
    return bytes(data)


def _exchange(data: bytearray, directory: _Directory, across: int, down: int) -> None:
    """Exchange what two tags say, in place, where both are there."""
    first, second = directory.entries.get(across), directory.entries.get(down)
    if first and second and first.kind == second.kind:
        a, b = first.field, second.field
        data[a : a + 4], data[b : b + 4] = data[b : b + 4], data[a : a + 4]


def with_thumbnail(exif: bytes, make: Callable[[int, int], bytes], side_of: Callable[[bytes], int]) -> bytes:
    """EXIF whose thumbnail, if it has one, is a new one; the old one and other embedded JPEGs are overwritten with 0.

    Args:
        exif: from "II" or "MM" on
        make: (longest side in pixels, JPEG quality) -> the new thumbnail as JPEG
        side_of: the old thumbnail's bytes -> its longest side in pixels

    Raises: DamagedExif
    """
    order, first = _first(exif)
    (second_at,) = struct.unpack_from(order + "I", exif, first.next_at)
    data = bytearray(exif)
    if not second_at:
        return bytes(_without_jpegs(data))
    second = _directory(exif, order, second_at)
    spans = [span for tags in ((THUMBNAIL_AT, THUMBNAIL_BYTES), (STRIPS_AT, STRIPS_BYTES))
             for span in _spans(exif, order, second.entries, *tags)]  # fmt: skip
    side = max((side_of(exif[start:end]) for start, end in spans[:1]), default=0)
    if not side:
        sizes = [_numbers(exif, order, second.entries[tag])[0] for tag in (WIDTH, HEIGHT) if tag in second.entries]
        side = max(sizes, default=160)
    end_of_data = len(data)
    for start, end in reversed(_merged([*spans, (second.start, second.next_at + 4)])):
        data[start:end] = bytes(end - start)
        if end_of_data - end in (0, 1) and start >= first.next_at + 4:
            end_of_data = start  # what stood at the end goes
    del data[end_of_data:]
    struct.pack_into(order + "I", data, first.next_at, 0)
    data = _without_jpegs(data)
    data += bytes(len(data) % 2)
    for quality in (85, 70, 50, 30):
        thumbnail = make(min(max(side, 16), 512), quality)
        directory = _thumbnail_directory(order, len(data), len(thumbnail))
        if len(data) + len(directory) + len(thumbnail) <= EXIF_LIMIT:
            struct.pack_into(order + "I", data, first.next_at, len(data))
            return bytes(data + directory + thumbnail)
    return bytes(data)  # none fits: better no thumbnail than the old one


def from_tags(exif: Image.Exif) -> bytes | None:
    """An EXIF block of what Pillow read from a TIFF's tags, without those that say how the pixels lie in the file."""
    kept = Image.Exif()
    for tag in (*DESCRIPTIVE, ORIENTATION):
        if tag in exif:
            kept[tag] = exif[tag]
    for tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
        inner = _inner(exif, tag)
        if inner:
            kept[tag] = inner
    return bare(kept.tobytes()) if len(kept) else None


def tiff_tags(exif: bytes) -> dict[int, Any]:
    """The descriptive tags of an EXIF block, for the directory of a TIFF."""
    read = Image.Exif()
    read.load(exif)
    tags: dict[int, Any] = {tag: read[tag] for tag in DESCRIPTIVE if tag in read}
    for tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
        inner = _inner(read, tag)
        if inner:
            tags[tag] = inner
    return tags


def _inner(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """A directory inside EXIF, without the offset of another one inside it."""
    return {key: value for key, value in exif.get_ifd(tag).items() if key != INTEROPERABILITY}


def _first(exif: bytes) -> tuple[str, _Directory]:
    """Byte order for `struct`, and the first directory."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        raise DamagedExif("no TIFF header")
    if len(exif) < 8:
        raise DamagedExif("ends in its header")
    return order, _directory(exif, order, struct.unpack_from(order + "I", exif, 4)[0])


def _directory(exif: bytes, order: str, start: int) -> _Directory:
    try:
        (count,) = struct.unpack_from(order + "H", exif, start)
        if count > MOST_ENTRIES:
            raise DamagedExif(f"a directory of {count} entries")
        entries = {}
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", exif, at)
            entries[tag] = _Entry(kind, values, at + 8)
        next_at = start + 2 + 12 * count
        struct.unpack_from(order + "I", exif, next_at)
    except struct.error as error:
        raise DamagedExif("a directory lies outside") from error
    return _Directory(entries, start, next_at)


def _numbers(exif: bytes, order: str, entry: _Entry) -> list[int]:
    """The whole numbers of an entry, at least one."""
    letter = {1: "B", 3: "H", 4: "I", 13: "I"}.get(entry.kind)
    if letter is None or not 0 < entry.values <= 65536:
        raise DamagedExif("a number is none")
    at = entry.field
    try:
        if struct.calcsize(letter) * entry.values > 4:
            (at,) = struct.unpack_from(order + "I", exif, at)
        return list(struct.unpack_from(f"{order}{entry.values}{letter}", exif, at))
    except struct.error as error:
        raise DamagedExif("a value lies outside") from error


def _spans(exif: bytes, order: str, entries: dict[int, _Entry], at: int, size: int) -> list[tuple[int, int]]:
    """The byte ranges (start, end) that two tags name, cut to the block."""
    if at not in entries or size not in entries:
        return []
    starts, sizes = _numbers(exif, order, entries[at]), _numbers(exif, order, entries[size])
    return [(start, min(start + length, len(exif))) for start, length in zip(starts, sizes, strict=False)
            if 8 <= start < len(exif)]  # fmt: skip


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes as ranges in order that do not touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without_jpegs(data: bytearray) -> bytearray:
    """Embedded JPEGs (previews in makers' notes) overwritten with 0; nothing moves."""
    return bytearray(_JPEG.sub(lambda found: bytes(len(found.group())), data))


def _thumbnail_directory(order: str, at: int, length: int) -> bytes:
    """A directory at offset `at` for a JPEG thumbnail of 72 dpi that follows it."""
    rows = 6
    values = at + 2 + 12 * rows + 4
    resolution = struct.pack(order + "IIII", 72, 1, 72, 1)
    short, whole, ratio = 3, 4, 5
    table = (
        (259, short, struct.pack(order + "HH", 6, 0)),  # compression: JPEG
        (282, ratio, struct.pack(order + "I", values)),
        (283, ratio, struct.pack(order + "I", values + 8)),
        (296, short, struct.pack(order + "HH", 2, 0)),  # inches
        (THUMBNAIL_AT, whole, struct.pack(order + "I", values + len(resolution))),
        (THUMBNAIL_BYTES, whole, struct.pack(order + "I", length)),
    )
    assert len(table) == rows
    rows_bytes = b"".join(struct.pack(order + "HHI", tag, kind, 1) + value for tag, kind, value in table)
    return struct.pack(order + "H", rows) + rows_bytes + struct.pack(order + "I", 0) + resolution

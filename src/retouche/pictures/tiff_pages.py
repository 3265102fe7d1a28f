"""TIFF, page by page: the directories of filled pages are replaced, all other bytes stay where they are.

What a filled page held is overwritten: with what takes its place, or with zeros, for it would show what was removed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from retouche.errors import InputError
from retouche.pictures import tiff
from retouche.pictures.decoding import decode
from retouche.pictures.picture import Picture
from retouche.pictures.segments import Overlaid

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_PAGES = 65536
_UNITS = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 4, 10: 4, 12: 8, 16: 8, 17: 8, 18: 8}  # bytes that are turned
_SIZES = {**_UNITS, 5: 8, 10: 8}
_DATA = {273: 279, 324: 325, 513: 514}  # tag of places -> tag of lengths
_DIRECTORIES = (330, 400, 34665, 34853, 40965)
_CARRIED = (254, 255, 285, 297)  # what a page is called and counted
_LONG, _LONG8 = 4, 16

Span = tuple[int, int]


@dataclass(frozen=True)
class _Shape:
    """How a file's directories are laid out: byte order, and whether its places have eight bytes (BigTIFF)."""

    order: Literal["<", ">"]
    big: bool

    @property
    def place(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def inline(self) -> int:
        return 8 if self.big else 4

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def row(self) -> str:
        return self.order + ("HHQ" if self.big else "HHI")


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    value: bytes
    span: Span | None  # of a value that lies elsewhere


@dataclass(frozen=True)
class _Directory:
    span: Span
    entries: dict[int, _Entry]
    link: int  # where the place of the next one is written
    next: int


def _shape(content: bytes) -> _Shape:
    return _Shape("<" if content[:2] == b"II" else ">", content[2:4] in (b"+\0", b"\0+"))


def _directory(content: bytes | bytearray, shape: _Shape, at: int) -> _Directory:
    (count,) = struct.unpack_from(shape.count, content, at)
    row = struct.calcsize(shape.row) + shape.inline
    first = at + struct.calcsize(shape.count)
    if first + row * count > len(content):
        raise ValueError("a directory lies outside the file")
    entries = {}
    for start in range(first, first + row * count, row):
        tag, kind, values = struct.unpack_from(shape.row, content, start)
        length, place, span = _SIZES.get(kind, 1) * values, start + row - shape.inline, None
        if length > shape.inline:
            (place,) = struct.unpack_from(shape.place, content, place)
            span = (place, place + length)
        if place + length > len(content):
            raise ValueError("a value lies outside the file")
        entries[tag] = _Entry(kind, values, bytes(content[place : place + length]), span)
    link = first + row * count
    (following,) = struct.unpack_from(shape.place, content, link)
    return _Directory((at, link + shape.inline), entries, link, following)


def _numbers(entry: _Entry, shape: _Shape) -> tuple[int, ...]:
    letter = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}[entry.kind]
    return struct.unpack(f"{shape.order}{entry.count}{letter}", entry.value)


def _spans(content: bytes, shape: _Shape, directory: _Directory, depth: int = 0) -> list[Span]:
    """All bytes that belong to a directory, those inside it included."""
    spans = [directory.span, *(entry.span for entry in directory.entries.values() if entry.span is not None)]
    for places, lengths in _DATA.items():
        if places in directory.entries and lengths in directory.entries:
            starts, sizes = (_numbers(directory.entries[tag], shape) for tag in (places, lengths))
            spans += [(start, min(start + size, len(content))) for start, size in zip(starts, sizes, strict=False)]
    for tag in _DIRECTORIES:
        if tag in directory.entries and depth < 4:
            for at in _numbers(directory.entries[tag], shape):
                spans += _spans(content, shape, _directory(content, shape, at), depth + 1)
    return spans


class TiffPages:
    """The pages of a TIFF; `retouche.pictures.pages.Pages` says what is done with them."""

    def __init__(self, content: bytes, name: str, max_pixels: int) -> None:
        """Walk the directories; nothing is decoded yet.

        Raises: InputError, struct.error or ValueError where the file is damaged
        """
        self.content, self.name, self.max_pixels = content, name, max_pixels
        self.shape = _shape(content)
        self.first = 8 if self.shape.big else 4  # where the place of the first directory is written
        self.pages: list[_Directory] = []
        seen: set[int] = set()
        (at,) = struct.unpack_from(self.shape.place, content, self.first)
        while at:
            if at in seen or len(seen) >= MOST_PAGES:
                raise InputError(f"{name} has pages without end: it is damaged; save it anew")
            seen.add(at)
            self.pages.append(_directory(content, self.shape, at))
            at = self.pages[-1].next
        self.count = len(self.pages)

    @property
    def timing(self) -> tuple[Any, ...]:
        """What pages are called and counted."""
        return tuple(tuple(page.entries[tag].value for tag in _CARRIED if tag in page.entries) for page in self.pages)

    def picture(self, number: int) -> Picture:
        """One page, counted from 0, as if it were the only one."""
        page, place = self.pages[number], self.shape.place
        changes = [(self.first, struct.pack(place, page.span[0])), (page.link, struct.pack(place, 0))]
        stream = Overlaid(io.BytesIO(self.content), len(self.content), changes)
        called = self.name if self.count == 1 else f"{self.name}, page {number + 1}"
        return decode(io.BufferedReader(stream), called, self.max_pixels)

    def rewritten(self, selected: Collection[int], fill: Callable[[int, Picture], Picture]) -> bytes:
        """The file with some pages filled; asks for them in order."""
        output = []
        for number in sorted(selected):
            filled = fill(number, self.picture(number))
            stream = io.BytesIO()
            tiff.write_page(stream, filled.pixels, filled.mode, filled.source, self.name, self.shape.order)
            output.append((number, stream.getvalue()))
        space = _Space(self.content, self._freed(frozenset(selected)))
        link = {number: self.first if not number else self.pages[number - 1].link for number in range(self.count)}
        for number, single in output:
            old = self.pages[number]
            carried = {tag: old.entries[tag] for tag in _CARRIED if tag in old.entries}
            at, link[number + 1] = _grafted(single, space, self.shape, carried, old.next)
            struct.pack_into(self.shape.place, space.content, link[number], at)
        result = space.finished()
        if not self.shape.big and len(result) >= 1 << 32:
            raise InputError(f"{self.name} would need more than 4 GiB: fill fewer --pages, or save it as BigTIFF")
        return result

    def _freed(self, selected: frozenset[int]) -> list[Span]:
        """The bytes that belong to these pages alone."""
        events: list[tuple[int, int, int]] = []
        for number, page in enumerate(self.pages):
            own = number in selected
            for start, end in _spans(self.content, self.shape, page):
                events += [(start, int(own), int(not own)), (end, -int(own), -int(not own))]
        events += [(0, 0, 1), (self.first + self.shape.inline, 0, -1)]
        free: list[Span] = []
        mine = others = since = 0
        for place, one, other in sorted(events):
            if mine > 0 and others == 0 and place > since:
                free.append((since, place))
            mine, others, since = mine + one, others + other, place
        return free


class _Space:
    """A file in which some bytes are free: emptied, and taken by what is put there."""

    def __init__(self, content: bytes, free: list[Span]) -> None:
        self.content = bytearray(content)
        self.free: list[Span] = []
        for start, end in free:
            self.content[start:end] = bytes(end - start)
            if self.free and self.free[-1][1] == start:
                self.free[-1] = (self.free[-1][0], end)
            else:
                self.free.append((start, end))

    def put(self, block: bytes) -> int:
        """Write it into the first gap that holds it, else behind all; returns its place, which is even."""
        for number, (start, end) in enumerate(self.free):
            at = start + start % 2
            if at + len(block) <= end:
                self.free[number] = (at + len(block), end)
                self.content[at : at + len(block)] = block
                return at
        self.content += bytes(len(self.content) % 2)
        self.content += block
        return len(self.content) - len(block)

    def finished(self) -> bytes:
        """All of it, without what is free at its end."""
        while self.free and self.free[-1][1] >= len(self.content):
            del self.content[self.free.pop()[0] :]
        return bytes(self.content)


def _grafted(
    single: bytes, space: _Space, shape: _Shape, carried: dict[int, _Entry], following: int
) -> tuple[int, int]:
    """Put the first page of another file into this one: its place, and that of its link to the next page.

    Args:
        carried: entries in this file's own order, which come instead of the page's
        following: the place of the next page
    """
    own = _shape(single)
    (first,) = struct.unpack_from(own.place, single, 8 if own.big else 4)
    return _grafted_directory(single, own, _directory(single, own, first), space, shape, carried, following)


def _grafted_directory(
    single: bytes,
    own: _Shape,
    directory: _Directory,
    space: _Space,
    shape: _Shape,
    carried: dict[int, _Entry],
    following: int,
) -> tuple[int, int]:
    wide, letter = (_LONG8, "Q") if shape.big else (_LONG, "I")

    def places(found: list[int]) -> tuple[int, int, bytes]:
        return wide, len(found), struct.pack(f"{shape.order}{len(found)}{letter}", *found)

    rows: dict[int, tuple[int, int, bytes]] = {}
    for tag, entry in directory.entries.items():
        if tag in _DATA:
            starts, sizes = _numbers(entry, own), _numbers(directory.entries[_DATA[tag]], own)
            blocks = [single[start : start + size] for start, size in zip(starts, sizes, strict=True)]
            rows[tag] = places([space.put(block) for block in blocks])
        elif tag in _DIRECTORIES:
            inner = [_directory(single, own, at) for at in _numbers(entry, own)]
            rows[tag] = places([_grafted_directory(single, own, one, space, shape, {}, 0)[0] for one in inner])
        else:
            rows[tag] = (entry.kind, entry.count, _turned(entry, own.order != shape.order))
    rows.update({tag: (entry.kind, entry.count, entry.value) for tag, entry in carried.items()})
    table = [struct.pack(shape.count, len(rows))]
    for tag in sorted(rows):
        kind, count, value = rows[tag]
        field = value if len(value) <= shape.inline else struct.pack(shape.place, space.put(value))
        table.append(struct.pack(shape.row, tag, kind, count) + field.ljust(shape.inline, b"\0"))
    table.append(struct.pack(shape.place, following))
    block = b"".join(table)
    at = space.put(block)
    return at, at + len(block) - shape.inline


def _turned(entry: _Entry, turned: bool) -> bytes:
    """A value in the other byte order."""
    unit = _UNITS.get(entry.kind, 1)
    if not turned or unit == 1:
        return entry.value
    return b"".join(entry.value[at : at + unit][::-1] for at in range(0, len(entry.value), unit))

"""What a file holds beside its pixels, taken out before a parser sees it.

Parsers of containers gather metadata in ways whose time grows with the square of their number, refuse a file for a long
word, or keep no more than they show. So the containers of JPEG and PNG are walked here once: what belongs to the pixels
goes to the parser as a stream of its own, the rest is kept as it is, up to `CAP`.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, BinaryIO

CAP = 16 << 20
"""Bytes of one kind of metadata that are kept; far more than cameras and editors write."""


@dataclass
class Held:
    """Metadata of one file.

    Attributes:
        exif: from "II" or "MM" on
        xmp, extended: the packet, and what of it is stored apart (JPEG)
        icc: colour profile
        comment: words without a name
        photoshop: image resources ("8BIM"), IPTC among them
        chunks: PNG's further chunks, (name, content)
        previews: whether further pictures follow (MPF)
        floats: whether the samples of a TIFF are 32-bit floats
        remarks: what was left out
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    extended: bytes | None = None
    icc: bytes | None = None
    comment: bytes | None = None
    photoshop: bytes | None = None
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    previews: bool = False
    floats: bool = False
    remarks: list[str] = field(default_factory=list)

    def fits(self, size: int, what: str) -> bool:
        """Whether a size is kept; if not, a remark says so."""
        if size <= CAP:
            return True
        self.remarks.append(f"{what} of more than {CAP >> 20} MB is left out")
        return False


class Spliced(io.RawIOBase):
    """Parts of a stream as one stream.

    Args:
        stream: seekable
        parts: (start, end) in bytes, in order
    """

    def __init__(self, stream: BinaryIO, parts: list[tuple[int, int]]) -> None:
        self._stream = stream
        self._parts: list[tuple[int, int]] = []
        for start, end in parts:
            if self._parts and self._parts[-1][1] == start:
                self._parts[-1] = (self._parts[-1][0], end)
            elif end > start:
                self._parts.append((start, end))
        self._starts = [0]  # of each part, and the end of all
        for start, end in self._parts:
            self._starts.append(self._starts[-1] + end - start)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = bisect_right(self._starts, self._at) - 1
        if number >= len(self._parts):
            return 0
        start, end = self._parts[number]
        place = start + self._at - self._starts[number]
        self._stream.seek(place)
        read = self._stream.read(min(len(buffer), end - place))
        buffer[: len(read)] = read
        self._at += len(read)
        return len(read)


def spliced(stream: BinaryIO, parts: list[tuple[int, int]]) -> BinaryIO:
    """Parts (start, end) of a stream as one buffered stream."""
    return io.BufferedReader(Spliced(stream, parts), 1 << 16)


class Overlaid(Spliced):
    """A stream in which some bytes are others: changes (place, content), a few."""

    def __init__(self, stream: BinaryIO, size: int, changes: list[tuple[int, bytes]]) -> None:
        super().__init__(stream, [(0, size)])
        self._changes = changes

    def readinto(self, buffer: Any) -> int:
        start = self._at
        end = start + super().readinto(buffer)
        for place, content in self._changes:
            first, last = max(start, place), min(end, place + len(content))
            if first < last:
                buffer[first - start : last - start] = content[first - place : last - place]
        return end - start

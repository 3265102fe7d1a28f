"""Multipart bodies, parsed in memory: their size is limited before, and no file of theirs touches the disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

MOST_PARTS = 100
MOST_HEADER_BYTES = 4096


@dataclass
class Part:
    """One field: its name, its content, and whether it came as a file."""

    name: str = ""
    content: bytearray = field(default_factory=bytearray)
    is_file: bool = False


class Damaged(ValueError):
    """The body is no multipart body, is cut short, or has too many parts."""


def parse(content_type: str, body: bytes) -> dict[str, Part]:
    """The parts by name, the last of each name.

    Raises: Damaged
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise Damaged("the Content-Type names no boundary")
    reading = _Reading()
    try:
        parser = MultipartParser(boundary, reading.callbacks())  # type: ignore[arg-type]
        parser.write(body)
    except FormParserError:
        raise Damaged("the body is damaged") from None
    if not reading.ended:
        raise Damaged("the body is cut short")
    return {part.name: part for part in reading.parts}


class _Reading:
    """Puts together what the parser calls out."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._name = bytearray()
        self._value = bytearray()
        self._disposition = b""

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self.parts[-1].content.extend(data[start:end]),
            "on_header_field": lambda data, start, end: self._add(self._name, data[start:end]),
            "on_header_value": lambda data, start, end: self._add(self._value, data[start:end]),
            "on_header_end": self._header,
            "on_headers_finished": self._headers,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == MOST_PARTS:
            raise Damaged(f"the body has more than {MOST_PARTS} parts")
        self.parts.append(Part())
        self._disposition = b""

    def _add(self, kept: bytearray, data: bytes) -> None:
        kept += data
        if len(kept) > MOST_HEADER_BYTES:
            raise Damaged("a part's header is too long")

    def _header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise Damaged("a part has no name")
        self.parts[-1].name = options[b"name"].decode("utf-8", "replace")
        self.parts[-1].is_file = b"filename" in options

    def _end(self) -> None:
        self.ended = True

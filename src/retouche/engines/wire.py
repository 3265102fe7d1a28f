"""Protocol buffers' wire format, read without believing it: every length is held against what is there.

Source: the format's public description (varints, little-endian 64 and 32 bits, length-delimited fields).
"""

from __future__ import annotations

from collections.abc import Iterator

from retouche.errors import WeightsError

VARINT_BYTES = 10
"""The longest that a 64-bit number takes."""


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: an int, or the bytes of what is delimited.

    Raises: WeightsError where the bytes are no message
    """
    at, end = 0, len(data)
    while at < end:
        key = data[at]  # most numbers are of one byte, and files have tens of thousands
        if key < 128:
            at += 1
        else:
            key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _damaged()
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            if at < end and data[at] < 128:
                length, at = data[at], at + 1
            else:
                length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _damaged()
        if length > end - at:
            raise _damaged()
        yield number, data[at : at + length]
        at += length


def numbers(value: int | memoryview) -> list[int]:
    """A repeated 64-bit field's numbers, signed, whether they come one by one or packed."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def text(value: int | memoryview) -> str:
    """A text field.

    Raises: WeightsError where it is none
    """
    if isinstance(value, int):
        raise _damaged()
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise _damaged() from None


def message(value: int | memoryview) -> memoryview:
    """A field that is a message or bytes.

    Raises: WeightsError where it is a number
    """
    if isinstance(value, int):
        raise _damaged()
    return value


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    number = 0
    for place in range(VARINT_BYTES):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 127) << (7 * place)
        if byte < 128:
            return number, at
    raise _damaged()


def _damaged() -> WeightsError:
    return WeightsError("is no ONNX file, or a damaged one: export it anew")

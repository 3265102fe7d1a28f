"""GIF's blocks: the frames of a file as they are stored, and as they are put back.

Layout: Graphics Interchange Format, version 89a (CompuServe 1990).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image, ImageFile

from retouche.errors import InputError

COLOURS = 256
MAGIC = (b"GIF87a", b"GIF89a")
_PICTURE, _EXTENSION, _END, _CONTROL = 0x2C, 0x21, 0x3B, 0xF9

Array = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """One frame as stored.

    Attributes:
        control: place of its control extension, (start, end), or None
        place: of the rest, from descriptor to the last byte of its data
        data: where the compressed data start
        box: left, top, right, bottom
        palette: (n, 3) uint8
        interlaced: its rows are stored in four passes
        disposal, delay: as stored; hundredths of a second
        clear: the index that paints nothing, or None
    """

    control: tuple[int, int] | None
    place: tuple[int, int]
    data: int
    box: tuple[int, int, int, int]
    palette: Array
    interlaced: bool
    disposal: int = 0
    delay: int = 0
    clear: int | None = None


def walked(content: bytes, name: str) -> list[Frame]:
    """All frames. Raises: InputError, struct.error or IndexError where the file is damaged"""
    flags = content[10]
    at = 13 + 3 * _length(flags)
    shared = _palette(content, 13, flags)
    frames: list[Frame] = []
    control: tuple[int, int] | None = None
    while at < len(content) and content[at] != _END:
        if content[at] == _EXTENSION:
            end = _blocks_end(content, at + 2)
            if content[at + 1] == _CONTROL:
                control = (at, end)
        elif content[at] == _PICTURE:
            left, top, width, height, flags = struct.unpack_from("<HHHHB", content, at + 1)
            own = _palette(content, at + 10, flags)
            data = at + 10 + 3 * _length(flags)
            end = _blocks_end(content, data + 1)
            packed, delay, clear = (0, 0, 0) if control is None else struct.unpack_from("<BHB", content, control[0] + 3)
            frames.append(
                Frame(
                    control,
                    (at, end),
                    data,
                    (left, top, left + width, top + height),
                    own if len(own) else shared,
                    bool(flags & 0x40),
                    packed >> 2 & 7,
                    delay,
                    clear if packed & 1 else None,
                )
            )
            control = None
        else:
            raise InputError(f"{name} is damaged: byte {at} begins no block of a GIF")
        at = end
    if not frames:
        raise InputError(f"{name} holds no frame: give a GIF with at least one")
    return frames


def _length(flags: int) -> int:
    """Colours of the palette that follows."""
    return 2 << (flags & 7) if flags & 0x80 else 0


def _palette(content: bytes, at: int, flags: int) -> Array:
    return np.frombuffer(content, np.uint8, 3 * _length(flags), at).reshape(-1, 3)


def _blocks_end(content: bytes, at: int) -> int:
    """Where a chain of blocks ends."""
    while content[at]:
        at += 1 + content[at]
    return at + 1


def indices_of(content: bytes, frame: Frame) -> Array:
    """(h, w) uint8 of a frame's box as stored."""
    left, top, right, bottom = frame.box
    size = struct.pack("<HH", right - left, bottom - top)
    ramp = bytes(value for value in range(COLOURS) for _ in range(3))
    alone = (MAGIC[1] + size + bytes(3) + bytes([_PICTURE]) + bytes(4) + size
             + bytes([0x87 | 0x40 * frame.interlaced]) + ramp
             + content[frame.data : frame.place[1]] + bytes([_END]))  # fmt: skip
    with GifImagePlugin.GifImageFile(io.BytesIO(alone)) as image:
        image.load()
        return np.asarray(image)


def control_of(content: bytes, frame: Frame, clear: int | None) -> bytes:
    """The control extension with another transparent index."""
    asks = content[frame.control[0] + 3] & 2 if frame.control else 0
    packed = frame.disposal << 2 | asks | (clear is not None)
    return struct.pack("<BBBBHBB", _EXTENSION, _CONTROL, 4, packed, frame.delay, clear or 0, 0)


def stored(indices: Array, palette: Array, box: tuple[int, int, int, int]) -> bytes:
    """Descriptor, palette and data of a frame."""
    height, width = indices.shape
    stream = io.BytesIO()
    stream.write(struct.pack("<BHHHHB", _PICTURE, box[0], box[1], width, height, 0x87))
    stream.write(palette.tobytes().ljust(3 * COLOURS, b"\0"))
    stream.write(b"\x08")  # bits of an index
    image: Any = Image.fromarray(np.ascontiguousarray(indices))
    image.encoderinfo, image.encoderconfig = {}, (8, False)
    tiles: Any = [("gif", (0, 0, width, height), 0, "L")]
    ImageFile._save(image, stream, tiles)
    stream.write(b"\0")
    return stream.getvalue()

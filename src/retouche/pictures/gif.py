"""GIF, frame by frame: some are filled, the file around them stays as it is.

A frame paints some pixels of the canvas, so what one shows is what all before it have left. A filled frame therefore
paints its hole itself, and a later one that is not filled paints over what the fill would leave behind; every frame
that needs neither keeps its bytes. Layout: Graphics Interchange Format, version 89a (CompuServe 1990).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image, ImageFile

from retouche.errors import InputError
from retouche.pictures.picture import Given, Picture
from retouche.pictures.source import Source

COLOURS = 256
MOST_TIMES = 50  # all frames together may have so many times the pixels of one picture: 40 minutes of a small film
DITHERED_BELOW = 64  # free colours; with more of them flat steps are not seen
MAGIC = (b"GIF87a", b"GIF89a")
_CLEAR, _RESTORE = 2, 3  # what becomes of a frame when its time is over
_PICTURE, _EXTENSION, _END, _CONTROL = 0x2C, 0x21, 0x3B, 0xF9

Array = NDArray[Any]


@dataclass(frozen=True)
class _Frame:
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


class GifPages:
    """The frames of a GIF; `retouche.pictures.pages.Pages` says what is done with them."""

    def __init__(self, content: bytes, name: str, max_pixels: int) -> None:
        """Walk the blocks; nothing is decoded yet.

        Raises: InputError, struct.error or IndexError where the file is damaged
        """
        self.content, self.name = content, name
        self.width, self.height = struct.unpack_from("<HH", content, 6)
        if not 0 < self.width * self.height <= max_pixels:
            raise InputError(
                f"{name} is {self.width}x{self.height}, but the limit is {max_pixels / 1e6:.1f} megapixels: "
                "scale it down"
            )
        self.frames = tuple(_walked(content, name))
        self.count = len(self.frames)
        if self.count * self.width * self.height > MOST_TIMES * max_pixels:
            raise InputError(
                f"{name} has {self.count} frames of {self.width}x{self.height}, more than "
                f"{MOST_TIMES * max_pixels / 1e9:g} gigapixels in all: scale it down or cut it first"
            )
        for number, (left, top, right, bottom) in enumerate((frame.box for frame in self.frames), 1):
            if (right - left) * (bottom - top) > max_pixels:
                raise InputError(
                    f"{name}: frame {number} is {right - left}x{bottom - top}: it is damaged, or too large"
                )

    @property
    def timing(self) -> tuple[Any, ...]:
        """How long each frame is shown and what becomes of it."""
        return tuple((frame.delay, frame.disposal) for frame in self.frames)

    def picture(self, number: int) -> Picture:
        """What the file shows at one frame, counted from 0."""
        canvas = self._blank()
        for frame in self.frames[: number + 1]:
            before = canvas.copy()
            _paint(canvas, frame, self._indices(frame))
            if frame is not self.frames[number]:
                _dispose(canvas, before, frame.disposal, frame.box)
        return _picture(canvas)

    def rewritten(self, selected: Collection[int], fill: Callable[[int, Picture], Picture]) -> bytes:
        """The file with some frames filled; asks for them in order."""
        old, new = self._blank(), self._blank()
        parts, at = [], 0
        for number, frame in enumerate(self.frames):
            indices = self._indices(frame)
            old_before, new_before, box = old.copy(), new.copy(), frame.box
            _paint(old, frame, indices)
            wanted = _canvas(fill(number, _picture(old))) if number in selected else old
            _paint(new, frame, indices)
            if not _differ(new, wanted).any():
                parts.append(self.content[at : frame.place[1]])
            else:
                control, body, box = self._repainted(number, new_before, old, wanted, new)
                if frame.control is None:
                    parts += [self.content[at : frame.place[0]], control, body]
                else:
                    between = self.content[frame.control[1] : frame.place[0]]
                    parts += [self.content[at : frame.control[0]], control, between, body]
            at = frame.place[1]
            _dispose(old, old_before, frame.disposal, frame.box)
            _dispose(new, new_before, frame.disposal, box)
        return MAGIC[1] + b"".join([*parts, self.content[at:]])[len(MAGIC[1]) :]

    def _blank(self) -> Array:
        return np.zeros((self.height, self.width, 4), np.uint8)

    def _indices(self, frame: _Frame) -> Array:
        """(h, w) of a frame's box as stored."""
        left, top, right, bottom = frame.box
        size = struct.pack("<HH", right - left, bottom - top)
        ramp = bytes(value for value in range(COLOURS) for _ in range(3))
        alone = (MAGIC[1] + size + bytes(3) + bytes([_PICTURE]) + bytes(4) + size
                 + bytes([0x87 | 0x40 * frame.interlaced]) + ramp
                 + self.content[frame.data : frame.place[1]] + bytes([_END]))  # fmt: skip
        with GifImagePlugin.GifImageFile(io.BytesIO(alone)) as image:
            image.load()
            return np.asarray(image)

    def _repainted(
        self, number: int, before: Array, old: Array, wanted: Array, new: Array
    ) -> tuple[bytes, bytes, tuple[int, int, int, int]]:
        """A frame that brings the canvas to what is wanted, as control extension, the rest and its box.

        Args:
            before: the canvas that it paints on
            old: what the frame showed
            wanted: what it is to show; exactly, where that is what it showed
            new: becomes what it shows
        """
        frame = self.frames[number]
        paint = _differ(before, wanted)
        if (paint & (wanted[..., 3] == 0)).any():
            raise InputError(
                f"{self.name}: frame {number + 1} is transparent where an earlier one was filled: fill it too, with "
                "--pages all"
            )
        exact = paint & ~_differ(old, wanted)
        colours = np.unique(wanted[exact][:, :3], axis=0)
        box = _around(paint, frame.box)
        at = (slice(box[1], box[3]), slice(box[0], box[2]))
        partly = not paint[at].all()
        free = COLOURS - len(colours) - partly
        if free < 0:
            raise InputError(
                f"{self.name}: frame {number + 1} would need more than {COLOURS} colours: fill all frames (--pages all)"
            )
        invented = paint & ~exact
        palette = np.concatenate([colours, _chosen(wanted[invented][:, :3], free)]).reshape(-1, 3)
        indices = np.full(paint.shape, len(palette), np.uint8) if partly else np.zeros(paint.shape, np.uint8)
        indices[exact] = _positions(wanted[exact][:, :3], colours)
        if invented.any():
            indices[invented] = _nearest(wanted[..., :3], palette, invented, dithered=free < DITHERED_BELOW)
        new[...] = before
        new[paint] = np.concatenate([palette[indices[paint]], np.full((int(paint.sum()), 1), 255, np.uint8)], axis=1)
        return (
            _control(self.content, frame, len(palette) if partly else None),
            _stored(indices[at], palette, box),
            box,
        )


# Reading --------------------------------------------------------------------------------------------------------------


def _walked(content: bytes, name: str) -> list[_Frame]:
    flags = content[10]
    at = 13 + 3 * _length(flags)
    shared = _palette(content, 13, flags)
    frames: list[_Frame] = []
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
                _Frame(
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


def _paint(canvas: Array, frame: _Frame, indices: Array) -> None:
    """What a frame does to the canvas; what lies beyond it is not seen."""
    left, top, _, _ = frame.box
    target = canvas[top : frame.box[3], left : frame.box[2]]
    indices = indices[: target.shape[0], : target.shape[1]]
    palette = np.zeros((COLOURS, 4), np.uint8)
    palette[: len(frame.palette), :3] = frame.palette
    palette[:, 3] = 255
    painted = np.ones(indices.shape, bool) if frame.clear is None else indices != frame.clear
    target[painted] = palette[indices[painted]]


def _dispose(canvas: Array, before: Array, disposal: int, box: tuple[int, int, int, int]) -> None:
    at = (slice(box[1], box[3]), slice(box[0], box[2]))
    if disposal == _CLEAR:
        canvas[at] = 0
    elif disposal == _RESTORE:
        canvas[at] = before[at]


def _picture(canvas: Array) -> Picture:
    """A canvas as a picture of its own."""
    opaque = bool(canvas[..., 3].all())
    pixels = np.ascontiguousarray(canvas[..., :3]) if opaque else canvas.copy()
    return Picture(pixels, "RGB" if opaque else "RGBA", Source(), given=Given("file"))


def _canvas(picture: Picture) -> Array:
    canvas = np.full((picture.height, picture.width, 4), 255, np.uint8)
    canvas[..., : picture.pixels.shape[2]] = picture.pixels
    return canvas


def _differ(one: Array, other: Array) -> NDArray[np.bool_]:
    """(H, W), where two canvases show something else; hidden colours are none."""
    apart = (one[..., :3] != other[..., :3]).any(axis=2) & ((one[..., 3] > 0) | (other[..., 3] > 0))
    return np.asarray(apart | ((one[..., 3] > 0) != (other[..., 3] > 0)))


# Writing --------------------------------------------------------------------------------------------------------------


def _around(paint: NDArray[np.bool_], box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """A frame's own box, which its disposal is about, and all that it paints."""
    rows, columns = (np.flatnonzero(paint.any(axis=axis)) for axis in (1, 0))
    height, width = paint.shape
    return (
        min(box[0], int(columns[0])),
        min(box[1], int(rows[0])),
        min(width, max(box[2], int(columns[-1]) + 1)),
        min(height, max(box[3], int(rows[-1]) + 1)),
    )


def _chosen(colours: Array, count: int) -> Array:
    """At most `count` colours that stand for (n, 3)."""
    if not count or not len(colours):
        return np.zeros((0, 3), np.uint8)
    unlike = np.unique(colours, axis=0)
    if len(unlike) <= count:
        return unlike
    made = Image.fromarray(np.ascontiguousarray(colours)[None]).quantize(count, Image.Quantize.MEDIANCUT, kmeans=1)
    palette = np.array(made.getpalette(), np.uint8).reshape(-1, 3)
    return np.unique(palette[np.unique(np.asarray(made))], axis=0)


def _packed(colours: Array) -> NDArray[np.int64]:
    return colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])


def _positions(colours: Array, palette: Array) -> NDArray[np.intp]:
    """Where each of (n, 3) is in a sorted palette that holds it."""
    return np.searchsorted(_packed(palette), _packed(colours))


def _nearest(picture: Array, palette: Array, where: NDArray[np.bool_], dithered: bool) -> Array:
    """Indices (n,) of the colours nearest to a picture's there; dithered, so that few do not show as steps."""
    rows, columns = (np.flatnonzero(where.any(axis=axis)) for axis in (1, 0))
    at = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    held = Image.new("P", (1, 1))
    padded = np.concatenate([palette, np.repeat(palette[-1:], COLOURS - len(palette), axis=0)])
    held.putpalette(padded.tobytes())
    kind = Image.Dither.FLOYDSTEINBERG if dithered else Image.Dither.NONE
    made = np.asarray(Image.fromarray(np.ascontiguousarray(picture[at])).quantize(palette=held, dither=kind))
    return np.minimum(made[where[at]], len(palette) - 1)


def _control(content: bytes, frame: _Frame, clear: int | None) -> bytes:
    """The control extension with another transparent index."""
    asks = content[frame.control[0] + 3] & 2 if frame.control else 0
    packed = frame.disposal << 2 | asks | (clear is not None)
    return struct.pack("<BBBBHBB", _EXTENSION, _CONTROL, 4, packed, frame.delay, clear or 0, 0)


def _stored(indices: Array, palette: Array, box: tuple[int, int, int, int]) -> bytes:
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

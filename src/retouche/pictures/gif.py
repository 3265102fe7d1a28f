"""GIF, frame by frame: some are filled, the file around them stays as it is.

A frame paints some pixels of the canvas, so what one shows is what all before it have left. A filled frame therefore
paints its hole itself, and a later one that is not filled paints over what the fill would leave behind; every frame
that needs neither keeps its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche.errors import InputError
from retouche.pictures.gif_blocks import COLOURS, MAGIC, Array, Frame, control_of, indices_of, stored, walked
from retouche.pictures.picture import Given, Picture
from retouche.pictures.source import Source

MOST_TIMES = 50  # all frames together may have so many times the pixels of one picture: 40 minutes of a small film
DITHERED_BELOW = 64  # free colours; with more of them flat steps are not seen
_CLEAR, _RESTORE = 2, 3  # what becomes of a frame when its time is over


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
        self.frames = tuple(walked(content, name))
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
            _paint(canvas, frame, indices_of(self.content, frame))
            if frame is not self.frames[number]:
                _dispose(canvas, before, frame.disposal, frame.box)
        return _picture(canvas)

    def rewritten(self, selected: Collection[int], fill: Callable[[int, Picture], Picture]) -> bytes:
        """The file with some frames filled; asks for them in order."""
        old, new = self._blank(), self._blank()
        parts, at = [], 0
        for number, frame in enumerate(self.frames):
            indices = indices_of(self.content, frame)
            old_before, new_before, box = old.copy(), new.copy(), frame.box
            painted = _paint(old, frame, indices)
            wanted = _canvas(fill(number, _picture(old))) if number in selected else old
            _paint(new, frame, indices)
            if not _differ(new, wanted).any():
                parts.append(self.content[at : frame.place[1]])
            else:
                control, body, box = self._repainted(number, painted, new_before, old, wanted, new)
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

    def _repainted(
        self, number: int, painted: NDArray[np.bool_], before: Array, old: Array, wanted: Array, new: Array
    ) -> tuple[bytes, bytes, tuple[int, int, int, int]]:
        """A frame that brings the canvas to what is wanted, as control extension, the rest and its box.

        Args:
            painted: the pixels that it painted
            before: the canvas that it paints on
            old: what the frame showed
            wanted: what it is to show; exactly, where that is what it showed
            new: becomes what it shows
        """
        frame = self.frames[number]
        known, apart = ~_differ(old, wanted), _differ(before, wanted)
        for paint, box in _ways(frame, painted, before, old, wanted):
            partly = not paint[_inside(box)].all()
            colours = np.unique(wanted[paint & known][:, :3], axis=0)
            kept = not (apart & known & ~paint).any() and bool((wanted[paint][:, 3] > 0).all())
            if kept and len(colours) + partly <= COLOURS:
                break
        else:
            what = "be transparent" if (wanted[apart & known][:, 3] == 0).any() else f"need more than {COLOURS} colours"
            raise InputError(
                f"{self.name}: frame {number + 1} would {what} where an earlier one was filled: fill the same place in "
                "both (--pages all and one mask for all), or save the frames as pictures of their own"
            )
        free = COLOURS - len(colours) - partly
        exact, invented = paint & known, paint & ~known
        palette = np.concatenate([colours, _chosen(wanted[invented][:, :3], free)]).reshape(-1, 3)
        indices = np.full(paint.shape, len(palette), np.uint8) if partly else np.zeros(paint.shape, np.uint8)
        indices[exact] = _positions(wanted[exact][:, :3], colours)
        if invented.any():
            indices[invented] = _nearest(wanted[..., :3], palette, invented, dithered=free < DITHERED_BELOW)
        new[...] = before
        new[paint] = np.concatenate([palette[indices[paint]], np.full((int(paint.sum()), 1), 255, np.uint8)], axis=1)
        return (
            control_of(self.content, frame, len(palette) if partly else None),
            stored(indices[_inside(box)], palette, box),
            box,
        )


# Canvas ---------------------------------------------------------------------------------------------------------------


def _inside(box: tuple[int, int, int, int]) -> tuple[slice, slice]:
    return slice(box[1], box[3]), slice(box[0], box[2])


def _paint(canvas: Array, frame: Frame, indices: Array) -> NDArray[np.bool_]:
    """What a frame does to the canvas, and where, (H, W); what lies beyond it is not seen."""
    left, top, _, _ = frame.box
    target = canvas[top : frame.box[3], left : frame.box[2]]
    indices = indices[: target.shape[0], : target.shape[1]]
    palette = np.zeros((COLOURS, 4), np.uint8)
    palette[: len(frame.palette), :3] = frame.palette
    palette[:, 3] = 255
    painted = np.ones(indices.shape, bool) if frame.clear is None else indices != frame.clear
    target[painted] = palette[indices[painted]]
    everywhere = np.zeros(canvas.shape[:2], bool)
    everywhere[top : frame.box[3], left : frame.box[2]] = painted
    return everywhere


def _dispose(canvas: Array, before: Array, disposal: int, box: tuple[int, int, int, int]) -> None:
    at = _inside(box)
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


# Repainting -----------------------------------------------------------------------------------------------------------


def _ways(
    frame: Frame, painted: NDArray[np.bool_], before: Array, old: Array, wanted: Array
) -> Iterator[tuple[NDArray[np.bool_], tuple[int, int, int, int]]]:
    """Pixels to paint and their box, the best way first; arguments as in `GifPages._repainted`.

    What is apart from the canvas needs fewest colours, but an index that paints nothing. The whole box needs none.
    What the frame painted before needs no colour of earlier frames, whose fill then stays beside it.
    """
    apart, everywhere = _differ(before, wanted), np.zeros_like(painted)
    least = _around(apart, frame.box)
    everywhere[_inside(least)] = True
    ways = [(apart, least)]
    if wanted[_inside(least)][..., 3].all():
        ways.append((everywhere, least))
    own = painted | (apart & (before[..., 3] == 0))
    keeping = own, _around(own, frame.box)
    # A larger box that is cleared afterwards would take along what earlier frames have left there.
    beyond = everywhere.copy()
    beyond[_inside(frame.box)] = False
    taken = frame.disposal == _CLEAR and bool((old[beyond][:, 3] > 0).any())
    yield from [keeping, *ways] if taken else [*ways, keeping]


def _around(paint: NDArray[np.bool_], box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """A frame's own box, which its disposal is about, and all that it paints."""
    height, width = paint.shape
    left, top = min(box[0], width - 1), min(box[1], height - 1)
    right, bottom = max(left + 1, min(box[2], width)), max(top + 1, min(box[3], height))
    if not paint.any():
        return left, top, right, bottom
    rows, columns = (np.flatnonzero(paint.any(axis=axis)) for axis in (1, 0))
    return (
        min(left, int(columns[0])),
        min(top, int(rows[0])),
        max(right, int(columns[-1]) + 1),
        max(bottom, int(rows[-1]) + 1),
    )


def _chosen(colours: Array, count: int) -> Array:
    """At most `count` colours that stand for (n, 3)."""
    if not count or not len(colours):
        return np.zeros((0, 3), np.uint8)
    unlike = np.unique(colours, axis=0)
    if len(unlike) <= count:
        return unlike
    result = Image.fromarray(np.ascontiguousarray(colours)[None]).quantize(count, Image.Quantize.MEDIANCUT, kmeans=1)
    palette = np.array(result.getpalette(), np.uint8).reshape(-1, 3)
    return np.unique(palette[np.unique(np.asarray(result))], axis=0)


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
    result = np.asarray(Image.fromarray(np.ascontiguousarray(picture[at])).quantize(palette=held, dither=kind))
    return np.minimum(result[where[at]], len(palette) - 1)

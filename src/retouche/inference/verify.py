"""Verifying that nothing outside the hole has changed, in decoded native values.

Lossless files are compared value by value. In a lossy file every known pixel may move a little because the whole file
is encoded anew: the fair question is whether it moved more than encoding the untouched picture would have moved it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.errors import InputError
from retouche.masks import Mask, default_dilation, dilate, open_mask
from retouche.pictures import Picture, Source, decode, encode, open_picture
from retouche.pictures.extending import extended, padded
from retouche.pictures.formats import FORMATS
from retouche.pictures.margins import Margins, margins
from retouche.pictures.source import as_pil

Array = NDArray[Any]

BAND_ROWS = 512  # compared at once, so that a 100-megapixel pair needs no third copy

JPEG_TOLERANCE = 2
"""Levels that a block may differ from BEFORE beyond what re-encoding does: decoders round differently."""
WEBP_TOLERANCE = 12
"""The same for lossy WebP, where each block is predicted from its neighbours, so that a fill reaches beyond its own."""
WEBP_BLOCK = 16
MODERN_TOLERANCE = 12
"""The same for AVIF and HEIC, whose filters smooth across blocks and whose blocks choose their own fineness."""
MODERN_BLOCK = 32
NEAR = 0.01  # of a size: a quality that comes as near is taken
FIRST = 90  # tried first: ours, most often


@dataclass(frozen=True)
class Lossy:
    """How a lossy file was judged.

    Attributes:
        format: "JPEG", "WebP", "AVIF" or "HEIC"
        block: side of the blocks compared, (width, height), pixels
        reencoding: the largest difference that encoding BEFORE anew makes outside the touched blocks
        tolerance: levels allowed on top of it, block by block
        excess: the largest difference beyond what re-encoding does in the same block; at most `tolerance` is kept
        shared: the largest difference of known pixels in blocks that hold hole pixels too; these cannot be judged
        judged: known pixels that could be judged
    """

    format: str
    block: tuple[int, int]
    reencoding: int
    tolerance: int
    excess: int
    shared: int
    judged: int


@dataclass(frozen=True)
class Verdict:
    """Whether the known pixels were kept.

    Attributes:
        kept: the promise holds
        largest: the largest difference outside the grown mask, in native levels (0..255 or 0..65535)
        where: (x, y) of the first pixel with that difference, None if there is none
        changed: pixels outside the grown mask that differ
        known: pixels outside the grown mask
        dilate: pixels the mask was grown by
        lossy: how a lossy file was judged; None if compared value by value
        differences: what else differs (size, mode, depth, profile, alpha), one phrase each
        extended: pixels added at the left, top, right and bottom; None where BEFORE was not extended
    """

    kept: bool
    largest: int
    where: tuple[int, int] | None
    changed: int
    known: int
    dilate: int
    lossy: Lossy | None = None
    differences: tuple[str, ...] = ()
    extended: tuple[int, int, int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return asdict(self)


def verify(
    before: Path,
    after: Path,
    mask: Path | None,
    dilation: int | None = None,
    *,
    lossy: bool = False,
    invert: bool = False,
    extend: Margins | None = None,
    alpha: bool = False,
) -> Verdict:
    """Compare two files outside the grown mask.

    Args:
        before: the picture that was filled
        after: the result
        mask: its mask; None = before's transparency, which the result need not keep; None of an extended picture = it
            had no mask, unless `alpha`
        dilation: pixels to grow the mask by; None = as filling does by itself
        lossy: judge a JPEG, AVIF, HEIC or lossy WebP by what encoding alone does to the picture
        invert: black is the hole
        extend: the room that filling has added at the sides, as `Model` takes it; the mask is of before's size
        alpha: before's transparency was filled, too, when it was extended

    Raises: InputError if a file cannot be read or the mask does not fit
    """
    old, new = open_picture(before), open_picture(after)
    size = (old.height, old.width)
    room = None if extend is None else margins(extend, size)
    transparent = mask is None and (alpha or room is None)
    if mask is not None:
        hole, _ = open_mask(mask, size, invert=invert)
    else:
        hole = hole_of_alpha(old, before) if transparent else np.zeros(size, np.bool_)
    return compare(old, new, hole, dilation, opaque=transparent, lossy=after if lossy else None, room=room)


def hole_of_alpha(old: Picture, before: Path) -> Mask:
    """Where a picture is more transparent than opaque, (H, W). Raises: InputError where it has no alpha"""
    alpha = old.alpha()
    if alpha is None:
        raise InputError(f"{before} has no alpha to take the hole from: give the mask's file")
    return np.asarray(alpha <= np.iinfo(alpha.dtype).max // 2)


def compare(
    old: Picture,
    new: Picture,
    hole: Mask,
    dilation: int | None,
    *,
    opaque: bool = False,
    lossy: Path | None = None,
    room: tuple[int, int, int, int] | None = None,
) -> Verdict:
    """Compare two decoded pictures outside the grown hole.

    Args:
        hole: (H, W), True = hole; `old`'s size
        dilation: as in `verify`
        opaque: the fill has made `old`'s transparency opaque
        lossy: the file of `new`, to be judged by what encoding alone does
        room: pixels that `new` has more at the left, top, right and bottom
    """
    size = (old.height, old.width)
    pixels = default_dilation(*size) if dilation is None else dilation
    grown = dilate(hole, pixels)
    if grown.all() and not hole.all():  # filling does not grow a mask that would leave nothing known
        grown, pixels = hole, 0
    words = f"size {old.width}x{old.height}"
    fresh: Array | None = None
    if room is not None:
        old, fresh = extended(old, room)
        grown = padded(grown, room) | fresh
        words += f", extended to {old.width}x{old.height},"
    known = ~grown
    count = int(known.sum())
    if (new.height, new.width) != (old.height, old.width):
        words += f" became {new.width}x{new.height}"
        if room is None and new.height >= old.height and new.width >= old.width:
            words += " (if it was extended, say so with --extend)"
        return Verdict(False, 0, None, 0, count, pixels, differences=(words,), extended=room)
    differences = _differences(old, new)
    if old.pixels.shape != new.pixels.shape or old.pixels.dtype != new.pixels.dtype or old.mode != new.mode:
        return Verdict(False, 0, None, 0, count, pixels, differences=differences, extended=room)
    if fresh is not None:
        old.pixels[fresh] = new.pixels[fresh]  # what is new is encoded beside the original, and is not judged
    if opaque:  # filling a picture's transparency makes it opaque
        old, new = _without_alpha(old), _without_alpha(new)
    largest, where, changed = _compare(old.pixels, new.pixels, known)
    judged = None
    if lossy is not None and changed and _is_lossy(new):
        judged = _lossy_difference(old, new, ~known, lossy)
    kept = judged.excess <= judged.tolerance if judged is not None else changed == 0
    return Verdict(kept, largest, where, changed, count, pixels, judged, differences, room)


def _without_alpha(picture: Picture) -> Picture:
    copy = picture.copy()
    copy.pixels, copy.mode = copy.pixels[..., :-1], copy.mode[:-1]
    return copy


def _compare(old: Array, new: Array, known: Array) -> tuple[int, tuple[int, int] | None, int]:
    """The largest difference of known pixels, where it is first, and how many differ."""
    largest, where, changed = 0, None, 0
    for top in range(0, old.shape[0], BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        apart = _apart(old[rows], new[rows]).max(axis=2) * known[rows]
        changed += int(np.count_nonzero(apart))
        if (here := int(apart.max(initial=0))) > largest:
            y, x = divmod(int(apart.argmax()), apart.shape[1])
            largest, where = here, (x, y + top)
    return largest, where, changed


def _apart(a: Array, b: Array) -> Array:
    """|a - b| in the unsigned dtype of both."""
    return np.maximum(a, b) - np.minimum(a, b)


def _differences(old: Picture, new: Picture) -> tuple[str, ...]:
    changes = []
    if old.mode != new.mode:
        changes.append(f"mode {old.mode} became {new.mode}")
    if old.pixels.dtype != new.pixels.dtype:
        changes.append(f"{old.pixels.dtype.itemsize * 8} bit became {new.pixels.dtype.itemsize * 8} bit")
    had, has = old.source.icc, new.source.icc
    if had != has:
        changes.append("colour profile " + ("lost" if not has else "added" if not had else "changed"))
    first, second = old.alpha(), new.alpha()
    if first is not None and second is not None and not np.array_equal(first, second):
        changes.append("alpha changed")
    return tuple(changes)


def _is_lossy(picture: Picture) -> bool:
    """Whether the file it came from was a JPEG, AVIF, HEIC or a lossy WebP."""
    source = picture.source
    return source.format in ("JPEG", "AVIF", "HEIF") or (
        source.format == "WEBP" and not source.settings.get("lossless")
    )


def _lossy_difference(old: Picture, new: Picture, touched: Array, after: Path) -> Lossy:
    """Block by block: how much farther AFTER is from BEFORE than the re-encoded BEFORE is."""
    kind = new.source.format or ""
    is_jpeg = kind == "JPEG"
    if is_jpeg:
        again, block, tolerance, neighbours = _jpeg_again(old, new), new.source.block, JPEG_TOLERANCE, 0
        reach = 0 if block == (8, 8) else 1  # decoders smooth coarse colour across one more pixel
    else:
        side, tolerance = (WEBP_BLOCK, WEBP_TOLERANCE) if kind == "WEBP" else (MODERN_BLOCK, MODERN_TOLERANCE)
        again, block, neighbours, reach = _again_by_size(old, after, kind), (side, side), 1, side
    clear = ~_blocks(touched, block, reach)
    first = _apart(old.pixels, new.pixels).max(axis=2)
    second = _apart(old.pixels, again).max(axis=2)
    if not is_jpeg and (alpha := old.alpha()) is not None:
        first, second = first * (alpha > 0), second * (alpha > 0)  # encoders may drop what nobody sees
    found, allowed = (_block_maxima(apart * clear, block).astype(int) for apart in (first, second))
    for _ in range(neighbours):
        allowed = _widest(allowed)
    return Lossy(
        format=FORMATS[kind].title,
        block=block,
        reencoding=int((second * clear).max(initial=0)),
        tolerance=tolerance,
        excess=max(0, int((found - allowed).max(initial=0))),
        shared=int((first * (~clear & ~touched)).max(initial=0)),
        judged=int(clear.sum()),
    )


def _blocks(touched: Array, block: tuple[int, int], reach: int) -> Array:
    """(H, W) pixels of all blocks that hold a touched pixel, and those up to `reach` pixels beyond."""
    whole = _block_maxima(touched, block).astype(bool)
    grown = whole.repeat(block[1], axis=0).repeat(block[0], axis=1)[: touched.shape[0], : touched.shape[1]]
    return dilate(grown, 2 * reach) if reach else grown  # a disc of twice the reach holds the square's corners


def _block_maxima(values: Array, block: tuple[int, int]) -> Array:
    height, width = values.shape
    padded = np.pad(values, ((0, -height % block[1]), (0, -width % block[0])))
    rows, columns = padded.shape[0] // block[1], padded.shape[1] // block[0]
    return padded.reshape(rows, block[1], columns, block[0]).max(axis=(1, 3))


def _widest(values: Array) -> Array:
    """The largest of each cell and its eight neighbours."""
    padded = np.pad(values, 1)
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).max(axis=(2, 3))


def _jpeg_again(old: Picture, new: Picture) -> Array:
    """BEFORE encoded with its own tables (if it is a JPEG, else with AFTER's) and decoded."""
    settings = (old if old.source.format == "JPEG" else new).source.settings
    return _decoded(_encoded(old, "JPEG", settings), old)


def _again_by_size(old: Picture, after: Path, kind: str) -> Array:
    """BEFORE encoded at the quality that comes nearest to AFTER's size (the file does not say its own), and decoded."""
    wanted = after.stat().st_size
    low, high, best, quality = 0, 100, b"", FIRST
    while low <= high:
        data = _encoded(old, kind, {"quality": quality})
        if not best or abs(len(data) - wanted) < abs(len(best) - wanted):
            best = data
        if abs(len(data) - wanted) <= NEAR * wanted:
            break
        low, high = (quality + 1, high) if len(data) < wanted else (low, quality - 1)
        quality = (low + high) // 2
    return _decoded(best, old)


def _encoded(picture: Picture, format: str, settings: dict[str, Any]) -> bytes:
    """The bare pixels as a file."""
    return encode(replace(picture, source=Source(format, settings=settings), remarks=[]))


def _decoded(data: bytes, like: Picture) -> Array:
    again = decode(data)
    if again.mode == like.mode:
        return again.pixels
    return np.asarray(as_pil(again.pixels, again.mode).convert(like.mode)).reshape(like.pixels.shape)

"""Fill holes with an exported network, without PyTorch: NumPy, Pillow and ONNX Runtime are all that is imported.

    from retouche.runtime import fill
    fill("photo.jpg", "mask.png", "network.onnx").save("filled.png")

Files come from `retouche export`, of either form. A window around each group of holes is cut out, shrunk where it is
larger than the network is at home with, filled, enlarged, and pasted into the hole; every other value stays as it is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from retouche.engines.onnx_file import open_onnx
from retouche.engines.sessions import Run, open_session
from retouche.errors import InputError, reason

Array = NDArray[np.uint8]
Hole = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are exclusive."""

APART = 64
"""Pixels of known rows or columns from which on two holes have windows of their own."""
OVERVIEW = 256
"""The least side of a window, in pixels as the network sees them."""
MODES = {"RGB", "RGBA", "L"}


@dataclass(frozen=True)
class Network:
    """An exported file, ready to run.

    Attributes:
        run: arrays by name -> what the file gives
        facts: what the file says of itself
    """

    run: Run
    facts: dict[str, Any]

    @property
    def window(self) -> dict[str, Any]:
        """Sides it takes, and how much it wants to see."""
        return dict(self.facts["window"])

    @property
    def inputs(self) -> list[str]:
        """Names of what it is fed."""
        return str(self.facts["inputs"]).split()


def load(model: str | Path, engine: str = "onnx", threads: int | None = None) -> Network:
    """Open an exported file; the same file again, unchanged, is not opened twice.

    Args:
        engine: "onnx" or "openvino"
        threads: None = all cores

    Raises: InputError, WeightsError
    """
    try:
        changed = os.stat(model).st_mtime_ns
    except OSError as error:
        raise InputError(f"{model} cannot be read: {reason(error)}") from None
    return _opened(str(Path(model).absolute()), changed, engine, threads)


@lru_cache(maxsize=4)
def _opened(path: str, changed: int, engine: str, threads: int | None) -> Network:
    file = open_onnx(path)
    facts = file.facts()
    return Network(open_session(file, engine, threads), facts)


def fill(
    picture: Any,
    mask: Any,
    model: str | Path | Network,
    *,
    sketch: Any = None,
    structure: Any = None,
    engine: str = "onnx",
    threads: int | None = None,
) -> Any:
    """Fill a picture's holes; outside the mask nothing changes.

    Args:
        picture: path, PIL image (RGB, RGBA or L) or array (H, W), (H, W, 3) or (H, W, 4), uint8
        mask: path, PIL image or array (H, W) of the same size; over 127 is hole, in a boolean array True
        model: an exported file, or what `load` made of it
        sketch, structure: for networks that take them: strokes as a mask, a smoothed picture of the same size
        engine, threads: see `load`

    Returns: an array for an array, else a PIL image
    Raises: InputError, WeightsError
    """
    opened = _meanwhile(lambda: model if isinstance(model, Network) else load(model, engine, threads))
    try:
        given = _picture(picture, "picture")
        size = given.shape[:2] if isinstance(given, np.ndarray) else (given.height, given.width)
        hole = _hole(mask, size, "mask")
    finally:
        network = opened()
    guides: dict[str, Any] = {}
    for name in network.inputs[2:]:
        if name == "sketch":
            guides[name] = np.zeros_like(hole) if sketch is None else _hole(sketch, size, name)
        elif structure is None:
            raise InputError(f"{network.facts['method']} needs a structure picture: give structure=")
        else:
            guides[name] = _colours(np.asarray(_picture(structure, name)))
            if guides[name].shape[:2] != hole.shape:
                raise InputError("structure has another size than the picture: give one of the same size")
    for name, one in (("sketch", sketch), ("structure", structure)):
        if one is not None and name not in network.inputs:
            raise InputError(f"{network.facts['method']} takes no {name}: leave it out")
    if hole.all():
        raise InputError("the mask covers the whole picture: leave something known to fill from")
    spots = [_spot(box, size, network.window) for box in boxes(hole)]
    filled = given.copy() if given is picture else given
    if spots:
        part = _around(spots)
        here = (slice(part[1], part[3]), slice(part[0], part[2]))
        levels = _filled(network, _cut(given, part), hole[here], [spot.seen_from(part) for spot in spots], guides, here)
        if isinstance(filled, np.ndarray):
            filled[here] = levels
        else:
            filled.paste(Image.fromarray(levels), part[:2])
    if not isinstance(filled, np.ndarray):
        filled.info = {key: given.info[key] for key in ("icc_profile", "dpi") if key in given.info}
    return filled


def _meanwhile(work: Callable[[], Network]) -> Callable[[], Network]:
    """Begin work on a thread of its own; what is returned waits for its result, or its error.

    Opening a network and decoding a picture of 12 megapixels take a quarter of a second each, and neither holds Python.
    """
    done: list[Network] = []
    failed: list[BaseException] = []

    def try_it() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = Thread(target=try_it)
    thread.start()

    def result() -> Network:
        thread.join()
        if failed:
            raise failed[0]
        return done[0]

    return result


# Pictures and masks


def _picture(picture: Any, word: str) -> Any:
    """An array or a PIL image of a kind that can be filled; a path is opened."""
    if isinstance(picture, np.ndarray):
        fits = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
        if picture.dtype != np.uint8 or not fits or not picture.size:
            raise InputError(f"{word} is {picture.shape} {picture.dtype}: give (H, W), (H, W, 3) or (H, W, 4) uint8")
        return picture
    image = picture if isinstance(picture, Image.Image) else _opened_image(picture, word)
    if image.mode not in MODES:
        raise InputError(f"{word} has mode {image.mode}: convert it to RGB, RGBA or L")
    return image


def _cut(picture: Any, part: Box) -> Array:
    """A part's values, the picture's no longer."""
    if isinstance(picture, np.ndarray):
        return np.array(picture[part[1] : part[3], part[0] : part[2]])
    return np.array(picture.crop(part))


def _opened_image(path: Any, word: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # a copy would be as long as the hole's network takes
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{word} {path} cannot be read: {reason(error)}") from None


def _colours(picture: Array) -> Array:
    """(H, W, 3)"""
    return np.repeat(picture[:, :, None], 3, 2) if picture.ndim == 2 else picture[:, :, :3]


def _hole(mask: Any, size: tuple[int, ...], word: str) -> Hole:
    if isinstance(mask, np.ndarray):
        found = mask if mask.dtype == bool else mask > 127
    else:
        image = mask if isinstance(mask, Image.Image) else _opened_image(mask, word)
        found = np.asarray(image if image.mode == "L" else image.convert("L")) > 127
    if found.shape != size:
        raise InputError(f"{word} is {found.shape} but the picture is {size}: give one of the same size")
    return found


def boxes(hole: Hole) -> Iterator[Box]:
    """Boxes around groups of holes that rows or columns of known pixels part, from the top left on."""
    todo = [(0, 0, hole.shape[1], hole.shape[0])] if hole.any() else []
    while todo:
        box = _tight(hole, todo.pop())
        parts = [part for axis in (0, 1) if len(part := _parted(hole, box, axis)) > 1]
        if parts:
            todo += reversed(parts[0])
        else:
            yield box


def _tight(hole: Hole, box: Box) -> Box:
    here = hole[box[1] : box[3], box[0] : box[2]]
    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    left, top = box[0], box[1]
    return (left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1)


def _parted(hole: Hole, box: Box, axis: int) -> list[Box]:
    """The box cut wherever `APART` rows (axis 0) or columns (axis 1) hold nothing."""
    left, top, right, bottom = box
    filled = np.flatnonzero(hole[top:bottom, left:right].any(1 - axis))
    ends = np.flatnonzero(np.diff(filled) > APART)
    firsts, lasts = np.r_[filled[:1], filled[ends + 1]], np.r_[filled[ends], filled[-1:]] + 1
    if axis == 0:
        return [(left, top + int(a), right, top + int(b)) for a, b in zip(firsts, lasts, strict=True)]
    return [(left + int(a), top, left + int(b), bottom) for a, b in zip(firsts, lasts, strict=True)]


# One window


def crop_of(box: Box, size: tuple[int, int], window: dict[str, Any]) -> tuple[Box, float]:
    """The crop that shows a box with its surroundings, and the size seen / the size in the picture, at most 1.

    A network that knows one side alone gets a square, which may reach beyond the picture; others stay inside it.
    """
    height, width = size
    left, top, right, bottom = box
    extent = max(right - left, bottom - top)
    if only := window["only"]:
        fits = window["centre"][1] if window.get("centre") else window["hole"]
        length = max(only, math.ceil(only * extent / fits))
        x, y = (left + right - length) // 2, (top + bottom - length) // 2
        if not window.get("centre"):  # the hole may lie anywhere in the square: look at the picture
            x, y = (max(0, min(at, end - length)) for at, end in ((x, width), (y, height)))
        return (x, y, x + length, y + length), only / length
    shrunk = min(1.0, window["hole"] / extent)
    around = min(window.get("context", 1.0) * extent, max(width, height))
    around = math.ceil(max(around, (OVERVIEW / shrunk - extent) / 2))
    crop = (max(0, left - around), max(0, top - around), min(width, right + around), min(height, bottom + around))
    return crop, min(shrunk, window["side"] / max(crop[2] - crop[0], crop[3] - crop[1]))


@dataclass(frozen=True)
class _Spot:
    """A box to fill and what is shown of its surroundings.

    Attributes:
        crop: may reach beyond the picture
        rows, columns: of the picture, that the crop shows; mirrored beyond the border
        scale: size seen / size in the picture
    """

    box: Box
    crop: Box
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    scale: float

    def seen_from(self, part: Box) -> _Spot:
        """The same in the coordinates of a part of the picture."""
        left, top = part[:2]
        box, crop = ((each[0] - left, each[1] - top, each[2] - left, each[3] - top) for each in (self.box, self.crop))
        return _Spot(box, crop, self.rows - top, self.columns - left, self.scale)


def _spot(box: Box, size: tuple[int, int], window: dict[str, Any]) -> _Spot:
    crop, scale = crop_of(box, size, window)
    rows, columns = (_mirrored(crop[at], crop[at + 2], size[1 - at]) for at in (1, 0))
    return _Spot(box, crop, rows, columns, scale)


def _around(spots: list[_Spot]) -> Box:
    """The part of the picture that they show."""
    ends = [(spot.columns.min(), spot.rows.min(), -spot.columns.max() - 1, -spot.rows.max() - 1) for spot in spots]
    left, top, right, bottom = np.min(ends, 0).tolist()
    return (left, top, -right, -bottom)


def _filled(
    network: Network, levels: Array, hole: Hole, spots: list[_Spot], guides: dict[str, Any], here: tuple[slice, slice]
) -> Array:
    """A part's values with its hole filled, in place; `here` is where the part lies in the guides."""
    grey = levels.ndim == 2
    colours = _colours(levels)  # a view, unless it is grey
    left = hole.copy()
    for spot in spots:
        _fill_box(network, colours, left, spot, {name: guide[here] for name, guide in guides.items()})
    if grey:
        levels[hole] = np.asarray(Image.fromarray(colours).convert("L"))[hole]
    return levels


def _fill_box(network: Network, colours: Array, left: Hole, spot: _Spot, guides: dict[str, Any]) -> None:
    """Fill one box in place; what is filled is known from then on."""
    window, box, crop = network.window, spot.box, spot.crop
    rows, columns = spot.rows, spot.columns
    here = np.ix_(rows, columns)
    unknown = left[here]
    seen = colours[here]
    if window.get("centre"):
        unknown = _inside(crop, box, unknown)
        seen = np.where((left[here] & ~unknown)[..., None], _mean(seen, ~left[here]), seen)
    size = (len(rows), len(columns))
    target = (window["only"],) * 2 if window["only"] else tuple(max(1, round(side * spot.scale)) for side in size)
    given = {name: guide[here] for name, guide in guides.items()}
    if target != size:
        seen, unknown = _shrunk(seen, unknown, target)
        given = {name: _resized(guide, target) for name, guide in given.items()}
    result = _run(network, seen, unknown, given)
    if target != size:
        result = np.asarray(Image.fromarray(result).resize(size[::-1], Image.Resampling.BICUBIC))
    top, start = box[1] - crop[1], box[0] - crop[0]
    part = result[top : top + box[3] - box[1], start : start + box[2] - box[0]]
    inside = (slice(box[1], box[3]), slice(box[0], box[2]))
    mine = left[inside].copy()
    colours[inside][mine] = part[mine]
    left[inside] = False


def _inside(crop: Box, box: Box, unknown: Hole) -> Hole:
    """The unknown pixels of the box alone: a centre network fills nothing else."""
    kept = np.zeros_like(unknown)
    rows = slice(box[1] - crop[1], box[3] - crop[1])
    columns = slice(box[0] - crop[0], box[2] - crop[0])
    kept[rows, columns] = unknown[rows, columns]
    return kept


def _mean(seen: Array, known: Hole) -> Array:
    return np.asarray(seen[known].mean(0) if known.any() else np.full(3, 127)).astype(np.uint8)


def _mirrored(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """Positions of an axis that mirrors at both ends without repeating the end."""
    period = max(1, 2 * length - 2)
    at = np.arange(start, stop) % period
    return np.minimum(at, period - at) if length > 1 else np.zeros(stop - start, np.int64)


def _shrunk(seen: Array, unknown: Hole, size: tuple[int, ...]) -> tuple[Array, Hole]:
    """Averages of known pixels; a small pixel that touches the hole is hole, unless that leaves none."""
    known = (~unknown).astype(np.float32)
    share = _averaged(known, size)
    planes = [_averaged(seen[..., colour] * known, size) for colour in range(3)]
    hole = share < 1 - 1e-4
    if hole.all():
        hole = share < 1e-6
    small = np.stack(planes, -1) / np.maximum(share, 1e-6)[..., None]
    small[hole] = 0
    return np.clip(np.round(small), 0, 255).astype(np.uint8), hole


def _averaged(plane: NDArray[Any], size: tuple[int, ...]) -> NDArray[np.float32]:
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX))


def _resized(guide: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """A guide at the window's size: a stroke survives."""
    if guide.dtype == bool:
        return _averaged(guide, size) > 0
    return np.asarray(Image.fromarray(guide).resize((size[1], size[0]), Image.Resampling.BOX))


def _run(network: Network, seen: Array, unknown: Hole, guides: dict[str, Any]) -> Array:
    """(h, w, 3) of any size and its hole -> the network's prediction, 8 bits; hidden colours are not shown to it."""
    seen = np.where(unknown[..., None], np.uint8(0), seen)
    if network.facts["form"] == "pipeline":
        levels = {
            name: (each[None].astype(np.uint8) * 255 if each.dtype == bool else each[None])
            for name, each in {"picture": seen, "mask": unknown, **guides}.items()
        }
        return np.asarray(network.run(levels)[0])
    window = network.window
    height, width = unknown.shape
    rows, columns = (_mirrored(0, _fitting(side, window), side) for side in (height, width))
    arrays = {}
    for name, each in {"image": seen, "mask": unknown, **guides}.items():
        grown = each[np.ix_(rows, columns)].astype(np.float32)
        arrays[name] = grown[None, None] if each.ndim == 2 else (grown / 127.5 - 1).transpose(2, 0, 1)[None]
    arrays = {name: np.ascontiguousarray(each) for name, each in arrays.items()}
    result = network.run(arrays)[0, :, :height, :width]
    return np.clip(np.round((result.transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)


def _fitting(side: int, window: dict[str, Any]) -> int:
    if window["only"]:
        return side
    multiple = int(window["multiple"])
    return int(-(-max(side, window["smallest"]) // multiple) * multiple)

"""Masks from a folder's files: how a file is read, turned and chosen, in words that follow the folder in brackets.

"masks/(rotate=45, dilate=3, ratio=0.1-0.2)": turned by up to 45 degrees, grown by 3 pixels, covering 10 to 20 % of the
training image. Each paper's data set has its own rule; its preset names it (`DataConfig.mask_files`), and the words in
brackets come on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from retouche.errors import DataError, InputError
from retouche.folders.finding import walk
from retouche.masks import dilate, hole_ratio, open_mask
from retouche.pictures.doors import read_file
from retouche.pictures.formats import SUFFIXES

Mask = NDArray[np.bool_]

TRIES = 400
"""Files looked at for one whose hole ratio is in the wanted range."""
INVERTED = 0.6
"""Masks that are more hole than this on average have probably white for what is known: the published sets stop at 0.6
for their fullest class."""
LOOKED_AT = 64
"""Files whose hole ratio is looked at to find the polarity of a folder."""


@dataclass(frozen=True)
class Reading:
    """What becomes of a mask file.

    Attributes:
        flip: mirrored half of the time: "" never, "x" left to right, "xy" upside down too
        rotate: turned by up to so many degrees, one way, corners known
        dilate: grown by so many pixels of the training image
        above: hole is what is above "half" of the range, or above "zero" after bilinear resizing, so that a hole
            reaches as far as any of it does
        ratio: least and largest hole ratio of the result
        invert: whether black is the hole
    """

    flip: str = "xy"
    rotate: float = 0.0
    dilate: int = 0
    above: str = "half"
    ratio: tuple[float, float] = (0.0, 1.0)
    invert: bool = False


def _choice(*known: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"give {' or '.join(word or 'none' for word in known)}")
        return text

    return read


def _range(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    bounds = (float(low), float(high)) if dash else (0.0, 0.0)
    if not 0 <= bounds[0] < bounds[1] <= 1:
        raise ValueError("give two fractions, such as 0.1-0.2")
    return bounds


def _between(low: float, high: float, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise ValueError(f"give {low:g} to {high:g}")
        return value

    return read


_READERS: Mapping[str, Callable[[str], Any]] = {
    "flip": lambda text: _choice("", "x", "xy")("" if text == "none" else text),
    "rotate": _between(0, 180, float),
    "dilate": _between(0, 500, int),
    "above": _choice("half", "zero"),
    "ratio": _range,
    "invert": lambda text: _choice("yes", "no")(text) == "yes",
}


def parse_reading(text: str, basis: Reading | None = None) -> Reading:
    """ "rotate=45, flip=x" -> how files are read; what is not given is as in `basis`.

    Raises: InputError naming the word that does not fit
    """
    changes: dict[str, Any] = {}
    for part in (one.strip() for one in text.split(",")):
        if not part:
            continue
        name, _, value = (one.strip() for one in part.partition("="))
        if name not in _READERS:
            raise InputError(f'mask files know no "{part}": give {", ".join(f"{word}=" for word in _READERS)}')
        try:
            changes[name] = _READERS[name](value)
        except ValueError as error:
            raise InputError(f'"{part}" does not fit: {error}') from None
    return replace(basis or Reading(), **changes)


@lru_cache(maxsize=16)
def mask_paths(folder: str) -> tuple[Path, ...]:
    """The pictures of a folder, read once.

    Raises: DataError if there are none
    """
    found, _ = walk(Path(folder))
    if not found:
        raise DataError(f"{folder} holds no mask picture: give a folder with {', '.join(SUFFIXES)} files")
    return tuple(source.path for source in found)


def read_mask(path: Path, height: int, width: int, reading: Reading) -> Mask:
    """One file at the wanted size, neither mirrored nor turned nor grown yet.

    Raises: InputError or DataError if it cannot be read
    """
    if reading.above == "zero":
        grey = _grey(path)
        grey = 255 - grey if reading.invert else grey
        return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BILINEAR)) > 0
    hole, _ = open_mask(path, None, invert=reading.invert)
    return np.array(Image.fromarray(hole).resize((width, height), Image.Resampling.NEAREST), np.bool_)


def _grey(path: Path) -> NDArray[np.uint8]:
    """A file's grey values, (H, W), 0..255: any above 0 stay above 0."""
    pixels = read_file(path).pixels
    full = 1.0 if pixels.dtype.kind in "bf" else float(np.iinfo(pixels.dtype).max)
    colours = pixels if pixels.shape[2] < 3 else pixels[..., :3]
    grey = colours[..., :1] if pixels.shape[2] < 3 else colours
    return np.asarray(np.ceil(grey.max(axis=2).astype(np.float64) * (255.0 / full)), np.uint8)


def varied(rng: Generator, hole: Mask, reading: Reading) -> Mask:
    """The mask mirrored, turned and grown by chance: (H, W) -> (H, W)."""
    if "x" in reading.flip and rng.uniform() < 0.5:
        hole = hole[:, ::-1]
    if "y" in reading.flip and rng.uniform() < 0.5:
        hole = hole[::-1]
    if reading.rotate:
        turned = Image.fromarray(np.ascontiguousarray(hole)).convert("L")
        angle = float(rng.uniform(0, reading.rotate))
        hole = np.asarray(turned.rotate(angle, Image.Resampling.NEAREST)) > 0
    if reading.dilate:
        hole = dilate(np.ascontiguousarray(hole), reading.dilate)
    return np.ascontiguousarray(hole)


def from_folder(rng: Generator, height: int, width: int, folder: str, reading: Reading) -> Mask:
    """A random file of a folder.

    Raises: DataError if a file cannot be read, or none has a hole ratio as wanted
    """
    paths, (low, high) = mask_paths(folder), reading.ratio
    for _ in range(TRIES):
        hole = varied(rng, read_mask(paths[int(rng.integers(len(paths)))], height, width, reading), reading)
        if (low, high) == (0.0, 1.0) or low <= hole_ratio(hole) <= high:
            return hole
    raise DataError(
        f"none of {TRIES} masks of {folder} covers {low:.0%} to {high:.0%} of the picture: give another ratio="
    )


def check_polarity(folder: str, reading: Reading) -> float:
    """The mean hole ratio of a folder's masks, as they are read.

    Raises: InputError if they are so full that white must be what is known
    """
    ratios = list(_ratios(mask_paths(folder), reading))
    mean = sum(ratios) / len(ratios)
    if mean > INVERTED:
        remedy = "--invert-mask no" if reading.invert else "--invert-mask yes"
        keep = "--invert-mask yes" if reading.invert else "--invert-mask no"
        raise InputError(
            f"the masks of {folder} are {mean:.0%} hole on average: is the other colour the hole? {remedy} if so, "
            f"{keep} if they are right as they are"
        )
    return mean


def _ratios(paths: tuple[Path, ...], reading: Reading) -> Iterator[float]:
    count = min(LOOKED_AT, len(paths))
    for number in range(count):
        hole, _ = open_mask(paths[number * len(paths) // count], None, invert=reading.invert)
        yield hole_ratio(hole)

"""A mark of a whole folder: looked for in small copies first, then measured at full size where it was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.nn import functional

from retouche.errors import InputError
from retouche.finders.planes import Floats
from retouche.finders.watermark import FEWEST, Mark, estimate, outline, region_of
from retouche.image import Box
from retouche.masks import components
from retouche.pictures import Picture, measure, open_picture

MOST = 48
"""Pictures that are measured, spread over the folder."""
SMALL = 1024
"""Longest side of the small copies, pixels."""
VALUES = 250_000_000
"""Numbers held at once; fewer pictures are measured where the mark's surroundings are large."""


@dataclass(frozen=True)
class Series:
    """Pictures of one size that may bear one mark.

    Attributes:
        paths: of the size that most have
        size: height, width as displayed, pixels
        left_out: of other sizes
    """

    paths: tuple[Path, ...]
    size: tuple[int, int]
    left_out: tuple[Path, ...]


@dataclass(frozen=True)
class Found:
    """A mark and where it lies."""

    mark: Mark
    box: Box


def same_size(paths: Sequence[Path]) -> Series:
    """The pictures that share the most frequent size.

    Raises: InputError if they are too few to separate a mark from chance
    """
    sizes = {path: _size(path) for path in paths}
    size, count = Counter(sizes.values()).most_common(1)[0]
    if count < FEWEST:
        raise InputError(
            f"only {count} pictures share a size ({size[1]}x{size[0]}): a mark shows in {FEWEST} or more of one size"
        )
    chosen = tuple(path for path in paths if sizes[path] == size)
    return Series(chosen, size, tuple(path for path in paths if sizes[path] != size))


def find_mark(series: Series, advance: Callable[[float], None] = lambda done: None) -> Found | None:
    """The mark at the same place of all pictures; None if nothing stays the same.

    Args:
        advance: called with the number of pictures read; there are at most 2 * `MOST`
    """
    height, width = series.size
    factor = -(-max(height, width) // SMALL)
    chosen = _spread(series.paths, MOST)
    small = np.stack([_small(path, factor, advance, number) for number, path in enumerate(chosen, 1)])
    region = region_of(outline(small))
    if not region.any():
        return None
    margin = 24
    boxes = components(region, max(region.shape))  # one box around all of it
    left, top, right, bottom = (factor * side for side in boxes[0])
    box = max(0, left - margin), max(0, top - margin), min(width, right + margin), min(height, bottom + margin)
    if factor == 1:
        stack = small[:, box[1] : box[3], box[0] : box[2]]
    else:
        pixels = 3 * (box[2] - box[0]) * (box[3] - box[1])
        chosen = _spread(series.paths, max(FEWEST, min(MOST, VALUES // pixels)))
        stack = np.stack([_pixels(path, box, advance, len(small) + number) for number, path in enumerate(chosen, 1)])
    mark = estimate(stack)
    return None if mark is None else Found(mark, box)


def _spread(paths: Sequence[Path], most: int) -> list[Path]:
    """At most so many of them, evenly."""
    count = min(most, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def _size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        width, height = measure(file, path.name)
    return height, width


def values(picture: Picture, box: Box | None = None) -> Floats:
    """(h, w, 3), 0..1, RGB"""
    return ((picture.rgb(box)[0].permute(1, 2, 0) + 1) / 2).contiguous().numpy()


def _pixels(path: Path, box: Box, advance: Callable[[float], None], number: int) -> Floats:
    pixels = values(open_picture(path), box)
    advance(number)
    return pixels


def _small(path: Path, factor: int, advance: Callable[[float], None], number: int) -> Floats:
    image = (open_picture(path).rgb() + 1) / 2
    advance(number)
    if factor > 1:
        image = functional.avg_pool2d(image, factor, ceil_mode=True, count_include_pad=False)
    return image[0].permute(1, 2, 0).contiguous().numpy()

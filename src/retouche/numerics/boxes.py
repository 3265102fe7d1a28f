"""How a picture is cut into boxes that join pairwise or in fours until one is left: numbers only, no matrices.

A box of (h, w) links has (h + 1, w + 1) pixels; neighbours share the line between them. Boxes of the lower half are
numbered upside down and those of the right half mirrored, so that a box's first line lies towards the picture's edge
and its last towards the middle. All four quarters of a picture are then alike, and so are all boxes of one level.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

BOX = 6
"""Links along a smallest box at most."""

Size = tuple[int, int]
"""Along y and x."""

Pixel = tuple[int, int]
"""y and x within a box."""


class Level(NamedTuple):
    """Boxes of one size."""

    grid: Size
    """Boxes along y and x."""
    size: Size
    """Links of a box."""


class Join(NamedTuple):
    """How boxes, or one alone, make up others: first the inner pixels, which can go, then the border's."""

    parts: tuple[tuple[tuple[int, int, int], ...], ...]
    """For each part the pieces of its border, (start, stop, to), that stay in one piece."""
    inner: int
    border: int


def cut(height: int, width: int) -> Level:
    """The smallest boxes, a power of two along each axis, that cover a picture."""
    boxes, links = [1, 1], [1, 1]
    for axis, length in enumerate((height, width)):
        while -(-(length - 1) // boxes[axis]) > BOX:
            boxes[axis] *= 2
        links[axis] = max(1, -(-(length - 1) // boxes[axis]))
    return Level((boxes[0], boxes[1]), (links[0], links[1]))


def joined(level: Level) -> Level:
    """The next level: twos join along each axis that has more than one box."""
    (rows, columns), (h, w) = level.grid, level.size
    return Level((-(-rows // 2), -(-columns // 2)), (h * min(rows, 2), w * min(columns, 2)))


def border(level: Level) -> list[Pixel]:
    """The pixels that a box shares with others: its top row, left and right column, bottom row.

    The picture's own edge is shared with none: the first line drops out where two boxes are left along an axis, the
    last where one is. (Earlier only some of the boxes could lose it, and those of one level would not be alike.)
    """
    (rows, columns), (h, w) = level.grid, level.size
    lines = {y for y, shared in ((0, rows > 2), (h, rows > 1)) if shared}
    posts = {x for x, shared in ((0, columns > 2), (w, columns > 1)) if shared}
    (top, *between, bottom), across = _order(h, rows), _order(w, columns)
    first, last = ([(y, x) for x in across if y in lines or x in posts] for y in (top, bottom))
    return [*first, *((y, x) for x in sorted(posts) for y in between), *last]


def _order(links: int, boxes: int) -> list[int]:
    """A box's lines, from the edge to the middle in both halves if only one box is left: so its parts have them."""
    middle = links if boxes > 1 else links // 2
    return [*range(middle + 1), *range(links, middle, -1)]


@cache
def join(level: Level) -> tuple[tuple[Join | None, ...], Join]:
    """How the boxes of a level join.

    Returns: what goes from each part before, pixels on the picture's edge that it alone has; and the join of the rest
    """
    borders = [[_moved(pixel, part, level) for pixel in border(level)] for part in _parts(level)]
    outer = border(joined(level))
    kept, shared_by = set(outer), Counter(pixel for one in borders for pixel in one)
    own = {pixel for pixel, count in shared_by.items() if count == 1 and pixel not in kept}
    alone: list[Join | None] = []
    for k, pixels in enumerate(borders):
        borders[k] = [pixel for pixel in pixels if pixel not in own]
        alone.append(_join([pixels], borders[k]) if len(borders[k]) < len(pixels) else None)
    return tuple(alone), _join(borders, outer)


def _join(borders: list[list[Pixel]], outer: list[Pixel]) -> Join:
    """The join of parts with these borders to a box with this one."""
    kept = set(outer)
    inner = [pixel for pixel in dict.fromkeys(pixel for one in borders for pixel in one) if pixel not in kept]
    place = {pixel: k for k, pixel in enumerate([*inner, *outer])}
    return Join(tuple(_pieces([place[pixel] for pixel in one], len(inner)) for one in borders), len(inner), len(outer))


def _pieces(places: list[int], inner: int) -> tuple[tuple[int, int, int], ...]:
    """Longest pieces (start, stop, to) that keep their order and do not reach from the inner pixels into the border."""
    breaks = [k for k in range(1, len(places)) if places[k] != places[k - 1] + 1 or places[k] == inner]
    return tuple((start, stop, places[start]) for start, stop in pairwise([0, *breaks, len(places)]))


@lru_cache(4)
def lines(level: Level) -> tuple[Tensor, Tensor]:
    """The picture's rows, (boxes, h + 1), and columns, (boxes, w + 1), that a level's boxes lie on.

    Boxes are numbered so that the first parts of the next level's boxes come first, then the second ones, ...
    """
    place, mirrored = _places(level)
    rows, columns = (
        torch.where(
            mirrored[:, axis, None],
            (place[:, axis, None] + 1) * links - torch.arange(links + 1),
            place[:, axis, None] * links + torch.arange(links + 1),
        )
        for axis, links in enumerate(level.size)
    )
    return rows.T.contiguous(), columns.T.contiguous()


def _places(level: Level) -> tuple[Tensor, Tensor]:
    """Each box's number along y and x, (boxes, 2), and whether it is mirrored there."""
    if level.grid == (1, 1):
        return torch.zeros(1, 2, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.bool)
    places, mirrors = [], []
    whole, mirrored = _places(joined(level))
    doubled = torch.tensor([boxes > 1 for boxes in level.grid])
    last = torch.tensor([boxes == 2 for boxes in level.grid])
    for part in torch.tensor(_parts(level)):
        turned = mirrored | (last & (part == 1))
        places.append(torch.where(doubled, 2 * whole + torch.where(mirrored, 1 - part, part), whole))
        mirrors.append(turned)
    return torch.cat(places), torch.cat(mirrors)


def _parts(level: Level) -> list[Size]:
    """The parts of a joined box, numbered along y and x."""
    rows, columns = level.grid
    return [(i, j) for i in range(min(rows, 2)) for j in range(min(columns, 2))]


def _moved(pixel: Pixel, part: Size, level: Level) -> Pixel:
    """Where a part's pixel is in the joined box; the last two parts along an axis are mirror images."""
    y, x = (
        at + far * number if boxes > 2 or number == 0 else 2 * far - at
        for at, number, far, boxes in zip(pixel, part, level.size, level.grid, strict=True)
    )
    return y, x

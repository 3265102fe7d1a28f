"""Holes of straight lines and boxes: what masks are drawn on, chains of segments, and the sets of LaMa.

Source: Suvorov et al. 2021 (arXiv 2109.07161) and its code's configurations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from retouche.masks import Box, hole_ratio

REDRAWN = 400
"""How often a maker draws anew until its hole ratio is as published; the published codes have no end."""

Mask: TypeAlias = NDArray[np.bool_]
Point: TypeAlias = tuple[float, float]

REFERENCE = 256  # pixels; the picture size that lengths below belong to


class Drawn(NamedTuple):
    """A mask (H, W), True = hole, and its local box where the maker has one of its own."""

    hole: Mask
    box: Box | None = None


def scale_of(height: int, width: int) -> float:
    """What lengths of a 256 picture are multiplied by."""
    return math.sqrt(height * width) / REFERENCE


class Canvas:
    """Draws holes on a picture of the given size."""

    def __init__(self, height: int, width: int) -> None:
        self._picture = Image.new("1", (width, height))
        self._draw = ImageDraw.Draw(self._picture)

    def line(self, points: Sequence[Point], width: float) -> None:
        self._draw.line([(x, y) for x, y in points], fill=1, width=max(1, round(width)))

    def disc(self, centre: Point, radius: float) -> None:
        x, y = centre
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)

    def polygon(self, points: Sequence[Point]) -> None:
        self._draw.polygon([(x, y) for x, y in points], fill=1)

    def mask(self) -> Mask:
        return np.array(self._picture, np.bool_)


@dataclass(frozen=True)
class Lines:
    """Chains of straight segments, in pixels of a picture of `side`; both ends of a range count.

    Attributes:
        chains: how many
        length: of a segment
        width: of its line
        angles: a segment's angle is 0.01 + an integer below this, radians
        inside: whether a chain is stopped at the border; else it may wander out of the picture and back
        turned: whether the sine of the angle goes down, not across
        side: of the picture that the lengths are of
    """

    chains: tuple[int, int]
    length: tuple[int, int]
    width: tuple[int, int]
    angles: int = 4
    inside: bool = True
    turned: bool = False
    side: int = REFERENCE


def chained(rng: Generator, height: int, width: int, style: Lines) -> Mask:
    canvas = Canvas(height, width)
    scale = scale_of(height, width) * REFERENCE / style.side
    for number in range(int(rng.integers(style.chains[0], style.chains[1] + 1))):
        x, y = float(rng.integers(0, width)), float(rng.integers(0, height))
        for _ in range(int(rng.integers(1, 6))):
            angle = 0.01 + int(rng.integers(0, style.angles))
            angle = 2 * math.pi - angle if number % 2 == 0 else angle
            length = scale * int(rng.integers(style.length[0], style.length[1] + 1))
            thick = scale * int(rng.integers(style.width[0], style.width[1] + 1))
            across, down = math.sin(angle), math.cos(angle)
            across, down = (down, across) if style.turned else (across, down)
            end_x, end_y = x + length * across, y + length * down
            if style.inside:
                end_x, end_y = min(max(end_x, 0), width), min(max(end_y, 0), height)
            end_x, end_y = float(int(end_x)), float(int(end_y))
            canvas.line([(x, y), (end_x, end_y)], thick)
            x, y = end_x, end_y
    return canvas.mask()


@dataclass(frozen=True)
class Boxes:
    """Several boxes, in pixels of a picture of `size`; both ends of a range count."""

    count: tuple[int, int]
    margin: int
    side: tuple[int, int]
    size: int = REFERENCE


def boxed(rng: Generator, height: int, width: int, style: Boxes) -> Mask:
    scale = scale_of(height, width) * REFERENCE / style.size
    margin = round(style.margin * scale)
    hole = np.zeros((height, width), np.bool_)
    for _ in range(int(rng.integers(style.count[0], style.count[1] + 1))):
        sides = []
        for length in (height, width):
            most = max(1, min(round(style.side[1] * scale), length - 2 * margin - 1))
            least = min(most, max(1, round(style.side[0] * scale)))
            side = int(rng.integers(least, most + 1))
            start = int(rng.integers(min(margin, length - side), max(margin, length - margin - side) + 1))
            sides.append(slice(start, start + side))
        hole[sides[0], sides[1]] = True
    return hole


@dataclass(frozen=True)
class Mixture:
    """Chains or boxes, one kind for each mask.

    Attributes:
        lines: the chains
        boxes: the boxes
        share: masks of boxes for each mask of chains
        most: hole ratio up to which a mask counts; it is drawn anew until then
    """

    lines: Lines
    boxes: Boxes = Boxes((1, 1), 0, (1, 1))
    share: float = 0.0
    most: float = 1.0

    def __call__(self, rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
        """Draw one mask."""
        for _ in range(REDRAWN):
            boxes = rng.uniform() < self.share / (1 + self.share)
            hole = boxed(rng, height, width, self.boxes) if boxes else chained(rng, height, width, self.lines)
            if hole_ratio(hole) <= self.most:
                break
        return Drawn(hole)


LAMA = {
    # what LaMa learned from, and the thin masks of the paper's ablation
    "wide": Mixture(Lines((1, 6), (10, 209), (5, 104)), Boxes((1, 4), 10, (30, 150)), 1.0),
    "narrow": Mixture(Lines((4, 13), (10, 89), (5, 44)), Boxes((1, 1), 0, (30, 128)), 1.0),
    # the test sets, of pictures of 256 and of 512
    "lama-narrow": Mixture(Lines((4, 51), (10, 49), (5, 14)), most=0.5),
    "lama-medium": Mixture(Lines((4, 6), (10, 109), (5, 54)), Boxes((1, 5), 0, (10, 50)), 0.3, 0.5),
    "lama-wide": Mixture(Lines((1, 6), (10, 209), (5, 104)), Boxes((1, 3), 10, (30, 150)), 0.3, 0.5),
    "lama-narrow-512": Mixture(Lines((4, 71), (10, 109), (5, 24), side=512), most=0.5),
    "lama-medium-512": Mixture(
        Lines((4, 11), (10, 209), (5, 104), side=512), Boxes((1, 5), 0, (30, 150), size=512), 0.3, 0.5
    ),
    "lama-wide-512": Mixture(
        Lines((1, 6), (10, 459), (5, 254), side=512), Boxes((1, 4), 10, (30, 300), size=512), 0.3, 0.5
    ),
}
"""The sets of Suvorov et al. and their code. A count has one more than its configuration's largest, as drawn there."""

"""Holes for training and evaluation: drawn at random, seeded, at any size.

A specification names makers and how often each is drawn: "wide:2,box:1" draws two wide masks for one box,
"strokes+box" unites the holes of both, "box(0.25)" gives a maker its number (sides are fractions of the picture's), and
a word that is a folder takes masks from its files, "masks/(rotate=45,dilate=3)" as `mask_files` says. "paired:FOLDER"
takes each picture's own mask of the same name. All lengths are those of 256x256 pictures and scale with the size.

Sources: Yu et al. 2018 (arXiv 1801.07892) and 2019 (arXiv 1806.03589) with their code; Liu et al. 2018
(arXiv 1804.07723); Suvorov et al. 2021 (arXiv 2109.07161); mmagic (github.com/open-mmlab/mmagic).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retouche.data.mask_chains import LAMA, REDRAWN, REFERENCE, Canvas, Drawn, Lines, Mask, Point, chained, scale_of
from retouche.data.mask_files import Reading, from_folder, mask_paths, parse_reading
from retouche.data.sampler import sample_key
from retouche.errors import InputError
from retouche.masks import Box, hole_ratio

FULLEST = 0.95
"""No mask may leave less than a twentieth of the picture known."""
TRIES = 20


Maker: TypeAlias = Callable[[Generator, int, int, Sequence[float]], Drawn]
"""(NumPy's random generator, height, width, numbers in brackets) -> hole (H, W), True = hole; its own box if any."""


# Boxes ----------------------------------------------------------------------------------------------------------------


def _sides(height: int, width: int, numbers: Sequence[float]) -> tuple[int, int]:
    """A box's height and width for a fraction of the picture's; what rounds to all of it leaves a row known."""
    fraction = numbers[0] if numbers else 0.5
    tall, wide = max(1, round(fraction * height)), max(1, round(fraction * width))
    if (tall, wide) != (height, width):
        return tall, wide
    return (tall - 1, wide) if tall > 1 else (tall, max(1, wide - 1))


def box(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """DeepFill's box: half of each side, anywhere, then shrunk by up to a sixteenth on two opposite sides alike.

    Args:
        numbers: the box's side as a fraction of the picture's; 0.5 unless given

    Source: the official code at 256 pixels: box 128, shrunk by 0..16 at top and bottom and 0..16 at left and right
    """
    tall, wide = _sides(height, width, numbers)
    top, left = int(rng.integers(0, max(1, height - tall))), int(rng.integers(0, max(1, width - wide)))
    shrink_y = int(rng.integers(0, tall // 8 + 1))
    shrink_x = int(rng.integers(0, wide // 8 + 1))
    hole = np.zeros((height, width), np.bool_)
    hole[top + shrink_y : top + tall - shrink_y, left + shrink_x : left + wide - shrink_x] = True
    return Drawn(hole, (left, top, left + wide, top + tall))


def mmagic_box(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """mmagic's box: half of each side, 20 of 256 pixels from the border, up to 20 taken off at the top and at the left.

    The upper ends of the ranges of top and left are never drawn. The local box is of the full size and has the hole in
    its middle, rounded up and to the left.

    Source: mmagic's `random_bbox` and `scale_bbox`; its remark that the box's centre stays is wrong.
    """
    rows, columns = (_mmagic_side(rng, length, numbers[0] if numbers else 0.5) for length in (height, width))
    hole = np.zeros((height, width), np.bool_)
    hole[rows[0] : rows[1], columns[0] : columns[1]] = True
    return Drawn(hole, (columns[2], rows[2], columns[3], rows[3]))


def _mmagic_side(rng: Generator, length: int, fraction: float) -> tuple[int, int, int, int]:
    """Start and end of the hole, start and end of the local box, along one side of the picture."""
    side = min(max(1, round(fraction * length)), max(1, length - 1))
    margin = min(round(20 / REFERENCE * length), (length - side) // 2)
    start = int(rng.integers(margin, max(margin + 1, length - margin - side)))
    cut = int(rng.integers(0, min(round(20 / REFERENCE * length), side - 1) + 1))
    local = max(0, start + cut - cut // 2)
    local = min(local, length - side)
    return start + cut, start + side, local, local + side


def centre(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """A box in the middle, the same every time; its side is half of the picture's, or the fraction in `numbers`."""
    tall, wide = _sides(height, width, numbers)
    top, left = (height - tall) // 2, (width - wide) // 2
    hole = np.zeros((height, width), np.bool_)
    hole[top : top + tall, left : left + wide] = True
    return Drawn(hole, (left, top, left + wide, top + tall))


# Strokes --------------------------------------------------------------------------------------------------------------


def strokes(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """DeepFill v2's free-form strokes: one to three, each a chain of 4 to 11 segments that turns back and forth.

    Source: the official code. It draws in a picture with height and width exchanged (no difference for squares) and
        flips a copy that is then thrown away; neither is done here.
    """
    canvas = Canvas(height, width)
    scale = scale_of(height, width)
    mean_angle, spread = 2 * math.pi / 5, 2 * math.pi / 15
    radius = math.hypot(height, width) / 8
    for _ in range(int(rng.integers(1, 4))):
        low, high = mean_angle - rng.uniform(0, spread), mean_angle + rng.uniform(0, spread)
        vertices = int(rng.integers(4, 12))
        angles = [
            2 * math.pi - rng.uniform(low, high) if i % 2 == 0 else rng.uniform(low, high) for i in range(vertices)
        ]
        points = [(float(rng.integers(0, width)), float(rng.integers(0, height)))]
        for angle in angles:
            length = min(max(rng.normal(radius, radius // 2), 0), 2 * radius)
            x, y = points[-1]
            x = min(max(x + length * math.cos(angle), 0), width)
            y = min(max(y + length * math.sin(angle), 0), height)
            points.append((float(int(x)), float(int(y))))
        thick = max(1, round(int(rng.uniform(12, 40)) * scale))
        canvas.line(points, thick)
        for point in points:
            canvas.disc(point, thick / 2)
    return Drawn(canvas.mask())


def mmagic(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """mmagic's irregular holes: 4 to 9 chains, redrawn until the hole covers 15 to 65 % of the picture.

    Chains may leave the picture and come back, as there; so holes at the border are cut off, not gathered along it.
    """
    style = Lines(chains=(4, 9), length=(20, 127), width=(10, 44), angles=6, inside=False, turned=True)
    hole = chained(rng, height, width, style)
    for _ in range(REDRAWN):
        if 0.15 < hole_ratio(hole) < 0.65:
            break
        hole = chained(rng, height, width, style)
    return Drawn(hole)


# Blots ----------------------------------------------------------------------------------------------------------------

CELL = 1 / 0.06
"""Side of a cell of the noise, pixels: 600 cells for 10,000 pixels."""
DENSITY = 0.25
"""Noise below this is hole."""


def blots(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """Blots of smoothed noise over more than 20 and less than 30 % of the picture, of one size in pixels at any size.

    Uniform noise of one number per 16.7 pixels, enlarged by cubic interpolation, is hole below 0.25; windows are drawn
    until their ratio fits.

    Source: the Lua code of Pathak et al. 2016 (github.com/pathak22/context-encoder) cuts its windows from one field of
        10,000 pixels for the whole training and takes one for a whole batch; here each picture has noise of its own.
    """
    hole = np.zeros((height, width), np.bool_)
    for _ in range(REDRAWN):
        down, across = (_cubic(length, rng.uniform()) for length in (height, width))
        noise = rng.uniform(size=(down.shape[1], across.shape[1]))
        hole = down @ noise @ across.T < DENSITY
        if 0.2 < hole_ratio(hole) < 0.3:
            break
    return Drawn(_never_empty(hole))


def _cubic(length: int, start: float) -> NDArray[np.float64]:
    """Weights (pixels, cells) of Catmull and Rom's cubic for pixels that begin `start` of a cell into the noise."""
    places = 1 + start + np.arange(length) / CELL
    first = np.floor(places).astype(np.int64) - 1
    weights = np.zeros((length, int(first[-1]) + 4))
    for tap in range(4):
        distance = np.abs(places - (first + tap))
        near = 1.5 * distance**3 - 2.5 * distance**2 + 1
        far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
        weights[np.arange(length), first + tap] = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights


# Irregular and object-shaped ------------------------------------------------------------------------------------------


def irregular(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """Winding bands, blobs and specks until a drawn share of the picture, 1 to 60 %, is hole.

    The look of the irregular mask set published with partial convolutions, which came from occlusions between video
    frames: strips along borders, ragged islands, thin trails; six classes of hole area in equal parts.

    Args:
        numbers: least and largest hole ratio instead of 0.01 and 0.6
    """
    low, high = (numbers[0], numbers[1]) if len(numbers) == 2 else (0.01, 0.6)
    wanted = rng.uniform(low, high)
    scale = scale_of(height, width)
    hole = np.zeros((height, width), np.bool_)
    for _ in range(400):
        ratio = hole_ratio(hole)
        if ratio >= wanted:
            break
        canvas = Canvas(height, width)
        room = math.sqrt((wanted - ratio) * height * width)  # the side of a square that would do, so nothing overshoots
        kind = rng.uniform()
        if kind < 0.6:
            _trail(canvas, rng, height, width, min(room / 3, rng.uniform(3, 30) * scale))
        else:
            reach = min(room / 2, rng.uniform(4, 48) * scale)
            middle = (rng.uniform(0, width), rng.uniform(0, height))
            canvas.polygon(_outline(rng, middle, reach, rng.uniform(0.3, 1.0), ragged=0.5))
        hole |= canvas.mask()
    if not hole.any():
        hole[int(rng.integers(height)), int(rng.integers(width))] = True
    return Drawn(hole)


def _trail(canvas: Canvas, rng: Generator, height: int, width: int, thick: float) -> None:
    """A band whose direction drifts and whose width breathes."""
    x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * math.pi)
    thick = max(1.0, thick)
    for _ in range(int(rng.integers(4, 28))):
        angle += rng.normal(0, 0.5)
        step = max(1.0, thick * rng.uniform(0.4, 1.0))
        end = (x + step * math.cos(angle), y + step * math.sin(angle))
        here = thick * rng.uniform(0.6, 1.2)
        canvas.line([(x, y), end], here)
        canvas.disc(end, here / 2)
        x, y = end


def _outline(rng: Generator, middle: Point, reach: float, flatness: float, ragged: float) -> list[Point]:
    """A closed curve around a point: a turned ellipse whose radius carries a few random waves."""
    waves = [(k, rng.normal(0, ragged / (k + 1)), rng.uniform(0, 2 * math.pi)) for k in range(2, 8)]
    turn = rng.uniform(0, 2 * math.pi)
    points = []
    for angle in np.linspace(0, 2 * math.pi, 72, endpoint=False):
        radius = reach * max(0.15, 1 + sum(size * math.cos(k * angle + phase) for k, size, phase in waves))
        x, y = radius * math.cos(angle), radius * flatness * math.sin(angle)
        points.append(
            (middle[0] + x * math.cos(turn) - y * math.sin(turn), middle[1] + x * math.sin(turn) + y * math.cos(turn))
        )
    return points


def objects(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """Silhouettes as of things that stand in a picture: a body of one to four overlapping rounded or cornered parts.

    One or two objects, each 15 to 50 % of the picture's side tall.
    """
    canvas = Canvas(height, width)
    side = math.sqrt(height * width)
    for _ in range(int(rng.integers(1, 3))):
        reach = side * rng.uniform(0.075, 0.25)
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        for _ in range(int(rng.integers(1, 5))):
            outline = _outline(rng, (x, y), reach, rng.uniform(0.4, 1.0), ragged=0.2)
            corners = outline if rng.uniform() < 0.6 else outline[:: int(rng.integers(6, 15))]
            canvas.polygon(corners)
            away, angle = reach * rng.uniform(0.5, 0.9), rng.uniform(0, 2 * math.pi)
            x, y, reach = x + away * math.cos(angle), y + away * math.sin(angle), reach * rng.uniform(0.5, 0.9)
    hole = canvas.mask()
    if not hole.any():
        hole[height // 2, width // 2] = True
    return Drawn(hole)


# Thin things, whose thickness is in pixels of the picture as it is, whatever its size ---------------------------------

THICKEST = 18.0
"""Of a scratch, pixels."""


def scratches(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """Winding lines of 1 to 18 pixels, two to eight on an area of 96x96; their width breathes a little."""
    canvas = Canvas(height, width)
    for _ in range(max(1, round(rng.uniform(2, 8) * height * width / 96**2))):
        even = rng.uniform() < 0.5
        thick = rng.uniform(1, THICKEST) if even else math.exp(rng.uniform(0, math.log(THICKEST)))
        _wander(canvas, rng, height, width, thick, bend=rng.uniform(0.02, 0.35))
    return Drawn(_never_empty(canvas.mask()))


def hairs(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """Two to twenty arcs of 1 to 3 pixels, as of hairs, wires and twigs."""
    canvas = Canvas(height, width)
    for _ in range(int(rng.integers(2, 21))):
        _wander(canvas, rng, height, width, rng.uniform(1, 3.4), bend=rng.uniform(0.01, 0.15))
    return Drawn(_never_empty(canvas.mask()))


def specks(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """Dust: discs of 1 to 8 pixels, five to sixty on an area of 128x128."""
    canvas = Canvas(height, width)
    for _ in range(max(1, round(rng.uniform(5, 60) * height * width / 128**2))):
        canvas.disc((rng.uniform(0, width), rng.uniform(0, height)), 0.5 * math.exp(rng.uniform(0, math.log(8))))
    return Drawn(_never_empty(canvas.mask()))


def letters(rng: Generator, height: int, width: int, numbers: Sequence[float] = ()) -> Drawn:
    """One to four lines of letters and digits of 8 to 48 pixels, turned by up to 30 degrees, as of dates and marks."""
    hole = np.zeros((height, width), np.bool_)
    signs = "ABCDEFGHKLMNPRSTUVXYZabcdefghkmnprstuvxyz0123456789.:/-'"
    for _ in range(int(rng.integers(1, 5))):
        text = "".join(signs[int(i)] for i in rng.integers(0, len(signs), int(rng.integers(3, 14))))
        font = ImageFont.load_default(int(rng.integers(8, 49)))
        left, top, right, bottom = font.getbbox(text)
        size = round(right - left) + 8, round(bottom - top) + 8
        line = Image.new("L", size)
        ImageDraw.Draw(line).text((4 - left, 4 - top), text, fill=255, font=font, stroke_width=int(rng.integers(0, 3)))
        line = line.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR, expand=True)
        page = Image.new("L", (width, height))
        at = rng.uniform(-0.3, 0.8) * width, rng.uniform(-0.1, 0.9) * height
        page.paste(line, (round(at[0]), round(at[1])))
        hole |= np.asarray(page) > 96
    return Drawn(_never_empty(hole))


def _never_empty(hole: Mask) -> Mask:
    """The hole, or its middle pixel where a tiny picture missed everything drawn."""
    if not hole.any():
        hole[hole.shape[0] // 2, hole.shape[1] // 2] = True
    return hole


def _wander(canvas: Canvas, rng: Generator, height: int, width: int, thick: float, bend: float) -> None:
    """A line from anywhere that keeps its direction but for a drift, 10 to 120 % of the picture's side long."""
    x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * math.pi)
    step = max(2.0, 0.5 * thick)
    turn = 0.0
    for _ in range(max(1, round(rng.uniform(0.1, 1.2) * math.sqrt(height * width) / step))):
        turn = 0.8 * turn + rng.normal(0, bend)
        angle += turn * 0.5
        end = (x + step * math.cos(angle), y + step * math.sin(angle))
        here = thick * rng.uniform(0.85, 1.15)
        canvas.line([(x, y), end], here)
        if here >= 3:
            canvas.disc(end, here / 2 - 0.5)
        x, y = end


# One of your own is a function and a line here, and in NUMBERS if it takes numbers (between 0 and 1, ascending), as
# `def corner(rng, height, width, numbers=()): hole = np.zeros((height, width), bool); ...; return Drawn(hole)`.
# The tests draw from every entry; name it in docs/training.md.
MAKERS: Mapping[str, Maker] = {
    "box": box,
    "centre": centre,
    "strokes": strokes,
    "irregular": irregular,
    "mmagic": mmagic,
    "mmagic-box": mmagic_box,
    "blots": blots,
    **LAMA,
    "objects": objects,
    "scratches": scratches,
    "hairs": hairs,
    "specks": specks,
    "letters": letters,
}
"""The makers by the word that names them in a specification."""

NUMBERS: Mapping[str, tuple[int, ...]] = {"box": (0, 1), "centre": (0, 1), "mmagic-box": (0, 1), "irregular": (0, 2)}
"""How many numbers a maker takes in brackets; none unless listed."""


# Specifications -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Masks:
    """A parsed specification: draws one mask per key.

    Attributes:
        text: as given
        weights: how often each of `unions` is drawn, relative
        unions: makers whose holes are united
        paired: folder of masks with the pictures' names, which are cut as the pictures are; then nothing is drawn
        reading: how the files of `paired` are read
        folders: the folders that masks come from, and how each one's files are read
    """

    text: str
    weights: tuple[float, ...]
    unions: tuple[tuple[Maker, ...], ...]
    paired: Path | None = None
    reading: Reading = field(default_factory=Reading)
    folders: tuple[tuple[str, Reading], ...] = ()

    def draw(self, key: int, height: int, width: int) -> Drawn:
        """The mask of a key: the same key, size and specification give the same mask.

        Redrawn, at most twenty times, while it is empty or leaves less than a twentieth of the picture known; after
        that its edge is made known.

        Returns: the mask, and a local box where a single maker with one drew it
        Raises: DataError if a folder's mask cannot be read, InputError for a picture of one pixel
        """
        if height * width < 2:
            raise InputError(f"a picture of {width}x{height} has no room for a hole and something known: give a larger")
        for attempt in range(TRIES):
            rng = np.random.default_rng([key & 0xFFFFFFFF, key >> 32, attempt])
            total = sum(self.weights)
            chosen = rng.uniform(0, total)
            number = 0
            while number < len(self.weights) - 1 and chosen >= self.weights[number]:
                chosen -= self.weights[number]
                number += 1
            drawn = [maker(rng, height, width, ()) for maker in self.unions[number]]
            hole = np.logical_or.reduce([one.hole for one in drawn])
            ratio = hole_ratio(hole)
            if 0 < ratio <= FULLEST or (height * width < REFERENCE and 0 < ratio < 1):
                return Drawn(hole, drawn[0].box if len(drawn) == 1 else None)
        edge = max(1, round(0.05 * min(height, width)))
        hole[:edge] = hole[-edge:] = hole[:, :edge] = hole[:, -edge:] = False
        hole[height // 2, width // 2] = True
        return Drawn(hole)


PAIRED = "paired:"
_WORD = re.compile(r"(?P<name>[^()]+)(?:\((?P<inside>[^()]*)\))?")


def parse_masks(text: str, files: str = "") -> Masks:
    """A specification such as "wide:2,box:1", "strokes+box", "box(0.25)", "masks/(rotate=45)" or "masks/:1,objects:1".

    Args:
        text: the specification
        files: how mask files are read where their brackets do not say (`DataConfig.mask_files`)

    Raises: InputError naming the word that means nothing, DataError for a folder without masks
    """
    usual = parse_reading(files)
    if text.startswith(PAIRED):
        match = _WORD.fullmatch(text.removeprefix(PAIRED))
        if match is None:
            raise InputError(f'masks "{text}" do not fit: say e.g. paired:masks/ or paired:masks/(dilate=3)')
        # a mask of the picture's own is mirrored with the picture
        reading = parse_reading(match["inside"] or "", Reading(flip="", above=usual.above, invert=usual.invert))
        folder = match["name"]
        mask_paths(folder)  # says at once that there is none
        return Masks(text, (), (), Path(folder), reading, ((folder, reading),))
    weights: list[float] = []
    unions: list[tuple[Maker, ...]] = []
    folders: list[tuple[str, Reading]] = []
    for part in _split(text):
        words, weight = part, 1.0
        if match := re.fullmatch(r"(.+):([\d.]+)", part):
            words, weight = match[1], _number(match[2], text)
            if weight <= 0:
                raise InputError(f'masks "{text}": the weight {match[2]} must be above 0')
        unions.append(tuple(_maker(word.strip(), text, usual, folders) for word in words.split("+")))
        weights.append(weight)
    if not unions:
        raise InputError(f'masks "{text}" name none: give e.g. wide:2,box:1; known: {", ".join(MAKERS)} or a folder')
    return Masks(text, tuple(weights), tuple(unions), folders=tuple(folders))


def _split(text: str) -> list[str]:
    """The parts between commas that stand outside brackets."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def _number(text: str, spec: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f'masks "{spec}": {text} is no number') from None


def _maker(word: str, spec: str, usual: Reading, folders: list[tuple[str, Reading]]) -> Maker:
    match = _WORD.fullmatch(word)
    name = match["name"].strip() if match else word
    inside = (match["inside"] or "") if match else ""
    if name in MAKERS:
        numbers = [_number(one, spec) for one in inside.split(",") if one.strip()]
        if (
            len(numbers) not in NUMBERS.get(name, (0,))
            or any(not 0 < one < 1 for one in numbers)
            or numbers != sorted(numbers)
        ):
            raise InputError(f'masks "{spec}": {word} does not fit; {name} takes {_takes(name)}')
        return partial(_with_numbers, maker=MAKERS[name], fixed=tuple(numbers))
    for folder, words in ((word, ""), (name, inside)):  # a folder's own name may end in brackets
        if Path(folder).is_dir():
            reading = parse_reading(words, usual)
            mask_paths(folder)  # says at once that there is none
            folders.append((folder, reading))
            return partial(_filed, folder=folder, reading=reading)
    raise InputError(f'masks "{spec}": there is no maker or folder "{name}"; known: {", ".join(MAKERS)}')


def _filed(rng: Generator, height: int, width: int, numbers: Sequence[float], folder: str, reading: Reading) -> Drawn:
    return Drawn(from_folder(rng, height, width, folder, reading))


def _takes(name: str) -> str:
    most = max(NUMBERS.get(name, (0,)))
    if not most:
        return "no number"
    several = f"{most} numbers between 0 and 1, the smaller first, or none"
    return several if most > 1 else "1 number between 0 and 1, or none"


def _with_numbers(
    rng: Generator, height: int, width: int, numbers: Sequence[float], maker: Maker, fixed: tuple[float, ...]
) -> Drawn:
    return maker(rng, height, width, fixed)


def local_box(hole: Mask, own: Box | None, side: tuple[int, int]) -> Box:
    """The box that a local critic looks at: the maker's own where it has the wanted size, else around the hole.

    Args:
        hole: (H, W)
        own: the maker's
        side: height and width wanted, pixels
    """
    if own is not None and (own[3] - own[1], own[2] - own[0]) == side:
        return own
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    top, left = (
        min(max(round((int(at[0]) + int(at[-1]) + 1) / 2 - length / 2), 0), extent - length) if at.size else 0
        for at, length, extent in zip((rows, columns), side, hole.shape, strict=True)
    )
    return (left, top, left + side[1], top + side[0])


def histogram(ratios: Sequence[float], bins: int = 10) -> list[int]:
    """How many hole ratios fall into each of `bins` equal classes of 0..1."""
    counts: Any = np.histogram(np.asarray(ratios, np.float64), bins=bins, range=(0.0, 1.0))[0]
    return [int(count) for count in counts]


def mask_key(seed: int, number: int) -> int:
    """The key of the mask with a number in a set with a seed."""
    return sample_key("mask", seed, number)

"""Drawing by numbers: noise, light on height maps, blurs, blades and grain, for pictures without a camera.

Lengths are in picture heights, so that a scene looks alike at every size: x runs from 0 to the width, y from 0 (top)
to 1. A canvas is (H, W, 3) float, 0..1, drawn larger than the picture and shrunk by `finish`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.floating]
Point = tuple[float, float]

FINER = 2  # canvas pixels per picture pixel, along each side


def coordinates(height: int, wide: float) -> tuple[Array, Array]:
    """x and y of every canvas pixel, (H, W) each, for a picture of `height` pixels that is `wide` heights wide."""
    rows = height * FINER
    y, x = np.mgrid[0:rows, 0 : round(rows * wide)] + 0.5
    return (x / rows).astype(np.float32), (y / rows).astype(np.float32)


def colour(*channels: float) -> Array:
    """(3,) of 0..1 from three values of 0..255."""
    return np.array(channels) / 255


def step(value: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high` (or the other way round), smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(below: Array, above: Array, share: Array) -> Array:
    """`above` over `below`, (..., 3) or one colour each, where `share` (...) is 1."""
    return below + (above - below) * share[..., None]


def ramp(value: Array, *stops: tuple[float, Array]) -> Array:
    """(..., 3) colours that run through the stops, (value, colour) in rising order."""
    places = [place for place, _ in stops]
    return np.stack([np.interp(value, places, [shade[i] for _, shade in stops]) for i in range(3)], -1)


def fractal(x: Array, y: Array, seed: int, octaves: int = 5, rough: float = 0.5) -> Array:
    """Noise upon finer noise, each turned a little against the last so that no lattice shows; about -1..1.

    The first octave has a hill or hollow in each unit (Perlin, An image synthesizer, SIGGRAPH 1985).
    """
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, 65536)
    lean = np.exp(1j * angle).astype(np.complex64) * 1.5
    x, y = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(y, np.float32))
    total = np.empty(x.shape, np.float32)
    band = max(1, 16384 // x.shape[1])  # rows at a time: what fits a processor's cache goes several times as fast
    for top in range(0, len(x), band):
        u, v, weight, part = x[top : top + band], y[top : top + band], 1.0, np.float32(0)
        for octave in range(octaves):
            part = part + np.float32(weight) * _hills(u + 17 * octave, v, lean)
            u, v, weight = 1.6 * u + 1.2 * v, 1.6 * v - 1.2 * u, weight * rough
        total[top : top + band] = part
    return total


def _hills(x: Array, y: Array, lean: NDArray[np.complex64]) -> Array:
    """One octave; lean is the slope at each of 256 x 256 lattice points, the real part along x."""
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    u, v = x - column, y - row
    column, right, row, below = column & 255, (column + 1) & 255, (row & 255) << 8, ((row + 1) & 255) << 8

    def along(level: NDArray[np.int32], fall: Array) -> Array:
        first, last = lean[level + column], lean[level + right]
        start, end = first.real * u + first.imag * fall, last.real * (u - 1) + last.imag * fall
        return start + (end - start) * (u * u * u * (u * (u * 6 - 15) + 10))

    top = along(row, v)
    return top + (along(below, v - 1) - top) * (v * v * v * (v * (v * 6 - 15) + 10))


def blur(values: Array, radius: float) -> Array:
    """Nearly Gaussian, by three running means along each side; sigma in heights, (H, W) or (H, W, 3)."""
    reach = max(1, round(radius * values.shape[0]))
    for axis in (0, 1):
        for _ in range(3):
            ends = [(0, 0)] * values.ndim
            ends[axis] = (reach + 1, reach)
            total = np.cumsum(np.pad(values, ends, mode="edge"), axis=axis)
            size = values.shape[axis]
            late, early = np.arange(size) + 2 * reach + 1, np.arange(size)
            values = (total.take(late, axis) - total.take(early, axis)) / (2 * reach + 1)
    return values


def defocus(values: Array, radius: float) -> Array:
    """As a lens out of focus sees it: every point becomes a disc; radius in heights, (H, W, C) in linear light."""
    reach = radius * values.shape[0]
    pad = int(reach) + 2
    padded = np.pad(values, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    v, u = (np.minimum(np.arange(size), size - np.arange(size)) for size in padded.shape[:2])
    disc = np.clip(reach + 0.5 - np.hypot(v[:, None], u[None]), 0, 1)
    lens = np.fft.rfft2(disc / disc.sum())[..., None]
    seen = np.fft.irfft2(np.fft.rfft2(padded, axes=(0, 1)) * lens, s=padded.shape[:2], axes=(0, 1))
    return seen[pad:-pad, pad:-pad]


def shadow(height: Array, lamp: Sequence[float], reach: float, soft: float) -> Array:
    """1 in the light, 0 where something towards the lamp (x, y, up) stands higher; `soft` is the lamp's size."""
    along = np.hypot(lamp[0], lamp[1])
    lit = np.ones(height.shape)
    rows, columns = height.shape
    for distance in reach * (np.arange(1, 49) / 48) ** 1.5:
        down, right = (round(distance * part / along * rows) for part in (lamp[1], lamp[0]))
        there = height[
            np.clip(np.arange(rows) + down, 0, rows - 1)[:, None], np.clip(np.arange(columns) + right, 0, columns - 1)
        ]
        over = there - height - distance * lamp[2] / along
        lit = np.minimum(lit, np.clip(0.5 - over / (soft * distance + 1e-4), 0, 1))
    return lit


def relief(
    height: Array,
    albedo: Array,
    lamp: Sequence[float] = (-0.5, -0.6, 0.65),
    *,
    gloss: Array | float = 0.0,
    sharp: float = 40.0,
    reach: float = 0.3,
    soft: float = 0.25,
    warm: Array | None = None,
    sky: Array | None = None,
) -> Array:
    """A height map (towards the eye, in heights) lit by a lamp and a sky, with cast and contact shadows, (H, W, 3).

    Args:
        gloss: strength of the highlight; `sharp` its narrowness
        reach: how far cast shadows are looked for; `soft` the lamp's size
        warm: the lamp's colour, (3,); sky: the colour of the light from everywhere else
    """
    warm = colour(255, 244, 226) * 0.95 if warm is None else warm
    sky = colour(150, 170, 200) * 0.55 if sky is None else sky
    toward = np.array(lamp) / np.linalg.norm(lamp)
    slope_y, slope_x = np.gradient(height * len(height))
    normal = np.stack([-slope_x, -slope_y, np.ones_like(height)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.clip(normal @ toward, 0, 1) * shadow(height, lamp, reach, soft)
    hollow = sum(np.clip(blur(height, r) - height, 0, None) / r for r in (0.008, 0.03))
    ambient = np.exp(-1.2 * hollow) * (0.6 + 0.4 * normal[..., 2])
    seen = albedo * (light[..., None] * warm + ambient[..., None] * sky)
    half = toward + np.array([0, 0, 1])
    shine = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** sharp * gloss
    return seen + (shine * np.clip(light * 3, 0, 1))[..., None] * warm


def inside(points: Sequence[Point], shape: tuple[int, int]) -> Array:
    """(H, W) 0..1: the inside of a polygon, its points in heights."""
    picture = Image.new("L", (shape[1], shape[0]))
    ImageDraw.Draw(picture).polygon([(x * shape[0], y * shape[0]) for x, y in points], fill=255)
    return np.asarray(picture) / 255.0


def curve(points: Sequence[Point], pieces: int = 60) -> list[Point]:
    """Points on the Bezier curve that the given ones steer."""
    t = np.linspace(0, 1, pieces)[:, None, None]
    steps = np.array(points, float)[None].repeat(pieces, 0)
    while steps.shape[1] > 1:
        steps = steps[:, :-1] * (1 - t) + steps[:, 1:] * t
    return [(float(x), float(y)) for x, y in steps[:, 0]]


def paint(canvas: Array, brush: Callable[[ImageDraw.ImageDraw, float], None]) -> Array:
    """The canvas after `brush(draw, height in pixels)` has drawn on it with Pillow."""
    picture = Image.fromarray((canvas.clip(0, 1) * 255).round().astype(np.uint8))
    brush(ImageDraw.Draw(picture), len(canvas))
    return np.asarray(picture) / 255.0


def blades(canvas: Array, roots: Array, length: Array, green: Array, random: np.random.Generator) -> Array:
    """Grass: a bent blade at every root (N, 2), those further down before the others; green is (N, 3), 0..1."""

    def brush(draw: ImageDraw.ImageDraw, rows: float) -> None:
        for i in np.argsort(roots[:, 1]):
            (x, y), long, lean = roots[i] * rows, length[i] * rows, random.normal(0, 0.3) * length[i] * rows
            shade = tuple(int(value) for value in (green[i] * random.uniform(0.75, 1.15)).clip(0, 1) * 255)
            foot = max(0.6, 0.035 * long)
            bend = [(x, y), (x + lean * 0.3, y - long * 0.6), (x + lean, y - long)]
            draw.polygon([(x - foot, y), bend[1], bend[2], (bend[1][0] + foot, bend[1][1]), (x + foot, y)], fill=shade)

    return paint(canvas, brush)


def writing(size: tuple[int, int], place: Point, text: str, tall: float) -> Image.Image:
    """(H, W) of mode L with white letters, place and letter height in heights; `size` is (width, height)."""
    page = Image.new("L", size)
    font = ImageFont.load_default(max(6, round(tall * size[1])))
    ImageDraw.Draw(page).text((place[0] * size[1], place[1] * size[1]), text, fill=255, font=font)
    return page


def finish(canvas: Array, seed: int, grain: float = 0.012, dark_corners: float = 0.16) -> Image.Image:
    """The picture: shrunk to its size, with a lens's darker corners and a film's grain."""
    rows, columns = canvas.shape[0] // FINER, canvas.shape[1] // FINER
    small = canvas[: rows * FINER, : columns * FINER].reshape(rows, FINER, columns, FINER, 3).mean((1, 3))
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    small = small * (1 - dark_corners * ((x * x + y * y) / 2) ** 1.5)[..., None]
    random = np.random.default_rng(seed)
    film = random.normal(0, grain, (rows, columns, 1)) + random.normal(0, grain / 3, (rows, columns, 3))
    return Image.fromarray(((small + film).clip(0, 1) * 255).round().astype(np.uint8))

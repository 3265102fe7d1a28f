"""A drawn portrait: a height map with skin on it, hair by hair; small things on the skin are to be removed."""

from __future__ import annotations

import numpy as np
from drawing import (
    Array,
    Point,
    blur,
    colour,
    coordinates,
    curve,
    defocus,
    finish,
    fractal,
    inside,
    mix,
    paint,
    ramp,
    relief,
    step,
)
from PIL import Image, ImageDraw
from scenes import Scene, smooth

EYE, APART, WIDE, BROW = (
    0.436,
    0.077,
    0.042,
    0.378,
)  # of the eyes: height, from the middle, half width; of the brows: height


def bump(u: Array, v: Array, at: Point, wide: Point) -> Array:
    """A round hill of height 1."""
    return np.exp(-(((u - at[0]) / wide[0]) ** 2) - ((v - at[1]) / wide[1]) ** 2)


def head(u: Array, v: Array) -> Array:
    """How far the face stands out towards the eye, -1 beside it; u is 0 in the middle, both sides are alike."""
    side = np.abs(u)
    outline = smooth(
        [
            (0.13, 0.06),
            (0.17, 0.135),
            (0.28, 0.176),
            (0.44, 0.180),
            (0.55, 0.168),
            (0.63, 0.130),
            (0.69, 0.088),
            (0.722, 0.045),
            (0.728, 0.0),
        ]
    )
    wide = np.interp(v, [y for y, _ in outline], [w for _, w in outline], left=0, right=0)
    across = np.where(wide > 0, side / np.maximum(wide, 1e-6), 2)
    round_ = np.clip(1 - across**2.3, 0, None) ** 0.5 * np.clip(1 - np.abs((v - 0.45) / 0.29) ** 2.6, 0, None) ** 0.4
    skull = 0.165 * round_
    skull += 0.012 * bump(side, v, (0.062, BROW + 0.012), (0.055, 0.018))
    skull -= 0.024 * bump(side, v, (APART - 0.006, EYE), (0.050, 0.032))
    skull += 0.014 * bump(side, v, (0.100, 0.515), (0.050, 0.045))
    skull -= 0.010 * bump(side, v, (0.125, 0.60), (0.03, 0.05))
    run = np.clip((v - 0.40) / 0.135, 0, 1)
    skull += (
        (0.008 + 0.034 * run**1.4)
        * np.exp(-((side / (0.018 + 0.008 * run)) ** 2))
        * step(v, 0.37, 0.44)
        * step(v, 0.566, 0.532)
    )
    skull += 0.014 * bump(side, v, (0, 0.535), (0.022, 0.018)) + 0.015 * bump(side, v, (0.028, 0.545), (0.014, 0.013))
    skull += 0.014 * bump(side, v, (0, 0.605), (0.062, 0.042)) - 0.005 * bump(side, v, (0, 0.578), (0.006, 0.016))
    line = mouth_line(u)
    upper, lower = line - 0.012 + 0.004 * np.exp(-((side / 0.008) ** 2)), line + 0.014
    ends = np.clip(1 - (side / 0.066) ** 2, 0, 1)
    skull += ends**0.6 * (0.009 * np.exp(-(((v - upper) / 0.009) ** 2)) + 0.012 * np.exp(-(((v - lower) / 0.011) ** 2)))
    skull -= 0.012 * np.exp(-(((v - line) / 0.0035) ** 2)) * step(side, 0.068, 0.055)
    skull -= 0.006 * bump(side, v, (0.067, 0.606), (0.012, 0.012))
    skull += 0.016 * bump(side, v, (0, 0.692), (0.042, 0.024)) - 0.008 * bump(side, v, (0, 0.653), (0.04, 0.010))
    return np.where(across < 1, skull, -1)


def mouth_line(u: Array) -> Array:
    """Height of the line between the lips: a slight smile."""
    return 0.612 - 0.010 * (np.abs(u) / 0.066) ** 2 + 0.0025 * np.exp(-((u / 0.012) ** 2))


def lids(u: Array) -> tuple[Array, Array]:
    """Upper and lower edge of the open eyes, as heights."""
    along = (np.abs(u) - APART) / WIDE
    open_ = np.clip(1 - along**2, 0, 1)
    tilt = -0.004 * along
    return EYE + tilt - 0.0220 * open_**0.75, EYE + tilt + 0.0135 * open_**0.9


def skin(u: Array, v: Array) -> Array:
    """Albedo of the face: redder cheeks, nose and lips, freckles, shadowed lids."""
    side = np.abs(u)
    tone = colour(232, 186, 158) * (1 + 0.025 * fractal(u * 18, v * 18, 301, 5, 0.6))[..., None]
    blush = 0.55 * bump(side, v, (0.100, 0.535), (0.05, 0.04)) + 0.45 * bump(side, v, (0, 0.535), (0.025, 0.025))
    tone = mix(tone, colour(214, 130, 112), blush + 0.2 * bump(side, v, (0, 0.69), (0.04, 0.03)))
    freckle = step(fractal(u * 95, v * 95, 305, 2), 0.55, 0.85) * bump(side, v, (0.06, 0.505), (0.075, 0.035))
    tone = mix(tone, colour(160, 100, 70), 0.55 * freckle)
    tone = mix(
        tone,
        colour(150, 92, 84),
        0.35 * bump(side, v, (APART, EYE - 0.012), (0.045, 0.024)),
    )
    line, ends = mouth_line(u), np.clip(1 - (side / 0.064) ** 2, 0, 1) ** 0.7
    top = line - ends * (0.021 - 0.006 * np.exp(-((side / 0.009) ** 2)))
    lip = (
        step(v, top - 0.002, top + 0.002)
        * step(v, line + 0.029 * ends + 0.003, line + 0.029 * ends - 0.003)
        * step(side, 0.066, 0.060)
    )
    red = colour(188, 92, 90) * (1 + 0.06 * fractal(u * 160, v * 20, 308, 3))[..., None]
    tone = mix(tone, red, 0.85 * lip)
    tone = mix(
        tone,
        colour(84, 30, 30),
        0.8 * np.exp(-(((v - line) / 0.0028) ** 2)) * step(side, 0.068, 0.052),
    )
    return mix(tone, colour(70, 30, 26), 0.85 * bump(side, v, (0.0145, 0.5535), (0.0085, 0.0045)))


def eyes(canvas: Array, u: Array, v: Array) -> Array:
    """White, iris, pupil, highlight and lashes into the open lids."""
    upper, lower = lids(u)
    side = np.abs(u) - APART
    far = np.hypot(side - np.where(u < 0, 0.002, -0.002), v - EYE + 0.002)
    white = colour(236, 230, 226) * (1 - 6.5 * np.clip(np.abs(side) - 0.008, 0, 1))[..., None]
    turn = np.arctan2(v - EYE, side)
    streak = fractal(turn * 9, far * 60, 310, 3)
    iris = ramp(
        far / 0.0200 + 0.22 * streak,
        (0.35, colour(126, 104, 58)),
        (0.65, colour(78, 122, 118)),
        (0.92, colour(52, 88, 98)),
        (1.0, colour(22, 38, 44)),
    )
    iris = iris * (0.75 + 0.6 * step(v, EYE - 0.012, EYE + 0.014))[..., None]
    ball = mix(white, iris, step(far, 0.0205, 0.0188))
    ball = mix(ball, colour(10, 10, 12), step(far, 0.0095, 0.0080))
    ball = ball * (1 - 0.6 * step(v - upper, 0.015, 0.0))[..., None]
    glint = step(np.hypot(side - np.where(u < 0, 1, -1) * 0.006, v - EYE + 0.008), 0.0050, 0.0036)
    ball = mix(ball, colour(255, 255, 255), 0.95 * glint)
    near = np.abs(side) < WIDE
    open_ = step(v - upper, -0.0008, 0.0012) * step(lower - v, -0.0008, 0.0012) * near
    canvas = mix(canvas, ball, open_)
    rim = np.exp(-(((v - upper) / 0.0028) ** 2)) * step(np.abs(side), WIDE + 0.005, WIDE - 0.002)
    canvas = mix(canvas, colour(40, 22, 18), 0.92 * rim)
    canvas = mix(canvas, colour(120, 66, 56), 0.6 * np.exp(-(((v - lower) / 0.0018) ** 2)) * near)
    crease = upper - 0.011 + 0.05 * np.clip(np.abs(side) - 0.02, 0, 1)
    return mix(
        canvas,
        colour(112, 62, 50),
        0.6 * np.exp(-(((v - crease) / 0.0024) ** 2)) * step(np.abs(side), WIDE + 0.006, WIDE - 0.008),
    )


def strands(
    draw: ImageDraw.ImageDraw, rows: float, paths: list[list[Point]], random: np.random.Generator, dark: float = 1.0
) -> None:
    """Hair: every path as a thin line, lighter where the head's curve turns to the lamp."""
    for path in paths:
        line = [(a * rows, b * rows) for a, b in curve(path, 30)]
        tone, fine, shine = dark * random.uniform(0.62, 1.2), max(1, round(rows / 500)), random.uniform(0.20, 0.30)
        draw.line(line, fill=tuple(int(value * dark) for value in (52, 28, 18)), width=2 * fine)
        for i in range(29):
            light = tone * (0.62 + 0.8 * np.exp(-(((i / 29 - shine) / 0.12) ** 2)) + 0.15 * np.sin(i / 4 + tone * 9))
            shade = tuple(int(min(255, value * light)) for value in (122, 74, 44))
            draw.line(line[i : i + 2], fill=shade, width=fine)


def lock(random: np.random.Generator, side: int, front: bool) -> list[Point]:
    """One strand's way from the parting down to a shoulder; side is -1 or 1."""
    inner, wave, low = random.uniform(0, 1), random.normal(0, 0.014), random.uniform(0.78, 1.02)
    root = 0.425 + side * random.uniform(-0.001, 0.003)
    if not front:
        out = 0.09 + 0.15 * inner
        top = [(root, 0.115 + 0.05 * random.uniform()), (0.4 + side * (out + 0.02), 0.05 + 0.03 * random.uniform())]
        return [
            *top,
            (0.4 + side * (out + 0.06), 0.42),
            (0.4 + side * (out - 0.03) + wave, 0.62),
            (0.4 + side * out - wave, low),
        ]
    out = 0.265 - 0.070 * inner
    return [
        (root, 0.112 + 0.095 * inner + 0.008 * random.uniform()),
        (root + side * (0.115 - 0.03 * inner), 0.065 + 0.150 * inner),
        (0.4 + side * (out - 0.022), 0.20 + 0.08 * inner),
        (0.4 + side * (out + 0.01), 0.46),
        (0.4 + side * (out - 0.055) + wave, 0.66),
        (0.4 + side * (out - 0.03) - wave, low),
    ]


def brows(draw: ImageDraw.ImageDraw, rows: float, random: np.random.Generator) -> None:
    """Brows and lashes, hair by hair."""
    for side in (-1, 1):
        for along in np.sort(random.uniform(0, 1, 420)):
            x, y = 0.4 + side * (0.030 + 0.098 * along), BROW - 0.022 * np.sin(2.1 * along) + 0.020 * along**3 + 0.010
            y += random.normal(0, 0.0042) * (1 - 0.6 * along)
            long, up = random.uniform(0.010, 0.018), 0.9 - 0.9 * along
            tip = (x + side * long * np.cos(up), y - long * np.sin(up))
            shade = tuple(int(value * random.uniform(0.7, 1.3)) for value in (88, 54, 36))
            draw.line([(x * rows, y * rows), (tip[0] * rows, tip[1] * rows)], fill=shade, width=1)
        for along in np.linspace(-0.75, 1, 24):
            x = side * (APART + WIDE * along)
            y = float(lids(np.array([x]))[0][0])
            tip = (x + side * (0.001 + 0.004 * (along + 0.6)), y - 0.003 - 0.004 * (along + 0.6))
            draw.line(
                [((0.4 + x) * rows, y * rows), ((0.4 + tip[0]) * rows, tip[1] * rows)], fill=(38, 22, 18), width=1
            )


SPOTS = [(-0.035, 0.300, 0.0075), (0.112, 0.555, 0.0085), (0.040, 0.685, 0.0065), (-0.085, 0.575, 0.006)]
SCRATCH = [(-0.128, 0.500), (-0.105, 0.507), (-0.080, 0.528)]
FOLDS = [[(side * 0.042, 0.557), (side * 0.070, 0.575), (side * 0.093, 0.612)] for side in (-1, 1)]
STRAND = [(0.425, 0.195), (0.35, 0.22), (0.295, 0.325), (0.264, 0.47)]


def stroke(points: list[Point], wide: float, shape: tuple[int, int]) -> Array:
    """(H, W) 0..1: a line through the points."""
    page = Image.new("L", (shape[1], shape[0]))
    line = [(a * shape[0], b * shape[0]) for a, b in points]
    ImageDraw.Draw(page).line(line, fill=255, width=max(1, round(wide * shape[0])), joint="curve")
    return np.asarray(page) / 255.0


def shifted(points: list[Point]) -> list[Point]:
    """The curve that the points steer, from the face's coordinates to the picture's."""
    return [(0.4 + a, b) for a, b in curve(points)]


def garden(x: Array, y: Array, random: np.random.Generator) -> Array:
    """A green backdrop with discs of light, far out of focus."""
    light = ramp(y + 0.25 * x, (0.0, colour(92, 112, 104)), (0.6, colour(136, 140, 116)), (1.2, colour(74, 70, 58)))
    light = light**2.2
    for _ in range(26):
        row, column = int(random.uniform(0, 0.8) * len(y)), int(random.uniform(0, 0.8) * len(y))
        light[row, column] += colour(255, 226, 170) ** 2.2 * random.exponential(0.0012) * len(y) ** 2
    return defocus(light, 0.055).clip(0, None) ** (1 / 2.2)


def flaws(face: Array, tone: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """The face and its albedo with what is to be removed later."""
    for left, top, size in SPOTS:
        red = bump(u, v, (left, top), (size, size))
        face, tone = face + 0.4 * size * red, mix(tone, colour(176, 62, 56), 0.75 * red)
    lines = blur(sum(stroke(shifted(fold), 0.004, u.shape) for fold in FOLDS), 0.002)
    face, tone = face - 0.004 * lines, mix(tone, colour(150, 88, 74), 0.6 * lines)
    return face, mix(tone, colour(150, 44, 42), 0.85 * stroke(shifted(SCRATCH), 0.003, u.shape))


def lit_face(u: Array, v: Array) -> tuple[Array, Array]:
    """Face and neck in their light, and where they are: (H, W, 3) and (H, W)."""
    face, tone = flaws(head(u, v), skin(u, v), u, v)
    neck = np.where((np.abs(u) < 0.088) & (v > 0.6), np.sqrt(np.clip(0.088**2 - u**2, 0, None)) - 0.07, -1)
    front = np.maximum(face, neck)
    here = front > -0.9
    solid = np.where(here, front, -0.12)
    lamp, sky = (-0.42, -0.46, 0.95), colour(214, 196, 190) * 0.48
    crisp = relief(solid, tone, lamp, gloss=0.08, sharp=14, reach=0.20, soft=0.8, sky=sky)
    deep = relief(blur(solid, 0.008), tone, lamp, gloss=0.05, sharp=10, reach=0.20, soft=1.0, sky=sky)
    through = colour(204, 128, 89) * (face > neck)[..., None]  # light that has been under the skin: mostly red
    return 0.86 * (crisp + (deep - crisp) * through), step(blur(here.astype(float), 0.001), 0.3, 0.7)


def portrait(height: int) -> Scene:
    """Spots, a scratch and lines beside the mouth are to go, and a strand across the brow."""
    x, y = coordinates(round(height * 1.35), 0.8)
    u = x - 0.4
    random = np.random.default_rng(41)
    canvas = garden(x, y, random)
    crown = curve([(0.36, 0.24), (0.38, 0.08), (0.47, 0.08), (0.49, 0.24)])
    canvas = mix(canvas, colour(40, 22, 16), inside(crown, u.shape))
    back = [lock(random, side, False) for side in (-1, 1) for _ in range(1500)]
    canvas = paint(canvas, lambda draw, rows: strands(draw, rows, back, random, 0.55))
    lit, here = lit_face(u, y)
    canvas = mix(canvas, eyes(lit, u, y), here)
    canvas = paint(canvas, lambda draw, rows: brows(draw, rows, random))
    front = [lock(random, side, True) for _ in range(1500) for side in (-1, 1)]
    front += [[(a + random.normal(0, 0.0022), b) for a, b in STRAND] for _ in range(16)]
    hair = paint(np.zeros_like(canvas), lambda draw, rows: strands(draw, rows, front, random))
    there = (hair.max(-1) > 0).astype(float)
    fallen = np.roll(blur(there, 0.010), (round(0.012 * len(y)), round(0.008 * len(y))), (0, 1))  # its shadow
    canvas = mix(canvas * (1 - 0.5 * fallen)[..., None], hair, there)
    holes = [bump(u, y, (left, top), (size, size)) > 0.12 for left, top, size in SPOTS]
    holes += [stroke(shifted(path), 0.016, u.shape) > 0 for path in (*FOLDS, SCRATCH)]
    holes += [stroke(curve(STRAND)[12:], 0.024, u.shape) > 0]
    rows = len(y)
    frame = np.s_[round(0.06 * rows) : round(0.80 * rows), round(0.09 * rows) : round(0.71 * rows)]
    picture = finish(canvas[frame], 4, grain=0.009)
    return picture, Image.fromarray(np.any(holes, axis=0)[frame]).resize(picture.size).convert("L")

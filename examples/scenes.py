"""Three scenes with something in them to remove, each with its mask: a lake, a table and a window sill."""

from __future__ import annotations

import itertools

import numpy as np
from drawing import (
    Array,
    Point,
    blades,
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
    writing,
)
from PIL import Image, ImageDraw, ImageFilter

Scene = tuple[Image.Image, Image.Image]
"""A picture and its mask, white where the hole is."""


def hole(picture: Image.Image, *outlines: list[Point]) -> Image.Image:
    """A mask with these polygons, in heights, as a broad brush would leave them: with round corners."""
    mask = Image.new("L", picture.size)
    for outline in outlines:
        ImageDraw.Draw(mask).polygon([(x * picture.height, y * picture.height) for x, y in outline], fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(picture.height / 60))
    return soft.point(lambda value: 255 if value > 100 else 0)


# A lake: a sailing boat before mountains, with its reflection.

HORIZON, WATERLINE, SMALL = 0.47, 0.63, 0.8  # of the far shore; of the boat; the boat's size


def sky(x: Array, y: Array) -> Array:
    """Evening sky with clouds that grow smaller towards the horizon."""
    above = np.clip(HORIZON - y, 0, 1)
    clear = ramp(
        above,
        (0.0, colour(250, 214, 170)),
        (0.12, colour(214, 208, 204)),
        (0.28, colour(128, 170, 208)),
        (0.5, colour(62, 112, 172)),
    )
    far = 1 / (above + 0.10)
    u, v = (x - 0.75) * far * 0.62, far * 0.9
    thick = fractal(u, v, 11, 6, 0.52) + 0.35 * fractal(u * 0.4, v * 0.4, 31, 2)
    toward = fractal(u - 0.10, v + 0.12, 11, 6, 0.52) + 0.35 * fractal(u * 0.4, v * 0.4, 31, 2)
    cover = step(thick, -0.02, 0.55) * step(above, 0.02, 0.1) * 0.92
    lit = np.clip(0.62 + 0.9 * (thick - toward) - 0.30 * step(thick, 0.2, 0.9), 0, 1)
    return mix(
        clear,
        ramp(lit, (0.0, colour(116, 124, 146)), (0.55, colour(226, 206, 194)), (1.0, colour(255, 242, 222))),
        cover,
    )


def mountains(x: Array, y: Array, canvas: Array) -> Array:
    """Three ranges over the canvas, paler with distance, and firs along the far shore."""
    for foot, tall, wide, seed, haze in (
        (0.30, 0.16, 2.1, 3, 0.62),
        (0.37, 0.13, 2.8, 9, 0.38),
        (0.43, 0.07, 3.6, 6, 0.16),
    ):
        ridge = foot - tall * (fractal(x[:1] * wide, 0 * x[:1], seed, 7, 0.48) + 0.1)
        below = step(y - ridge, -0.0015, 0.0015)
        rock, aside = (_crags(x - east, y - 0.5 * ridge + east / 2, seed) for east in (0, 0.012))
        light = np.clip(0.5 + 1.3 * (rock - aside), 0, 1)
        stone = ramp(light, (0.0, colour(44, 56, 66)), (0.6, colour(112, 110, 106)), (1.0, colour(186, 164, 142)))
        snow = step(rock * 0.05 + 0.10 - (y - ridge), 0.0, 0.03) * (haze > 0.5)
        stone = mix(stone, ramp(light, (0.0, colour(128, 146, 176)), (1.0, colour(255, 240, 226))), snow)
        woods = step(y - ridge + 0.03 * rock, 0.02, 0.07) * (haze < 0.5)
        stone = mix(stone, ramp(light, (0.0, colour(24, 40, 36)), (1.0, colour(82, 94, 60))), woods)
        air = haze + 0.25 * step(y, ridge, 0.5)
        canvas = mix(canvas, mix(stone, colour(190, 196, 206), np.clip(air, 0, 0.9)), below)
    random = np.random.default_rng(5)

    def firs(draw: ImageDraw.ImageDraw, rows: float) -> None:
        for left in random.uniform(-0.05, 1.55, 900):
            deep = random.uniform(0, 1)
            tall = random.uniform(0.018, 0.045) * (0.75 + 0.5 * np.sin(left * 3.1) ** 2)
            foot, green = HORIZON + 0.004 - 0.010 * deep, 1 + 0.8 * deep * random.uniform(0.4, 1)
            tree = [(left, foot - tall)]
            for level in range(1, 5):
                tree.append((left + tall * 0.055 * level + 0.001, foot - tall * (1 - level / 4.6)))
                tree.append((left + tall * 0.035 * level, foot - tall * (1 - level / 4.6)))
            tree += [(2 * left - a, b) for a, b in reversed(tree)]
            shade = tuple(int(value * green) for value in (20, 36, 30))
            draw.polygon([(a * rows, b * rows) for a, b in tree], fill=shade)
        draw.rectangle((0, (HORIZON - 0.006) * rows, rows * 2, rows), fill=(34, 44, 38))

    return paint(canvas, firs)


def _crags(x: Array, y: Array, seed: int) -> Array:
    """Heights with sharp crests, -1..1."""
    bent = 0.35 * fractal(x * 5, y * 5, seed + 40, 2)
    return 1 - 2 * np.abs(fractal(x * 7 + bent, y * 9 + bent, seed + 20, 6, 0.62))


def boat(x: Array, y: Array) -> tuple[Array, Array]:
    """A small yacht under sail, and how much each pixel shows of it: (H, W, 3) and (H, W)."""
    shape = x.shape
    centre, deck = 0.94, WATERLINE - 0.030
    main = curve([(centre, 0.215), (centre + 0.035, 0.42), (centre + 0.150, deck - 0.028)])
    main += curve([(centre + 0.150, deck - 0.028), (centre + 0.07, deck - 0.012), (centre + 0.004, deck - 0.024)])
    jib = curve([(centre - 0.010, 0.26), (centre - 0.03, 0.45), (centre - 0.130, deck - 0.010)])
    jib += curve([(centre - 0.130, deck - 0.010), (centre - 0.06, deck - 0.004), (centre - 0.016, deck - 0.020)])
    jib += curve([(centre - 0.016, deck - 0.020), (centre - 0.045, 0.45), (centre - 0.010, 0.26)])
    hull = curve([(centre - 0.165, deck - 0.008), (centre - 0.02, deck + 0.016), (centre + 0.150, deck + 0.002)])
    hull += curve(
        [(centre + 0.150, deck + 0.002), (centre + 0.145, WATERLINE + 0.004), (centre + 0.12, WATERLINE + 0.004)]
    )
    hull += curve(
        [(centre + 0.12, WATERLINE + 0.004), (centre - 0.09, WATERLINE + 0.012), (centre - 0.165, deck - 0.008)]
    )
    picture, shown = np.zeros((*shape, 3)), np.zeros(shape)
    across = (x - centre) / 0.12
    cloth = 0.80 + 0.16 * np.sin(2.2 + across * 2.4) + 0.03 * fractal(x * 14, y * 5, 70, 3)
    seams = 1 - 0.10 * step(np.abs((y + 0.25 * np.abs(across) * 0.1) * 16 % 1 - 0.5), 0.46, 0.49)
    wood = ramp(
        y,
        (deck - 0.006, colour(226, 214, 196)),
        (deck + 0.002, colour(168, 40, 34)),
        (WATERLINE + 0.01, colour(76, 16, 18)),
    )
    mast = [(centre - 0.004, 0.195), (centre + 0.001, 0.195), (centre + 0.003, deck), (centre - 0.005, deck)]
    cabin = curve(
        [
            (centre - 0.075, deck + 0.006),
            (centre - 0.06, deck - 0.022),
            (centre + 0.06, deck - 0.024),
            (centre + 0.075, deck + 0.006),
        ]
    )
    for outline, look in (
        (jib, np.stack([cloth * seams * 0.97, cloth * seams * 0.95, cloth * seams * 0.92], -1)),
        (main, np.stack([cloth * seams, cloth * seams * 0.965, cloth * seams * 0.90], -1)),
        (cabin, colour(222, 206, 180)),
        (mast, colour(92, 74, 58)),
        (hull, wood),
    ):
        small = [(centre + SMALL * (a - centre), WATERLINE + SMALL * (b - WATERLINE)) for a, b in outline]
        cover = inside(small, shape)
        picture, shown = mix(picture, look, cover), np.maximum(shown, cover)
    return picture, shown


def mirrored(values: Array, y: Array, line: float, shift: Array) -> Array:
    """What still water below `line` would show of `values`, read `shift` higher or lower for its ripples."""
    rows = values.shape[0]
    source = np.clip(((2 * line - y + shift) * rows).astype(int), 0, max(0, int(line * rows) - 1))
    return np.take_along_axis(values, source[..., None] if values.ndim == 3 else source, axis=0)


def lake(height: int) -> Scene:
    """The boat and its reflection are to go: ridge, shore and ripples have to run on behind them."""
    x, y = coordinates(height, 1.5)
    land = mountains(x, y, sky(x, y))
    yacht, shown = boat(x, y)
    depth = np.clip(y - HORIZON, 1e-3, 1)
    u, v = (x - 0.75) / (depth + 0.015), 0.35 / (depth + 0.015)
    ripple = fractal(u * 1.6, v * 9, 50, 5, 0.6)
    calm = step(fractal(u * 0.15, v * 1.1, 60, 3), -0.2, 0.5)
    shift = ripple * (0.006 + 0.10 * depth) * (0.45 + 0.55 * calm)
    water = mirrored(land, y, HORIZON, shift)
    steep = step(depth, 0.0, 0.55)[..., None]
    water = water * (0.88 - 0.42 * steep) + colour(16, 50, 62) * (0.08 + 0.42 * steep)
    glint = step(ripple, 0.30, 0.75) * (0.3 + 0.3 * calm) * step(depth, 0.35, 0.1)
    water = mix(water, colour(236, 226, 214), glint * 0.55)
    below = step(y, WATERLINE + 0.004, WATERLINE + 0.008) * mirrored(shown, y, WATERLINE + 0.004, shift * 0.8)
    image = mirrored(yacht, y, WATERLINE + 0.004, shift * 0.8) * 0.72 + colour(10, 34, 44) * 0.25
    water = mix(water, image, below * 0.85 * step(y, 0.90, 0.70))
    canvas = mix(land, water, step(y, HORIZON, HORIZON + 0.002))
    canvas = mix(canvas, yacht, shown)
    picture = finish(beach(x, y, canvas), 1)
    left, right, top, low = 0.94 - 0.16, 0.94 + 0.15, 0.27, 0.90
    outline = [(0.925, top), (0.955, top), (1.02, 0.46), (right, 0.60), (right, 0.66), (1.0, 0.79), (0.96, low)]
    outline += [(0.92, low), (0.87, 0.79), (left, 0.66), (left, 0.59), (0.87, 0.46)]
    return picture, hole(picture, outline)


def beach(x: Array, y: Array, canvas: Array) -> Array:
    """Sand, wet along the water, with pebbles and some grass, in the near corners."""
    edge = 0.965 - 0.13 * np.abs(x[:1] - 0.85) ** 1.6 / 0.8 + 0.010 * fractal(x[:1] * 5, 0 * x[:1], 80, 3)
    inland = y - edge
    rough = fractal(x * 30, y * 60, 83, 5, 0.6)
    height = 0.0022 * rough + 0.03 * np.clip(inland, 0, 1)
    wet = step(inland, 0.045, 0.012)
    albedo = mix(
        colour(196, 172, 136) * (1 + 0.10 * rough[..., None]),
        colour(112, 96, 78),
        wet,
    )
    random = np.random.default_rng(12)
    for _ in range(700):
        pebble(height, albedo, x, y, random)
    sand = relief(height, albedo, (-0.7, -0.35, 0.5), gloss=0.25 * wet, reach=0.05)
    foam = step(np.abs(inland + 0.004 + 0.003 * rough), 0.006, 0.001)
    shallow = step(inland, -0.05, 0.0) * 0.45
    canvas = mix(canvas, colour(120, 112, 92), shallow)
    canvas = mix(canvas, sand, step(inland, -0.001, 0.003))
    canvas = mix(canvas, colour(240, 240, 236), foam * 0.5)
    roots = np.concatenate(
        [
            np.stack([random.normal(0.06, 0.10, 700), random.uniform(0.93, 1.06, 700)], -1),
            np.stack([random.normal(1.50, 0.07, 500), random.uniform(0.94, 1.06, 500)], -1),
        ]
    )
    green = colour(118, 124, 58) + random.normal(0, 0.05, (1200, 1)) + random.normal(0, 0.02, (1200, 3))
    return blades(canvas, roots, random.uniform(0.05, 0.15, 1200), green, random)


def pebble(height: Array, albedo: Array, x: Array, y: Array, random: np.random.Generator) -> None:
    """One round stone somewhere on the sand, in place; x and y are the coordinates of the map."""
    left, top, size = random.uniform(0, 1.5), random.uniform(0.8, 1.02), 0.002 + random.exponential(0.0035)
    rows = len(y)
    near = np.s_[
        max(0, int((top - size) * rows)) : int((top + size) * rows) + 1,
        max(0, int((left - 1.4 * size) * rows)) : int((left + 1.4 * size) * rows) + 1,
    ]
    round_ = 1 - ((x[near] - left) / (1.4 * size)) ** 2 - ((y[near] - top) / size) ** 2
    grey = random.choice([(128, 122, 116), (164, 154, 142), (96, 94, 96), (150, 120, 98)]) * random.uniform(0.8, 1.15)
    height[near] = np.maximum(height[near], 0.8 * size * np.sqrt(np.clip(round_, 0, 1)))
    albedo[near][round_ > 0] = colour(*grey)


# A table seen from above: a cup, apples, a date in the corner and a mark across.


def table(x: Array, y: Array) -> tuple[Array, Array]:
    """Boards with their grain and gaps: height and albedo."""
    wide = 0.215
    board = np.floor((y + 0.06) / wide)
    across = (y + 0.06) / wide - board
    along = x + 3.7 * board
    bend = 0.35 * fractal(along * 1.1, y * 3 + 9 * board, 101, 3)
    knots = np.zeros_like(x)
    for left, top, size in ((0.28, 0.115, 0.030), (1.30, 0.56, 0.036), (0.62, 0.90, 0.026), (1.02, 0.28, 0.016)):
        far = np.hypot((x - left) * 0.55, y - top)
        knots += size / (far + 0.35 * size) * np.exp(-((far / (4 * size)) ** 2))
    rings = (across * 5.5 + bend * 6 + 1.6 * knots + 0.7 * np.sin(board * 2.7) * across) * 1.5
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * rings + fractal(along * 5, y * 60, 106, 2))
    fibre = fractal(along * 9, y * 260, 110, 3, 0.6)
    tone = np.sin(board * 12.9898) * 0.5
    albedo = ramp(
        0.55 + 0.22 * (grain**1.6 - 0.5) + 0.10 * fibre + 0.10 * fractal(along * 2, y * 5, 120, 3) + 0.12 * tone,
        (0.0, colour(74, 46, 28)),
        (0.45, colour(146, 100, 62)),
        (0.75, colour(190, 142, 94)),
        (1.0, colour(222, 180, 130)),
    )
    albedo = mix(albedo, colour(58, 34, 22), np.clip(step(knots, 1.5, 2.6), 0, 1) * 0.85)
    gap = np.minimum(across, 1 - across) * wide + 0.0006 * fractal(along * 40, y * 40, 130, 2)
    height = -0.012 * step(gap, 0.0035, 0.0005) - 0.004 * step(gap, 0.012, 0.002) + 0.0005 * fibre - 0.0004 * grain
    return height, albedo * (1 - 0.75 * step(gap, 0.003, 0.001))[..., None]


def apple(
    height: Array, albedo: Array, gloss: Array, x: Array, y: Array, at: tuple[float, float, float], green: float
) -> None:
    """One apple, (x, y, radius), drawn into the maps."""
    left, top, size = at
    u, v = (x - left) / size, (y - top) / size
    turn = np.arctan2(v, u)
    far = np.hypot(u, v) * (1 + 0.025 * np.sin(3 * turn + left * 9) + 0.02 * np.sin(5 * turn))
    body = size * (0.75 + 0.85 * np.sqrt(np.clip(1 - far**2, 0, 1)) - 0.5 * np.exp(-((far / 0.26) ** 2)))
    streak = fractal(turn * 7, far * 1.2, int(left * 100), 4, 0.6)
    red = np.clip(0.62 - green + 0.45 * streak + 0.5 * np.cos(turn + 2.2 + left) * 0.6 + 0.35 * (far - 0.4), 0, 1)
    skin = ramp(
        red,
        (0.0, colour(168, 176, 62)),
        (0.4, colour(212, 158, 62)),
        (0.75, colour(190, 46, 36)),
        (1.0, colour(132, 18, 24)),
    )
    dots = step(fractal(u * 14, v * 14, 140, 2), 0.62, 0.8)
    skin = mix(skin, colour(232, 206, 140), dots * 0.5)
    skin = mix(skin, colour(112, 104, 50), np.exp(-((far / 0.2) ** 2)))
    here = far < 1
    height[here], albedo[here], gloss[here] = body[here], skin[here], 0.5
    stem = curve([(left, top), (left + 0.15 * size, top - 0.15 * size), (left + 0.42 * size, top - 0.22 * size)], 12)
    for i, (a, b) in enumerate(stem):
        near = np.hypot(x - a, y - b) < size * (0.035 + 0.03 * (i / 11) ** 3)
        height[near], albedo[near], gloss[near] = size * (1.15 + 0.4 * i / 11), colour(86, 60, 34), 0.1


def cup(height: Array, albedo: Array, gloss: Array, x: Array, y: Array, at: tuple[float, float, float]) -> None:
    """Coffee on its saucer, (x, y, radius of the saucer), drawn into the maps."""
    left, top, size = at
    far = np.hypot(x - left, y - top) / size
    turn = np.arctan2(y - top, x - left)
    plate = np.interp(far, [0, 0.55, 0.62, 0.93, 0.97, 1.0], [0.03, 0.03, 0.05, 0.16, 0.17, 0.15]) * size
    here = far < 1
    height[here], gloss[here] = plate[here], 0.7
    ring = step(np.abs(far - 0.90), 0.022, 0.016)
    china = mix(colour(236, 232, 222), colour(46, 84, 128), ring)
    albedo[here] = china[here]
    u, v = (x - left) * np.cos(0.5) - (y - top) * np.sin(0.5), (x - left) * np.sin(0.5) + (y - top) * np.cos(0.5)
    arc = np.abs(np.hypot((u - 0.60 * size) / 1.25, v) - 0.15 * size) / (0.05 * size)
    handle = (arc < 1) & (u > 0.5 * size)
    height[handle] = (size * (0.36 + 0.06 * np.sqrt(np.clip(1 - arc**2, 0, 1))))[handle]
    rim = np.sqrt(np.clip(1 - ((far - 0.565) / 0.035) ** 2, 0, 1))
    wall = (far < 0.60) & (far > 0.53)
    height[wall] = (size * (0.52 + 0.03 * rim))[wall]
    albedo[wall | handle] = colour(240, 237, 230)
    drink = far <= 0.53
    height[drink], gloss[drink] = size * 0.45, 0.25
    swirl = fractal((x - left) / size * 4 + np.cos(turn * 2 + far * 9), (y - top) / size * 4 + far * 3, 150, 4)
    milk = np.clip(step(swirl, -0.1, 0.55) * step(far, 0.5, 0.2) + step(far, 0.46, 0.52) * 0.5, 0, 1)
    coffee = ramp(milk, (0.0, colour(92, 50, 24)), (0.5, colour(160, 104, 58)), (1.0, colour(232, 200, 158)))
    albedo[drink] = coffee[drink]


def breakfast(height: int) -> Scene:
    """The writing itself is the mask: a date over plain boards, and a pale mark across china, a gap and an apple."""
    x, y = coordinates(height, 1.5)
    relief_, albedo = table(x, y)
    gloss = np.full_like(x, 0.06)
    cup(relief_, albedo, gloss, x, y, (0.46, 0.44, 0.30))
    apple(relief_, albedo, gloss, x, y, (1.02, 0.33, 0.155), 0.0)
    apple(relief_, albedo, gloss, x, y, (1.27, 0.49, 0.135), 0.45)
    sky = colour(196, 206, 222) * 0.62
    canvas = relief(relief_, albedo, (-0.62, -0.5, 0.95), gloss=gloss, sharp=60, reach=0.45, soft=0.5, sky=sky)
    canvas = canvas * (1.08 - 0.25 * x / 1.5)[..., None]
    picture = finish(canvas, 2)
    date = writing(picture.size, (1.08, 0.765), "14 08 2026", 0.07)
    mark = writing(picture.size, (0.48, 0.615), "© SAMPLE", 0.10)
    picture.paste((255, 128, 24), mask=date)
    picture.paste((250, 250, 250), mask=mark.point(lambda value: value * 0.7))
    mask = Image.fromarray(np.maximum(np.asarray(date), np.asarray(mark)))
    return picture, mask.point(lambda value: 255 if value else 0)


# A window sill in the evening: a vase with twigs in front, a bottle out of focus behind.


def evening(x: Array, y: Array) -> Array:
    """A town behind the window, far out of focus: discs of light over dark blue, in linear light."""
    glow = ramp(
        y, (0.0, colour(14, 22, 44)), (0.45, colour(38, 40, 66)), (0.68, colour(120, 66, 44)), (0.8, colour(40, 26, 26))
    )
    glow = (glow * (1 + 0.15 * fractal(x * 1.3, y * 1.6, 201, 3)[..., None])) ** 2.2
    random = np.random.default_rng(21)
    rows = len(y)
    for _ in range(100):
        left = 1.5 * random.beta(1.0, 2.6)
        top = 0.50 + random.normal(0, 0.15) - 0.28 * left * (left > 0.8)
        lamp = random.choice([(255, 176, 92), (255, 212, 150), (255, 110, 70), (150, 190, 255), (255, 236, 210)])
        row, column = np.clip([int(top * rows), int(left * rows)], 0, (rows - 1, x.shape[1] - 1))
        glow[row, column] += colour(*lamp) ** 2.2 * random.exponential(0.0011) * rows**2
    return defocus(glow, 0.042)


def turned(profile: list[Point], centre: float, x: Array, y: Array) -> Array:
    """How far a turned body, (y, radius) from top to foot, stands out towards the eye; -1 beside it."""
    radius = np.interp(y, [top for top, _ in profile], [wide for _, wide in profile], left=0, right=0)
    out = radius**2 - (x - centre) ** 2
    return np.where(out > 0, np.sqrt(np.clip(out, 0, None)), -1)


def smooth(points: list[Point]) -> list[Point]:
    """A profile without corners: as `curve`, piece by piece through the middles of its sides."""
    middles = [((a[0] + b[0]) / 2, (a[1] + b[1]) / 2) for a, b in itertools.pairwise(points)]
    middles = [points[0], *middles, points[-1]]
    bent: list[Point] = []
    for start, by, end in zip(middles, points, middles[1:], strict=False):
        bent += curve([start, by, end], 20)
    return bent


def sill(height: int) -> Scene:
    """Room for a title: the bottle is to go, the backdrop and the edge of the sill have to run on."""
    x, y = coordinates(height, 1.5)
    backdrop = evening(x, y)
    front = 0.775
    plank = ramp(
        0.5 + 0.5 * fractal(x * 2, (y - front) * 30 + 0.6 * fractal(x * 2, y * 3, 220, 2), 221, 5, 0.6),
        (0.0, colour(46, 30, 24)),
        (1.0, colour(128, 88, 62)),
    )
    mirror = np.take_along_axis(
        backdrop, np.clip((2 * front - y) * len(y), 0, len(y) - 1).astype(int)[..., None], axis=0
    )
    mirror = blur(mirror, 0.04)
    board = plank**2.2 * (0.9 + 0.5 * step(y, 1.0, front))[..., None] + 0.22 * mirror
    scene = mix(backdrop, board, step(y, front, front + 0.001))
    far = scene.copy()
    bottle = turned(
        smooth(
            [(0.23, 0.026), (0.40, 0.026), (0.47, 0.03), (0.53, 0.092), (0.60, 0.090), (0.83, 0.090), (0.845, 0.080)]
        ),
        1.06,
        x,
        y,
    )
    glass = ramp(
        (x - 1.06) / 0.09,
        (-1.0, colour(20, 60, 40)),
        (-0.65, colour(150, 210, 150)),
        (-0.45, colour(30, 84, 54)),
        (0.5, colour(16, 52, 36)),
        (0.85, colour(200, 170, 90)),
        (1.0, colour(20, 40, 30)),
    )
    label = (np.abs(y - 0.68) < 0.075) & (bottle >= 0)
    glass[label] = (colour(224, 208, 170) * (1.0 - 0.6 * np.abs((x - 1.03) / 0.1))[..., None])[label]
    far = np.where((bottle >= 0)[..., None], glass**2.2, far)
    dim = blur(step(np.abs(x - 1.1), 0.12, 0.1) * step(np.abs(y - 0.86), 0.02, 0.01), 0.02)
    far *= (1 - 0.5 * dim * step(y, front, front + 0.02))[..., None]
    scene = mix(defocus(far, 0.016), scene, step(y, 0.86, 0.97))
    canvas = np.clip(scene, 0, None) ** (1 / 2.2)
    picture = finish(vase(x, y, canvas), 3)
    outline = [(1.02, 0.19), (1.10, 0.19), (1.11, 0.44), (1.19, 0.52), (1.20, 0.80), (1.24, 0.84), (1.24, 0.90)]
    return picture, hole(picture, [*outline, (0.95, 0.90), (0.93, 0.86), (0.93, 0.52), (1.01, 0.44)])


def vase(x: Array, y: Array, canvas: Array) -> Array:
    """A glazed vase with twigs, sharp, in front of everything."""
    profile = [
        (0.46, 0.062),
        (0.48, 0.05),
        (0.52, 0.042),
        (0.60, 0.075),
        (0.68, 0.150),
        (0.80, 0.140),
        (0.88, 0.075),
        (0.905, 0.072),
    ]
    out = turned(smooth(profile), 0.42, x, y)
    here = out >= 0
    random = np.random.default_rng(33)
    foot = np.exp(-(((x - 0.45) / 0.14) ** 2) - ((y - 0.905) / 0.022) ** 2)
    canvas = canvas * (1 - 0.75 * foot * step(y, 0.77, 0.80))[..., None]

    def twigs(draw: ImageDraw.ImageDraw, rows: float) -> None:
        for _ in range(7):
            lean, top = random.uniform(-0.26, 0.26), random.uniform(0.08, 0.24)
            twig = curve([(0.42, 0.55), (0.42 + 0.05 * lean, 0.40), (0.42 + 0.4 * lean, 0.30), (0.42 + lean, top)], 40)
            draw.line([(a * rows, b * rows) for a, b in twig], fill=(70, 62, 44), width=max(1, round(rows / 200)))
            for i in range(10, 40, 3):
                for side in (-1, 1):
                    way = np.arctan2(twig[i][1] - twig[i - 1][1], twig[i][0] - twig[i - 1][0]) + side * random.uniform(
                        0.7, 1.2
                    )
                    leaf(draw, rows, twig[i], way, 0.052 * (1.25 - i / 45) * random.uniform(0.85, 1.2), random)

    canvas = paint(canvas, twigs)
    normal_x, edge = np.where(here, (x - 0.42) / np.maximum(np.hypot(x - 0.42, out), 1e-6), 0), step(out, 0.0, 0.03)
    glaze = 0.5 + 0.5 * fractal(x * 7, y * 7 + 0.8 * fractal(x * 3, y * 3, 240, 3), 241, 5, 0.55)
    drip = step(y + 0.02 * fractal(x * 9, 0 * x, 244, 3), 0.655, 0.675)
    body = mix(
        ramp(glaze, (0.2, colour(30, 84, 96)), (0.6, colour(60, 138, 144)), (0.9, colour(152, 200, 186))),
        ramp(glaze, (0.2, colour(150, 112, 84)), (0.9, colour(206, 172, 136))),
        drip,
    )
    tall = np.where(here, out, 0)
    lit = relief(
        blur(tall, 0.0015), body, (-0.75, -0.35, 0.5), gloss=0.15, reach=0.02, sky=colour(120, 130, 170) * 0.35
    )
    lit += (0.75 * np.exp(-(((normal_x + 0.52) / 0.10) ** 2)) * step(np.abs(y - 0.69), 0.10, 0.04) * (1 - 0.8 * drip))[
        ..., None
    ]
    lit += (0.35 * step(normal_x, 0.75, 1.0) * edge)[..., None] * colour(255, 170, 100)
    canvas = mix(canvas, lit, step(blur(here.astype(float), 0.0006), 0.3, 0.7))
    mouth = ((x - 0.42) / 0.060) ** 2 + ((y - 0.463) / 0.010) ** 2
    return mix(canvas, colour(26, 44, 50), step(mouth, 1.0, 0.85) * step(y, 0.458, 0.466))


def leaf(
    draw: ImageDraw.ImageDraw, rows: float, stem: Point, way: float, long: float, random: np.random.Generator
) -> None:
    """One leaf, halved by its vein, the upper half in more light."""
    along, aside = np.array([np.cos(way), np.sin(way)]) * long, np.array([-np.sin(way), np.cos(way)]) * long
    base = np.array(stem)
    green = np.array(random.choice([(92, 118, 92), (112, 136, 104), (74, 104, 86)])) * random.uniform(0.75, 1.15)
    for side in (-1, 1):
        bow = curve([base, base + 0.45 * along + side * 0.62 * aside, base + along], 14)
        shade = tuple(int(min(255, value)) for value in green * (1.3 if side * aside[1] < 0 else 0.85))
        draw.polygon([(a * rows, b * rows) for a, b in bow], fill=shade)
    draw.line([tuple(base * rows), tuple((base + along) * rows)], fill=tuple(int(v * 0.7) for v in green), width=1)

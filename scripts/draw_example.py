"""Draw the picture that the editor offers to try: python scripts/draw_example.py src/retouche/apps/editor/example.jpg

A brick wall in evening light above a meadow, with a ball in the grass and a date in the corner: things to remove, and
textures that a fill has to continue. Drawn by numbers alone, so that no photograph is shipped.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT, GROUND = 720, 480, 300
RANDOM = np.random.default_rng(7)


def noise(height: int, width: int, *scales: tuple[float, float]) -> np.ndarray:
    """Sum of smoothed noises, (height, width), about -1..1; each scale is (radius in pixels, amplitude)."""
    total = np.zeros((height, width))
    for radius, amplitude in scales:
        small = RANDOM.normal(0, 1, (int(height / radius) + 3, int(width / radius) + 3)).astype(np.float32)
        layer = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        total += amplitude * np.asarray(layer)
    return total


def wall() -> np.ndarray:
    """(HEIGHT, WIDTH, 3), 0..255: bricks in running bond, each its own colour, with rough mortar."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    wobble = noise(HEIGHT, WIDTH, (30, 0.7))
    row = np.floor((y + wobble) / 26).astype(int)
    along = x + wobble + np.where(row % 2, 32, 0)
    column = np.floor(along / 64).astype(int)
    tone = np.random.default_rng(3).normal(0, 1, (60, 40))[row % 60, column % 40]
    colour = np.stack([158 + 15 * tone, 84 + 11 * tone, 66 + 9 * tone], -1)
    colour += 7 * noise(HEIGHT, WIDTH, (1.5, 1), (5, 0.8))[..., None]
    rough = 2.4 + 0.5 * noise(HEIGHT, WIDTH, (3, 1))
    mortar = ((y + wobble) % 26 < rough) | (along % 64 < rough)
    colour[mortar] = (176, 164, 148) + 9 * noise(HEIGHT, WIDTH, (1.5, 1))[mortar][:, None]
    light = 1.12 - 0.35 * x / WIDTH + 0.05 * noise(HEIGHT, WIDTH, (120, 1))
    return colour * light[..., None]


def meadow(picture: Image.Image) -> None:
    """Blades of grass, from far to near, drawn over the wall's foot."""
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, GROUND + 6, WIDTH, HEIGHT), fill=(62, 88, 34))
    for depth in np.sort(RANDOM.uniform(0, 1, 15000)):
        x, y = RANDOM.uniform(-10, WIDTH + 10), GROUND + 4 + depth * (HEIGHT - GROUND + 30)
        length, lean = (8 + 26 * depth) * RANDOM.uniform(0.6, 1.2), RANDOM.normal(0, 5 + 6 * depth)
        green = RANDOM.normal(0, 14)
        shade = 0.75 + 0.35 * (1 - x / WIDTH)
        colour = tuple(
            int(np.clip(value * shade, 0, 255)) for value in (92 + green, 128 + green * 1.3, 46 + green * 0.4)
        )
        draw.line((x, y, x + lean / 2, y - length * 0.6, x + lean, y - length), fill=colour, width=1 + int(1.6 * depth))


def ball(picture: Image.Image, x: int, y: int, radius: int) -> None:
    """A red ball with its light and its shadow."""
    shadow = Image.new("L", picture.size)
    ImageDraw.Draw(shadow).ellipse((x - radius, y + radius - 16, x + 2 * radius, y + radius + 12), fill=130)
    picture.paste((24, 36, 14), mask=shadow.filter(ImageFilter.GaussianBlur(7)))
    v, u = np.mgrid[-radius : radius + 1, -radius : radius + 1] / radius
    height = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    light = np.clip(-0.55 * u - 0.5 * v + 0.68 * height, 0.12, 1)
    red = np.array([214, 46, 40]) * light[..., None] + 150 * np.clip(light - 0.93, 0, 1)[..., None] * 8
    red[np.abs(u * 0.5 + v) < 0.16] = (238 * light[..., None] * np.ones(3))[np.abs(u * 0.5 + v) < 0.16]
    inside = Image.fromarray(((u * u + v * v < 1) * 255).astype(np.uint8))
    picture.paste(Image.fromarray(red.clip(0, 255).astype(np.uint8)), (x - radius, y - radius), inside)


def main(path: str) -> None:
    picture = Image.fromarray(wall().clip(0, 255).astype(np.uint8))
    meadow(picture)
    ball(picture, 262, 372, 46)
    picture = picture.filter(ImageFilter.GaussianBlur(0.6))
    grain = np.asarray(picture) + RANDOM.normal(0, 3, (HEIGHT, WIDTH, 1))
    picture = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
    font = ImageFont.load_default(22)
    ImageDraw.Draw(picture).text((WIDTH - 150, 24), "14 08 2026", font=font, fill=(255, 196, 84))
    picture.save(path, quality=88)


if __name__ == "__main__":
    main(sys.argv[1])

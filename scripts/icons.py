"""Draw the editor's icons as PNG, of the same shapes as icon.svg: `python scripts/icons.py`.

Installed pages need them: not every system shows an SVG among its programs.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

EDITOR = Path(__file__).parent.parent / "src" / "retouche" / "apps" / "editor"
SIDES = (192, 512)
FINE = 4  # drawn so much larger, then shrunk
GROUND, LINE = "#d9541e", "#ffffff"
UNITS = 20.0  # side of icon.svg's drawing
CORNER, WIDTH, DASH, GAP = 5.0, 1.6, 1.4, 2.6  # of round dashes, which reach further than the SVG's
CURVES = (((5, 12), (7, 6), (13, 6), (15, 9)), ((15, 9), (13, 15), (7, 15), (5, 12)))


def outline() -> np.ndarray:
    """(N, 2): the closed line, finely."""
    share = np.linspace(0, 1, 400)[:, None]
    parts = []
    for curve in CURVES:
        a, b, c, d = (np.array(point, float) for point in curve)
        parts.append(
            (1 - share) ** 3 * a + 3 * (1 - share) ** 2 * share * b + 3 * (1 - share) * share**2 * c + share**3 * d
        )
    return np.concatenate(parts)


def icon(side: int, inset: float) -> Image.Image:
    """The icon; with an inset the ground reaches the border and the line keeps a distance, for icons that are cut."""
    size = side * FINE
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, size - 1, size - 1), 0 if inset else CORNER / UNITS * size, fill=GROUND)
    points = (outline() / UNITS - 0.5) * (1 - inset) + 0.5
    along, width = 0.0, WIDTH / UNITS * size * (1 - inset)
    for one, two in pairwise(points):
        if along % (DASH + GAP) < DASH:
            draw.line([*(one * size), *(two * size)], fill=LINE, width=round(width))
            x, y = two * size
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=LINE)
        along += float(np.hypot(*(two - one))) * UNITS / (1 - inset)
    return image.resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    for side in SIDES:
        icon(side, 0).save(EDITOR / f"icon-{side}.png", optimize=True)
    icon(SIDES[-1], 0.2).convert("RGB").save(EDITOR / "icon-whole.png", optimize=True)

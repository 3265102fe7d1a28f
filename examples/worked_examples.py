"""Make the before/after sheets that docs/examples.md speaks of, by the very commands that stand there.

The photographs come with scikit-image: the rocket (SpaceX) and the cat (Stefan van der Walt) are CC0, the astronaut
(NASA) is in the public domain.

    python examples/worked_examples.py out/examples
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from retouche.apps.cli import main
from retouche.inference.sheet import Panel, contact_sheet, mark_hole


def mask_for(picture: Image.Image) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A black mask of the picture's size, and something to draw holes with."""
    mask = Image.new("L", picture.size)
    return mask, ImageDraw.Draw(mask)


def tower() -> tuple[Image.Image, Image.Image]:
    """An object before the sky: the lightning tower on the left of the rocket."""
    picture = Image.fromarray(data.rocket())
    mask, draw = mask_for(picture)
    draw.polygon([(192, 116), (210, 116), (212, 210), (216, 372), (156, 372), (182, 200)], fill=255)
    return picture, mask


def date() -> tuple[Image.Image, Image.Image]:
    """A date that a camera burnt in; the mask is the writing itself, grown by --dilate."""
    picture = Image.fromarray(data.chelsea())
    mask, draw = mask_for(picture)
    place, font = (268, 262), ImageFont.load_default(24)
    draw.text(place, "07 09 2024", fill=255, font=font)
    ImageDraw.Draw(picture).text(place, "07 09 2024", fill=(255, 150, 40), font=font)
    return picture, mask.point(lambda value: 255 if value else 0)


def room() -> tuple[Image.Image, Image.Image]:
    """Room for a title: what stands on the right of the portrait goes."""
    picture = Image.fromarray(data.astronaut())
    mask, draw = mask_for(picture)
    draw.polygon([(372, 0), (452, 0), (470, 140), (474, 234), (454, 262), (372, 262), (342, 234), (356, 140)], fill=255)
    return picture, mask


def face() -> tuple[Image.Image, Image.Image]:
    """Lines beside the mouth."""
    picture = Image.fromarray(data.astronaut()).crop((120, 0, 340, 220))
    mask, draw = mask_for(picture)
    draw.line([(81, 122), (76, 131), (75, 140)], fill=255, width=5)
    draw.line([(128, 120), (135, 130), (137, 141)], fill=255, width=5)
    return picture, mask


EXAMPLES: dict[str, tuple[Callable[[], tuple[Image.Image, Image.Image]], str, list[str]]] = {
    "object": (tower, "default", []),
    "date": (date, "default", ["--dilate", "3"]),
    "layout": (room, "harmonic", []),
    "face": (face, "harmonic", ["--dilate", "2"]),
}


def make(folder: Path) -> None:
    """Write one sheet for each example."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (example, model, dilate) in EXAMPLES.items():
        before, mask = example()
        with tempfile.TemporaryDirectory() as work:
            photo, hole, filled = (str(Path(work, each)) for each in ("photo.png", "mask.png", "filled.png"))
            before.save(photo)
            mask.save(hole)
            if main(["run", "--image", photo, "--mask", hole, "--output", filled, "--model", model, *dilate]):
                raise SystemExit(f"{name}: not filled")
            if main(["check", photo, filled, hole, *dilate]):
                raise SystemExit(f"{name}: something outside the hole has changed")
            with Image.open(filled) as after:
                pixels, holes = np.asarray(before), np.asarray(mask) > 127
                panels = [Panel(pixels, "before"), Panel(mark_hole(pixels, holes), "the mask")]
                panels.append(Panel(np.asarray(after), "after"))
                contact_sheet(panels, longest=400, columns=3).save(folder / f"{name}.jpg", quality=82)


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples"))

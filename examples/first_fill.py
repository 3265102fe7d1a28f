"""Fill a hole in a photograph: the first thing to try after installing.

    python examples/first_fill.py [OUTPUT_FOLDER]

Writes the filled picture and a before/after sheet. The photograph (public domain, by SpaceX) comes with scikit-image.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

# PyTorch reads this when it is imported: threads that spin while they wait make fills ten times as long on busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import retouche
from retouche.inference.sheet import Panel, contact_sheet, mark_hole


def main(folder: Path) -> None:
    from skimage import data

    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(data.rocket())
    mask = Image.new("L", picture.size)
    draw = ImageDraw.Draw(mask)  # the two lattice towers beside the rocket, drawn over as with a broad brush
    draw.polygon([(192, 116), (210, 116), (212, 210), (212, 362), (160, 362), (182, 200)], fill=255)
    draw.polygon([(438, 116), (456, 116), (464, 200), (490, 392), (448, 392), (428, 362), (436, 210)], fill=255)
    filled, report = retouche.inpaint(picture, mask, report=True)
    filled.save(folder / "filled.png")
    before, hole = np.asarray(picture), np.asarray(mask) > 127
    panels = [
        Panel(before, "before"),
        Panel(mark_hole(before, hole), "the mask"),
        Panel(np.asarray(filled), f"after\n{report.model}, {report.seconds:.1f} s"),
    ]
    contact_sheet(panels, columns=3).save(folder / "before_after.png")
    print(f"{folder / 'filled.png'} and {folder / 'before_after.png'} in {report.seconds:.1f} s ({report.strategy})")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))

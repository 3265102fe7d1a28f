"""Fill a hole in a photograph: the first thing to try after installing.

    python examples/first_fill.py [OUTPUT_FOLDER]

Writes the filled picture and a before/after sheet. The photograph ("coffee", CC0) comes with scikit-image.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import retouche
from retouche.inference.sheet import contact_sheet


def main(folder: Path) -> None:
    from skimage import data

    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(data.coffee())
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).line([(330, 352), (420, 356), (520, 340), (590, 318)], fill=255, width=46, joint="curve")
    filled, report = retouche.inpaint(picture, mask, report=True)
    filled.save(folder / "filled.png")
    sheet = contact_sheet(picture, np.asarray(mask) > 127, [("filled", filled)])
    sheet.save(folder / "before_after.png")
    print(f"{folder / 'filled.png'} and {folder / 'before_after.png'} in {report.seconds:.1f} s ({report.strategy})")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))

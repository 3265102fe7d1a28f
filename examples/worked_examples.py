"""Make the before/after sheets of docs/examples.md, by the very commands that stand there.

The pictures are drawn, by `scenes.py` and `portrait.py`: no photograph is needed, and none is shipped.

    python examples/worked_examples.py docs/examples          # the sheets as they are shown
    python examples/worked_examples.py out/examples 240       # drawn smaller, quicker: 240 pixels high
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from portrait import portrait
from scenes import Scene, breakfast, lake, sill

from retouche.apps.cli import main
from retouche.inference.sheet import Panel, contact_sheet, mark_hole

EXAMPLES: dict[str, tuple[Callable[[int], Scene], list[str], list[str]]] = {
    # name: the scene, what `retouche run` is told beyond the files, what `retouche check` is
    "object": (lake, [], []),
    "date": (breakfast, ["--dilate", "2"], ["--dilate", "2"]),
    "layout": (sill, [], []),
    "face": (portrait, ["--model", "harmonic", "--dilate", "2"], ["--dilate", "2"]),
}
WIDE = 400  # of a panel, pixels


def sheet(name: str, height: int) -> Image.Image:
    """Before, mask and after of one example, the scene drawn `height` pixels high."""
    scene, told, grown = EXAMPLES[name]
    before, mask = scene(height)
    with tempfile.TemporaryDirectory() as work:
        photo, hole, filled = (str(Path(work, each)) for each in ("photo.png", "mask.png", "filled.png"))
        before.save(photo)
        mask.save(hole)
        if main(["run", "--image", photo, "--mask", hole, "--output", filled, *told]):
            raise SystemExit(f"{name}: not filled")
        if main(["check", photo, filled, hole, *grown]):
            raise SystemExit(f"{name}: something outside the hole has changed")
        with Image.open(filled) as after:
            pixels, holes = np.asarray(before), np.asarray(mask) > 127
            panels = [Panel(pixels, "before"), Panel(mark_hole(pixels, holes), "the mask")]
            panels.append(Panel(np.asarray(after), "after"))
    longest = round(WIDE * max(1, before.height / before.width))
    return contact_sheet(panels, longest=longest, columns=3)


def make(folder: Path, height: int = 480) -> None:
    """Write one sheet for each example."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in EXAMPLES:
        sheet(name, height).save(folder / f"{name}.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples"), int(sys.argv[2]) if len(sys.argv) > 2 else 480)

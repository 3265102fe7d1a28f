"""Make sketches from pictures: white lines on black where a picture has edges.

They guide a model that listens to lines (`retouche run --sketch`; deepfill-v2 of the preset "sketch"), and are
what such a model learns from (`retouche train deepfill-v2 sketch --sketches DIR`). Redraw them to steer the fill.

examples:
  retouche sketch --image photo.jpg --output sketch.png
  retouche sketch --image photos/ --output sketches/ --workers 4 --resume
  retouche sketch --image photo.jpg --output coarse.png --smooth 4

exit code: 0 done, 1 some pictures of a batch failed (listed at the end), 2 nothing done: wrong use or bad input
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from retouche.apps.batch.pairing import Job
from retouche.apps.cli import each, terminal
from retouche.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retouche.pictures import Picture

LOSSY = {".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Options(each.Options):
    smooth: Annotated[float | None, terminal.without_default("PIXELS")] = None
    """Details up to about this size draw no lines. Default: 0.6 % of the picture's shorter side, as in training."""


def main(options: Options) -> int:
    """Draw each picture's lines; a batch's files are PNG."""
    if options.smooth is not None and not 0 < options.smooth <= 1000:
        raise InputError(f"--smooth is {options.smooth:g}: give pixels above 0, up to 1000")
    if Path(options.output).suffix.lower() in LOSSY and not Path(options.output).is_dir():
        raise InputError(f"--output {options.output} would blur the lines: give a .png")
    return each.make_all(each.Making("sketch", options, read, make, write), "drawing", suffix=".png")


def read(job: Job, options: Options) -> Picture:
    """The picture."""
    from retouche.pictures import open_picture

    return open_picture(job.image)


def make(picture: Picture, options: Options) -> tuple[NDArray[np.bool_], list[str]]:
    """The lines (H, W) and remarks."""
    from retouche.data.sketches import sketch

    return sketch(picture, options.smooth), list(picture.remarks)


def write(job: Job, made: tuple[NDArray[np.bool_], list[str]], options: Options) -> list[str]:
    """One sketch; returns remarks."""
    import numpy as np

    from retouche.pictures import Picture, write_picture

    lines, remarks = made
    write_picture(Picture(lines[..., None] * np.uint8(255), "L"), job.output, overwrite=True)
    return remarks

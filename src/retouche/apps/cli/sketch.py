"""Make sketches from pictures: white lines on black where a picture has edges.

They guide a model that takes a sketch (`retouche run --sketch`; deepfill-v2 of the preset "sketch"), and are
what such a model learns from (`retouche train deepfill-v2 sketch --sketches DIR`). Redraw them to steer the fill.

examples:
  retouche sketch --image photo.jpg --output sketch.png
  retouche sketch --image photos/ --output sketches/ --workers 4 --resume
  retouche sketch --image photo.jpg --output coarse.png --smooth 4
  retouche sketch --image photos/ --output edges/ --hed hed_pretrained_bsds.caffemodel   (a.jpg: a_edge.png)

With --hed the edges are those of the network of Xie and Tu 2015, above 0.6, as guided filling was published. Its
weights are yours to bring: the authors' .caffemodel, the PyTorch port's file or the Keras port's .h5 or .hdf5, read for
their tensors alone.

exit code: 0 done, 1 some pictures of a batch failed (listed at the end), 2 nothing done: wrong use or bad input
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from retouche.apps.cli import folder_runs, terminal
from retouche.errors import InputError
from retouche.runners.work import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from retouche.backbones.hed import HED
    from retouche.pictures import Picture

LOSSY = {".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Options(folder_runs.Options):
    smooth: Annotated[float | None, terminal.without_default("PIXELS")] = None
    """Details up to about this size draw no lines. Default: 0.6 % of the picture's shorter side, as in training."""
    hed: Annotated[str | None, terminal.without_default("FILE")] = None
    """Weights of HED, whose edges are drawn in place of Canny's."""
    threshold: Annotated[float | None, terminal.without_default("N")] = None
    """How sure HED must be of an edge, 0..1. Default: 0.6."""


def main(options: Options) -> int:
    """Draw each picture's lines; a batch's files are PNG."""
    if options.smooth is not None and not 0 < options.smooth <= 1000:
        raise InputError(f"--smooth is {options.smooth:g}: give pixels above 0, up to 1000")
    if options.hed is not None and options.smooth is not None:
        raise InputError("--smooth is of the edges that are drawn without --hed: leave one of them out")
    if options.threshold is not None and (options.hed is None or not 0 <= options.threshold < 1):
        raise InputError("--threshold says how sure --hed must be: give both, a number of at least 0 and below 1")
    if Path(options.output).suffix.lower() in LOSSY and not Path(options.output).is_dir():
        raise InputError(f"--output {options.output} would blur the lines: give a .png")
    return folder_runs.make_all(
        folder_runs.Making("sketch", options, read, make, write), "drawing", suffix=_ending(options)
    )


def _ending(options: Options) -> str:
    """What the names in a folder end in: guided filling was published with `_edge`."""
    return ".png" if options.hed is None else "_edge.png"


def read(job: Job, options: Options) -> Picture:
    """The picture."""
    from retouche.pictures import open_picture

    return open_picture(job.image)


def make(picture: Picture, options: Options) -> tuple[NDArray[np.bool_], list[str]]:
    """The lines (H, W) and remarks."""
    if options.hed is not None:
        from retouche.backbones import hed

        found = hed.edges(_network(options.hed), picture.rgb())[0, 0].numpy()
        return found > (hed.THRESHOLD if options.threshold is None else options.threshold), list(picture.remarks)
    from retouche.data.sketches import sketch

    return sketch(picture, options.smooth), list(picture.remarks)


@lru_cache(maxsize=1)
def _network(path: str) -> HED:
    """The network of a file, read once by each process."""
    from retouche.backbones.hed import hed

    return hed(path)


def write(job: Job, result: tuple[NDArray[np.bool_], list[str]], options: Options) -> list[str]:
    """One sketch; returns remarks."""
    import numpy as np

    from retouche.apps.batch.writing import write_output
    from retouche.pictures import Picture

    lines, remarks = result
    write_output(Picture(lines[..., None] * np.uint8(255), "L"), job.output, overwrite=True)
    return remarks

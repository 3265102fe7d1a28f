"""Make structure pictures: texture smoothed away, edges kept (relative total variation).

They are what structure-flow is trained on and guided by (`retouche run --structure`). Settings: "script" for its
Places2 and Paris files, "example" for CelebA, "xu" as in the paper of the smoothing. With --mask nothing of the hole is
used, and the hole comes out grey.

examples:
  retouche structure --image photo.jpg --output structure.png
  retouche structure --image photos/ --output structures/ --workers 4 --resume
  retouche structure --image photo.png --mask mask.png --output known.png --setting example

exit code: 0 done, 1 some pictures of a batch failed (listed at the end), 2 nothing done: wrong use or bad input
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from retouche.apps.cli import folder_runs, terminal
from retouche.runners.work import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from retouche.pictures import Picture

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Options(folder_runs.Options):
    mask: Annotated[tuple[str, ...], terminal.without_default("PATH")] = ()
    """Masks, paired by name, white is the hole: the structure of what is known only."""
    setting: Literal["script", "example", "xu"] = "script"
    """How much is smoothed."""
    solver: Literal["exact", "published"] = "exact"
    """exact: above 2 megapixels to about half a level of 8 bits. published: stops where the published MATLAB script
    did, for pictures equal to those weights were trained on."""


def main(options: Options) -> int:
    """Smooth each picture; formats are kept."""
    return folder_runs.make_all(folder_runs.Making("structure", options, read, make, write), "smoothing", options.mask)


class Given(NamedTuple):
    """A picture and what of it is unknown (H, W), where anything is; what is to be reported of both."""

    picture: Picture
    hole: NDArray[np.bool_] | None
    remarks: list[str]


def read(job: Job, options: Options) -> Given:
    """Picture and mask; the colours of what is transparent are unknown, too: nobody sees them."""
    from retouche.masks import open_mask
    from retouche.pictures import open_picture

    picture = open_picture(job.image)
    remarks = list(picture.remarks)
    alpha = picture.alpha()
    hole = None if alpha is None or not alpha.any() else alpha == 0
    if job.mask is not None:
        mask, mask_remarks = open_mask(job.mask, (picture.height, picture.width))
        remarks += mask_remarks
        hole = mask if hole is None else mask | hole
    elif hole is not None and not hole.any():
        hole = None
    return Given(picture, hole, remarks)


def make(given: Given, options: Options) -> Given:
    """The structure in the picture's place."""
    import torch

    from retouche.numerics.structure import LARGEST_DIRECT, SETTINGS, rtv, structure_of_known

    picture, hole, _ = given
    if options.solver == "exact" and picture.width * picture.height > LARGEST_DIRECT:
        smoothed = _large(given, options)
    elif hole is None:
        smoothed = rtv(picture.rgb().mul_(0.5).add_(0.5), *SETTINGS[options.setting], solver=options.solver)
        smoothed.mul_(2).sub_(1)
    else:
        unknown = torch.from_numpy(hole)[None, None].float()
        smoothed = structure_of_known(picture.rgb(), unknown, options.setting, options.solver)
    result = picture.copy()
    width, height = picture.width, picture.height
    for top in range(0, height, ROWS_AT_ONCE):
        bottom = min(height, top + ROWS_AT_ONCE)
        result.paste(smoothed[:, :, top:bottom], (0, top, width, bottom), torch.ones(1, 1, bottom - top, width))
    return given._replace(picture=result)


def _large(given: Given, options: Options) -> Tensor:
    """The same for a picture that is not to be held as numbers of 4 bytes more than once."""
    import torch

    from retouche.numerics.structure import SETTINGS
    from retouche.numerics.structure_bands import smooth_in_bands

    picture, hole, _ = given
    known = None if hole is None else torch.from_numpy(~hole)
    smoothed = smooth_in_bands(
        lambda box: picture.rgb(box)[0].mul_(0.5).add_(0.5),
        (picture.height, picture.width),
        SETTINGS[options.setting],
        known,
        "cut",
    )
    smoothed.clamp_(0, 1).mul_(2).sub_(1)
    if known is not None:
        smoothed *= known
    return smoothed[None]


def write(job: Job, result: Given, options: Options) -> list[str]:
    """One structure picture; returns remarks."""
    from retouche.apps.batch.writing import write_output

    write_output(result.picture, job.output, overwrite=options.overwrite or options.resume or job.again)
    return result.remarks

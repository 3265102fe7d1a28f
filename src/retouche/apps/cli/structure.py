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
from typing import Annotated, Literal

from retouche.apps.batch.pairing import Job
from retouche.apps.cli import each, terminal

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Options(each.Options):
    mask: Annotated[tuple[str, ...], terminal.without_default("PATH")] = ()
    """Masks, paired by name, white is the hole: the structure of what is known only."""
    setting: Literal["script", "example", "xu"] = "script"
    """How much is smoothed."""
    solver: Literal["exact", "published"] = "exact"
    """published: stops where the published MATLAB script did, for pictures equal to those weights were trained on."""


def main(options: Options) -> int:
    """Smooth each picture; formats are kept."""
    return each.make_all(options, write_structure, "smoothing", options.mask)


def write_structure(job: Job, options: Options) -> list[str]:
    """One structure picture from file to file; returns remarks."""
    import torch

    from retouche.layers.structure import SETTINGS, rtv, structure_of_known
    from retouche.masks import open_mask
    from retouche.pictures import open_picture, write_picture

    picture = open_picture(job.image)
    remarks = list(picture.remarks)
    width, height = picture.width, picture.height
    alpha = picture.alpha()
    hole = torch.zeros(1, 1, height, width)
    if alpha is not None and alpha.any():
        hole += torch.from_numpy(alpha == 0)  # whose colours nobody sees
    if job.mask is None and not hole.any():
        smoothed = rtv(picture.rgb().mul_(0.5).add_(0.5), *SETTINGS[options.setting], solver=options.solver)
        smoothed.mul_(2).sub_(1)
    else:
        if job.mask is not None:
            mask, said = open_mask(job.mask, (height, width))
            remarks += said
            hole = torch.maximum(hole, torch.from_numpy(mask)[None, None].float())
        smoothed = structure_of_known(picture.rgb(), hole, options.setting, options.solver)
    result = picture.copy()
    for top in range(0, height, ROWS_AT_ONCE):
        bottom = min(height, top + ROWS_AT_ONCE)
        result.paste(smoothed[:, :, top:bottom], (0, top, width, bottom), torch.ones(1, 1, bottom - top, width))
    job.output.parent.mkdir(parents=True, exist_ok=True)
    write_picture(result, job.output, overwrite=options.overwrite)
    return remarks

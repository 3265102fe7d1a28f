"""Carrying out a plan: windows are read, predicted and pasted; those of one network that do not touch go together.

What is filled counts as known for the windows that follow, so their order matters. Two windows may change places, or
be predicted as one batch, where neither shows what the other fills: `in_waves` finds those, and the result is that of
one window after another, but for the rounding of a network that is given a batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from retouche.fills.grain import matched
from retouche.fills.harmonic import fill as harmonic
from retouche.image import Box
from retouche.inference.prediction import predicted
from retouche.inference.report import HoleReport
from retouche.inference.strategy import Region, Window, in_turn, together, with_something_known
from retouche.inference.windows import box_read, enlarged, mirrored, read_window, size_seen
from retouche.methods.method import size_taken
from retouche.pictures import Picture
from retouche.progress import part, report_progress

if TYPE_CHECKING:
    from retouche.inference.model import Model

PASTING = 0.1  # share of a window's time after its prediction; for progress only


@dataclass(frozen=True)
class Guides:
    """What may steer a fill beside the known pixels, at the picture's size."""

    sketch: np.ndarray | None = None  # (H, W) bool, True = stroke
    structure: Picture | None = None


@dataclass
class Canvas:
    """A picture that is being filled.

    Attributes:
        picture: what is filled so far
        unknown: (H, W), True = not known yet, seen or not; brought up to date
        weight: (H, W), 0..1, how much of the fill is pasted
        guides: what steers it
        seed: for fills that draw at random
        memory: bytes that one pass may take
    """

    picture: Picture
    unknown: np.ndarray
    weight: np.ndarray
    guides: Guides
    seed: int
    memory: int


@dataclass(frozen=True)
class Job:
    """One region, who fills it, and which pixels of it are his.

    Attributes:
        hole: (h, w), True = to be filled by this model; the part of the picture that begins at `corner`
        why: why by this one, in words; "" where there was no choice
        corner: (x, y) in the picture
    """

    canvas: Canvas
    model: Model
    region: Region
    hole: np.ndarray
    why: str
    corner: tuple[int, int] = (0, 0)

    @property
    def bounds(self) -> Box:
        """Of the part of the picture at whose borders it goes on mirrored."""
        x, y = self.corner
        return x, y, x + self.hole.shape[1], y + self.hole.shape[0]

    def inside(self, box: Box) -> np.ndarray:
        """What of a box of the picture is to be filled by this model, (bottom - top, right - left)."""
        found = np.zeros((box[3] - box[1], box[2] - box[0]), np.bool_)
        x, y = self.corner
        left, top = max(box[0], x), max(box[1], y)
        part = self.hole[top - y : max(box[3] - y, 0), left - x : max(box[2] - x, 0)]
        found[top - box[1] : top - box[1] + part.shape[0], left - box[0] : left - box[0] + part.shape[1]] = part
        return found


def passes(jobs: Sequence[Job]) -> Iterator[tuple[list[int], tuple[float, float]]]:
    """Which jobs go together in one pass, decided when it is their turn, by what is unknown then.

    Args:
        jobs: of one picture or several, each picture's in the order in which they count as known for the next

    Yields: numbers of jobs, and from which to which fraction of the whole the pass leads, by the pixels that each
        method sees of its region
    """
    costs = [_seen(job.region) for job in jobs]
    total, done = sum(costs) or 1.0, 0.0
    for batch in _batches(jobs):
        cost = sum(costs[number] for number in batch)
        yield batch, (done / total, (done + cost) / total)
        done += cost


def _seen(region: Region) -> float:
    """Pixels that the method sees in all of a region's windows."""
    return sum(
        (crop[2] - crop[0]) * (crop[3] - crop[1]) * region.scale**2 for crop in (each.crop for each in region.windows)
    )


# What goes together ---------------------------------------------------------------------------------------------------


def _batches(jobs: Sequence[Job]) -> Iterator[list[int]]:
    """Numbers of jobs to carry out in one pass."""
    for wave in in_waves(jobs):
        alike: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number in wave:
            job = jobs[number]
            if len(job.region.windows) > 1 or job.model.generator is None:
                yield [number]
            else:
                size = size_seen(job.region.windows[0].crop, job.region.scale)
                guides = job.canvas.guides.sketch is None, job.canvas.guides.structure is None
                alike[id(job.model), guides, size].append(number)
        for (_, _, size), numbers in alike.items():
            job = jobs[numbers[0]]
            assert job.model.generator is not None
            taken = size_taken(job.model.generator, size)
            most = together(taken, job.model.scope, job.canvas.memory, job.model.device.type)
            for first in range(0, len(numbers), most):
                yield numbers[first : first + most]


def in_waves(jobs: Sequence[Job]) -> list[list[int]]:
    """Numbers of jobs, a wave after another: in none of them a job shows what another of it fills.

    Carried out wave by wave, each job sees exactly what it would see if all were carried out one after another.
    """
    level = np.zeros(len(jobs), np.int64)
    pictures: defaultdict[int, list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        pictures[id(job.canvas)].append(number)
    for numbers in pictures.values():
        level[numbers] = _levels([jobs[number] for number in numbers])
    waves: list[list[int]] = [[] for _ in range(int(level.max(initial=-1)) + 1)]
    for number, each in enumerate(level):
        waves[each].append(number)
    return waves


def _levels(jobs: Sequence[Job]) -> np.ndarray:
    """The wave of each job of one picture, from 0 on."""
    reads = np.array([_reads(job) for job in jobs])
    writes = np.array([job.region.box for job in jobs])
    level = np.zeros(len(jobs), np.int64)
    for number in range(1, len(jobs)):
        before = slice(0, number)
        touch = _meet(writes[before], reads[number]) | _meet(reads[before], writes[number])
        if touch.any():
            level[number] = level[before][touch].max() + 1
    return level


def _reads(job: Job) -> Box:
    """The box of all pixels that its windows may show."""
    height, width = job.canvas.unknown.shape
    boxes = [box_read(window.crop, job.bounds) for window in job.region.windows]
    if any(job.canvas.unknown[top:bottom, left:right].all() for left, top, right, bottom in boxes):
        return 0, 0, width, height  # it will grow until it shows something known
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _meet(boxes: np.ndarray, one: np.ndarray) -> np.ndarray:
    """(n, 4), (4,) -> (n,) bool: whether they share a pixel."""
    return np.asarray((boxes[:, 0] < one[2]) & (one[0] < boxes[:, 2]) & (boxes[:, 1] < one[3]) & (one[1] < boxes[:, 3]))


# One pass -------------------------------------------------------------------------------------------------------------


def fill_region(job: Job) -> HoleReport:
    """Fill one region, window by window."""
    region, unknown = job.region, job.canvas.unknown
    pixels, smallest = _pixels(job), region.scale
    for number, window in enumerate(in_turn(region.windows, unknown)):
        target = window.target
        at = (slice(target[1], target[3]), slice(target[0], target[2]))
        if (unknown[at] & job.inside(target)).any():  # else a neighbour's window has filled it
            window, scale = with_something_known(window, region.scale, unknown)
            smallest = min(smallest, scale)
            with part(number / len(region.windows), (number + 1) / len(region.windows)):
                with part(0, 1 - PASTING):
                    image, mask, sketch, structure = _view(job, window, scale)
                    prediction = _predicted(job, image, mask, sketch, structure)
                _paste(job, window, prediction)
    return _report(job, pixels, smallest)


def fill_together(jobs: Sequence[Job]) -> list[HoleReport]:
    """Fill regions of one window each, all seen at one size, by one pass of their network."""
    windows = [job.region.windows[0] for job in jobs]
    pixels = [_pixels(job) for job in jobs]
    wanted = [number for number, count in enumerate(pixels) if count]
    if wanted:
        views = [_view(jobs[number], windows[number], jobs[number].region.scale) for number in wanted]
        with part(0, 1 - PASTING):
            predictions = _predicted(jobs[0], *(_joined(parts) for parts in zip(*views, strict=True)))
        for row, number in enumerate(wanted):
            _paste(jobs[number], windows[number], predictions[row : row + 1])
    return [_report(job, count, job.region.scale) for job, count in zip(jobs, pixels, strict=True)]


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [each for each in parts if each is not None]
    assert len(there) in {0, len(parts)}
    return torch.cat(there) if there else None


def _pixels(job: Job) -> int:
    """How many of its pixels are unknown."""
    left, top, right, bottom = job.region.box
    return int((job.canvas.unknown[top:bottom, left:right] & job.inside(job.region.box)).sum())


def _report(job: Job, pixels: int, scale: float) -> HoleReport:
    region = job.region
    return HoleReport(
        region.box,
        region.strategy,
        scale,
        len(region.windows),
        region.windows[0].crop,
        pixels,
        job.model.method,
        job.why,
    )


def _paste(job: Job, window: Window, prediction: Tensor) -> None:
    """Put a window's prediction (1, 3, h, w) where it is wanted; that is known from now on."""
    canvas, crop, target = job.canvas, window.crop, window.target
    length = (crop[3] - crop[1], crop[2] - crop[0])
    wanted = (target[0] - crop[0], target[1] - crop[1], target[2] - crop[0], target[3] - crop[1])
    for band, box in enlarged(prediction, length, wanted):
        here = (box[0] + crop[0], box[1] + crop[1], box[2] + crop[0], box[3] + crop[1])
        at = (slice(here[1], here[3]), slice(here[0], here[2]))
        filled = canvas.unknown[at] & job.inside(here)
        canvas.picture.paste(band, here, torch.from_numpy(canvas.weight[at] * filled)[None, None])
        canvas.unknown[at] &= ~filled
        report_progress(1 - PASTING * (target[3] - here[3]) / (target[3] - target[1]))


View = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""image, mask, sketch, structure of one window at the size the method sees: (1, 3, h, w), (1, 1, h, w), ..."""


@torch.inference_mode()
def _view(job: Job, window: Window, scale: float) -> View:
    model, canvas = job.model, job.canvas
    image, mask = read_window(canvas.picture, canvas.unknown, window.crop, scale, job.bounds)
    if model.generator is not None and model.scope.centre is not None:
        image, mask = _only_centre_hole(image, mask, *model.scope.centre)
    guides = canvas.guides
    if "sketch" not in model.conditioning:
        guides = Guides(None, guides.structure)
    return image, mask, *_guide_windows(guides, window.crop, scale, image, job.bounds)


def _predicted(
    job: Job, image: Tensor | None, mask: Tensor | None, sketch: Tensor | None, structure: Tensor | None
) -> Tensor:
    """The predictions for windows at the size the method sees: (n, 3, h, w), -1..1, on the CPU."""
    assert image is not None and mask is not None
    model = job.model
    result = predicted(model, image, mask, sketch, structure, job.canvas.seed)
    grain = model.generator is not None and model.record.grain and job.region.scale == 1
    return _grained(job, result, image, mask) if grain else result


def _grained(job: Job, result: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    whole = torch.where(mask > 0.5, result, image.float())
    pairs = zip(whole.split(1), mask.expand(len(whole), -1, -1, -1).split(1), strict=True)
    return torch.cat([matched(one, hole, job.canvas.seed) for one, hole in pairs])


def _guide_windows(
    guides: Guides, crop: Box, scale: float, image: Tensor, bounds: Box
) -> tuple[Tensor | None, Tensor | None]:
    """The guides at the window's place and size: sketch (1, 1, h, w) 0 or 1, structure (1, 3, h, w)."""
    size = image.shape[-2:]
    sketch = structure = None
    if guides.sketch is not None:
        strokes = torch.from_numpy(guides.sketch[np.ix_(*mirrored(crop, bounds))]).float()[None, None]
        # a thin stroke survives shrinking: a seen pixel is stroke where any of its cell is
        sketch = strokes if strokes.shape[-2:] == size else functional.adaptive_max_pool2d(strokes, size)
    if guides.structure is not None:
        structure, gaps = read_window(guides.structure, guides.structure.unseen(), crop, scale, bounds)
        if 0 < gaps.mean() < 1:
            structure = harmonic(structure, gaps, 0)
    return sketch, structure


def _only_centre_hole(image: Tensor, mask: Tensor, side: int, centre: int) -> tuple[Tensor, Tensor]:
    """Fill harmonically every hole but what lies in the middle, which is all that a centre-hole network fills.

    Shrinking may widen a hole by a pixel beyond the middle: that rim is in the block which such networks predict, too.
    """
    first = (side - centre) // 2
    middle = torch.zeros_like(mask)
    middle[..., first : first + centre, first : first + centre] = 1
    return torch.where(mask.bool(), harmonic(image, mask, 0), image), mask * middle

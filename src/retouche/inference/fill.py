"""One call of a model: pictures as users give them are opened, planned, filled and reported."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from retouche.ambient import plain_torch
from retouche.errors import InputError, WeightsError
from retouche.inference.canvas import CanvasPart, canvases, doubled, nearer, placed
from retouche.inference.growing import grown_hole
from retouche.inference.passes import Canvas, Guides, Job, fill_region, fill_together, passes
from retouche.inference.prediction import likeness_remark
from retouche.inference.report import HoleReport, Report, peak_memory_bytes
from retouche.inference.spinning import warn_of_spinning
from retouche.inference.strategy import MEMORY_BYTES, plan
from retouche.masks import (
    EMPTY,
    MaskLike,
    as_shown,
    default_dilation,
    default_feather,
    diagonal,
    open_mask,
    open_sketch,
)
from retouche.methods.method import Route, Scope
from retouche.pictures import Picture, PictureLike, open_picture
from retouche.pictures.extending import extended, padded
from retouche.pictures.margins import Margins, margins
from retouche.progress import listening, part, rising

if TYPE_CHECKING:
    from retouche.inference.model import Model

log = logging.getLogger("retouche")


@dataclass(frozen=True)
class Asked:
    """One picture to fill: its mask and its guides, as `Model` takes them."""

    picture: PictureLike
    mask: MaskLike | None = None
    sketch: MaskLike | None = None
    structure: PictureLike | None = None


@dataclass(frozen=True)
class FillOptions:
    """How all pictures of a call are filled, as `Model` takes it."""

    dilate: int | None = None
    feather: int | None = None
    seed: int = 0
    memory: int | None = None
    extend: Margins | None = None


@dataclass(frozen=True)
class _Planned:
    """A picture before it is filled: where, what by whom, and what its report will say."""

    canvas: Canvas
    jobs: list[Job]
    ratio: float
    grow: int
    soft: int
    room: tuple[int, int, int, int] | None
    remarks: tuple[str, ...]


class Filling:
    """How one call of a model is carried out: `run` takes all of its pictures, so that their windows share passes."""

    def __init__(self, model: Model, options: FillOptions) -> None:
        """Raises: InputError for a budget that is none, WeightsError where the model has no generator"""
        if options.memory is not None and options.memory <= 0:
            raise InputError(f"memory is {options.memory} bytes: give a positive budget, e.g. 2GiB")
        if model.generator is None and model.record.fill is None:
            raise WeightsError(f"{model.name} holds only critics of {model.method}: give the generator's file")
        self.model, self.options = model, options

    def run(
        self, pictures: Sequence[Asked], progress: Callable[[float], None] | None = None
    ) -> tuple[list[Any], list[Report]]:
        """Fill pictures, each by its mask.

        Args:
            pictures: of any sizes; a mask may be left out where the picture is extended
            progress: as `Model` takes it

        Returns: the filled pictures, each of the type given, and their reports
        Raises: InputError
        """
        started = time.perf_counter()
        report_share = None if progress is None else rising(progress)
        planned = [self._plan(asked) for asked in pictures]
        if report_share is not None:
            report_share(0.0)
        jobs = [job for each in planned for job in each.jobs]
        if jobs:
            warn_of_spinning()
        done: dict[int, HoleReport] = {}
        with listening(None if report_share is None else _unfinished(report_share)), plain_torch():
            for numbers, share in passes(jobs):
                with part(*share):
                    several = [jobs[number] for number in numbers]
                    holes = fill_together(several) if len(several) > 1 else [fill_region(several[0])]
                done |= zip(numbers, holes, strict=True)
        found = (done[number] for number in range(len(jobs)))
        seconds = (time.perf_counter() - started) / len(planned)
        reports = [self._report(each, [next(found) for _ in each.jobs], seconds) for each in planned]
        filled = [
            each.canvas.picture if isinstance(asked.picture, Picture) else each.canvas.picture.as_given()
            for each, asked in zip(planned, pictures, strict=True)
        ]
        if report_share is not None:
            report_share(1.0)
        return filled, reports

    def _plan(self, asked: Asked) -> _Planned:
        """One picture's plan, from what a user gave.

        Raises: InputError
        """
        options = self.options
        picture, mask, sketch, structure = asked.picture, asked.mask, asked.sketch, asked.structure
        opened = open_picture(picture)
        size = (opened.height, opened.width)
        room = None if options.extend is None else margins(options.extend, size)
        if isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[0] != 1:
            raise InputError(f"{mask.shape[0]} masks for one picture: give one")
        if mask is None and room is None:
            raise InputError("no mask and nothing to extend: give a mask, or extend")
        turned = isinstance(picture, Image.Image) and picture.format != "TIFF"  # Pillow turns TIFFs itself
        hole, remarks = np.zeros(size, np.bool_), list[str]()
        if mask is not None:
            hole, remarks = open_mask(as_shown(mask, opened, "mask") if turned else mask, size)
        grow, soft = _ring(options, size)
        fresh = None
        if room is not None:
            opened, fresh = extended(opened, room)
            hole, size = padded(hole, room), fresh.shape
        if turned:
            sketch, structure = as_shown(sketch, opened, "sketch"), as_shown(structure, opened, "structure")
        guides = self._guides(sketch, structure, size)
        unseen = None if opened.alpha() is None else opened.unseen()
        grown = grown_hole(hole, grow, soft, options.dilate is None, fresh, unseen)
        notes = list(grown.remarks)
        if options.dilate is None and hole.any():
            notes.append(f"mask grown by {grown.grow} pixels, less where it is thin (say 0 to keep exactly the mask)")
        if "structure" in self.model.conditioning and guides.structure is None and grown.pixels:
            notes.append("no structure picture given: its structure is computed from the known pixels (hole-aware RTV)")
        # anything but a `Picture` has been copied when it was opened
        filled = opened.copy() if opened is picture and not opened.expendable else opened
        filled.expect(grown.unknown)
        budget = MEMORY_BYTES if options.memory is None else options.memory
        canvas = Canvas(filled, grown.unknown, grown.weight, guides, options.seed, budget)
        jobs = self._jobs(canvas, grown.hole, canvases(size, room or (0, 0, 0, 0)))
        remarks = [*opened.remarks, *remarks, *notes]
        ratio = grown.pixels / grown.hole.size
        return _Planned(canvas, jobs, ratio, grown.grow, grown.soft, room, tuple(remarks))

    def _report(self, planned: _Planned, holes: list[HoleReport], seconds: float) -> Report:
        """What was done with one picture; its remarks are logged, too."""
        model = self.model
        remarks = list(planned.remarks)
        for path in model.paths.values() or (model,):
            own = [each for each in holes if each.method == path.method]
            remarks += _strategy_remarks(own, path.scope)
            note = likeness_remark(path)
            remarks += [note] if note is not None and own else []
        for remark in remarks:
            # warns those who read no report of a fill that was none
            log.log(logging.WARNING if remark == EMPTY else logging.INFO, remark, extra={"reported": True})
        canvas = planned.canvas
        return Report(
            model=model.name,
            method=model.method,
            layout=model.layout,
            device=str(model.device) if model.engine == "torch" else f"{model.device} ({model.engine})",
            width=canvas.picture.width,
            height=canvas.picture.height,
            hole_ratio=planned.ratio,
            dilate=planned.grow,
            feather=planned.soft,
            seed=canvas.seed,
            memory_bytes=canvas.memory,
            holes=tuple(holes),
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes(model.device),
            remarks=tuple(remarks),
            extended=planned.room,
        )

    def _guides(self, sketch: MaskLike | None, structure: PictureLike | None, size: tuple[int, int]) -> Guides:
        for word, given in (("sketch", sketch), ("structure", structure)):
            if given is not None and word not in self.model.conditioning:
                raise InputError(
                    f'model "{self.model.name}" takes no {word}: leave it out, or choose a model that does'
                )
        picture = None if structure is None else open_picture(structure)
        if picture is not None and (picture.height, picture.width) != size:
            raise InputError(
                f"structure is {picture.width}x{picture.height} but the picture is {size[1]}x{size[0]}: "
                "give one of the same size"
            )
        return Guides(None if sketch is None else open_sketch(sketch, size), picture)

    def _jobs(self, canvas: Canvas, hole: np.ndarray, parts: Sequence[CanvasPart]) -> list[Job]:
        """What is to be filled, by which model, in which order.

        Args:
            parts: each holds the one before it; what of the hole a part adds is planned on it
        """
        model, jobs = self.model, list[Job]()
        choose = model.record.route
        left = hole.copy() if len(parts) > 1 else hole
        for added in parts:
            box = added.box
            at = (slice(box[1], box[3]), slice(box[0], box[2]))
            if not left[at].any():
                continue
            shape = left[at].shape
            here = doubled(left[at], added.side)
            if len(parts) > 1:
                here = here.copy()
                left[at] = False
            for route in (Route("", here, ""),) if choose is None else choose(here):
                path = model if choose is None else model.paths[route.path]
                own = nearer(route.hole, shape, added.side)
                jobs += [
                    Job(canvas, path, region, own, route.why, box[:2])
                    for planned in plan(route.hole, path.scope, canvas.memory)
                    if (region := placed(planned, added)) is not None
                ]
        return jobs


def _unfinished(progress: Callable[[float], None]) -> Callable[[float], None]:
    """1.0 is kept for the end: rounding and a part that knows nothing of the rest do not reach it."""
    return lambda fraction: progress(min(fraction, 0.999))


def _ring(options: FillOptions, size: tuple[int, int]) -> tuple[int, int]:
    """Dilation and feather in pixels, with their defaults."""
    for word, given in (("dilate", options.dilate), ("feather", options.feather)):
        if given is not None and given < 0:
            raise InputError(f"{word} is {given} pixels: give 0 or more")
    grow = default_dilation(*size) if options.dilate is None else min(options.dilate, diagonal(*size))
    return grow, default_feather(grow) if options.feather is None else options.feather


def _strategy_remarks(holes: list[HoleReport], scope: Scope) -> list[str]:
    remarks = []
    shrunk = [hole for hole in holes if hole.scale < 1]
    if shrunk:
        worst = min(hole.scale for hole in shrunk)
        remarks.append(
            f"{len(shrunk)} of {len(holes)} holes are larger than the method fills well ({scope.hole} pixels) or than "
            f"the memory budget allows: filled at down to {worst:.0%} of full size and enlarged"
        )
    if scope.statistics and any(hole.strategy != "whole" for hole in holes):
        remarks.append(
            "the network takes statistics over all it sees: a crop is filled a little differently than the whole"
        )
    return remarks

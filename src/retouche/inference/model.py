"""The one object users hold: a method with its networks, and how to bring any picture before it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from retouche.ambient import plain_torch
from retouche.errors import InputError, WeightsError
from retouche.image import Box
from retouche.inference.canvas import canvases, moved
from retouche.inference.report import HoleReport, Report, peak_memory_bytes
from retouche.inference.spinning import warn_of_spinning
from retouche.inference.strategy import MEMORY_BYTES, Region, Window, in_turn, plan, with_something_known
from retouche.inference.windows import enlarged, read_window
from retouche.masks import (
    EMPTY,
    MaskLike,
    as_shown,
    default_dilation,
    diagonal,
    dilate,
    dilate_thick,
    feather_weight,
    hole_ratio,
    open_mask,
    open_sketch,
)
from retouche.methods import find
from retouche.methods.harmonic import fill as harmonic
from retouche.methods.loading import Networks
from retouche.methods.method import Method, Route, Scope, at_any_size
from retouche.pictures import Picture, PictureLike, open_picture
from retouche.pictures.extending import extended, padded
from retouche.pictures.margins import Margins, margins
from retouche.progress import listening, part, rising, shares, tell

log = logging.getLogger("retouche")

PASTING = 0.1  # share of a window's time after its prediction; for progress only


@dataclass(frozen=True)
class Guides:
    """What may steer a fill beside the known pixels, at the picture's size."""

    sketch: np.ndarray | None = None  # (H, W) bool, True = stroke
    structure: Picture | None = None


@dataclass(frozen=True)
class Job:
    """One region, who fills it, and which pixels of it are his.

    Attributes:
        hole: (h, w), True = to be filled by this model; the part of the picture that begins at `corner`
        why: why by this one, in words; "" where there was no choice
        corner: (x, y) in the picture
    """

    model: Model
    region: Region
    hole: np.ndarray
    why: str
    corner: tuple[int, int] = (0, 0)

    def inside(self, box: Box) -> np.ndarray:
        """What of a box of the picture is to be filled by this model, (bottom - top, right - left)."""
        found = np.zeros((box[3] - box[1], box[2] - box[0]), np.bool_)
        x, y = self.corner
        left, top = max(box[0], x), max(box[1], y)
        part = self.hole[top - y : max(box[3] - y, 0), left - x : max(box[2] - x, 0)]
        found[top - box[1] : top - box[1] + part.shape[0], left - box[0] : left - box[0] + part.shape[1]] = part
        return found


@dataclass
class Model(Networks):
    """A method, its settings and its networks; call it with a picture and a mask.

    Attributes:
        paths: the models that a method which chooses by the hole sends holes to, by name
    """

    paths: dict[str, Model] = field(default_factory=dict)

    @property
    def record(self) -> Method:
        """The method's record."""
        return find(self.method)

    @property
    def scope(self) -> Scope:
        """What it can see and fill."""
        return self.record.scope(self.config)

    @property
    def listens(self) -> frozenset[str]:
        """The guides it takes: "sketch", "structure"."""
        return self.record.listens(self.config)

    @property
    def multiple(self) -> int:
        """The generator's sides must divide by this."""
        return self.generator.multiple if self.generator is not None else 1

    @property
    def smallest(self) -> int:
        """The generator's shortest side."""
        return self.generator.smallest if self.generator is not None else 1

    @property
    def device(self) -> torch.device:
        """Where the generator's weights are."""
        weights = next(self.generator.parameters(), None) if self.generator is not None else None
        return weights.device if weights is not None else torch.device("cpu")

    def to(self, device: torch.device | str) -> Model:
        """Move all networks; returns the model itself."""
        for network in (self.generator, *self.critics.values()):
            if network is not None:
                network.to(device)
        for path in self.paths.values():
            path.to(device)
        return self

    def refine(self, wanted: bool = True) -> Model:
        """Take many times as long for better fills of large pictures, where the network has a way to; returns itself.

        Raises: InputError if it has none
        """
        if self.generator is None or self.generator.refine is None:
            raise InputError(f'model "{self.name}" cannot refine its fills: leave that out, or choose lama')
        self.generator.refine = wanted
        return self

    def save(self, path: str | Path, **header: str) -> None:
        """Write networks and settings to a safetensors file that is runnable alone.

        Raises: WeightsError for fills without weights
        """
        from retouche.weights.own import save_networks

        if self.generator is None and not self.critics:
            raise WeightsError(f'"{self.method}" has no weights to save')
        kept = {key: value for key, value in self.header.items() if key in {"licence", "step", "ema", "perceptual"}}
        if self.source_sha256 is not None:
            kept["source_sha256"] = self.source_sha256
        save_networks(
            Path(path),
            method=self.method,
            layout=self.layout,
            preset=self.preset,
            config=self.config,
            generator=self.generator,
            critics=self.critics,
            **{**kept, **header},
        )

    @overload
    def __call__(
        self,
        picture: PictureLike,
        mask: MaskLike | None = None,
        sketch: MaskLike | None = None,
        structure: PictureLike | None = None,
        dilate: int | None = None,
        feather: int | None = None,
        seed: int = 0,
        memory: int | None = None,
        report: Literal[False] = False,
        *,
        extend: Margins | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Any: ...

    @overload
    def __call__(
        self,
        picture: PictureLike,
        mask: MaskLike | None = None,
        sketch: MaskLike | None = None,
        structure: PictureLike | None = None,
        dilate: int | None = None,
        feather: int | None = None,
        seed: int = 0,
        memory: int | None = None,
        *,
        report: Literal[True],
        extend: Margins | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[Any, Report]: ...

    def __call__(
        self,
        picture: PictureLike,
        mask: MaskLike | None = None,
        sketch: MaskLike | None = None,
        structure: PictureLike | None = None,
        dilate: int | None = None,
        feather: int | None = None,
        seed: int = 0,
        memory: int | None = None,
        report: bool = False,
        *,
        extend: Margins | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Any:
        """Fill the holes of a picture of any size; outside the dilated mask nothing changes.

        Args:
            picture: path, PIL image, array (H, W[, C]) uint8 or uint16, float tensor (3, H, W) or (N, 3, H, W) in
                0..1, or a `Picture`
            mask: path, PIL image, array or tensor of the picture's size; two values are background and hole, of more
                > 127 (8 bit) or > 0.5 (float) is hole; where opacity varies it decides (see `open_mask`). An array for
                a PIL image with an EXIF orientation belongs to its stored pixels. For a batch (N, 1, H, W), or one
                mask for all. May be left out where the picture is only extended
            sketch: white strokes on black, same size, for a model that listens to it
            structure: an edge-preserving smoothed picture of the same size, for a model that takes one
            dilate: pixels to grow the mask by; None = round(longest side / 256), at least 1, but nowhere more than
                half the thickness of the hole there; 0 = exactly the mask
            feather: width of the soft edge inside the grown ring, pixels; None = half the dilation
            seed: for methods that draw at random
            memory: bytes that one pass may take; None = 2 GiB
            report: also return what was done
            extend: room to add at the picture's sides and to fill, pixels or percent: "left=200,right=10%" or
                {"left": 200}. The mask is of the picture's own size, a sketch or structure picture of the new one;
                what is new is not dilated: the old pixels outside the mask stay
            progress: called on this thread, now and then, with the fraction done: from 0.0, never less than before,
                and 1.0 when all is filled. What it raises ends the fill

        Returns: the type given (a PIL image for a path; larger where extended), or (that, `Report`);
            for a batch, a list of reports
        Raises: InputError
        """
        if isinstance(picture, Tensor) and picture.ndim == 4 and picture.shape[0] != 1:
            masks = _batch_masks(mask, picture.shape[0])
            options = (sketch, structure, dilate, feather, seed, memory)
            pairs = []
            told = None if progress is None else rising(progress)
            for (start, end), one, each in zip(shares([1.0] * len(masks)), picture, masks, strict=True):
                hear = None if told is None else _between(told, start, end)
                pairs.append(self(one, each, *options, report=True, extend=extend, progress=hear))
            batch = torch.stack([one for one, _ in pairs])
            return (batch, [each for _, each in pairs]) if report else batch
        started = time.perf_counter()
        if self.generator is None and self.record.fill is None:
            raise WeightsError(f"{self.name} holds only critics of {self.method}: give the generator's file")
        opened = open_picture(picture)
        size = (opened.height, opened.width)
        room = None if extend is None else margins(extend, size)
        if isinstance(mask, Tensor) and mask.ndim == 4 and mask.shape[0] != 1:
            raise InputError(f"{mask.shape[0]} masks for one picture: give one")
        if mask is None and room is None:
            raise InputError("no mask and nothing to extend: give a mask, or extend")
        turned = isinstance(picture, Image.Image) and picture.format != "TIFF"  # Pillow turns TIFFs itself
        hole, remarks = np.zeros(size, np.bool_), list[str]()
        if mask is not None:
            hole, remarks = open_mask(as_shown(mask, opened, "mask") if turned else mask, size)
        grow, soft = _ring(dilate, feather, size)
        fresh = np.zeros(size, np.bool_)
        if room is not None:
            opened, fresh = extended(opened, room)
            hole, size = padded(hole, room), fresh.shape
        remarks = [*opened.remarks, *remarks]
        if turned:
            sketch, structure = as_shown(sketch, opened, "sketch"), as_shown(structure, opened, "structure")
        guides = self._guides(sketch, structure, size)
        told = None if progress is None else rising(progress)
        if told is not None:
            told(0.0)
        unseen = _unseen(opened)
        grown, grow, said = _grown(hole, grow, by_thickness=dilate is None, fresh=fresh, unseen=unseen)
        soft = min(soft, grow)
        budget = MEMORY_BYTES if memory is None else memory
        if budget <= 0:
            raise InputError(f"memory is {budget} bytes: give a positive budget, e.g. 2GiB")
        if dilate is None and hole.any():
            said.append(f"mask grown by {grow} pixels, less where it is thin (say 0 to keep exactly the mask)")
        if "structure" in self.listens and guides.structure is None and grown.any():
            said.append("no structure picture given: its structure is computed from the known pixels (hole-aware RTV)")
        warn_of_spinning()
        canvas = opened.copy()
        canvas.expect(grown | unseen)
        jobs = self._jobs(grown, budget, canvases(size, room or (0, 0, 0, 0)))
        weight = feather_weight(hole | fresh, grown, soft)
        weight[grown & unseen] = 1  # what nobody sees is not blended into what the next window knows
        ratio = hole_ratio(grown)
        with listening(None if told is None else _unfinished(told)), plain_torch():
            done = _fill_all(canvas, jobs, grown | unseen, weight, guides, seed)
        for path in self.paths.values() or (self,):
            said += _strategy_remarks([each for each in done if each.method == path.method], path.scope)
        for remark in (*remarks, *said):
            # who reads no report should hear of a fill that was none; who shows the report knows it from there
            log.log(logging.WARNING if remark == EMPTY else logging.INFO, remark, extra={"reported": True})
        made = Report(
            model=self.name,
            method=self.method,
            layout=self.layout,
            device=str(self.device),
            width=opened.width,
            height=opened.height,
            hole_ratio=ratio,
            dilate=grow,
            feather=soft,
            seed=seed,
            memory_bytes=budget,
            holes=tuple(done),
            seconds=time.perf_counter() - started,
            peak_memory_bytes=peak_memory_bytes(self.device),
            remarks=(*remarks, *said),
            extended=room,
        )
        filled = canvas if isinstance(picture, Picture) else canvas.as_given()
        if told is not None:
            told(1.0)
        return (filled, made) if report else filled

    def _guides(self, sketch: MaskLike | None, structure: PictureLike | None, size: tuple[int, int]) -> Guides:
        for word, given in (("sketch", sketch), ("structure", structure)):
            if given is not None and word not in self.listens:
                raise InputError(f'model "{self.name}" takes no {word}: leave it out, or choose a model that does')
        picture = None if structure is None else open_picture(structure)
        if picture is not None and (picture.height, picture.width) != size:
            raise InputError(
                f"structure is {picture.width}x{picture.height} but the picture is {size[1]}x{size[0]}: "
                "give one of the same size"
            )
        return Guides(None if sketch is None else open_sketch(sketch, size), picture)

    def _jobs(self, hole: np.ndarray, memory: int, canvases: Sequence[Box]) -> list[Job]:
        """What is to be filled, by which model, in which order.

        Args:
            canvases: each holds the one before it; what of the hole a canvas adds is planned on it
        """
        jobs = []
        left = hole.copy()
        for canvas in canvases:
            at = (slice(canvas[1], canvas[3]), slice(canvas[0], canvas[2]))
            if not left[at].any():
                continue
            here = left[at].copy()
            left[at] = False
            choose = self.record.route
            for route in (Route("", here, ""),) if choose is None else choose(here):
                path = self if choose is None else self.paths[route.path]
                jobs += [
                    Job(path, moved(region, canvas[0], canvas[1]), route.hole, route.why, canvas[:2])
                    for region in plan(route.hole, path.scope, memory)
                ]
        return jobs

    def fill_region(
        self, canvas: Picture, job: Job, hole: np.ndarray, weight: np.ndarray, guides: Guides, seed: int
    ) -> HoleReport:
        """Fill one region in place; what is filled counts as known for the windows and regions that follow.

        Args:
            hole: (H, W), what is unknown yet, seen or not; brought up to date
        """
        region = job.region
        left, top, right, bottom = region.box
        pixels = int((hole[top:bottom, left:right] & job.inside(region.box)).sum())
        smallest = region.scale
        for number, window in enumerate(in_turn(region.windows, hole)):
            target = window.target
            at = (slice(target[1], target[3]), slice(target[0], target[2]))
            if (hole[at] & job.inside(target)).any():  # else a neighbour's window has filled it
                window, scale = with_something_known(window, region.scale, hole)
                smallest = min(smallest, scale)
                with part(number / len(region.windows), (number + 1) / len(region.windows)):
                    self._fill_window(canvas, window, scale, job, hole, weight, guides, seed)
        return HoleReport(
            region.box,
            region.strategy,
            smallest,
            len(region.windows),
            region.windows[0].crop,
            pixels,
            self.method,
            job.why,
        )

    def _fill_window(
        self,
        canvas: Picture,
        window: Window,
        scale: float,
        job: Job,
        hole: np.ndarray,
        weight: np.ndarray,
        guides: Guides,
        seed: int,
    ) -> None:
        crop, target = window.crop, window.target
        with part(0, 1 - PASTING):
            prediction = self._predict(canvas, window.crop, scale, hole, guides, seed)
        length = (crop[3] - crop[1], crop[2] - crop[0])
        wanted = (target[0] - crop[0], target[1] - crop[1], target[2] - crop[0], target[3] - crop[1])
        for band, box in enlarged(prediction, length, wanted):
            here = (box[0] + crop[0], box[1] + crop[1], box[2] + crop[0], box[3] + crop[1])
            at = (slice(here[1], here[3]), slice(here[0], here[2]))
            filled = hole[at] & job.inside(here)
            canvas.paste(band, here, torch.from_numpy(weight[at] * filled)[None, None])
            hole[at] &= ~filled
            tell(1 - PASTING * (target[3] - here[3]) / (target[3] - target[1]))

    @torch.inference_mode()
    def _predict(self, canvas: Picture, crop: Box, scale: float, hole: np.ndarray, guides: Guides, seed: int) -> Tensor:
        """The prediction for one window at the size the method sees: (1, 3, h, w), -1..1, on the CPU."""
        image, mask = read_window(canvas, hole, crop, scale)
        if self.generator is None:
            fill = self.record.fill
            assert fill is not None  # checked at the door
            sketch, _ = self._guide_windows(guides, crop, scale, image)
            return fill(image, mask, seed, **({} if sketch is None else {"sketch": sketch}))
        if self.scope.centre is not None:
            image, mask = _only_centre_hole(image, mask, *self.scope.centre)
        sketch, structure = self._guide_windows(guides, crop, scale, image)
        sketch, structure = (None if guide is None else guide.to(self.device) for guide in (sketch, structure))
        made = at_any_size(self.generator, image.to(self.device), mask.to(self.device), sketch, structure)
        if made is None:
            raise WeightsError(
                f"{self.name} holds only the structure network of {self.method}: "
                "give the folder that holds the texture network too"
            )
        return made.float().cpu()

    def _guide_windows(
        self, guides: Guides, crop: Box, scale: float, image: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """The guides at the window's place and size: sketch (1, 1, h, w) 0 or 1, structure (1, 3, h, w)."""
        size = image.shape[-2:]
        sketch = structure = None
        if guides.sketch is not None:
            strokes = torch.from_numpy(guides.sketch[crop[1] : crop[3], crop[0] : crop[2]]).float()[None, None]
            # a thin stroke survives shrinking: a seen pixel is stroke where any of its cell is
            sketch = strokes if strokes.shape[-2:] == size else functional.adaptive_max_pool2d(strokes, size)
        if guides.structure is not None:
            structure, gaps = read_window(guides.structure, _unseen(guides.structure), crop, scale)
            if 0 < gaps.mean() < 1:
                structure = harmonic(structure, gaps, 0)
        return sketch, structure


def _fill_all(
    canvas: Picture, jobs: list[Job], hole: np.ndarray, weight: np.ndarray, guides: Guides, seed: int
) -> list[HoleReport]:
    """Fill the regions in their order, telling how far it is by the pixels that each method sees of its region."""
    done = []
    unknown = hole.copy()  # a job's own hole stays what it is
    for job, times in zip(jobs, shares([_seen(job.region) for job in jobs]), strict=True):
        with part(*times):
            own = guides if "sketch" in job.model.listens else Guides(None, guides.structure)
            done.append(job.model.fill_region(canvas, job, unknown, weight, own, seed))
    return done


def _seen(region: Region) -> float:
    """Pixels that the method sees in all of a region's windows."""
    return sum(
        (crop[2] - crop[0]) * (crop[3] - crop[1]) * region.scale**2 for crop in (each.crop for each in region.windows)
    )


def _between(progress: Callable[[float], None], start: float, end: float) -> Callable[[float], None]:
    """Tells one picture's progress as that of a batch."""
    return lambda fraction: progress(end if fraction == 1 else start + (end - start) * fraction)


def _unfinished(told: Callable[[float], None]) -> Callable[[float], None]:
    """1.0 is kept for the end: rounding and a part that knows nothing of the rest do not reach it."""
    return lambda fraction: told(min(fraction, 0.999))


def _only_centre_hole(image: Tensor, mask: Tensor, side: int, centre: int) -> tuple[Tensor, Tensor]:
    """Fill harmonically every hole but what lies in the middle, which is all that a centre-hole network fills.

    Shrinking may widen a hole by a pixel beyond the middle: that rim is in the block which such networks predict, too.
    """
    first = (side - centre) // 2
    middle = torch.zeros_like(mask)
    middle[..., first : first + centre, first : first + centre] = 1
    return torch.where(mask.bool(), harmonic(image, mask, 0), image), mask * middle


def _batch_masks(mask: MaskLike | None, count: int) -> list[Any]:
    """One mask per picture of a batch."""
    if isinstance(mask, Tensor) and mask.ndim == 4:
        if mask.shape[0] not in {1, count}:
            raise InputError(f"{mask.shape[0]} masks for {count} pictures: give one for all, or one for each")
        return list(mask) if mask.shape[0] == count else [mask[0]] * count
    return [mask] * count


def _ring(dilate: int | None, feather: int | None, size: tuple[int, int]) -> tuple[int, int]:
    """Dilation and feather in pixels, with their defaults."""
    for word, given in (("dilate", dilate), ("feather", feather)):
        if given is not None and given < 0:
            raise InputError(f"{word} is {given} pixels: give 0 or more")
    grow = default_dilation(*size) if dilate is None else min(dilate, diagonal(*size))
    return grow, grow // 2 if feather is None else feather


def _unseen(picture: Picture) -> np.ndarray:
    """(H, W), True where alpha is 0: such a pixel has a colour in the file, but nobody knows it."""
    alpha = picture.alpha()
    return np.zeros((picture.height, picture.width), bool) if alpha is None else np.asarray(alpha == 0)


def _grown(
    hole: np.ndarray, grow: int, by_thickness: bool, fresh: np.ndarray, unseen: np.ndarray
) -> tuple[np.ndarray, int, list[str]]:
    """The dilated hole and what is fresh (a new array), the dilation used, and remarks; one that leaves nothing known
    is undone."""
    if not hole.any() and not fresh.any():
        return hole.copy(), grow, []
    grow = grow if hole.any() else 0
    if (hole | fresh).all():
        raise InputError("the mask covers the whole picture: leave something known to fill from")
    if (hole | fresh | unseen).all():
        raise InputError(
            "the mask covers all that is not wholly transparent: leave something visible to fill from, "
            "or take the picture's alpha away if its hidden colours are meant"
        )
    grown = hole.copy() if not grow else dilate_thick(hole, grow) if by_thickness else dilate(hole, grow)
    if (grown | fresh | unseen).all():
        return hole | fresh, 0, [f"mask not grown: {grow} pixels more would leave nothing known"]
    return grown | fresh, grow, []


def _strategy_remarks(holes: list[HoleReport], scope: Scope) -> list[str]:
    said = []
    shrunk = [hole for hole in holes if hole.scale < 1]
    if shrunk:
        worst = min(hole.scale for hole in shrunk)
        said.append(
            f"{len(shrunk)} of {len(holes)} holes are larger than the method fills well ({scope.hole} pixels) or than "
            f"the memory budget allows: filled at down to {worst:.0%} of full size and enlarged"
        )
    if scope.statistics and any(hole.strategy != "whole" for hole in holes):
        said.append(
            "the network takes statistics over all it sees: a crop is filled a little differently than the whole"
        )
    return said

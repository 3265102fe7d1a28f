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

from retouche.ambient import plain_torch
from retouche.errors import InputError, WeightsError
from retouche.inference.canvas import Part, canvases, doubled, nearer, placed
from retouche.inference.filling import Canvas, Guides, Job, fill_all
from retouche.inference.report import HoleReport, Report, peak_memory_bytes
from retouche.inference.spinning import warn_of_spinning
from retouche.inference.strategy import MEMORY_BYTES, plan
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
from retouche.methods.loading import Networks
from retouche.methods.method import Method, Route, Scope
from retouche.pictures import Picture, PictureLike, open_picture
from retouche.pictures.extending import extended, padded
from retouche.pictures.margins import Margins, margins
from retouche.progress import listening, rising

log = logging.getLogger("retouche")


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
    def engine(self) -> str:
        """Who runs the network: "torch", "onnx" or "openvino"."""
        return getattr(self.generator, "engine", "torch")

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
        from retouche.weights.native import save_networks

        if self.generator is None and not self.critics:
            raise WeightsError(f'"{self.method}" has no weights to save')
        if self.engine != "torch":
            raise WeightsError(f"{self.name} runs in another engine and has no weights to save: copy the exported file")
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
        if memory is not None and memory <= 0:
            raise InputError(f"memory is {memory} bytes: give a positive budget, e.g. 2GiB")
        if self.generator is None and self.record.fill is None:
            raise WeightsError(f"{self.name} holds only critics of {self.method}: give the generator's file")
        started = time.perf_counter()
        told = None if progress is None else rising(progress)
        several = False
        pairs: list[tuple[Any, Any]] = [(picture, mask)]
        if isinstance(picture, Tensor) and picture.ndim == 4 and picture.shape[0] != 1:
            several, pairs = True, list(zip(picture, _batch_masks(mask, len(picture)), strict=True))
        options = (sketch, structure, dilate, feather, seed, memory, extend)
        begun = [self._begun(one, each, *options) for one, each in pairs]
        if told is not None:
            told(0.0)
        if any(each.jobs for each in begun):
            warn_of_spinning()
        with listening(None if told is None else _unfinished(told)), plain_torch():
            holes = iter(fill_all([job for each in begun for job in each.jobs]))
        seconds = (time.perf_counter() - started) / len(begun)
        reports = [self._report(each, [next(holes) for _ in each.jobs], seconds) for each in begun]
        filled: list[Any] = [
            each.canvas.picture if isinstance(one, Picture) else each.canvas.picture.as_given()
            for each, (one, _) in zip(begun, pairs, strict=True)
        ]
        if told is not None:
            told(1.0)
        if several:
            return (torch.stack(filled), reports) if report else torch.stack(filled)
        return (filled[0], reports[0]) if report else filled[0]

    def _begun(
        self,
        picture: PictureLike,
        mask: MaskLike | None,
        sketch: MaskLike | None,
        structure: PictureLike | None,
        dilate: int | None,
        feather: int | None,
        seed: int,
        memory: int | None,
        extend: Margins | None,
    ) -> _Begun:
        """One picture's plan, from what a user gave.

        Raises: InputError
        """
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
        if turned:
            sketch, structure = as_shown(sketch, opened, "sketch"), as_shown(structure, opened, "structure")
        guides = self._guides(sketch, structure, size)
        unseen = opened.unseen()
        grown, grow, said = _grown(hole, grow, by_thickness=dilate is None, fresh=fresh, unseen=unseen)
        soft = min(soft, grow)
        if dilate is None and hole.any():
            said.append(f"mask grown by {grow} pixels, less where it is thin (say 0 to keep exactly the mask)")
        if "structure" in self.listens and guides.structure is None and grown.any():
            said.append("no structure picture given: its structure is computed from the known pixels (hole-aware RTV)")
        filled = opened.copy()
        filled.expect(grown | unseen)
        weight = feather_weight(hole | fresh, grown, soft)
        weight[grown & unseen] = 1  # what nobody sees is not blended into what the next window knows
        budget = MEMORY_BYTES if memory is None else memory
        canvas = Canvas(filled, grown | unseen, weight, guides, seed, budget)
        jobs = self._jobs(canvas, grown, canvases(size, room or (0, 0, 0, 0)))
        remarks = [*opened.remarks, *remarks, *said]
        return _Begun(canvas, jobs, hole_ratio(grown), grow, soft, room, tuple(remarks))

    def _report(self, begun: _Begun, holes: list[HoleReport], seconds: float) -> Report:
        """What was done with one picture; its remarks are logged, too."""
        remarks = list(begun.remarks)
        for path in self.paths.values() or (self,):
            remarks += _strategy_remarks([each for each in holes if each.method == path.method], path.scope)
        for remark in remarks:
            # who reads no report should hear of a fill that was none; who shows the report knows it from there
            log.log(logging.WARNING if remark == EMPTY else logging.INFO, remark, extra={"reported": True})
        canvas = begun.canvas
        return Report(
            model=self.name,
            method=self.method,
            layout=self.layout,
            device=str(self.device) if self.engine == "torch" else f"{self.device} ({self.engine})",
            width=canvas.picture.width,
            height=canvas.picture.height,
            hole_ratio=begun.ratio,
            dilate=begun.grow,
            feather=begun.soft,
            seed=canvas.seed,
            memory_bytes=canvas.memory,
            holes=tuple(holes),
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes(self.device),
            remarks=tuple(remarks),
            extended=begun.room,
        )

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

    def _jobs(self, canvas: Canvas, hole: np.ndarray, parts: Sequence[Part]) -> list[Job]:
        """What is to be filled, by which model, in which order.

        Args:
            parts: each holds the one before it; what of the hole a part adds is planned on it
        """
        jobs = []
        left = hole.copy()
        for part in parts:
            box = part.box
            at = (slice(box[1], box[3]), slice(box[0], box[2]))
            if not left[at].any():
                continue
            shape = left[at].shape
            here = doubled(left[at], part.side).copy()
            left[at] = False
            choose = self.record.route
            for route in (Route("", here, ""),) if choose is None else choose(here):
                path = self if choose is None else self.paths[route.path]
                own = nearer(route.hole, shape, part.side)
                jobs += [
                    Job(canvas, path, region, own, route.why, box[:2])
                    for planned in plan(route.hole, path.scope, canvas.memory)
                    if (region := placed(planned, part)) is not None
                ]
        return jobs


@dataclass(frozen=True)
class _Begun:
    """A picture before it is filled: where, what by whom, and what its report will say."""

    canvas: Canvas
    jobs: list[Job]
    ratio: float
    grow: int
    soft: int
    room: tuple[int, int, int, int] | None
    remarks: tuple[str, ...]


def _unfinished(told: Callable[[float], None]) -> Callable[[float], None]:
    """1.0 is kept for the end: rounding and a part that knows nothing of the rest do not reach it."""
    return lambda fraction: told(min(fraction, 0.999))


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

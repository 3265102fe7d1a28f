"""Filling pictures from file to file: the work of `retouche run`."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from retouche.apps.batch.manifest import model_hash
from retouche.apps.batch.reading import Given, ReadAhead, opaque, read_given
from retouche.apps.batch.writing import write_output
from retouche.arithmetic import Precision
from retouche.inference.devices import choose_device
from retouche.inference.fill import Asked, Filling, FillOptions
from retouche.inference.load import load
from retouche.inference.model import Model
from retouche.inference.report import Report
from retouche.inference.strategy import CPU_PIXELS
from retouche.methods.method import size_taken
from retouche.pictures import Picture
from retouche.runners.work import Facts, Job, Progress

TOGETHER = 16  # pictures that are filled together
TOGETHER_BYTES = 64_000_000  # of these and their masks; they take some three times as much while they are filled


@dataclass(frozen=True)
class Settings:
    """What all pictures of a batch share; picklable, so that a worker can be started from it.

    Attributes:
        model: NAME, NAME:TAG, FILE or FOLDER
        device: as `choose_device` takes it
        engine: as `load` takes it
        threads: CPU threads of each process; None = PyTorch's choice
        dilate, feather, memory, seed: as `Model` takes them
        refine: let the model refine its fill, where it can
        precision, compile: as `Model.compute` takes them
        invert: white is known, black is hole
        extend: room to add at the sides and to fill, as `Model` takes it
        alpha: without a mask, the hole is where the picture is transparent; else there is none
        overwrite: an existing output may be replaced
        pages: which pages of files of several, "all", "3", "2-5"; None = such files are refused
    """

    model: str
    device: str = "auto"
    engine: str | None = None
    threads: int | None = None
    dilate: int | None = None
    feather: int | None = None
    refine: bool = False
    precision: Precision = "32"
    compile: bool = False
    invert: bool = False
    extend: str | None = None
    alpha: bool = True
    memory: int | None = None
    seed: int = 0
    overwrite: bool = False
    pages: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What changes the pixels, beside files and model: for the manifest."""
        return {
            "dilate": "auto" if self.dilate is None else self.dilate,
            "feather": "auto" if self.feather is None else self.feather,
            "invert_mask": self.invert,
            "memory_bytes": self.memory,
            "seed": self.seed,
            **({"refine": True} if self.refine else {}),
            **({"precision": self.precision} if self.precision != "32" else {}),
            **({"compile": True} if self.compile else {}),
            **({"engine": self.engine} if self.engine is not None else {}),
            **({"extend": self.extend, "alpha": self.alpha} if self.extend else {}),
            **({"pages": self.pages} if self.pages is not None else {}),
        }


class Fill:
    """Fill pictures with one model; `retouche.runners.work.Work` says what the steps are."""

    def __init__(self, settings: Settings, ahead: ReadAhead | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            ahead: the first picture, which is being read already
        """
        self.settings, self.ahead = settings, ahead
        self.model: Model | None = None
        self.elsewhere = False  # in another process than the one that made it
        self.remarks: tuple[str, ...] = ()

    def __getstate__(self) -> Settings:
        return self.settings  # another process loads its own model

    def __setstate__(self, settings: Settings) -> None:
        self.__init__(settings)  # type: ignore[misc]
        self.elsewhere = True

    def start(self) -> Facts:
        """Load the model, once.

        Raises: InputError if it is to refine its fills and cannot
        """
        settings = self.settings
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        if self.model is None:
            with contextlib.ExitStack() as stack:
                logged = stack.enter_context(_log_messages()) if self.elsewhere else []
                self.model = load(settings.model, engine=settings.engine).to(choose_device(settings.device).device)
                if settings.refine:
                    self.model.refine()
                if settings.precision != "32" or settings.compile:
                    self.model.compute(settings.precision, settings.compile)
            self.remarks = tuple(logged)
            self._hash = model_hash(self.model)
        about = {"model": settings.model, "model_hash": self._hash, "options": settings.options}
        return Facts(about, self.model.conditioning, str(self.model.device), self.remarks)

    def read(self, job: Job) -> Given:
        """Picture and mask.

        Raises: RetoucheError, OSError
        """
        ahead, self.ahead = self.ahead, None
        if ahead is not None and ahead.job == job:
            return ahead.result()
        return read_given(job, self.settings.invert, self.settings.alpha)

    def make(self, job: Job, given: Given, progress: Progress | None) -> tuple[Picture, Report]:
        """The filled picture and the report.

        Raises: RetoucheError, or what PyTorch raises where memory is exhausted
        """
        assert self.model is not None
        settings = self.settings
        filled, report = self.model(
            given.picture,
            self._hole(job, given),
            sketch=job.sketch,
            structure=job.structure,
            dilate=settings.dilate,
            feather=settings.feather,
            seed=settings.seed,
            memory=settings.memory,
            report=True,
            extend=settings.extend,
            progress=progress,
        )
        return self._finished(job, given, filled, report)

    def share(self, given: Any) -> float:
        """Pictures whose windows a network takes together (`inference.strategy.together`) are filled together.

        On a CPU those of which several are one pass, whole: 128x128, the default took 0.76 of its time in fours, thin
        0.78; 64x64, deepfill-v2 0.65; from 256x256 on nothing is gained. One value of 200 pictures was another then, by
        one level: a batch may be computed by another algorithm than a picture alone, on a GPU more often than here.
        """
        assert self.model is not None
        networks = [each.generator for each in (self.model, *self.model.paths.values()) if each.generator is not None]
        if not networks:
            return 1.0
        if self.model.device.type != "cpu":
            return max(1 / TOGETHER, given.nbytes / TOGETHER_BYTES)
        height, width = given.hole.shape
        pixels = max(math.prod(size_taken(network, (height, width))) for network in networks)
        return max(1 / TOGETHER, pixels / CPU_PIXELS)

    def make_together(
        self, jobs: Sequence[Job], given: Sequence[Given], progress: Progress | None
    ) -> list[tuple[Picture, Report]]:
        """As `make`, of several pictures whose windows share passes.

        Raises: RetoucheError where one of them cannot be filled, or what PyTorch raises where memory is exhausted
        """
        assert self.model is not None
        settings = self.settings
        options = FillOptions(settings.dilate, settings.feather, settings.seed, settings.memory, settings.extend)
        pairs = list(zip(jobs, given, strict=True))
        for each in given:  # should one of them fail, the others are filled alone, from what was read
            each.picture.expendable = False
        asked = [Asked(each.picture, self._hole(job, each), job.sketch, job.structure) for job, each in pairs]
        filled, reports = Filling(self.model, options).run(asked, progress)
        return [self._finished(*pair, *result) for pair, *result in zip(pairs, filled, reports, strict=True)]

    def _hole(self, job: Job, given: Given) -> np.ndarray | None:
        """What is filled beside the room that is added, if anything."""
        return given.hole if job.mask is not None or self.settings.alpha else None

    def _finished(self, job: Job, given: Given, filled: Picture, report: Report) -> tuple[Picture, Report]:
        """A filled picture as it is written, and its report with the remarks of reading."""
        if job.mask is None and self.settings.alpha:
            filled.pixels[..., -1] = opaque(filled.pixels)
        remarks = (*given.remarks, *(text for text in report.remarks if text not in given.repeated))
        return filled, replace(report, remarks=remarks)

    def write(self, job: Job, result: tuple[Picture, Report]) -> tuple[tuple[str, ...], Report]:
        """The output appears whole or not at all."""
        filled, report = result
        known, overwrite = list(filled.remarks), self.settings.overwrite or job.again
        write_output(filled, job.output, overwrite=overwrite)
        lost = [text for text in filled.remarks if text not in known]  # what the format has no place for
        report = replace(report, remarks=(*report.remarks, *lost))
        return report.remarks, report


@contextlib.contextmanager
def _log_messages() -> Iterator[list[str]]:
    """The library's warnings, which would come from every process."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("retouche")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)

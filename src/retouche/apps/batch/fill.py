"""Filling one picture of a batch from file to file, and many of them in a local pool of processes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouche.apps.batch.pairing import Job
from retouche.errors import InputError, RetoucheError
from retouche.inference.devices import choose_device
from retouche.inference.load import load
from retouche.inference.model import Model
from retouche.inference.report import Report
from retouche.masks import open_mask
from retouche.pictures import Picture, open_picture, write_picture


@dataclass(frozen=True)
class Settings:
    """What all pictures of a batch share; picklable, so that a worker can be started from it.

    Attributes:
        model: NAME, NAME:TAG, FILE or FOLDER
        device: as `choose_device` takes it
        threads: CPU threads of each process; None = PyTorch's choice
        dilate, feather, memory, seed: as `Model` takes them
        invert: white is known, black is hole
        overwrite: an existing output may be replaced
    """

    model: str
    device: str = "auto"
    threads: int | None = None
    dilate: int | None = None
    feather: int | None = None
    invert: bool = False
    memory: int | None = None
    seed: int = 0
    overwrite: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What changes the pixels, beside files and model: for the manifest."""
        return {
            "dilate": "auto" if self.dilate is None else self.dilate,
            "feather": "auto" if self.feather is None else self.feather,
            "invert_mask": self.invert,
            "memory_bytes": self.memory,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Outcome:
    """How one job ended: with a report, or with an error in one line."""

    job: Job
    seconds: float
    report: Report | None = None
    error: str | None = None


def ready(settings: Settings) -> Model:
    """The settings' model on its device."""
    device = choose_device(settings.device).device
    return load(settings.model).to(device)


def fill(model: Model, job: Job, settings: Settings, progress: Callable[[float], None] | None = None) -> Report:
    """Read, fill and write one picture; the output appears whole or not at all. `progress` as `Model` takes it.

    Raises: RetoucheError, OSError
    """
    picture = open_picture(job.image)
    size = (picture.height, picture.width)
    said: list[str] = []
    repeated: list[str] = []
    if job.mask is None:
        hole: Any = transparent(picture, job.image)
    elif settings.invert:
        hole, said = open_mask(job.mask, size, invert=True)
        _, repeated = open_mask(hole, size)  # what the model will say of it again
    else:
        hole = job.mask
    filled, report = model(
        picture,
        hole,
        sketch=job.sketch,
        structure=job.structure,
        dilate=settings.dilate,
        feather=settings.feather,
        seed=settings.seed,
        memory=settings.memory,
        report=True,
        progress=progress,
    )
    if job.mask is None:
        filled.pixels[..., -1] = opaque(filled.pixels)
    job.output.parent.mkdir(parents=True, exist_ok=True)
    write_picture(filled, job.output, overwrite=settings.overwrite)
    lost = [text for text in filled.remarks if text not in picture.remarks]  # what the format has no place for
    return replace(report, remarks=(*said, *(text for text in report.remarks if text not in repeated), *lost))


def opaque(pixels: np.ndarray) -> float:
    """The alpha value that hides what is behind: the dtype's largest, 1 for floats."""
    return np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1.0


def transparent(picture: Picture, path: Path) -> np.ndarray:
    """The hole that a picture's alpha draws: where it is more transparent than opaque.

    Returns: (H, W) bool
    Raises: InputError if the picture has no alpha or no transparent pixel
    """
    alpha = picture.alpha()
    if alpha is None:
        raise InputError(f"{path} has no alpha to take the hole from: give --mask")
    hole = np.asarray(alpha <= opaque(alpha) / 2)
    if not hole.any():
        raise InputError(f"{path} has no transparent pixels to take the hole from: give --mask")
    return hole


def attempt(model: Model, job: Job, settings: Settings, progress: Callable[[float], None] | None = None) -> Outcome:
    """`fill` whose failure is an outcome: one bad picture does not end a batch."""
    started = time.perf_counter()
    try:
        report = fill(model, job, settings, progress)
    except (RetoucheError, OSError) as error:
        return Outcome(job, time.perf_counter() - started, error=str(error))
    except Exception as error:  # PyTorch's exhausted memory, a library's surprise: the others may be fine
        words = (str(error).splitlines() or ["out of memory"])[0]
        return Outcome(job, time.perf_counter() - started, error=f"{type(error).__name__}: {words}")
    return Outcome(job, time.perf_counter() - started, report)


def fill_all(
    model: Model,
    jobs: Sequence[Job],
    settings: Settings,
    workers: int = 1,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Outcome]:
    """Fill every picture, in order with one worker, else as they get done.

    Args:
        model: used by this process where there is one worker; several load their own
        jobs: as planned
        settings: for all
        workers: processes
        progress: called with the number of pictures done, the one in hand in part, where there is one worker

    Raises: RetoucheError if the system ended a worker
    """
    if workers <= 1 or len(jobs) <= 1:
        for number, job in enumerate(jobs):
            yield attempt(model, job, settings, None if progress is None else _after(number, progress))
        return
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), multiprocessing.get_context("spawn"), initializer=_start, initargs=(settings,)
    )
    try:
        for future in as_completed([pool.submit(_work, job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise RetoucheError(
            "a worker was ended by the system (out of memory?): use fewer --workers or less --memory; "
            "--resume keeps what is done"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # pictures in hand are finished


def _after(pictures: int, progress: Callable[[float], None]) -> Callable[[float], None]:
    return lambda fraction: progress(pictures + fraction)


_worker: tuple[Model, Settings] | None = None


def _start(settings: Settings) -> None:
    """In a worker: load once; leave Ctrl-C to the parent; end with it even if it is killed."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    logging.getLogger("retouche").addHandler(logging.NullHandler())  # the parent has said the remarks of loading
    _worker = ready(settings), settings


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> Outcome:
    assert _worker is not None
    return attempt(_worker[0], job, _worker[1])

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

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from retouche.apps.batch.pairing import Job, plan
from retouche.apps.cli import terminal
from retouche.errors import InputError, RetoucheError

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Options:
    image: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH")]
    """Pictures: a file, folder, glob or list file (.txt)."""
    output: Annotated[str, tyro.conf.arg(metavar="PATH")]
    """A file, or a folder for many; names and formats are kept."""
    mask: Annotated[tuple[str, ...], terminal.without_default("PATH")] = ()
    """Masks, paired by name, white is the hole: the structure of what is known only."""
    setting: Literal["script", "example", "xu"] = "script"
    """How much is smoothed."""
    solver: Literal["exact", "published"] = "exact"
    """published: stops where the published MATLAB script did, for pictures equal to those weights were trained on."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes that work on a batch side by side, each with one CPU thread."""
    threads: Annotated[int | None, terminal.without_default("N")] = None
    """CPU threads of a single worker. Default: all cores."""
    resume: terminal.Switch = False
    """Skip the pictures whose output exists."""
    overwrite: terminal.Switch = False
    """Replace files that exist, even the input itself."""
    json: terminal.Switch = False
    """One JSON object for each picture on stdout."""


class Outcome(NamedTuple):
    """One picture's end."""

    job: Job
    seconds: float
    remarks: tuple[str, ...] = ()
    error: str | None = None


def main(options: Options) -> int:
    """Settle everything first, then smooth."""
    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}: give 1 or more")
    planned = plan(options.image, options.mask, options.output, overwrite=options.overwrite, resume=options.resume)
    for text in planned.remarks:
        terminal.remark(text)
    jobs = list(planned.jobs)
    if options.resume:
        jobs = [job for job in jobs if not job.output.exists()]
        if len(jobs) < len(planned.jobs):
            terminal.remark(f"{len(planned.jobs) - len(jobs)} of {len(planned.jobs)} pictures are done already")
    if options.workers == 1:
        terminal.set_threads(options.threads)
    if planned.folder is None and jobs:
        outcome = _smoothed(jobs[0], options)
        if outcome.error is not None:
            raise InputError(outcome.error)
        _tell(outcome, options, terminal.Remarks())
        return 0
    remarks = terminal.Remarks()
    failed: list[Outcome] = []
    with terminal.progress("smoothing", len(jobs)) as advance:
        for outcome in _all(jobs, options):
            if outcome.error is not None:
                failed.append(outcome)
                print(f"failed: {outcome.job.image}: {outcome.error}", file=sys.stderr)
            _tell(outcome, options, remarks)
            advance()
    remarks.end()
    if failed:
        print(f"{len(failed)} of {len(jobs)} pictures failed:", file=sys.stderr)
        for outcome in failed:
            print(f"  {outcome.job.image}: {outcome.error}", file=sys.stderr)
    return 1 if failed else 0


def _tell(outcome: Outcome, options: Options, remarks: terminal.Remarks) -> None:
    job = outcome.job
    remarks.add(job.image.name, outcome.remarks)
    if options.json:
        line: dict[str, Any] = {
            "input": str(job.image),
            "output": None if outcome.error is not None else str(job.output),
            "seconds": round(outcome.seconds, 3),
            "remarks": list(outcome.remarks),
            "error": outcome.error,
        }
        terminal.show_json(line)
    elif outcome.error is None:
        print(job.output, flush=True)


def _all(jobs: list[Job], options: Options) -> Iterator[Outcome]:
    if options.workers == 1 or len(jobs) <= 1:
        for job in jobs:
            yield _smoothed(job, options)
        return
    import multiprocessing

    pool = ProcessPoolExecutor(
        min(options.workers, len(jobs)), multiprocessing.get_context("spawn"), initializer=_start
    )
    try:
        for future in as_completed([pool.submit(_smoothed, job, options) for job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise RetoucheError(
            "a worker was ended by the system (out of memory?): use fewer --workers; --resume keeps what is done"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # pictures in hand are finished


def _start() -> None:
    """In a worker: one thread; Ctrl-C is the parent's."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminal.set_threads(1)
    terminal.keep_freed_memory()


def _smoothed(job: Job, options: Options) -> Outcome:
    """One structure picture from file to file; what is wrong with its files is told, not raised."""
    started = time.perf_counter()
    try:
        remarks = _write(job, options)
    except (RetoucheError, OSError) as said:
        return Outcome(job, time.perf_counter() - started, error=str(said))
    return Outcome(job, time.perf_counter() - started, tuple(remarks))


def _write(job: Job, options: Options) -> list[str]:
    import torch

    from retouche.image import open_picture, write_picture
    from retouche.layers.structure import SETTINGS, rtv, structure_of_known
    from retouche.masks import open_mask

    picture = open_picture(job.image)
    remarks = list(picture.remarks)
    width, height = picture.width, picture.height
    if job.mask is None:
        smoothed = rtv(picture.rgb().mul_(0.5).add_(0.5), *SETTINGS[options.setting], solver=options.solver)
        smoothed.mul_(2).sub_(1)
    else:
        mask, said = open_mask(job.mask, (height, width))
        remarks += said
        hole = torch.from_numpy(mask)[None, None].float()
        smoothed = structure_of_known(picture.rgb(), hole, options.setting, options.solver)
    result = picture.copy()
    for top in range(0, height, ROWS_AT_ONCE):
        bottom = min(height, top + ROWS_AT_ONCE)
        result.paste(smoothed[:, :, top:bottom], (0, top, width, bottom), torch.ones(1, 1, bottom - top, width))
    job.output.parent.mkdir(parents=True, exist_ok=True)
    write_picture(result, job.output, overwrite=options.overwrite)
    return remarks

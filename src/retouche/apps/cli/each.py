"""What `structure` and `sketch` share: from each picture another one is made, in a batch by several workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

import tyro

from retouche.apps.batch.pairing import Job, plan
from retouche.apps.cli import terminal
from retouche.errors import InputError, RetoucheError


@dataclass(frozen=True)
class Options:
    """The flags that all such verbs have."""

    image: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH")]
    """Pictures: a file, folder, glob or list file (.txt)."""
    output: Annotated[str, tyro.conf.arg(metavar="PATH")]
    """A file, or a folder for many, where names are kept."""
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


OptionsT = TypeVar("OptionsT", bound=Options)


class Outcome(NamedTuple):
    """One picture's end."""

    job: Job
    seconds: float
    remarks: tuple[str, ...] = ()
    error: str | None = None


def make_all(
    options: OptionsT,
    write: Callable[[Job, OptionsT], Sequence[str]],
    doing: str,
    masks: Sequence[str] = (),
    suffix: str | None = None,
) -> int:
    """Settle everything first, then make each output.

    Args:
        write: reads a job's files, writes its output, returns remarks; a module's function, as workers import it
        doing: the word beside the progress bar
        masks: the words of `--mask`
        suffix: what a batch's outputs end in; None = as their pictures

    Returns: the exit code
    Raises: InputError
    """
    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}: give 1 or more")
    planned = plan(
        options.image, masks, options.output, overwrite=options.overwrite, resume=options.resume, suffix=suffix
    )
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
        outcome = _made(jobs[0], options, write)
        if outcome.error is not None:
            raise InputError(outcome.error)
        _tell(outcome, options, terminal.Remarks())
        return 0
    remarks = terminal.Remarks()
    failed: list[Outcome] = []
    with terminal.progress(doing, len(jobs)) as advance:
        for outcome in _all(jobs, options, write):
            if outcome.error is not None:
                failed.append(outcome)
                terminal.complain(f"failed: {outcome.job.image}: {outcome.error}")
            _tell(outcome, options, remarks)
            advance()
    remarks.end()
    if failed:
        terminal.complain(f"{len(failed)} of {len(jobs)} pictures failed:")
        for outcome in failed:
            terminal.complain(f"  {outcome.job.image}: {outcome.error}")
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
        terminal.tell(job.output)


def _all(jobs: list[Job], options: OptionsT, write: Callable[[Job, OptionsT], Sequence[str]]) -> Iterator[Outcome]:
    if options.workers == 1 or len(jobs) <= 1:
        for job in jobs:
            yield _made(job, options, write)
        return
    import multiprocessing

    pool = ProcessPoolExecutor(
        min(options.workers, len(jobs)), multiprocessing.get_context("spawn"), initializer=_start
    )
    try:
        for future in as_completed([pool.submit(_made, job, options, write) for job in jobs]):
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


def _made(job: Job, options: OptionsT, write: Callable[[Job, OptionsT], Sequence[str]]) -> Outcome:
    """One output from file to file; what is wrong with its files is told, not raised."""
    started = time.perf_counter()
    try:
        remarks = write(job, options)
    except (RetoucheError, OSError) as said:
        return Outcome(job, time.perf_counter() - started, error=str(said))
    return Outcome(job, time.perf_counter() - started, tuple(remarks))

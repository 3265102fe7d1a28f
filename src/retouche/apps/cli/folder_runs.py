"""What the verbs that go through folders share: plan everything, run, record, report, and end with the right code."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from retouche.apps.batch.far import manifest_in, write_parquet
from retouche.apps.batch.manifest import NAME, Manifest, remove_leftovers
from retouche.apps.batch.pairing import Plan, plan
from retouche.apps.batch.shards import Shards
from retouche.apps.cli import flags, terminal
from retouche.errors import InputError
from retouche.folders.elsewhere import Far
from retouche.runners.beside import beside, forks_safely
from retouche.runners.local import Inline, Method, Pool
from retouche.runners.work import Facts, Job, Outcome, Progress, Runner, Work

if TYPE_CHECKING:
    from retouche.inference.report import Report


def run_all(
    planned: Plan,
    runner: Runner,
    doing: str,
    *,
    resume: bool,
    show: Callable[[Outcome], None],
    check: Callable[[Facts], None] = lambda facts: None,
    parquet: bool = False,
) -> int:
    """Do every job of a plan; a batch keeps a manifest, survives its bad pictures and can be resumed.

    Args:
        planned: what is read and written
        runner: who works
        doing: the word beside the progress bar
        resume: leave out what an earlier run has done
        show: prints a picture's result on stdout
        check: what must be true before the first picture
        parquet: also write the manifest as a Parquet file at the end

    Returns: the exit code: 0, or 1 if some pictures of a batch failed
    Raises: RetoucheError where nothing can be done, or a single picture cannot
    """
    at_once = True
    try:
        facts = runner.start()
        for text in facts.remarks:
            terminal.warn(text)
        check(facts)
        if planned.folder is None:
            code = 0
            with terminal.fraction(doing) as on_progress:
                (outcome,) = runner.run(planned.jobs, on_progress)
            if outcome.error is not None:
                raise InputError(outcome.error)
            for text in outcome.remarks:
                terminal.warn(text)
            show(outcome)
        else:
            manifest = manifest_in(planned.folder, facts.about)
            code = _batch(planned, runner, manifest, doing, resume, show)
            if parquet:
                write_parquet(manifest)
        at_once = False
    finally:
        runner.close(at_once=at_once)
    return code


def _batch(
    planned: Plan, runner: Runner, manifest: Manifest, doing: str, resume: bool, show: Callable[[Outcome], None]
) -> int:
    jobs = list(planned.jobs)
    if resume:
        remove_leftovers({job.output.parent for job in jobs})
        jobs = manifest.undone(jobs)
        if len(jobs) < len(planned.jobs):
            terminal.note(f"{len(planned.jobs) - len(jobs)} of {len(planned.jobs)} pictures are done already")
    shards = Shards(planned.jobs, jobs)
    remarks = terminal.WarningCounter()
    failed: list[Outcome] = []
    try:
        with contextlib.closing(manifest), terminal.progress(doing, len(jobs)) as on_progress:
            for number, outcome in enumerate(runner.run(jobs, on_progress), 1):
                manifest.add(outcome)
                shards.ended(outcome.job)
                if outcome.error is not None:
                    failed.append(outcome)
                    terminal.complain(f"failed: {outcome.job.image}: {outcome.error}")
                else:
                    remarks.add(outcome.job.image.name, outcome.remarks)
                show(outcome)
                on_progress(number)
    except KeyboardInterrupt:
        terminal.complain("retouche: stopped; the same command with --resume does the rest")
        raise
    remarks.end()
    if failed:
        terminal.complain(f"{len(failed)} of {len(jobs)} pictures failed ({manifest.path.parent / NAME} has all):")
        for outcome in failed:
            terminal.complain(f"  {outcome.job.image}: {outcome.error}")
    return 1 if failed else 0


def line(outcome: Outcome) -> dict[str, Any]:
    """What `--json` prints of every picture."""
    return {
        "input": str(outcome.job.image),
        "output": None if outcome.error is not None else str(outcome.job.output),
        "seconds": round(outcome.seconds, 3),
        "remarks": list(outcome.remarks),
        "error": outcome.error,
    }


def plan_beside(planning: Callable[[], Plan], workers: int, module: str) -> Plan:
    """A plan, made by another process while this one imports what its workers will have, where several are asked for.

    Args:
        module: what the work needs

    Raises: InputError
    """
    if workers < 2 or not _forks():
        return planning()
    return beside(planning, lambda: importlib.import_module(module))


def _forks() -> bool:
    """Whether this process may be forked: it is our own, of one thread; another program's may have started more."""
    return forks_safely() and terminal.is_ours()


def local(work: Work, workers: int, planned: Plan, *, device: str = "cpu") -> Runner:
    """This process, or several if there are several jobs.

    Args:
        device: where the work computes, if that is known already
    """
    jobs = len(planned.jobs)
    if min(workers, jobs) <= 1:
        return Inline(work)
    # a GPU does not survive a fork, nor do the threads and connections that clients of other file systems have
    forks = (
        _forks()
        and device == "cpu"
        and not any(isinstance(path, Far) for job in planned.jobs for path in (*job.inputs, job.output))
    )
    method: Method = "fork" if forks else "spawn"
    return Pool(work, min(workers, jobs), method)


def share_of_threads(threads: int | None, workers: int) -> int | None:
    """CPU threads of each worker: as given, or an equal share of the cores; None = PyTorch's choice."""
    if threads is not None or workers == 1:
        return threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers)


# Verbs that make a picture from a picture -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """The flags that all such verbs have."""

    image: Annotated[tuple[str, ...], tyro.conf.arg(metavar="PATH")]
    """Pictures: a file, folder, glob or list file (.txt)."""
    output: Annotated[str, tyro.conf.arg(metavar="PATH")]
    """A file, or a folder for many, where names are kept."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes that work on a batch side by side."""
    threads: flags.ThreadsOfEach = None
    resume: terminal.Switch = False
    """Skip the pictures that an earlier run with the same files and options has done
    (OUTPUT/manifest.jsonl says so)."""
    overwrite: flags.Overwrite = False
    json: flags.JsonOfEach = False


OptionsT = TypeVar("OptionsT", bound=Options)
NOT_OF_THE_OUTPUT = ("image", "output", "mask", "workers", "threads", "resume", "overwrite", "json")


class Making:
    """A verb's own three steps as a work."""

    def __init__(
        self,
        verb: str,
        options: Options,
        read: Callable[[Job, Any], Any],
        make: Callable[[Any, Any], Any],
        write: Callable[[Job, Any, Any], Sequence[str]],
    ) -> None:
        """All three are a module's functions, as other processes import them; each gets the options last.

        Args:
            read: the job's files
            make: from what was read
            write: the job's output from what was made; returns remarks
        """
        self.verb, self.options = verb, options
        self._read, self._make, self._write = read, make, write

    def start(self) -> Facts:
        """Nothing is loaded; what decides over the output is the verb, its version and its flags."""
        from retouche import __version__

        threads = share_of_threads(self.options.threads, self.options.workers)
        terminal.set_threads(threads)
        flags = {key: value for key, value in asdict(self.options).items() if key not in NOT_OF_THE_OUTPUT}
        return Facts({"model": self.verb, "model_hash": f"{self.verb} of retouche {__version__}", "options": flags})

    def read(self, job: Job) -> Any:
        return self._read(job, self.options)

    def make(self, job: Job, given: Any, progress: Progress | None) -> Any:
        from retouche.progress import listening

        with listening(progress):
            return self._make(given, self.options)

    def write(self, job: Job, result: Any) -> tuple[tuple[str, ...], Report | None]:
        return tuple(self._write(job, result, self.options)), None


def make_all(work: Making, doing: str, masks: Sequence[str] = (), suffix: str | None = None) -> int:
    """Settle everything first, then make each output.

    Args:
        doing: the word beside the progress bar
        masks: the words of `--mask`
        suffix: what a batch's outputs end in; None = as their pictures

    Returns: the exit code
    Raises: InputError
    """
    options = work.options
    if options.workers < 1:
        raise InputError(f"--workers is {options.workers}: give 1 or more")
    planned = plan_beside(
        lambda: plan(
            options.image, masks, options.output, overwrite=options.overwrite, resume=options.resume, suffix=suffix
        ),
        options.workers,
        "torch",
    )
    for text in planned.remarks:
        terminal.warn(text)

    def show(outcome: Outcome) -> None:
        if options.json:
            terminal.show_json(line(outcome))
        elif outcome.error is None:
            terminal.print_line(outcome.job.output)

    runner = local(work, options.workers, planned)
    return run_all(planned, runner, doing, resume=options.resume, show=show)

"""A batch on this machine: in this process, or in several that share one model where the system can fork.

In each process reading, making and writing overlap. Several processes are forked from this one once the model is
loaded, so that neither the imports nor the weights are paid twice; where that is not safe (a GPU, threads that OpenMP
has started, other systems) each is started anew and loads its own, and this one loads none.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from retouche.errors import RetoucheError
from retouche.runners.beside import forks_safely
from retouche.runners.work import Facts, Gathering, Job, Outcome, Progress, Work, stamps_of, with_own_output

LEAST = 1e-6  # of a group, which is full where no picture takes less
AHEAD = 2  # pictures read before their turn, or what is made together with the next if that is more
IN_HAND = 3  # pictures of one process: one being read, made and written each
MOST_BYTES = 200_000_000  # decoded pictures between reading and writing, beyond which the next waits: bounds memory
Method = Literal["fork", "spawn"]


class Inline:
    """This process alone."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def start(self) -> Facts:
        """Load the model here."""
        return self.work.start()

    def run(self, jobs: Iterable[Job], progress: Progress | None = None) -> Iterator[Outcome]:
        """In order."""
        return stream(self.work, jobs, progress)

    def close(self, *, at_once: bool = False) -> None:
        """Nothing is held."""


# One process ----------------------------------------------------------------------------------------------------------


def stream(
    work: Work, jobs: Iterable[Job], progress: Progress | None = None, *, gather: bool = True
) -> Iterator[Outcome]:
    """Outcomes of a work that has started: the next picture is read, and the last one written, beside the making.

    Args:
        gather: make pictures together where the work does that. Which ones follows from the pictures alone, as what is
            made may depend on it in the last bits; `jobs` must then not wait for outcomes
    """
    gathering = work if gather and isinstance(work, Gathering) else None
    events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    flow = _Flow()
    reader = threading.Thread(target=_read_all, args=(work, gathering, jobs, events, flow), daemon=True)
    to_write: queue.SimpleQueue[Any] = queue.SimpleQueue()  # (_Read, what was made), None = the end
    writer = threading.Thread(target=_write_all, args=(work, to_write, events, flow), daemon=True)
    reader.start()
    writer.start()
    group, made, writing, reading = _Group(), 0, 0, True
    try:
        while reading or writing:
            kind, value = events.get()
            complete: list[list[_Read]] = []
            if kind == "end":
                reading = False
                if value is not None:
                    raise value
                complete = group.rest()
            elif kind == "written":
                writing -= 1
                yield value
            else:
                flow.taken(value.share)
                complete = group.add(value)
            for reads in complete:
                on_progress = None if progress is None else _after(made, len(reads), progress)
                for read, result in zip(reads, _make_group(work, gathering, reads, on_progress), strict=True):
                    to_write.put((read, result))
                made, writing = made + len(reads), writing + len(reads)
    finally:
        flow.stop()
        to_write.put(None)
        writer.join()  # a file being written is finished


class _Read:
    """A picture that has been read: what came of it, or why not."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.given: Any = None
        self.error: str | None = None
        self.stamps: dict[str, Any] = {}
        self.seconds = 0.0
        self.bytes = 0
        self.share = 1.0  # of a group


class _Group:
    """Pictures that wait to be made together."""

    def __init__(self) -> None:
        self._reads: list[_Read] = []

    def add(self, read: _Read) -> list[list[_Read]]:
        """The groups that are complete with it."""
        complete = self.rest() if self._full(read.share) else []
        self._reads.append(read)
        return complete + (self.rest() if self._full(LEAST) else [])

    def _full(self, more: float) -> bool:
        return sum(read.share for read in self._reads) + more > 1

    def rest(self) -> list[list[_Read]]:
        """What waits, if anything does."""
        reads, self._reads = self._reads, []
        return [reads] if reads else []


class _Flow:
    """How far reading may be ahead: in pictures that wait, or groups of them, and in bytes that are held."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = self._bytes = 0
        self._share = 0.0
        self.stopped = False

    def wait(self) -> bool:
        """Until one more may be read; false once all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopped or (self._few() and self._bytes < MOST_BYTES))
            self._waiting += 1
            return not self.stopped

    def _few(self) -> bool:
        return self._waiting < AHEAD or self._share < 1

    def hold(self, count: int, share: float) -> None:
        with self._changed:
            self._bytes += count
            self._share += share

    def taken(self, share: float) -> None:
        with self._changed:
            self._waiting -= 1
            self._share -= share
            self._changed.notify()

    def let_go(self, count: int) -> None:
        with self._changed:
            self._bytes -= count
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self.stopped = True
            self._changed.notify()


def _read_all(
    work: Work,
    gathering: Gathering | None,
    jobs: Iterable[Job],
    events: queue.SimpleQueue[tuple[str, Any]],
    flow: _Flow,
) -> None:
    try:
        source = iter(jobs)
        while flow.wait():
            job = next(source, None)
            if job is None:
                break
            read, started = _Read(job), time.perf_counter()
            try:
                read.given = work.read(job)
                read.bytes = getattr(read.given, "nbytes", 0)
                read.stamps = stamps_of(job)
                read.share = 1.0 if gathering is None else gathering.share(read.given)
            except Exception as error:  # whatever a file brings about is that picture's end, not the batch's
                read.error = words_of(error)
            read.seconds = time.perf_counter() - started
            flow.hold(read.bytes, read.share)
            events.put(("read", read))
        events.put(("end", None))
    except BaseException as error:
        events.put(("end", error))


def _make_group(
    work: Work, gathering: Gathering | None, reads: list[_Read], on_progress: Progress | None
) -> Iterator[Any]:
    """What is to be written of each picture, in order; one that cannot be made is no harm to the others."""
    results = None
    if gathering is not None and len(reads) > 1:
        results = _make_together(gathering, reads, on_progress)
    if results is not None:
        yield from results
        return
    for number, read in enumerate(reads):
        yield _make_one(work, read, None if on_progress is None else _part(number, len(reads), on_progress))


def _make_together(work: Gathering, reads: list[_Read], on_progress: Progress | None) -> list[Any] | None:
    """None where one of them cannot be made: which one shows when each is made by itself."""
    started = time.perf_counter()
    try:
        results = list(work.make_together([read.job for read in reads], [read.given for read in reads], on_progress))
    except Exception:
        return None
    for read in reads:
        read.given = None
        read.seconds += (time.perf_counter() - started) / len(reads)
    return results


def _make_one(work: Work, read: _Read, on_progress: Progress | None) -> Any:
    """What is to be written; None where the picture has ended with an error."""
    if read.error is not None:
        return None
    started = time.perf_counter()
    result = None
    try:
        result = work.make(read.job, read.given, on_progress)
    except Exception as raised:
        read.error = words_of(raised)
    read.given = None
    read.seconds += time.perf_counter() - started
    return result


def _write_all(
    work: Work, to_write: queue.SimpleQueue[Any], events: queue.SimpleQueue[tuple[str, Any]], flow: _Flow
) -> None:
    while (item := to_write.get()) is not None:
        read, result = item
        started = time.perf_counter()
        remarks: tuple[str, ...] = ()
        report = None
        if read.error is None:
            try:
                remarks, report = work.write(read.job, result)
                read.stamps = with_own_output(read.job, read.stamps)
            except Exception as raised:
                read.error = words_of(raised)
        read.seconds += time.perf_counter() - started
        del item, result
        flow.let_go(read.bytes)
        events.put(("written", Outcome(read.job, read.seconds, remarks, report, read.error, read.stamps)))


def words_of(error: BaseException) -> str:
    """One line that says what went wrong with a picture."""
    if isinstance(error, (RetoucheError, OSError)):
        return str(error)
    words = (str(error).splitlines() or ["out of memory" if isinstance(error, MemoryError) else "no reason given"])[0]
    return f"{type(error).__name__}: {words}"  # PyTorch reports exhausted memory as RuntimeError


def _after(pictures: int, count: int, progress: Progress) -> Progress:
    """From a fraction of a group that comes after some pictures to a number of pictures."""
    return lambda fraction: progress(pictures + count * fraction)


def _part(number: int, count: int, on_progress: Progress) -> Progress:
    """From a fraction of one picture of a group to one of the group."""
    return lambda fraction: on_progress((number + fraction) / count)


# Several processes ----------------------------------------------------------------------------------------------------


class Pool:
    """Several processes, each with a pipe; a picture that ends its process is tried once more, alone, then given up."""

    def __init__(self, work: Work, workers: int, method: Method) -> None:
        """Nobody is started yet.

        Args:
            method: "fork" only in a process whose threads are known, and before a GPU is used; where the system cannot
                fork safely, processes are spawned all the same
        """
        self.work = work
        self.count = workers
        self.method: Method = method if forks_safely() else "spawn"
        self._context: Any = multiprocessing.get_context(self.method)
        self._workers: list[_Worker] = []

    def start(self) -> Facts:
        """Start all; the first that is ready returns the facts. Forked ones have what this process has loaded."""
        facts = self.work.start() if self.method == "fork" else None
        for _ in range(self.count):
            self._add()
        while facts is None:
            for worker in self._ready():
                if worker.facts is not None:
                    facts = worker.facts
        return facts

    def _add(self) -> None:
        ours, theirs = self._context.Pipe()
        # with fork, every pipe that is open here is open there: closed at once, or nobody would see it end
        others = [worker.pipe for worker in self._workers] + [ours] if self.method == "fork" else []
        for stream_ in (sys.stdout, sys.stderr):
            stream_.flush()
        process = self._context.Process(target=_serve, args=(self.work, theirs, others), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: NumPy's sleep, and cope
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))

    def run(self, jobs: Iterable[Job], progress: Progress | None = None) -> Iterator[Outcome]:
        """As they get done."""
        waiting = deque(jobs)
        suspects: deque[Job] = deque()  # were in hand when their process ended
        accused: set[Job] = set()
        while waiting or suspects or any(worker.in_hand for worker in self._workers):
            self._feed(waiting, suspects)
            for worker in self._ready():
                if worker.outcome is not None:
                    yield worker.outcome
                elif worker.ended:
                    for job in worker.in_hand.values():
                        if job in accused:
                            yield Outcome(job, 0.0, error=_ENDED)
                        else:
                            again = replace(job, again=True)
                            accused.add(again)
                            suspects.append(again)
                    self._workers.remove(worker)
                    self._add()

    def _feed(self, waiting: deque[Job], suspects: deque[Job]) -> None:
        for worker in self._workers:
            if suspects and not worker.in_hand and worker.facts is not None:
                worker.give(suspects.popleft())
                worker.alone = True
            # near the end fewer are given at once, so that nobody waits for another's last ones
            most = min(IN_HAND, 1 + len(waiting) // (2 * self.count))
            while waiting and worker.facts is not None and not worker.alone and len(worker.in_hand) < most:
                worker.give(waiting.popleft())

    def _ready(self) -> Iterator[_Worker]:
        """The workers that have sent something, with it.

        Raises: RetoucheError if one could not start
        """
        pipes = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(pipes)):
            worker = pipes[pipe]  # type: ignore[index]
            worker.receive()
            yield worker

    def close(self, *, at_once: bool = False) -> None:
        """Pictures in hand are finished, unless at once."""
        for worker in self._workers:
            worker.pipe.close()
            if at_once:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()


_ENDED = (
    "the system ended the process that filled it, twice (out of memory?): use fewer --workers or less --memory; "
    "--resume keeps what is done"
)


class _Worker:
    """One process as seen from here.

    Attributes:
        in_hand: jobs given and not yet answered, by output
        alone: it has a suspect, and gets nothing else
        facts: once it is ready
        outcome, ended: what it has just sent
    """

    def __init__(self, process: Any, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.in_hand: dict[Any, Job] = {}
        self.alone = False
        self.facts: Facts | None = None
        self.outcome: Outcome | None = None
        self.ended = False

    def give(self, job: Job) -> None:
        with contextlib.suppress(OSError):  # it has just ended: noticed next
            self.pipe.send(job)
        self.in_hand[job.output] = job

    def receive(self) -> None:
        self.outcome = None
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self.ended = True
            if self.facts is None:
                raise RetoucheError(
                    "a worker was ended by the system before it could start (out of memory?): use fewer --workers"
                ) from None
            return
        if isinstance(message, Outcome):
            self.outcome = message
            del self.in_hand[message.job.output]
            self.alone = False
        elif isinstance(message, Facts):
            self.facts = message
        else:
            raise message


def _serve(work: Work, pipe: Connection, others: list[Connection]) -> None:
    """A process: work until the pipe ends; leave Ctrl-C to the parent, and end with it even if it is killed."""
    for other in others:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unfinished files are removed on the way out
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        first: Any = work.start()
    except Exception as error:
        first = error if isinstance(error, RetoucheError) else RetoucheError(words_of(error))
    try:
        pipe.send(first)
        if isinstance(first, Facts):
            for outcome in stream(work, _given(pipe), gather=False):  # the next comes when one is done
                pipe.send(outcome)
    except OSError:  # the parent wants no more
        return


def _given(pipe: Connection) -> Iterator[Job]:
    while True:
        try:
            yield pipe.recv()
        except (EOFError, OSError):
            return


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

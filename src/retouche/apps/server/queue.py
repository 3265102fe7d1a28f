"""A bounded queue before one worker thread per device.

Who finds it full is refused at once; who leaves, or takes too long, is taken out of it. A work that runs is ended where
it next reports how far it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

ResourceT = TypeVar("ResourceT")
ResultT = TypeVar("ResultT")


REMEMBERED = 16
"""Works whose durations estimate the next one's."""
MOST_RETRY_AFTER = 120
"""Seconds after which one may ask again in any case: others give up meanwhile."""


class Full(Exception):
    """As many are waiting as may wait."""


class TooSlow(Exception):
    """The work took longer than allowed and was ended."""


class ClientLeft(Exception):
    """Nobody waits for the answer any more; the work was ended."""


class Interrupted(BaseException):
    """Raised where a work that is no longer wanted reports progress; no handler of ordinary errors takes it."""


class Place:
    """A place in the queue, from before the request's body is read until its work has ended; it reports how that goes.

    Attributes:
        suits: which workers' resources may do its work; all, unless set before `Workers.run`
        taken, begun, ended: when (`time.monotonic`) it was taken, a worker began its work, and that was over
        fraction: of its work that is done, 0..1
        failed: its work has ended without a result, or without ever beginning
        unwanted: nobody waits for its result any more
    """

    def __init__(self, workers: Workers[Any]) -> None:
        self._workers = workers
        self._held = True
        self.has_work = False
        self.suits: Callable[[Any], bool] = lambda _: True
        self.taken = time.monotonic()
        self.begun: float | None = None
        self.ended: float | None = None
        self.fraction = 0.0
        self.failed = False
        self.unwanted = False

    def report_progress(self, fraction: float) -> None:
        """Note how much is done; on the worker's thread.

        Raises: Interrupted where nobody waits for the result any more
        """
        if self.unwanted:
            raise Interrupted
        self.fraction = fraction

    def before(self) -> int:
        """How many works are waiting before this one for a worker that may do it."""
        return self._workers.before(self)

    def leave(self, failed: bool = False) -> None:
        """Make the place free; a second call does nothing. On the event loop's thread only."""
        if self._held:
            self._held = False
            self.ended, self.failed = time.monotonic(), failed
            self._workers.places -= 1


class _Job:
    """One work on its way through the queue."""

    def __init__(self, work: Callable[[Any], Any], place: Place, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.place = place
        self.loop = loop
        self.begun = asyncio.Event()
        self.answer: asyncio.Future[Any] = loop.create_future()

    def finish(self, result: Any, error: BaseException | None) -> None:
        """On the event loop's thread: free the place and hand over what came out, if somebody still waits."""
        self.place.leave(failed=error is not None)
        if self.answer.done():
            return
        if error is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(ClientLeft() if isinstance(error, Interrupted) else error)


class Workers(Generic[ResourceT]):
    """Threads that each own one resource (a device and what is loaded on it) and take works from one queue.

    Each takes the first work that its resource suits.
    """

    def __init__(
        self, resources: Sequence[ResourceT], waiting: int, prepare: Callable[[ResourceT], None] = lambda _: None
    ) -> None:
        """Start the threads.

        Args:
            resources: one for each thread, passed to every work it does
            waiting: how many may wait while all threads are busy
            prepare: called by each thread before its first work
        """
        self._prepare = prepare
        self.places = 0
        self.limit = waiting + len(resources)
        self._resources = tuple(resources)
        self._jobs: deque[_Job] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._running: set[Place] = set()
        self._turn = 0.0
        self._threads = [
            threading.Thread(target=self._serve, args=(resource,), name=f"worker-{index}", daemon=True)
            for index, resource in enumerate(resources)
        ]
        for thread in self._threads:
            thread.start()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for one work; on the event loop's thread only.

        Raises: Full
        """
        if self.places >= self.limit or self._closed:
            raise Full
        self.places += 1
        place = Place(self)
        try:
            yield place
        finally:
            if not place.has_work:
                place.leave()

    async def run(
        self, place: Place, work: Callable[[ResourceT], ResultT], seconds: float, client_left: Coroutine[Any, Any, Any]
    ) -> ResultT:
        """Have a work done.

        Args:
            place: from `place()`, for this work alone; it is free again when the work has really ended
            work: called with a worker's resource, on its thread
            seconds: it may take, from its beginning
            client_left: ends when nobody waits for the result any more

        Raises: TooSlow, ClientLeft, or what the work raises
        """
        assert not place.has_work
        job = _Job(work, place, asyncio.get_running_loop())
        gone = asyncio.ensure_future(client_left)
        begun = asyncio.ensure_future(job.begun.wait())
        place.has_work = True
        with self._change:
            self._jobs.append(job)
            self._change.notify_all()  # not just one: it may not suit the first that wakes
        try:
            await asyncio.wait({job.answer, gone, begun}, return_when=asyncio.FIRST_COMPLETED)
            if not job.answer.done() and not gone.done():
                await asyncio.wait({job.answer, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if job.answer.done():
                return job.answer.result()
            raise ClientLeft if gone.done() else TooSlow
        finally:
            for task in (gone, begun):
                task.cancel()
            await asyncio.gather(gone, begun, return_exceptions=True)
            self._drop(job)

    def retry_after(self) -> int:
        """Whole seconds until one of the workers is likely to be free.

        The median of the last works' durations, shared by the workers; before any has ended, one for each in hand.
        """
        seconds = self._pace()
        return _whole(self.places if seconds is None else seconds)

    def turn(self) -> int:
        """Whole seconds until one who is refused now should come again: behind those who were refused before.

        All at once they would find one place, and keep everybody else waiting meanwhile. The turns are half as far
        apart as works take: rather is one refused again than a worker without work.
        """
        seconds = self._pace() or 1 / len(self._threads)
        now = time.monotonic()
        self._turn = min(max(self._turn + seconds / 2, now + seconds), now + MOST_RETRY_AFTER)
        return _whole(self._turn - now)

    def _pace(self) -> float | None:
        """Seconds from one work's end to the next, if all workers are busy; None before any has ended."""
        with self._change:
            took = sorted(self._durations)
        return took[len(took) // 2] / len(self._threads) if took else None

    def before(self, place: Place) -> int:
        """How many works wait before the one of this place for a worker that suits it, too."""
        able = [resource for resource in self._resources if place.suits(resource)]
        with self._change:
            waiting = [job.place for job in self._jobs]
        if place not in waiting:
            return 0
        ahead = waiting[: waiting.index(place)]
        return sum(any(other.suits(resource) for resource in able) for other in ahead)

    def close(self) -> None:
        """Take no more works, forget those that wait, and end those that run where they next report progress."""
        with self._change:
            self._closed = True
            self._jobs.clear()
            for place in self._running:
                place.unwanted = True
            self._change.notify_all()

    def ended(self, seconds: float) -> bool:
        """Wait so long, after `close`, for the threads to end; whether they have."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _drop(self, job: _Job) -> None:
        """Take a job out of the queue, or have it ended; one that is done already stays as it is."""
        job.answer.cancel()
        with self._change:
            job.place.unwanted = True
            if job in self._jobs:
                self._jobs.remove(job)
                job.place.leave(failed=True)

    def _serve(self, resource: ResourceT) -> None:
        self._prepare(resource)
        while True:
            with self._change:
                self._change.wait_for(lambda: self._closed or self._first_for(resource) is not None)
                job = self._first_for(resource)
                if self._closed or job is None:
                    return
                self._jobs.remove(job)
                self._running.add(job.place)
                job.place.begun = time.monotonic()
            with contextlib.suppress(RuntimeError):  # the event loop has closed: nobody waits
                job.loop.call_soon_threadsafe(job.begun.set)
            started = time.monotonic()
            result, error = _done(job, resource)
            with self._change:
                self._running.discard(job.place)
                if error is None:  # one cut short, or refused at once, does not count
                    self._durations.append(time.monotonic() - started)
            with contextlib.suppress(RuntimeError):
                job.loop.call_soon_threadsafe(job.finish, result, error)
            del job, result, error  # pictures are large: none is kept until the next comes

    def _first_for(self, resource: ResourceT) -> _Job | None:
        return next((job for job in self._jobs if job.place.suits(resource)), None)


def _whole(seconds: float) -> int:
    return max(1, min(MOST_RETRY_AFTER, math.ceil(seconds)))


def _done(job: _Job, resource: Any) -> tuple[Any, BaseException | None]:
    """A work's result, or what it raised."""
    try:
        return job.work(resource), None
    except Interrupted as raised:
        return None, raised.with_traceback(None)
    except BaseException as raised:
        return None, raised

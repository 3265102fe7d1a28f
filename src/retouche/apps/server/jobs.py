"""Fills that need no connection: started, asked after, fetched. On the event loop's thread only."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from retouche.apps.server.work import Answer

KEPT_SECONDS = 600.0
"""For which a result waits to be fetched; fetching it again is no error meanwhile."""
KEPT_BYTES = 256 << 20
"""Of results together; the oldest make room."""

Left = Callable[[], Coroutine[Any, Any, Any]]
"""Gives what ends when nobody waits for the result any more."""


@dataclass
class _Job:
    task: asyncio.Task[Answer]
    unwanted: asyncio.Event
    ended: float | None = None

    @property
    def size(self) -> int:
        done = self.ended is not None and not self.task.cancelled() and self.task.exception() is None
        return len(self.task.result().content) if done else 0


class Jobs:
    """Fills by the names of their jobs."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    async def start(self, name: str, fill: Callable[[Left, Callable[[], None]], Coroutine[Any, Any, Answer]]) -> None:
        """Have a fill begun; returns once it has its place in the queue.

        Args:
            name: under which its result will be
            fill: called with what ends when it is cancelled, and what it calls once it has its place
        Raises: what refuses it a place
        """
        admitted, unwanted = asyncio.Event(), asyncio.Event()
        task = asyncio.ensure_future(fill(unwanted.wait, admitted.set))
        waiting = asyncio.ensure_future(admitted.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not admitted.is_set():
            await task
        job = self._jobs[name] = _Job(task, unwanted)
        task.add_done_callback(lambda _: self._end(job))

    def find(self, name: str) -> asyncio.Task[Answer] | None:
        """The fill of a name, running or ended; None where there is none, or none any more."""
        self._forget()
        return self._jobs[name].task if name in self._jobs else None

    def cancel(self, name: str) -> bool:
        """End a fill, or forget its result; whether there was one."""
        job = self._jobs.pop(name, None)
        if job is not None:
            job.unwanted.set()
        return job is not None

    def close(self) -> None:
        """End all."""
        for name in list(self._jobs):
            self.cancel(name)

    def _end(self, job: _Job) -> None:
        job.ended = time.monotonic()
        if not job.task.cancelled():
            job.task.exception()  # seen: asyncio need not warn of it
        self._forget()

    def _forget(self) -> None:
        """Let go of results that have waited long, and of the oldest where they are too large together."""
        ended = [(name, job) for name, job in self._jobs.items() if job.ended is not None]
        held = sum(job.size for _, job in ended)
        for name, job in ended:
            if held > KEPT_BYTES or time.monotonic() - (job.ended or 0.0) > KEPT_SECONDS:
                held -= job.size
                del self._jobs[name]

"""Batches: pictures of the folder --input filled one after another, beside the requests of others.

On the event loop's thread only. A batch takes one place in the queue at a time, so that nobody waits behind all of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from retouche.apps.server import schema
from retouche.apps.server.queue import Place
from retouche.apps.server.safety import INTERNAL, Refused, log_line
from retouche.errors import RetoucheError

MOST = 4
"""Batches that may run at once."""
KEPT = 20
"""Batches that are remembered; the oldest that have ended make room."""
FULL = 429

Fill = Callable[["Batch", schema.BatchPicture], Coroutine[Any, Any, None]]


class Batch:
    """One batch; its pictures' rows are brought up to date as it goes on."""

    def __init__(self, asked: schema.Batch) -> None:
        self.name = secrets.token_hex(16)
        self.asked = asked
        self.rows = [schema.BatchPicture(name=name) for name in dict.fromkeys(asked.names)]
        self.unwanted = asyncio.Event()
        self.place: Place | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()

    def state(self) -> schema.BatchState:
        count = [row.state for row in self.rows].count
        for row in self.rows:
            row.fraction = self.place.fraction if row.state == "running" and self.place is not None else None
        ended: Literal["done", "stopped"] = "stopped" if count("stopped") else "done"
        state: Literal["running", "done", "stopped"] = "running" if self.running else ended
        return schema.BatchState(
            batch=self.name, state=state, done=count("done"), failed=count("failed"), pictures=self.rows
        )

    async def run(self, fill: Fill) -> None:
        """Fill all; one that fails says why in its row, and the next follows."""
        for row in self.rows:
            row.state = "running"
            error = await self._one(fill, row)
            if self.unwanted.is_set():
                break
            row.state, row.error = ("done", None) if error is None else ("failed", error)
        for row in self.rows:
            if row.state in {"waiting", "running"}:
                row.state = "stopped"

    async def _one(self, fill: Fill, row: schema.BatchPicture) -> str | None:
        while True:
            try:
                await fill(self, row)
                return None
            except Refused as refused:
                if refused.status != FULL:
                    return refused.why
                seconds = float(refused.headers.get("Retry-After", 1))
            except RetoucheError as error:
                return " ".join(str(error).split())
            except Exception as error:
                log_line("failure", error=type(error).__name__, picture=row.name)
                return INTERNAL.format(type(error).__name__)
            try:
                await asyncio.wait_for(self.unwanted.wait(), seconds)
                return None
            except asyncio.TimeoutError:
                continue


class Batches:
    """Batches by their names."""

    def __init__(self) -> None:
        self._batches: OrderedDict[str, Batch] = OrderedDict()

    def start(self, asked: schema.Batch, fill: Fill) -> Batch:
        """Begin a batch.

        Raises: Refused
        """
        if sum(batch.running for batch in self._batches.values()) >= MOST:
            raise Refused(FULL, f"{MOST} batches are running: try again when one has ended", {"Retry-After": "10"})
        batch = Batch(asked)
        batch.task = asyncio.ensure_future(batch.run(fill))
        self._batches[batch.name] = batch
        for name in [name for name, each in self._batches.items() if not each.running][: len(self._batches) - KEPT]:
            del self._batches[name]
        return batch

    def find(self, name: str) -> Batch:
        """The batch of a name.

        Raises: Refused
        """
        if name not in self._batches:
            raise Refused(404, "no such batch: it was never begun, or ended long ago")
        return self._batches[name]

    def close(self) -> None:
        """Stop all."""
        for batch in self._batches.values():
            batch.unwanted.set()

"""A batch on many machines: a pool of actors on Ray Data, each with one model; extra `batch`.

Ray Data keeps no more pictures on the way than there is room for, moves the work of a machine that dies to those that
live, and starts actors anew. What it may do twice is done whole or not at all each time, onto the same path: there is
exactly one output and one outcome for each picture. Every machine sees the files at the same paths (NFS, or one disk).
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pickle
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from retouche.errors import InputError, RetoucheError
from retouche.runners.local import stream
from retouche.runners.work import Facts, Job, Outcome, Progress, Work

AT_ONCE = 8  # pictures that an actor gets together: it reads and writes beside the making
SECONDS_TO_REACH = 10.0
TRIES = 5  # of a group whose actor dies; then each of its pictures alone
_ENDED = "the process that filled it ended every time (out of memory?): use less --memory; --resume keeps what is done"


class Cluster:
    """The machines of a Ray cluster."""

    def __init__(self, work: Work, address: str, workers: int | None, cpus: int, *, gpu: bool | None = None) -> None:
        """Nothing is started yet.

        Args:
            address: "auto" for the cluster of this machine, or one's own as `ray start` prints it
            workers: at most so many actors; None = as many as there is room for
            cpus: of each actor
            gpu: whether each has a GPU of its own; None = where the cluster has any
        """
        self.work, self.address = work, address
        self.workers, self.cpus, self.gpu = workers, cpus, gpu

    def start(self) -> Facts:
        """Join the cluster and have one machine get ready.

        Raises: RetoucheError if there is none, or the work cannot start there
        """
        if importlib.util.find_spec("ray") is None:
            raise RetoucheError("clusters need Ray: pip install 'retouche[batch]'")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        try:
            _knock(self.address)
            ray.init(address=self.address, logging_level=logging.ERROR, log_to_driver=False, ignore_reinit_error=True)
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(f"no cluster at {self.address} ({reason}): start one with `ray start --head`") from None
        # Ray prints news of its machines to stdout, among our results, whatever `log_to_driver` is
        ray._private.worker._worker_logs_enabled = False
        there = ray.cluster_resources()
        if self.gpu is None:
            self.gpu = there.get("GPU", 0) >= 1
        room = there.get("GPU", 0) if self.gpu else there.get("CPU", 0) / self.cpus
        if room < 1:
            raise InputError(f"the cluster has no room for one worker of {self.cpus} CPUs: use fewer --threads")
        self.workers = min(self.workers or int(room), int(room))
        ready = ray.remote(num_cpus=self.cpus, num_gpus=int(self.gpu), max_retries=TRIES)(_facts)
        answer = ray.get(ready.remote(self.work))
        if not isinstance(answer, Facts):
            raise answer
        return answer

    def run(self, jobs: Iterable[Job], progress: Progress | None = None) -> Iterator[Outcome]:
        """As they get done."""
        missing = {str(job.output): replace(job, again=True) for job in jobs}
        for at_once in (AT_ONCE, 1):
            for outcome in self._pass(list(missing.values()), at_once):
                if missing.pop(str(outcome.job.output), None) is not None:
                    yield outcome
        for job in missing.values():
            yield Outcome(job, 0.0, error=_ENDED)

    def _pass(self, jobs: list[Job], at_once: int) -> Iterator[Outcome]:
        """What becomes of all that no dying actor takes along every time."""
        if not jobs:
            return
        import ray

        for name in ("ray.data", "ray._private"):  # Ray's own news of its progress are not the user's
            logging.getLogger(name).setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1  # a group that fails every time is no end of the others
        given = ray.data.from_items(
            [{"job": pickle.dumps(job)} for job in jobs], override_num_blocks=-(-len(jobs) // at_once)
        )
        done = given.map_batches(
            _Actor,
            fn_constructor_args=(self.work,),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=self.workers),
            num_cpus=self.cpus,
            num_gpus=int(bool(self.gpu)),
            ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": TRIES},
        )
        for row in done.iter_rows():
            yield pickle.loads(row["outcome"])

    def close(self, *, at_once: bool = False) -> None:
        """Leave the cluster; it goes on without us."""
        with contextlib.suppress(ImportError):
            import ray

            ray.shutdown()


def _knock(address: str) -> None:
    """That somebody listens at HOST:PORT; Ray itself would try for minutes.

    Raises: OSError
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host, int(port)), SECONDS_TO_REACH).close()


def _facts(work: Work) -> Facts | RetoucheError:
    """On some machine: whether the work can start there, and what it says of itself."""
    try:
        return work.start()
    except RetoucheError as error:
        return error


class _Actor:
    """One process of the pool: a work that has started."""

    def __init__(self, work: Work) -> None:
        work.start()
        self.work = work

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        jobs = [pickle.loads(job) for job in batch["job"]]
        return {"outcome": [pickle.dumps(outcome) for outcome in stream(self.work, jobs)]}

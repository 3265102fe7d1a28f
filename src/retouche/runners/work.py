"""What is done with each picture of a batch, in three steps, and how one ended: whoever runs it, here or far away."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from retouche.folders.elsewhere import Far

Progress = Callable[[float], None]
ROLES = ("image", "mask", "sketch", "structure")


@dataclass(frozen=True)
class Job:
    """One fill: the files to read and the file to write.

    Attributes:
        mask: None = the picture's alpha, or none
        again: it was begun before and cut short, so that its output may be there already
    """

    image: Path
    mask: Path | None
    output: Path
    sketch: Path | None = None
    structure: Path | None = None
    again: bool = False

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that are read."""
        return tuple(path for path in (self.image, self.mask, self.sketch, self.structure) if path is not None)


@dataclass(frozen=True)
class Facts:
    """What a work says of itself once it has started.

    Attributes:
        about: what else than the files decides over the outputs, for the manifest: "model", "model_hash", "options"
        conditioning: the inputs it takes beside picture and mask
        device: "cpu", "cuda:0", ...
        remarks: of getting ready, where it happened in another process
    """

    about: dict[str, Any]
    conditioning: frozenset[str] = frozenset()
    device: str = "cpu"
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How one job ended: with an output and remarks, or with an error in one line.

    Attributes:
        report: what the work reports of it
        seconds: from the start of reading to the end of writing, without waiting in between
        stamps: size, time and hash of each file read, by role
    """

    job: Job
    seconds: float
    remarks: tuple[str, ...] = ()
    report: Any = None
    error: str | None = None
    stamps: dict[str, dict[str, Any]] = field(default_factory=dict)


class Work(Protocol):
    """Three steps from file to file; picklable before its start, so that another process can have it.

    Reading and writing run beside the making, on threads of their own.
    """

    def start(self) -> Facts:
        """Get ready, once in each process that works: load the model. A second call only returns the facts again."""
        ...

    def read(self, job: Job) -> Any:
        """Decode all that the job needs."""
        ...

    def make(self, job: Job, given: Any, progress: Progress | None) -> Any:
        """Compute; `progress` is called with the fraction done."""
        ...

    def write(self, job: Job, result: Any) -> tuple[tuple[str, ...], Any]:
        """Encode, whole or not at all; returns remarks and a report."""
        ...


@runtime_checkable
class Gathering(Protocol):
    """What a work has beside its three steps if it makes several pictures with less than each by itself."""

    def share(self, given: Any) -> float:
        """What part of a group a picture is, by what was read of it: those that follow each other and are 1 in all at
        most are made together, and one that is 1 or more by itself."""
        ...

    def make_together(self, jobs: Sequence[Job], given: Sequence[Any], progress: Progress | None) -> Sequence[Any]:
        """What `make` returns for each; what it raises is no picture's end: each is then made by itself."""
        ...


class Steps:
    """A work of three functions, for which nothing has to be loaded."""

    def __init__(
        self, read: Callable[[Job], Any], make: Callable[[Any], Any], write: Callable[[Job, Any], Any]
    ) -> None:
        """Nothing is called yet.

        Args:
            read: the job's files
            make: from what was read
            write: the job's output from what was made; returns a report
        """
        self._read, self._make, self._write = read, make, write

    def start(self) -> Facts:
        """There is nothing to get ready."""
        return Facts({})

    def read(self, job: Job) -> Any:
        return self._read(job)

    def make(self, job: Job, given: Any, progress: Progress | None) -> Any:
        return self._make(given)

    def write(self, job: Job, result: Any) -> tuple[tuple[str, ...], Any]:
        return (), self._write(job, result)


class Runner(Protocol):
    """Who works: this process, several, or a cluster. The verb does not know which."""

    def start(self) -> Facts:
        """Get somebody ready.

        Raises: RetoucheError if nobody can be
        """
        ...

    def run(self, jobs: Iterable[Job], progress: Progress | None = None) -> Iterator[Outcome]:
        """Exactly one outcome for each job, in any order.

        Args:
            progress: called with the number of pictures done, the one in hand in part, where that is known
        """
        ...

    def close(self, *, at_once: bool = False) -> None:
        """Let go of everything; at once: what is in hand is dropped, not finished."""
        ...


def stamps_of(job: Job) -> dict[str, dict[str, Any]]:
    """What distinguishes a job's files from others of the same names."""
    return {role: stamp(path) for role in ROLES if (path := getattr(job, role)) is not None}


def with_own_output(job: Job, stamps: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The stamps after the output was written: an input that was replaced by it has a new one."""
    replaced = {role for role in stamps if _same_file(getattr(job, role), job.output)}
    return {role: stamp(getattr(job, role)) if role in replaced else old for role, old in stamps.items()}


def _same_file(one: Path, other: Path) -> bool:
    if isinstance(one, Far) or isinstance(other, Far):
        return one == other
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def stamp(path: Path) -> dict[str, Any]:
    """Size, time and hash of a file, elsewhere size and the system's mark (a hash or time); empty if it has gone, or is
    a pipe, which can be read but once."""
    if isinstance(path, Far):
        return path.stamp()
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return {}
        sha256 = _sha256(os.fspath(path), status.st_size, status.st_mtime_ns)
    except OSError:
        return {}
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}


@lru_cache(maxsize=16)  # one mask may serve all pictures
def _sha256(path: str, size: int, time: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

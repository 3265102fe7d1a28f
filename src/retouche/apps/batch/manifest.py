"""The record of a batch: one JSON line a picture, so that a killed run goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from retouche import __version__
from retouche.errors import InputError
from retouche.folders.elsewhere import Far
from retouche.folders.names import as_json
from retouche.runners.work import ROLES, Job, Outcome, stamp

if TYPE_CHECKING:
    from retouche.inference.model import Model

NAME = "manifest.jsonl"
SYNC_SECONDS = 1.0  # what a power cut may cost: these pictures are filled again; a kill costs nothing
_STARTED = time.time()


def model_hash(model: Model) -> str:
    """What identifies a model: SHA-256 of its weights; for fills without any the method and our version."""
    if model.source_sha256 is not None:
        return model.source_sha256
    if model.generator is None:
        return f"{model.method} of retouche {__version__}"
    digest = hashlib.sha256()
    for name, tensor in sorted(model.generator.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Manifest:
    """`manifest.jsonl` in a batch's output folder; a later line about the same output replaces an earlier one."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        """Nothing is read yet.

        Args:
            folder: where the batch writes
            about: what else than the files decides over the outputs: "model", "model_hash", "options"
        """
        self.path = folder / NAME
        self.about = about
        self._file: BinaryIO | None = None
        self._synced = 0.0

    def undone(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that no earlier run has done from the same files with the same options and model."""
        entries = self.entries()
        return [job for job in jobs if not self._is_done(job, entries.get(self._name(job)))]

    def entries(self) -> dict[str, dict[str, Any]]:
        """The last line about each output, by the output's name."""
        entries: dict[str, dict[str, Any]] = {}
        for line in self._lines():
            try:
                entry = json.loads(line)
                entries[entry["output"]] = entry
            except (ValueError, KeyError, TypeError):
                continue  # a line that a kill cut short: its picture is done again
        return entries

    def _lines(self) -> Iterator[bytes]:
        if self.path.exists():
            with open(self.path, "rb") as file:
                yield from file

    def _is_done(self, job: Job, entry: dict[str, Any] | None) -> bool:
        if entry is None or entry.get("error") is not None or not job.output.is_file():
            return False
        if any(entry.get(key) != self.about[key] for key in ("options", "model_hash")):
            return False
        stamps = entry.get("stamps") or {}
        paths = {role: path for role in ROLES if (path := getattr(job, role)) is not None}
        return stamps.keys() == paths.keys() and all(_fits(path, stamps[role]) for role, path in paths.items())

    def add(self, outcome: Outcome) -> None:
        """Append a picture's line; a second's lines together are seen onto the disk."""
        job, report = outcome.job, outcome.report
        entry = {
            "input": str(job.image),
            "mask": "alpha" if job.mask is None else str(job.mask),
            "sketch": None if job.sketch is None else str(job.sketch),
            "structure": None if job.structure is None else str(job.structure),
            "output": self._name(job),
            **self.about,
            "strategy": None if report is None else report.strategy,
            "seconds": round(outcome.seconds, 3),
            "error": outcome.error,
            "stamps": outcome.stamps,
            "retouche": __version__,
        }
        self._append(as_json(entry).encode() + b"\n")

    def _append(self, line: bytes) -> None:
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self.path, "ab+")  # noqa: SIM115
                if self._file.tell() and not _ends_line(self._file):
                    line = b"\n" + line  # after a line that a kill or a full disk cut short
            self._file.write(line)
            self._file.flush()
            if time.monotonic() > self._synced + SYNC_SECONDS:
                self._sync()
        except OSError as error:
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.close()
                self._file = None
            raise self._unwritable(error) from error

    def _sync(self) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """See the last lines onto the disk.

        Raises: InputError
        """
        if self._file is not None:
            try:
                with self._file:
                    self._sync()
            except OSError as error:
                raise self._unwritable(error) from error
            finally:
                self._file = None

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path} cannot be written ({error.strerror}): free space, then the same command with --resume "
            "fills the rest"
        )

    def _name(self, job: Job) -> str:
        return job.output.relative_to(self.path.parent).as_posix()


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove the unfinished files of runs that were killed while writing; a run that still lives keeps its own."""
    for folder in folders:
        if isinstance(folder, Far):  # nothing unfinished has a name there
            continue
        for file in folder.glob(".retouche-*-*"):
            process = re.match(r"\.retouche-(\d+)-", file.name)
            if process is not None and _is_leftover(file, int(process[1])):
                file.unlink(missing_ok=True)


def _is_leftover(file: Path, process: int) -> bool:
    """Whether the process that wrote it has ended: also one of our own number before us, as in a container."""
    if process != os.getpid():
        return not _is_alive(process)
    try:
        return file.stat().st_mtime < _STARTED - 1
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 would end it; a file in use cannot be removed anyway
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ends_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _fits(path: Path, old: dict[str, Any]) -> bool:
    """The same file: same size, and the same time or else the same content."""
    if isinstance(path, Far):
        return bool(old) and stamp(path) == old
    status = path.stat()
    if not old or status.st_size != old.get("bytes"):
        return False
    return status.st_mtime_ns == old.get("mtime_ns") or stamp(path).get("sha256") == old.get("sha256")

"""The record of a batch: one JSON line a picture, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retouche import __version__
from retouche.apps.batch.fill import Outcome, Settings
from retouche.apps.batch.pairing import Job
from retouche.errors import InputError
from retouche.folders.names import as_json
from retouche.inference.model import Model

NAME = "manifest.jsonl"
_STARTED = time.time()
ROLES = ("image", "mask", "sketch", "structure")


def model_hash(model: Model) -> str:
    """What tells one model from another: SHA-256 of its weights; for fills without any the method and our version."""
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

    def __init__(self, folder: Path, settings: Settings, hashed: str) -> None:
        """Read what is there.

        Args:
            folder: where the batch writes
            settings: of this run
            hashed: this run's `model_hash`
        """
        self.path = folder / NAME
        self.settings = settings
        self.hashed = hashed
        self.entries: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            for line in self.path.read_bytes().split(b"\n"):
                try:
                    entry = json.loads(line)
                    self.entries[entry["output"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue  # a line that a kill cut short: its picture is done again

    def is_done(self, job: Job) -> bool:
        """Whether an earlier run made this output from the same files, options and model."""
        entry = self.entries.get(self._name(job))
        if entry is None or entry.get("error") is not None or not job.output.is_file():
            return False
        if entry.get("options") != self.settings.options or entry.get("model_hash") != self.hashed:
            return False
        stamps = entry.get("stamps") or {}
        paths = {role: path for role in ROLES if (path := getattr(job, role)) is not None}
        return stamps.keys() == paths.keys() and all(_fits(path, stamps[role]) for role, path in paths.items())

    def add(self, outcome: Outcome) -> None:
        """Append a picture's line and see it onto the disk."""
        job, report = outcome.job, outcome.report
        entry = {
            "input": str(job.image),
            "mask": "alpha" if job.mask is None else str(job.mask),
            "sketch": None if job.sketch is None else str(job.sketch),
            "structure": None if job.structure is None else str(job.structure),
            "output": self._name(job),
            "model": self.settings.model,
            "model_hash": self.hashed,
            "options": self.settings.options,
            "strategy": None if report is None else report.strategy,
            "seconds": round(outcome.seconds, 3),
            "error": outcome.error,
            "stamps": {role: _stamp(path) for role in ROLES if (path := getattr(job, role)) is not None},
            "retouche": __version__,
        }
        self.entries[entry["output"]] = entry  # type: ignore[index]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = as_json(entry).encode() + b"\n"
        try:
            with open(self.path, "ab+") as file:
                if file.tell() and not _ends_line(file):
                    line = b"\n" + line  # after a line that a kill or a full disk cut short
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be written ({error.strerror}): free space, then the same command with --resume "
                "fills the rest"
            ) from error

    def _name(self, job: Job) -> str:
        return job.output.relative_to(self.path.parent).as_posix()


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Remove the unfinished files of runs that were killed while writing; a run that still lives keeps its own."""
    for folder in folders:
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


def _stamp(path: Path) -> dict[str, Any]:
    """Size, time and hash of a file; empty if it has gone."""
    try:
        status = path.stat()
        with open(path, "rb") as file:
            sha256 = _sha256(file)
    except OSError:
        return {}
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256}


def _sha256(file: Any) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _fits(path: Path, stamp: dict[str, Any]) -> bool:
    """The same file: same size, and the same time or else the same content."""
    status = path.stat()
    if not stamp or status.st_size != stamp.get("bytes"):
        return False
    return status.st_mtime_ns == stamp.get("mtime_ns") or _stamp(path).get("sha256") == stamp.get("sha256")

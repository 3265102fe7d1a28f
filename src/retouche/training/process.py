"""What a training holds of its process while it runs: the folder's lock, signals, random streams, its workers."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouche.errors import InputError
from retouche.training import validation
from retouche.training.engine import Engine

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two trainings out of one folder
    fcntl = None  # type: ignore[assignment]


def seed_all(seed: int) -> None:
    """Every random stream that a network might draw from (dropout); they belong to the training until it ends."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def own_randomness() -> Iterator[None]:
    """The host's random streams are where they were afterwards."""
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=validation.here()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)


def start_worker(number: int) -> None:
    """Ctrl-C and SIGTERM, which reach the whole process group, are the main process's business: it ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


_HELD: set[int] = set()
"""Descriptors of locked run folders."""


def _let_go() -> None:
    """In a forked process: the lock is the parent's alone, so that it ends with the parent."""
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask once; a second Ctrl-C interrupts at once. In other threads than the main one: never."""
    asked = False

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, ask)
    except ValueError:  # not the main thread
        before = {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held(folder: Path, engine: Engine) -> Iterator[None]:
    """The run folder, made if need be, for this training alone; a killed one lets it go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"--run {folder} cannot be made or read ({error.strerror}): give another folder") from None
    try:
        if engine.first and descriptor is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"{folder} is being trained in by another process: wait, or give another --run"
                ) from None
        if descriptor is not None:
            _HELD.add(descriptor)
        yield
    finally:
        if descriptor is not None:
            _HELD.discard(descriptor)
            os.close(descriptor)

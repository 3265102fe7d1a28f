"""What all verbs share: flags from dataclasses, remarks on stderr, progress, units, the process's settings."""

from __future__ import annotations

import ctypes
import gc
import io
import logging
import os
import re
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from retouche.apps.batch.pairing import check_writable
from retouche.errors import InputError
from retouche.folders.names import as_json, shown

OptionsT = TypeVar("OptionsT")

QUICK_SECONDS = 1.5
"""What takes no longer shows no bar."""


def parse(options: type[OptionsT], words: Sequence[str], verb: str, description: str) -> OptionsT:
    """Flags to an `Options`; exits with 0 after `--help` and with 2 after wrong flags."""
    return tyro.cli(
        options,
        prog=f"retouche {verb}",
        description=description.strip(),
        args=list(words),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def without_default(metavar: str | None = None) -> Any:
    """A flag whose help does not end in "(default: None)"; its text says what happens without it."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
"""A flag without a value, off unless given."""


def warn(text: str) -> None:
    """One line on stderr: something that may not be as the user expects."""
    complain(f"warning: {text}")


def note(text: str) -> None:
    """One line on stderr: something good to know."""
    complain(f"note: {text}")


def complain(text: object) -> None:
    """One line on stderr, whatever names are in it."""
    print(shown(text), file=sys.stderr)


def print_line(text: object) -> None:
    """One line on stdout, at once, whatever names are in it."""
    print(shown(text), flush=True)


def show_json(value: Any) -> None:
    """One JSON object on its own line of stdout, at once."""
    print(as_json(value, sys.stdout.encoding or "utf-8"), flush=True)


class WarningCounter:
    """Warnings of a batch: each wording is shown once, with the first picture's name, and counted for the end."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str, remarks: Sequence[str]) -> None:
        """Show the new ones."""
        for text in remarks:
            if text not in self.counts:
                warn(f"{name}: {text}")
            self.counts[text] += 1

    def end(self) -> None:
        """Say which were true of more than one picture."""
        for text, count in self.counts.items():
            if count > 1:
                warn(f"on {count} pictures: {text}")


class _ToTerminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "reported", False):  # those of a report are shown with their picture's name
            warn(record.getMessage())


def show_warnings() -> None:
    """The library's warnings are shown on stderr."""
    logger = logging.getLogger("retouche")
    if not any(isinstance(handler, _ToTerminal) for handler in logger.handlers):
        logger.addHandler(_ToTerminal(logging.WARNING))


def take_any_encoding() -> None:
    """Letters that a terminal's encoding lacks are escaped instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def hide_python_warnings() -> None:
    """They are for developers; `python -W` brings them back."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


_ours = False


def is_ours() -> bool:
    """Whether this process is the command's own, and no program's that calls it."""
    return _ours


def own_the_process() -> None:
    """Say that this process is the command's own: its threads are known."""
    global _ours
    _ours = True


def share_the_cores() -> None:
    """Let idle OpenMP threads sleep instead of spin, unless the user has set otherwise.

    On a machine whose cores are busy with other work, spinning made fills ten times slower. Must come before torch is
    imported; only here, never in the library: a process's threads belong to the program.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def bound_the_kernels() -> None:
    """Let oneDNN keep the kernels of 128 convolutions, not of 1,024, unless the user has set otherwise.

    It makes one for each size of a picture, about 70 KB, and windows are of as many sizes as holes: a batch grew by a
    quarter over 500 small pictures. No network has more convolutions that differ. Must come before torch is imported;
    only here, never in the library. PyTorch's own layer above oneDNN has a cache of its own.
    """
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, "128")


@contextmanager
def loading() -> Iterator[None]:
    """Modules are imported inside: nothing comes up that the collector of cycles could free, but it looks through all
    that is there again and again, a sixth of the time that PyTorch's import takes. What was loaded it never looks
    through later, and forked workers share it.

    Only in a process of our own: when the collector runs belongs to the program.
    """
    if not _ours or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_quickly() -> None:
    """The interpreter's end need not look for cycles among all that was loaded: the system takes it back at once."""
    if _ours:
        gc.freeze()


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of returning each to the system: page faults cost up to half of the time.

    Only here, never in the library: an allocator's settings belong to the program. Elsewhere than on glibc: nothing.
    """
    m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(m_mmap_threshold, 32 << 20)  # the most that 64-bit glibc admits
    mallopt(m_trim_threshold, 512 << 20)


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_bytes(text: str) -> int:
    """ "2GiB", "800MB", "1.5g", "4096" -> bytes.

    Raises: InputError
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?|)b?\s*", text.lower())
    if match is None or float(match[1]) == 0:
        raise InputError(f'memory "{text}" is no size: give one like 2GiB, 800MB or 4096 (bytes)')
    return int(float(match[1]) * _UNITS[match[2]])


def show_bytes(count: int | None) -> str:
    """Bytes for people: "1.4 GiB"."""
    if count is None:
        return "?"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def dilation(value: str) -> int | None:
    """The word of `--dilate` or `--feather`: a number of pixels, or "auto" = None.

    Raises: InputError
    """
    if value.lower() == "auto":
        return None
    if not value.isdecimal():
        raise InputError(f'"{value}" is no number of pixels: give 0, 1, 2, ... or auto')
    return int(value)


def set_threads(threads: int | None) -> None:
    """Use so many CPU threads; None leaves PyTorch's choice.

    Raises: InputError
    """
    if threads is None:
        return
    if threads < 1:
        raise InputError(f"--threads is {threads}: give 1 or more")
    import torch

    torch.set_num_threads(threads)


def check_inputs(*named: tuple[Path, str]) -> None:
    """That each (path, flag) is a file.

    Raises: InputError
    """
    for path, flag in named:
        if not path.exists():
            raise InputError(f"{flag} {path} is not there: give a file")
        if not path.is_file():
            raise InputError(f"{flag} {path} is a folder: give one file")


def check_output(path: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """That a file can be written, and that nothing is lost by it.

    Raises: InputError
    """
    if path.is_dir():
        raise InputError(f"--output {path} is a folder: give a file")
    if any(os.path.realpath(path) == os.path.realpath(one) for one in inputs):
        raise InputError(f"--output {path} is an input: give another")
    if path.exists() and not overwrite:
        raise InputError(f"{path} would be overwritten: say --overwrite, or give another --output")
    check_writable(path.parent)


@contextmanager
def progress(doing: str, total: int) -> Iterator[Callable[[float], None]]:
    """The bar of all batches, on stderr where that is a terminal; yields a function to call with the number done.

    A share of the one in hand counts too: bar and time left go on inside long ones.
    """
    if not sys.stderr.isatty() or total == 0:
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=total)
        most = 0.0

        def advance(done: float) -> None:
            nonlocal most
            most = max(most, done)  # pictures are written while later ones are in hand
            bar.update(task, completed=most)

        yield advance


@contextmanager
def fraction(doing: str) -> Iterator[Callable[[float], None] | None]:
    """A bar with the time left for one work that may last long, on stderr where that is a terminal, gone at its end.

    It appears once the work has lasted a while, and moves to and fro until the first news of how far it is.

    Yields: a function to call with the fraction done, 0..1; None where nobody would see it
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(doing),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty(), transient=True)
    task = bar.add_task("", total=None)

    def show(done: float) -> None:
        if done > 0:
            bar.update(task, total=1.0, completed=done)

    appears = threading.Timer(QUICK_SECONDS, bar.start)
    appears.daemon = True
    appears.start()
    try:
        yield show
    finally:
        appears.cancel()
        appears.join()  # it may be starting the bar just now
        bar.stop()

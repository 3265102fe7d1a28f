"""Pictures that come and go through pipes: `-`, `/dev/stdin`, named pipes.

A pipe can be read once, so it is read first. Nothing is decoded here and torch is not needed.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from retouche.errors import InputError, reason

STDIN = ("-", "/dev/stdin", "/dev/fd/0")
STDOUT = ("-", "/dev/stdout", "/dev/fd/1")
MOST_BYTES = 2 << 30  # more than the largest picture that is decoded


def is_pipe(path: str | Path, standard: tuple[str, ...]) -> bool:
    """Whether what lies there cannot be opened twice: a standard stream, a named pipe, a device.

    Args:
        standard: the names of the standard stream, `STDIN` or `STDOUT`
    """
    if str(path) in standard:
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def read_pipes(named: Mapping[str, Path]) -> dict[Path, bytes]:
    """The whole contents of those of these paths that are pipes.

    Args:
        named: flag -> path

    Raises: InputError where two are the same, nothing comes, or nothing can
    """
    pipes = {flag: path for flag, path in named.items() if is_pipe(path, STDIN)}
    found: dict[tuple[int, int], str] = {}
    for flag, path in pipes.items():
        first = found.setdefault(_identity(path), flag)
        if first != flag:
            raise InputError(f"{first} and {flag} read the same pipe, {path}: give one of them as a file")
    return {path: _content(path, flag) for flag, path in pipes.items()}


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = os.fstat(0) if str(path) in STDIN else os.stat(path)
    except OSError:  # standard input is closed: reported when it is read
        return (-1, -1)
    return status.st_dev, status.st_ino


def _content(path: Path, flag: str) -> bytes:
    try:
        if str(path) not in STDIN:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        else:
            content = _standard_input(flag).read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be read ({reason(error)}): give a file") from error
    if not content:
        raise InputError(f"{flag} {path} is empty: the program before it has sent no picture")
    if len(content) > MOST_BYTES:
        raise InputError(f"{flag} {path} has sent more than {MOST_BYTES >> 30} GiB: no picture is as large")
    return content


def _standard_input(flag: str) -> BinaryIO:
    if sys.stdin is None:
        raise InputError(f"{flag} - reads standard input, which is closed: pipe a picture in, or give a file")
    if sys.stdin.isatty():
        raise InputError(f"{flag} - reads standard input, which is a terminal: pipe a picture in, or give a file")
    return sys.stdin.buffer


def check_receiver(path: Path) -> None:
    """That a picture's bytes can go there. Raises: InputError"""
    if str(path) in STDOUT and sys.stdout.isatty():
        raise InputError(
            f"--output {path} would write a picture's bytes to the terminal: add `> filled.png`, or a pipe"
        )


def deliver(content: bytes, path: Path) -> None:
    """Send a picture's bytes on.

    Raises: BrokenPipeError where the reader has gone, InputError where it cannot be written for another reason
    """
    try:
        if str(path) in STDOUT:
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
        else:
            with path.open("wb") as file:
                file.write(content)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"--output {path} cannot be written ({reason(error)}): give a file") from error

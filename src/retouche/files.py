"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retouche.errors import InputError, reason


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = True, parents: bool = False) -> Iterator[Path]:
    """A path to write to; on success its content takes `path`'s place at once, on failure it is gone.

    On Linux the content has no name until it is whole, so that even a killed process leaves nothing behind; elsewhere
    it is a hidden file beside. The path given has no suffix to go by, and is to be opened as it is, not resolved.
    With `parents` missing folders are made, and on failure are gone again.

    Raises: InputError where the folder is missing or cannot be made or written, the disk is full, or the file exists
        and `overwrite` is false
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a file name")
    made = _made(path.parent) if parents else []
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it first")
    _refuse_existing(path, overwrite)
    named = _fresh_name(path.parent)
    nameless = _nameless(path.parent)
    temporary = named if nameless is None else Path(f"/proc/self/fd/{nameless}")
    ours = False  # a file of this name: another program's is never removed
    try:
        if nameless is None:
            named.touch(exist_ok=False)
            ours = True
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        if path.exists():
            _refuse_existing(path, overwrite)  # it may have appeared meanwhile
            shutil.copymode(path, temporary)
        if nameless is not None:
            # with a descriptor (unused: the path is absolute) Python calls linkat, which alone follows /proc's link
            os.link(temporary, named, src_dir_fd=nameless, follow_symlinks=True)
            ours = True
        os.replace(named, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({reason(error)}): choose another folder or free space") from error
    finally:
        if ours:
            named.unlink(missing_ok=True)
        if nameless is not None:
            os.close(nameless)
        if not path.exists():
            _remove_empty(made)


def _made(folder: Path) -> list[Path]:
    """Make a folder and those above it that are missing; those that were, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise InputError(f"{folder} cannot be made ({reason(error)}): choose another folder") from error
    return missing


def _remove_empty(folders: list[Path]) -> None:
    with suppress(OSError):  # another program may have put something there
        for folder in folders:
            folder.rmdir()


def _fresh_name(folder: Path) -> Path:
    """A hidden name that no file has: process numbers alone are the same in every container that shares the folder."""
    return folder / f".retouche-{os.getpid()}-{secrets.token_hex(8)}.part"


def _nameless(folder: Path) -> int | None:
    """Descriptor of a file in this folder that has no name yet, where the system knows such."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError:  # a file system without them; if the folder cannot be written, the named file says so
        return None


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another name, or allow overwriting (--overwrite)")

"""The folders a server may read (--input) and write (--output), and nothing beside them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from retouche.errors import InputError
from retouche.files import atomic_write
from retouche.folders.finding import walk
from retouche.pictures import Picture, write_picture
from retouche.pictures.formats import BY_SUFFIX

TYPES = {suffix: one.media for suffix, one in BY_SUFFIX.items()}
SIDECAR = ".retouche.json"
MOST_FILES = 10_000


class Outside(Exception):
    """A name that leads out of its folder, or to nothing: the answer is the same."""


class Exists(Exception):
    """A file of this name is there, and overwriting was not asked for."""


def below(root: Path, name: str) -> Path:
    """The path of a relative name below a folder, links resolved; the file itself may be missing.

    Raises: Outside
    """
    parts = name.split("/")
    if (
        "\0" in name
        or "\\" in name
        or (os.name == "nt" and ":" in name)
        or any(part in {"", ".", ".."} for part in parts)
    ):
        raise Outside
    if any(part.startswith(".") or len(os.fsencode(part)) > 240 for part in parts):
        raise Outside
    base = root.resolve()
    try:
        path = base.joinpath(*parts).resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, names that no file can have
        raise Outside from None
    if path == base or not path.is_relative_to(base):
        raise Outside
    return path


def existing(root: Path, name: str) -> Path:
    """A picture file that is there.

    Raises: Outside
    """
    path = below(root, name)
    if path.suffix.lower() not in TYPES or not path.is_file():
        raise Outside
    return path


def listing(root: Path) -> list[dict[str, Any]]:
    """Name, size and time of each picture below a folder, in the order of their names; links that lead out are not."""
    rows = []
    for source in walk(root, tuple(TYPES))[0]:
        name = source.relative.as_posix()
        try:
            path = existing(root, name)
            status = path.stat()
        except (Outside, OSError):
            continue
        rows.append({"name": name, "bytes": status.st_size, "modified": int(status.st_mtime)})
        if len(rows) == MOST_FILES:
            break
    return rows


def save(root: Path, name: str, picture: Picture, sidecar: dict[str, Any] | None, *, overwrite: bool) -> list[str]:
    """Write a picture, and beside it what it was made with; the picture appears whole or not at all.

    Returns: the names written
    Raises: Outside, Exists, InputError
    """
    path = below(root, name)
    if path.suffix.lower() not in TYPES:
        raise InputError(f"output: {Path(name).name} has no picture suffix: use one of {', '.join(sorted(TYPES))}")
    beside = below(root, name + SIDECAR)
    if not overwrite and any(file.exists() for file in ([path, beside] if sidecar is not None else [path])):
        raise Exists
    try:
        write_picture(picture, path, overwrite=overwrite, parents=True)
        if sidecar is not None:
            content = json.dumps(sidecar, ensure_ascii=False, indent=1).encode("utf-8", "replace")
            with atomic_write(beside, overwrite=overwrite) as temporary:
                temporary.write_bytes(content)
    except InputError as error:  # where the folder is, is nobody's business
        words = str(error).replace(f"{path.parent}{os.sep}", "").replace(str(path.parent), "the folder")
        raise InputError(words) from None
    return [name, name + SIDECAR] if sidecar is not None else [name]

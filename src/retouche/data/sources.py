"""Where pictures come from: a folder tree, a list of files, or WebDataset shards; read one by one, in any order.

Shards are tar files whose members share a name up to the first dot (the WebDataset convention). They are indexed once,
so that any sample can be read by itself: only then is a training resumed exactly where it was.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from retouche.errors import DataError, InputError
from retouche.folders.finding import list_lines, walk
from retouche.pictures import Picture, decode, open_picture
from retouche.pictures.formats import SUFFIXES
from retouche.pictures.hidden import seen

HELD_OUT = 50
"""One picture of so many is held out for validation, by the hash of its name."""


LISTS = (".txt", ".flist")
"""Suffixes of lists of files: ours and that of the published inpainting codes."""


class UnreadableError(Exception):
    """One picture cannot be read; the others may be fine."""


class PictureSource(Protocol):
    """A fixed sequence of pictures.

    Attributes:
        title: what the user called it
        names: of the pictures, unique, sorted
    """

    @property
    def title(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...

    def read(self, index: int) -> Picture:
        """Decode one.

        Raises: UnreadableError if this one is broken, DataError if the whole source has gone
        """
        ...

    def subset(self, indices: Sequence[int]) -> PictureSource:
        """The same source with fewer pictures."""
        ...


@dataclass(frozen=True)
class Files:
    """Picture files below a folder; `names` are their paths relative to it, or absolute."""

    title: str
    root: Path
    names: tuple[str, ...]

    def read(self, index: int) -> Picture:
        path = self.root / self.names[index]
        try:
            return seen(open_picture(path))
        except (InputError, OSError, MemoryError) as error:
            if not self.root.is_dir():
                raise DataError(f"{self.title} has gone: bring it back and run the same command again") from None
            raise UnreadableError(str(error)) from None

    def subset(self, indices: Sequence[int]) -> Files:
        return Files(self.title, self.root, tuple(self.names[i] for i in indices))


@dataclass(frozen=True)
class Member:
    """One picture inside a shard."""

    shard: Path
    offset: int
    size: int


@dataclass(frozen=True)
class Shards:
    """Pictures inside tar files."""

    title: str
    names: tuple[str, ...]
    members: tuple[Member, ...] = field(repr=False)

    def read(self, index: int) -> Picture:
        member = self.members[index]
        try:
            with member.shard.open("rb") as file:
                file.seek(member.offset)
                data = file.read(member.size)
        except FileNotFoundError:
            raise DataError(f"{member.shard} has gone: bring it back and run the same command again") from None
        except OSError as error:
            raise UnreadableError(f"{self.names[index]}: {error.strerror}") from None
        try:
            return seen(decode(data, self.names[index]))
        except InputError as error:
            raise UnreadableError(str(error)) from None

    def subset(self, indices: Sequence[int]) -> Shards:
        return Shards(self.title, tuple(self.names[i] for i in indices), tuple(self.members[i] for i in indices))


def open_source(given: str | Path) -> PictureSource:
    """Pictures of a folder tree, of a list (.txt or .flist, one path a line, relative to the list), or of shards.

    Args:
        given: DIR, LIST.txt, LIST.flist, SHARD.tar, a folder of .tar files without pictures, or a pattern with braces,
            such as "places-{000..099}.tar"

    Raises: DataError if it is not there or holds no picture
    """
    text, path = str(given), Path(given)
    if "{" in text and text.endswith(".tar"):
        return _shards(text, _expanded(text))
    if not path.exists():
        raise DataError(f"{text} is not there: give a folder, a list of files (.txt, .flist) or shards (.tar)")
    if path.is_dir():
        names = sorted(source.relative.as_posix() for source in walk(path)[0])
        if names:
            return Files(text, path.resolve(), tuple(names))
        if tars := sorted(path.rglob("*.tar")):
            return _shards(text, tars)
        raise DataError(f"{text} holds no pictures: give a folder with {', '.join(SUFFIXES)} files or .tar shards")
    if path.suffix.lower() == ".tar":
        return _shards(text, [path])
    if path.suffix.lower() in LISTS:
        return _listed(text, path)
    raise DataError(f"{text} is neither a folder, nor a list (.txt, .flist), nor a shard (.tar): give one of these")


def _listed(title: str, path: Path) -> Files:
    try:
        lines = list_lines(path)
    except ValueError as error:
        raise DataError(f"{title} is no list: {error}") from None
    root = path.resolve().parent
    names = dict.fromkeys(
        line if (root / line).is_file() else line.strip()
        for line in lines
        if (root / line.strip()).is_file() or (root / line).is_file() or not line.lstrip().startswith("#")
    )
    if not names:
        raise DataError(f"{title} names no pictures: give one path a line")
    missing = [name for name in names if not (root / name).is_file()]
    if len(missing) == len(names):
        raise DataError(f"none of the {len(names)} files of {title} is there (first: {missing[0]}): check the paths")
    return Files(title, root, tuple(sorted(names)))


def _expanded(pattern: str) -> list[Path]:
    try:
        from webdataset.shardlists import expand_urls
    except ImportError:
        raise DataError(f'patterns like {pattern} need webdataset: pip install "retouche[train]"') from None
    paths = [Path(one) for one in expand_urls(pattern)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(paths)} shards of {pattern} are not there (first: {missing[0]})")
    return paths


def _shards(title: str, paths: Sequence[Path]) -> Shards:
    try:
        from webdataset.tariterators import base_plus_ext
    except ImportError:
        raise DataError(f'{title}: shards need webdataset: pip install "retouche[train]"') from None
    found: dict[str, Member] = {}
    for path in paths:
        try:
            with tarfile.open(path, "r:") as tar:
                for info in tar:
                    key, extension = base_plus_ext(info.name)
                    if not info.isfile() or key is None or f".{extension.lower()}" not in SUFFIXES:
                        continue
                    found[f"{path.name}/{key}"] = Member(path.resolve(), info.offset_data, info.size)
        except (tarfile.TarError, OSError) as error:
            raise DataError(f"{path} is no readable tar file ({error}): write it anew, uncompressed") from None
    if not found:
        raise DataError(f"{title} holds no pictures: members end in {', '.join(SUFFIXES)}")
    names = tuple(sorted(found))
    return Shards(title, names, tuple(found[name] for name in names))


def hold_out(names: Sequence[str], readable: Callable[[int], bool] = lambda index: True) -> tuple[list[int], list[int]]:
    """Split off 2 % for validation by the hash of the name, so that adding pictures moves no other.

    Args:
        readable: whether the picture of an index can be read; asked only as far as needed

    Returns: indices to learn from, indices held out: at least one of two or more, and one of them can be read if any
        picture can. A single picture is in both
    """
    hashes = [hashlib.blake2b(os.fsencode(name), digest_size=8).digest() for name in names]
    held = [i for i, digest in enumerate(hashes) if int.from_bytes(digest, "little") % HELD_OUT == 0]
    if len(names) == 1:
        return [0], [0]
    if not held or len(held) == len(names) or not any(readable(i) for i in held):
        ranked = sorted(range(len(names)), key=hashes.__getitem__)
        held = [next((i for i in ranked if readable(i)), ranked[0])]
    kept = set(held)
    return [i for i in range(len(names)) if i not in kept], held

"""Files that are no local files: in object stores and other file systems (fsspec), and in tar shards (WebDataset form).

A `Far` is a path that reads `s3://bucket/photos/a.jpg`; the member of a shard is a path below it,
`s3://bucket/0001.tar/a.jpg`. In a shard, files of one name up to the first dot are one sample: `a.jpg` is its picture,
`a.mask.png` its mask, all else goes along unchanged. Local shards are `file:///...`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tarfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from retouche.errors import InputError, RetoucheError, reason
from retouche.files import atomic_write
from retouche.pictures.formats import SUFFIXES

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+):/+")  # two letters and more: not a drive
WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "memory", "file", "local"}
"""Systems in which a file appears whole or not at all; elsewhere it gets its name when it is whole."""
SHARD = ".tar"
PARTS = ".parts"
"""Beside a shard that is being written: the filled pictures that shall be packed into it."""
_MARKS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")

_Path: Any = Path if TYPE_CHECKING else type(Path())


def is_far(word: str | Path) -> bool:
    """Whether a word is an address of another file system."""
    return isinstance(word, Far) or ("://" in str(word) and _ADDRESS.match(str(word)) is not None)


def place(word: str | Path) -> Path:
    """The path that a word names, here or elsewhere."""
    return Far(word) if is_far(word) else Path(word)


def local_address(path: Path) -> Far:
    """A local path as an address, for shards and what goes with them."""
    return path if isinstance(path, Far) else Far("file://" + os.path.abspath(path))


class Far(_Path):  # type: ignore[misc]
    """A file elsewhere. What a path does by its parts alone it does as ever; reading and writing go through fsspec.

    Raises in all that touches a file: InputError in one line
    """

    def __str__(self) -> str:
        text = super().__str__().replace("\\", "/")
        found = _ADDRESS.match(text)
        if found is None:  # a relative one
            return text
        return found[1] + (":///" if found[1] == "file" else "://") + text[found.end() :]

    def __fspath__(self) -> str:
        return str(self)

    @property
    def shard(self) -> tuple[Far, str] | None:
        """Of a shard's member: the shard, and the member's name in it."""
        for number, name in enumerate(self.parts[:-1], 1):
            if name.lower().endswith(SHARD):
                return Far(*self.parts[:number]), "/".join(self.parts[number:])
        return None

    @property
    def staged(self) -> Far:
        """Where its content is written: for a shard's member beside the shard, from where it is packed."""
        found = self.shard
        return self if found is None else Far(str(found[0]) + PARTS, found[1])

    def contents(self) -> bytes:
        """All bytes."""
        found = self.shard
        with _border(self, "read"):
            if found is None:
                system, path = _system(self)
                return bytes(system.cat_file(path))
            system, path = _system(found[0])
            if self.staged.is_file():  # newer than what the shard holds
                return self.staged.contents()
            span = _index(found[0]).get(found[1])
            if span is None:
                raise FileNotFoundError
            return bytes(system.cat_file(path, start=span[0], end=span[0] + span[1]))

    def open(self, mode: str = "r", *args: Any, **words: Any) -> IO[Any]:
        """Its content, to read bytes."""
        if mode != "rb":
            raise ValueError(f"{mode}: a file elsewhere is only read, as bytes; put() writes it")
        return io.BytesIO(self.contents())

    def stream(self) -> IO[bytes]:
        """Its content as a stream, of which no more is fetched than is read."""
        with _border(self, "read"):
            system, path = _system(self)
            opened: IO[bytes] = system.open(path, "rb")
            return opened

    def put(self, content: bytes, *, overwrite: bool = True) -> None:
        """Write it, whole or not at all."""
        target = self.staged
        if not overwrite and self.is_file():
            raise InputError(f"{self} exists: choose another name, or allow overwriting (--overwrite)")
        upload(content, target)

    def info(self) -> dict[str, Any] | None:
        """What the system reports of it; None where it is not there."""
        with _border(self, "looked up"):
            system, path = _system(self)
            try:
                return dict(system.info(path))
            except FileNotFoundError:
                return None

    def stamp(self) -> dict[str, Any]:
        """What distinguishes it from another file of the same name; empty if it is not there."""
        found = self.shard
        if found is None:
            info = self.info()
            return {} if info is None else {"bytes": info.get("size"), "mark": _mark(info)}
        info = found[0].info()
        if info is None:
            return {}
        span = _index(found[0]).get(found[1])
        return {} if span is None else {"bytes": span[1], "mark": _mark(info)}

    def is_file(self, **words: Any) -> bool:
        """Whether it is there, as a file; a shard's member also while it waits to be packed."""
        found = self.shard
        if found is not None:
            return self.staged.is_file() or (found[0].is_file() and found[1] in _index(found[0]))
        info = self.info()
        return info is not None and info["type"] == "file"

    def is_dir(self, **words: Any) -> bool:
        """Whether it is a folder. What bears a picture's suffix is a file: that saves a request for each."""
        if self.suffix.lower() in SUFFIXES:
            return False
        info = self.info()
        return info is not None and info["type"] == "directory"

    def exists(self, **words: Any) -> bool:
        """Whether anything is there."""
        return self.is_file() if self.shard is not None else self.info() is not None

    def mkdir(self, *args: Any, **words: Any) -> None:
        """Nothing: folders are made as files are written."""

    def remove(self) -> None:
        """Remove it with all below; what is not there is no error."""
        with _border(self, "removed"):
            system, path = _system(self)
            with contextlib.suppress(FileNotFoundError):
                system.rm(path, recursive=True)

    def names(self) -> dict[str, bool]:
        """What a folder or shard holds, each with whether it is a folder; nothing where it is not there."""
        members = self if self.name.lower().endswith(SHARD) else None
        found = (members, "") if members is not None else self.shard
        if found is not None:
            below = found[1] + "/" if found[1] else ""
            inside = _index(found[0]) if found[0].is_file() else {}
            return {name[len(below) :]: False for name in inside if name.startswith(below)}
        with _border(self, "listed"):
            system, path = _system(self)
            try:
                entries = system.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
            return {each["name"].rstrip("/").rpartition("/")[2]: each["type"] == "directory" for each in entries}

    def below(self) -> list[str]:
        """Every file below a folder, by its path from there, in order; of a glob, every match from its fixed part."""
        with _border(self, "listed"):
            system, path = _system(self)
            system.invalidate_cache()
            if any(sign in str(self) for sign in "*?["):
                root = _fixed(path)
                found = [name for name, info in system.glob(path, detail=True).items() if info["type"] == "file"]
            else:
                root, found = path, system.find(path)
            return sorted(name[len(root.rstrip("/")) + 1 :] for name in found)

    def check_writable(self) -> None:
        """That a file can be written here; leaves nothing behind."""
        found = self / "x" if self.name.lower().endswith(SHARD) else self
        folder = found.shard[0].parent if found.shard is not None else self
        probe = folder / f".retouche-{uuid.uuid4().hex}"
        probe.put(b"")
        with contextlib.suppress(RetoucheError):  # where files may be added but not removed
            probe.remove()


def upload(content: bytes | Path, target: Far) -> None:
    """Write bytes, or a local file's, whole or not at all, replacing what is there.

    Raises: InputError
    """
    with _border(target, "written"):
        system, path = _system(target)
        if _protocol(target) in ("file", "local"):
            with atomic_write(Path(path), parents=True) as temporary:
                if isinstance(content, bytes):
                    temporary.write_bytes(content)
                else:
                    shutil.copyfile(content, temporary)
            return
        whole = _protocol(target) in WHOLE
        written = path if whole else f"{path}.{uuid.uuid4().hex}.part"
        try:
            if not whole:
                system.makedirs(path.rpartition("/")[0], exist_ok=True)
            if isinstance(content, bytes):
                system.pipe_file(written, content)
            else:
                system.put_file(str(content), written)
            if not whole:
                system.mv(written, path)
        except BaseException:
            if not whole:
                with contextlib.suppress(Exception):
                    system.rm_file(written)
            raise


def fixed_part(address: Far) -> Far:
    """Of a glob: the folders before its first wildcard."""
    return Far(_fixed(str(address)))


def _fixed(path: str) -> str:
    return re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0]


def field_of(member: str) -> tuple[str, str]:
    """A member's sample and field: "train/a.mask.png" is "train/a" and "mask.png"."""
    folder, _, name = member.rpartition("/")
    key, _, field = name.partition(".")
    return f"{folder}/{key}" if folder else key, field.lower()


def members(shard: Far) -> list[str]:
    """The names of a shard's files, in its order."""
    return list(_index(shard))


def _protocol(far: Far) -> str:
    found = _ADDRESS.match(str(far))
    assert found is not None
    return found[1].lower()


def _system(far: Far) -> tuple[Any, str]:
    """The file system, and its own word for the path."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(f"{far} needs fsspec: pip install 'retouche[batch]'") from None
    system, path = url_to_fs(str(far))
    return system, str(path)


def _mark(info: Mapping[str, Any]) -> str | None:
    return next((str(info[key]) for key in _MARKS if info.get(key) is not None), None)


def _index(shard: Far) -> dict[str, tuple[int, int]]:
    info = shard.info()
    with _border(shard, "read"):
        if info is None:
            raise FileNotFoundError
        return _indexed(str(shard), _mark(info), info.get("size"))


@lru_cache(maxsize=8)
def _indexed(shard: str, mark: str | None, size: int | None) -> dict[str, tuple[int, int]]:
    """Where each file of a shard begins and how long it is; mark and size distinguish shards of one name."""
    system, path = _system(Far(shard))
    found = {}
    with system.open(path, "rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.isfile() and not member.issparse():
                        found[member.name.removeprefix("./")] = (member.offset_data, member.size)
        except tarfile.TarError as error:
            raise InputError(f"{shard} is no tar shard ({reason(error)}): write it without compression") from None
    return found


@contextlib.contextmanager
def _border(far: Far, doing: str) -> Iterator[None]:
    """Whatever a file system brings about, in one line with the remedy.

    Raises: InputError
    """
    try:
        yield
    except RetoucheError:
        raise
    except FileNotFoundError:
        raise InputError(f"{far} is not there: check the bucket and the name") from None
    except PermissionError as error:
        cause = f"access denied: {reason(error)}"
        raise InputError(
            f"{far} cannot be {doing} (access denied: {reason(error)}): check credentials and rights"
        ) from (None)
    except ImportError as error:  # the file system's own package
        raise InputError(f"{far} cannot be {doing} ({reason(error)}): pip install what it names") from None
    except Exception as error:  # each system has errors of its own
        cause = f"{type(error).__name__}: {reason(error)}"
        raise InputError(f"{far} cannot be {doing} ({cause}): check address, credentials and network") from None


def pictures_in(address: Far, suffixes: Sequence[str], *, masks: bool) -> tuple[list[tuple[Far, Path]], list[str]]:
    """The pictures that an address names: a folder's or glob's files, or a shard's samples.

    Args:
        suffixes: of pictures
        masks: of samples that hold a mask beside the picture, take that

    Returns: (file, its path below the folder) in order; and what was left out, by name
    """
    single = address.name.lower().endswith(SHARD) and not any(sign in str(address) for sign in "*?[")
    root = address.parent if single else address
    names = [address.name] if single else address.below()
    if any(sign in str(address) for sign in "*?["):
        root = fixed_part(address)
    shards = [name for name in names if name.lower().endswith(SHARD)]
    found, left = [], []
    for name in names:
        whole = root / name
        if name in shards or not name.lower().endswith(tuple(suffixes)) or not str(whole).endswith(name):
            if name not in shards and Path(name).name != "manifest.jsonl":
                left.append(name)
        elif not any(part.startswith(".") or part.endswith(PARTS) for part in Path(name).parts):
            found.append((whole, Path(name)))
    if found:
        return found, left + shards
    for name in shards:
        taken, rest = _samples(root / name, suffixes, masks=masks)
        found += [(root / name / member, Path(name) / called) for member, called in taken]
        left += [f"{name}/{member}" for member in rest]
    return found, left


def _samples(shard: Far, suffixes: Sequence[str], *, masks: bool) -> tuple[list[tuple[str, str]], list[str]]:
    """One file of each sample with the name it goes by, and samples that have none."""
    with _border(shard, "read"):
        inside = members(shard)
    taken: dict[str, tuple[str, str]] = {}
    keys = dict.fromkeys(field_of(member)[0] for member in inside)
    for wanted in ("mask", "picture") if masks else ("picture",):
        for member in inside:
            key, field = field_of(member)
            if key in taken:
                continue
            if wanted == "mask" and any(field == "mask" + suffix for suffix in suffixes):
                taken[key] = member, key + field.removeprefix("mask")
            elif wanted == "picture" and "." + field in suffixes:
                taken[key] = member, member
    return [taken[key] for key in keys if key in taken], [key for key in keys if key not in taken]

"""Which files a folder, a glob, a list or a word names; what is left out is counted and reported."""

from __future__ import annotations

import codecs
import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path

from retouche.errors import InputError
from retouche.folders.elsewhere import SHARD, Far, fixed_part, is_far, local_address, pictures_in
from retouche.folders.names import home, shown
from retouche.pictures.formats import SUFFIXES

FOREIGN_SUFFIXES = (".gif", ".jp2", ".psd", ".tga", ".ppm", ".pgm", ".dng", ".exr")
"""Pictures of kinds that are not read."""

OURS = ("manifest.jsonl",)  # what a batch leaves beside its outputs: nobody misses it


@dataclass(frozen=True)
class FoundFile:
    """One file and where it belongs below its folder."""

    path: Path
    relative: Path


@dataclass
class LeftOut:
    """What a search met and did not take, by kind; the first of each kind by name."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, name: str, count: int = 1) -> None:
        """Count one more of a kind."""
        self.counts[kind] += count
        self.first.setdefault(kind, name)

    def update(self, other: LeftOut) -> None:
        """Count what another search left out, too."""
        for kind, count in other.counts.items():
            self.add(kind, other.first[kind], count)

    def words(self) -> str | None:
        """All of it in one line; None if there is nothing."""
        if not self.counts:
            return None
        parts = (
            f"{count} {_plural(kind, count)} (first: {shown(self.first[kind])}){_REMEDIES.get(kind, '')}"
            for kind, count in self.counts.items()
        )
        return "left out: " + ", ".join(parts)


FOREIGN, OTHER, DANGLING, NO_FILE = "picture of a kind not read", "other file", "dangling link", "pipe or device"
HIDDEN, SEEN, CLOSED = "hidden entry", "linked folder that is met elsewhere", "folder that cannot be read"
CLOSED_FILE = "file that cannot be read"
_REMEDIES = {FOREIGN: ", convert to PNG"}
_PLURALS = {HIDDEN: "hidden entries", FOREIGN: "pictures of kinds not read", NO_FILE: "pipes or devices"}
_PLURALS |= {
    SEEN: "linked folders that are met elsewhere",
    CLOSED: "folders that cannot be read",
    CLOSED_FILE: "files that cannot be read",
}


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else _PLURALS.get(kind, f"{kind}s")


@dataclass(frozen=True)
class Sources:
    """What `--image` or `--mask` named.

    Attributes:
        pictures: in a stable order
        many: whether it may be many: a folder, glob, list file or several words
        folder: the folder that was named, if it was one
        lines: of a list file, every line's file in the list's order, also where one is named twice
        left_out: what was met and not taken
        remarks: what else a user should know
    """

    pictures: tuple[FoundFile, ...]
    many: bool
    folder: Path | None = None
    lines: tuple[Path, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)
    remarks: tuple[str, ...] = ()


def find(words: Sequence[str], flag: str, suffixes: Sequence[str] = SUFFIXES) -> Sources:
    """The pictures that a flag names.

    Args:
        words: files, folders, globs (`photos/*.png`, `photos/**/*.jpg`) or a list file (`.txt`, one path a line;
            relative paths are looked up beside the list, then in the current folder), here or elsewhere
            (`s3://bucket/photos/`); tar shards, or folders and globs of them
        flag: for the errors: "--image"
        suffixes: what counts as a picture in folders and globs

    Raises: InputError if something is missing or nothing is found
    """
    if len(words) == 1:
        return _find_one(words[0], flag, suffixes)
    found = [_find_one(word, flag, suffixes) for word in words]
    pictures = [source for sources in found for source in sources.pictures]
    if all(sources.folder is None for sources in found):  # `photos/*` that the shell has expanded
        pictures = _below_common_folder([source.path for source in pictures])
    left_out = LeftOut()
    for sources in found:
        left_out.update(sources.left_out)
    remarks = tuple(text for sources in found for text in sources.remarks)
    return Sources(_unique(pictures), many=True, left_out=left_out, remarks=remarks)


def _find_one(word: str, flag: str, suffixes: Sequence[str]) -> Sources:
    word = home(word)  # after `=` no shell expands it
    if is_far(word):
        return _far(Far(word), word, flag, suffixes)
    path = Path(word)
    if word.lower().endswith(SHARD) and (path.is_file() or glob.has_magic(word)):
        return _far(local_address(path), word, flag, suffixes)
    if path.is_dir():
        files, left_out = walk(path, suffixes)
        if not files and any(path.glob(f"*{SHARD}")):
            return _far(local_address(path), word, flag, suffixes)
        if not files:
            reason = f"; {skipped}" if (skipped := left_out.words()) else ""
            raise InputError(f"{flag} {word} holds no pictures ({' '.join(suffixes)}){reason}")
        return Sources(files, many=True, folder=path, left_out=left_out)
    if path.is_file():
        if path.suffix.lower() == ".txt":
            return _listed(path, flag)
        return Sources((FoundFile(path, Path(path.name)),), many=False)
    if glob.has_magic(word):
        pictures, left_out = _matching(word, suffixes)
        if not pictures:
            reason = f"; {skipped}" if (skipped := left_out.words()) else ""
            raise InputError(f"{flag} {word} matches no pictures{reason}")
        return Sources(pictures, many=True, left_out=left_out)
    if path.exists():
        raise InputError(f"{flag} {word} is neither a file nor a folder")
    raise InputError(f"{flag} {word} is not there: give a file, a folder, a glob or a list file (.txt)")


def _far(address: Far, word: str, flag: str, suffixes: Sequence[str]) -> Sources:
    """What an address names: one file, or what a folder, a glob or shards hold."""
    many = glob.has_magic(str(address))
    shard = address.name.lower().endswith(SHARD) and not many
    if not many and not shard and address.suffix.lower() in suffixes:
        if not address.is_file():
            raise InputError(f"{flag} {word} is not there: check the bucket and the name")
        return Sources((FoundFile(address, Path(address.name)),), many=False)
    found, left = pictures_in(address, suffixes, masks=flag == "--mask")
    left_out = LeftOut()
    for name in left:
        left_out.add(OTHER, name)
    if not found:
        reason = f"; {skipped}" if (skipped := left_out.words()) else ", or is not there"
        raise InputError(f"{flag} {word} holds no pictures ({' '.join(suffixes)}){reason}")
    folder = address.parent if shard else fixed_part(address) if many else address
    pictures = tuple(FoundFile(path, relative) for path, relative in found)
    return Sources(pictures, many=True, folder=folder, left_out=left_out)


# Folders --------------------------------------------------------------------------------------------------------------


def walk(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> tuple[tuple[FoundFile, ...], LeftOut]:
    """All files of these suffixes in a folder and its subfolders, in order of their names, without hidden ones.

    Links to folders are followed; a folder that is met twice, as in a loop, is entered once, and rather by its own
    name than by a link's.
    """
    left_out = LeftOut()
    found = []
    for relative, entry in _entries(folder, left_out):
        kind = None if _is_plain(entry, suffixes) else _unfit(entry.path, suffixes)
        if kind is None:
            found.append(FoundFile(folder / relative, Path(relative)))
        elif entry.name not in OURS:
            left_out.add(kind, relative)
    return tuple(sorted(found, key=lambda source: source.relative.parts)), left_out


def _entries(root: Path, left_out: LeftOut) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder that is no folder and not hidden, with its path below it."""
    seen: set[tuple[int, int]] = set()
    links: list[tuple[str, str]] = []
    waiting = [(str(root), "")]
    while waiting or links:
        path, below = waiting.pop() if waiting else links.pop(0)  # real folders first
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                left_out.add(SEEN, below)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            left_out.add(CLOSED, below or ".")
            continue
        for entry in inside:
            relative = os.path.join(below, entry.name)
            if entry.name.startswith("."):
                left_out.add(HIDDEN, relative)
            elif not _is_folder(entry):
                yield relative, entry
            elif entry.is_symlink():
                links.append((entry.path, relative))
            else:
                waiting.append((entry.path, relative))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _is_plain(entry: os.DirEntry[str], suffixes: Sequence[str]) -> bool:
    """Whether a folder's own entry shows that it is taken, as most do: no other question to the system."""
    return entry.is_file(follow_symlinks=False) and os.path.splitext(entry.name)[1].lower() in suffixes


def _unfit(path: str, suffixes: Sequence[str]) -> str | None:
    """Why an entry that is no folder is not taken; None if it is."""
    suffix = os.path.splitext(path)[1].lower()
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return DANGLING if os.path.islink(path) else CLOSED_FILE
    if suffix not in suffixes:
        return FOREIGN if suffix in FOREIGN_SUFFIXES else OTHER
    return None if stat.S_ISREG(mode) else NO_FILE


# Globs and lists ------------------------------------------------------------------------------------------------------


def _matching(word: str, suffixes: Sequence[str]) -> tuple[tuple[FoundFile, ...], LeftOut]:
    """The pictures that a pattern matches, relative to the folders before its first wildcard."""
    root = _fixed_part(word)
    left_out = LeftOut()
    if "**" in Path(word).parts:
        fits = _pattern(Path(word).parts[len(root.parts) :])
        names = [relative for relative, _ in _entries(root, LeftOut()) if fits(relative)]
        paths = sorted((root / name for name in names), key=lambda path: path.parts)
    else:
        paths = sorted(Path(name) for name in glob.glob(word))
    found = []
    for path in paths:
        if path.is_dir():
            continue
        kind = _unfit(str(path), suffixes)
        if kind is None:
            found.append(FoundFile(path, path.relative_to(root)))
        elif path.name not in OURS:
            left_out.add(kind, str(path.relative_to(root)))
    return tuple(found), left_out


def _fixed_part(word: str) -> Path:
    """The folders before the first wildcard."""
    fixed = []
    for part in Path(word).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _pattern(parts: Sequence[str]) -> Callable[[str], bool]:
    """Whether a relative path fits a pattern in which ** stands for any number of folders."""

    def fits(names: Sequence[str], wanted: Sequence[re.Pattern[str] | None]) -> bool:
        if not wanted:
            return not names
        if wanted[0] is None:
            return any(fits(names[start:], wanted[1:]) for start in range(len(names) + 1))
        return bool(names) and wanted[0].match(names[0]) is not None and fits(names[1:], wanted[1:])

    wanted = [None if part == "**" else re.compile(translate(part)) for part in parts]
    if wanted[-1] is None:
        wanted.append(re.compile(""))  # `photos/**` is everything below
    return lambda relative: fits(relative.split(os.sep), wanted)


def _listed(path: Path, flag: str) -> Sources:
    """A list file's pictures. What names a file is a path, whatever it begins with; other lines with # are comments."""
    try:
        lines = list_lines(path)
    except ValueError as error:
        raise InputError(f"{flag} {path} is no list: {error}") from None
    files: list[Path] = []
    names: list[str] = []
    comments = 0
    for given in lines:
        file = _named(path.parent, given)
        if file is None and given.lstrip().startswith("#"):
            comments += 1
        elif file is None:
            raise InputError(f"{flag} {path}: {given.strip()} (entry {len(files) + 1}) is not there")
        else:
            files.append(file[0])
            names.append(file[1])
    remarks = (f"{path}: {comments} {'line' if comments == 1 else 'lines'} taken as comment",) if comments else ()
    if not files:
        first_remark = f" ({remarks[0]})" if remarks else ""
        raise InputError(f"{flag} {path} lists nothing{first_remark}: write one path a line")
    if all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in names):
        pictures = [FoundFile(file, Path(name)) for file, name in zip(files, names, strict=True)]
    else:
        pictures = _below_common_folder(files)
    return Sources(_unique(pictures), many=True, lines=tuple(files), remarks=remarks)


def list_lines(path: Path) -> list[str]:
    """The lines of a list file that are not blank, as file names.

    Lines end in a newline, or in NUL where one occurs (`find -print0`): so that any name can be listed.

    Raises: ValueError, in words, for a file that holds no such text
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("give a text file with one path a line (UTF-8)")
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\0") if b"\0" in content else [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [given for given in map(os.fsdecode, lines) if given.strip()]


def _named(beside: Path, given: str) -> tuple[Path, str] | None:
    """The file that a line names, beside the list or in the current folder, and the line's words for it."""
    if is_far(given.strip()):
        address = Far(given.strip())
        return address, address.name
    for name in dict.fromkeys((given, given.strip())):
        for file in (beside / name, Path(name)):
            try:
                if file.is_file():
                    return file, name
            except (OSError, ValueError):  # longer than any name
                continue
    return None


def _below_common_folder(files: Sequence[Path]) -> list[FoundFile]:
    absolute = [Path(os.path.abspath(file)) for file in files]
    try:
        common = Path(os.path.commonpath([file.parent for file in absolute]))
    except ValueError:  # several drives
        return [FoundFile(file, Path(file.name)) for file in files]
    return [FoundFile(file, whole.relative_to(common)) for file, whole in zip(files, absolute, strict=True)]


def _unique(sources: Iterable[FoundFile]) -> tuple[FoundFile, ...]:
    return tuple({os.path.abspath(source.path): source for source in sources}.values())

"""Which picture is filled with which mask and written where: all of it settled before the first fill.

Paths only; nothing is decoded and torch is not needed.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from retouche.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
"""What is read and written, and what counts as a picture in a folder; a file named outright may have any suffix."""

FOREIGN_SUFFIXES = (".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".tga", ".ppm", ".pgm", ".dng", ".exr")
"""Pictures of kinds that are not read: left out of a folder with a remark."""

ALPHA = "alpha"
"""The word that stands for "the hole is where the picture is transparent" """

Mask = Path | None
"""A mask's file; None = the picture's alpha."""


@dataclass(frozen=True)
class Source:
    """One picture and where it belongs below its folder."""

    path: Path
    relative: Path


@dataclass(frozen=True)
class Sources:
    """What `--image` or `--mask` named.

    Attributes:
        pictures: in a stable order
        many: whether it may be many: a folder, glob, list file or several words
        folder: the folder that was named, if it was one
        is_list: whether it was a list file, whose lines have an order of their own
        left_out: pictures in the folder of kinds that are not read
    """

    pictures: tuple[Source, ...]
    many: bool
    folder: Path | None = None
    is_list: bool = False
    left_out: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Job:
    """One fill: the files to read and the file to write."""

    image: Path
    mask: Mask
    output: Path
    sketch: Path | None = None
    structure: Path | None = None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that are read."""
        return tuple(path for path in (self.image, self.mask, self.sketch, self.structure) if path is not None)


@dataclass(frozen=True)
class Plan:
    """All jobs of one command.

    Attributes:
        jobs: at least one
        folder: where a batch writes and keeps its manifest; None for a single picture
        remarks: what a user should know about the pairing
    """

    jobs: tuple[Job, ...]
    folder: Path | None
    remarks: tuple[str, ...] = ()


def find(words: Sequence[str], flag: str) -> Sources:
    """The pictures that a flag names.

    Args:
        words: files, folders, globs (`photos/*.png`, `photos/**/*.jpg`) or a list file (`.txt`, one path a line;
            relative paths are looked up beside the list, then in the current folder)
        flag: for the errors: "--image"

    Raises: InputError if something is missing or nothing is found
    """
    if len(words) == 1:
        return _find_one(words[0], flag)
    found = [_find_one(word, flag) for word in words]
    pictures = [source for sources in found for source in sources.pictures]
    if all(sources.folder is None for sources in found):  # `photos/*` that the shell has expanded
        pictures = _below_common_folder([source.path for source in pictures])
    return Sources(_unique(pictures), many=True)


def _find_one(word: str, flag: str) -> Sources:
    if word.startswith("~"):  # after `=` no shell expands it
        word = os.path.expanduser(word)
    path = Path(word)
    if path.is_dir():
        pictures = tuple(Source(file, file.relative_to(path)) for file in _files_in(path, SUFFIXES))
        if not pictures:
            raise InputError(f"{flag} {word} holds no pictures ({' '.join(SUFFIXES)})")
        return Sources(pictures, many=True, folder=path, left_out=tuple(_files_in(path, FOREIGN_SUFFIXES)))
    if path.is_file():
        if path.suffix.lower() == ".txt":
            return Sources(_listed(path, flag), many=True, is_list=True)
        return Sources((Source(path, Path(path.name)),), many=False)
    if glob.has_magic(word):
        root = _fixed_part(word)
        files = sorted(Path(name) for name in glob.glob(word, recursive=True))
        pictures = tuple(
            Source(file, file.relative_to(root)) for file in files if file.suffix.lower() in SUFFIXES and file.is_file()
        )
        if not pictures:
            raise InputError(f"{flag} {word} matches no pictures")
        return Sources(pictures, many=True)
    if path.exists():
        raise InputError(f"{flag} {word} is neither a file nor a folder")
    raise InputError(f"{flag} {word} is not there: give a file, a folder, a glob or a list file (.txt)")


def _files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """All files of these suffixes in a folder and its subfolders, in order, without hidden ones."""
    files = (file for file in folder.rglob("*") if file.suffix.lower() in suffixes and file.is_file())
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def _fixed_part(word: str) -> Path:
    """The folders before the first wildcard."""
    fixed = []
    for part in Path(word).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _listed(path: Path, flag: str) -> tuple[Source, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{flag} {path} is no list: give a text file with one path a line (UTF-8)") from None
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise InputError(f"{flag} {path} lists nothing: write one path a line")
    files = []
    for number, name in enumerate(names, 1):
        beside = path.parent / name
        file = beside if beside.is_file() else Path(name)
        if not file.is_file():
            raise InputError(f"{flag} {path}: {name} (entry {number}) is not there")
        files.append(file)
    if all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in names):
        return _unique(Source(file, Path(name)) for file, name in zip(files, names, strict=True))
    return _unique(_below_common_folder(files))


def _below_common_folder(files: Sequence[Path]) -> list[Source]:
    absolute = [Path(os.path.abspath(file)) for file in files]
    try:
        common = Path(os.path.commonpath([file.parent for file in absolute]))
    except ValueError:  # several drives
        return [Source(file, Path(file.name)) for file in files]
    return [Source(file, whole.relative_to(common)) for file, whole in zip(files, absolute, strict=True)]


def _unique(sources: Iterable[Source]) -> tuple[Source, ...]:
    return tuple({os.path.abspath(source.path): source for source in sources}.values())


def plan(
    image: Sequence[str],
    mask: Sequence[str],
    output: str,
    *,
    sketch: str | None = None,
    structure: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    suffix: str | None = None,
) -> Plan:
    """Pair pictures with masks and outputs, and check all that can be checked before anything is filled.

    Args:
        image: the words of `--image`
        mask: the words of `--mask`; none, or the one word "alpha", for the pictures' own alpha
        output: a file; a folder if it exists as one, ends in a slash, has no suffix, or the input is many
        sketch: a file or folder
        structure: a file or folder
        overwrite: an existing file may be replaced
        resume: an existing output belongs to the batch that is resumed
        suffix: what files in a folder of outputs end in; None = as their pictures

    Raises: InputError naming what is missing, unmatched, in the way or not writable
    """
    remarks: list[str] = []
    if not image:
        raise InputError("--image names nothing: give a file, a folder, a glob or a list file (.txt)")
    pictures = find(image, "--image")
    masks = None if not mask or list(mask) == [ALPHA] else find(mask, "--mask")
    if pictures.left_out:
        remarks.append(
            f"{len(pictures.left_out)} files under --image are of kinds not read (first: "
            f"{pictures.left_out[0]}): left out; convert them to PNG"
        )
    to_folder = pictures.many or _is_folder(output, remarks)
    if pictures.many and Path(output).is_file():
        raise InputError(f"--output {output} is a file but --image is many pictures: give a folder")
    target = Path(os.path.expanduser(output))
    if masks is not None and masks.many and not pictures.many:
        raise InputError(
            f"--mask {' '.join(mask)} is {'a folder' if masks.folder else 'many masks'} but --image is one picture: "
            "give the one mask that belongs to it"
        )
    inputs = _without_masks_and_outputs(pictures, masks, target if to_folder else None, remarks)
    pairs = _pair(inputs, masks)
    sketches = _guides(inputs, sketch, "sketch", pictures.many, remarks)
    structures = _guides(inputs, structure, "structure", pictures.many, remarks)
    kept = [source.relative if suffix is None else source.relative.with_suffix(suffix) for source in inputs]
    outputs = [target / name if to_folder else target for name in kept]
    jobs = tuple(
        Job(source.path, pair, written, sketches[number], structures[number])
        for number, (source, pair, written) in enumerate(zip(inputs, pairs, outputs, strict=True))
    )
    _check_outputs(jobs, overwrite=overwrite, resume=resume and pictures.many)
    return Plan(jobs, target if pictures.many else None, tuple(remarks))


def _is_folder(output: str, remarks: list[str]) -> bool:
    path = Path(output)
    if output.endswith(("/", os.sep)) or path.is_dir():
        return True
    if not path.suffix and not path.exists():
        remarks.append(f"--output {output} has no suffix, so it is taken as a folder")
        return True
    return False


def _without_masks_and_outputs(
    pictures: Sources, masks: Sources | None, output: Path | None, remarks: list[str]
) -> tuple[Source, ...]:
    """The pictures to fill: not the masks, and not an earlier run's outputs, that lie in the same folder."""
    if not pictures.many:
        return pictures.pictures
    whole = {os.path.abspath(source.path): source for source in pictures.pictures}
    belong = _paths(masks)
    names = {(source.path.parent, source.path.stem) for source in pictures.pictures}
    inside = None
    if output is not None and pictures.folder is not None:
        target = Path(os.path.abspath(output))
        inside = target if Path(os.path.abspath(pictures.folder)) in target.parents else None
    kept = []
    for path, source in whole.items():
        if inside is not None and inside in Path(path).parents:
            continue
        if path in belong:
            # masks among pictures: if not all are masks, none of the masks is filled; if all are (one folder for
            # both), `a.jpg` is a picture and `a_mask.png` its mask
            base = re.fullmatch(r"(.+)_mask\d*", source.path.stem)
            if not belong.issuperset(whole) or (base is not None and (source.path.parent, base[1]) in names):
                continue
        kept.append(source)
    left = len(whole) - len(kept)
    if left:
        remarks.append(f"{left} of {len(whole)} files under --image are masks or outputs: not filled")
    if not kept:
        raise InputError("--image holds only masks or outputs: give the folder of the pictures to fill")
    return tuple(kept)


def _paths(sources: Sources | None) -> set[str]:
    return set() if sources is None else {os.path.abspath(source.path) for source in sources.pictures}


def _pair(inputs: Sequence[Source], masks: Sources | None) -> list[Mask]:
    if masks is None:
        return [None] * len(inputs)
    if not masks.many:
        return [masks.pictures[0].path] * len(inputs)
    # where one folder holds both, only the suffix tells a mask
    together = not _paths(masks).isdisjoint(os.path.abspath(source.path) for source in inputs)
    found = _partners(inputs, masks.pictures, "mask", by_stem=not together)
    missing = [source for source, mask in zip(inputs, found, strict=True) if mask is None]
    if masks.is_list and len(masks.pictures) == len(inputs) and len(missing) == len(inputs):
        return [source.path for source in masks.pictures]  # no name fits: two lists, line by line
    if missing:
        first = missing[0].path
        raise InputError(
            f"{len(missing)} of {len(inputs)} pictures have no mask (first: {first}): "
            f"name it {first.stem}.png or {first.stem}_mask.png, or give one mask for all"
        )
    return list(found)


def _partners(
    inputs: Sequence[Source], candidates: Sequence[Source], kind: str, *, by_stem: bool = True
) -> list[Path | None]:
    """For each input the candidate of the same stem, or with the suffix `_mask`; its own subfolder goes first.

    Raises: InputError if two fit equally
    """
    named: dict[str, list[Source]] = {}
    suffixed: dict[str, list[Source]] = {}
    for one in candidates:
        named.setdefault(one.relative.stem, []).append(one)
        if base := re.fullmatch(rf"(.+)_{kind}\d*", one.relative.stem):
            suffixed.setdefault(base[1], []).append(one)
    return [_partner(source, [named, suffixed] if by_stem else [suffixed], kind) for source in inputs]


def _partner(source: Source, indices: Sequence[dict[str, list[Source]]], kind: str) -> Path | None:
    stem, own = source.relative.stem, os.path.abspath(source.path)
    for nearby in (True, False):
        for index in indices:
            fits = [
                one.path
                for one in index.get(stem, ())
                if (one.relative.parent == source.relative.parent) is nearby and os.path.abspath(one.path) != own
            ]
            if len(fits) > 1:
                raise InputError(f"{source.path} has {len(fits)} {kind}s ({fits[0]}, {fits[1]}): keep one of them")
            if fits:
                return fits[0]
    return None


def _guides(inputs: Sequence[Source], word: str | None, kind: str, many: bool, remarks: list[str]) -> list[Path | None]:
    """A sketch or structure picture for each input; a picture of a batch may have none."""
    if word is None:
        return [None] * len(inputs)
    found = find([word], f"--{kind}")
    if not found.many:
        return [found.pictures[0].path] * len(inputs)
    if not many:
        raise InputError(f"--{kind} {word} is a folder but --image is one picture: give the one {kind} file")
    partners = _partners(inputs, found.pictures, kind)
    missing = partners.count(None)
    if missing == len(inputs):
        raise InputError(f"no picture has a {kind} in {word}: name each like its picture, or NAME_{kind}.png")
    if missing:
        remarks.append(f"{missing} of {len(inputs)} pictures have no {kind} in {word}: filled without")
    return partners


def _check_outputs(jobs: Sequence[Job], *, overwrite: bool, resume: bool) -> None:
    inputs = {os.path.realpath(path): path for job in jobs for path in job.inputs}
    written: dict[str, Job] = {}
    existing: list[Path] = []
    for job in jobs:
        real = os.path.realpath(job.output)
        if real in written:
            raise InputError(f"{written[real].image} and {job.image} would both be written to {job.output}: rename one")
        written[real] = job
        if real in inputs and not (overwrite and real == os.path.realpath(job.image)):
            kind = "its own input" if real == os.path.realpath(job.image) else f"an input, {inputs[real]}"
            remedy = "say --overwrite to replace it, or give another --output"
            if real != os.path.realpath(job.image):
                remedy = "give another --output"
            raise InputError(f"--output {job.output} is {kind}: {remedy}")
        if job.output.suffix.lower() not in SUFFIXES:
            raise InputError(f"--output {job.output} has no suffix of a picture known here: use {' '.join(SUFFIXES)}")
        if job.output.is_dir():
            raise InputError(f"--output {job.output} is a folder: give a file, or the folder with a slash at its end")
        if job.output.exists():
            existing.append(job.output)
    if existing and not overwrite and not resume:
        what = str(existing[0]) if len(existing) == 1 else f"{existing[0]} and {len(existing) - 1} more"
        go_on = "--resume to keep what is done, " if len(jobs) > 1 else ""
        raise InputError(f"{what} would be overwritten: say {go_on}--overwrite to replace, or give another --output")
    for folder in dict.fromkeys(job.output.parent for job in jobs):
        check_writable(folder)


def check_writable(folder: Path) -> None:
    """That files can be made in a folder, or in the nearest one above it that exists; leaves nothing behind.

    Raises: InputError
    """
    there = Path(os.path.abspath(folder))
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise InputError(f"--output {folder} cannot be made: {there} is a file")
    try:
        if there == Path(os.path.abspath(folder)):
            with tempfile.TemporaryFile(dir=there):
                pass
        else:
            os.rmdir(tempfile.mkdtemp(prefix=".retouche-", dir=there))
    except OSError as error:
        reason = os.strerror(error.errno or errno.EACCES)
        raise InputError(f"--output {folder} cannot be written ({reason}): give another folder") from None

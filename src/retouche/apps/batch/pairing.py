"""Which picture is filled with which mask and written where: all of it settled before the first fill.

Paths only; nothing is decoded and torch is not needed.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retouche.apps.batch.pipes import STDIN, STDOUT, is_pipe
from retouche.errors import InputError
from retouche.folders.elsewhere import Far, local_address, place
from retouche.folders.finding import FoundFile, Sources, find
from retouche.folders.names import RealFolders, home
from retouche.folders.pairing import Pairs, pair
from retouche.pictures.formats import PAGED_SUFFIXES, SUFFIXES
from retouche.runners.work import Job

ALPHA = "alpha"
"""The word that stands for "the hole is where the picture is transparent" """


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
    pipes: bool = False,
    pages: bool = False,
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
        suffix: what follows the stem of files in a folder of outputs, ".png", "_edge.png"; None = as their pictures
        pipes: picture, mask and output may be pipes, "-" among them; then they are one each
        pages: files may hold several pages or frames

    Raises: InputError naming what is missing, unmatched, in the way or not writable
    """
    remarks: list[str] = []
    if not image:
        raise InputError("--image names nothing: give a file, a folder, a glob or a list file (.txt)")
    suffixes = PAGED_SUFFIXES if pages else SUFFIXES
    pictures = _find(image, "--image", pipes, suffixes)
    masks = None if not mask or list(mask) == [ALPHA] else _find(mask, "--mask", pipes, suffixes)
    for flag, found in (("--image", pictures), ("--mask", masks)):
        remarks += [] if found is None else _found_words(flag, found)
    to_pipe = pipes and is_pipe(output, STDOUT)
    to_folder = not to_pipe and (pictures.many or _is_folder(output, remarks))
    if pictures.many and (to_pipe or place(output).is_file()):
        raise InputError(
            f"--output {output} is a {'pipe' if to_pipe else 'file'} but --image is many pictures: give a folder"
        )
    target = place(home(output))
    if any(isinstance(source.path, Far) and source.path.shard for source in pictures.pictures):
        target = local_address(target)  # what comes from shards goes into shards
    if pipes and not pictures.many and to_folder and is_pipe(pictures.pictures[0].path, STDIN):
        raise InputError(f"--output {output} is a folder but --image is a pipe, which has no name: give a file, or -")
    if pipes and pictures.many and masks is not None and not masks.many and is_pipe(masks.pictures[0].path, STDIN):
        raise InputError(f"--mask {masks.pictures[0].path} is a pipe but --image is many pictures: save it as a file")
    if masks is not None and masks.many and not pictures.many:
        raise InputError(
            f"--mask {' '.join(mask)} is {'a folder' if masks.folder else 'many masks'} but --image is one picture: "
            "give the one mask that belongs to it"
        )
    inputs = _without_masks_and_outputs(pictures, masks, target if to_folder else None, remarks)
    pairs = _pair(inputs, masks, pictures, remarks)
    sketches = _guides(inputs, sketch, "sketch", pictures.many, remarks)
    structures = _guides(inputs, structure, "structure", pictures.many, remarks)
    kept = [
        source.relative if suffix is None else source.relative.with_name(source.relative.stem + suffix)
        for source in inputs
    ]
    outputs = [target / name if to_folder else target for name in kept]
    jobs = tuple(
        Job(source.path, pair, written, sketches[number], structures[number])
        for number, (source, pair, written) in enumerate(zip(inputs, pairs, outputs, strict=True))
    )
    if not to_pipe:
        _check_outputs(jobs, suffixes, overwrite=overwrite, resume=resume and pictures.many)
    return Plan(jobs, target if pictures.many else None, tuple(remarks))


def _find(words: Sequence[str], flag: str, pipes: bool, suffixes: Sequence[str]) -> Sources:
    """As `find`; one word may be a pipe."""
    if not pipes or not any(is_pipe(word, STDIN) for word in words):
        return find(words, flag, suffixes)
    if len(words) > 1:
        raise InputError(f"{flag} names a pipe among other files: give the pipe alone, or save it as a file")
    return Sources((FoundFile(Path(words[0]), Path(words[0])),), many=False)


def _is_folder(output: str, remarks: list[str]) -> bool:
    path = place(output)
    if output.endswith(("/", os.sep)) or path.is_dir():
        return True
    if not path.suffix and not path.exists():
        remarks.append(f"--output {output} has no suffix, so it is taken as a folder")
        return True
    return False


def absolute(planned: Plan) -> Plan:
    """The same plan for processes that stand in other folders."""

    def whole(path: Path | None) -> Any:
        return path if path is None or isinstance(path, Far) else Path(os.path.abspath(path))

    jobs = tuple(
        replace(job, **{name: whole(getattr(job, name)) for name in ("image", "mask", "output", "sketch", "structure")})
        for job in planned.jobs
    )
    return Plan(jobs, whole(planned.folder), planned.remarks)


def _found_words(flag: str, found: Sources) -> list[str]:
    """What a user should know of a search."""
    left_out = found.left_out.words()
    return [*(f"{flag} {text}" for text in found.remarks), *([] if left_out is None else [f"{flag}: {left_out}"])]


def _without_masks_and_outputs(
    pictures: Sources, masks: Sources | None, output: Path | None, remarks: list[str]
) -> tuple[FoundFile, ...]:
    """The pictures to fill: not the masks, and not an earlier run's outputs, that lie in the same folder."""
    if not pictures.many:
        return pictures.pictures
    real = RealFolders()
    whole = {real.of(source.path): source for source in pictures.pictures}
    belong = set() if masks is None else {real.of(source.path) for source in masks.pictures}
    names = {(source.path.parent, source.path.stem) for source in pictures.pictures}
    inside = None
    if output is not None and pictures.folder is not None:
        target = os.path.realpath(output)
        folder = os.path.realpath(pictures.folder)
        inside = target + os.sep if target != folder and Path(folder) in Path(target).parents else None
    kept = []
    for path, source in whole.items():
        if inside is not None and path.startswith(inside):
            continue
        if path in belong:
            # masks among pictures: if not all are masks, none of the masks is filled; if all are (one folder for
            # both), `a.jpg` is a picture and `a_mask.png` its mask
            base = re.fullmatch(r"(.+)_mask\d*", source.path.stem, re.DOTALL)
            if not belong.issuperset(whole) or (base is not None and (source.path.parent, base[1]) in names):
                continue
        kept.append(source)
    left = len(whole) - len(kept)
    if left:
        remarks.append(f"{left} of {len(whole)} files under --image are masks or outputs: not filled")
    if not kept:
        raise InputError("--image holds only masks or outputs: give the folder of the pictures to fill")
    return tuple(kept)


def _pair(
    inputs: Sequence[FoundFile], masks: Sources | None, pictures: Sources, remarks: list[str]
) -> list[Path | None]:
    if masks is None:
        return [None] * len(inputs)
    if not masks.many:
        return [masks.pictures[0].path] * len(inputs)
    # where one folder holds both, only the suffix identifies a mask
    real = RealFolders()
    together = not {real.of(source.path) for source in masks.pictures}.isdisjoint(
        real.of(source.path) for source in inputs
    )
    pairs = pair(inputs, masks.pictures, "mask", by_stem=not together)
    missing = [source for source, mask in zip(inputs, pairs.found, strict=True) if mask is None]
    if len(missing) == len(inputs) and len(masks.lines) == len(pictures.lines) > 0:
        by_line: dict[str, Path] = {}
        for picture, mask in zip(pictures.lines, masks.lines, strict=True):
            if by_line.setdefault(os.path.abspath(picture), mask) != mask:
                raise InputError(f"--image lists {picture} twice, beside two masks: name it once")
        remarks.append("no name of one list fits one of the other: paired line by line")
        return [by_line[os.path.abspath(source.path)] for source in inputs]
    if missing:
        first = missing[0].path
        raise InputError(
            f"{len(missing)} of {len(inputs)} pictures have no mask (first: {first}{_elsewhere(missing[0], masks)}): "
            f"name it {first.stem}.png or {first.stem}_mask.png, or give one mask for all"
        )
    _note_pairs(pairs, "mask", remarks, together)
    return list(pairs.found)


def _elsewhere(picture: FoundFile, masks: Sources) -> str:
    """Where the mask lies that a user may have meant, but which is another subfolder's."""
    there = [mask.path for mask in masks.pictures if mask.path.stem == picture.path.stem]
    return f"; {there[0]} is of another folder: mirror the pictures' subfolders" if there else ""


def _note_pairs(pairs: Pairs, kind: str, remarks: list[str], together: bool = False) -> None:
    remarks += pairs.remarks
    if pairs.unused and not together:
        count = len(pairs.unused)
        what = f"1 {kind} belongs" if count == 1 else f"{count} {kind}s belong"
        remarks.append(f"{what} to no picture (first: {pairs.unused[0].path})")


def _guides(
    inputs: Sequence[FoundFile], word: str | None, kind: str, many: bool, remarks: list[str]
) -> list[Path | None]:
    """A sketch or structure picture for each input; a picture of a batch may have none."""
    if word is None:
        return [None] * len(inputs)
    found = find([word], f"--{kind}")
    if not found.many:
        return [found.pictures[0].path] * len(inputs)
    if not many:
        raise InputError(f"--{kind} {word} is a folder but --image is one picture: give the one {kind} file")
    remarks += _found_words(f"--{kind}", found)
    pairs = pair(inputs, found.pictures, kind)
    missing = pairs.found.count(None)
    if missing == len(inputs):
        raise InputError(f"no picture has a {kind} in {word}: name each like its picture, or NAME_{kind}.png")
    if missing:
        remarks.append(f"{missing} of {len(inputs)} pictures have no {kind} in {word}: filled without")
    _note_pairs(pairs, kind, remarks)
    return list(pairs.found)


def _check_outputs(jobs: Sequence[Job], suffixes: Sequence[str], *, overwrite: bool, resume: bool) -> None:
    real = _RealFiles()
    inputs = {real.of(path): path for path in dict.fromkeys(path for job in jobs for path in job.inputs)}
    written: dict[str, Job] = {}
    existing: list[Path] = []
    for job in jobs:
        target = real.of(job.output)
        if target in written:
            raise InputError(
                f"{written[target].image} and {job.image} would both be written to {job.output}: rename one"
            )
        written[target] = job
        if target in inputs:
            itself = target == real.of(job.image)
            if not (overwrite and itself):
                kind = "its own input" if itself else f"an input, {inputs[target]}"
                remedy = "say --overwrite to replace it, or " if itself else ""
                raise InputError(f"--output {job.output} is {kind}: {remedy}give another --output")
        if job.output.suffix.lower() not in suffixes:
            frames = "retouche run --pages all (frames of a GIF), or " if job.output.suffix.lower() == ".gif" else ""
            raise InputError(
                f"--output {job.output} has no suffix of a picture known here: use {frames}{' '.join(suffixes)}"
            )
        if real.is_folder(job.output):
            raise InputError(f"--output {job.output} is a folder: give a file, or the folder with a slash at its end")
        if real.exists(job.output):
            existing.append(job.output)
    if existing and not overwrite and not resume:
        what = str(existing[0]) if len(existing) == 1 else f"{existing[0]} and {len(existing) - 1} more"
        go_on = "--resume to keep what is done, " if len(jobs) > 1 else ""
        raise InputError(f"{what} would be overwritten: say {go_on}--overwrite to replace, or give another --output")
    folders = list(dict.fromkeys(job.output.parent for job in jobs))
    for folder in [folder for folder in folders if not isinstance(folder, Far)] or [min(folders, key=_depth)]:
        check_writable(folder)  # elsewhere once: it is a request, and there are no folders


class _RealFiles:
    """What is asked of very many paths, each folder read once: what is there, and where links lead."""

    def __init__(self) -> None:
        self._folders = RealFolders()
        self._inside: dict[str, dict[str, bool]] = {}  # folder -> name -> whether it is a link or a folder

    def _entry(self, path: Path) -> bool | None:
        folder, name = os.path.split(path)
        if folder not in self._inside:
            try:
                if isinstance(path, Far):
                    self._inside[folder] = path.parent.names()
                    return self._inside[folder].get(name)
                with os.scandir(folder or ".") as entries:
                    self._inside[folder] = {entry.name: entry.is_symlink() or entry.is_dir() for entry in entries}
            except OSError:  # not there yet, or longer than any path: that picture fails alone
                self._inside[folder] = {}
        return self._inside[folder].get(name)

    def of(self, path: Path) -> str:
        """As `os.path.realpath`."""
        return os.path.realpath(path) if not isinstance(path, Far) and self._entry(path) else self._folders.of(path)

    def is_folder(self, path: Path) -> bool:
        return bool(self._entry(path)) and path.is_dir()

    def exists(self, path: Path) -> bool:
        entry = self._entry(path)
        return entry is not None and (not entry or path.exists())


def _depth(folder: Path) -> int:
    return len(folder.parts)


def check_writable(folder: Path) -> None:
    """That files can be made in a folder, or in the nearest one above it that exists; leaves nothing behind.

    Raises: InputError
    """
    if isinstance(folder, Far):
        folder.check_writable()
        return
    there = Path(os.path.abspath(folder))
    while not os.path.exists(there):  # false also for what is longer than any path
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

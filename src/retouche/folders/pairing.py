"""Which mask, sketch or other companion belongs to which picture, by name alone and without a guess."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from retouche.errors import DataError, InputError
from retouche.folders.finding import FoundFile, walk
from retouche.folders.names import LEVELS, RealFolders

Level = Callable[[str], str]

NAMED = {"sketch": ("sketch", "edge")}
"""Suffixes of a kind's files, where these are not the kind alone; `_edge` is what guided DeepFill calls them."""


@dataclass(frozen=True)
class Pairs:
    """What belongs to what.

    Attributes:
        found: for each input its partner, or None
        unused: candidates that belong to no input
        remarks: what a user should know
    """

    found: tuple[Path | None, ...]
    unused: tuple[FoundFile, ...] = ()
    remarks: tuple[str, ...] = ()


def pair(inputs: Sequence[FoundFile], candidates: Sequence[FoundFile], kind: str, *, by_stem: bool = True) -> Pairs:
    """For each input the candidate of its own subfolder with its stem, or with its stem and the suffix `_KIND`.

    Another folder's file is taken only where all files of one side lie flat in one folder, where the folders' own names
    do not speak against it, and where no other input has the same claim: cameras reuse numbers. Names that differ only
    in Unicode's forms of a letter, or in upper and lower case, are one name where that leaves a single pair.

    Args:
        inputs: the pictures
        candidates: what may belong to them; one that is an input itself does not belong to itself
        kind: "mask", "sketch", ...: the suffix, and the word of errors
        by_stem: whether the same stem suffices, or the suffix is needed (pictures and masks in one folder)

    Raises: InputError if two candidates, or two inputs, have the same claim
    """
    match = _Match(inputs, candidates, kind, by_stem)
    for level in LEVELS:
        match.claim(level, crossing=False)
    mirrored = len(match.partner)
    flat = [all(len(source.relative.parts) == 1 for source in side) for side in (inputs, candidates)]
    if any(flat) and not all(flat):
        for level in LEVELS:
            match.claim(level, crossing=True)
    remarks = []
    if crossed := len(match.partner) - mirrored:
        what = f"1 {kind} was" if crossed == 1 else f"{crossed} {kind}s were"
        side = "the pictures lie" if flat[0] else f"the {kind}s lie"
        remarks.append(f"{what} taken from another subfolder than the picture's, since {side} flat")
    found = [match.partner.get(number) for number in range(len(inputs))]
    return Pairs(
        tuple(None if number is None else candidates[number].path for number in found),
        tuple(source for number, source in enumerate(candidates) if number not in match.taken),
        tuple(remarks),
    )


class _Match:
    """What has found its partner so far, by numbers of inputs and candidates."""

    def __init__(self, inputs: Sequence[FoundFile], candidates: Sequence[FoundFile], kind: str, by_stem: bool) -> None:
        self.inputs, self.candidates, self.kind = inputs, candidates, kind
        self.partner: dict[int, int] = {}
        self.taken: set[int] = set()
        real = RealFolders()
        self.own = [real.of(source.path) for source in inputs]
        self.theirs = [real.of(source.path) for source in candidates]
        self.places = [(source.relative.parent.as_posix(), source.relative.stem) for source in inputs]
        self.their_places = [(source.relative.parent.as_posix(), source.relative.stem) for source in candidates]
        places = set(self.places) if by_stem else set()
        suffix = re.compile(rf"(.+)_(?:{'|'.join(NAMED.get(kind, (kind,)))})\d*", re.IGNORECASE | re.DOTALL)
        self.stems: list[list[str]] = []
        for folder, stem in self.their_places:
            base = suffix.fullmatch(stem)
            if base is None or (folder, stem) in places:  # it bears an input's very name: that one's
                self.stems.append([stem] if by_stem else [])
            else:
                self.stems.append([stem, base[1]] if by_stem else [base[1]])
        folders = {folder for folder, _ in (*self.places, *self.their_places)}
        self.subfolders = {LEVELS[-1](Path(folder).name) for folder in folders} - {""}

    def claim(self, level: Level, *, crossing: bool) -> None:
        """Pair what is alike at this level in the same subfolder, or, crossing, whatever the subfolder."""

        def place(folder: str, stem: str) -> tuple[str, str]:
            return "" if crossing else level(folder), level(stem)

        offers: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        for number, (folder, _) in enumerate(self.their_places):
            if number not in self.taken:
                for stem in self.stems[number]:
                    offers[place(folder, stem)].add(number)
        claimed: dict[int, int] = {}
        for number, source in enumerate(self.inputs):
            if number in self.partner:
                continue
            offered = offers.get(place(*self.places[number]), ())
            fits = [
                each
                for each in sorted(offered)
                if self.theirs[each] != self.own[number]
                and not (crossing and self._contradict(source, self.candidates[each]))
            ]
            if len(fits) > 1:
                first, second = (self.candidates[each].path for each in fits[:2])
                raise InputError(f"{source.path} has {len(fits)} {self.kind}s ({first}, {second}): keep one of them")
            if fits:
                claimed[number] = fits[0]
        shared = {each for each, count in Counter(claimed.values()).items() if count > 1}
        if crossing and shared:
            one = min(shared)
            first, second = [self.inputs[number].path for number, each in claimed.items() if each == one][:2]
            raise InputError(
                f"{self.candidates[one].path} could be the {self.kind} of {first} and of {second}: "
                f"put the {self.kind}s into subfolders like the pictures'"
            )
        exact = level is LEVELS[0]  # a.jpg and a.png in one folder may share a mask, A.jpg and a.jpg may not
        self.partner |= {number: each for number, each in claimed.items() if exact or each not in shared}
        self.taken.update(self.partner.values())

    def _contradict(self, one: FoundFile, other: FoundFile) -> bool:
        """Whether the flat one's folder bears the name of a subfolder of the other side, but not of this file's."""
        nested, flat = (one, other) if len(one.relative.parts) > 1 else (other, one)
        name = LEVELS[-1](flat.path.absolute().parent.name)
        return name in self.subfolders and name != LEVELS[-1](nested.relative.parent.name)


# One at a time --------------------------------------------------------------------------------------------------------


def companion(folder: Path, name: str, word: str) -> Path:
    """The file of the same name in another folder, whatever its suffix; folders are read once.

    Args:
        folder: holds the companions in the same subfolders
        name: of the picture below its own folder; of an absolute one the file's name counts
        word: what it is called in the error

    Raises: DataError if there is none, or several
    """
    relative = Path(name)
    relative = Path(relative.name) if relative.is_absolute() else relative
    place = relative.with_suffix("").as_posix()
    places = (place, *(f"{place}_{suffix}" for suffix in NAMED.get(word, ())))
    for _ in range(2):
        found = next((files for each in places if (files := _fitting(_companions(folder), each))), [])
        if len(found) > 1:
            raise DataError(f"{folder} holds {len(found)} files called {place} ({found[0]}, {found[1]}): keep one")
        if found and found[0].is_file():
            return found[0]
        _companions.cache_clear()  # the folder may be another by now
    raise DataError(f"{folder} holds no {word} for {name}: make {place}.png there, or leave the folder out")


def _fitting(indices: Sequence[dict[str, list[Path]]], place: str) -> list[Path]:
    found = (index.get(level(place)) for level, index in zip(LEVELS, indices, strict=True))
    return next((files for files in found if files), [])


@lru_cache(maxsize=8)
def _companions(folder: Path) -> tuple[dict[str, list[Path]], ...]:
    """For each level of likeness: a path without its suffix -> the files."""
    indices: tuple[defaultdict[str, list[Path]], ...] = tuple(defaultdict(list) for _ in LEVELS)
    for source in walk(folder)[0]:
        for level, index in zip(LEVELS, indices, strict=True):
            index[level(source.relative.with_suffix("").as_posix())].append(source.path)
    return tuple(dict(index) for index in indices)

"""CelebA and CelebA-HQ as people have them: which picture is for training, validation or test.

CelebA's own split is a file of lines "000001.jpg 0" (0 training, 1 validation, 2 test). CelebA-HQ's 30,000 pictures are
enhanced ones of CelebA; CelebAMask-HQ, by which most people have them, counts them from 0 and says in
`CelebA-HQ-to-CelebA-mapping.txt` which each was: lines "0 119613 119614.jpg" below a line of titles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from retouche.errors import DataError

PARTS = ("train", "validate", "test")
LARGEST = 64 << 20
"""Bytes of a list; CelebA's have 3 MB."""


def split_faces(
    pictures: Sequence[Path], partition: Mapping[str, int], mapping: Mapping[str, str] | None
) -> dict[str, list[Path]]:
    """Which pictures belong to which part.

    Args:
        pictures: files
        partition: CelebA's name -> 0, 1 or 2
        mapping: the number that a CelebA-HQ picture is called by -> CelebA's name; None where pictures are CelebA's own

    Returns: part -> files, in the order given
    Raises: DataError for a picture that the lists do not know
    """
    parts: dict[str, list[Path]] = {name: [] for name in PARTS}
    for picture in pictures:
        name = (
            picture.stem if mapping is None else mapping.get(str(int(picture.stem)) if picture.stem.isdecimal() else "")
        )
        number = None if name is None else partition.get(Path(name).stem)
        if number is None:
            raise DataError(
                f"{picture} is in no line of the lists: "
                + (
                    "for CelebA-HQ, give --mapping too"
                    if mapping is None
                    else "give the mapping of these very pictures"
                )
            )
        parts[PARTS[number]].append(picture)
    return parts


def read_partition(path: Path) -> dict[str, int]:
    """CelebA's split, by names without their suffix. Raises: DataError"""
    found = {}
    for number, line in enumerate(_lines(path), 1):
        row = re.fullmatch(r"(\S+)\.\w+\s+([012])", line)
        if row is None:
            raise DataError(f"{path}, line {number}, is no line of CelebA's split: it reads like 000001.jpg 0")
        found[row[1]] = int(row[2])
    return found


def read_mapping(path: Path) -> dict[str, str]:
    """Numbers of CelebA-HQ -> names in CelebA. Raises: DataError"""
    found = {}
    for number, line in enumerate(_lines(path), 1):
        row = re.fullmatch(r"(\d+)\s+\d+\s+(\S+\.\w+)", line)
        if row is None and number > 1:
            raise DataError(f"{path}, line {number}, is no line of the mapping: it reads like 0 119613 119614.jpg")
        if row is not None:
            found[str(int(row[1]))] = row[2]
    return found


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is larger than any such list: give CelebA's own file")
        lines = [line.strip() for line in path.read_text(encoding="ascii", errors="replace").splitlines()]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from None
    return [line for line in lines if line]

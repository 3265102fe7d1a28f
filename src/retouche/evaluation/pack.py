"""Evaluation packs: a file that says which pictures, masks and sizes, with the hashes that must come out."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from retouche.data.mask_makers import parse_masks
from retouche.errors import DataError, InputError
from retouche.evaluation.papers import PAPERS, Paper, Trial
from retouche.evaluation.pictures import Fit, Item, Preparation, find_items, several
from retouche.evaluation.published import Published
from retouche.files import atomic_write
from retouche.folders.names import as_json

FORMAT, VERSION = "retouche evaluation pack", 1


@dataclass(frozen=True)
class Pack:
    """What a pack fixes.

    Attributes:
        name: of the protocol
        preparation: size and masks
        pictures: (name, SHA-256 of the file, mask's name or None, SHA-256 of the hole's bits, which of the picture's
            masks), or None: any pictures
        data, masks: folders the pictures and masks were in; None where the user must say
        unknown: what the protocol leaves open
        published: figures printed elsewhere for this protocol
        classes: of hole ratios in its table that join ours
    """

    name: str
    preparation: Preparation
    pictures: tuple[tuple[str, str, str | None, str, int], ...] | None = None
    data: Path | None = None
    masks: Path | None = None
    unknown: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()
    classes: tuple[str, ...] = ()


def read_pack(word: str) -> Pack:
    """The pack of a file, or a paper's by its name.

    Raises: InputError, DataError
    """
    path = Path(word)
    if not path.is_file():
        if word in PAPERS:
            return pack_of(PAPERS[word], PAPERS[word].tests[0])
        raise InputError(f"--pack {word} is no file, and no protocol known here: {', '.join(PAPERS)}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise KeyError
        version = int(content["version"])
        if version > VERSION:
            raise DataError(f"--pack {path} is of version {version}, newer than {VERSION}: update retouche")
        pictures = tuple(
            (
                str(one["name"]),
                str(one["sha256"]),
                one["mask"] and str(one["mask"]),
                str(one["mask_sha256"]),
                int(one.get("copy", 0)),
            )
            for one in content["pictures"]
        )
        for name in (name for one in pictures for name in (one[0], one[2]) if name is not None):
            if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
                raise DataError(f"--pack {path} names {name}, which lies outside its folders: give another pack")
        return Pack(
            str(content["name"]),
            _preparation(path, content["preparation"]),
            pictures,
            _beside(path, content["data"]),
            _beside(path, content["masks"]),
        )
    except (ValueError, KeyError, TypeError):
        raise DataError(f"--pack {path} is no evaluation pack: write one with --write-pack") from None


def _preparation(path: Path, given: dict[str, Any]) -> Preparation:
    """What a pack's file says of sizes and masks. Raises: DataError naming what no evaluation can have"""
    result = Preparation(**given)
    whole = {name: value for name in ("size", "mask_seed", "each") if (value := getattr(result, name)) is not None}
    fits = {
        **{name: type(value) is int and value >= {"mask_seed": 0, "each": 1, "size": 16}[name]
           for name, value in whole.items()},
        "fit": result.fit in get_args(Fit),
        "masks": result.masks is None or isinstance(result.masks, str),
        "invert": isinstance(result.invert, bool),
    }  # fmt: skip
    for name, right in fits.items():
        if not right:
            raise DataError(
                f'--pack {path} says "{name}": {getattr(result, name)!r}, which fits none: give another pack'
            )
    for spec in () if result.masks is None else result.masks.split(";"):
        parse_masks(spec)
    return result


def pack_of(paper: Paper, test: Trial) -> Pack:
    """The pack of one of a paper's tests."""
    preparation = Preparation(test.size or paper.size, paper.fit, test.masks or paper.masks, each=paper.each)
    return Pack(paper.name, preparation, unknown=paper.unknown, published=paper.published, classes=paper.classes)


def _beside(path: Path, relative: Any) -> Path | None:
    return None if relative is None else Path(os.path.normpath(path.parent / str(relative)))


def items_of(
    pack: Pack, data: Path | None, masks: str | None, limit: int | None
) -> tuple[tuple[Item, ...], Preparation]:
    """The pictures a pack names, from the folders given or its own.

    Raises: DataError naming the first that is missing
    """
    data = data or pack.data
    if data is None:
        raise InputError("--data is missing: this pack fixes sizes and masks, the pictures are yours to give")
    if pack.pictures is None:
        items, spec = find_items(data, masks or pack.preparation.masks, limit)
        if masks is None or spec is not None:
            each = pack.preparation.each if masks is None else 1
            return several(items, each), Preparation(**{**asdict(pack.preparation), "masks": spec, "each": each})
        return items, Preparation(**{**asdict(pack.preparation), "masks": None, "each": 1})
    if masks is not None and pack.preparation.masks is not None:
        raise InputError(f'--masks: the pack draws its masks ("{pack.preparation.masks}"): leave it out')
    root = data / "images" if (data / "images").is_dir() else data
    if masks is None and (data / "masks").is_dir() and root != data:
        folder = data / "masks"
    else:
        folder = Path(masks) if masks is not None else pack.masks or root
    found: list[Item] = []
    for number, (name, sha256, mask, mask_sha256, copy) in enumerate(pack.pictures[:limit]):
        image = root / name
        file = None if mask is None else folder if folder.is_file() else folder / mask
        for path in (image, file):
            if path is not None and not path.is_file():
                raise DataError(f"{path} is not there, but the pack names it: give --data and --masks of the pack")
        found.append(Item(number, name, image, file, sha256, mask_sha256, copy))
    return tuple(found), pack.preparation


def write_pack(path: Path, name: str, preparation: Preparation, pictures: Sequence[tuple[Item, str, str]]) -> None:
    """Write a pack of what was just evaluated: (item, SHA-256 of the file, SHA-256 of the hole's bits) each."""
    root = _folder([(item.name, item.image) for item, _, _ in pictures])
    files = [item.mask for item, _, _ in pictures if item.mask is not None]
    one = bool(files) and len(set(files)) == 1 and len(pictures) > 1
    folder = files[0] if one else _common(files)
    rows = []
    for item, sha256, mask_sha256 in pictures:
        mask = None
        if item.mask is not None:
            assert folder is not None
            mask = item.mask.name if one else os.path.relpath(item.mask, folder).replace(os.sep, "/")
        row = {"name": item.name, "sha256": sha256, "mask": mask, "mask_sha256": mask_sha256}
        rows.append(row | {"copy": item.copy} if item.copy else row)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "preparation": asdict(preparation),
        "data": _relative(root, path),
        "masks": None if folder is None else _relative(folder, path),
        "pictures": rows,
    }
    with atomic_write(path, parents=True) as temporary:
        temporary.write_text(as_json(content, indent=1) + "\n", encoding="utf-8")


def _folder(named: Sequence[tuple[str, Path]]) -> Path:
    name, path = named[0]
    return Path(*path.parts[: len(path.parts) - len(Path(name).parts)])


def _common(files: Sequence[Path]) -> Path | None:
    return Path(os.path.commonpath([os.path.abspath(path.parent) for path in files])) if files else None


def _relative(folder: Path, pack: Path) -> str:
    return os.path.relpath(os.path.abspath(folder), os.path.abspath(pack.parent)).replace(os.sep, "/")

"""The pictures and holes of an evaluation: paired by name before anything is decoded, brought to size, hashed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retouche.data.mask_makers import Masks, mask_key, parse_masks
from retouche.errors import DataError, InputError, RetoucheError
from retouche.folders.finding import FoundFile, walk
from retouche.folders.names import RealFolders
from retouche.folders.pairing import pair
from retouche.inference.sheet import pixels_rgb
from retouche.masks import hole_ratio, open_mask
from retouche.pictures import measure, open_picture
from retouche.pictures.formats import SUFFIXES
from retouche.pictures.hidden import seen
from retouche.weights.store import sha256_of

HOLE_SHARE = 0.25
"""A pixel of a shrunk mask is hole where at least so much of its area is."""
LOOKED_AT = 24  # masks, evenly spread, that show before the start whether a folder's masks are inverted or empty
SUSPICIOUS = 0.6  # hole ratio above which most masks of a set look inverted

Fit = Literal["crop", "squash"]


@dataclass(frozen=True)
class Item:
    """One picture and its mask's file; None where masks are drawn.

    `picture_sha256` (of the file) and `mask_sha256` (of the hole's bits) are what a pack demands; None demands nothing.
    `copy` distinguishes the masks of one picture.
    """

    number: int
    name: str
    image: Path
    mask: Path | None
    picture_sha256: str | None = None
    mask_sha256: str | None = None
    copy: int = 0

    @property
    def label(self) -> str:
        """The name, with the mask's number where the picture comes with several: "deep/a.png", "deep/a-mask2.png"."""
        path = Path(self.name)
        return path.with_stem(f"{path.stem}-mask{self.copy + 1}").as_posix() if self.copy else self.name


@dataclass(frozen=True)
class Preparation:
    """How a picture and its hole come to the size of the evaluation.

    Attributes:
        size: side in pixels, or None for pictures as they are
        fit: "crop" scales the shorter side by Lanczos and cuts the middle square; "squash" scales both sides
        masks: a specification of drawn masks, or None for files; of several between semicolons a picture's masks take
            turns
        mask_seed: of drawn masks
        invert: black is the hole in mask files
        each: masks for each picture
    """

    size: int | None = None
    fit: Fit = "crop"
    masks: str | None = None
    mask_seed: int = 0
    invert: bool = False
    each: int = 1


@dataclass(frozen=True)
class PreparedItem:
    """A picture ready to be filled: truth (H, W, 3) uint8 RGB, hole (H, W), and the hashes of what they came from."""

    item: Item
    truth: NDArray[np.uint8]
    hole: NDArray[np.bool_]
    picture_sha256: str
    mask_sha256: str

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return int(self.truth.nbytes + self.hole.nbytes)


@dataclass(frozen=True)
class Skipped:
    """A picture that could not be used, and why."""

    name: str
    reason: str


# Pairing --------------------------------------------------------------------------------------------------------------


def find_items(data: Path, masks: str | None, limit: int | None = None) -> tuple[tuple[Item, ...], str | None]:
    """Pair the pictures of a folder with their masks.

    Args:
        data: a folder of pictures (with its subfolders); one that holds `images` and `masks` has both
        masks: a folder (pairs by stem, or stem and `_mask`), one file for all, a specification such as "wide:2,box:1",
            or None for the folder beside the images
        limit: only so many, in the order of their names

    Returns: items, and the specification where masks are drawn
    Raises: DataError where there are no pictures, or names and counts do not fit
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit is {limit}: give 1 or more")
    if not data.exists():
        raise DataError(f"--data {data} is not there: give a folder of pictures")
    if not data.is_dir():
        raise DataError(f"--data {data} is a file: give a folder of pictures")
    root = data / "images" if (data / "images").is_dir() else data
    if masks is None:
        if root == data or not (data / "masks").is_dir():
            raise DataError("--masks is missing: give a folder, one file, or a specification such as wide:2,box:1")
        masks = str(data / "masks")
    folder = Path(masks)
    pictures, left_out = walk(root)
    inside = walk(folder)[0] if folder.is_dir() else ()
    if folder.is_dir() and folder.resolve() != root.resolve():
        real = RealFolders()
        own = {real.of(source.path) for source in inside}
        pictures = tuple(source for source in pictures if real.of(source.path) not in own)
    if not pictures:
        reason = f"; {skipped}" if (skipped := left_out.words()) else ""
        raise DataError(f"--data {root} holds no pictures ({' '.join(SUFFIXES)}){reason}")
    pairs: Sequence[Path | None]
    if folder.is_dir():
        pairs = _paired(pictures, inside, folder)
    elif folder.is_file():
        pairs = [folder] * len(pictures)
    elif re.search(r"[/\\]", masks) and not re.search(r"[,:(;]", masks):
        raise DataError(
            f"--masks {masks} is not there: give a folder, one file, or a specification such as wide:2,box:1"
        )
    else:
        for spec in masks.split(";"):
            parse_masks(spec)  # says at once what means nothing
        return _items(pictures[:limit], [None] * len(pictures)), masks
    return _items(pictures[:limit], pairs), None


def several(items: Sequence[Item], each: int) -> tuple[Item, ...]:
    """Every picture with `each` masks, numbered on.

    Raises: InputError for fewer than one, or where masks are files
    """
    if each < 1:
        raise InputError(f"--masks-per-picture is {each}: give 1 or more")
    if each > 1 and any(item.mask is not None for item in items):
        raise InputError(
            "--masks-per-picture draws several: give a specification such as irregular, or DIR(flip=xy) to draw them "
            "from a folder's files"
        )
    pairs = [(item, copy) for item in items for copy in range(each)]
    return tuple(replace(item, number=number, copy=copy) for number, (item, copy) in enumerate(pairs))


def _items(pictures: Sequence[FoundFile], pairs: Sequence[Path | None]) -> tuple[Item, ...]:
    return tuple(
        Item(number, source.relative.as_posix(), source.path, mask)
        for number, (source, mask) in enumerate(zip(pictures, pairs, strict=False))
    )


def _paired(pictures: Sequence[FoundFile], masks: Sequence[FoundFile], folder: Path) -> list[Path]:
    if not masks:
        raise DataError(f"--masks {folder} holds no pictures ({' '.join(SUFFIXES)})")
    by_stem: dict[str, Path] = {}
    for source in pictures:
        stem = source.relative.with_suffix("").as_posix()
        if by_stem.setdefault(stem, source.path) is not source.path:
            raise DataError(
                f"{by_stem[stem]} and {source.path} have one name: rename one, so that each has its own mask"
            )
    try:
        pairs = pair(pictures, masks, "mask")
    except InputError as error:
        raise DataError(f"two masks for one picture, or one for two: {error}") from None
    found = [path for path in pairs.found if path is not None]
    counts = f"{len(pictures)} pictures, {len(masks)} masks"
    if len(found) < len(pictures):
        first = pictures[pairs.found.index(None)].relative
        stem = first.with_suffix("").as_posix()
        raise DataError(
            f"{counts}: {len(pictures) - len(found)} pictures have no mask (first: {stem}): "
            f"name it {first.stem}.png or {first.stem}_mask.png"
        )
    if pairs.unused:
        raise DataError(
            f"{counts}: {len(pairs.unused)} masks belong to no picture (first: "
            f"{pairs.unused[0].relative.with_suffix('').as_posix()}): take them out, or add the pictures"
        )
    return found


# Before the start -----------------------------------------------------------------------------------------------------


def check_items(items: Sequence[Item], *, large_holes: bool, invert: bool) -> None:
    """What can be checked of the files at once: sizes that differ, masks that are all empty or look inverted.

    Raises: DataError naming the first
    """
    wrong = []
    for item in items:
        if item.mask is None:
            return
        sizes = (_size_of(item.image), _size_of(item.mask))
        if None not in sizes and sizes[0] != sizes[1]:
            wrong.append((item, sizes))
    if wrong:
        (item, sizes) = wrong[0]
        assert item.mask is not None and sizes[0] is not None and sizes[1] is not None
        raise DataError(
            f"{len(wrong)} of {len(items)} masks have another size than their picture (first: {item.mask.name} is "
            f"{sizes[1][0]}x{sizes[1][1]}, {item.name} is {sizes[0][0]}x{sizes[0][1]}): give masks of the same size"
        )
    step = max(1, len(items) // LOOKED_AT)
    ratios = []
    for item in items[::step][:LOOKED_AT]:
        assert item.mask is not None
        try:
            ratios.append(hole_ratio(open_mask(item.mask, None, invert=invert)[0]))
        except RetoucheError:
            continue  # skipped and counted when its turn comes
    if ratios and max(ratios) == 0 and len(ratios) == len(items):
        raise DataError(EMPTY)
    large = sum(ratio > SUSPICIOUS for ratio in ratios)
    if ratios and large > len(ratios) / 2 and not large_holes:
        remedy = "leave out --invert-mask" if invert else "say --invert-mask if black is the hole"
        raise DataError(
            f"{large} of {len(ratios)} masks looked at are more than {SUSPICIOUS:.0%} hole, as if inverted: "
            f"{remedy}, or --large-holes if it is meant so"
        )


EMPTY = "all masks are empty: there is nothing to evaluate; white is the hole (black with --invert-mask)"


def _size_of(path: Path) -> tuple[int, int] | None:
    """Width and height as displayed, from the file's header; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return measure(file, path.name)
    except (InputError, OSError):
        return None


# Decoding -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _parsed(text: str) -> Masks:
    return parse_masks(text)


def prepare(item: Item, preparation: Preparation) -> PreparedItem | Skipped:
    """Decode one picture and its hole and bring them to size; what cannot be used is returned as such.

    Raises: DataError where a pack demands other bits, or the sizes differ
    """
    try:
        picture_sha256 = sha256_of(item.image)
        if item.picture_sha256 not in (None, picture_sha256):
            raise DataError(
                f"{item.name} is not the picture of the pack (SHA-256 differs): use the pack's own pictures"
            )
        pixels = pixels_rgb(seen(open_picture(item.image)))
    except DataError:
        raise
    except (RetoucheError, OSError) as error:
        return Skipped(item.label, _without_paths(str(error), item))
    if item.mask is None:
        truth = sized(pixels, preparation.size, preparation.fit)
        height, width = truth.shape[:2]
        assert preparation.masks is not None
        specs = preparation.masks.split(";")
        hole = (
            _parsed(specs[item.copy % len(specs)])
            .draw(mask_key(preparation.mask_seed, item.number), height, width)
            .hole
        )
    else:
        try:
            hole, _ = open_mask(item.mask, None, invert=preparation.invert)
        except (RetoucheError, OSError) as error:
            return Skipped(item.label, _without_paths(str(error), item))
        if item.mask is not None and hole.shape != pixels.shape[:2]:
            raise DataError(
                f"{item.mask.name} is {hole.shape[1]}x{hole.shape[0]} but {item.name} is "
                f"{pixels.shape[1]}x{pixels.shape[0]}: give a mask of the same size"
            )
        truth = sized(pixels, preparation.size, preparation.fit)
        hole = sized_mask(hole, preparation.size, preparation.fit)
    mask_sha256 = sha256_of_hole(hole)
    if item.mask_sha256 not in (None, mask_sha256):
        raise DataError(f"the mask of {item.name} is not the pack's (its bits differ): use the pack's own masks")
    if not hole.any():
        return Skipped(item.label, "its mask is empty")
    if hole.all():
        return Skipped(item.label, "its mask leaves nothing known")
    return PreparedItem(item, truth, hole, picture_sha256, mask_sha256)


def _without_paths(text: str, item: Item) -> str:
    """The reason without the machine's folders, so that tables are the same everywhere."""
    for path in (item.image, item.mask):
        if path is not None:
            text = text.replace(str(path), path.name)
    return text


def sha256_of_hole(hole: NDArray[np.bool_]) -> str:
    """The hash of the hole's very bits and its size."""
    size = f"{hole.shape[0]}x{hole.shape[1]}:".encode()
    return hashlib.sha256(size + np.packbits(hole).tobytes()).hexdigest()


def sized(pixels: NDArray[np.uint8], size: int | None, fit: Fit = "crop") -> NDArray[np.uint8]:
    """(H, W, 3) -> (size, size, 3): Lanczos, then the middle square; None keeps the picture."""
    if size is None:
        return pixels
    target, box = _place(pixels.shape[1], pixels.shape[0], size, fit)
    picture = Image.fromarray(pixels)
    if picture.size != target:
        picture = picture.resize(target, Image.Resampling.LANCZOS)
    return np.asarray(picture.crop(box)).copy()


def sized_mask(hole: NDArray[np.bool_], size: int | None, fit: Fit = "crop") -> NDArray[np.bool_]:
    """(H, W) -> (size, size): by area, hole where at least a quarter of a pixel is; then the same square."""
    if size is None:
        return hole
    target, box = _place(hole.shape[1], hole.shape[0], size, fit)
    share = Image.fromarray(hole.astype(np.float32))
    if share.size != target:
        share = share.resize(target, Image.Resampling.BOX)
    return np.asarray(share.crop(box)) >= HOLE_SHARE - 1e-6


def _place(width: int, height: int, size: int, fit: Fit) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Width and height to scale to, and the box (left, top, right, bottom) to cut."""
    if fit == "squash":
        return (size, size), (0, 0, size, size)
    scale = size / min(width, height)
    target = (max(size, round(width * scale)), max(size, round(height * scale)))
    left, top = (target[0] - size) // 2, (target[1] - size) // 2
    return target, (left, top, left + size, top + size)

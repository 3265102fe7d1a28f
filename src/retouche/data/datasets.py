"""From a place in the sequence of samples to what a network learns from: image, mask, guides, keys.

Everything about a sample follows from its `SampleIndex`: which picture, which part of it, which hole. So it does not
matter which process or worker makes it, nor after how many restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from retouche.data.augment import Crop, View, choose, cut, cut_plane, degraded, middle
from retouche.data.mask_chains import Drawn
from retouche.data.mask_files import varied
from retouche.data.mask_makers import Masks, local_box
from retouche.data.sampler import SampleIndex, order, sample_key
from retouche.data.sketches import sketch
from retouche.data.sources import PictureSource, UnreadableError
from retouche.errors import DataError, InputError, RetoucheError
from retouche.folders.pairing import companion
from retouche.image import to_uint8
from retouche.masks import hole_ratio, open_mask, open_sketch
from retouche.numerics.structure import SETTINGS, rtv
from retouche.pictures import Picture, open_picture
from retouche.pictures.hidden import seen

CHOICES, ENOUGH = 8, (0.15, 0.7)
"""How often a part of a picture with its own mask is chosen anew, until its hole ratio lies in between."""


@dataclass(frozen=True)
class Sample:
    """One picture to learn from; the tensors have a batch of one.

    Attributes:
        image: (1, 3, S, S), -1..1
        mask: (1, 1, S, S), 1 = hole
        key: what the losses' randomness about it is drawn from
        structure, sketch, box: as in `retouche.methods.method.Batch`, where asked for
        bad: (name, reason) of the pictures that could not be read and were replaced by this one
        enlarged: whether the part cut out was smaller than S
        name: of the picture
    """

    image: Tensor
    mask: Tensor
    key: int
    structure: Tensor | None = None
    sketch: Tensor | None = None
    box: Tensor | None = None
    bad: tuple[tuple[str, str], ...] = ()
    enlarged: bool = False
    name: str = ""


@dataclass(frozen=True)
class Failure:
    """Why no sample could be made: carried to the main process as words, since exceptions lose theirs on the way."""

    words: str


@dataclass(frozen=True)
class GuideConfig:
    """What samples hold beside image and mask.

    Attributes:
        structure: setting of the structure pictures, "" for none
        structures: folder with ready structure pictures of the same names; None = made of each whole picture, as
            `retouche structure` makes them, every time it comes
        sketch: whether sketches are wanted
        sketches: folder with sketches of the same names; None = the whole picture's edges, as `retouche sketch` draws
        local_box: side of the local box as a fraction of the image's, 0 for none
    """

    structure: str = ""
    structures: Path | None = None
    sketch: bool = False
    sketches: Path | None = None
    local_box: float = 0.0


@dataclass(frozen=True)
class SampleMaker:
    """Makes samples from pictures."""

    crop: Crop
    masks: Masks
    guides: GuideConfig = field(default_factory=GuideConfig)

    def sample(self, name: str, picture: Picture, key: int, view: View | None = None) -> Sample:
        """The sample of a key; `view` None = drawn from the key.

        Raises: InputError or DataError if a guide or mask file does not fit
        """
        height, width = picture.height, picture.width
        if view is None:
            view = self._choose(name, key, height, width)
        image = cut(picture, view)
        if self.crop.degrade:
            chance = np.random.default_rng([sample_key("degrade", key)])
            if chance.uniform() < self.crop.degrade:
                image = degraded(chance, image)
        drawn = self._hole(name, key, view, (height, width))
        left, top, right, bottom = view.box
        return Sample(
            image=image,
            mask=torch.from_numpy(drawn.hole).float()[None, None],
            key=key,
            structure=self._structure(name, picture, view),
            sketch=self._sketch(name, picture, view),
            box=self._box(drawn, view.size),
            enlarged=min(right - left, bottom - top) < view.size,
            name=name,
        )

    def check(self, names: Sequence[str]) -> None:
        """That each picture has the mask and the guides of its name, which else is found out when its turn comes.

        Raises: DataError naming the first that is missing
        """
        for folder, word in (
            (self.masks.paired, "mask"),
            (self.guides.structures if self.guides.structure else None, "structure picture"),
            (self.guides.sketches if self.guides.sketch else None, "sketch"),
        ):
            for name in names if folder is not None else ():
                assert folder is not None
                companion(folder, name, word)

    def _choose(self, name: str, key: int, height: int, width: int) -> View:
        """What is cut out. A mask of the picture's own may miss it: of a few choices the first with hole enough."""
        rng = np.random.default_rng([key & 0xFFFFFFFF, key >> 32])
        view = choose(rng, height, width, self.crop)
        if self.masks.paired is None:
            return view
        low, high = self.masks.reading.ratio if self.masks.reading.ratio != (0.0, 1.0) else ENOUGH
        for _ in range(CHOICES):
            if low <= hole_ratio(self._hole(name, key, view, (height, width)).hole) <= high:
                break
            view = choose(rng, height, width, self.crop)
        return view

    def _hole(self, name: str, key: int, view: View, size: tuple[int, int]) -> Drawn:
        if self.masks.paired is None:
            return self.masks.draw(sample_key("hole", key), view.size, view.size)
        reading = self.masks.reading
        hole, _ = open_mask(companion(self.masks.paired, name, "mask"), size, invert=reading.invert)
        part = cut_plane(torch.from_numpy(hole).float()[None, None], view)[0, 0].numpy() > 0
        return Drawn(varied(np.random.default_rng([sample_key("mask file", key)]), part, reading))

    def _structure(self, name: str, picture: Picture, view: View) -> Tensor | None:
        if not self.guides.structure:
            return None
        if self.guides.structures is not None:
            ready = seen(open_picture(companion(self.guides.structures, name, "structure picture")))
            _check_size(ready, name, (picture.height, picture.width), "structure picture")
            return cut(ready, view)
        # of the whole picture, in bytes, as a ready one is: texture has a size in the picture's own pixels
        smooth = rtv(picture.rgb().mul_(0.5).add_(0.5), *SETTINGS[self.guides.structure])
        return cut(open_picture(to_uint8(smooth.mul_(2).sub_(1))), view)

    def _sketch(self, name: str, picture: Picture, view: View) -> Tensor | None:
        if not self.guides.sketch:
            return None
        if self.guides.sketches is not None:
            size = picture.height, picture.width
            strokes = open_sketch(companion(self.guides.sketches, name, "sketch"), size)
        else:
            strokes = sketch(picture)
        return cut_plane(torch.from_numpy(strokes).float()[None, None], view)

    def _box(self, drawn: Drawn, size: int) -> Tensor | None:
        if not self.guides.local_box:
            return None
        side = max(1, round(self.guides.local_box * size))
        return torch.tensor([local_box(drawn.hole, drawn.box, (side, side))])


def _check_size(picture: Picture, name: str, size: tuple[int, int], word: str) -> None:
    if (picture.height, picture.width) != size:
        raise InputError(
            f"the {word} of {name} is {picture.width}x{picture.height} but the picture {size[1]}x{size[0]}: "
            "make it from the picture at its full size"
        )


class TrainingSet(Dataset["Sample | Failure"]):
    """Samples by place; a picture that cannot be read is replaced by the next one of its epoch that can."""

    def __init__(self, source: PictureSource, maker: SampleMaker, seed: int) -> None:
        self.source = source
        self.maker = maker
        self.seed = seed
        self._bad: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.source.names)

    def __getitem__(self, place: SampleIndex) -> Sample | Failure:
        """The sample, or why the training cannot go on."""
        count = len(self.source.names)
        permutation = order(self.seed, place.epoch, count)
        bad: list[tuple[str, str]] = []
        try:
            for further in range(count):
                index = permutation[(place.position + further) % count]
                picture = self._read(index)
                if picture is None:
                    bad.append((self.source.names[index], self._bad[index]))
                    continue
                sample = self.maker.sample(self.source.names[index], picture, place.key)
                return _with_bad(sample, tuple(bad))
        except RetoucheError as error:
            return Failure(str(error))
        return Failure(f"none of the {count} pictures of {self.source.title} can be read (first: {bad[0][1]})")

    def _read(self, index: int) -> Picture | None:
        if index in self._bad:
            return None
        try:
            return self.source.read(index)
        except UnreadableError as error:
            self._bad[index] = str(error)
            return None


def _with_bad(sample: Sample, bad: tuple[tuple[str, str], ...]) -> Sample:
    return replace(sample, bad=bad) if bad else sample


Collated: TypeAlias = "list[Sample] | Failure"


def keep_list(samples: list[Sample | Failure]) -> Collated:
    """The collate function: the samples themselves, or the first failure."""
    good: list[Sample] = []
    for sample in samples:
        if isinstance(sample, Failure):
            return sample
        good.append(sample)
    return good


def fixed_samples(source: PictureSource, maker: SampleMaker, seed: int, limit: int) -> list[Sample]:
    """The same samples every time, each picture once with one hole, uncropped as far as can be: for validation.

    Args:
        limit: at most so many, evenly spread over the source

    Raises: DataError if none can be read
    """
    count = len(source.names)
    slots = min(limit, count)
    sample: list[Sample] = []
    first_error = ""
    for slot in range(slots):
        for index in range(slot * count // slots, (slot + 1) * count // slots):  # the first of these that can be read
            name = source.names[index]
            try:
                picture = source.read(index)
            except UnreadableError as error:
                first_error = first_error or str(error)
                continue
            view = middle(picture.height, picture.width, maker.crop)
            sample.append(maker.sample(name, picture, sample_key("validation", seed, name), view))
            break
    if not sample:
        raise DataError(f"none of the pictures of {source.title} can be read (first: {first_error})")
    return sample


def stacked(tensors: Sequence[Tensor | None]) -> Tensor | None:
    """One batch of tensors that are all there, or None."""
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(present) if present and len(present) == len(tensors) else None

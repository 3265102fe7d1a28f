"""What a training learns from and what it is validated on: sources, holes and guides of its settings."""

from __future__ import annotations

from dataclasses import dataclass

from retouche.data.augment import Crop
from retouche.data.datasets import GuideConfig, SampleMaker
from retouche.data.mask_files import check_polarity
from retouche.data.mask_makers import Masks, parse_masks
from retouche.data.sources import PictureSource, UnreadableError, hold_out, open_source
from retouche.errors import InputError
from retouche.methods.method import DataConfig
from retouche.numerics.structure import SETTINGS
from retouche.training.settings import Run


@dataclass(frozen=True)
class Pictures:
    """Pictures to train on and pictures held out for validation."""

    train: PictureSource
    validation: PictureSource
    maker: SampleMaker

    @staticmethod
    def of(run: Run) -> Pictures:
        data: DataConfig = run.preset.data
        if data.structure and data.structure not in SETTINGS and run.structures is None:
            raise InputError(f"{run.method} learns from ready {data.structure}s: give their folder with --structures")
        crop = Crop(data.size, data.crop, data.crop_scale, data.flip, data.jitter, data.degrade)
        guides = GuideConfig(data.structure, run.structures, data.sketch, run.sketches, data.local_box)
        source = open_source(run.data)
        if run.validate is not None:
            train, held_out = source, open_source(run.validate)
        else:
            kept, held = hold_out(source.names, lambda index: _readable(source, index))
            train, held_out = source.subset(kept), source.subset(held)
        maker = SampleMaker(crop, _masks(run), guides)
        maker.check([*train.names, *held_out.names])
        return Pictures(train, held_out, maker)


def _masks(run: Run) -> Masks:
    """The holes, with mask files the right way round.

    Raises: InputError where that must be asked
    """
    data: DataConfig = run.preset.data
    files = data.mask_files if run.invert == "ask" else f"{data.mask_files},invert={run.invert}"
    masks = parse_masks(data.masks, files)
    if run.invert == "ask":
        for folder, reading in masks.folders:
            check_polarity(folder, reading)
    return masks


def _readable(source: PictureSource, index: int) -> bool:
    try:
        source.read(index)
    except UnreadableError:
        return False
    return True

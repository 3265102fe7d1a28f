"""Room added at a picture's sides: the old picture stays bit for bit, what is new is filled, sizes are told anew."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import retouche
from retouche.inference.canvas import BAND, CanvasPart, canvases, doubled, nearer, placed
from retouche.inference.strategy import Region, Window, plan
from retouche.inference.windows import read_window
from retouche.methods.method import Scope
from retouche.pictures import decode, encode, open_picture
from retouche.pictures.exif_block import PIXEL_HEIGHT, PIXEL_WIDTH
from retouche.pictures.extending import extended
from retouche.pictures.margins import margins

RANDOM = np.random.default_rng(7)
ROOM: Mapping[str, int | str] = {"left": 5, "top": "10%", "right": 3, "bottom": 0}  # of 40x30: top 3


def _picture(kind: str) -> np.ndarray:
    channels = {"grey": (), "LA": (2,), "RGB": (3,), "RGBA": (4,), "RGB16": (3,)}[kind]
    dtype = np.uint16 if kind == "RGB16" else np.uint8
    return RANDOM.integers(0, np.iinfo(dtype).max, (30, 40, *channels), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("kind", ["grey", "LA", "RGB", "RGBA", "RGB16"])
@pytest.mark.parametrize("method", ["harmonic", "mean"])
def test_the_old_picture_stays_and_what_is_new_is_opaque(kind: str, method: str) -> None:
    old = _picture(kind)
    new, report = retouche.load(method)(old, extend=ROOM, report=True)
    assert new.shape == (33, 48, *old.shape[2:]) and new.dtype == old.dtype
    assert np.array_equal(new[3:, 5:45], old)
    assert report.extended == (5, 3, 3, 0) and (report.width, report.height) == (48, 33)
    assert report.dilate == 0 and sum(hole.hole_pixels for hole in report.holes) >= 33 * 48 - 30 * 40
    if kind in ("LA", "RGBA"):
        fresh = np.ones((33, 48), bool)
        fresh[3:, 5:45] = False
        assert (new[..., -1][fresh] == 255).all()


def test_a_mask_is_of_the_old_size_and_is_grown_as_ever() -> None:
    old = _picture("RGB")
    mask = np.zeros((30, 40), bool)
    mask[10:15, 0:6] = True
    model = retouche.load("harmonic")
    new = model(old, mask, dilate=2, extend="left=20,bottom=4")
    near = np.zeros_like(mask)
    near[8:17, 0:8] = True
    same = (new[:30, 20:] == old).all(2)
    assert same[~near].all() and not same[mask].any()
    assert np.array_equal(model(old, mask, dilate=2)[~near], old[~near])
    # without a mask the row beside the new part is the old one, whatever --dilate
    assert np.array_equal(model(old, extend="left=20", dilate=9)[:, 20:], old)


def test_tensors_batches_paths_and_turned_pictures(tmp_path: Path) -> None:
    model = retouche.load("mean")
    batch = torch.rand(2, 3, 20, 24)
    reports: Any
    new, reports = model(batch, extend={"right": "50%"}, report=True)
    assert new.shape == (2, 3, 20, 36) and torch.equal(new[..., :24], batch) and len(reports) == 2
    picture = Image.fromarray(_picture("RGB"))
    exif = Image.Exif()
    exif[274] = 6  # shown, it stands: 30 wide, 40 high
    picture.save(tmp_path / "turned.png", exif=exif)
    made = model(tmp_path / "turned.png", extend="left=10")
    assert made.size == (40, 40)
    shown = np.rot90(np.asarray(picture), -1)
    assert np.array_equal(np.asarray(made)[:, 10:], shown)


def test_smooth_pictures_go_on_smoothly_and_twice_the_same() -> None:
    ramp = np.repeat(np.linspace(40, 200, 48, dtype=np.uint8)[:, None, None], 64, 1).repeat(3, 2)
    one = retouche.inpaint(ramp, extend="right=40", seed=3)
    assert np.array_equal(one, retouche.inpaint(ramp, extend="right=40", seed=3))
    assert np.abs(one[:, 64:].astype(float) - ramp[:, :40]).mean() < 12


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("left", 'extend has "left="'),
        ("west=4", 'extend has "west=4"'),
        ("left=4,left=5", 'extend has "left=5"'),
        ("left=-4", 'extend has "left=-4"'),
        ("left=1.5", 'extend has "left=1.5"'),
        ("left=0", "extend adds nothing"),
        ("", 'extend has "="'),
        ({"left": "ten"}, 'extend has "left=ten"'),
        ("left=99999999", "more than 100 megapixels"),
    ],
)
def test_what_says_nothing_is_refused_with_the_remedy(given: Any, words: str) -> None:
    with pytest.raises(retouche.InputError, match=words):
        retouche.load("mean")(_picture("RGB"), extend=given)


def test_nothing_known_and_nothing_to_do_are_refused() -> None:
    model = retouche.load("mean")
    with pytest.raises(retouche.InputError, match="give a mask, or extend"):
        model(_picture("RGB"))
    with pytest.raises(retouche.InputError, match="covers the whole picture"):
        model(_picture("RGB"), np.ones((30, 40), bool), extend="left=4")
    clear = _picture("RGBA")
    clear[..., 3] = 0
    with pytest.raises(retouche.InputError, match="transparent"):
        model(clear, extend="left=4")
    with pytest.raises(retouche.InputError, match="sketch is 40x30"):
        retouche.load("default")(_picture("RGB"), extend="left=4", sketch=np.zeros((30, 40), np.uint8))


def test_percent_and_words() -> None:
    assert margins("left=10%, bottom=7", (300, 200)) == (20, 0, 0, 7)
    assert margins({"top": "2.5%"}, (200, 300)) == (0, 5, 0, 0)


@pytest.mark.parametrize(("size", "room"), [((500, 700), (300, 0, 0, 0)), ((90, 70), (10, 20, 30, 40))])
def test_bands_grow_from_the_picture_to_the_whole(size: tuple[int, int], room: tuple[int, int, int, int]) -> None:
    parts = canvases(size, room)
    boxes = [part.box for part in parts]
    old = (room[0], room[1], size[1] - room[2], size[0] - room[3])
    assert boxes[0] == old and boxes[-1] == (0, 0, size[1], size[0])
    deepest = max(32, BAND * min(old[2] - old[0], old[3] - old[1]))
    for one, two in itertools.pairwise(parts):
        steps = [abs(a - b) for a, b in zip(one.box, two.box, strict=True)]
        assert sorted(steps)[:3] == [0, 0, 0] and 0 < max(steps) <= deepest and steps[two.side or 0] == max(steps)


@pytest.mark.parametrize("side", [0, 1, 2, 3])
def test_a_band_is_shown_beside_its_mirror_image(side: int) -> None:
    """A window reaches behind the new border and sees the known pixels mirrored there, and pastes into the part."""
    room = [0, 0, 0, 0]
    room[side] = 20
    whole = (60 + room[1] + room[3], 50 + room[0] + room[2])
    part = canvases(whole, (room[0], room[1], room[2], room[3]))[-1]
    assert part.side == side and part.box == (0, 0, whole[1], whole[0])
    fresh = np.ones(whole, bool)
    fresh[room[1] : room[1] + 60, room[0] : room[0] + 50] = False
    twice = doubled(fresh, side)
    across = side % 2 == 0
    assert twice.shape == ((whole[0], 2 * whole[1] - 1) if across else (2 * whole[0] - 1, whole[1]))
    assert np.array_equal(nearer(twice, whole, side), fresh) and twice.sum() == fresh.sum() * 2 - (60 if across else 50)
    (planned,) = plan(twice, Scope(side=256, hole=128))
    region = placed(planned, part)
    assert region is not None and region.box == region.windows[0].target
    assert fresh[region.box[1] : region.box[3], region.box[0] : region.box[2]].all()
    assert (region.box[2] - region.box[0]) * (region.box[3] - region.box[1]) == fresh.sum()
    picture = open_picture(RANDOM.integers(0, 255, (*whole, 3), dtype=np.uint8))
    image, mask = read_window(picture, fresh, region.windows[0].crop, 1.0, part.box)
    flipped = torch.flip(image, [3 if across else 2]), torch.flip(mask, [3 if across else 2])
    assert torch.equal(image, flipped[0]) and torch.equal(mask, flipped[1]) and 0 < mask.mean() < 1


def test_nothing_of_a_region_behind_the_border_is_planned() -> None:
    part = CanvasPart((3, 5, 33, 25), 2)
    behind = Region((40, 2, 50, 9), "crop", 1.0, (Window((20, 0, 60, 20), (40, 2, 50, 9)),))
    assert placed(behind, part) is None
    both = Region((20, 2, 50, 9), "whole", 1.0, (Window((0, 0, 60, 20), (20, 2, 50, 9)),))
    assert placed(both, part) == Region((23, 7, 33, 14), "crop", 1.0, (Window((3, 5, 63, 25), (23, 7, 33, 14)),))


def test_sketches_reach_behind_the_border() -> None:
    """A model that takes a sketch is shown them mirrored with the picture."""
    model = retouche.create("deepfill-v2", preset="sketch")
    lines = np.zeros((64, 96), np.uint8)
    lines[30:33] = 255
    old = _picture("RGB").repeat(2, 0)[:, :32].repeat(2, 1)[:60, :64]
    assert model(old, extend="right=32,bottom=4", sketch=lines, dilate=0).shape == (64, 96, 3)


def _jpeg(**words: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(_picture("RGB")).save(file, "JPEG", **words)
    return file.getvalue()


def _exif_with_sizes() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(34665).update({PIXEL_WIDTH: 40, PIXEL_HEIGHT: 30})
    return exif.tobytes()


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:ImageWidth="40" exif:PixelYDimension="30">'
    b"<exif:PixelXDimension>40</exif:PixelXDimension><note>40</note></rdf:Description></x:xmpmeta>"
)


def test_sizes_in_the_metadata_are_the_new_ones() -> None:
    picture = decode(_jpeg(exif=_exif_with_sizes(), xmp=XMP), "a.jpg")
    wide, fresh = extended(picture, (8, 0, 0, 2))
    read = decode(encode(wide, "JPEG"), "b.jpg")
    assert (read.width, read.height) == (48, 32) and fresh.sum() == 48 * 32 - 40 * 30
    exif = Image.Exif()
    exif.load(read.source.exif or b"")
    inner = exif.get_ifd(34665)
    assert (inner[PIXEL_WIDTH], inner[PIXEL_HEIGHT]) == (48, 32)
    assert read.source.xmp is not None
    assert b'tiff:ImageWidth="48" exif:PixelYDimension="32"' in read.source.xmp
    assert b"<exif:PixelXDimension>48</exif:PixelXDimension><note>40</note>" in read.source.xmp


def test_further_samples_go_on_at_the_border() -> None:
    picture = open_picture(_picture("RGB"))
    extra = RANDOM.integers(0, 255, (30, 40, 1), dtype=np.uint8)
    wide, _ = extended(replace(picture, source=replace(picture.source, extra=extra)), (2, 0, 0, 0))
    assert wide.source.extra is not None and np.array_equal(wide.source.extra[:, 2:], extra)
    assert (wide.source.extra[:, :2] == extra[:, :1]).all() and any("border" in text for text in wide.remarks)

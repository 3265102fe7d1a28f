"""`Model.__call__`: types, promises 1 and 2, guides, batches, strategies, remarks, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import retouche
from retouche.inference import model as module
from retouche.methods.method import Scope
from retouche.pictures import open_picture

RANDOM = np.random.default_rng(5)
PICTURE = RANDOM.integers(0, 256, (60, 80, 3), np.uint8)
MASK = np.zeros((60, 80), bool)
MASK[20:35, 30:50] = True


@pytest.fixture(params=["mean", "harmonic", "exemplar"])
def fill(request: pytest.FixtureRequest) -> retouche.Model:
    return retouche.load(request.param)


def test_nothing_outside_the_hole_changes(fill: retouche.Model) -> None:
    filled = fill(PICTURE, MASK, dilate=0)
    assert np.array_equal(filled[~MASK], PICTURE[~MASK])
    assert not np.array_equal(filled[MASK], PICTURE[MASK])


def test_the_hole_is_not_read(fill: retouche.Model) -> None:
    other = PICTURE.copy()
    other[MASK] = 255 - other[MASK]
    assert np.array_equal(fill(PICTURE, MASK, dilate=0)[MASK], fill(other, MASK, dilate=0)[MASK])


def test_same_call_same_bytes(fill: retouche.Model) -> None:
    assert np.array_equal(fill(PICTURE, MASK, seed=4), fill(PICTURE, MASK, seed=4))


def test_the_type_given_is_the_type_returned(tmp_path: Path) -> None:
    model = retouche.load("mean")
    Image.fromarray(PICTURE).save(tmp_path / "picture.png")
    assert isinstance(model(tmp_path / "picture.png", MASK), Image.Image)
    assert isinstance(model(Image.fromarray(PICTURE), MASK), Image.Image)
    deep = PICTURE.astype(np.uint16) * 257
    assert model(deep, MASK).dtype == np.uint16
    assert model(PICTURE[..., 0], MASK).shape == (60, 80)
    tensor = torch.from_numpy(PICTURE).permute(2, 0, 1).double() / 255
    filled = model(tensor, MASK, dilate=0)
    assert filled.dtype == torch.float64 and filled.shape == tensor.shape
    assert torch.equal(filled[:, ~torch.from_numpy(MASK)], tensor[:, ~torch.from_numpy(MASK)])
    assert model(tensor[None], MASK).shape == (1, 3, 60, 80)


def test_a_batch_takes_one_mask_for_all_or_one_each() -> None:
    model = retouche.load("harmonic")
    pictures = torch.rand(3, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(3, 1, 24, 32)
    for index in range(3):
        masks[index, :, 5 + index : 12, 6:15] = 1
    reports: Any
    filled, reports = model(pictures, masks, dilate=0, report=True)
    assert len(reports) == 3
    for index in range(3):
        assert torch.equal(filled[index], model(pictures[index], masks[index], dilate=0))
    assert torch.equal(model(pictures, masks[:1], dilate=0)[2], model(pictures[2], masks[0], dilate=0))
    with pytest.raises(retouche.InputError, match="2 masks for 3 pictures"):
        model(pictures, masks[:2])


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 400), (300, 1), (2, 2)])
def test_any_size(size: tuple[int, int], fill: retouche.Model) -> None:
    picture = RANDOM.integers(0, 256, (*size, 3), np.uint8)
    mask = np.zeros(size, bool)
    if picture.size > 3:
        mask[size[0] // 2, size[1] // 2] = True
    filled = fill(picture, mask)
    assert filled.shape == picture.shape
    if not mask.any():
        assert np.array_equal(filled, picture)


def test_dilation_is_reported_and_bounds_the_change() -> None:
    filled, report = retouche.load("mean")(PICTURE, MASK, report=True)
    assert report.dilate == 1 and any("grown by 1 pixel" in remark for remark in report.remarks)
    near = np.zeros_like(MASK)
    near[19:36, 29:51] = True
    assert np.array_equal(filled[~near], PICTURE[~near])
    _, report = retouche.load("mean")(PICTURE, MASK, dilate=5, feather=9, report=True)
    assert (report.dilate, report.feather) == (5, 5)


def test_feather_blends_only_inside_the_ring() -> None:
    picture = np.full((40, 40, 3), 200, np.uint8)
    picture[18:22, 18:22] = 0
    mask = np.zeros((40, 40), bool)
    mask[18:22, 18:22] = True
    picture[10:30, 10:18] = 100  # contrast in the ring
    filled = retouche.load("mean")(picture, mask, dilate=6, feather=6)
    assert filled[20, 19, 0] not in {0, 200}
    ring = filled[20, 12:18, 0].astype(int)
    assert (np.diff(ring) >= 0).all() and ring[0] < ring[-1]


def test_report_says_what_happened() -> None:
    _, report = retouche.load("harmonic")(PICTURE, MASK, dilate=0, report=True)
    assert report.method == "harmonic" and report.width == 80 and report.height == 60
    assert report.hole_ratio == pytest.approx(MASK.mean())
    (hole,) = report.holes
    assert hole.hole_pixels == MASK.sum() and hole.box == (30, 20, 50, 35)
    assert report.as_json()["strategy"] == report.strategy == "whole"
    assert report.peak_memory_bytes > 1 << 20


def test_scaled_and_tiled_fills_keep_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = RANDOM.integers(0, 256, (300, 420, 3), np.uint8)
    thick, scratch = np.zeros((300, 420), bool), np.zeros((300, 420), bool)
    thick[60:240, 100:300] = True
    scratch[150:153, :] = True
    model = retouche.load("harmonic")
    monkeypatch.setattr(module.Model, "scope", property(lambda self: Scope(side=96, hole=48, pixel_bytes=100)))
    for mask, strategy in ((thick, "scale"), (scratch, "tile")):
        filled, report = model(picture, mask, dilate=0, report=True)
        assert report.strategy == strategy
        assert np.array_equal(filled[~mask], picture[~mask])
        assert (filled[mask] != picture[mask]).any(axis=-1).mean() > 0.9
    assert any("full size" in remark for remark in model(picture, thick, report=True)[1].remarks)


def test_shrinking_sees_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = RANDOM.integers(0, 256, (300, 420, 3), np.uint8)
    mask = np.zeros((300, 420), bool)
    mask[61:240, 101:299] = True
    other = picture.copy()
    other[mask] = 255
    monkeypatch.setattr(module.Model, "scope", property(lambda self: Scope(side=96, hole=48, pixel_bytes=100)))
    model = retouche.load("mean")
    assert np.array_equal(model(picture, mask, dilate=0)[mask], model(other, mask, dilate=0)[mask])


def test_words_for_wrong_use() -> None:
    model = retouche.load("mean")
    with pytest.raises(retouche.InputError, match="covers the whole picture"):
        model(PICTURE, np.ones((60, 80), bool))
    with pytest.raises(retouche.InputError, match="takes no sketch"):
        model(PICTURE, MASK, sketch=MASK)
    with pytest.raises(retouche.InputError, match="dilate is -1"):
        model(PICTURE, MASK, dilate=-1)
    with pytest.raises(retouche.InputError, match="memory is 0"):
        model(PICTURE, MASK, memory=0)
    with pytest.raises(retouche.InputError, match=r'did you mean "harmonic"\?'):
        retouche.load("harmonik")
    with pytest.raises(retouche.InputError, match="no network to create"):
        retouche.create("mean")


def test_a_dilation_that_would_leave_nothing_known_is_undone() -> None:
    picture = RANDOM.integers(0, 256, (7, 5, 3), np.uint8)
    mask = np.ones((7, 5), bool)
    mask[:, 0] = False
    filled, report = retouche.load("mean")(picture, mask, dilate=3, report=True)
    assert report.dilate == 0 and np.array_equal(filled[:, 0], picture[:, 0])


def test_a_picture_goes_in_and_a_picture_comes_out() -> None:
    opened = open_picture(PICTURE)
    filled = retouche.load("mean")(opened, MASK)
    assert type(filled) is type(opened)
    assert np.array_equal(opened.pixels, PICTURE)  # the original is not touched

"""Masks: every form users have them in, and distances, feathers and groups against slow and plain definitions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from retouche.errors import InputError
from retouche.masks import (
    components,
    default_dilation,
    dilate,
    distance,
    feather_weight,
    hole_ratio,
    open_mask,
    open_sketch,
)

HOLE = np.zeros((6, 9), bool)
HOLE[1:3, 2:6] = True
WHITE = HOLE.astype(np.uint8) * 255


def blobs(height: int, width: int, seed: int, share: float = 0.01) -> np.ndarray:
    """A few discs and single pixels."""
    generator = np.random.default_rng(seed)
    mask = generator.random((height, width)) < share / 20
    y, x = np.mgrid[:height, :width]
    for _ in range(4):
        mask |= (y - generator.integers(height)) ** 2 + (x - generator.integers(width)) ** 2 < generator.integers(1, 90)
    return mask


@pytest.mark.parametrize(
    "given",
    [
        HOLE,
        HOLE.astype(np.uint8),
        HOLE.astype(np.int64),
        HOLE.astype(np.float32),
        WHITE,
        WHITE[..., None],
        np.repeat(WHITE[..., None], 3, axis=2),
        np.asfortranarray(WHITE),
        HOLE.astype(np.uint16) * 65535,
        WHITE.astype(np.int32),
        torch.from_numpy(HOLE),
        torch.from_numpy(WHITE),
        torch.from_numpy(HOLE).float()[None],
        torch.from_numpy(HOLE).bfloat16()[None, None],
        Image.fromarray(WHITE),
        Image.fromarray(WHITE).convert("1"),
        Image.fromarray(WHITE).convert("RGB"),
        Image.fromarray(WHITE).convert("RGBA"),
        Image.fromarray(WHITE).convert("P"),
        Image.fromarray(HOLE.astype(np.uint16) * 65535),
    ],
    ids=lambda given: f"{type(given).__name__}-{getattr(given, 'dtype', getattr(given, 'mode', ''))}",
)
def test_every_form_means_the_same_hole(given):
    hole, remarks = open_mask(given, (6, 9))
    assert hole.dtype == bool and np.array_equal(hole, HOLE) and remarks == []
    inverted, remarks = open_mask(given, (6, 9), invert=True)
    assert np.array_equal(inverted, ~HOLE)
    assert remarks == ["mask is 85% hole: is it inverted? leave out --invert-mask"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_mask_files(tmp_path, suffix):
    big = np.kron(WHITE, np.ones((16, 16), np.uint8))
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(big).save(tmp_path / f"a.{suffix}", **options)
    hole, _ = open_mask(tmp_path / f"a.{suffix}", big.shape)
    assert np.array_equal(hole, big > 127)
    assert np.array_equal(open_mask(str(tmp_path / f"a.{suffix}"), None)[0], big > 127)
    assert np.array_equal(open_sketch(tmp_path / f"a.{suffix}", big.shape), big > 127)


def test_mask_files_are_turned_as_displayed(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(WHITE).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(open_mask(tmp_path / "a.png", (9, 6))[0], np.rot90(HOLE, -1))


def test_thresholds():
    assert open_mask(np.array([[0, 127, 128, 255]], np.uint8), None)[0].tolist() == [[False, False, True, True]]
    assert open_mask(np.array([[0, 32767, 32768]], np.uint16), None)[0].tolist() == [[False, False, True]]
    assert open_mask(np.array([[0, 0.5, 0.51, 1]]), None)[0].tolist() == [[False, False, True, True]]


def test_colour_counts_by_luma_and_opacity_where_it_varies():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]], np.uint8)
    assert open_mask(colours, None)[0].tolist() == [[False, True, False, True]]
    layered = np.zeros((6, 9, 4), np.uint8)
    layered[..., 3] = WHITE
    hole, remarks = open_mask(layered, None)
    assert np.array_equal(hole, HOLE) and "opaque is hole" in remarks[0]
    layered[0, 0, :3] = 255  # seen by nobody
    assert np.array_equal(open_mask(layered, None)[0], HOLE)
    assert open_mask(np.full((2, 2, 4), 255, np.uint8), None)[0].all()


def test_remarks():
    soft = WHITE.copy()
    soft[0, :5] = (3, 99, 127, 128, 254)
    assert open_mask(soft, None)[1] == [
        "mask holds 5 grey values between black and white (a JPEG?): the lighter half is hole"
    ]
    assert open_mask(255 - WHITE, None)[1] == ["mask is 85% hole: is it inverted? --invert-mask"]
    assert open_mask(np.zeros((3, 3), np.uint8), None)[1] == ["mask is empty: nothing to fill"]
    assert open_mask(np.ones((3, 3), bool), None)[0].all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (WHITE[:, :8], "mask is 8x6 but the picture is 9x6: give a mask of the same size"),
        (np.full((6, 9), 2.0), "give 0..1"),
        (np.full((6, 9), np.nan), "give 0..1"),
        (np.full((6, 9), -1), "0..255"),
        (np.full((6, 9), 700, np.int32), "0..255"),
        (np.zeros((6, 9), complex), "give booleans"),
        (np.zeros((6,), bool), "give (H, W)"),
        (np.zeros((6, 9, 5), bool), "give (H, W)"),
        (torch.zeros(2, 6, 9), "(1, H, W)"),
        (None, "give a path"),
        (np.zeros((0, 9), bool), "at least one pixel"),
        (Image.new("CMYK", (9, 6)), "black and white PNG"),
    ],
)
def test_what_cannot_be_used_is_named(given, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        open_mask(given, (6, 9))
    assert "\n" not in str(caught.value)


def test_a_file_of_another_size_is_named(tmp_path):
    Image.fromarray(WHITE).save(tmp_path / "holes.png")
    with pytest.raises(InputError, match=r"holes\.png is 9x6 but the picture is 5x4"):
        open_mask(tmp_path / "holes.png", (4, 5))
    with pytest.raises(InputError, match="give a sketch of the same size"):
        open_sketch(tmp_path / "holes.png", (4, 5))


def test_measures():
    assert hole_ratio(HOLE) == 8 / 54
    assert [default_dilation(*size) for size in ((1, 1), (512, 300), (100, 2560), (10000, 10000))] == [1, 2, 10, 39]


# Distances ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (1, 4000), (700, 600), (90, 1100)], ids=str)
@pytest.mark.parametrize("limit", [1, 2, 7, 50, 200])
def test_distance_agrees_with_scipy(shape, limit):
    mask = blobs(shape[0], shape[1], seed=limit)
    mask[0, 0] = True
    exact = ndimage.distance_transform_edt(~mask)
    ours = distance(mask, limit)
    near = exact <= limit + 1e-9
    assert np.isinf(ours[~near]).all()
    np.testing.assert_allclose(ours[near], exact[near], rtol=1e-6)
    assert np.array_equal(dilate(mask, limit), near)


def test_dilation_by_hand():
    point = np.zeros((5, 5), bool)
    point[2, 2] = True
    cross = np.array([[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], bool)
    assert np.array_equal(dilate(point, 1), cross)
    assert dilate(point, 2).sum() == 13
    same = dilate(point, 0)
    assert np.array_equal(same, point) and same is not point
    assert not dilate(np.zeros((5, 5), bool), 3).any() and dilate(np.ones((5, 5), bool), 3).all()
    with pytest.raises(InputError, match="0 or more"):
        dilate(point, -1)


def test_feather_by_hand():
    mask = np.zeros((1, 9), bool)
    mask[0, 0] = True
    dilated = dilate(mask, 4)
    assert feather_weight(mask, dilated, 0)[0].tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0]
    np.testing.assert_allclose(feather_weight(mask, dilated, 4)[0], [1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(feather_weight(mask, dilated, 99)[0], [1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(feather_weight(mask, dilated, 1)[0], [1, 1, 1, 1, 0.5, 0, 0, 0, 0], rtol=1e-6)
    assert np.array_equal(feather_weight(mask, mask, 5), mask.astype(np.float32))
    empty = np.zeros((3, 3), bool)
    assert not feather_weight(empty, empty, 5).any()
    with pytest.raises(InputError, match="0 or more"):
        feather_weight(mask, dilated, -1)


def test_feather_of_a_ring_wider_than_the_feather():
    mask = np.zeros((80, 80), bool)
    mask[40, 40] = True
    weight = feather_weight(mask, dilate(mask, 35), 3)
    assert weight[40, 8] == 1 and weight[40, 5] == pytest.approx(0.25) and weight[40, 4] == 0


# Groups -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0, 1, 2, 5, 16])
@pytest.mark.parametrize("seed", range(4))
def test_components_agree_with_pixel_distances(gap, seed):
    generator = np.random.default_rng(seed)
    mask = generator.random((40, 55)) < (0.3, 0.05, 0.01, 0.003)[seed]
    at = np.argwhere(mask)
    apart = np.abs(at[:, None] - at[None]).max(axis=2)  # the larger of dx and dy
    group = np.arange(len(at))
    while True:
        lowest = np.where(apart <= gap + 1, group[None], len(at)).min(axis=1, initial=len(at))
        if np.array_equal(lowest, group):
            break
        group = lowest
    expected = []
    for label in np.unique(group):
        (y0, x0), (y1, x1) = at[group == label].min(axis=0), at[group == label].max(axis=0)
        expected.append((int(x0), int(y0), int(x1) + 1, int(y1) + 1))
    assert sorted(components(mask, gap)) == sorted(expected)


def test_components_by_hand():
    mask = np.zeros((20, 30), bool)
    mask[2:5, 3:6] = mask[2:5, 9:12] = mask[15, 29] = True
    assert components(mask, 2) == [(3, 2, 6, 5), (9, 2, 12, 5), (29, 15, 30, 16)]
    assert components(mask, 3) == [(3, 2, 12, 5), (29, 15, 30, 16)]
    assert components(mask, 40) == [(3, 2, 30, 16)]
    assert components(np.zeros((4, 4), bool), 3) == []
    assert components(np.ones((4, 5), bool), 3) == [(0, 0, 5, 4)]
    assert components(np.ones((1, 1), bool), 0) == [(0, 0, 1, 1)]


def test_a_spiral_is_one_component():
    mask = np.zeros((41, 41), bool)
    y, x, dy, dx, length = 20, 20, 0, 1, 2
    mask[y, x] = True
    while length < 40:
        for _ in range(2):
            for _ in range(length):
                y, x = y + dy, x + dx
                if 0 <= y < 41 and 0 <= x < 41:
                    mask[y, x] = True
            dy, dx = dx, -dy
        length += 2
    assert len(components(mask, 0)) == 1

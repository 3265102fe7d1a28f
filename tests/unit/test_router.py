"""The shipped default: which path fills what, that nothing else is touched, and that sketches steer large holes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

import retouche
from retouche.masks import dilate, dilate_thick, opened
from retouche.methods import DEFAULT, find
from retouche.methods.catalogue import installed
from retouche.methods.retouche import THICK, route

SHIPPED = ("thin", "layout", "refine")


def blank(*size: int) -> np.ndarray:
    return np.zeros(size, np.bool_)


def textured(side: int) -> np.ndarray:
    """Stripes and a slope with a little noise."""
    y, x = np.mgrid[:side, :side]
    grey = 100 + 60 * np.sin(x / 3) + 40 * y / side + np.random.default_rng(0).normal(0, 4, (side, side))
    return np.clip(np.stack([grey, grey * 0.8, 255 - grey], -1), 0, 255).astype(np.uint8)


def test_thin_and_thick_parts_take_their_own_paths() -> None:
    hole = blank(200, 300)
    hole[20:120, 30:130] = True
    hole[60:64, 130:280] = True  # a handle on the box
    hole[150:153, 10:250] = True
    hole[180:183, 5:8] = True
    paths = {each.path: each.hole for each in route(hole)}
    assert list(paths) == ["thin", "guided"]
    assert np.array_equal(paths["thin"] | paths["guided"], hole) and not (paths["thin"] & paths["guided"]).any()
    assert paths["guided"][20:120, 30:130].all(), "corners and rims belong to the box"
    assert paths["thin"][60:64, 150:280].all() and paths["thin"][150:153, 10:250].all()


def test_the_limit_is_the_square_that_fits() -> None:
    for side, path in ((2 * THICK, "thin"), (2 * THICK + 1, "guided")):
        hole = blank(90, 90)
        hole[30 : 30 + side, 10:80] = True
        assert [each.path for each in route(hole)] == [path]


def test_a_scratch_stays_thin_where_it_meets_the_border() -> None:
    hole = blank(80, 120)
    hole[40:52] = True
    hole[:, 60:66] = True
    assert [each.path for each in route(hole)] == ["thin"]


def test_hardly_anything_known_is_the_membranes() -> None:
    hole = ~blank(40, 40)
    hole[:2, :5] = False
    assert [each.path for each in route(hole)] == ["harmonic"]


def test_the_report_says_who_and_why() -> None:
    picture, hole = textured(160), blank(160, 160)
    hole[20:80, 20:80] = True
    hole[120:123, 10:150] = True
    filled, report = retouche.load("default")(picture, hole, dilate=0, report=True)
    assert report.method == DEFAULT == "retouche"
    assert [(each.method, bool(each.why)) for each in report.holes] == [("thin", True), ("guided", True)]
    assert sum(each.hole_pixels for each in report.holes) == hole.sum()
    assert np.array_equal(filled[~hole], picture[~hole])
    again = retouche.load("default")(picture, hole, dilate=0)
    assert np.array_equal(filled, again)


def test_each_path_may_be_named() -> None:
    picture, hole = textured(64), blank(64, 64)
    hole[15:45, 15:45] = True
    fills = [retouche.load(name)(picture, hole, dilate=0) for name in ("retouche", "thin", "exemplar", "harmonic")]
    assert len({fill.tobytes() for fill in fills}) == 4


def test_a_sketch_steers_large_holes_and_no_sketch_changes_nothing() -> None:
    picture, hole = textured(128), blank(128, 128)
    hole[30:100, 30:100] = True
    strokes = blank(128, 128)
    strokes[60:63, 30:100] = True
    model = retouche.load("default")
    plain = model(picture, hole, dilate=0)
    assert np.array_equal(plain, model(picture, hole, sketch=blank(128, 128), dilate=0)), "an empty sketch says nothing"
    guided = model(picture, hole, sketch=strokes, dilate=0)
    assert not np.array_equal(plain, guided)
    assert np.array_equal(guided[~hole], picture[~hole])


def test_the_fill_alone_does_what_the_model_does() -> None:
    picture, hole = textured(96), blank(96, 96)
    hole[20:60, 20:60] = True
    hole[70:73, 5:90] = True
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    fill = find("retouche").fill
    assert fill is not None
    made = fill(image, torch.from_numpy(hole).float()[None, None], 0)
    ours = ((made[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy()
    filled = retouche.load("retouche")(picture, hole, dilate=0)
    line = blank(96, 96)
    line[70:73, 5:90] = True  # filled first; the box then sees its values rounded to bytes, or not
    assert np.abs(ours[line].astype(int) - filled[line]).max() <= 1
    assert np.abs(ours[hole].astype(int) - filled[hole]).mean() < 8


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_file_is_the_documented_one(name: str) -> None:
    (weights,) = find(name).weights
    path = installed(name)
    assert path is not None and weights.packaged and weights.sha256 is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.sha256
    assert path.stat().st_size == weights.size_bytes
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert weights.sha256 in page
    model = retouche.load(name)
    assert model.header["licence"] == "MIT" and model.generator is not None


def test_shipped_weights_fit_the_wheel() -> None:
    assert sum((find(name).weights[0].size_bytes or 0) for name in SHIPPED) < 15_000_000


# Dilation by the hole's own thickness


def test_opening_by_hand() -> None:
    hole = blank(12, 20)
    hole[3:8, 4:11] = True  # 5 x 7
    hole[5, 11:18] = True  # a line
    assert opened(hole, 2).sum() == 35 and not opened(hole, 2)[5, 12:].any()
    assert not opened(hole, 3).any()
    edge = blank(10, 10)
    edge[:, :2] = True  # with its mirror image four pixels wide
    assert np.array_equal(opened(edge, 1), edge) and not opened(edge, 2).any()


def test_a_speck_stays_small_in_a_large_picture() -> None:
    hole = blank(400, 400)
    hole[100:103, 100:103] = True
    hole[200:300, 200:300] = True
    grown = dilate_thick(hole, 16)
    assert grown[:150, :150].sum() <= 25
    whole = dilate(hole, 16)
    assert np.array_equal(grown[170:330, 170:330], whole[170:330, 170:330]), "a thick hole grows as it did"
    assert not (grown & ~whole).any() and (grown | hole == grown).all()
    assert np.array_equal(dilate_thick(blank(9, 9), 4), blank(9, 9))


def test_the_default_dilation_follows_the_hole() -> None:
    picture = np.full((3000, 4000, 3), 128, np.uint8)
    hole = blank(3000, 4000)
    hole[1000:1003, 1000:1003] = True
    picture[1000:1003, 1000:1003] = 0
    _, report = retouche.load("harmonic")(picture, hole, report=True)
    assert report.hole_ratio * picture.shape[0] * picture.shape[1] <= 25.5

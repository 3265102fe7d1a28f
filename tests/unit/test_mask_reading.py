"""Masks as people's programs write them: by brightness, by opacity, or refused with both readings named."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import retouche
from retouche.errors import InputError
from retouche.masks import open_mask, open_sketch

RANDOM = np.random.default_rng(8)
HOLE = np.zeros((40, 60), bool)
HOLE[8:20, 10:34] = True
PHOTO = RANDOM.integers(0, 256, (40, 60, 3), np.uint8)


def layer(opaque: np.ndarray, colour: Any, hidden: Any = 0, alpha: int = 255) -> np.ndarray:
    """RGBA: a colour (or picture) where it is opaque, hidden colours elsewhere."""
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[..., :3] = np.where(opaque[..., None], colour, hidden)
    rgba[..., 3] = np.where(opaque, alpha, 0)
    return rgba


# Two values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (0, 100), (0, 127), (100, 200), (200, 255), (0, 255)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_two_values_are_background_and_hole(tmp_path, pair, kind):
    values = np.where(HOLE, *pair[::-1]).astype(kind)
    assert np.array_equal(open_mask(values, HOLE.shape)[0], HOLE)
    assert np.array_equal(open_mask(torch.from_numpy(values.astype(np.int64)), HOLE.shape)[0], HOLE)
    if kind != np.int32:
        Image.fromarray(values).save(tmp_path / "a.png")
        hole, remarks = open_mask(tmp_path / "a.png", HOLE.shape)
        assert np.array_equal(hole, HOLE)
        plain = pair[1] == np.iinfo(kind).max and not pair[0]
        assert remarks == ([] if plain else [f"mask holds {pair[0]} and {pair[1]} only: {pair[1]} is hole"])


@pytest.mark.parametrize(
    "colours", [((0, 0, 0), (128, 0, 0)), ((20, 20, 20), (60, 60, 60)), ((0, 0, 90), (200, 10, 0))]
)
def test_palettes_of_two_colours(tmp_path, colours):
    image = Image.new("P", (60, 40))
    image.putdata(HOLE.ravel().astype(int).tolist())
    image.putpalette([value for colour in colours for value in colour])
    image.save(tmp_path / "a.png")
    assert np.array_equal(open_mask(tmp_path / "a.png", HOLE.shape)[0], HOLE)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.where(HOLE, 90, 0) + np.where(np.roll(HOLE, 3), 5, 0), "none above 127: either all above 0 is hole"),
        ((PHOTO[..., 0] % 9), "none above 127"),
        (PHOTO[..., 0].astype(np.uint16), "none above 32767"),
        (np.where(HOLE[..., None], (255, 0, 0), (0, 130, 0)), "same brightness"),
        (
            np.where(HOLE[..., None], (128, 0, 0), np.where(np.roll(HOLE, 15, 0)[..., None], (224, 224, 192), 0)),
            "either each colour is hole, or the light ones",
        ),
    ],
    ids=["dark greys", "labels", "8 bit in 16", "alike", "coloured labels"],
)
def test_ambiguous_brightness_is_refused(values, words):
    values = values if values.dtype == np.uint16 else values.astype(np.uint8)
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        open_mask(values, HOLE.shape)
    assert "save it in black and white, white = hole" in str(caught.value) and "\n" not in str(caught.value)


def test_one_value_is_all_or_nothing():
    for value, hole in ((0, False), (1, False), (100, False), (128, True), (255, True)):
        image = Image.fromarray(np.full(HOLE.shape, value, np.uint8))
        assert open_mask(image, HOLE.shape)[0].all() == hole == open_mask(image, HOLE.shape)[0].any()


# Opacity ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [0, 255, PHOTO], ids=["black", "white", "noise"])
@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (200, 30, 30), (0, 0, 255)], ids=str)
@pytest.mark.parametrize("alpha", [255, 187, 90])
def test_a_stroke_of_any_colour_on_a_clear_layer_is_hole(tmp_path, colour, hidden, alpha):
    rgba = layer(HOLE, colour, hidden, alpha)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    for given in (rgba, Image.fromarray(rgba), tmp_path / "a.png"):
        hole, remarks = open_mask(given, HOLE.shape)
        assert np.array_equal(hole, HOLE) and remarks == ["mask is painted on a clear layer: opaque is hole"]
        assert np.array_equal(open_sketch(given, HOLE.shape), HOLE)


def test_strokes_of_several_colours_with_soft_edges():
    rgba = layer(HOLE, (255, 0, 0))
    rgba[30:36, 5:50] = (0, 0, 0, 255)
    rgba[25:28, 40:50] = (255, 255, 0, 255)
    rgba[36:38, 5:50] = (250, 10, 20, 80)
    assert np.array_equal(open_mask(rgba, HOLE.shape)[0], rgba[..., 3] > 127)


def test_white_paint_over_most_of_the_picture_is_still_hole():
    assert np.array_equal(open_mask(layer(~HOLE, 255), HOLE.shape)[0], ~HOLE)


@pytest.mark.parametrize("deep", [False, True])
def test_a_photograph_with_its_object_erased(tmp_path, deep):
    rgba = layer(~HOLE, PHOTO, PHOTO)
    given = rgba.astype(np.uint16) * 257 if deep else rgba
    hole, remarks = open_mask(given, HOLE.shape)
    assert np.array_equal(hole, HOLE)
    assert remarks == ["mask is a picture with a part erased: the transparent part is hole"]
    grey = np.dstack([rgba[..., 0], rgba[..., 3]])
    assert np.array_equal(open_mask(grey, HOLE.shape)[0], HOLE)
    assert np.array_equal(open_mask(given.astype(np.float32) / given.max(), HOLE.shape)[0], HOLE)


def test_black_and_white_with_clear_parts():
    rgba = layer(~np.roll(HOLE, 15, 0), np.where(HOLE[..., None], 255, 0), 255)
    hole, remarks = open_mask(rgba, HOLE.shape)
    assert np.array_equal(hole, HOLE & (rgba[..., 3] > 0)) and remarks == ["mask has clear parts, which are no hole"]


@pytest.mark.parametrize(
    ("rgba", "words"),
    [
        (layer(HOLE, PHOTO), "12% opaque: either what is opaque is hole (painted or cut out)"),
        (layer(~HOLE, (0, 0, 0)), "or what is transparent (erased)"),
        (layer(~HOLE, np.where(HOLE[::-1, ..., None], (10, 200, 10), (90, 0, 0))), "or what is transparent (erased)"),
        (layer(HOLE, np.where(np.roll(HOLE, 5, 0)[..., None], 255, 0)), "or only what is white"),
        (layer(HOLE & False, 0, PHOTO), "wholly transparent: either nothing is hole, or what its hidden colours say"),
    ],
    ids=["cut out", "black with a clear part", "drawing with a clear part", "black and white strokes", "invisible"],
)
def test_ambiguous_opacity_is_refused(rgba, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        open_mask(rgba, HOLE.shape)
    assert "save it in black and white, white = hole" in str(caught.value)


def test_an_empty_layer_and_equal_opacity():
    assert open_mask(layer(HOLE & False, 0), HOLE.shape)[1] == ["mask is empty: nothing to fill"]
    black_and_white = np.where(HOLE[..., None], 255, 0)
    for alpha in (1, 128, 255):
        rgba = layer(HOLE | True, black_and_white, alpha=alpha)
        assert np.array_equal(open_mask(rgba, HOLE.shape)[0], HOLE)
    rgba[0, 0, 3] = 200  # nothing is clear: colour counts
    assert np.array_equal(open_mask(rgba, HOLE.shape)[0], HOLE)


# Numbers and sizes --------------------------------------------------------------------------------------------------


def test_several_masks_for_one_picture():
    masks = torch.zeros(4, 1, 40, 60)
    several: Any = [HOLE] * 4
    model = retouche.load("mean")
    for picture in (PHOTO, torch.rand(1, 3, 40, 60), torch.rand(3, 40, 60), Image.fromarray(PHOTO)):
        with pytest.raises(InputError, match="4 masks for one picture"):
            model(picture, masks)
    with pytest.raises(InputError, match="give"):
        model(PHOTO, several)
    with pytest.raises(InputError, match="give"):
        model(PHOTO, masks[:, 0].numpy())


def test_an_empty_mask_is_a_warning(caplog):
    retouche.load("mean")(PHOTO, HOLE & False)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "mask is empty: nothing to fill"
    ]
    caplog.clear()
    retouche.load("mean")(PHOTO, HOLE)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_huge_dilation_ends_at_the_diagonal():
    big = RANDOM.integers(0, 256, (2000, 3000, 3), np.uint8)
    hole = np.zeros((2000, 3000), bool)
    hole[9, 9] = True
    filled, report = retouche.load("mean")(big, hole, dilate=10**12, feather=10**15, report=True)
    assert report.dilate == 0 and np.array_equal(filled[~hole], big[~hole])
    assert any("leave nothing known" in remark for remark in report.remarks)


# Turned pictures ----------------------------------------------------------------------------------------------------


def turned(orientation: int, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """A PIL image as a camera writes it: stored one way, shown another."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(PHOTO).resize(size)
    image.info["exif"] = exif.tobytes()
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("size", [(60, 40), (40, 40)], ids=str)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", [np.asarray, torch.from_numpy, lambda mask: torch.from_numpy(mask)[None, None].float()]
)
def test_an_array_belongs_to_the_stored_pixels(orientation, size, kind):
    image = turned(orientation, size)
    stored = np.zeros(image.size[::-1], bool)
    stored[3:12, 5:30] = True
    shown = np.asarray(ImageOps.exif_transpose(image))
    hole = ImageOps.exif_transpose(turned_like(stored, orientation))
    filled = np.asarray(retouche.load("mean")(image, kind(stored), dilate=0))
    assert filled.shape == shown.shape
    assert np.array_equal((filled != shown).any(axis=2), np.asarray(hole) > 0)


def turned_like(mask: np.ndarray, orientation: int) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    image.getexif()[0x0112] = orientation
    return image


def test_a_pil_mask_drawn_at_the_stored_size_is_turned_and_one_as_shown_is_not():
    image = turned(6)
    stored = Image.new("L", image.size)
    stored.paste(255, (5, 3, 30, 12))
    shown = np.asarray(ImageOps.exif_transpose(image))
    for mask in (stored, stored.transpose(Image.Transpose.ROTATE_270), turned_like(np.asarray(stored) > 0, 6)):
        changed = (np.asarray(retouche.load("mean")(image, mask, dilate=0)) != shown).any(axis=2)
        assert np.array_equal(changed, np.rot90(np.asarray(stored) > 0, -1))


def test_an_array_of_the_shown_size_is_refused_naming_the_orientation():
    image = turned(6)
    with pytest.raises(InputError, match="EXIF orientation 6 turns: give a mask for these"):
        retouche.load("mean")(image, np.zeros((60, 40), bool))


def test_sketches_and_structures_are_turned_alike():
    image, hole = turned(8), np.zeros((40, 60), bool)
    hole[10:30, 20:45] = True
    sketch = np.zeros((40, 60), bool)
    sketch[15:18, 20:45] = True
    model = retouche.load("guided")
    upright = ImageOps.exif_transpose(image)
    assert np.array_equal(
        np.asarray(model(image, hole, sketch=sketch)),
        np.asarray(model(upright, np.rot90(hole), sketch=np.rot90(sketch))),
    )


def test_a_file_with_its_sides_exchanged_is_told_so(tmp_path):
    Image.fromarray(HOLE.T).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="the same size and turned as the picture is shown"):
        open_mask(tmp_path / "a.png", HOLE.shape)

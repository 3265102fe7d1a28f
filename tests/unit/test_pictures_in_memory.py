"""PIL images, arrays and tensors come back as they came; values on their way to a network and back."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from pictures_made import SRGB, pil, smooth, values
from PIL import Image

from retouche.errors import InputError
from retouche.image import to_uint8
from retouche.pictures import open_picture

# What users give in memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pil_in_pil_out(mode):
    channels = {"1": 1, "YCbCr": 3, "I;16": 2}.get(mode, len(mode))
    array = values(6, 9, channels)
    given = pil(array, "L").convert("1") if mode == "1" else pil(array, mode)
    given.info["icc_profile"] = SRGB
    before = given.tobytes()
    picture = open_picture(given)
    assert picture.rgb().shape == (1, 3, 6, 9)
    back: Any = picture.as_given()
    assert back.mode == mode and back.tobytes() == before and back.info["icc_profile"] == SRGB
    picture.paste(torch.ones(1, 3, 2, 2), (3, 1, 5, 3), torch.ones(1, 1, 2, 2))
    assert given.tobytes() == before and back.tobytes() == before
    filled: Any = picture.as_given()
    assert filled.mode == mode
    assert (
        np.asarray(filled.convert("RGB") if mode not in ("I;16", "1") else filled)[1:3, 3:5].min() >= 254 or mode == "1"
    )


def test_lazy_pil_pictures(tmp_path):
    pil(smooth(20, 30), "RGB").save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as lazy:
        assert isinstance(open_picture(lazy).as_given(), Image.Image)
        assert lazy.mode == "RGB"


def test_palettes_become_rgb_and_say_so(tmp_path):
    given = pil(smooth(20, 30), "RGB").quantize(16)
    given.save(tmp_path / "a.png")
    given.save(tmp_path / "t.png", transparency=3)
    picture = open_picture(tmp_path / "a.png")
    assert picture.mode == "RGB" and picture.remarks == ["palette picture became RGB"]
    assert np.array_equal(picture.pixels, np.asarray(given.convert("RGB")))
    picture = open_picture(tmp_path / "t.png")
    assert picture.mode == "RGBA" and picture.remarks == ["palette picture became RGBA"]
    assert np.array_equal(picture.alpha() == 0, np.asarray(given) == 3)


def test_transparent_colour_becomes_alpha(tmp_path):
    array = smooth(6, 6)
    pil(array, "RGB").save(tmp_path / "a.png", transparency=tuple(int(v) for v in array[2, 2]))
    picture = open_picture(tmp_path / "a.png")
    assert picture.mode == "RGBA" and picture.alpha()[2, 2] == 0
    pil(array[..., :1], "L").save(tmp_path / "b.png", transparency=int(array[2, 2, 0]))
    picture = open_picture(tmp_path / "b.png")
    assert picture.mode == "LA" and picture.alpha()[2, 2] == 0


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_array_in_array_out(shape, dtype):
    given = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    given.flags.writeable = False
    back: Any = open_picture(given).as_given()
    assert back.shape == shape and back.dtype == np.dtype(dtype) and np.array_equal(back, given)


def test_arrays_in_any_memory_order():
    array = values(6, 8, 3)
    for given in (np.asfortranarray(array), array[::-1], array[:, ::2], array.transpose(1, 0, 2), array[..., ::-1]):
        picture = open_picture(given)
        picture.paste(torch.zeros(1, 3, 1, 1), (0, 0, 1, 1), torch.ones(1, 1, 1, 1))
        back: Any = picture.as_given()
        assert np.array_equal(back[1:], given[1:]) and (back[0, 0] == 128).all()
    assert np.array_equal(array, values(6, 8, 3))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)], ids=str)
def test_float_arrays_are_taken_like_float_tensors(dtype, shape):
    given = np.random.default_rng(0).random(shape).astype(dtype)
    picture = open_picture(given)
    picture.paste(torch.ones(1, 3, 2, 2), (1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    back: Any = picture.as_given()
    assert back.dtype == given.dtype and back.shape == shape
    assert (back.reshape(5, 7, -1)[1:3, 1:3, :3] > 0.999).all()
    back[1:3, 1:3] = given[1:3, 1:3]
    assert np.array_equal(back, given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 3, 5, 7)], ids=str)
def test_tensor_in_tensor_out(dtype, shape):
    given = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    kept = given.clone()
    picture = open_picture(given)
    assert picture.rgb().dtype == torch.float32
    picture.paste(torch.ones(1, 3, 2, 2), (1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    back: Any = picture.as_given()
    assert back.dtype == dtype and back.shape == shape and back.device == given.device
    assert (back[..., 1:3, 1:3] == 1).all()
    back[..., 1:3, 1:3] = given[..., 1:3, 1:3]
    assert torch.equal(back, kept) and torch.equal(given, kept)


def test_tensor_with_gradient_and_strides():
    given = torch.rand(5, 7, 3, requires_grad=True).permute(2, 0, 1)
    back: Any = open_picture(given).as_given()
    assert torch.equal(back, given.detach())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((5, 7), bool), "uint8 or uint16"),
        (np.zeros((5, 7, 3), np.int64), "uint8 or uint16"),
        (np.zeros((5, 7, 3), np.longdouble), "give float64 or smaller"),
        (np.full((5, 7, 3), 1.5), "0..1"),
        (np.full((5, 7), np.nan, np.float32), "0..1"),
        (np.zeros((3, 5, 7), np.uint8), "(H, W, 3)"),
        (np.zeros((0, 7, 3), np.uint8), "(H, W, 3)"),
        (np.zeros((5,), np.uint8), "(H, W, 3)"),
        (torch.zeros(3, 5, 7, dtype=torch.uint8), "float tensor"),
        (torch.zeros(5, 7, 3), "float tensor"),
        (torch.zeros(2, 3, 5, 7), "float tensor"),
        (torch.full((3, 5, 7), 2.0), "0..1"),
        (torch.full((3, 5, 7), -0.1), "0..1"),
        (torch.full((3, 5, 7), float("nan")), "0..1"),
        (torch.full((3, 5, 7), float("inf")), "0..1"),
        (b"bytes", "give a path"),
        (None, "give a path"),
        (Image.new("F", (3, 3)), "convert it"),
        (Image.new("HSV", (3, 3)), "convert it"),
        (Image.new("I", (3, 3)), "convert it"),
        (Image.new("RGB", (0, 3)), "at least one pixel"),
    ],
)
def test_what_cannot_be_used_is_named(given, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        open_picture(given)
    assert "\n" not in str(caught.value)


def test_a_picture_is_returned_as_it_is():
    picture = open_picture(values(3, 3, 3))
    assert open_picture(picture) is picture
    copy = picture.copy()
    copy.pixels[0] = 0
    copy.remarks.append("x")
    assert picture.pixels[0].any() and not picture.remarks


# Values --------------------------------------------------------------------------------------------------------------


def test_rgb_by_hand():
    picture = open_picture(np.array([[[0, 51, 255]]], np.uint8))
    assert torch.allclose(picture.rgb(), torch.tensor([-1, -0.6, 1]).view(1, 3, 1, 1))
    deep = open_picture(np.array([[[0, 13107, 65535]]], np.uint16))
    assert torch.allclose(deep.rgb(), picture.rgb())
    grey = open_picture(np.array([[0, 255]], np.uint8))
    assert torch.equal(grey.rgb(), torch.tensor([-1.0, 1.0]).expand(1, 3, 1, 2))
    inks = open_picture(Image.new("CMYK", (1, 1), (0, 255, 255, 0)))
    assert torch.equal(inks.rgb(), torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1))


def test_rgb_of_a_box_is_a_cut_of_the_whole():
    for given in (values(6, 8, 3), values(6, 8, 1), pil(values(6, 8, 4), "CMYK"), torch.rand(3, 6, 8)):
        picture = open_picture(given)
        assert torch.equal(picture.rgb((2, 1, 7, 4)), picture.rgb()[..., 1:4, 2:7])


def test_every_level_survives_the_way_through_a_tensor():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    picture = open_picture(levels)
    assert np.array_equal(to_uint8(picture.rgb()), levels)
    blank = open_picture(np.zeros_like(levels))
    blank.paste(picture.rgb(), (0, 0, 16, 16), torch.ones(1, 1, 16, 16))
    assert np.array_equal(blank.pixels, levels)
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    blank = open_picture(np.zeros_like(deep))
    blank.paste(open_picture(deep).rgb(), (0, 0, 256, 256), torch.ones(1, 1, 256, 256))
    assert np.array_equal(blank.pixels, deep)


def test_paste_by_hand():
    picture = open_picture(np.full((1, 4, 4), 100, np.uint8))
    weight = torch.tensor([0, 0.25, 0.5, 1]).view(1, 1, 1, 4)
    picture.paste(torch.ones(1, 3, 1, 4), (0, 0, 4, 1), weight)
    assert picture.pixels[0, :, 0].tolist() == [100, 139, 178, 255]  # 100 + w * 155, rounded
    assert (picture.pixels[..., 3] == 100).all()
    grey = open_picture(np.zeros((1, 1), np.uint8))
    grey.paste(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1), (0, 0, 1, 1), torch.ones(1, 1, 1, 1))
    assert grey.pixels.item() == round(0.299 * 255)
    with pytest.raises(InputError, match="NaN"):
        grey.paste(torch.full((1, 3, 1, 1), float("nan")), (0, 0, 1, 1), torch.ones(1, 1, 1, 1))
    grey.paste(torch.full((1, 3, 1, 1), float("nan")), (0, 0, 1, 1), torch.zeros(1, 1, 1, 1))
    assert grey.pixels.item() == round(0.299 * 255)

"""Four inks: flat ink stays flat, the black plate stays black, profiles are used, YCCK stays YCCK."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image, JpegImagePlugin

import retouche
from retouche.pictures import Picture, decode, encode, open_picture
from retouche.pictures.inks import appearance, separation, spread

FLAT = [(0, 0, 0, 128), (0, 0, 0, 255), (30, 60, 90, 200), (200, 180, 170, 40), (0, 0, 0, 0), (255, 255, 255, 255)]


def hole(height: int = 60, width: int = 80) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[20:40, 25:55] = 255
    return mask


@pytest.mark.parametrize("method", ["mean", "harmonic", "exemplar", "default"])
@pytest.mark.parametrize("inks", FLAT, ids=str)
def test_flat_ink_stays_flat_in_all_four(method, inks):
    given = Image.new("CMYK", (80, 60), inks)
    given.paste((9, 99, 199, 3), (25, 20, 55, 40))  # what is removed shows nowhere
    filled = np.asarray(retouche.load(method)(given, hole())).astype(int)
    assert np.abs(filled - inks).max() <= 1


def test_the_black_plate_carries_on_under_lines():
    """Lines of black ink alone on a page of grey ink: the fill has no colour in its other plates."""
    pixels = np.zeros((60, 80, 4), np.uint8)
    pixels[..., 3] = 60
    pixels[:, ::8, 3] = pixels[:, 1::8, 3] = 255
    filled = np.asarray(retouche.load("exemplar")(Image.fromarray(pixels, "CMYK"), hole()))
    inside = filled[22:38, 27:53].astype(int)
    assert np.median(inside[..., :3]) == 0 and (inside[..., :3] <= 2).mean() > 0.9
    assert inside[..., 3].min() < 90 and inside[..., 3].max() > 220


def test_the_inks_that_are_covered_do_not_matter():
    rng = np.random.default_rng(0)
    page = np.kron(rng.integers(0, 256, (6, 8, 4)), np.ones((10, 10, 1))).astype(np.uint8)
    other = page.copy()
    other[20:40, 25:55] = rng.integers(0, 256, (20, 30, 4))
    model = retouche.load("harmonic")
    first, second = (np.asarray(model(Image.fromarray(each, "CMYK"), hole(), dilate=0)) for each in (page, other))
    assert np.array_equal(first, second)


def test_separation_by_hand():
    rgb = np.array([[255, 128, 0], [10, 10, 10], [255, 255, 255]], np.float32)
    made = separation(rgb, np.array([0, 245, 100], np.float32), None)
    assert np.allclose(made, [[0, 127, 255, 0], [0, 0, 0, 245], [0, 0, 0, 0]], atol=0.01)
    assert np.allclose(appearance(made, None), rgb, atol=0.01)


def test_spreading_by_hand():
    values = np.array([[[10.0], [0.0], [0.0], [40.0]]])
    known = np.array([[True, False, False, True]])
    filled = spread(values, known)[0, :, 0]
    assert filled[0] == 10 and filled[3] == 40 and 10 <= filled[1] <= filled[2] <= 40
    flat = spread(np.full((33, 47, 2), 7.0), np.random.default_rng(0).random((33, 47)) > 0.98)
    assert np.allclose(flat, 7)


def four_ink_profile() -> bytes:
    """A profile by hand whose look is simple: every corner of a 2x2x2x2 table is white less the inks, in Lab.

    Layout: ICC.1:2010, lut8Type in A2B0 and B2A0.
    """

    def lut(inputs: int, outputs: int, table: np.ndarray) -> bytes:
        identity = bytes(range(256))
        head = b"mft1" + bytes(4) + bytes([inputs, outputs, table.shape[0], 0])
        head += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
        return head + identity * inputs + table.astype(np.uint8).tobytes() + identity * outputs

    grid = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1)
    light = 255 * (1 - grid[..., 3]) * (1 - 0.3 * grid[..., :3].sum(-1))
    to_lab = np.stack([light, np.full_like(light, 128), np.full_like(light, 128)], -1)
    cube = np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1)
    black = 255 * (1 - cube[..., 0])
    to_ink = np.stack([np.zeros_like(black)] * 3 + [black], -1)
    tags = {
        b"A2B0": lut(4, 3, to_lab),
        b"B2A0": lut(3, 4, to_ink),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(80),
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def test_an_embedded_profile_is_used_where_colours_are_converted():
    page = np.zeros((40, 40, 4), np.uint8)
    page[..., 0] = 255  # cyan, which this profile takes for a light grey
    plain, profiled = open_picture(Image.fromarray(page, "CMYK")), open_picture(Image.fromarray(page, "CMYK"))
    object.__setattr__(profiled.source, "icc", four_ink_profile())
    assert plain.rgb()[0, :, 0, 0].tolist() == [-1, 1, 1]
    seen = profiled.rgb()[0, :, 0, 0]
    assert seen.max() - seen.min() < 0.05 and 0.1 < seen[0] < 0.6
    # a colour that nobody had is separated by the profile: black ink alone
    box = torch.full((1, 3, 4, 4), -0.8)
    mask = np.zeros((40, 40), bool)
    mask[10:14, 10:14] = True
    profiled.expect(mask)
    profiled.paste(box, (10, 10, 14, 14), torch.ones(1, 1, 4, 4))
    made = profiled.pixels[11, 11].astype(int)
    assert made[:3].max() <= 3 and made[3] > 200
    again = decode(encode(profiled, "TIFF"))
    assert again.source.icc == profiled.source.icc and np.array_equal(again.pixels, profiled.pixels)


def test_a_profile_that_is_none_is_not_used():
    page = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    page.info["icc_profile"] = b"no profile"
    assert open_picture(page).rgb()[0, :, 0, 0].tolist() == [-1, 1, 1]


def ycck_of(pixels: np.ndarray) -> bytes:
    made = Picture(pixels, "CMYK")
    object.__setattr__(made.source, "format", "JPEG")
    made.source.settings.update({"qtables": [[1] * 64], "ycck": True})
    return encode(made)


def test_ycck_stays_ycck():
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.stack([x * 3, y * 4, 255 - x * 2, (x + y) * 2], -1).astype(np.uint8)
    data = ycck_of(pixels)
    with Image.open(io.BytesIO(data)) as seen:
        assert seen.info["adobe_transform"] == 2 and seen.mode == "CMYK"
        assert np.abs(np.asarray(seen).astype(int) - pixels).max() <= 6
    picture = decode(data)
    again = encode(picture)
    with Image.open(io.BytesIO(again)) as seen:
        assert isinstance(seen, JpegImagePlugin.JpegImageFile)
        assert seen.info["adobe_transform"] == 2
        assert np.abs(np.asarray(seen).astype(int) - picture.pixels).max() <= 6
    plain = io.BytesIO()
    Image.fromarray(pixels, "CMYK").save(plain, "JPEG", quality=95)
    with Image.open(io.BytesIO(encode(decode(plain.getvalue())))) as seen:
        assert seen.info["adobe_transform"] == 0

"""TIFFs of science and print: floats filled in their own units, further samples kept."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import retouche
from retouche.apps.cli import main
from retouche.pictures import decode, encode, open_picture


def saved(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def heights(channels: int, low: float = -300, high: float = 2500) -> np.ndarray:
    y, x = np.mgrid[0:40, 0:50]
    planes = [np.sin(x / 9 + c) * np.cos(y / 7) for c in range(channels)]
    return (low + (np.stack(planes, -1) + 1) / 2 * (high - low)).astype(np.float32)


def hole() -> np.ndarray:
    mask = np.zeros((40, 50), np.uint8)
    mask[12:20, 15:28] = 255
    return mask


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"byteorder": ">"}], ids=str)
def test_floats_are_filled_in_their_own_units(tmp_path, channels, options):
    values = heights(channels)
    values[14, 17] = 1e9  # under the mask: not the picture's own
    kind = {1: "minisblack", 3: "rgb"}[channels]
    (tmp_path / "a.tif").write_bytes(saved(values if channels == 3 else values[..., 0], photometric=kind, **options))
    Image.fromarray(hole()).save(tmp_path / "m.png")
    words = ["--image", str(tmp_path / "a.tif"), "--mask", str(tmp_path / "m.png"), "--model", "harmonic"]
    assert main(["run", *words, "--output", str(tmp_path / "b.tif"), "--dilate", "0"]) == 0
    filled = tifffile.imread(tmp_path / "b.tif").reshape(values.shape)
    known = hole() == 0
    assert filled.dtype == np.float32 and np.array_equal(filled[known], values[known])
    true = heights(channels)
    assert np.abs(filled - true)[~known].max() < 400  # of 2800
    assert main(["run", *words, "--output", str(tmp_path / "c.png")]) == 0
    assert open_picture(tmp_path / "c.png").pixels.dtype == np.uint8


def test_floats_without_a_number_are_kept():
    values = heights(1)[..., 0]
    values[30:, 40:] = np.nan
    picture = decode(saved(values))
    filled = retouche.load("harmonic")(picture, hole(), dilate=0)
    again = tifffile.imread(io.BytesIO(encode(filled)))
    assert np.array_equal(again[hole() == 0], values[hole() == 0], equal_nan=True)
    assert np.isfinite(again[hole() > 0]).all()
    assert np.isfinite(picture.rgb().numpy()).all()


def test_floats_of_0_to_1_are_taken_as_they_are():
    values = np.full((40, 50, 3), 0.5, np.float32)
    picture = decode(saved(values, photometric="rgb"))
    assert picture.span == (0, 1) and picture.rgb()[0, 0, 0, 0] == 0
    assert np.array_equal(tifffile.imread(io.BytesIO(encode(picture))), values)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("dtype", [np.uint8])
def test_further_samples_are_kept(orientation, dtype):
    values = np.random.default_rng(0).integers(0, 256, (40, 50, 5)).astype(dtype)
    data = saved(
        values,
        photometric="rgb",
        planarconfig="contig",
        extrasamples=["unspecified", "unspecified"],
        extratags=[(274, 3, 1, orientation, True)],
    )
    picture = decode(data)
    shown = np.rot90(values, -1) if orientation == 6 else values
    assert picture.mode == "RGB" and np.array_equal(picture.pixels, shown[..., :3])
    again = tifffile.imread(io.BytesIO(encode(picture)))
    assert np.array_equal(again, shown)
    assert np.array_equal(decode(encode(picture)).source.extra, shown[..., 3:])
    encode(picture, "PNG")
    assert any("beside colour" in remark for remark in picture.remarks)

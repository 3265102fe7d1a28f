"""The shipped default as one network: what stands for it in exported files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exported import photograph
from PIL import Image, ImageFilter
from torch.nn import functional

import retouche
from retouche.export.write import network_of
from retouche.inference.model import Model
from retouche.masks import dilate, opened
from retouche.methods.portable import assembled, enlarging, shares, thick_parts
from retouche.methods.retouche import THICK


def stand_in() -> Model:
    network = network_of(retouche.load("default"))
    return Model(name="default", method=network.method, config=network.config, generator=network.generator)


def test_thin_holes_are_the_defaults_own() -> None:
    # without noise: the default adds what a fill lacks of it, the network for other programs does not
    blurred = Image.fromarray(photograph(96, 160)).filter(ImageFilter.GaussianBlur(2))
    picture, mask = np.asarray(blurred), np.zeros((96, 160), bool)
    mask[40:46, 10:150] = mask[5:90, 80:90] = True
    expected = retouche.inpaint(picture, mask, dilate=0)
    assert np.abs(stand_in()(picture, mask, dilate=0).astype(int) - expected).max() <= 1


def test_a_large_hole_and_a_sketch() -> None:
    picture, mask = photograph(200, 300), np.zeros((200, 300), bool)
    mask[60:150, 90:210] = True
    sketch = np.zeros_like(mask)
    sketch[60:150, 148:152] = True
    model = stand_in()
    filled, steered = model(picture, mask, dilate=0), model(picture, mask, sketch, dilate=0)
    assert np.array_equal(filled[~mask], picture[~mask])
    assert (filled[mask] != steered[mask]).any()
    error = np.abs(filled[mask].astype(float) - picture[mask]).mean()
    mean = np.abs(picture[~mask].mean(0) - picture[mask]).mean()
    assert error < 0.9 * mean


def test_what_is_thick_is_what_the_default_takes_for_it() -> None:
    mask = np.zeros((90, 140), bool)
    mask[10:60, 20:70] = mask[30:36, 60:130] = mask[65:85, 90:110] = True
    wanted = mask & dilate(opened(mask, THICK), THICK)
    made = thick_parts(torch.from_numpy(mask).float()[None, None])[0, 0].numpy() > 0
    # discs there, squares here
    assert (made | ~wanted).all() and not (made & ~mask).any() and not made[65:85, 90:110].any()
    assert not made[30:36, 90:].any()


@pytest.mark.parametrize("size", [(512, 300), (64, 96), (128, 128)], ids=str)
def test_overviews_average_all_pixels(size: tuple[int, int]) -> None:
    image = torch.zeros(size)
    down, across = shares(image, 0), shares(image, 1)
    for table, side in ((down, size[0]), (across, size[1])):
        assert table.shape[1] == side and table.shape[0] % 8 == 0 and 16 <= table.shape[0] <= 128
        assert (table.sum(1) - 1).abs().max() < 1e-5
        assert (table.sum(0) * side / table.shape[0] - 1).abs().max() < 1e-3
    if max(size) <= 128:
        assert torch.equal(down, torch.eye(size[0]))


@pytest.mark.parametrize("size", [(512, 300), (61, 93), (64, 96)], ids=str)
def test_the_way_back_is_bicubic(size: tuple[int, int]) -> None:
    image = torch.zeros(size)
    small = torch.rand(2, 3, *(len(shares(image, axis)) for axis in (0, 1)), generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(small.double(), size, mode="bicubic", align_corners=False)
    around = functional.pad(small, (2, 2, 2, 2), mode="replicate")
    assert (enlarging(image, 0) @ around @ enlarging(image, 1).t() - expected).abs().max() < 5e-5


def test_the_stand_in_is_made_of_shipped_weights() -> None:
    names = {name.partition(".")[0] for name in assembled().state_dict()}
    assert names == {"thin", "layout", "refining"}


@pytest.mark.slow
def test_the_default_exports(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from retouche.export.write import export

    made = export(retouche.load("default"), tmp_path / "default.onnx", "pipeline")
    assert made.inputs == ("picture", "mask", "sketch") and made.largest <= 1
    picture, mask = photograph(120, 200), np.zeros((120, 200), bool)
    mask[30:90, 60:120] = True
    filled = retouche.load(made.path)(picture, mask, dilate=0)
    assert np.abs(filled.astype(int) - stand_in()(picture, mask, dilate=0)).max() <= 1

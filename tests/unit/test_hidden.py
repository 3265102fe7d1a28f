"""What lies hidden under alpha 0 reaches neither sketches, training nor evaluation."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retouche.data.sketches import sketch
from retouche.data.sources import open_source
from retouche.evaluation.pictures import Item, Preparation, PreparedItem, prepare
from retouche.pictures import open_picture
from retouche.pictures.hidden import seen

H, W = 60, 83
CLEAR = np.zeros((H, W), bool)
CLEAR[20:45, 30:60] = True


def logo(hidden: int) -> np.ndarray:
    """Soft colours with a clear part, under which lies noise of a seed."""
    y, x = np.mgrid[:H, :W]
    picture = np.dstack([90 + x, 60 + 2 * y, 120 + 0 * x, np.where(CLEAR, 0, 255)]).astype(np.uint8)
    noise = np.random.default_rng(hidden).integers(0, 256, (H, W, 3), np.uint8)
    picture[..., :3][CLEAR] = noise[CLEAR]
    return picture


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_colours_are_those_around(dtype: type) -> None:
    factor = 257 if dtype is np.uint16 else 1
    first, second = (seen(open_picture(logo(seed).astype(dtype) * dtype(factor))) for seed in (0, 1))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.pixels[~CLEAR], logo(0)[~CLEAR] * dtype(factor))
    y, x = np.mgrid[:H, :W]
    truth = np.dstack([90 + x, 60 + 2 * y, 120 + 0 * x])
    apart = np.abs(first.pixels[..., :3] / factor - truth)[CLEAR]
    assert apart.max() < 40 and apart.mean() < 12


def test_all_or_nothing_hidden_is_the_same_picture() -> None:
    for alpha in (0, 255):
        picture = open_picture(np.full((5, 7, 4), alpha, np.uint8))
        assert seen(picture) is picture
    grey = open_picture(np.dstack([np.arange(12).reshape(3, 4), np.eye(3, 4)]).astype(np.uint8))
    assert seen(grey).pixels.shape == (3, 4, 2)


def test_a_sketch_draws_no_hidden_lines() -> None:
    lines = [sketch(open_picture(logo(seed))) for seed in (0, 1)]
    np.testing.assert_array_equal(lines[0], lines[1])
    assert not lines[0].any()  # nothing that can be seen has an edge


@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_training_data(tmp_path: Path, kind: str) -> None:
    read = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        stream = io.BytesIO()
        Image.fromarray(logo(seed)).save(stream, "PNG")
        if kind == "folder":
            (folder / "a.png").write_bytes(stream.getvalue())
        else:
            with tarfile.open(folder / "a.tar", "w") as shard:
                info = tarfile.TarInfo("a.png")
                info.size = stream.tell()
                shard.addfile(info, io.BytesIO(stream.getvalue()))
        read.append(open_source(folder).read(0).rgb())
    assert torch.equal(*read)


def test_evaluation(tmp_path: Path) -> None:
    made = []
    for seed in (0, 1):
        Image.fromarray(logo(seed)).save(tmp_path / "a.png")
        made.append(prepare(Item(0, "a.png", tmp_path / "a.png", None), Preparation(masks="box:1")))
    first, second = made
    assert isinstance(first, PreparedItem) and isinstance(second, PreparedItem)
    np.testing.assert_array_equal(first.truth, second.truth)

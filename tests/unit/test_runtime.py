"""`retouche.runtime`: fills with NumPy, Pillow and ONNX Runtime alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exported import exported, photograph, small_model
from PIL import Image

import retouche
from retouche.runtime import boxes, crop_of, fill

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "safetensors", "tyro", "rich", "tifffile", "onnx"}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
from retouche.runtime import fill
fill(*sys.argv[1:4]).save(sys.argv[4])
print(sorted(name for name in sys.modules if name.startswith("retouche")))
"""


def test_fills_where_torch_is_not(tmp_path: Path) -> None:
    picture, mask = photograph(150, 220), np.zeros((150, 220), np.uint8)
    mask[60:90, 100:150] = 255
    Image.fromarray(picture).save(tmp_path / "p.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    files = [str(tmp_path / name) for name in ("p.png", "m.png")]
    words = [sys.executable, "-c", ALONE, *files, str(exported("pipeline")), str(tmp_path / "f.png")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "retouche.methods" not in done.stdout
    filled = np.asarray(Image.open(tmp_path / "f.png"))
    assert np.array_equal(filled[mask == 0], picture[mask == 0])
    expected = small_model()(picture, mask, dilate=0)
    assert np.abs(filled.astype(int) - expected).max() <= 1  # the whole picture is the window of both


@pytest.mark.parametrize("form", ["network", "pipeline"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_nothing_outside_changes_and_the_type_stays(form: str, mode: str) -> None:
    image = Image.fromarray(photograph(90, 700)).convert(mode)
    mask = np.zeros((90, 700), bool)
    mask[20:50, 30:60] = mask[10:14, 500:690] = True
    image.info["icc_profile"] = b"profile"
    filled = fill(image, mask, exported(form))
    assert filled.mode == mode and filled.info["icc_profile"] == b"profile"
    before, after = np.asarray(image), np.asarray(filled)
    assert np.array_equal(before[~mask], after[~mask])
    assert (before[mask] != after[mask]).any()
    if mode == "RGBA":
        assert np.array_equal(before[..., 3], after[..., 3])
    assert isinstance(fill(before, mask, exported(form)), np.ndarray)


def test_a_turned_file_is_filled_upright(tmp_path: Path) -> None:
    picture, mask = photograph(60, 90), np.zeros((90, 60), bool)
    mask[20:30, 20:30] = True
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    Image.fromarray(picture).save(tmp_path / "p.png", exif=exif)
    Image.fromarray(mask).save(tmp_path / "m.png")
    filled = np.asarray(fill(tmp_path / "p.png", tmp_path / "m.png", exported("network")))
    assert np.array_equal(filled[~mask], np.rot90(picture, -1)[~mask])


def test_a_hole_larger_than_the_network_is_at_home_with() -> None:
    picture, mask = photograph(700, 900), np.zeros((700, 900), bool)
    mask[100:600, 200:750] = True
    filled = fill(picture, mask, exported("network"))
    assert np.array_equal(filled[~mask], picture[~mask]) and (filled[mask] != picture[mask]).mean() > 0.9


def test_windows_follow_the_holes() -> None:
    mask = np.zeros((1000, 2000), bool)
    mask[10:20, 10:20] = mask[40:50, 60:70] = mask[900:910, 15:25] = mask[500:520, 1500:1600] = True
    assert sorted(boxes(mask)) == [(10, 10, 70, 50), (15, 900, 25, 910), (1500, 500, 1600, 520)]
    assert not list(boxes(np.zeros((5, 5), bool)))
    window = {"only": 0, "hole": 256, "context": 1.0, "side": 512, "centre": None}
    assert crop_of((1500, 500, 1600, 520), (1000, 2000), window) == ((1400, 400, 1700, 620), 1.0)
    crop, scale = crop_of((0, 0, 1024, 900), (1000, 2000), window)
    assert crop == (0, 0, 2000, 1000) and scale == 0.25
    alone = {"only": 128, "hole": 56, "centre": (128, 56)}
    crop, scale = crop_of((100, 100, 212, 120), (1000, 2000), alone)
    assert crop == (28, -18, 284, 238) and scale == 0.5


def test_what_cannot_be_used_is_said() -> None:
    picture, mask = photograph(64, 64), np.zeros((64, 64), bool)
    for bad, said in (
        ((picture, mask[1:]), "mask is"),
        ((picture, ~mask), "covers the whole"),
        ((picture.astype(float), mask), "uint8"),
        (("nowhere.png", mask), "cannot be read"),
    ):
        with pytest.raises(retouche.InputError, match=said):
            fill(bad[0], bad[1], exported("network"))
    with pytest.raises(retouche.InputError, match="takes no sketch"):
        fill(picture, mask, exported("network"), sketch=mask)
    with pytest.raises(retouche.InputError, match="cannot be read"):
        fill(picture, mask, "nowhere.onnx")
    with pytest.raises(retouche.InputError, match=r"nowhere\.png"):  # while the network is being opened
        fill("nowhere.png", mask, str(exported("network")))
    given = Image.fromarray(picture)
    mask[20:30, 20:30] = True
    assert fill(given, mask, exported("network")) is not given and np.array_equal(np.asarray(given), picture)

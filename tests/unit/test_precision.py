"""Exported files of fewer bits say what that costs, and are refused where it is too much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exported import exported, photograph, small_model

import retouche
from retouche.export import precision
from retouche.export.write import export, form_of

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_half_precision(tmp_path: Path) -> None:
    made = export(small_model(), tmp_path / "half.onnx", "pipeline", precision="fp16")
    assert made.psnr is not None and 40 < made.psnr < 100 and made.precision == "fp16"
    assert made.size_bytes < 0.7 * exported("pipeline").stat().st_size
    model = retouche.load(made.path)
    picture, mask = photograph(80, 120), np.zeros((80, 120), bool)
    mask[20:50, 40:80] = True
    whole = small_model()(picture, mask, dilate=0)
    assert np.abs(model(picture, mask, dilate=0).astype(int) - whole).max() <= 3


def test_eight_bits_are_refused_unless_that_will_do(tmp_path: Path) -> None:
    pictures = [torch.from_numpy(photograph(96, 104, seed)).permute(2, 0, 1)[None] / 127.5 - 1 for seed in range(2)]
    with pytest.raises(retouche.RetoucheError, match="dB from float32, less than 40"):
        export(small_model(), tmp_path / "x.onnx", precision="int8", pictures=pictures)
    assert not list(tmp_path.iterdir())
    made = export(small_model(), tmp_path / "x.onnx", precision="int8", pictures=pictures, anyway=True)
    assert made.psnr is not None and 10 < made.psnr < 40
    facts = retouche.load(made.path).generator
    assert facts is not None
    with pytest.raises(retouche.InputError, match="known: fp32, fp16, int8"):
        export(small_model(), tmp_path / "y.onnx", precision="fp8")


def test_pictures_are_cut_to_what_the_network_takes() -> None:
    form = form_of(small_model(), "network")
    (box, strokes) = precision.batches(form, [torch.zeros(1, 3, 101, 67)])
    assert box["image"].shape == strokes["image"].shape == (1, 3, 100, 64)
    with pytest.raises(retouche.InputError, match="smaller than the network"):
        precision.batches(form, [torch.zeros(1, 3, 8, 8)])


def test_psnr_is_of_the_hole_alone() -> None:
    mask = np.zeros((1, 1, 4, 4), np.float32)
    mask[..., 1:3, 1:3] = 1
    arrays = {"image": np.zeros((1, 3, 4, 4), np.float32), "mask": mask}
    away = np.where(mask > 0, np.float32(0.1), np.float32(0.9)) * np.ones((1, 3, 1, 1), np.float32)
    found = precision.psnr(lambda _: np.zeros((1, 3, 4, 4), np.float32), lambda _: away, [arrays])
    assert found == pytest.approx(20 * np.log10(255 / 12.75), abs=1e-4)
    assert precision.psnr(lambda _: away, lambda _: away, [arrays]) == np.inf

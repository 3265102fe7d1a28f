"""OpenCV's fills, where they are installed."""

from __future__ import annotations

import numpy as np
import pytest

import retouche


@pytest.mark.parametrize("name", ["telea", "navier-stokes", "fsr"])
def test_classical_fills_fill_the_hole_alone(name: str) -> None:
    pytest.importorskip("cv2", reason="the extra `classical` is not installed")
    smooth = np.repeat(np.linspace(40, 200, 80).round().astype(np.uint8)[None, :, None], 72, 0).repeat(3, 2)
    smooth = np.ascontiguousarray(smooth * np.array([1.0, 0.6, 0.3])).round().astype(np.uint8)
    mask = np.zeros(smooth.shape[:2], bool)
    mask[30:42, 30:44] = True
    blank = np.where(mask[..., None], 0, smooth).astype(np.uint8)
    filled = retouche.load(name)(blank, mask, dilate=0, feather=0)
    assert np.array_equal(filled[~mask], smooth[~mask])
    assert np.abs(filled[mask].astype(int) - smooth[mask]).mean() < 12
    tiny = retouche.load(name)(blank[:5, :7], mask[29:34, 29:36], dilate=0)
    assert tiny.shape == (5, 7, 3)

"""Grain: a fill that is smoother than its noisy surroundings gets what it lacks, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import retouche
from retouche.fills.grain import matched

SIDE = 128


def scene(levels: float, alike: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A slope with noise of so many levels outside a hole, that picture without noise, and the mask."""
    smooth = torch.linspace(-0.5, 0.5, SIDE).expand(1, 3, SIDE, SIDE).contiguous()
    draw = torch.Generator().manual_seed(5)
    noise = alike**0.5 * torch.randn(1, 1, SIDE, SIDE, generator=draw)
    noise = noise + (1 - alike) ** 0.5 * torch.randn(1, 3, SIDE, SIDE, generator=draw)
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., 20:108, 60:67] = 1
    return torch.where(mask > 0, smooth, smooth + noise * levels / 127.5), smooth, mask


@pytest.mark.parametrize("levels", [3.0, 8.0])
@pytest.mark.parametrize("alike", [0.0, 0.8])
def test_missing_noise_is_added_inside_the_hole_alone(levels: float, alike: float) -> None:
    filled, smooth, mask = scene(levels, alike)
    made = matched(filled, mask, 0)
    assert torch.equal(made * (1 - mask), filled * (1 - mask))
    added = (made - smooth)[mask.expand_as(made) > 0].view(3, -1) * 127.5
    assert torch.allclose(added.std(1), torch.full((3,), levels), rtol=0.2)
    assert abs(float(torch.corrcoef(added)[0, 1]) - alike) < 0.2
    assert torch.equal(made, matched(filled, mask, 0)) and not torch.equal(made, matched(filled, mask, 1))


def test_nothing_is_added_where_nothing_is_missing() -> None:
    quiet, _, mask = scene(0.0)
    assert matched(quiet, mask, 0) is quiet
    flat = torch.full_like(quiet, 0.2)
    flat[..., 64:] = -0.7  # an edge
    assert matched(flat, mask, 0) is flat
    _, smooth, _ = scene(0.0)
    draw = torch.Generator().manual_seed(1)
    noisy = smooth + torch.randn(1, 3, SIDE, SIDE, generator=draw) * 6 / 127.5  # inside the hole, too
    assert (matched(noisy, mask, 0) - noisy).square().mean().sqrt() < 0.6 / 127.5
    assert matched(quiet[..., :4, :5], mask[..., :4, :5], 0) is not None


def test_the_default_fills_a_scratch_in_a_noisy_sky_with_noise() -> None:
    rng = np.random.default_rng(0)
    sky = np.linspace(90, 150, 96)[:, None, None] + np.zeros((96, 96, 3))
    picture = (sky + rng.normal(0, 8, sky.shape)).clip(0, 255).astype(np.uint8)
    hole = np.zeros((96, 96), bool)
    hole[10:86, 44:52] = True
    filled = retouche.inpaint(picture, hole, dilate=0, feather=0)
    inside = (filled - sky)[hole].std()
    assert 5.5 < inside < 10.5
    assert np.array_equal(filled, retouche.inpaint(picture, hole, dilate=0, feather=0))
    assert np.array_equal(filled[~hole], picture[~hole])

"""Images, the tensors that networks see: composite, padding, resizing."""

from __future__ import annotations

import torch

from retouche.image import composite, pad_to, resize


def test_composite_keeps_known_values_and_stops_nan():
    image = torch.rand(2, 3, 4, 4) * 2 - 1
    mask = (torch.rand(1, 1, 4, 4) > 0.5).float()
    prediction = torch.where(mask > 0, torch.rand(2, 3, 4, 4), float("nan"))
    filled = composite(image, prediction, mask)
    assert torch.equal(filled, torch.where(mask > 0, prediction, image))
    assert filled.isfinite().all()
    assert composite(image, prediction.bfloat16(), mask).dtype == torch.float32


def test_padding_by_hand():
    image = torch.tensor([[1.0, 2.0, 3.0]]).view(1, 1, 1, 3)
    padded, box = pad_to(image, 8, 8)
    assert box == (0, 0, 3, 1) and padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 2, 3, 2]
    assert torch.equal(padded[0, 0, 0], padded[0, 0, 7])
    assert pad_to(image, 4, 1, "replicate")[0][0, 0, 0].tolist() == [1, 2, 3, 3]
    assert pad_to(image, 4, 1, "zeros")[0][0, 0, 0].tolist() == [1, 2, 3, 0]
    assert pad_to(image, 1, 1)[0] is image


def test_resize():
    image = torch.rand(1, 3, 40, 60) * 2 - 1
    assert torch.equal(resize(image, 40, 60), image)
    half = resize(image.bfloat16(), 20, 30)
    assert half.shape == (1, 3, 20, 30) and half.dtype == torch.bfloat16
    flat = torch.full((1, 3, 40, 60), 0.25)
    assert torch.allclose(resize(flat, 7, 101), torch.full((1, 3, 7, 101), 0.25))
    checks = (torch.arange(64) % 2).float().mul(2).sub(1).expand(1, 3, 64, 64)
    assert resize(checks, 16, 16)[..., 4:-4].abs().max() < 0.1  # antialiased: grey, not black or white

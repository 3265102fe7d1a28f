"""Spectral normalisation in evaluation: divided once, and again whenever the tensors change."""

from __future__ import annotations

import copy

import torch

from retouche.layers.spectral import SpectralConv2d


def test_kept_kernel_follows_its_tensors() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(3, 4, 3).eval()
    with torch.no_grad():
        first = layer.weight()
        assert layer.weight() is first
        assert torch.equal(first, layer._divided())
        for change in (
            lambda: layer.weight_orig.mul_(2).add_(1),
            lambda: layer.weight_u.copy_(torch.randn(4)),
            lambda: layer.load_state_dict(SpectralConv2d(3, 4, 3).state_dict()),
            lambda: layer.double(),
            lambda: torch.nn.init.normal_(layer.weight_orig),
        ):
            before = layer.weight()
            change()
            assert layer.weight() is not before
            assert torch.equal(layer.weight(), layer._divided())
        twin = copy.deepcopy(layer)
        twin.weight_orig.mul_(-1)
        assert torch.equal(twin.weight(), twin._divided())
        assert torch.equal(layer.weight(), layer._divided())
    assert layer.weight().requires_grad
    assert sorted(layer.state_dict()) == ["bias", "weight_orig", "weight_u", "weight_v"]


def test_kept_kernel_under_inference_mode() -> None:
    torch.manual_seed(0)
    layer, image = SpectralConv2d(3, 4, 3).eval(), torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        inside = layer(image)
        layer(image)
        born_inside = SpectralConv2d(3, 4, 3).eval()(image)
    assert born_inside.shape == inside.shape
    wanted = layer(image)  # the kernel kept inside must not be used by a graph outside
    wanted.sum().backward()
    torch.testing.assert_close(inside.clone(), wanted.detach())
    with torch.no_grad():
        torch.testing.assert_close(layer(image), wanted.detach())

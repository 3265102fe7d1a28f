"""Partial convolution: what it weighs, what becomes valid, its gradient, and half precision."""

from __future__ import annotations

import pytest
import torch

from retouche.errors import InputError
from retouche.layers import PartialConv2d


def ones_layer(**options: bool) -> PartialConv2d:
    layer = PartialConv2d(1, 1, 3, padding=1, return_mask=True, **options)
    with torch.no_grad():
        layer.weight.fill_(1 / 9)
        if layer.bias is not None:
            layer.bias.fill_(0.5)
    return layer


def test_by_hand() -> None:
    """A mean over the valid pixels plus the bias, nothing where none is valid."""
    mask = torch.zeros(1, 1, 5, 5)
    mask[..., :2, :2] = 1
    image = torch.full((1, 1, 5, 5), 7.0)
    image[..., 0, 0] = 3
    image[mask == 0] = 1000  # what the hole holds must not matter
    with torch.no_grad():
        made, valid = ones_layer()(image, mask)
    assert torch.allclose(made[0, 0, 1, 1], torch.tensor((3 + 3 * 7) / 4 + 0.5))
    assert torch.allclose(made[0, 0, 2, 2], torch.tensor(7.5))
    assert (made[valid == 0] == 0).all()
    expected = torch.zeros(5, 5)
    expected[:3, :3] = 1
    assert torch.equal(valid[0, 0], expected)


def test_all_valid_makes_up_for_the_border() -> None:
    image = torch.full((2, 1, 4, 6), 2.0)
    with torch.no_grad():
        made, valid = ones_layer()(image)
        same, _ = ones_layer()(image, torch.ones(1, 1, 4, 6))
    assert torch.allclose(made, torch.full_like(made, 2.5))
    assert torch.equal(made, same) and valid.all()


def test_channels_with_masks_of_their_own() -> None:
    layer = PartialConv2d(2, 3, 3, padding=1, bias=False, multi_channel=True, return_mask=True)
    torch.nn.init.constant_(layer.weight, 1 / 18)
    image, mask = torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    image[:, 1] = 100
    mask[:, 1] = 0
    with torch.no_grad():
        made, valid = layer(image, mask)
    assert torch.allclose(made, torch.ones_like(made)) and valid.shape == (1, 3, 4, 4)


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_gradient(multi: bool, bias: bool) -> None:
    torch.manual_seed(0)
    layer = PartialConv2d(2, 2, 3, stride=2, padding=1, bias=bias, multi_channel=multi).double()
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    mask = (torch.rand(1, 2 if multi else 1, 5, 4) > 0.6).double()
    assert torch.autograd.gradcheck(lambda image: layer(image, mask), (x,))
    weights = tuple(weight.detach().requires_grad_() for weight in layer.parameters())
    names = [name for name, _ in layer.named_parameters()]
    fixed = x.detach()

    def of_weights(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (fixed, mask))

    assert torch.autograd.gradcheck(of_weights, weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype: torch.dtype) -> None:
    """Ones over nothing valid overflow half precision unless they are counted in single."""
    layer = PartialConv2d(64, 4, 7, padding=3, multi_channel=True).to(dtype)
    mask = torch.zeros(1, 64, 16, 16)
    mask[..., :4] = 1
    made = layer(torch.ones(1, 64, 16, 16, dtype=dtype), mask)
    assert made.dtype == dtype and made.isfinite().all()


def test_refuses_a_mask_of_another_shape() -> None:
    with pytest.raises(InputError, match=r"give \(1, 1, 8, 8\)"):
        ones_layer()(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4))

"""Gated convolution and the ways of padding, worked out by hand and against PyTorch's own convolutions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers.gated import GatedConv2d
from retouche.layers.padding import PaddedConv2d, Padding, doubled_mirrored, margins, pad


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "dilation", "expected"),
    [
        (8, 3, 2, 1, (0, 1)),  # even side, stride 2: nothing before
        (7, 3, 2, 1, (1, 1)),
        (8, 5, 2, 1, (1, 2)),
        (1, 5, 2, 1, (2, 2)),
        (8, 5, 1, 1, (2, 2)),
        (8, 3, 1, 16, (16, 16)),
        (8, 4, 1, 1, (1, 2)),
        (8, 1, 2, 1, (0, 0)),
    ],
)
def test_tensorflow_margins(side: int, kernel: int, stride: int, dilation: int, expected: tuple[int, int]) -> None:
    assert margins(side, kernel, stride, dilation, "same") == expected


@pytest.mark.parametrize("rule", ["same", "zeros", "reflect"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (5, 2, 1), (3, 1, 2), (5, 1, 1)])
def test_convolution_pads_as_written_out(rule: Padding, kernel: int, stride: int, dilation: int) -> None:
    layer = PaddedConv2d(2, 3, kernel, stride, dilation, rule)
    x = torch.randn(2, 2, 10, 12)
    padded = pad(x, kernel, stride, dilation, rule)
    expected = functional.conv2d(padded, layer.weight, layer.bias, stride, 0, dilation)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert layer(x).shape == (2, 3, -(10 // -stride), -(12 // -stride))


@pytest.mark.parametrize("rule", ["same", "zeros", "reflect"])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_doubling_is_part_of_the_convolution(rule: Padding, kernel: int) -> None:
    """The same numbers and gradients as from the doubled image, at its borders too."""
    torch.manual_seed(0)
    layer = PaddedConv2d(2, 3, kernel, rule=rule, doubles=True).double()
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = functional.conv2d(pad(doubled, kernel, padding=rule), layer.weight, layer.bias)
    upstream = torch.randn_like(expected)
    made = layer(x)
    assert torch.allclose(made, expected, atol=1e-12)
    wanted = torch.autograd.grad(expected, [x, *layer.parameters()], upstream)
    for ours, theirs in zip(torch.autograd.grad(made, [x, *layer.parameters()], upstream), wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-12)


def test_feature_is_the_first_half() -> None:
    layer = GatedConv2d(1, 2, 1, activate="relu")
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([3.0, -3.0, 0.0, 5.0]))
    made = layer(torch.zeros(1, 1, 2, 2))
    assert torch.allclose(made[0, :, 0, 0], torch.tensor([1.5, 0.0]))


@pytest.mark.parametrize("rule", ["same", "zeros", "reflect"])
@pytest.mark.parametrize("activate", ["elu", "relu", "leaky_relu", "silu", "none"])
def test_gradient(rule: Padding, activate: str) -> None:
    torch.manual_seed(0)
    layer = GatedConv2d(2, 2, 3, 2, 1, rule, activate).double()
    x = torch.randn(1, 2, 6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))
    weights = tuple(weight.detach().requires_grad_() for weight in layer.parameters())
    names = [name for name, _ in layer.named_parameters()]
    fixed = x.detach()

    def of_weights(*values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (fixed,))

    assert torch.autograd.gradcheck(of_weights, weights)


def test_refuses_in_words() -> None:
    with pytest.raises(InputError, match="no activation"):
        GatedConv2d(1, 1, 3, activate="relux")
    with pytest.raises(InputError, match="no padding"):
        GatedConv2d(1, 1, 3, rule="mirror")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (5, 3), (6, 8)])
@pytest.mark.parametrize("bias", [False, True])
def test_doubled_and_mirrored_as_written_out(size: tuple[int, int], bias: bool) -> None:
    x, kernel = torch.randn(2, 3, *size, dtype=torch.float64), torch.randn(4, 3, 5, 5, dtype=torch.float64)
    shift = torch.randn(4, dtype=torch.float64) if bias else None
    twice = functional.pad(functional.interpolate(x, scale_factor=2.0), (2, 2, 2, 2), mode="reflect")
    torch.testing.assert_close(doubled_mirrored(x, kernel, shift), functional.conv2d(twice, kernel, shift))

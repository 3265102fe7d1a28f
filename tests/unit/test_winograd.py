"""3x3 convolutions by products of matrices give a plain convolution's numbers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from retouche.layers import winograd
from retouche.layers.winograd import convolved, worthwhile


@pytest.mark.parametrize(("height", "width", "batch"), [(4, 4, 1), (1, 3, 2), (13, 22, 2), (40, 9, 1)])
def test_any_size(height: int, width: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "TILES", 7)  # several bands, the last one shorter
    draw = torch.Generator().manual_seed(height)
    first, second = (torch.randn(batch, c, height + 2, width + 2, generator=draw).double() for c in (5, 3))
    one, two, three = (torch.randn(o, c, 3, 3, generator=draw).double() for o, c in ((4, 5), (4, 3), (2, 5)))
    with torch.inference_mode():
        both, alone = convolved((first, second), ((one, two), (three, None)))
    torch.testing.assert_close(both, functional.conv2d(first, one) + functional.conv2d(second, two))
    torch.testing.assert_close(alone, functional.conv2d(first, three))
    assert both.shape[-2:] == (height, width)


def test_float32_is_little_further_from_the_truth_than_a_plain_convolution() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1, 256, 34, 30, generator=draw).relu()
    kernel = torch.randn(64, 256, 3, 3, generator=draw) / 48
    exact = functional.conv2d(x.double(), kernel.double())
    with torch.inference_mode():
        ours = convolved((x,), ((kernel,),))[0]
    plain = functional.conv2d(x, kernel)
    assert (ours - exact).abs().mean() < 1e-6 * exact.abs().max()
    assert (ours - exact).abs().mean() < 20 * (plain - exact).abs().mean()


def test_only_where_it_is_quicker_and_harmless() -> None:
    large, small, narrow = (torch.zeros(1, c, side, side) for c, side in ((64, 34), (64, 10), (8, 34)))
    assert not worthwhile(large)  # its gradient would be missing
    with torch.no_grad():
        assert worthwhile(large) and worthwhile(large.double())
        assert not any(worthwhile(x) for x in (small, narrow, large.bfloat16()))

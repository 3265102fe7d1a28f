"""Gaussian sampling: cases worked out by hand, gradients, chunks."""

from __future__ import annotations

import pytest
import torch

from retouche.errors import InputError
from retouche.layers import gaussian_sample, sampling
from retouche.losses import correctness


def ramp(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.arange(8, dtype=dtype).view(1, 1, 1, 8).expand(1, 1, 8, 8)


def shift(x: float, y: float = 0.0) -> torch.Tensor:
    return torch.tensor([x, y], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, 8, 8)


def test_constant_stays_constant() -> None:
    features = torch.full((2, 3, 8, 8), 0.7, dtype=torch.float64)
    flow = 5 * torch.randn(2, 2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for kernel_size, sigma in ((16, 4.0), (4, 2.0), (5, 1.0)):
        sampled = gaussian_sample(features, flow, kernel_size, sigma)
        assert sampled.shape == (2, 3, 6, 4)
        torch.testing.assert_close(sampled, torch.full_like(sampled, 0.7))


@pytest.mark.parametrize(("x", "value"), [(0, 0.62155), (3, 3.35980), (7, 6.73825)])
def test_ramp_without_flow(x: int, value: float) -> None:
    assert gaussian_sample(ramp(), shift(0), 4, 2.0)[0, 0, 0, x].item() == pytest.approx(value, abs=5e-6)


def test_ramp_beyond_the_border() -> None:
    assert gaussian_sample(ramp(), shift(-0.25), 4, 2.0)[0, 0, 0, 0].item() == pytest.approx(0.23990, abs=5e-6)


def test_axes() -> None:
    # a whole shift along x moves a ramp along x, one along y does not
    still = gaussian_sample(ramp(), shift(0), 4, 2.0)
    torch.testing.assert_close(gaussian_sample(ramp(), shift(0, 3), 4, 2.0), still)
    torch.testing.assert_close(gaussian_sample(ramp(), shift(1), 4, 2.0)[..., 1:6], still[..., 2:7])


def test_odd_kernel_loses_a_tap() -> None:
    flow = shift(0.3, -0.6)
    assert torch.equal(gaussian_sample(ramp(), flow, 5, 2.0), gaussian_sample(ramp(), flow, 4, 2.0))


def test_no_width_reads_whole_positions() -> None:
    torch.testing.assert_close(gaussian_sample(ramp(), shift(2), 4, 0.0)[0, 0, 0, :6], ramp()[0, 0, 0, 2:])


def test_far_flow_is_clamped() -> None:
    assert gaussian_sample(ramp(), shift(1e20), 4, 2.0)[0, 0, 0, 0].item() == pytest.approx(7)
    assert gaussian_sample(ramp(), shift(-1e20), 4, 2.0)[0, 0, 0, 0].item() == pytest.approx(0)


@pytest.mark.parametrize("at_once", [1 << 20, 64])
def test_gradients(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "TAPS_AT_ONCE", at_once)
    random = torch.Generator().manual_seed(1)
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, generator=random).requires_grad_()
    whole = torch.randint(-3, 4, (2, 2, 3, 4), generator=random)
    fraction = 0.2 + 0.6 * torch.rand(2, 2, 3, 4, dtype=torch.float64, generator=random)  # away from the jumps
    flow = (whole + fraction).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, o: gaussian_sample(f, o, 4, 2.0), (features, flow))


def test_parts_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(2)
    features, flow = torch.randn(2, 3, 9, 7, generator=random), 4 * torch.randn(2, 2, 9, 7, generator=random)
    whole = gaussian_sample(features, flow, 16, 4.0)
    monkeypatch.setattr(sampling, "TAPS_AT_ONCE", 5 * 256)
    torch.testing.assert_close(gaussian_sample(features, flow, 16, 4.0), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    features = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(3)).to(dtype)
    flow = torch.full((1, 2, 8, 8), 0.3).to(dtype)
    sampled = gaussian_sample(features, flow, 4, 2.0)
    assert sampled.dtype == dtype
    assert torch.equal(sampled, gaussian_sample(features.float(), flow.float(), 4, 2.0).to(dtype))


def test_errors() -> None:
    with pytest.raises(InputError, match=r"\(N, 2, h, w\)"):
        gaussian_sample(torch.zeros(1, 1, 4, 4), torch.zeros(2, 2, 4, 4), 4, 2.0)
    with pytest.raises(InputError, match="at least 2 taps"):
        gaussian_sample(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4), 1, 2.0)


def test_correctness_gradient_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(4)
    wanted, there = torch.rand(2, 2, 4, 4, 5, dtype=torch.float64, generator=random)
    fraction = 0.2 + 0.6 * torch.rand(2, 2, 4, 5, dtype=torch.float64, generator=random)
    flow = (fraction + torch.randint(-2, 3, (2, 2, 4, 5), generator=random)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: correctness.correctness_map(wanted, there, f), (flow,))
    whole = correctness.best_likeness(wanted, there)
    monkeypatch.setattr(correctness, "PAIRS_AT_ONCE", 3 * 20)
    torch.testing.assert_close(correctness.best_likeness(wanted, there), whole)
    # the best place is itself where both maps are the same
    torch.testing.assert_close(correctness.best_likeness(wanted, wanted), torch.ones_like(whole), rtol=0, atol=1e-7)

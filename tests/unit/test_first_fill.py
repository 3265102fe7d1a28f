"""The networks' smooth first fill: known pixels stay, the hole is not read, and it is near the membrane."""

import pytest
import torch

from retouche.layers.first_fill import first_fill
from retouche.numerics.laplace import membrane


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (16, 16), (33, 50)], ids=str)
def test_known_pixels_stay_and_the_hole_is_not_read(size: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, *size, generator=draw)
    mask = (torch.rand(2, 1, *size, generator=draw) > 0.4).float()
    mask[..., 0, 0] = 0
    filled = first_fill(image, mask)
    assert torch.equal(torch.where(mask > 0, 0, filled), torch.where(mask > 0, 0, image))
    assert torch.equal(filled, first_fill(torch.where(mask > 0, torch.nan, image), mask))
    assert filled.isfinite().all() and filled.min() >= image.min() and filled.max() <= image.max()


def test_it_is_near_the_membrane() -> None:
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64).contiguous()
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:44, 16:48] = 1
    assert (first_fill(ramp, mask) - membrane(ramp, mask)).abs().max() < 0.15
    assert (first_fill(torch.full((1, 1, 64, 64), 0.3), mask) - 0.3).abs().max() < 1e-6


def test_nothing_known_is_black_or_grey_but_finite() -> None:
    assert torch.equal(first_fill(torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8)), torch.zeros(1, 3, 8, 8))


def test_each_sample_by_itself_and_in_double_precision() -> None:
    image, mask = torch.rand(2, 3, 20, 20, dtype=torch.float64), torch.zeros(2, 1, 20, 20)
    mask[0, :, 4:9, 4:9] = 1
    mask[1, :, 10:19, 2:15] = 1
    both = first_fill(image, mask)
    assert both.dtype == torch.float64
    assert torch.equal(both[1:], first_fill(image[1:], mask[1:]))

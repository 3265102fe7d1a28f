"""Seams of a collage: the equation that removes them, what counts as a jump of tone, and skies without a lens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from retouche.fills.exemplar import MOST_OFF, _blurred, _jumps, depth_of
from retouche.methods import find
from retouche.numerics.laplace import seamless


def dense(jumps: tuple[Tensor, Tensor], hole: np.ndarray, hold: float) -> np.ndarray:
    """The same least squares, row by row: differences inside the hole and to its known neighbours, and `hold`."""
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    rows, right = [], []
    _h, _w = hole.shape
    for axis, jump in ((1, jumps[0][0].numpy()), (0, jumps[1][0].numpy())):
        for y in range(jump.shape[0]):
            for x in range(jump.shape[1]):
                a, b = number[y, x], number[(y, x + 1) if axis else (y + 1, x)]
                if a < 0 and b < 0:
                    continue
                row = np.zeros(hole.sum())
                if b >= 0:
                    row[b] += 1
                if a >= 0:
                    row[a] -= 1
                rows.append(row)
                right.append(jump[y, x])
    matrix = np.array(rows)
    solution = np.linalg.solve(matrix.T @ matrix + hold * np.eye(hole.sum()), matrix.T @ np.array(right))
    made = np.zeros(hole.shape)
    made[hole] = solution
    return made


@pytest.mark.parametrize("hold", [1e-3, 0.1])
def test_the_equation_is_solved(hold: float) -> None:
    rng = np.random.default_rng(0)
    hole = np.zeros((14, 17), bool)
    hole[3:11, 4:15] = True
    hole[5:7, 6:9] = False
    jumps = tuple(torch.from_numpy(rng.normal(size=(1, *shape))) for shape in ((14, 16), (13, 17)))
    ours = seamless(jumps, torch.from_numpy(hole), hold, steps=60)  # type: ignore[arg-type]
    assert not ours[0].numpy()[~hole].any()
    np.testing.assert_allclose(ours[0].numpy(), dense(jumps, hole, hold), atol=1e-6)  # type: ignore[arg-type]


def test_jumps_by_hand() -> None:
    """A row of eight known pixels; the collage takes 0, 1, then 5, 6: the step from 1 to 5 is the only seam."""
    colours = torch.tensor([[0.0, 0.01, 0.02, 0.03, 0.07, 0.08, 0.09, 0.10]]).expand(3, -1)
    hole = torch.zeros(1, 8, dtype=torch.bool)
    source, inside, plain = torch.tensor([[0, 1, 5, 6]]), torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 1, 4)
    jump = _jumps(colours, hole, source, inside, plain, 1)[0, 0]
    # the first patch goes on with 0.02, the second came from 0.07: wanted 0.02 - 0.08 and 0.01 - 0.07
    assert jump.tolist() == pytest.approx([0.0, -0.06, 0.0], abs=1e-6)
    half = _jumps(colours, hole, source, inside, torch.tensor([[[1.0, 0.8, 0.5, 1.0]]]), 1)[0, 0]
    assert half.tolist() == pytest.approx([0.0, -0.03, 0.0], abs=1e-6), "the busier side counts"
    hole[0, 2] = hole[0, 4] = True  # nobody knows how the patches went on: no step at all is wanted
    assert float(_jumps(colours, hole, source, inside, plain, 1)[0, 0, 1]) == pytest.approx(0.01 - 0.08, abs=1e-6)
    far = colours.clone()
    far[:, 4:] += 2 * MOST_OFF
    assert float(_jumps(far, torch.zeros_like(hole), source, inside, plain, 1)[0, 0, 1]) == 0.0


def test_depth_is_the_distance_to_the_nearest_known_pixel() -> None:
    hole = torch.zeros(23, 31, dtype=torch.bool)
    hole[3:, 2:20], hole[10, 8], hole[0, 30] = True, False, True
    y, x = (~hole).nonzero().T
    v, u = torch.meshgrid(torch.arange(23), torch.arange(31), indexing="ij")
    away = torch.maximum((v[..., None] - y).abs(), (u[..., None] - x).abs()).amin(-1)  # in king's moves
    assert torch.equal(depth_of(hole, 40), away.float()) and torch.equal(depth_of(hole, 4), away.clamp_max(4).float())
    assert depth_of(torch.ones(3, 5, dtype=torch.bool), 7).eq(7).all(), "the picture's border is no known pixel"


@pytest.mark.parametrize("sigma", [1.0, 8.0])
@pytest.mark.parametrize("shape", [(1, 3, 70, 41), (1, 1, 1, 5)])
def test_blur_is_a_sum_of_shifted_pictures(sigma: float, shape: tuple[int, ...]) -> None:
    picture = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    radius = round(3 * sigma)
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    expected = picture.numpy()
    for axis in (2, 3):
        expected = np.apply_along_axis(
            lambda line: np.convolve(line, weights / weights.sum())[radius:-radius], axis, expected
        )
    np.testing.assert_allclose(_blurred(picture, sigma).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["exemplar", "retouche"])
def test_no_lens_in_a_sky(name: str) -> None:
    """A slope of tone with a little noise: the fill differs from it by no visible patch."""
    y, x = np.mgrid[:120, :160] / 160
    sky = np.stack([0.1 - 0.5 * y + 0.4 * x, 0.3 * x - 0.2 * y, 0.4 - 0.3 * y * x], 0)
    noise = np.random.default_rng(0).normal(0, 2 / 127.5, sky.shape)
    image = torch.from_numpy(sky + noise).float()[None]
    mask = torch.zeros(1, 1, 120, 160)
    mask[..., 20:100, 60:110] = 1
    fill = find(name).fill
    assert fill is not None
    made = torch.where(mask > 0, fill(torch.where(mask > 0, 0.0, image), mask, 0), image)
    off = torch.nn.functional.avg_pool2d(made - torch.from_numpy(sky).float(), 9, 1) * 127.5  # levels of 255
    assert off.abs().max() < 6

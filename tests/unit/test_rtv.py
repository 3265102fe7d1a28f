"""RTV: its solvers against dense algebra, its masks, its bounds."""

from __future__ import annotations

import golden
import pytest
import torch
from torch import Tensor

from retouche.errors import InputError
from retouche.layers import rtv
from retouche.numerics import boxes, conjugate_gradient, dissection, structure
from retouche.numerics.structure import SETTINGS, structure_of_known

SIZES = [(1, 1), (1, 9), (70, 1), (2, 3), (13, 30), (29, 17), (8, 61), (27, 50)]  # 8 to 61: 2 rows of 16 boxes


def links(n: int, h: int, w: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    across = torch.rand(n, h, w - 1, dtype=torch.float64, generator=random).mul(9).exp()
    return across, torch.rand(n, h - 1, w, dtype=torch.float64, generator=random).mul(9).exp()


def dense(across: Tensor, along: Tensor) -> Tensor:
    """1 + L of one picture, pixels row by row."""
    h, w = across.shape[0], along.shape[1]
    number = torch.arange(h * w).view(h, w)
    matrix = torch.eye(h * w, dtype=torch.float64)
    for start, end, link in ((number[:, :-1], number[:, 1:], across), (number[:-1], number[1:], along)):
        for i, j, c in zip(start.flatten(), end.flatten(), link.flatten(), strict=True):
            matrix[i, j] -= c
            matrix[j, i] -= c
            matrix[i, i] += c
            matrix[j, j] += c
    return matrix


@pytest.mark.parametrize(("h", "w"), SIZES)
def test_solvers(h: int, w: int) -> None:
    across, along = links(2, h, w)
    right = torch.rand(2, 3, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = [torch.linalg.solve(dense(across[n], along[n]), right[n].flatten(1).T).T for n in (0, 1)]
    exact = torch.stack(wanted).view_as(right)
    torch.testing.assert_close(dissection.solve(right, across, along), exact, rtol=0, atol=1e-7)
    torch.testing.assert_close(dissection.product(exact, across, along), right, rtol=0, atol=1e-9)
    factor = conjugate_gradient.Factor(across, along, 3)
    solved, _ = conjugate_gradient.solve(right, factor, 1e-10, 500)
    torch.testing.assert_close(solved, exact, rtol=0, atol=1e-6)
    again, steps = conjugate_gradient.solve(right, factor, 1e-6, 500, start=exact)
    torch.testing.assert_close(again, exact, rtol=0, atol=1e-6)
    assert steps.max() == 0


@pytest.mark.parametrize("strongest", [1e5, 1e7, 1e10])
def test_links_too_strong_for_float32(strongest: float) -> None:
    """Before: from about 5e6 on the solution was anything, or the factors failed in words of linear algebra."""
    across, along = (each.log().div(9).mul(torch.tensor(strongest).log()).exp() for each in links(1, 13, 30))
    across[:, 4:9], along[:, 3:8] = strongest, strongest
    wanted = torch.rand(1, 3, 13, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = torch.linalg.solve(dense(across[0], along[0]), wanted[0].flatten(1).T).T.view_as(wanted)
    torch.testing.assert_close(dissection.solve(wanted, across, along), exact, rtol=0, atol=1e-7 + 1e-16 * strongest)


def test_links_too_strong_for_any_number() -> None:
    across, along = torch.full((1, 9, 11), 1e20, dtype=torch.float64), torch.full((1, 8, 12), 1e20, dtype=torch.float64)
    with pytest.raises(InputError, match="larger sharpness"):
        dissection.solve(torch.arange(108.0, dtype=torch.float64).view(1, 1, 9, 12) / 108, across, along)


def test_no_number_of_the_factors_is_denormal() -> None:
    """Far pixels' links fade below what a processor computes at full speed."""
    factors = dissection.Factors(torch.full((1, 97, 99), 1e-3), torch.full((1, 96, 100), 1e-3))
    merged = [one for step in factors.steps for one in (*step.early, step.merged) if one is not None]
    assert len(merged) > len(factors.steps)
    for one in merged:
        for some in (one.factor, one.shared):
            assert not ((some != 0) & (some.abs() < torch.finfo(torch.float32).tiny)).any()


def test_long_pictures_take_memory_by_their_length() -> None:
    sizes = []
    for w in (300, 1200):
        factors = dissection.Factors(torch.ones(1, 2, w - 1), torch.ones(1, 1, w))
        sizes.append(sum(step.merged.factor.numel() + step.merged.shared.numel() for step in factors.steps))
    assert sizes[1] < 4.5 * sizes[0]


def moved(join: boxes.Join, pixels: list) -> list:
    """The first part's border pixels at their places in the joined box's border."""
    border = [None] * join.border
    for start, stop, to in join.parts[0]:
        if to >= join.inner:
            border[to - join.inner : to - join.inner + stop - start] = pixels[start:stop]
    return border


@pytest.mark.parametrize(("h", "w"), [(1, 9), (8, 61), (25, 13), (50, 100)])
def test_boxes_cover_the_picture_and_join(h: int, w: int) -> None:
    level = boxes.cut(h, w)
    while True:
        y, x = boxes.lines(level)
        covered = torch.zeros(level.grid[0] * level.size[0] + 1, level.grid[1] * level.size[1] + 1)
        assert covered.shape[0] >= h and covered.shape[1] >= w
        for rows, columns in zip(y.T, x.T, strict=True):
            covered[rows[:, None], columns] += 1
        assert y.shape[1] == level.grid[0] * level.grid[1] and covered.min() == 1 and covered.max() <= 4
        if level.grid == (1, 1):
            break
        above, (alone, join) = boxes.joined(level), boxes.join(level)
        pixels = boxes.border(level)
        if alone[0] is not None:
            pixels = moved(alone[0], pixels)
        above_y, above_x = boxes.lines(above)
        first = slice(above_y.shape[1])  # the first parts' borders lie where the joined boxes have them
        for one, other in zip(moved(join, pixels), boxes.border(above), strict=True):
            if one is not None:
                assert torch.equal(y[one[0], first], above_y[other[0]])
                assert torch.equal(x[one[1], first], above_x[other[1]])
        level = above


def test_incomplete_factor_keeps_row_sums() -> None:
    across, along = links(1, 5, 6)
    factor = conjugate_gradient.Factor(across, along, 1)
    ones = conjugate_gradient._sheared(torch.ones(1, 5, 6, dtype=torch.float64))
    # modified: factor times one = matrix times one = 1, so preconditioning it gives one back
    z, matrix_z = factor.precondition(factor.product(ones))
    torch.testing.assert_close(conjugate_gradient._unsheared(z, 1, 5, 6), torch.ones(1, 5, 6, dtype=torch.float64))
    torch.testing.assert_close(
        conjugate_gradient._unsheared(matrix_z, 1, 5, 6), torch.ones(1, 5, 6, dtype=torch.float64)
    )


def test_blank_planes_and_constants() -> None:
    image = torch.zeros(1, 3, 20, 24)
    image[:, 1] = 0.25
    for solver in ("exact", "published"):
        smoothed = rtv(image, *SETTINGS["script"], solver=solver)
        assert smoothed[:, ::2].abs().max() == 0
        assert (smoothed[:, 1] - 0.25).abs().max() < (1e-6 if solver == "exact" else 0.05)


def test_batch_is_picture_by_picture() -> None:
    pictures = torch.from_numpy(golden.image(40, 36, batch=3)) * 0.5 + 0.5
    for solver in ("exact", "published"):
        together = rtv(pictures, *SETTINGS["example"], solver=solver)
        alone = torch.cat([rtv(one[None], *SETTINGS["example"], solver=solver) for one in pictures])
        torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_pictures_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = torch.from_numpy(golden.image(40, 36, batch=2)) * 0.5 + 0.5
    whole = rtv(pictures, *SETTINGS["example"], solver="published")
    monkeypatch.setattr(structure, "PIXELS_AT_ONCE", 1)
    torch.testing.assert_close(rtv(pictures, *SETTINGS["example"], solver="published"), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("solver", ["exact", "published"])
def test_nothing_of_the_hole_reaches_the_known(solver: structure.Solver) -> None:
    image, mask = torch.from_numpy(golden.image(48, 64)), torch.from_numpy(golden.hole(48, 64))
    other = torch.where(mask > 0, torch.rand(image.shape, generator=torch.Generator().manual_seed(0)), image)
    one, two = (structure_of_known(x, mask, solver=solver) for x in (image, other))
    assert torch.equal(one, two)
    assert (one * mask).abs().max() == 0 and one.abs().max() <= 1


def test_cut_holes_keep_the_known_part() -> None:
    image, mask = torch.full((1, 3, 48, 64), 0.8), torch.from_numpy(golden.hole(48, 64))
    cut, published = (rtv(image, *SETTINGS["script"], mask=mask, holes=holes) for holes in ("cut", "published"))
    assert ((cut - 0.8) * (1 - mask)).abs().max() < 1e-6
    assert ((published - 0.8) * (1 - mask)).abs().max() > 0.1  # the hole's black flows out


def test_whole_picture_unknown() -> None:
    image = torch.from_numpy(golden.image(48, 48))
    assert structure_of_known(image, torch.ones(1, 1, 48, 48)).abs().max() == 0


def test_one_mask_for_a_batch_and_bfloat16() -> None:
    image, mask = torch.from_numpy(golden.image(48, 48, batch=2)), torch.from_numpy(golden.hole(48, 48))
    smoothed = structure_of_known(image.bfloat16(), mask.bfloat16())
    assert smoothed.dtype == torch.bfloat16 and smoothed.shape == image.shape
    assert (smoothed.float() - structure_of_known(image.bfloat16().float(), mask)).abs().max() < 0.01


def test_errors() -> None:
    image = torch.rand(1, 3, 8, 8)
    with pytest.raises(InputError, match=r"scale it to 0\.\.1"):
        rtv(image * 255, *SETTINGS["xu"])
    with pytest.raises(InputError, match="NaN"):
        rtv(image * float("nan"), *SETTINGS["xu"])
    with pytest.raises(InputError, match="mask is"):
        rtv(image, *SETTINGS["xu"], mask=torch.zeros(1, 1, 8, 9))
    with pytest.raises(InputError, match="above 0"):
        rtv(image, 0.0, 3.0, 0.02, 4)
    with pytest.raises(InputError, match="exact or published"):
        rtv(image, *SETTINGS["xu"], solver="fast")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no RTV setting"):
        structure_of_known(image, torch.zeros(1, 1, 8, 8), "sharp")

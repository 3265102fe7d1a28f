"""Large structure pictures: the multigrid against dense algebra, bands against the direct solution."""

from __future__ import annotations

import golden
import pytest
import torch
from torch import Tensor

from retouche.layers import rtv
from retouche.numerics import box_multigrid, dissection, structure, structure_bands
from retouche.numerics.structure import SETTINGS
from retouche.progress import listening

SIZES = [(1, 1), (1, 9), (7, 1), (2, 3), (13, 30), (29, 17), (64, 33)]


def links(h: int, w: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(h)
    across = torch.rand(1, h, w - 1, dtype=torch.float64, generator=random).mul(9).exp()
    return across, torch.rand(1, h - 1, w, dtype=torch.float64, generator=random).mul(9).exp()


def applied(solver: box_multigrid.Solver, u: Tensor) -> Tensor:
    """One V-cycle as a matrix: (W H, W H) times u."""
    grid = solver.grid
    flat = solver._sheared(u.mT if solver.tall else u) * grid.scale
    result = solver._unsheared(grid.cycle(flat, torch.empty_like(flat)) * grid.scale)
    return result.mT if solver.tall else result


@pytest.mark.parametrize(("h", "w"), SIZES)
def test_multigrid_solves(h: int, w: int) -> None:
    across, along = links(h, w)
    wanted = torch.rand(1, 1, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mass = torch.rand(h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3 + 0.5
    right = dissection.product(wanted, across, along) + (mass - 1) * wanted
    solver = box_multigrid.Solver(across[0].float(), along[0].float(), mass.float())
    solved, steps = solver.solve(right[0, 0].float(), 1e-6, 60)
    assert steps < 40
    torch.testing.assert_close(solved, wanted[0, 0].float(), rtol=0, atol=1e-3)  # float32, conductances to 8,000


def test_what_is_not_solved_is_named(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(structure, "LARGEST_DIRECT", 0)
    rtv(scene(40, 30), *SETTINGS["script"])
    assert not caplog.messages
    monkeypatch.setattr(structure_bands, "MOST_STEPS", 1)
    rtv(scene(40, 30), *SETTINGS["script"])
    assert "larger sharpness" in caplog.messages[0]


def test_a_cycle_is_symmetric_and_positive() -> None:
    across, along = (x[0].float() for x in links(21, 34))
    solver = box_multigrid.Solver(across, along, torch.ones(21, 34))
    random = torch.Generator().manual_seed(3)
    one, two = (torch.rand(21, 34, generator=random) - 0.5 for _ in range(2))
    left, right = (one * applied(solver, two)).sum(), (two * applied(solver, one)).sum()
    assert abs(left - right) < 1e-4 * abs(one * applied(solver, one)).sum()
    assert (one * applied(solver, one)).sum() > 0


def scene(h: int, w: int) -> Tensor:
    """Waves, a flat sky above, a dark tower in it: (1, 3, h, w), 0..1."""
    image = torch.from_numpy(golden.image(h, w)) * 0.5 + 0.5
    image[:, :, : h // 2] = torch.linspace(0.5, 0.7, h // 2)[:, None]
    image[:, :, h // 6 : h // 2, w // 3 : w // 2] = 0.1
    return image


CASES = [("script", None), ("xu", None), ("example", None), ("script", "published"), ("script", "cut")]


@pytest.mark.parametrize(("setting", "holes"), CASES)
@pytest.mark.parametrize(("h", "w"), [(300, 100), (96, 310)])
def test_bands_are_the_whole(
    h: int, w: int, setting: str, holes: structure.Holes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = scene(h, w)
    mask = None if holes is None else torch.from_numpy(golden.hole(h, w))
    whole = rtv(image.double(), *SETTINGS[setting], mask=mask, holes=holes or "published")
    monkeypatch.setattr(structure, "LARGEST_DIRECT", 0)
    monkeypatch.setattr(structure_bands, "BAND_PIXELS", 0)
    monkeypatch.setattr(structure_bands, "LEAST_ROWS", 70)
    heard: list[float] = []
    with listening(heard.append):
        banded = rtv(image, *SETTINGS[setting], mask=mask, holes=holes or "published")
    assert banded.dtype == image.dtype
    assert (banded - whole).abs().max() < 1e-3
    assert heard == sorted(heard) and heard[-1] == 1.0 and len({*heard}) >= 4 * SETTINGS[setting].rounds
    if holes == "cut":
        assert mask is not None and (banded * mask).abs().max() == 0


@pytest.mark.parametrize(("h", "w"), [(1, 1), (1, 90), (90, 2), (5, 7)])
def test_thin_pictures(h: int, w: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.from_numpy(golden.image(h, w)) * 0.5 + 0.5
    whole = rtv(image.double(), *SETTINGS["script"])
    monkeypatch.setattr(structure, "LARGEST_DIRECT", 0)
    monkeypatch.setattr(structure_bands, "MOST_ROWS", 40)
    assert (rtv(image, *SETTINGS["script"]) - whole).abs().max() < 1e-3


def test_sharper_than_any_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    image = scene(90, 60)
    whole = rtv(image.double(), 0.015, 3.0, 1e-5, 3)
    monkeypatch.setattr(structure, "LARGEST_DIRECT", 0)
    assert (rtv(image, 0.015, 3.0, 1e-5, 3) - whole).abs().max() < 1e-3


def test_batches_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "LARGEST_DIRECT", 0)
    images = torch.cat([scene(64, 48), scene(64, 48).flip(3)])
    together = rtv(images, *SETTINGS["script"])
    assert torch.equal(together[1:], rtv(images[1:], *SETTINGS["script"]))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2 if before == 1 else 1)
        assert torch.equal(together, rtv(images, *SETTINGS["script"]))
    finally:
        torch.set_num_threads(before)

"""Progress of a fill: from inside the solvers up to `Model.__call__`, and on a terminal."""

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import retouche
from retouche.apps.batch.fill import Fill, Settings
from retouche.apps.cli import main, terminal
from retouche.layers import rtv
from retouche.progress import listening, part, report_progress, rising, shares
from retouche.runners.local import Inline
from retouche.runners.work import Job

RANDOM = np.random.default_rng(7)


def scene(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), np.uint8)


def holes(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def heard(model: retouche.Model, picture: Any, mask: Any, **options: Any) -> list[float]:
    """What was told, after the promises that hold for every fill."""
    told: list[float] = []
    here = threading.get_ident()

    def on_progress(fraction: float) -> None:
        assert threading.get_ident() == here
        told.append(fraction)

    model(picture, mask, progress=on_progress, **options)
    assert told[0] == 0.0 and told[-1] == 1.0
    assert all(one < other for one, other in pairwise(told))
    assert told.count(1.0) == 1
    return told


def test_every_hole_is_a_part_by_the_pixels_seen() -> None:
    model = retouche.load("mean")
    picture, mask = scene(900, 1600), holes(900, 1600, (10, 10, 70, 70), (1550, 800, 1570, 820))
    told = heard(model, picture, mask, dilate=0)
    _, report = model(picture, mask, dilate=0, report=True)
    assert len(report.holes) == 2
    areas = [(crop[2] - crop[0]) * (crop[3] - crop[1]) for crop in (hole.crop for hole in report.holes)]
    assert any(abs(fraction - areas[0] / sum(areas)) < 1e-9 for fraction in told)


def test_tiles_are_told_one_by_one() -> None:
    model = retouche.load("mean")
    picture, mask = scene(300, 300), holes(300, 300, (20, 20, 280, 280))
    told = heard(model, picture, mask, dilate=0, memory=64 * 64 * 60)
    _, report = model(picture, mask, dilate=0, memory=64 * 64 * 60, report=True)
    passes = report.holes[0].passes
    assert report.strategy == "tile" and passes > 20 and len(told) >= passes


@pytest.mark.parametrize("name", ["exemplar", "harmonic"])
def test_iterative_fills_tell_inside_one_hole(name: str) -> None:
    told = heard(retouche.load(name), scene(120, 120), holes(120, 120, (40, 40, 80, 80)))
    assert sum(0.05 < fraction < 0.9 for fraction in told) >= 4
    assert max(after - before for before, after in pairwise(told)) < 0.5


def test_listening_changes_no_byte() -> None:
    model, picture = retouche.load("exemplar"), scene(80, 80)
    mask = holes(80, 80, (30, 30, 50, 50))
    assert np.array_equal(model(picture, mask), model(picture, mask, progress=lambda fraction: None))


def test_batches_and_empty_masks() -> None:
    model = retouche.load("harmonic")
    batch, mask = torch.rand(3, 3, 40, 40), torch.zeros(1, 1, 40, 40)
    mask[..., 10:20, 10:20] = 1
    told = heard(model, batch, mask)
    assert 1 / 3 in told and 2 / 3 in told
    assert heard(model, scene(20, 20), holes(20, 20)) == [0.0, 1.0]


def test_what_the_listener_raises_ends_the_fill() -> None:
    class Enough(Exception):
        pass

    def on_progress(fraction: float) -> None:
        if fraction > 0.3:
            raise Enough

    model, picture, mask = retouche.load("exemplar"), scene(80, 80), holes(80, 80, (30, 30, 50, 50))
    with pytest.raises(Enough):
        model(picture, mask, progress=on_progress)
    report_progress(0.9)  # nobody listens any more
    model(picture, mask)


def test_a_fill_from_elsewhere_needs_to_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from retouche.methods import find

    def plain(image: torch.Tensor, mask: torch.Tensor, seed: int) -> torch.Tensor:
        return torch.zeros_like(image)

    monkeypatch.setattr("retouche.inference.model.find", lambda name: find("mean").__class__("", "", fill=plain))
    told = heard(retouche.Model("own", "own"), scene(40, 40), holes(40, 40, (10, 10, 20, 20)))
    assert len(told) >= 3


def test_networks_tell_each_pass_and_rtv_each_round() -> None:
    told: list[float] = []
    with listening(told.append):
        rtv(torch.rand(2, 3, 32, 32), 0.015, 3.0, 0.02, 4)
    assert told == sorted(told) and told[-1] == 1.0 and 0.25 in told and 0.5 in told
    model = retouche.create("context-encoder", seed=0)
    picture, mask = scene(140, 300), holes(140, 300, (50, 60, 70, 80), (230, 60, 250, 80))
    _, report = model(picture, mask, report=True)
    assert len(heard(model, picture, mask)) >= 2 + len(report.holes) and len(report.holes) == 2


def test_a_batch_counts_the_picture_in_hand(tmp_path: Path) -> None:
    mask = Image.fromarray(holes(40, 40, (10, 10, 20, 20)))
    mask.save(tmp_path / "mask.png")
    jobs = []
    for number in range(3):
        Image.fromarray(scene(40, 40)).save(tmp_path / f"{number}.png")
        jobs.append(Job(tmp_path / f"{number}.png", tmp_path / "mask.png", tmp_path / "out" / f"{number}.png"))
    told: list[float] = []
    runner = Inline(Fill(Settings("harmonic", device="cpu")))
    runner.start()
    outcomes = list(runner.run(jobs, told.append))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert told == sorted(told) and told[0] == 0 and told[-1] == 3 and {1.0, 2.0} <= {*told}
    assert any(1 < each < 2 for each in told)


def test_the_line_for_one_picture_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(scene(40, 40)).save(tmp_path / "a.png")
    Image.fromarray(holes(40, 40, (10, 10, 20, 20))).save(tmp_path / "mask.png")
    told: list[float] = []

    @contextmanager
    def fraction(doing: str) -> Iterator[Any]:
        yield told.append

    monkeypatch.setattr(terminal, "fraction", fraction)
    words = ["run", "--image", str(tmp_path / "a.png"), "--mask", str(tmp_path / "mask.png"), "--device", "cpu"]
    assert main([*words, "--output", str(tmp_path / "b.png"), "--model", "harmonic"]) == 0
    assert told[0] == 0.0 and told[-1] == 1.0 and len(told) > 3


def test_parts_and_shares() -> None:
    told: list[float] = []
    with listening(told.append):
        for times in shares([1, 3]):
            with part(*times):
                report_progress(0.5)
                with part(0.5, 1):
                    report_progress(2.0)
    assert told == [0.125, 0.25, 0.25, 0.25, 0.625, 1.0, 1.0, 1.0]
    assert shares([]) == [] and shares([0.0, 0.0]) == [(0.0, 0.0), (0.0, 0.0)]
    upwards: list[float] = []
    on_progress = rising(upwards.append)
    for fraction in (-1, 0.5, 0.2, float("nan"), 0.5, 7):
        on_progress(fraction)
    assert upwards == [0.0, 0.5, 1.0]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen_of(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Terminal:
    """What is written to a terminal where works longer than this show a bar."""
    monkeypatch.setattr(terminal, "QUICK_SECONDS", seconds)
    made = Terminal()
    monkeypatch.setattr("sys.stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return made


def test_what_is_quick_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of(monkeypatch, 60.0)
    with terminal.fraction("filling") as show:
        assert show is not None
        show(0.5)
    assert screen.getvalue() == ""


def test_what_lasts_shows_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = screen_of(monkeypatch, 0.0)
    with terminal.fraction("filling") as show:
        assert show is not None
        show(0.0)
        show(0.5)
        end = time.monotonic() + 20
        while "50%" not in screen.getvalue():
            assert time.monotonic() < end, "no bar"
            time.sleep(0.01)
    assert "filling" in screen.getvalue() and "left" in screen.getvalue()


def test_no_bar_where_nobody_sees_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(terminal, "QUICK_SECONDS", 0.0)
    with terminal.fraction("filling") as show:
        assert show is None
    assert capsys.readouterr().err == ""

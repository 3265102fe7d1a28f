"""`retouche sketch`: lines where edges are, PNG whatever the picture's format, the same lines as in training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from retouche.apps.cli import main
from retouche.data import sketches
from retouche.data.sketches import edges
from retouche.masks import squared
from retouche.pictures import open_picture


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    picture = Image.new("RGB", (96, 64), (40, 40, 40))
    ImageDraw.Draw(picture).rectangle((20, 15, 60, 45), fill=(220, 200, 160))
    picture.save(folder / "a.png")
    picture.save(folder / "more/b.jpg", quality=95)
    return folder


def test_folder(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["sketch", "--image", str(photos), "--output", f"{out}/"]) == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")) == ["a.png", "more/b.png"]
    recorded = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [(entry["output"], entry["model"]) for entry in recorded] == [("a.png", "sketch"), ("more/b.png", "sketch")]
    with Image.open(out / "a.png") as drawn:
        lines = np.array(drawn)
    assert set(np.unique(lines)) == {0, 255}
    given = torch.from_numpy(np.array(Image.open(photos / "a.png"))).permute(2, 0, 1)[None].float() / 127.5 - 1
    assert np.array_equal(lines > 127, edges(given)[0, 0].numpy() > 0)
    # the rectangle's outline and nothing else
    rows, columns = np.nonzero(lines)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((15, 45, 20, 60), abs=1)
    assert not lines[20:40, 25:55].any()
    assert main(["sketch", "--image", str(photos), "--output", f"{out}/"]) == 2
    assert "--resume" in capsys.readouterr().err
    (out / "a.png").unlink()
    assert main(["sketch", "--image", str(photos), "--output", f"{out}/", "--resume"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "a.png")


def test_two_pictures_of_one_stem(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open(photos / "a.png").save(photos / "a.jpg")
    assert main(["sketch", "--image", str(photos), "--output", f"{tmp_path}/out/"]) == 2
    assert "would both be written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--output", "lines.jpg"], "give a .png"), (["--output", "lines.png", "--smooth", "0"], "--smooth")],
)
def test_wrong_use(photos: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sketch", "--image", str(photos / "a.png"), *words]) == 2
    assert said in capsys.readouterr().err


def test_smoother_lines_are_fewer(photos: Path, tmp_path: Path) -> None:
    pixels = np.array(Image.open(photos / "a.png"))
    pixels[:, 70:] += (np.arange(26) // 3 % 2 * 120).astype(np.uint8)[:, None]  # fine stripes beside the rectangle
    Image.fromarray(pixels).save(tmp_path / "striped.png")
    drawn = []
    for smooth in ("1", "4"):
        output = tmp_path / f"{smooth}.png"
        words = ["--image", str(tmp_path / "striped.png"), "--output", str(output), "--smooth", smooth]
        assert main(["sketch", *words]) == 0
        drawn.append((np.array(Image.open(output)) > 127).sum())
    assert 0 < drawn[1] < drawn[0] / 2


def test_bands_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lines that are strong in one place only are joined across bands as in the whole picture."""
    step = np.linspace(0, 180, 300)  # grey values between left and right, row by row
    Image.fromarray((60 + step[:, None] * (np.arange(80) > 40)).astype(np.uint8)).save(tmp_path / "ramp.png")
    picture = open_picture(tmp_path / "ramp.png")
    whole = edges(picture.rgb())[0, 0].numpy() > 0
    rows = whole.any(1).nonzero()[0]
    assert step[rows].max() > 150 and step[rows].min() < 76  # 76 would be strong enough for a perfect edge
    monkeypatch.setattr(sketches, "ROWS", 40)
    assert np.array_equal(sketches.sketch(picture), whole)


def test_wide_smoothing_on_a_smaller_grid_draws_the_same_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    height, width, sigma = 397, 503, 30.0  # sides that the grid's step of 4 does not divide
    y, x = np.mgrid[:height, :width]
    disc = (y - 190) ** 2 + (x - 210) ** 2 < 110**2
    picture = open_picture((60 + 150 * disc + 30 * (x > 400)).astype(np.uint8))
    assert sketches._reduction(sigma, height) == 4 and sketches._reduction(6.0, height) == 1
    exact = sketches._blurred(sketches._grey(picture.rgb()), sigma)
    small = sketches._small(picture, sigma, 4)
    assert (sketches._enlarged(small, 4, (0, height), (0, width)) - exact)[..., 8:-8, 8:-8].abs().max() < 2e-3
    monkeypatch.setattr(sketches, "ROWS", 100)
    lines, wanted = sketches.sketch(picture, sigma), edges(picture.rgb(), sigma)[0, 0].numpy() > 0
    assert wanted.sum() > 600
    inner = (slice(8, -8), slice(8, -8))
    assert not (lines & ~squared(wanted, 2))[inner].any() and not (wanted & ~squared(lines, 2))[inner].any()

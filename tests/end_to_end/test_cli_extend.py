"""`retouche run --extend`: the canvas grows, with and without a mask."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouche.apps.cli import main

RANDOM = np.random.default_rng(11)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(RANDOM.integers(0, 255, (30, 40, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def run(*words: object) -> int:
    return main(["run", "--model", "mean", *map(str, words)])


def test_without_and_with_a_mask(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = _pixels(photo)
    out = photo.with_name("wide.png")
    assert run("--image", photo, "--output", out, "--extend", "left=20,bottom=10%", "--json", "--report") == 0
    line = json.loads(capsys.readouterr().out)
    assert line["mask"] is None and line["report"]["extended"] == [20, 0, 0, 3]
    new = _pixels(out)
    assert new.shape == (33, 60, 3) and np.array_equal(new[:30, 20:], old)
    mask = np.zeros((30, 40), np.uint8)
    mask[4:9, 30:35] = 255
    Image.fromarray(mask).save(photo.with_name("mask.png"))
    words = ("--image", photo, "--mask", photo.with_name("mask.png"), "--output", out, "--dilate", 0, "--overwrite")
    assert run(*words, "--extend", "left=20", "--report") == 0
    assert "extended by pixels: left 20" in capsys.readouterr().out
    new = _pixels(out)
    assert np.array_equal((new[:, 20:] == old).all(2), mask == 0)


def test_transparency_is_a_hole_only_where_it_is_asked_for(photo: Path) -> None:
    old = RANDOM.integers(0, 255, (30, 40, 4), dtype=np.uint8)
    old[..., 3] = 255
    old[5:9, 5:9, 3] = 0
    Image.fromarray(old).save(photo)
    out = photo.with_name("wide.png")
    assert run("--image", photo, "--output", out, "--extend", "right=8") == 0
    new = _pixels(out)
    assert np.array_equal(new[:, :40], old) and (new[:, 40:, 3] == 255).all()
    assert run("--image", photo, "--mask", "alpha", "--output", out, "--extend", "right=8", "--overwrite") == 0
    new = _pixels(out)
    assert new.shape == (30, 48, 4) and (new[..., 3] == 255).all()


def test_a_folder_goes_on_only_with_the_same_room(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photo.parent / "in").mkdir()
    for name in ("a.png", "b.png"):
        photo.with_name("in").joinpath(name).write_bytes(photo.read_bytes())
    words = ("--image", photo.parent / "in", "--output", photo.parent / "out", "--resume")
    for room, side in (("left=4", 44), ("left=4", 44), ("left=6", 46)):
        assert run(*words, "--extend", room) == 0
        assert _pixels(photo.parent / "out" / "b.png").shape[1] == side


def test_words_that_say_nothing_are_refused_before_anything_is_read(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--image", photo, "--output", photo.with_name("wide.png"), "--extend", "left:20") == 2
    assert "left=200,right=10%" in capsys.readouterr().err and not photo.with_name("wide.png").exists()


def test_between_pipes(photo: Path) -> None:
    words = [sys.executable, "-m", "retouche", "run", "--model", "mean", "--image", "-", "--output", "-"]
    done = subprocess.run([*words, "--extend", "top=5"], input=photo.read_bytes(), capture_output=True, check=True)
    photo.with_name("wide.png").write_bytes(done.stdout)
    assert np.array_equal(_pixels(photo.with_name("wide.png"))[5:], _pixels(photo))

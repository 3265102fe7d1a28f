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


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("masked", [False, True])
def test_check_knows_where_the_original_lies(
    photo: Path, suffix: str, masked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept as it was written; one changed pixel of the original is found, wherever the canvas has it."""
    smooth = np.linspace(20, 220, 30 * 40 * 3).reshape(30, 40, 3).astype(np.uint8)
    Image.fromarray(smooth).save(photo.with_suffix(f".{suffix}"), quality=95)
    photo = photo.with_suffix(f".{suffix}")
    out, room = photo.with_name(f"wide.{suffix}"), "left=24,top=20%,bottom=16"
    mask = np.zeros((30, 40), np.uint8)
    mask[4:9, 30:35] = 255
    Image.fromarray(mask).save(photo.with_name("mask.png"))
    given = [str(photo.with_name("mask.png"))] if masked else []
    words = ["--mask", *given] if masked else []
    assert run("--image", photo, *words, "--output", out, "--extend", room) == 0
    check = ["check", str(photo), str(out), *given, "--extend", room, *(["--lossy"] if suffix == "jpg" else [])]
    capsys.readouterr()
    assert main([*check, "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["kept"] and verdict["extended"] == [24, 6, 0, 16]
    assert verdict["known"] == 30 * 40 if not masked else 1100 < verdict["known"] < 1200 - 25
    broken = _pixels(out).copy()
    broken[6 + 14, 24 + 16] ^= 0x50
    Image.fromarray(broken).save(out, quality=95)
    assert main([*check, "--json"]) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert not verdict["kept"] and (suffix == "jpg" or verdict["where"] == [40, 20])
    assert main(check) == 1 and "where the original lies" in capsys.readouterr().out


def test_check_of_alpha_depth_and_other_room(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = RANDOM.integers(0, 255, (30, 40, 4), dtype=np.uint8)
    old[..., 3] = 255
    old[5:9, 5:9, 3] = 0
    Image.fromarray(old).save(photo)
    out = photo.with_name("wide.png")
    check = ["check", str(photo), str(out)]
    assert run("--image", photo, "--output", out, "--extend", "right=8") == 0
    assert main([*check, "--extend", "right=8"]) == 0
    assert run("--image", photo, "--mask", "alpha", "--output", out, "--extend", "right=8", "--overwrite") == 0
    assert main([*check, "alpha", "--extend", "right=8"]) == 0
    assert main([*check, "--extend", "right=8"]) == 1  # its transparency was filled, which is not said
    capsys.readouterr()
    assert main([*check, "--extend", "left=8"]) == 1  # the same size, another place
    assert main([*check, "--extend", "right=9"]) == 1
    assert "size 40x30, extended to 49x30, became 48x30" in capsys.readouterr().out
    assert main([*check, "alpha"]) == 1
    assert "say so with --extend" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "MASK is missing"),
        (["--extend", "west=3"], 'extend has "west=3"'),
        (["--extend", "left=0"], "adds nothing"),
        (["--extend", "left=99999999"], "megapixels"),
        (["--extend", "left=3", "--pages", "1"], "leave out --pages"),
        (["nowhere.png", "--extend", "left=3"], "nowhere.png is not there"),
    ],
)
def test_checks_that_say_nothing_are_refused(
    photo: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(photo), str(photo), *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]

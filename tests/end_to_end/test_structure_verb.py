"""`retouche structure`: files, folders, masks, what an interrupted batch leaves to do."""

from __future__ import annotations

import json
from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from PIL import Image

from retouche.apps.cli import main
from retouche.layers import rtv
from retouche.numerics import structure, structure_bands
from retouche.numerics.structure import SETTINGS


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "more/b.png")):
        pixels = (golden.image(48, 64, number)[0].transpose(1, 2, 0) + 1) * 127.5
        Image.fromarray(pixels.round().astype(np.uint8)).save(folder / name)
    return folder


def test_one_file(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "structure.png"
    words = ["structure", "--image", str(photos / "a.png"), "--output", str(output), "--setting", "example"]
    assert main([*words, "--solver", "published"]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    given = torch.from_numpy(np.array(Image.open(photos / "a.png"))).permute(2, 0, 1)[None].double() / 255
    wanted = rtv(given, *SETTINGS["example"], solver="published").clamp(0, 1) * 255
    assert np.array_equal(np.array(Image.open(output)), wanted[0].permute(1, 2, 0).round().byte().numpy())
    assert main(words) == 2  # it exists
    assert "--overwrite" in capsys.readouterr().err


def test_folder_goes_on_where_it_stopped(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["structure", "--image", str(photos), "--output", f"{tmp_path}/out/", "--json"]
    (photos / "broken.png").write_bytes(b"no picture")
    assert main(words) == 1
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [Path(line["input"]).name for line in lines if line["error"]] == ["broken.png"]
    assert "1 of 3 pictures failed" in said.err
    assert (tmp_path / "out/a.png").exists() and (tmp_path / "out/more/b.png").exists()
    (photos / "broken.png").unlink()
    (tmp_path / "out/a.png").unlink()
    assert main([*words, "--resume"]) == 0
    said = capsys.readouterr()
    assert [Path(json.loads(line)["input"]).name for line in said.out.splitlines()] == ["a.png"]


def test_hidden_colours_are_left_out(photos: Path, tmp_path: Path) -> None:
    pixels = np.array(Image.open(photos / "a.png").convert("RGBA"))
    pixels[:, 40:, 3] = 0
    made = []
    for hidden in (0, 255):
        pixels[:, 40:, :3] = hidden
        Image.fromarray(pixels).save(tmp_path / "clear.png")
        words = ["--image", str(tmp_path / "clear.png"), "--output", str(tmp_path / "made.png"), "--overwrite"]
        assert main(["structure", *words, "--setting", "example"]) == 0
        made.append(np.array(Image.open(tmp_path / "made.png")))
    assert np.array_equal(made[0][:, :40], made[1][:, :40]) and np.array_equal(made[0][..., 3], pixels[..., 3])


def test_hole_is_left_out(photos: Path, tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:30, 20:50] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    made = []
    for paint in (None, 255):
        pixels = np.array(Image.open(photos / "a.png"))
        if paint is not None:
            pixels[mask > 0] = paint
        Image.fromarray(pixels).save(tmp_path / "in.png")
        words = ["--image", str(tmp_path / "in.png"), "--mask", str(tmp_path / "mask.png"), "--overwrite"]
        assert main(["structure", *words, "--output", str(tmp_path / "known.png")]) == 0
        made.append(np.array(Image.open(tmp_path / "known.png")))
    assert np.array_equal(made[0], made[1])
    assert set(made[0][mask > 0].flatten()) == {128}


@pytest.mark.parametrize("masked", [False, True])
def test_large_pictures_are_read_in_bands(
    masked: bool, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["structure", "--image", str(photos / "a.png")]
    if masked:
        Image.fromarray((golden.hole(48, 64)[0, 0] * 255).astype(np.uint8)).save(tmp_path / "mask.png")
        words += ["--mask", str(tmp_path / "mask.png")]
    assert main([*words, "--output", str(tmp_path / "whole.png")]) == 0
    monkeypatch.setattr(structure, "LARGEST_DIRECT", 0)
    monkeypatch.setattr(structure_bands, "BAND_PIXELS", 0)
    monkeypatch.setattr(structure_bands, "LEAST_ROWS", 20)
    assert main([*words, "--output", str(tmp_path / "bands.png")]) == 0
    whole, bands = (np.array(Image.open(tmp_path / name)).astype(int) for name in ("whole.png", "bands.png"))
    assert np.abs(whole - bands).max() <= 1

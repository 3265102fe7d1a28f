"""The examples run as a stranger runs them."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCS = EXAMPLES.parent / "docs"
WORKED = ("object", "date", "layout", "face")


def run(script: str, *words: str) -> str:
    command = [sys.executable, str(EXAMPLES / script), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout


def test_first_fill(tmp_path: Path) -> None:
    from skimage import data

    assert "filled.png" in run("first_fill.py", str(tmp_path))
    with Image.open(tmp_path / "filled.png") as picture:
        filled = np.asarray(picture)
    assert filled.shape == data.rocket().shape
    changed = (filled != data.rocket()).any(axis=-1)
    assert 0.02 < changed.mean() < 0.1
    with Image.open(tmp_path / "before_after.png") as sheet:
        assert sheet.width > 3 * 640


def test_training(tmp_path: Path) -> None:
    said = run("train_deepfill_v2.py", "--folder", str(tmp_path), "--steps", "12")
    assert "after 12 steps" in said
    assert (tmp_path / "run" / "last.safetensors").exists() and list((tmp_path / "run" / "samples").iterdir())


def test_worked_examples(tmp_path: Path) -> None:
    """Before, mask and after stand side by side; the mask marks something, and just there before and after differ."""
    said = run("worked_examples.py", str(tmp_path), "120")
    assert len(re.findall(r"outside the mask .*: 0; all \d+ pixels are identical", said)) == len(WORKED)
    assert {each.stem for each in tmp_path.iterdir()} == set(WORKED)
    for name in WORKED:
        with Image.open(tmp_path / f"{name}.jpg") as sheet:
            pixels = np.asarray(sheet.convert("RGB")).astype(int)
        cell = (pixels.shape[1] - 12) // 3
        before, marked, after = (pixels[:-40, 12 + i * cell : i * cell + cell] for i in range(3))
        hole = np.abs(marked - before).max(axis=-1) > 48
        changed = np.abs(after - before).max(axis=-1) > 48
        assert before.std() > 30, name
        assert 0.003 < hole.mean() < 0.2, name
        assert changed[hole].mean() > 0.1, name
        assert changed[~hole].mean() < 0.01, name


@pytest.mark.parametrize("name", WORKED)
def test_worked_example_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page embeds each sheet, which is small, and shows the command that made it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from worked_examples import EXAMPLES as worked

    page = (DOCS / "examples.md").read_text(encoding="utf-8")
    section = next(part for part in page.split("\n## ") if f"](examples/{name}.jpg)" in part)
    assert re.search(rf"!\[[^\]]{{20,}}\]\(examples/{name}\.jpg\)", section)
    _, told, grown = worked[name]
    run_line = " ".join(["retouche run --image photo.png --mask mask.png --output filled.png", *told])
    check_line = " ".join(["retouche check photo.png filled.png mask.png", *grown])
    assert f"\n{run_line}\n{check_line}\n```" in section
    sheet = DOCS / "examples" / f"{name}.jpg"
    assert sheet.stat().st_size <= 120_000
    with Image.open(sheet) as picture:
        assert 1000 < picture.width < 1400

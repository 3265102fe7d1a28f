"""The examples run as a stranger runs them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


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

"""Pictures, holes and a folder of both for the tests of evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, height: int = 60, width: int = 48) -> np.ndarray:
    """Soft random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def hole(seed: int, height: int = 60, width: int = 48) -> np.ndarray:
    made = np.zeros((height, width), bool)
    made[10 + seed : 30 + seed, 8:30] = True
    return made


def save_mask(path: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def three_pictures(tmp_path: Path) -> Path:
    """Three pictures with masks, in images/ and masks/."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for seed in range(3):
        Image.fromarray(picture(seed)).save(tmp_path / "images" / f"{seed}.png")
        save_mask(tmp_path / "masks" / f"{seed}.png", hole(seed))
    return tmp_path

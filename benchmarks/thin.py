"""Dust and scratches: CPU seconds and hole PSNR of the shipped default beside the membrane, FSR and the collage.

    python benchmarks/thin.py PHOTO [PHOTO ...]

Each photograph is brought to 900x1200 with 3,000 specks of 2x2 pixels, and to 1024x1024 with scratches of 2 to 12.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from PIL import Image, ImageDraw

import retouche
from retouche import metrics
from retouche.fills import classical


def specks(height: int, width: int, count: int, seed: int) -> np.ndarray:
    """(height, width) bool: so many squares of 2x2."""
    rng = np.random.default_rng(seed)
    hole = np.zeros((height, width), bool)
    for y, x in zip(rng.integers(0, height - 2, count), rng.integers(0, width - 2, count), strict=True):
        hole[y : y + 2, x : x + 2] = True
    return hole


def main(paths: list[str]) -> None:
    torch.set_num_threads(1)
    names = ["retouche", "harmonic", *(["fsr"] if classical.available() else [])]
    models = {name: retouche.load(name) for name in names}
    print(f"torch {torch.__version__}, 1 thread")
    for path in paths:
        with Image.open(path) as opened:
            photo = opened.convert("RGB")
        cases = {
            "3000 specks, 900x1200": (photo.resize((1200, 900)), specks(900, 1200, 3000, 0)),
            "scratches, 1024x1024": (photo.resize((1024, 1024)), scratches(1024, 0)),
        }
        for title, (picture, hole) in cases.items():
            truth = np.array(picture)
            blank = np.where(hole[..., None], np.uint8(0), truth)
            for name, model in models.items():
                begun = time.process_time()
                filled = model(blank, hole, dilate=0, feather=0)
                seconds = time.process_time() - begun
                print(f"{title:22} {name:10} {metrics.psnr(filled, truth, hole):6.2f} dB {seconds:7.2f} CPU s")


def scratches(side: int, seed: int) -> np.ndarray:
    """(side, side) bool: twelve lines of 2 to 12 pixels from anywhere to anywhere."""
    rng = np.random.default_rng(seed)
    picture = Image.new("1", (side, side))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        ends = [tuple(float(v) for v in rng.uniform(0, side, 2)) for _ in range(3)]
        draw.line(ends, fill=1, width=int(rng.integers(2, 13)), joint="curve")
    return np.array(picture)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Evaluate what fills without a download on a folder of photographs: figures, seconds, and a sheet to look at.

    python benchmarks/fills.py --data FOLDER [--size 256] [--methods retouche exemplar harmonic] \\
        [--features efficientnet-lite2] [--sheet sheet.png]

Methods are whatever `retouche.load` takes: names, weight files. FOLDER holds images/ and masks/ (white = hole, one mask
per picture of the same stem), or plain pictures with `--masks drawn`: strokes and boxes then come from a seeded
generator, a third thin, a third wide, a third boxes.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

import retouche
from retouche import metrics
from retouche.backbones.efficientnet import efficientnet_lite, feature_distances, variant_of
from retouche.inference.model import Model

KINDS = ("thin", "wide", "box")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def drawn_mask(side: int, kind: str, generator: np.random.Generator) -> np.ndarray:
    """(side, side) bool: thin strokes (about a tenth of the pixels), wide ones (three tenths) or boxes (a sixth)."""
    picture = Image.new("L", (side, side))
    draw = ImageDraw.Draw(picture)
    if kind == "box":
        for _ in range(generator.integers(1, 3)):
            w, h = generator.uniform(0.25, 0.42, 2) * side
            x, y = generator.uniform(0, side - w), generator.uniform(0, side - h)
            draw.rectangle((x, y, x + w, y + h), fill=255)
        return np.array(picture) > 127
    wanted, width = {"thin": (0.1, 0.025), "wide": (0.3, 0.1)}[kind]
    while np.mean(np.array(picture) > 127) < wanted * generator.uniform(0.8, 1.0):
        points = [generator.uniform(0, side, 2)]
        angle = generator.uniform(0, 2 * np.pi)
        for _ in range(generator.integers(3, 8)):
            angle += generator.uniform(-1.2, 1.2)
            points.append(points[-1] + side * generator.uniform(0.05, 0.2) * np.array([np.cos(angle), np.sin(angle)]))
        thick = side * width * generator.uniform(0.7, 1.3)
        draw.line([tuple(point) for point in points], fill=255, width=round(thick), joint="curve")
        for x, y in points:
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
    return np.array(picture) > 127


def square(picture: Image.Image, side: int) -> np.ndarray:
    """The middle square of the given side, (side, side, 3) uint8: shorter side scaled by Lanczos, then cut."""
    picture = picture.convert("RGB")
    scale = side / min(picture.size)
    if scale != 1:
        picture = picture.resize([max(side, round(edge * scale)) for edge in picture.size], Image.Resampling.LANCZOS)
    x, y = (picture.width - side) // 2, (picture.height - side) // 2
    return np.array(picture.crop((x, y, x + side, y + side)))


def shrunk(mask: Image.Image, side: int) -> np.ndarray:
    """(side, side) bool: hole where at least a quarter of the cell is hole."""
    share = mask.convert("L").convert("F").resize((side, side), Image.Resampling.BOX)
    return np.array(share) >= 255 / 4


def pairs(
    data: Path, masks: str, side: int, limit: int, every: int
) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """stem, mask kind, picture (side, side, 3) uint8, hole (side, side) bool"""
    folder = data / "images" if (data / "images").is_dir() else data
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[::every][:limit]
    for index, path in enumerate(files):
        with Image.open(path) as opened:
            picture = square(opened, side)
        kind = KINDS[index % 3]
        if masks == "drawn":
            hole = drawn_mask(side, kind, np.random.default_rng(index))
        else:
            with Image.open(data / "masks" / f"{path.stem}.png") as opened:
                hole = shrunk(opened, side)
        yield path.stem, kind, picture, hole


def fill(model: Model, picture: np.ndarray, hole: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """The filled picture (H, W, 3) uint8, known pixels pasted back, and the CPU seconds it took."""
    blank = np.where(hole[..., None], np.uint8(0), picture)  # nothing of the truth can leak
    begun = time.process_time()
    filled = model(blank, hole, dilate=0, feather=0, seed=seed)
    seconds = time.process_time() - begun
    return np.where(hole[..., None], filled, picture), seconds


def distance(backbone: nn.Module | None, filled: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    """The feature distance inside the hole; NaN without a backbone."""
    if backbone is None:
        return float("nan")
    images = torch.from_numpy(np.stack([filled, truth])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.inference_mode():
        mask = torch.from_numpy(hole)[None, None].float()
        return float(feature_distances(backbone, images[:1], images[1:], mask).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--masks", choices=("folder", "drawn"), default="folder")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--methods", nargs="+", default=["retouche", "exemplar", "harmonic"])
    parser.add_argument("--features", help="efficientnet-lite0, 1 or 2: also the feature distance inside the hole")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="write truth, masked and filled pictures side by side")
    parser.add_argument("--sheet-rows", type=int, default=48)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    variant = None if options.features is None else variant_of(options.features)
    backbone = None if variant is None else efficientnet_lite(variant)
    models = {name: retouche.load(name) for name in options.methods}
    figures: dict[str, list[tuple[str, float, float, float, float]]] = {name: [] for name in options.methods}
    rows = []
    for stem, kind, picture, hole in pairs(options.data, options.masks, options.size, options.limit, options.every):
        row = [picture, np.where(hole[..., None], 255, picture).astype(np.uint8)]
        for name in options.methods:
            filled, seconds = fill(models[name], picture, hole, options.seed)
            judged = [array / 255 for array in (filled, picture)]
            features = distance(backbone, filled, picture, hole)
            figures[name].append(
                (kind, metrics.psnr(*judged, hole), metrics.band_error(*judged, hole), features, seconds)
            )
            row.append(filled)
        if options.sheet and len(rows) < options.sheet_rows:
            rows.append(np.concatenate(row, 1))
        print(f"\r{stem}   ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)

    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {options.size}x{options.size}")
    print(
        f"{'method':<10} {'masks':<5} {'pictures':>8} {'hole PSNR dB':>13} {'band error oct':>15} "
        f"{'features':>9} {'CPU s/picture':>14}"
    )
    for name, found in figures.items():
        for kind in ("all", *KINDS):
            chosen = np.array([values for k, *values in found if kind in ("all", k)])
            if len(chosen):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # a column of NaN where there is no backbone
                    psnr, bands, features, seconds = np.nanmean(chosen, 0)
                print(
                    f"{name[-10:]:<10} {kind:<5} {len(chosen):>8} {psnr:>13.2f} {bands:>15.3f} "
                    f"{features:>9.3f} {seconds:>14.2f}"
                )
    if options.sheet:
        Image.fromarray(np.concatenate(rows, 0)).save(options.sheet)


if __name__ == "__main__":
    main()

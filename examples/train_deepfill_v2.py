"""Train DeepFill v2 on pictures drawn on the spot: what a training looks like, in two or three minutes on two cores.

    pip install -c constraints.txt ".[train]"
    python examples/train_deepfill_v2.py [--folder FOLDER] [--steps 240]

Writes pictures/, validation/ and run/ into the folder: run/samples/ shows input, coarse, filled and truth, and
run/last.safetensors is the network, for `retouche run --model`. The same command again resumes where it ended.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from retouche.methods import find
from retouche.training.run import Listener, train
from retouche.training.settings import Run

SIDE = 64


def draw_pictures(folder: Path, seeds: range) -> None:
    """Stripes and discs in random colours over a gradient, each picture different."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    for index in seeds:
        random = np.random.default_rng(index)
        picture = random.uniform(0, 1, 3) * x[..., None] + random.uniform(0, 1, 3) * (1 - y[..., None])
        angle, period = random.uniform(0, np.pi), random.uniform(0.1, 0.3)
        stripes = (x * np.cos(angle) + y * np.sin(angle)) % period < period / 3
        picture[stripes] = random.uniform(0, 1, 3)
        centre, radius = random.uniform(0.2, 0.8, 2), random.uniform(0.1, 0.3)
        picture[np.hypot(x - centre[0], y - centre[1]) < radius] = random.uniform(0, 1, 3)
        Image.fromarray((picture.clip(0, 1) * 255).astype(np.uint8)).save(folder / f"{index:03}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("out/training"))
    parser.add_argument("--steps", type=int, default=240)
    options = parser.parse_args()
    draw_pictures(options.folder / "pictures", range(60))
    draw_pictures(options.folder / "validation", range(100, 112))

    preset = find("deepfill-v2").recipes["places2"]
    preset = replace(
        preset,  # the published losses, on a narrow network and small pictures, learning faster so that it shows
        steps=options.steps,
        learning_rate=1e-3,
        adversarial=0.1,
        network=replace(preset.network, width=24, decoder_width=24),
        data=replace(preset.data, size=SIDE, batch=4),
    )
    run = Run(
        "deepfill-v2",
        "places2",
        preset,
        str(options.folder / "pictures"),
        options.folder / "run",
        validate=str(options.folder / "validation"),
        save_every=max(1, options.steps // 3),
    )
    train(run, Listener(progress=lambda now: print(f"step {now.step}", end="\r"), note=print, warn=print))

    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    scores = [line for line in lines if line.get("kind") == "validation"]
    print(f"mean absolute error in the hole (black to white = 1) before training: {scores[0]['hole_l1']:.3f}")
    print(f"after {scores[-1]['step']} steps: {scores[-1]['hole_l1']:.3f}; mean colour: {scores[-1]['mean_fill']:.3f}")
    print(f"look at {run.folder / 'samples'}; fill with: retouche run --model {run.folder / 'last.safetensors'} ...")


if __name__ == "__main__":
    main()

"""Evaluate fills on a folder of photographs, say what evaluating costs beside filling, and draw the plots of the docs.

    python benchmarks/evaluation.py --data FOLDER [--size 256] [--models harmonic mean] [--figures docs/evaluation]

FOLDER holds images/ and masks/. Prints a Markdown table, the seconds that decoding, scoring, table and report took
beyond the fills' own, and how well the seam score sorts the pictures by their true error (Spearman's correlation).
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from retouche.evaluation import plots
from retouche.evaluation.backbones import Backbones
from retouche.evaluation.evaluate import Evaluation, evaluate
from retouche.evaluation.evaluated import EvaluatedModel, open_models
from retouche.evaluation.measures import MEASURES
from retouche.evaluation.pictures import Item, Preparation, find_items
from retouche.evaluation.report import Cache, Remembering, write_report
from retouche.evaluation.table import written

COLUMNS = ("hole_psnr", "psnr", "ssim", "ms_ssim", "hole_l1", "band_error", "seam")


class Timed:
    """A model that counts its own seconds."""

    def __init__(self, evaluated: EvaluatedModel) -> None:
        self.evaluated, self.name, self.about = evaluated, evaluated.name, evaluated.about
        self.seconds = self.processor = 0.0

    def fill(self, item: Item, truth: np.ndarray, hole: np.ndarray) -> np.ndarray:
        begun, used = time.perf_counter(), time.process_time()
        try:
            return self.evaluated.fill(item, truth, hole)
        finally:
            self.seconds += time.perf_counter() - begun
            self.processor += time.process_time() - used


def markdown(made: Evaluation) -> str:
    """The table over all pictures."""
    by_key = {measure.key: measure for measure in MEASURES}
    found = {(row.model, row.metric): row for row in made.rows if row.bin == "all"}
    head = [f"{by_key[key].title}{', ' + by_key[key].unit if by_key[key].unit else ''}" for key in COLUMNS]
    lines = [f"| model | {' | '.join(head)} |", f"|---|{'---:|' * len(head)}"]
    for name in made.names:
        cells = [written(found[name, key], by_key[key]) for key in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; NaN pairs left out."""
    there = ~(np.isnan(a) | np.isnan(b))
    ranks = [np.argsort(np.argsort(each[there])) for each in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--models", nargs="+", default=["harmonic", "mean", "telea"])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--figures", type=Path, help="write the plots there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    begun, used = time.perf_counter(), time.process_time()
    items, masks = find_items(options.data, None, options.limit)
    timed = [Timed(evaluated) for evaluated in open_models(options.models, items, torch.device("cpu"), 0, None)]
    cache = Cache()
    models = [Remembering(evaluated, cache) for evaluated in timed]
    preparation = Preparation(options.size, masks=masks)
    nothing = Backbones(None, None, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        made = evaluate(items, preparation, models, Path(folder), backbones=nothing, workers=options.workers)
        write_report(Path(folder) / "index.html", made, preparation, models)
    cache.close()
    seconds, processor = time.perf_counter() - begun, time.process_time() - used

    print("\n".join(made.protocol.lines()))
    print()
    print(markdown(made))
    print()
    own, own_processor = sum(evaluated.seconds for evaluated in timed), sum(evaluated.processor for evaluated in timed)
    print(
        f"torch {torch.__version__}, {platform.machine()}, {options.threads} thread(s), {options.workers} worker(s): "
        f"{seconds:.1f} s, {seconds - own:.1f} s of them beyond the fills' own "
        f"({processor - own_processor:.1f} s of processor time)"
    )
    keys = [measure.key for measure in made.measures]
    for number, evaluated in enumerate(timed):
        seam, error, band = (made.values[:, number, keys.index(key)] for key in ("seam", "hole_psnr", "band_error"))
        print(
            f"{evaluated.name}: {evaluated.seconds / len(items):.2f} s a picture; seam score against hole PSNR "
            f"{rank_correlation(seam, error):+.2f}, against band error {rank_correlation(seam, band):+.2f}"
        )
    if options.figures is not None:
        options.figures.mkdir(parents=True, exist_ok=True)
        by_key = {measure.key: measure for measure in MEASURES}
        drawn = {"overview": plots.scatter(made.rows, made.names, by_key["hole_psnr"], by_key["band_error"])}
        for key in ("hole_psnr", "band_error", "ssim"):
            drawn[f"{key}-by-hole-ratio"] = plots.by_bins(made.rows, made.names, by_key[key])
        for name, svg in drawn.items():
            (options.figures / f"{name}.svg").write_text(plots.standalone(svg), encoding="utf-8")


if __name__ == "__main__":
    main()

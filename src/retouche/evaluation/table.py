"""From figures of pictures to a table: means by hole ratio with bootstrap intervals, and paired differences."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retouche.evaluation.measures import Measure
from retouche.metrics import PSNR_CAP

FORMAT = "retouche evaluation"
VERSION = 1
DIGITS = 6
"""Decimals in files: what is beyond may differ from processor to processor."""

RESAMPLES, SEED, LEVEL = 1000, 0, 0.95
ALL = "all"
BINS = ("under 1 %", "1-10 %", "10-20 %", "20-30 %", "30-40 %", "40-50 %", "50-60 %", "over 60 %")
_LIMITS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)


def bin_of(ratio: float) -> str:
    """The hole-ratio bin: a bin holds its upper limit, the first (under 1 %) does not."""
    if ratio < _LIMITS[0]:
        return BINS[0]
    for number, limit in enumerate(_LIMITS[1:], 1):
        if ratio <= limit:
            return BINS[number]
    return BINS[-1]


def within(holes: str, ratios: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which pictures have a hole of a class: "all", or such as "20-40 %", its upper limit included.

    What begins at 0 or 1 % holds its lower limit, too.
    """
    if holes == ALL:
        return np.arange(len(ratios))
    found = re.fullmatch(r"(\d+)-(\d+) %", holes)
    assert found is not None, holes
    low, high = int(found[1]) / 100, int(found[2]) / 100
    above = ratios >= low if low <= 0.01 else ratios > low
    return np.flatnonzero(above & (ratios <= high))


@dataclass(frozen=True)
class Row:
    """One figure of one model over the pictures of one bin.

    Attributes:
        value: mean over pictures; None where no picture has the figure
        interval: of the mean, 95 %, by bootstrap over pictures; None for fewer than two pictures
        count: pictures with the figure
        perfect: of PSNR: pictures at the cap
    """

    model: str
    bin: str
    metric: str
    value: float | None
    interval: tuple[float, float] | None
    count: int
    perfect: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values; `perfect` only where it says something."""
        result: dict[str, Any] = {
            "model": self.model,
            "bin": self.bin,
            "metric": self.metric,
            "value": rounded(self.value),
            "interval": None if self.interval is None else [rounded(each) for each in self.interval],
            "count": self.count,
        }
        return result if self.perfect is None else {**result, "perfect": self.perfect}


@dataclass(frozen=True)
class Difference:
    """First model minus second, picture by picture, over all pictures that both have."""

    models: tuple[str, str]
    metric: str
    value: float | None
    interval: tuple[float, float] | None
    count: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "models": list(self.models),
            "metric": self.metric,
            "value": rounded(self.value),
            "interval": None if self.interval is None else [rounded(each) for each in self.interval],
            "count": self.count,
        }


def rounded(value: float | None) -> float | None:
    """As files have it; None for None and NaN."""
    if value is None or math.isnan(value):
        return None
    return round(value, DIGITS) + 0.0  # no minus zero


def rows_and_differences(
    ratios: NDArray[np.float64],
    values: NDArray[np.float64],
    models: Sequence[str],
    measures: Sequence[Measure],
    pictures: Sequence[str] = (),
) -> tuple[list[Row], list[Difference]]:
    """The whole table.

    Args:
        ratios: (n,) hole ratio of each picture
        values: (n, models, measures); NaN where a figure does not apply
        pictures: (n,) which picture each is of, where pictures come with several masks: intervals draw pictures, with
            all their masks, so that ten masks of one picture count as one picture

    Returns: rows ordered by model, bin, metric; differences of every pair of models
    """
    n, m, k = values.shape
    names = np.array([bin_of(float(ratio)) for ratio in ratios])
    groups = np.unique(np.array(pictures), return_inverse=True)[1] if len(set(pictures)) < len(pictures) else None
    rows: dict[tuple[int, str], list[Row]] = {}
    for chosen in (ALL, *(name for name in BINS if (names == name).any())):
        there = np.ones(n, np.bool_) if chosen == ALL else names == chosen
        part = values[there]
        means, lows, highs, counts = _bootstrap(
            part.reshape(len(part), m * k), None if groups is None else groups[there]
        )
        for model in range(m):
            found = []
            for number, measure in enumerate(measures):
                at = model * k + number
                perfect = None
                if measure.key in ("psnr", "hole_psnr"):
                    perfect = int((part[:, model, number] >= PSNR_CAP).sum())
                interval = (float(lows[at]), float(highs[at])) if counts[at] > 1 else None
                value = float(means[at]) if counts[at] else None
                found.append(Row(models[model], chosen, measure.key, value, interval, int(counts[at]), perfect))
            rows[model, chosen] = found
    differences = []
    pairs = [(a, b) for a in range(m) for b in range(a + 1, m)]
    for a, b in pairs:
        means, lows, highs, counts = _bootstrap(values[:, a] - values[:, b], groups)
        for number, measure in enumerate(measures):
            interval = (float(lows[number]), float(highs[number])) if counts[number] > 1 else None
            value = float(means[number]) if counts[number] else None
            differences.append(Difference((models[a], models[b]), measure.key, value, interval, int(counts[number])))
    ordered = [row for model in range(m) for name in (ALL, *BINS) for row in rows.get((model, name), [])]
    assert n == len(ratios)
    return ordered, differences


def _bootstrap(
    columns: NDArray[np.float64], groups: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], ...]:
    """Means, lower and upper limits and counts of columns (n, c); the same pictures are drawn for all columns.

    Sums of gathered values, no matrix product: the same digits on any number of threads.
    """
    n, c = columns.shape
    there = ~np.isnan(columns)
    filled = np.where(there, columns, 0.0)
    counts = there.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = filled.sum(0) / counts
    random = np.random.default_rng(SEED)
    drawn = np.full((RESAMPLES, c), np.nan)
    of = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    kinds = int(of.max()) + 1 if n else 0
    everywhere = bool(there.all())
    for number in range(RESAMPLES):
        # how often each picture is drawn; np.bincount keeps the sum in the pictures' order
        weights = np.bincount(random.integers(0, kinds, kinds), minlength=kinds)[of][:, None]
        total = (filled * weights).sum(0)
        present = weights.sum() if everywhere else (there * weights).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn[number] = total / present
    low, high = np.full(c, np.nan), np.full(c, np.nan)
    usable = counts > 1
    if usable.any():
        tail = (1 - LEVEL) / 2
        low[usable], high[usable] = np.nanquantile(drawn[:, usable], (tail, 1 - tail), axis=0)
    return means, low, high, counts


def mean_and_interval(
    column: NDArray[np.float64], pictures: Sequence[str]
) -> tuple[float | None, tuple[float, float] | None, int]:
    """One figure over some pictures as the table has it: mean, its interval, and how many have the figure.

    Args:
        column: (n,); NaN where the figure does not apply
        pictures: (n,) which picture each is of
    """
    if not len(column):
        return None, None, 0
    groups = np.unique(np.array(pictures), return_inverse=True)[1] if len(set(pictures)) < len(pictures) else None
    means, lows, highs, counts = _bootstrap(column[:, None], groups)
    if not counts[0]:
        return None, None, 0
    return float(means[0]), (float(lows[0]), float(highs[0])) if counts[0] > 1 else None, int(counts[0])


def bootstrap_words() -> str:
    """How intervals come about, in words."""
    return f"intervals: {LEVEL:.0%} of the mean, {RESAMPLES} resamples of the pictures, seed {SEED}"


def as_csv(rows: Sequence[Row], measures: Sequence[Measure]) -> str:
    """One line per row, for spreadsheets."""
    units = {measure.key: measure.unit for measure in measures}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "hole_ratio", "metric", "unit", "value", "low", "high", "count"))
    for row in rows:
        low, high = row.interval or (None, None)
        numbers = ["" if (each := rounded(value)) is None else each for value in (row.value, low, high)]
        writer.writerow((row.model, row.bin, row.metric, units[row.metric], *numbers, row.count))
    return text.getvalue()


def as_text(rows: Sequence[Row], measures: Sequence[Measure], models: Sequence[str], columns: Sequence[str]) -> str:
    """The table for a terminal: all pictures, the columns asked for, then counts by bin."""
    by_key = {measure.key: measure for measure in measures}
    found = {(row.model, row.bin, row.metric): row for row in rows}
    shown = [by_key[key] for key in columns if key in by_key]
    lines = [
        ["model", "holes", "pictures", *(f"{each.title}{', ' + each.unit if each.unit else ''}" for each in shown)]
    ]
    for name in (ALL, *BINS):
        for model in models:
            first = found.get((model, name, shown[0].key))
            if first is None:
                continue
            cells = [written(found.get((model, name, each.key)), each) for each in shown]
            lines.append([model, name, str(first.count), *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def written(row: Row | None, measure: Measure, interval: bool = True) -> str:
    """A figure for people: "21.34 [20.10, 22.60]"."""
    if row is None or row.value is None:
        return "-"
    text = f"{row.value:.{measure.digits}f}"
    if interval and row.interval is not None:
        text += f" [{row.interval[0]:.{measure.digits}f}, {row.interval[1]:.{measure.digits}f}]"
    return text

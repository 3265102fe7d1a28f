"""Rows of an evaluation: bins, means, intervals, differences, and distances between sets."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from retouche.backbones.inception import FEATURES
from retouche.evaluation.backbones import Backbones
from retouche.evaluation.measures import MEASURES, Measure
from retouche.evaluation.papers import PAPERS
from retouche.evaluation.plots import ticks
from retouche.evaluation.table import BINS, RESAMPLES, Row, as_csv, bin_of, rows_and_differences

CPU = torch.device("cpu")


def test_bins_hold_their_upper_limit() -> None:
    ratios = [0.0, 0.009, 0.01, 0.1, 0.1001, 0.2, 0.6, 0.61, 1.0]
    places = [BINS.index(bin_of(ratio)) for ratio in ratios]
    assert places == [0, 0, 1, 1, 2, 2, 6, 7, 7]


def test_means_intervals_and_differences_by_an_independent_bootstrap() -> None:
    random = np.random.default_rng(5)
    values = random.normal(20, 3, (40, 2, 2))
    values[3, :, 1] = np.nan
    ratios = np.linspace(0.02, 0.35, 40)
    measures = (MEASURES[0], MEASURES[2])
    rows, differences = rows_and_differences(ratios, values, ("a", "b"), measures)
    draws = np.random.default_rng(0)
    drawn = np.array([np.nanmean(values[draws.integers(0, 40, 40)], 0) for _ in range(RESAMPLES)])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    top = [row for row in rows if row.bin == "all"]
    assert [(row.model, row.metric, row.count) for row in top] == [
        ("a", "hole_psnr", 40),
        ("a", "band_error", 39),
        ("b", "hole_psnr", 40),
        ("b", "band_error", 39),
    ]
    for row, m, k in zip(top, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
        assert row.value == pytest.approx(np.nanmean(values[:, m, k]))
        assert row.interval == pytest.approx((low[m, k], high[m, k]))
    assert {row.bin for row in rows} == {"all", "1-10 %", "10-20 %", "20-30 %", "30-40 %"}
    gap = values[:, 0] - values[:, 1]
    assert differences[0].models == ("a", "b") and differences[0].value == pytest.approx(gap[:, 0].mean())
    draws = np.random.default_rng(0)
    drawn = np.array([gap[draws.integers(0, 40, 40), 0].mean() for _ in range(RESAMPLES)])
    assert differences[0].interval == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))


def test_perfect_pictures_are_counted_and_nothing_is_said_of_one_picture() -> None:
    rows, _ = rows_and_differences(np.array([0.1]), np.full((1, 1, 1), 100.0), ("a",), MEASURES[:1])
    assert rows[0].perfect == 1 and rows[0].interval is None and rows[0].as_json()["interval"] is None


def test_csv_has_units_and_quotes_names() -> None:
    rows, _ = rows_and_differences(np.array([0.1, 0.2]), np.array([[[1.0]], [[3.0]]]), ('a, "b"',), MEASURES[:1])
    read = list(csv.DictReader(io.StringIO(as_csv(rows, MEASURES))))
    assert read[0]["model"] == 'a, "b"' and read[0]["unit"] == "dB" and read[0]["value"] == "2.0"


def test_ticks_cover_the_range() -> None:
    for low, high in ((0.0, 1.0), (12.3, 12.4), (-3.0, 400.0), (2.0, 2.0)):
        found = ticks(low, high)
        assert found[0] <= low and found[-1] >= high - 1e-9 and len(found) < 12


def test_measures_have_distinct_keys() -> None:
    assert len({measure.key for measure in MEASURES}) == len(MEASURES)
    assert all(isinstance(measure, Measure) and measure.words for measure in MEASURES)


def test_masks_of_one_picture_count_as_one_picture() -> None:
    """Four masks of each of ten pictures: intervals by drawing pictures, worked out anew."""
    random = np.random.default_rng(1)
    names = [f"{i // 4}.png" for i in range(40)]
    values = (np.repeat(random.normal(20, 5, 10), 4) + random.normal(0, 0.1, 40))[:, None, None]
    ratios = np.full(40, 0.15)
    (row, same), _ = rows_and_differences(ratios, values, ("a",), MEASURES[:1], names)
    draws = np.random.default_rng(0)
    by_picture = values[:, 0, 0].reshape(10, 4).mean(1)
    drawn = [by_picture[draws.integers(0, 10, 10)].mean() for _ in range(RESAMPLES)]
    assert row.interval == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))))
    assert same.interval == row.interval and row.count == 40
    (alone, _), _ = rows_and_differences(ratios, values, ("a",), MEASURES[:1])
    assert alone.interval is not None and row.interval is not None
    assert row.interval[1] - row.interval[0] > 1.5 * (alone.interval[1] - alone.interval[0])


class Colours(torch.nn.Module):
    """Stands for Inception: a picture's features are its mean colours, many times."""

    kind, origin = "tensorflow-2015", "made up"

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        means = pictures.float().mean((2, 3)) / 255  # (N, 3)
        return torch.cat([means.sin(), means.cos(), (3 * means).sin(), torch.zeros(len(means), FEATURES - 9)], 1)


def test_distances_of_a_bin_are_those_of_the_bin_alone(tmp_path: Path) -> None:
    """Pictures of two bins judged together and apart: the same FID, KID, P-IDS and U-IDS in each bin."""
    random = np.random.default_rng(3)
    truths = [random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(24)]
    fills = [np.clip(one.astype(int) + random.integers(-30, 60, one.shape), 0, 255).astype(np.uint8) for one in truths]
    ratios = np.array([0.05, 0.25] * 12)

    def rows(chosen: list[int]) -> dict[tuple[str, str], Row]:
        backbones = Backbones(None, None, CPU)
        backbones.inception = Colours()  # type: ignore[assignment]
        for i in chosen:
            backbones.add(truths[i], np.ones((8, 8), bool), [fills[i]])
        found = backbones.rows(["a"], ratios[chosen])
        backbones.close()
        return {(row.bin, row.metric): row for row in found}

    both = rows(list(range(24)))
    assert {name for name, _ in both} == {"all", "1-10 %", "20-30 %"}
    for start, name in ((0, "1-10 %"), (1, "20-30 %")):
        alone = rows(list(range(start, 24, 2)))
        for metric in ("fid", "kid", "p_ids", "u_ids"):
            assert alone["all", metric].value == both[name, metric].value == alone[name, metric].value
            assert both[name, metric].count == 12
        assert both[name, "p_ids"].interval is not None and both[name, "fid"].interval is None
    assert both["all", "fid"].value != both["1-10 %", "fid"].value


def test_distances_of_joined_classes_are_those_of_their_pictures_alone() -> None:
    """A paper's class that joins two of ours: figures of all its pictures together, its upper limit included."""
    random = np.random.default_rng(4)
    truths = [random.integers(0, 256, (8, 8, 3), np.uint8) for _ in range(30)]
    fills = [np.clip(one.astype(int) + random.integers(-30, 60, one.shape), 0, 255).astype(np.uint8) for one in truths]
    ratios = np.resize([0.15, 0.2, 0.25, 0.3, 0.4, 0.5], 30)

    def rows(chosen: list[int], classes: tuple[str, ...]) -> dict[tuple[str, str], Row]:
        backbones = Backbones(None, None, CPU)
        backbones.inception = Colours()  # type: ignore[assignment]
        for i in chosen:
            backbones.add(truths[i], np.ones((8, 8), bool), [fills[i]])
        found = backbones.rows(["a"], ratios[chosen], classes)
        backbones.close()
        return {(row.bin, row.metric): row for row in found}

    classes = PAPERS["structure-flow"].classes
    assert classes == ("0-20 %", "20-40 %", "40-60 %")
    all_rows = rows(list(range(30)), classes)
    for name, held in (("0-20 %", (0.15, 0.2)), ("20-40 %", (0.25, 0.3, 0.4)), ("40-60 %", (0.5,))):
        alone = rows([i for i in range(30) if ratios[i] in held], ())
        for metric in ("fid", "kid", "p_ids", "u_ids"):
            assert all_rows[name, metric].value == alone["all", metric].value
            assert all_rows[name, metric].count == 5 * len(held)
    assert all(PAPERS[name].classes == () for name in PAPERS if name != "structure-flow")

"""Figures of learned features, which need a network's weights: LPIPS and the feature distance picture by picture; FID,
KID, P-IDS and U-IDS of sets.

Features go to files as they come, so that ten thousand pictures take no more memory than ten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from retouche.backbones.efficientnet import EfficientNetLite, efficientnet_lite, feature_distances, variant_of
from retouche.backbones.inception import FEATURES, Inception, inception
from retouche.backbones.lpips import LPIPS as Lpips
from retouche.backbones.lpips import lpips
from retouche.errors import InputError
from retouche.evaluation.measures import (
    FID,
    FRECHET,
    KERNEL,
    KID,
    LPIPS,
    P_IDS,
    PAIRED,
    U_IDS,
    UNPAIRED,
    Measure,
    feature_distance_of,
)
from retouche.evaluation.table import ALL, BINS, Row, bin_of, within
from retouche.metrics.features import frechet_distance, kernel_distance
from retouche.metrics.indistinguishable import indistinguishable

SMALLEST_LPIPS = 32


class Backbones:
    """The networks given, and the features seen so far.

    Args:
        inception_weights: a file or a downloaded name, or None
        lpips_weights: backbone and heads, or None
        device: where the networks compute
        features: "efficientnet-lite0", 1 or 2, whose features are compared inside the hole; None for none

    Raises: InputError for another name, WeightsError where weights are missing or do not fit
    """

    def __init__(
        self,
        inception_weights: Path | str | None,
        lpips_weights: tuple[Path | str, Path | str] | None,
        device: torch.device,
        features: str | None = None,
    ) -> None:
        self.device = device
        variant = None if features is None else variant_of(features)
        if features is not None and variant is None:
            raise InputError(f'no backbone "{features}": choose efficientnet-lite0, efficientnet-lite1 or -lite2')
        self.features: EfficientNetLite | None = None if variant is None else efficientnet_lite(variant).to(device)
        self._of_features: tuple[Measure, ...] = () if variant is None else (feature_distance_of(variant),)
        self.inception: Inception | None = (
            None if inception_weights is None else inception(inception_weights).to(device)
        )
        self.lpips: Lpips | None = None if lpips_weights is None else lpips(*lpips_weights).to(device)
        self._files: list[IO[bytes]] = []

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The figures of single pictures that are added."""
        return (*(() if self.lpips is None else (LPIPS,)), *self._of_features)

    @property
    def set_measures(self) -> tuple[Measure, ...]:
        """The figures of the whole set that are added, under names that fit the weights."""
        if self.inception is None:
            return ()
        if self.inception.kind == "tensorflow-2015":
            return FID, KID, P_IDS, U_IDS
        return FRECHET, KERNEL, PAIRED, UNPAIRED

    def about(self) -> dict[str, str]:
        """Figure -> the weights it is computed with."""
        origins = {}
        if self.lpips is not None:
            origins["lpips"] = f"{self.lpips.backbone}: {self.lpips.origin}"
        for measure in self._of_features:
            assert self.features is not None
            origins[measure.key] = f"EfficientNet-Lite{self.features.variant}: {self.features.origin}"
        if self.inception is not None:
            for measure in self.set_measures:
                origins[measure.key] = f"Inception ({self.inception.kind}): {self.inception.origin}"
        return origins

    @torch.inference_mode()
    def add(
        self, truth: NDArray[np.uint8], hole: NDArray[np.bool_], fills: Sequence[NDArray[np.uint8]]
    ) -> list[dict[str, float]]:
        """Figures of each fill of one picture; the features of the set are kept."""
        found: list[dict[str, float]] = [{} for _ in fills]
        if self.inception is None and self.lpips is None and self.features is None:
            return found
        pictures = torch.from_numpy(np.stack([truth, *fills])).permute(0, 3, 1, 2).to(self.device)  # (1 + M, 3, H, W)
        images = pictures.float() / 127.5 - 1
        if self.inception is not None:
            features = self.inception(pictures).float().cpu().numpy()
            if not self._files:
                self._files = [tempfile.TemporaryFile() for _ in features]  # noqa: SIM115 - closed in `close`
            for file, row in zip(self._files, features, strict=True):
                file.write(row.tobytes())
        if self.lpips is not None:
            small = min(truth.shape[:2]) < SMALLEST_LPIPS
            for each, image in zip(found, images[1:], strict=True):
                each["lpips"] = float("nan") if small else float(self.lpips(image[None], images[:1])[0])
        if self.features is not None:
            mask = torch.from_numpy(hole).to(images)[None, None]
            for each, image in zip(found, images[1:], strict=True):
                distances = feature_distances(self.features, image[None], images[:1], mask)
                each[self._of_features[0].key] = float(distances.mean())
        return found

    def rows(self, models: Sequence[str], ratios: NDArray[np.float64], classes: Sequence[str] = ()) -> list[Row]:
        """The distances of each model's fills from the truth, over all pictures and over those of each hole-ratio bin.

        Args:
            ratios: (n,) hole ratio of each picture that was added
            classes: further classes of hole ratios, such as "20-40 %", which a paper's table joins
        """
        if self.inception is None or not self._files:
            return []
        sets = []
        for file in self._files:
            file.flush()
            sets.append(np.memmap(file, np.float32, "r").reshape(-1, FEATURES))
        names = np.array([bin_of(float(ratio)) for ratio in ratios])
        found = []
        for model, fills in zip(models, sets[1:], strict=True):
            for name in (ALL, *BINS):
                chosen = np.arange(len(names)) if name == ALL else np.flatnonzero(names == name)
                if len(chosen) > 1:
                    some = (fills, sets[0]) if name == ALL else (fills[chosen], sets[0][chosen])
                    found += self._distances(model, name, *some)
            for name in classes:
                if len(chosen := within(name, ratios)) > 1:
                    found += self._distances(model, name, fills[chosen], sets[0][chosen])
        return found

    def _distances(self, model: str, name: str, fills: NDArray[np.float32], truth: NDArray[np.float32]) -> list[Row]:
        """One bin's rows; an interval of the Frechet distance is not to be had: resampled pictures repeat."""
        frechet, kernel, paired, unpaired = self.set_measures
        count = len(truth)
        mean, deviation = kernel_distance(fills, truth)
        interval = (mean - 2 * deviation, mean + 2 * deviation) if deviation else None
        shares = indistinguishable(fills, truth)
        return [
            Row(model, name, frechet.key, frechet_distance(fills, truth), None, count),
            Row(model, name, kernel.key, mean, interval, count),
            Row(model, name, paired.key, shares.paired, shares.paired_interval, count),
            Row(model, name, unpaired.key, shares.unpaired, shares.unpaired_interval, count),
        ]

    def close(self) -> None:
        """Let the files of features go."""
        for file in self._files:
            file.close()
        self._files = []

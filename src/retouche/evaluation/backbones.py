"""Figures of learned features, which need a network's weights: LPIPS picture by picture, FID and KID of the whole set.

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

from retouche.evaluation.measures import FID, FRECHET, KERNEL, KID, LPIPS, Measure
from retouche.evaluation.table import ALL, Row
from retouche.metrics.features import frechet_distance, kernel_distance
from retouche.metrics.inception import FEATURES, Inception, inception
from retouche.metrics.lpips import LPIPS as Lpips
from retouche.metrics.lpips import lpips

SMALLEST_LPIPS = 32


class Backbones:
    """The networks given, and the features seen so far.

    Args:
        inception_weights: a file, or None
        lpips_weights: trunk and heads, or None
        device: where the networks compute
    """

    def __init__(
        self, inception_weights: Path | None, lpips_weights: tuple[Path, Path] | None, device: torch.device
    ) -> None:
        self.device = device
        self.inception: Inception | None = (
            None if inception_weights is None else inception(inception_weights).to(device)
        )
        self.lpips: Lpips | None = None if lpips_weights is None else lpips(*lpips_weights).to(device)
        self._files: list[IO[bytes]] = []

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The figures of single pictures that are added."""
        return () if self.lpips is None else (LPIPS,)

    @property
    def set_measures(self) -> tuple[Measure, ...]:
        """The figures of the whole set that are added, under names that fit the weights."""
        if self.inception is None:
            return ()
        return (FID, KID) if self.inception.kind == "tensorflow-2015" else (FRECHET, KERNEL)

    def about(self) -> dict[str, str]:
        """Figure -> the weights it is computed with."""
        said = {}
        if self.lpips is not None:
            said["lpips"] = f"{self.lpips.trunk}: {self.lpips.origin}"
        if self.inception is not None:
            for measure in self.set_measures:
                said[measure.key] = f"Inception ({self.inception.kind}): {self.inception.origin}"
        return said

    @torch.inference_mode()
    def add(self, truth: NDArray[np.uint8], fills: Sequence[NDArray[np.uint8]]) -> list[dict[str, float]]:
        """Figures of each fill of one picture; the features of the set are kept."""
        if self.inception is None and self.lpips is None:
            return [{} for _ in fills]
        pictures = torch.from_numpy(np.stack([truth, *fills])).permute(0, 3, 1, 2).to(self.device)  # (1 + M, 3, H, W)
        if self.inception is not None:
            features = self.inception(pictures).float().cpu().numpy()
            if not self._files:
                self._files = [tempfile.TemporaryFile() for _ in features]  # noqa: SIM115 - closed in `close`
            for file, row in zip(self._files, features, strict=True):
                file.write(row.tobytes())
        if self.lpips is None:
            return [{} for _ in fills]
        if min(truth.shape[:2]) < SMALLEST_LPIPS:
            return [{"lpips": float("nan")} for _ in fills]
        images = pictures.float() / 127.5 - 1
        distances = [float(self.lpips(image[None], images[:1])[0]) for image in images[1:]]
        return [{"lpips": distance} for distance in distances]

    def rows(self, models: Sequence[str]) -> list[Row]:
        """The distances of each model's fills from the truth, over all pictures."""
        if self.inception is None or not self._files:
            return []
        sets = []
        for file in self._files:
            file.flush()
            sets.append(np.memmap(file, np.float32, "r").reshape(-1, FEATURES))
        truth, count = sets[0], len(sets[0])
        if count < 2:
            return []
        frechet, kernel = self.set_measures
        found = []
        for model, fills in zip(models, sets[1:], strict=True):
            mean, deviation = kernel_distance(fills, truth)
            interval = (mean - 2 * deviation, mean + 2 * deviation) if deviation else None
            found += [
                Row(model, ALL, frechet.key, frechet_distance(fills, truth), None, count),
                Row(model, ALL, kernel.key, mean, interval, count),
            ]
        return found

    def close(self) -> None:
        """Let the files of features go."""
        for file in self._files:
            file.close()
        self._files = []

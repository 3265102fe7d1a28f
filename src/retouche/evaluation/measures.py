"""The figures of a table: each with its unit, direction and definition in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retouche import metrics
from retouche.metrics.similarity import WINDOW, ssim_uniform


@dataclass(frozen=True)
class Measure:
    """One figure.

    Attributes:
        key: its name in files
        title: for people
        unit: "" for plain numbers
        better: which way is better; "" where neither is
        words: what it is
        digits: decimals for people
    """

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower", ""]
    words: str
    digits: int = 3


MEASURES = (
    Measure("hole_psnr", "hole PSNR", "dB", "higher", f"-10 log10 of hole_l2, at most {metrics.PSNR_CAP:g}", digits=2),
    Measure("psnr", "PSNR", "dB", "higher", f"-10 log10 of l2, at most {metrics.PSNR_CAP:g}", digits=2),
    Measure(
        "band_error",
        "band error",
        "octaves",
        "lower",
        "how far texture differs in strength from the truth's, in three bands of luma inside the hole",
    ),
    Measure(
        "seam",
        "seam",
        "levels",
        "lower",
        "edge on the hole's border and texture stopping there, against the known surroundings; needs no truth",
        digits=2,
    ),
    Measure(
        "ssim", "SSIM", "", "higher", "whole picture, Gaussian window of 11, sigma 1.5, where it fits; colours averaged"
    ),
    Measure("ssim_7", "SSIM (window 7)", "", "higher", "whole picture, uniform window of 7, as AOT-GAN measures it"),
    Measure(
        "ssim_51", "SSIM (window 51)", "", "higher", "whole picture, uniform window of 51, as StructureFlow measures it"
    ),
    Measure(
        "ms_ssim",
        "MS-SSIM",
        "",
        "higher",
        f"five scales; pictures of at least {metrics.MS_SSIM_SMALLEST} pixels a side only",
    ),
    Measure("hole_l1", "hole L1", "", "lower", "mean absolute error in the hole, values in 0..1", digits=4),
    Measure("l1", "L1", "", "lower", "mean absolute error of the whole picture, values in 0..1", digits=4),
    Measure("hole_l2", "hole L2", "", "lower", "mean squared error in the hole, values in 0..1", digits=4),
    Measure("l2", "L2", "", "lower", "mean squared error of the whole picture, values in 0..1", digits=4),
    Measure(
        "relative_l1",
        "relative L1",
        "",
        "lower",
        "sum|a-b| / sum(a+b) of the whole picture, some papers' MAE",
        digits=4,
    ),
    Measure(
        "total_variation",
        "TV",
        "",
        "",
        "mean absolute difference of neighbours, across plus down, values in 0..1",
        digits=4,
    ),
)
LPIPS = Measure(
    "lpips", "LPIPS", "", "lower", "distance in a classifier's features, version 0.1, whole picture", digits=4
)


def feature_distance_of(variant: int) -> Measure:
    """The feature distance by one EfficientNet-Lite: each variant's numbers are a figure of their own."""
    return Measure(
        f"feature_distance_lite{variant}",
        f"feature distance (EfficientNet-Lite {variant})",
        "",
        "lower",
        "squared distance of unit-length features inside the hole, mean of five resolutions; no LPIPS",
    )


FID = Measure("fid", "FID", "", "lower", "Frechet distance of Inception features, all pictures; no interval", digits=2)
KID = Measure(
    "kid", "KID", "", "lower", "kernel distance of Inception features; interval: two deviations over subsets", digits=5
)
FRECHET = Measure(
    "frechet_torchvision_inception",
    "Frechet (torchvision's Inception)",
    "",
    "lower",
    "like FID but with torchvision's Inception weights: not comparable with any FID",
    digits=2,
)
KERNEL = Measure(
    "kernel_torchvision_inception",
    "kernel (torchvision's Inception)",
    "",
    "lower",
    "like KID but with torchvision's Inception weights: not comparable with any KID",
    digits=5,
)
P_IDS = Measure(
    "p_ids", "P-IDS", "", "higher", "fills that a linear classifier on Inception's features prefers to their originals"
)
U_IDS = Measure("u_ids", "U-IDS", "", "higher", "originals and fills that the classifier of P-IDS mistakes")
PAIRED = replace(P_IDS, key="paired_torchvision_inception", title="P-IDS (torchvision's Inception)")
UNPAIRED = replace(U_IDS, key="unpaired_torchvision_inception", title="U-IDS (torchvision's Inception)")
OF_A_SET = (FID, KID, P_IDS, U_IDS, FRECHET, KERNEL, PAIRED, UNPAIRED)
"""Figures of all pictures together, not of one."""


def score(filled: NDArray[np.uint8], truth: NDArray[np.uint8], hole: NDArray[np.bool_]) -> dict[str, float]:
    """All figures of one filled picture, by key, in the order of `MEASURES`; NaN where one does not apply."""
    return {
        "hole_psnr": metrics.psnr(filled, truth, hole),
        "psnr": metrics.psnr(filled, truth),
        "band_error": metrics.band_error(filled, truth, hole),
        "seam": metrics.seam_score(filled, hole),
        "ssim": metrics.ssim(filled, truth) if min(hole.shape) >= WINDOW else math.nan,
        "ssim_7": ssim_uniform(filled, truth, 7),
        "ssim_51": ssim_uniform(filled, truth, 51),
        "ms_ssim": metrics.ms_ssim(filled, truth),
        "hole_l1": metrics.l1(filled, truth, hole),
        "l1": metrics.l1(filled, truth),
        "hole_l2": metrics.l2(filled, truth, hole),
        "l2": metrics.l2(filled, truth),
        "relative_l1": metrics.relative_l1(filled, truth),
        "total_variation": metrics.total_variation(filled),
    }

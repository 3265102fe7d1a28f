"""How the papers measured, as far as it is known: a pack for each, its unknowns named.

Published figures are given only where their text could be read at the source that is named; tables that are known by
hearsay alone are left out. All of them belong to pictures and masks that are not yours: read them beside, not against,
your own rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from retouche.evaluation.pictures import Fit


@dataclass(frozen=True)
class Published:
    """A row printed elsewhere.

    Attributes:
        model: who filled
        bin: hole ratios, as this table's bins where they agree, else in words
        metric: the published name, with its unit
        value: as printed
        source: where it is printed
        remark: what one must know to read it
    """

    model: str
    bin: str
    metric: str
    value: str
    source: str
    remark: str = ""


@dataclass(frozen=True)
class Paper:
    """One published protocol.

    Attributes:
        name: of the pack
        title: paper and data
        size: side in pixels
        fit: how pictures come to it
        masks: specification of our drawn masks that stand for the protocol's, unless --masks gives the files
        unknown: what is not known of the protocol, or differs here
        published: rows to print beside
        each: masks for each picture
    """

    name: str
    title: str
    size: int
    masks: str
    unknown: tuple[str, ...]
    published: tuple[Published, ...] = ()
    fit: Fit = "crop"
    each: int = 1


_LIMITS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
CLASSES = tuple(f"irregular({low}, {high})" for low, high in pairwise(_LIMITS))
"""Holes of the six classes of the irregular mask set that came with partial convolutions."""

_MMAGIC = "README of mmagic's {} (github.com/open-mmlab/mmagic)"
_HOLE_L1 = "mean absolute error in the hole times 100"
_AOT_BINS = ("1-10 %", "10-20 %", "20-30 %", "30-40 %", "40-50 %", "50-60 %")
_AOT = {
    # (as attributed to the paper, mmagic's own file), by hole ratio
    "l1": (
        ("0.55", "1.19", "2.11", "3.20", "4.51", "7.07"),
        ("0.54", "1.47", "2.79", "4.38", "6.28", "10.16"),
    ),
    "PSNR, dB": (
        ("34.79", "29.49", "26.03", "23.58", "21.65", "19.01"),
        ("inf", "31.22", "27.65", "25.06", "23.01", "20.05"),
    ),
    "SSIM": (
        ("0.976", "0.940", "0.890", "0.835", "0.773", "0.682"),
        ("0.982", "0.951", "0.911", "0.866", "0.815", "0.739"),
    ),
}

_AOT_L1 = ("l1 (relative, %)", "hole l1 x 100")


def _aot_rows() -> tuple[Published, ...]:
    source = _MMAGIC.format("AOT-GAN")
    remarks = (
        "the paper's figure as that README prints it; its l1 is sum|a-b| / sum(a+b)",
        "their converted file; their l1 is the mean absolute error in the hole times 100; "
        '"inf" stems from pictures left unchanged',
    )
    return tuple(
        Published(
            model, name, {"l1": _AOT_L1[which]}.get(metric, metric), values[which][number], source, remarks[which]
        )
        for which, model in enumerate(("AOT-GAN (paper)", "AOT-GAN (mmagic)"))
        for metric, values in _AOT.items()
        for number, name in enumerate(_AOT_BINS)
    )


def _mmagic_rows(
    model: str, readme: str, data: str, figures: tuple[str, str, str], steps: str
) -> tuple[Published, ...]:
    remark = f"{data}, {steps}; drawn anew at each run, so not repeatable"
    names = (f"l1 ({_HOLE_L1})", "PSNR, dB", "SSIM")
    return tuple(
        Published(model, "all", name, value, _MMAGIC.format(readme), remark)
        for name, value in zip(names, figures, strict=True)
    )


_PAPERS = (
    Paper(
        "deepfill-v1",
        "Yu et al. 2018 (arXiv 1801.07892): Places2 validation, one box",
        256,
        "box",
        (
            "which validation pictures and how they came to 256x256",
            "where the boxes lay: drawn here as in training, 96 to 128 pixels wide and high",
            "the denominator of the paper's l1, l2 and TV in per cent: here l1 and l2 of values in 0..1",
            "whether the composite or the prediction was scored: here the composite",
            "its table is not printed here: it could not be checked at the source",
        ),
    ),
    Paper(
        "deepfill-v2",
        "Yu et al. 2019 (arXiv 1806.03589): Places2 validation, free-form strokes",
        256,
        "strokes",
        (
            "which validation pictures and how they came to 256x256",
            "the seed of the strokes: drawn here by the published generator's rules",
            "the denominator of the paper's l1 and l2 in per cent: here of values in 0..1",
            "its table is not printed here: it could not be checked at the source",
        ),
    ),
    Paper(
        "aot-gan",
        "Zeng et al. 2021 (arXiv 2104.01431): Places2 validation at 512, irregular masks by hole ratio",
        512,
        "irregular",
        (
            "which validation pictures, and which mask file went with which picture",
            "the irregular mask files of Liu et al. 2018 are given by --masks; without it drawn masks stand for them",
            "theirs truncates to 8 bit where this table rounds; its SSIM is the one with window 7",
        ),
        _aot_rows(),
    ),
    Paper(
        "structure-flow",
        "Ren et al. 2019 (arXiv 1908.03852): Places2, 10,000 pictures with six masks each, 0-60 % hole",
        256,
        ";".join(CLASSES),
        (
            "which 10,000 pictures, and the pairing with masks",
            "theirs truncates to 8 bit where this table rounds; its SSIM is the one with window 51",
            'its "MAE" is the relative l1 of this table',
            "FID there leaves out the last incomplete batch of 64",
            "its table is not printed here: it could not be checked at the source",
        ),
        fit="squash",
        each=len(CLASSES),
    ),
    Paper(
        "partial-conv",
        "Liu et al. 2018 (arXiv 1804.07723): 512, six classes of irregular masks",
        512,
        ";".join(CLASSES),
        (
            "which pictures, and the pairing with masks",
            "the 12,000 mask files are given by --masks; without it drawn masks of the same six classes stand for them",
            "half of the published masks keep 50 pixels off the border: drawn masks do not look at the border",
            "its table is not printed here: it could not be checked at the source",
        ),
        each=len(CLASSES),
    ),
    Paper(
        "context-encoder",
        "Pathak et al. 2016 (arXiv 1604.07379): Paris StreetView, the middle of 128, 56 of it unknown",
        128,
        "centre(0.4375)",
        (
            "how test pictures came to 128 pixels: here the shorter side, then the middle",
            "the denominator of its L1 and L2 in per cent: here of values in 0..1, in the hole and whole",
            "the published pictures are for research and not given away here: --data has yours",
            "its table is not printed here: it could not be checked at the source",
        ),
    ),
    Paper(
        "structural",
        "Vo et al. 2018 (arXiv 1803.10348): the middle of 128, 56 of it unknown",
        128,
        "centre(0.4375)",
        (
            "which pictures, and how they came to 128 pixels: here the shorter side, then the middle",
            "whether the known ring that is predicted again was scored: here only the hole is filled",
            "no table of its code is known",
        ),
    ),
    Paper(
        "mmagic-deepfill-v1",
        "mmagic's validation of DeepFill v1: Places365 at 256, one box of at most 128 pixels",
        256,
        "mmagic-box",
        ("crops and boxes are drawn anew at each of their runs (crop 384, scaled to 256)",),
        (
            *_mmagic_rows("DeepFill v1", "DeepFill v1", "Places365-val", ("11.019", "23.429", "0.862"), "3500k steps"),
            *_mmagic_rows("DeepFill v1", "DeepFill v1", "CelebA-val", ("6.677", "26.878", "0.911"), "1500k steps"),
        ),
    ),
    Paper(
        "mmagic-deepfill-v2",
        "mmagic's validation of DeepFill v2: Places365 at 256, irregular masks of 15 to 65 %",
        256,
        "mmagic",
        ("crops and masks are drawn anew at each of their runs",),
        (
            *_mmagic_rows("DeepFill v2", "DeepFill v2", "Places365-val", ("8.635", "22.398", "0.815"), "100k steps"),
            *_mmagic_rows("DeepFill v2", "DeepFill v2", "CelebA-val", ("5.411", "25.721", "0.871"), "20k steps"),
            *_mmagic_rows("PConv U-Net", "PConv", "Places365-val", ("8.776", "22.762", "0.801"), "their file"),
            *_mmagic_rows("PConv U-Net", "PConv", "CelebA-val", ("5.990", "25.404", "0.853"), "their file"),
        ),
    ),
)
PAPERS = {paper.name: paper for paper in _PAPERS}
"""By the name that `--pack` takes."""


OWN = {_AOT_L1[0]: "relative_l1", _AOT_L1[1]: "hole_l1", f"l1 ({_HOLE_L1})": "hole_l1"}
"""A published figure -> the measure of ours that it is, but for its unit."""


def own_figures(published: Sequence[Published]) -> tuple[str, ...]:
    """The measures of ours that answer to published figures and are not on screen otherwise."""
    return tuple(dict.fromkeys(OWN[row.metric] for row in published if row.metric in OWN))


def published_lines(published: Sequence[Published]) -> list[str]:
    """Published rows, short: a line for each model and bin, then each source and remark once."""
    notes = list(dict.fromkeys(f"{row.source}; {row.remark}" for row in published))
    by_row: dict[tuple[str, str, int], list[str]] = {}
    for row in published:
        note = notes.index(f"{row.source}; {row.remark}") + 1
        by_row.setdefault((row.model, row.bin, note), []).append(f"{row.metric.split(' (mean')[0]} {row.value}")
    lines = [f"published: {row[0]}, {row[1]}: {'; '.join(cells)} [{row[2]}]" for row, cells in by_row.items()]
    return lines + [f"  [{number}] {note}" for number, note in enumerate(notes, 1)]

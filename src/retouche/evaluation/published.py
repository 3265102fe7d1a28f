"""Figures printed elsewhere: one table of cells, each with its source, what of ours answers to it, and how sure it is.

A figure is `checked` where its text could be read at the source that is named. The others are known by citation alone:
`eval` leaves them out, `reproduce` prints them with a question mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A cell printed elsewhere.

    Attributes:
        model: who filled
        bin: hole ratios, as this table's bins where they agree, else in words
        metric: the published name, with its unit
        value: as printed
        source: where it is printed
        remark: what one must know to read it
        measure: the figure of ours that answers; "" where none does
        times: ours times this is in the published unit
        test: which test of the paper it belongs to
        checked: whether its text could be read at the source
    """

    model: str
    bin: str
    metric: str
    value: str
    source: str
    remark: str = ""
    measure: str = ""
    times: float = 1.0
    test: str = ""
    checked: bool = True


_MMAGIC = "README of mmagic's {} (github.com/open-mmlab/mmagic)"
_HOLE_L1 = "mean absolute error in the hole times 100"
_PSNR = ("PSNR, dB", "psnr", 1.0)

AOT_BINS = ("1-10 %", "10-20 %", "20-30 %", "30-40 %", "40-50 %", "50-60 %")
_AOT = {
    "paper": {
        ("l1 (relative, %)", "relative_l1", 100.0): ("0.55", "1.19", "2.11", "3.20", "4.51", "7.07"),
        _PSNR: ("34.79", "29.49", "26.03", "23.58", "21.65", "19.01"),
        ("SSIM", "ssim_7", 1.0): ("0.976", "0.940", "0.890", "0.835", "0.773", "0.682"),
    },
    "mmagic": {
        ("hole l1 x 100", "hole_l1", 100.0): ("0.54", "1.47", "2.79", "4.38", "6.28", "10.16"),
        _PSNR: ("inf", "31.22", "27.65", "25.06", "23.01", "20.05"),
        ("SSIM", "ssim", 1.0): ("0.982", "0.951", "0.911", "0.866", "0.815", "0.739"),
    },
}
_AOT_REMARKS = {
    "paper": "the paper's figure as that README prints it; its l1 is sum|a-b| / sum(a+b)",
    "mmagic": "their converted file; their l1 is the mean absolute error in the hole times 100; "
    '"inf" stems from pictures left unchanged',
}


def _aot_gan() -> tuple[Published, ...]:
    source = _MMAGIC.format("AOT-GAN")
    return tuple(
        Published(f"AOT-GAN ({of})", name, metric, values[number], source, _AOT_REMARKS[of], measure, times, "places")
        for of, figures in _AOT.items()
        for (metric, measure, times), values in figures.items()
        for number, name in enumerate(AOT_BINS)
    )


_MMAGIC_FIGURES = ((f"l1 ({_HOLE_L1})", "hole_l1", 100.0), _PSNR, ("SSIM", "ssim", 1.0))
_SETS = {"places": "Places365-val", "celeba": "CelebA-val"}


def _mmagic(model: str, readme: str, test: str, figures: tuple[str, str, str], steps: str) -> tuple[Published, ...]:
    remark = f"{_SETS[test]}, {steps}; drawn anew at each run, so not repeatable"
    return tuple(
        Published(model, "all", metric, value, _MMAGIC.format(readme), remark, measure, times, test)
        for (metric, measure, times), value in zip(_MMAGIC_FIGURES, figures, strict=True)
    )


def _cited(
    source: str,
    remark: str,
    figures: Sequence[tuple[str, str, float]],
    rows: Sequence[tuple[str, str, str, tuple[str, ...]]],
) -> tuple[Published, ...]:
    """Cells known by citation: rows of (test, model, holes, values); "" is a cell that is not known."""
    return tuple(
        Published(model, holes, metric, value, source, remark, measure, times, test, checked=False)
        for test, model, holes, values in rows
        for (metric, measure, times), value in zip(figures, values, strict=True)
        if value
    )


_PER_CENT = (("l1, %", "l1", 100.0), ("l2, %", "l2", 100.0))
_DEEPFILL_V1 = _cited(
    "table of arXiv 1801.07892, by citation",
    "Places2 validation; denominators of l1, l2 and TV not known",
    (*_PER_CENT, _PSNR, ("TV, %", "total_variation", 100.0)),
    (
        ("places2", "PatchMatch", "all", ("16.1", "3.9", "16.62", "25.0")),
        ("places2", "without attention", "all", ("9.4", "2.4", "18.15", "25.7")),
        ("places2", "DeepFill v1", "all", ("8.6", "2.1", "18.91", "25.3")),
    ),
)
_DEEPFILL_V2 = _cited(
    "table 1 of arXiv 1806.03589, by citation",
    "Places2 validation; denominators of l1 and l2 not known",
    _PER_CENT,
    tuple(
        (test, model, "all", values)
        for model, rectangular, free in (
            ("PatchMatch", ("16.1", "3.9"), ("11.3", "2.4")),
            ("Global&Local", ("9.3", "2.2"), ("21.6", "7.1")),
            ("DeepFill v1", ("8.6", "2.1"), ("17.2", "4.7")),
            ("PartialConv (their own)", ("9.8", "2.3"), ("10.4", "1.9")),
            ("DeepFill v2", ("8.6", "2.0"), ("9.1", "1.6")),
        )
        for test, values in (("free-form", free), ("rectangular", rectangular))
    ),
)
_STRUCTURE_FLOW = _cited(
    "table of arXiv 1908.03852, from memory",
    "Places2; compare with the paper before quoting",
    (_PSNR, ("SSIM", "ssim_51", 1.0), ("FID", "fid", 1.0)),
    (
        ("places2", "StructureFlow", "0-20 %", ("32.03", "0.974", "2.94")),
        ("places2", "EdgeConnect", "0-20 %", ("29.98", "0.960", "3.01")),
        ("places2", "StructureFlow", "20-40 %", ("25.22", "0.903", "7.04")),
        ("places2", "EdgeConnect", "20-40 %", ("23.32", "0.860", "7.26")),
        ("places2", "StructureFlow", "40-60 %", ("21.09", "0.756", "22.4")),
        ("places2", "EdgeConnect", "40-60 %", ("19.64", "0.692", "19.0")),
    ),
)
_CONTEXT_ENCODER = _cited(
    "table of arXiv 1604.07379, from memory",
    "100 pictures of Paris StreetView; denominators of L1 and L2 not known",
    (("L1, %", "hole_l1", 100.0), ("L2, %", "hole_l2", 100.0), ("PSNR, dB", "hole_psnr", 1.0)),
    (
        ("paris", "nearest neighbour (HOG)", "all", ("19.92", "6.92", "12.79")),
        ("paris", "nearest neighbour (features)", "all", ("15.10", "4.30", "14.70")),
        ("paris", "context encoder", "all", ("9.37", "1.96", "18.58")),
    ),
)
_LAMA = (
    *_cited(
        "tables of arXiv 2109.07161, by citation",
        "",
        (("FID", "fid", 1.0), ("LPIPS", "lpips", 1.0)),
        (
            ("places-narrow", "LaMa-Fourier", "all", ("0.63", "0.090")),
            ("places-wide", "LaMa-Fourier", "all", ("2.21", "0.135")),
            ("places-segmentation", "LaMa-Fourier", "all", ("5.35", "0.058")),
            ("celeba-hq-narrow", "LaMa-Fourier", "all", ("7.26", "0.085")),
            ("celeba-hq-wide", "LaMa-Fourier", "all", ("6.96", "0.098")),
        ),
    ),
    *_cited(
        "tables of MAT (arXiv 2203.15270), by citation",
        "MAT's own masks",
        (("FID", "fid", 1.0), ("P-IDS, %", "p_ids", 100.0), ("U-IDS, %", "u_ids", 100.0)),
        (
            ("mat-small", "Big-LaMa", "all", ("0.99", "22.79", "40.58")),
            ("mat-large", "Big-LaMa", "all", ("2.97", "13.09", "32.39")),
        ),
    ),
)

PUBLISHED: dict[str, tuple[Published, ...]] = {
    "deepfill-v1": _DEEPFILL_V1,
    "deepfill-v2": _DEEPFILL_V2,
    "aot-gan": _aot_gan(),
    "structure-flow": _STRUCTURE_FLOW,
    "context-encoder": _CONTEXT_ENCODER,
    "lama": _LAMA,
    "mmagic-deepfill-v1": (
        *_mmagic("DeepFill v1", "DeepFill v1", "places", ("11.019", "23.429", "0.862"), "3500k steps"),
        *_mmagic("DeepFill v1", "DeepFill v1", "celeba", ("6.677", "26.878", "0.911"), "1500k steps"),
    ),
    "mmagic-deepfill-v2": (
        *_mmagic("DeepFill v2", "DeepFill v2", "places", ("8.635", "22.398", "0.815"), "100k steps"),
        *_mmagic("DeepFill v2", "DeepFill v2", "celeba", ("5.411", "25.721", "0.871"), "20k steps"),
        *_mmagic("PConv U-Net", "PConv", "places", ("8.776", "22.762", "0.801"), "their file"),
        *_mmagic("PConv U-Net", "PConv", "celeba", ("5.990", "25.404", "0.853"), "their file"),
    ),
}
"""By the name of the pack; packs that are not here have no table that is known."""


def own_figures(published: Sequence[Published]) -> tuple[str, ...]:
    """The measures of ours that answer to published figures and are not on screen otherwise."""
    shown = ("", "psnr", "ssim", "hole_psnr", "lpips", "fid", "p_ids", "u_ids")
    return tuple(dict.fromkeys(row.measure for row in published if row.measure not in shown))


def published_lines(published: Sequence[Published]) -> list[str]:
    """Published rows, short: a line for each model and bin, then each source and remark once."""
    notes = list(dict.fromkeys(f"{row.source}; {row.remark}" for row in published))
    by_row: dict[tuple[str, str, int], list[str]] = {}
    for row in published:
        note = notes.index(f"{row.source}; {row.remark}") + 1
        by_row.setdefault((row.model, row.bin, note), []).append(f"{row.metric.split(' (mean')[0]} {row.value}")
    lines = [f"published: {row[0]}, {row[1]}: {'; '.join(cells)} [{row[2]}]" for row, cells in by_row.items()]
    return lines + [f"  [{number}] {note}" for number, note in enumerate(notes, 1)]

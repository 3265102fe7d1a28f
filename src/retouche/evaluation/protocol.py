"""What was measured on what: the record that is printed with each table and saved in it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from retouche.evaluation.pictures import HOLE_SHARE, Preparation

METRICS_VERSION = 1
"""Rises whenever a figure of unchanged pictures changes."""


@dataclass(frozen=True)
class Protocol:
    """One evaluation, described so that another lab can repeat it.

    Attributes:
        name: "own", or the pack it follows
        pictures: how many were scored
        pictures_sha256: of the lines "SHA256-of-the-file  name", in order
        size: how pictures came to size
        masks: how holes came about
        masks_sha256: of the lines "SHA256-of-the-hole's-bits  name"; the bits are those of the evaluation's size
        mean_hole_ratio: hole pixels / all pixels, mean over pictures
        polarity: of the mask files
        scored: what is compared
        rounding: of fills
        files: what outputs of other programs may be
        dilate, feather: pixels
        seed: of fills that draw at random
        metrics: version of the definitions
        psnr_cap: dB
        bootstrap: resamples, seed and interval
        backbones: figure -> the weights it was computed with
        arithmetic: model -> what its networks compute in and how far that is from float32, where it is not that
        skipped: pictures left out
        unknown: what a paper's protocol leaves open
        version: of retouche
    """

    name: str
    pictures: int
    pictures_sha256: str
    size: str
    masks: str
    masks_sha256: str
    mean_hole_ratio: float
    polarity: str
    scored: str
    rounding: str
    files: str
    dilate: int
    feather: int
    seed: int
    metrics: int
    psnr_cap: float
    bootstrap: str
    backbones: Mapping[str, str] = field(default_factory=dict)
    arithmetic: Mapping[str, str] = field(default_factory=dict)
    skipped: int = 0
    unknown: tuple[str, ...] = ()
    version: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values, in the order above."""
        return {**asdict(self), "unknown": list(self.unknown)}

    def lines(self) -> list[str]:
        """For people: printed above each table."""
        lines = [
            f"protocol: {self.name}, {self.pictures} pictures (list {self.pictures_sha256[:12]})"
            + (f", {self.skipped} skipped" if self.skipped else ""),
            f"size: {self.size}",
            f"masks: {self.masks} (bits {self.masks_sha256[:12]}), {self.mean_hole_ratio:.1%} hole on average; "
            f"{self.polarity}",
            f"scored: {self.scored}; {self.rounding}",
            f"PSNR at most {self.psnr_cap:g} dB; {self.bootstrap}; metrics version {self.metrics}, "
            f"retouche {self.version}",
        ]
        lines += [f"{name}: {weights}" for name, weights in self.backbones.items()]
        lines += [f"{name}: {words}" for name, words in self.arithmetic.items()]
        if self.unknown:
            lines.append(f"not known of this protocol: {'; '.join(self.unknown)}")
        return lines


def list_sha256(hashes: Sequence[tuple[str, str]]) -> str:
    """The hash of a list of (name, SHA-256): that of the lines "SHA256  name" """
    lines = "".join(f"{digest}  {name}\n" for name, digest in hashes)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def size_words(preparation: Preparation) -> str:
    """How pictures came to size, in words."""
    if preparation.size is None:
        return "whole pictures at their own size"
    if preparation.fit == "squash":
        return f"{preparation.size}x{preparation.size}, both sides by Lanczos (proportions lost)"
    return f"{preparation.size}x{preparation.size}: shorter side by Lanczos, middle square"


def mask_words(preparation: Preparation) -> str:
    """How holes came about, in words."""
    if preparation.masks is not None:
        several = f", {preparation.each} for each picture" if preparation.each > 1 else ""
        return f'drawn by "{preparation.masks}"{several}, seed {preparation.mask_seed}, at the evaluation\'s size'
    if preparation.size is None:
        return "files"
    return f"files, scaled by area, hole where at least {HOLE_SHARE:.0%} is"

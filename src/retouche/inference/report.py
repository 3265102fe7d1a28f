"""What happened during one fill, for people and for programs."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Any

import torch

from retouche.image import Box


@dataclass(frozen=True)
class HoleReport:
    """How one group of holes was filled.

    Attributes:
        box: of its pixels after dilation, (left, top, right, bottom) in picture pixels
        strategy: "whole", "crop", "scale" or "tile", see `inference/strategy.py`
        scale: of the crop as the network saw it, 1 = full size
        passes: windows that the network filled for it
        crop: what the network saw of the picture, (left, top, right, bottom) in picture pixels
        hole_pixels: after dilation
        method: that filled it
        why: it was this method, in words, where the model chooses by the hole
    """

    box: Box
    strategy: str
    scale: float
    passes: int
    crop: Box
    hole_pixels: int
    method: str = ""
    why: str = ""


@dataclass(frozen=True)
class Report:
    """What happened during one fill.

    Attributes:
        model: the name or file it was loaded by
        method, layout: of the model
        device: where it ran
        width, height: of the filled picture, pixels
        hole_ratio: hole pixels / all pixels, after dilation
        dilate, feather: pixels, as used
        seed: as given
        memory_bytes: budget of one pass
        holes: one entry per group of holes
        seconds: wall time
        peak_memory_bytes: the most the process (on a GPU: the device's allocator) has held so far
        remarks: what a user should know, one sentence each
        extended: pixels added at the left, top, right and bottom; None where none were to be
    """

    model: str
    method: str
    layout: str | None
    device: str
    width: int
    height: int
    hole_ratio: float
    dilate: int
    feather: int
    seed: int
    memory_bytes: int
    holes: tuple[HoleReport, ...]
    seconds: float
    peak_memory_bytes: int
    remarks: tuple[str, ...]
    extended: tuple[int, int, int, int] | None = None

    @property
    def strategy(self) -> str:
        """The strategies used, in one word each: "none" for an empty mask."""
        return ", ".join(dict.fromkeys(hole.strategy for hole in self.holes)) or "none"

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return {**asdict(self), "strategy": self.strategy}


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory held so far: the allocator's on a GPU, the process's resident size elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":  # no `resource` there
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere

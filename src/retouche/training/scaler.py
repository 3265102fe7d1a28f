"""Half precision's loss scale: gradients below float16's smallest number are lifted, and too large ones shrink it.

Micikevicius et al. 2017 (arXiv 1710.03740). The numbers are those of PyTorch's own scaler, which would want optimisers
of its own; here one scale serves all networks, and it is kept in the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

START, GROWTH, SHRINK, EVERY = 2.0**16, 2.0, 0.5, 2000


@dataclass
class Scaler:
    """The scale and how long it has been good.

    Attributes:
        scale: what losses are multiplied by; 1 = not at all, for other precisions
        good: turns without an overflow since it last changed
        active: whether it moves
    """

    scale: float = 1.0
    good: int = 0
    active: bool = False

    @staticmethod
    def of(precision: str, kept: dict[str, Any] | None = None) -> Scaler:
        """For a run's precision, as it was kept."""
        if precision != "fp16":
            return Scaler()
        return Scaler(kept["scale"], kept["good"], True) if kept else Scaler(START, 0, True)

    def as_json(self) -> dict[str, Any]:
        """To be kept in a checkpoint."""
        return {"scale": self.scale, "good": self.good}

    def undo(self, weights: Iterable[Tensor]) -> None:
        """Divide gradients by the scale."""
        if self.scale != 1:
            for weight in weights:
                if weight.grad is not None:
                    weight.grad.div_(self.scale)

    def note(self, finite: bool) -> bool:
        """A turn's outcome; whether an overflow was the scale's fault and has been seen to."""
        if not self.active:
            return False
        self.good = self.good + 1 if finite else 0
        if finite and self.good >= EVERY:
            self.scale, self.good = self.scale * GROWTH, 0
        if finite or self.scale <= 1:
            return False
        self.scale = max(1.0, self.scale * SHRINK)
        return True

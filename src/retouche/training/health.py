"""Whether a training is well, in words: a critic that wins, gradients that vanish, steps that had to be skipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WINDOW = 100
"""Steps that a sign must last before it is reported, and over which beginnings are averaged."""
WON = 0.05
"""A critic whose loss, once positive, has fallen below this share of its beginning has nothing left to learn from."""
VANISHED = 1e-4
"""Gradients below this share of their beginning teach nothing."""
SKIPS = 3
"""So many skipped steps in a row end the run."""

GENERATOR = "generator"


@dataclass
class _Trend:
    """A quantity's mean over its first steps, and how long it has been low since."""

    count: int = 0
    start: float = 0.0
    low: int = 0
    reported: bool = False

    def low_for_long(self, value: float, share: float) -> bool:
        """Note a value >= 0; True once when it has stayed below `share` of its beginning for a whole window."""
        if self.count < WINDOW:
            self.start += value / WINDOW
            self.count += 1
            return False
        self.low = self.low + 1 if value < share * self.start else 0
        if self.low == 0:
            self.reported = False
        if self.low >= WINDOW and not self.reported:
            self.reported = True
            return True
        return False


@dataclass
class Health:
    """Watches losses and gradients.

    Attributes:
        skipped: steps whose gradients were not finite
        in_a_row: those since the last good one
    """

    skipped: int = 0
    in_a_row: int = 0
    _trends: dict[str, _Trend] = field(default_factory=dict)

    def note(self, losses: Mapping[str, float], norms: Mapping[str, float], finite: bool) -> list[str]:
        """One step's figures.

        Args:
            losses: role -> its summed loss
            norms: role -> norm of its gradients before clipping
            finite: whether all gradients and losses were

        Returns: remarks for the user
        """
        if not finite:
            self.skipped += 1
            self.in_a_row += 1
            return [f"gradients were not finite: this step was skipped ({self.skipped} so far)"]
        self.in_a_row = 0
        lines = []
        for role, norm in norms.items():
            if self._trend(f"norm {role}").low_for_long(norm, VANISHED):
                lines.append(
                    f"the gradients of the {role} have vanished ({norm:.1e} for {WINDOW} steps): it learns nothing "
                    "more; a lower learning rate, other losses or fresh weights may help"
                )
        for role, loss in losses.items():
            # a Wasserstein critic's loss is negative when it does well, whoever wins
            if role == GENERATOR or loss < 0:
                continue
            if self._trend(f"loss {role}").low_for_long(loss, WON):
                lines.append(
                    f"the {role} wins: its loss has been below {WON:.0%} of its beginning for {WINDOW} steps, so the "
                    "generator learns little; a smaller adversarial weight or a slower critic may help"
                )
        return lines

    @property
    def lost(self) -> bool:
        """Whether too many steps in a row were skipped."""
        return self.in_a_row >= SKIPS

    def _trend(self, name: str) -> _Trend:
        return self._trends.setdefault(name, _Trend())

    def as_json(self) -> dict[str, Any]:
        """To be kept in a checkpoint."""
        trends = {name: [one.count, one.start, one.low, one.reported] for name, one in self._trends.items()}
        return {"skipped": self.skipped, "in_a_row": self.in_a_row, "trends": trends}

    @staticmethod
    def from_json(kept: Mapping[str, Any]) -> Health:
        """What `as_json` made, with the row of skipped steps begun anew: the user has seen and resumed it."""
        trends = {name: _Trend(*values) for name, values in kept["trends"].items()}
        return Health(kept["skipped"], 0, trends)

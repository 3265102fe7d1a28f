"""How quickly a training goes, and what memory it has taken."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

import torch


def most_memory(device: torch.device) -> int | None:
    """The most that this process has held so far, of the GPU's memory or the machine's; None where nobody counts."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@dataclass
class Clock:
    """Pictures per second over the last steps, without the first two, which warm up."""

    batch: int
    steps: int = 0
    pictures: int = 0
    since: float = field(default_factory=time.perf_counter)

    def tick(self, batches: int) -> None:
        self.steps += 1
        self.pictures += self.batch * batches
        if self.steps == 2:
            self.pictures, self.since = 0, time.perf_counter()

    @property
    def pictures_per_second(self) -> float:
        return self.pictures / max(1e-9, time.perf_counter() - self.since)

    def restart(self) -> None:
        """Leave out the time that saving took."""
        self.pictures, self.since = 0, time.perf_counter()

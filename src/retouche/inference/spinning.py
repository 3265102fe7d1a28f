"""A warning for programs whose fills would wait: OpenMP's threads spin, and spin in vain where cores are busy.

A fill is many short parallel loops. At the end of each, GNU's OpenMP (PyTorch's on Linux) lets every thread spin until
the last is there; where other work has taken a core, that is a time slice of the system, each time: a fill of 0.75 s
took 25 s. The threads belong to the program, and the wait policy is read before PyTorch is loaded, so a library can
only say so; `retouche` the command sets it for itself.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

log = logging.getLogger("retouche")

SCHEDULED = Path("/proc/thread-self/schedstat")
MOST_WAITED = 0.2
ENOUGH = 2e8
"""Nanoseconds below which a share says nothing; importing PyTorch alone takes ten times as long."""

_warned = False


def warn_of_spinning() -> None:
    """Say once in a process that it is about to wait, and the remedy."""
    global _warned
    if _warned or not _spins(os.environ, torch.get_num_threads()) or not _is_busy():
        return
    _warned = True
    log.warning(
        "the cores are busy with other work, and the %d threads of PyTorch wait by spinning: a fill may take ten times "
        "as long; set OMP_WAIT_POLICY=PASSIVE before Python starts, or call torch.set_num_threads(1)",
        torch.get_num_threads(),
    )


def _spins(environment: Mapping[str, str], threads: int) -> bool:
    """Whether threads wait by spinning: what GNU's OpenMP does by default."""
    policy = environment.get("OMP_WAIT_POLICY", "").strip().lower()
    return sys.platform == "linux" and threads > 1 and policy != "passive" and "GOMP_SPINCOUNT" not in environment


def _is_busy() -> bool:
    """Whether more wants to run than there are cores: by the system's average, or by what this thread has waited."""
    return _waited() > MOST_WAITED or _queued() > (os.cpu_count() or 1) + 1


def _queued() -> float:
    """Threads of the machine that want to run, this process's own counted in, averaged over the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def _waited() -> float:
    """Share of its time that this thread could have run and had no core: known at once, where the average lags."""
    try:
        ran, waited, _ = (int(part) for part in SCHEDULED.read_text().split())  # nanoseconds since it began, and turns
    except (OSError, ValueError):  # another system, or a kernel that does not count
        return 0.0
    return waited / (ran + waited) if ran + waited > ENOUGH else 0.0

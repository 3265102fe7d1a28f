"""Progress of a long computation, reported from deep inside to the caller, with no argument in between.

A fill is called as `fill(image, mask, seed)` and calls solvers of its own. Those that take long call
`report_progress` with the fraction they have done; a caller that knows them to be a part of something larger wraps
them in `part`; who wants the fractions wraps it all in `listening`. Without that, reporting costs nothing. All of it
stays on the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate

ProgressCallback = Callable[[float], None]
"""Called with the fraction that is done, 0..1."""

_callback: ContextVar[ProgressCallback | None] = ContextVar("retouche progress", default=None)


def report_progress(fraction: float) -> None:
    """Report the fraction of the running part that is done, 0..1."""
    on_progress = _callback.get()
    if on_progress is not None:
        on_progress(fraction)


@contextmanager
def listening(on_progress: ProgressCallback | None) -> Iterator[None]:
    """Fractions reported inside go to `on_progress` only; None: they are dropped."""
    before = _callback.set(on_progress)
    try:
        yield
    finally:
        _callback.reset(before)


@contextmanager
def part(start: float, end: float) -> Iterator[None]:
    """Fractions reported inside are scaled to `start`..`end` of the running part; at the end, `end` is reported."""
    on_progress = _callback.get()
    if on_progress is None:
        yield
        return
    outer = on_progress  # for the closure: never None
    with listening(lambda fraction: outer(start + (end - start) * min(max(fraction, 0.0), 1.0))):
        yield
    outer(end)


def shares(weights: Sequence[float]) -> list[tuple[float, float]]:
    """Start and end of each of several parts in a row, from what each costs; the whole is 0..1."""
    total = sum(weights) or 1.0
    ends = [done / total for done in accumulate(weights)]
    return list(zip([0.0, *ends], ends, strict=False))


def rising(on_progress: ProgressCallback) -> ProgressCallback:
    """Pass on only fractions larger than all before, within 0..1."""
    most = -1.0

    def forward(fraction: float) -> None:
        nonlocal most
        fraction = min(max(float(fraction), 0.0), 1.0)
        if fraction > most:
            most = fraction
            on_progress(fraction)

    return forward

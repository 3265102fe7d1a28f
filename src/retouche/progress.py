"""How far a long computation is: told from deep inside, heard by whoever listens, with no argument in between.

A fill is called as `fill(image, mask, seed)` and calls solvers of its own. Those that take long `tell` the fraction
they have done; a caller that knows them to be a part of something larger wraps them in `part`; who wants to know
wraps it all in `listening`. Where nobody listens, telling costs nothing. All of it stays on the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate

Hear = Callable[[float], None]
"""Is called with a fraction, 0..1."""

_hear: ContextVar[Hear | None] = ContextVar("retouche progress", default=None)


def tell(fraction: float) -> None:
    """Say that so much of what runs now is done, 0..1."""
    hear = _hear.get()
    if hear is not None:
        hear(fraction)


@contextmanager
def listening(hear: Hear | None) -> Iterator[None]:
    """What is told inside goes to `hear`, and to nobody else; None: to nobody."""
    before = _hear.set(hear)
    try:
        yield
    finally:
        _hear.reset(before)


@contextmanager
def part(start: float, end: float) -> Iterator[None]:
    """What is told inside counts as the way from `start` to `end` of what runs now; at the end, `end` is told."""
    hear = _hear.get()
    if hear is None:
        yield
        return
    outer = hear  # for the closure: never None
    with listening(lambda fraction: outer(start + (end - start) * min(max(fraction, 0.0), 1.0))):
        yield
    outer(end)


def shares(weights: Sequence[float]) -> list[tuple[float, float]]:
    """Start and end of each of several parts in a row, from what each costs; the whole is 0..1."""
    total = sum(weights) or 1.0
    ends = [done / total for done in accumulate(weights)]
    return list(zip([0.0, *ends], ends, strict=False))


def rising(hear: Hear) -> Hear:
    """Passes on only what is more than was told before, within 0..1."""
    most = -1.0

    def heard(fraction: float) -> None:
        nonlocal most
        fraction = min(max(float(fraction), 0.0), 1.0)
        if fraction > most:
            most = fraction
            hear(fraction)

    return heard

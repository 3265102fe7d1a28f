"""Promises 1 and 2 over random fills of all kinds of input, methods and budgets; `random_fills.py` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_fills import one


@pytest.mark.parametrize("seed", range(5))
def test_random_fills_keep_what_is_known_and_refuse_nothing_that_can_be_filled(seed: int, tmp_path: Path) -> None:
    for number in range(12):
        one(9_000_000 + 12 * seed + number, tmp_path)

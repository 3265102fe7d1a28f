"""Broken and hostile picture files: one line each, whatever they hold. `fuzz_pictures.py` is the long form."""

from __future__ import annotations

import pytest
from hostile_pictures import HOSTILE, generated, passed, valid

MAX_PIXELS = 4_000_000


def test_valid_files_are_what_they_should_be() -> None:
    refused = {name: said for name, data in valid().items() if (said := passed(name, data, MAX_PIXELS)) != "kept"}
    # what this version does not read is no damage
    assert all("cut short or damaged" not in said and "it is damaged" not in said for said in refused.values()), refused


@pytest.mark.parametrize("seed", range(4))
def test_broken_files_are_kept_or_refused(seed: int) -> None:
    for name, data in generated(150, seed):
        try:
            passed(name, data, MAX_PIXELS)
        except Exception as error:
            raise AssertionError(f"seed {seed}, file {name}") from error


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_metadata_is_kept_or_refused(name: str) -> None:
    for length in (0, 1, 30, 3000, 20_000):
        passed(name, HOSTILE[name](length), MAX_PIXELS)

"""The list that is read equals the one that the methods' records give."""

from __future__ import annotations

import json

from retouche.methods import METHODS
from retouche.methods.catalogue import entries
from retouche.methods.entries import BACKBONE
from retouche.methods.listing import FILE, listed, row_of


def test_the_list_is_that_of_the_records() -> None:
    ours = [entry for entry in entries() if entry.owner in METHODS or entry.kind == BACKBONE]
    assert json.loads(FILE.read_text(encoding="utf-8")) == [row_of(entry) for entry in ours], "run scripts/listing.py"
    assert list(listed()) == list(entries())

"""Writes what `retouche models` prints without importing a network: `python scripts/listing.py`."""

from __future__ import annotations

import json

from retouche.methods import METHODS
from retouche.methods.catalogue import entries
from retouche.methods.entries import BACKBONE
from retouche.methods.listing import FILE, row_of


def text() -> str:
    """The file's: a line for each entry, ours alone."""
    ours = [row_of(entry) for entry in entries() if entry.owner in METHODS or entry.kind == BACKBONE]
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in ours) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

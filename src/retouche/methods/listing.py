"""The list of what there is by name as `listing.json` holds it, so that to print it no network's code is imported.

`python scripts/listing.py` writes the file from the methods' records; methods of other packages are asked for theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

from retouche.methods import methods
from retouche.methods.entries import Entry
from retouche.weights.store import Weights

FILE = Path(__file__).with_name("listing.json")


def listed() -> Iterator[Entry]:
    """The same as `catalogue.entries`."""
    known: dict[str, list[Entry]] = {}
    for row in json.loads(FILE.read_text(encoding="utf-8")):
        entry = _read(row)
        known.setdefault(entry.owner, []).append(entry)
    for name in methods():
        if name in known:
            yield from known.pop(name)
        else:
            from retouche.methods.catalogue import of_method

            yield from of_method(name)
    for backbones in known.values():
        yield from backbones


def row_of(entry: Entry) -> list[Any]:
    """An entry as JSON holds it: its fields in their order, and so those of its files."""
    return [entry.owner, entry.kind, entry.title, entry.source, [list(astuple(each)) for each in entry.files]]


def _read(row: list[Any]) -> Entry:
    owner, kind, title, source, files = row
    return Entry(owner, kind, title, source, tuple(Weights(*each) for each in files))

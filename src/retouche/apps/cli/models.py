"""List the methods, their published weights and the backbones: kind, licence, size, where they are, installed or not.

examples:
  retouche models
  retouche models --json
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retouche.apps.cli import terminal

if TYPE_CHECKING:
    from retouche.methods.entries import Entry
    from retouche.weights.store import Weights


@dataclass(frozen=True)
class Options:
    json: terminal.Switch = False
    """One JSON object for each line of the table."""


def main(options: Options) -> int:
    """Print the table."""
    found = rows()
    if options.json:
        for row in found:
            terminal.show_json(row)
        return 0
    wide = max(len(row["name"]) for row in found)
    print(f"{'NAME':{wide}}  {'KIND':8}  {'HERE':4}  {'SIZE':>9}  LICENCE; TRAINED ON; WHERE")
    for row in found:
        size = "" if row["size_bytes"] is None else terminal.show_bytes(row["size_bytes"])
        kind = row["kind"].partition(" ")[0]
        facts = [row["licence"] or "", row["trained_on"] or "", "the default" if row["default"] else ""]
        here = "yes" if row["installed"] else "no"
        print(f"{row['name']:{wide}}  {kind:8}  {here:4}  {size:>9}  {'; '.join(fact for fact in facts if fact)}")
        for text in (row["where"], row["remark"]):
            if text:
                print(f"{'':{wide + 29}}{text}")
    return 0


def rows() -> list[dict[str, Any]]:
    """One row for each published file, and one for each method without."""
    from retouche.methods.listing import listed

    return [row_of(entry, weights) for entry in listed() for weights in entry.files or (None,)]


def row_of(entry: Entry, weights: Weights | None) -> dict[str, Any]:
    """What there is to say of one file, or of a method without."""
    from retouche.methods import DEFAULT
    from retouche.methods.entries import FILL

    fills = entry.kind == FILL
    here = fills if weights is None else entry.is_here(weights)
    if fills or (weights is not None and weights.packaged):
        where = "part of retouche"
    elif weights is None:
        where = "no file is published: train it, or give a file to --model"
    elif here:
        where = str(entry.path_of(weights))
    else:
        where = weights.url or f"to be fetched by hand and saved as {entry.path_of(weights)}"
    return {
        "name": entry.name,
        "method": entry.owner,
        "title": entry.title,
        "kind": entry.kind,
        "default": entry.owner == DEFAULT,
        "file": None if weights is None else weights.file,
        "licence": weights.licence if weights is not None else "MIT, as retouche" if fills else None,
        "size_bytes": None if weights is None else weights.size_bytes,
        "trained_on": None if weights is None else weights.trained_on,
        "where": where,
        "url": None if weights is None else weights.url,
        "sha256": None if weights is None else weights.sha256,
        "installed": here,
        "source": entry.source,
        "remark": "" if weights is None else weights.remark,
    }

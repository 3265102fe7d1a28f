"""List the methods and their published weights: kind, licence, size, where they are, installed or not.

examples:
  retouche models
  retouche models --json
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retouche.apps.cli import terminal

FILL = "fill without weights"


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
    print(f"{'NAME':{wide}}  {'KIND':7}  {'HERE':4}  {'SIZE':>9}  LICENCE; TRAINED ON; WHERE")
    for row in found:
        size = "" if row["size_bytes"] is None else terminal.show_bytes(row["size_bytes"])
        kind = "fill" if row["kind"] == FILL else "network"
        facts = [row["licence"] or "", row["trained_on"] or "", "the default" if row["default"] else ""]
        here = "yes" if row["installed"] else "no"
        print(f"{row['name']:{wide}}  {kind:7}  {here:4}  {size:>9}  {'; '.join(fact for fact in facts if fact)}")
        for text in (row["where"], row["remark"]):
            if text:
                print(f"{'':{wide + 28}}{text}")
    return 0


def rows() -> list[dict[str, Any]]:
    """One row for each published file, and one for each method without."""
    from retouche.methods import DEFAULT, find, methods
    from retouche.methods.method import Method, Weights
    from retouche.weights.store import entry_files, weights_folder

    def row(name: str, record: Method, weights: Weights | None) -> dict[str, Any]:
        fills = record.fill is not None
        file = None if weights is None else weights_folder() / name / weights.tag / weights.file
        packaged = fills or (weights is not None and weights.packaged)
        installed = packaged or (file is not None and bool(entry_files(file)))
        if packaged:
            where = "part of retouche"
        elif weights is None:
            where = "no file is published: train it, or give a file to --model"
        elif installed:
            where = str(file)
        else:
            where = weights.url or f"to be fetched by hand and saved as {file}"
        return {
            "name": name if weights is None else f"{name}:{weights.tag}",
            "method": name,
            "title": record.title,
            "kind": FILL if fills else "network",
            "default": name == DEFAULT,
            "file": None if weights is None else weights.file,
            "licence": weights.licence if weights is not None else "MIT, as retouche" if fills else None,
            "size_bytes": None if weights is None else weights.size_bytes,
            "trained_on": None if weights is None else weights.trained_on,
            "where": where,
            "url": None if weights is None else weights.url,
            "sha256": None if weights is None else weights.sha256,
            "installed": installed,
            "source": record.source,
            "remark": "" if weights is None else weights.remark,
        }

    return [
        row(name, record, weights)
        for name in methods()
        for record in [find(name)]
        for weights in record.weights or (None,)
    ]

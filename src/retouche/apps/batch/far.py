"""The manifest of a batch whose output is elsewhere, where nothing can be appended to; and as Parquet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retouche.apps.batch.manifest import NAME, Manifest
from retouche.folders.elsewhere import PARTS, Far, local_address
from retouche.folders.names import as_json

PARQUET = "manifest.parquet"
SECONDS, LINES = 5.0, 500
"""So long, and so many, lines wait for being written: what a kill may cost; these pictures are filled again."""


class FarManifest(Manifest):
    """The same lines: in small files of their own while the batch runs, in `manifest.jsonl` when it ends."""

    def __init__(self, folder: Far, about: dict[str, Any]) -> None:
        super().__init__(folder, about)
        self._whole = folder / NAME
        self._parts = Far(str(self._whole) + PARTS)
        self._waiting: list[bytes] = []
        self._written = 0.0

    def _lines(self) -> Iterator[bytes]:
        if self._whole.is_file():
            yield from self._whole.contents().splitlines()
        for name in sorted(self._parts.names()):
            yield from (self._parts / name).contents().splitlines()

    def _append(self, line: bytes) -> None:
        self._waiting.append(line)
        if time.monotonic() > self._written + SECONDS or len(self._waiting) >= LINES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            (self._parts / f"{time.time_ns():020}.jsonl").put(b"".join(self._waiting))
            self._waiting.clear()
            self._written = time.monotonic()

    def close(self) -> None:
        """Bring all lines together. Raises: InputError"""
        self._flush()
        if self._parts.names():
            self._whole.put(b"".join(line + b"\n" for line in self._lines()))
            self._parts.remove()


def manifest_in(folder: Path, about: dict[str, Any]) -> Manifest:
    """The manifest of a batch that writes there."""
    return FarManifest(folder, about) if isinstance(folder, Far) else Manifest(folder, about)


def write_parquet(manifest: Manifest) -> None:
    """`manifest.parquet` beside `manifest.jsonl`: the last line about each output, in order of the outputs; what is a
    table of its own in a line (options, stamps) is JSON here.

    Raises: InputError, ImportError without PyArrow
    """
    import pyarrow
    from pyarrow import parquet

    entries = manifest.entries()
    rows = [
        {key: as_json(value) if isinstance(value, (dict, list)) else value for key, value in entries[name].items()}
        for name in sorted(entries)
    ]
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    target = manifest.path.parent / PARQUET
    local_address(target).put(sink.getvalue().to_pybytes())

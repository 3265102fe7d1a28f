"""A paper's table beside ours: whose pictures and weights these are, and our value at each published cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retouche.errors import DataError, InputError
from retouche.evaluation.evaluate import Evaluation
from retouche.evaluation.measures import OF_A_SET
from retouche.evaluation.papers import PAPERS, Paper, Trial
from retouche.evaluation.pictures import Item
from retouche.evaluation.protocol import list_sha256
from retouche.evaluation.published import Published
from retouche.evaluation.table import mean_and_interval, rounded, within
from retouche.weights.store import sha256_of

FORMAT, VERSION = "retouche reproduction", 1
ANYWAY = "--anyway"


def find_paper(name: str, test: str | None) -> tuple[Paper, Trial]:
    """The paper and one of its tests, the first unless it is named.

    Raises: InputError naming those that are known
    """
    if name not in PAPERS:
        raise InputError(f'no paper "{name}": known are {", ".join(PAPERS)}')
    paper = PAPERS[name]
    tests = {each.name: each for each in paper.tests}
    if test is not None and test not in tests:
        raise InputError(f'{name} has no test "{test}": choose one of {", ".join(tests)}')
    return paper, paper.tests[0] if test is None else tests[test]


# Whose pictures and weights -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identity:
    """Whether something is the paper's.

    Attributes:
        same: True or False where it can be checked, None where what is needed was not published
        words: what was compared
    """

    same: bool | None
    words: str


def whose_pictures(test: Trial, items: Sequence[Item]) -> Identity:
    """By number and hash, where these are known."""
    files: dict[str, Path] = {item.name: item.image for item in items}
    many = f"{len(files)} picture{'' if len(files) == 1 else 's'}"
    if test.pictures is not None and test.pictures != len(files):
        return Identity(False, f"{many}, but the paper's table is of {test.pictures} ({test.title})")
    if test.sha256 is not None:
        found = list_sha256([(name, sha256_of(path)) for name, path in files.items()])
        if found != test.sha256:
            return Identity(False, f"{many} whose list hashes to {found[:12]}, not to {test.sha256[:12]}")
        return Identity(True, f"{many}, and their list hashes to the published {found[:12]}")
    fits = "as many as the paper's" if test.pictures is not None else "how many the paper's are is not known"
    return Identity(None, f"{many}, {fits}; no hash of them is published ({test.title})")


def check_pictures(paper: Paper, test: Trial, items: Sequence[Item], *, masks_given: bool, anyway: bool) -> Identity:
    """Refuse pictures that are not the paper's, and drawn masks where none stand for its own.

    Raises: DataError unless `anyway`
    """
    if test.files and not masks_given:
        raise DataError(f"{paper.name}, {test.name}, needs mask files ({test.files}): give --masks")
    whose = whose_pictures(test, items)
    if whose.same is False and not anyway:
        raise DataError(f"{paper.name}: --data holds {whose.words}: give those, or say {ANYWAY} to measure yours")
    return whose


def whose_weights(paper: Paper, about: dict[str, Any]) -> Identity:
    """By the hash of the weight file, or of the file that it was converted from."""
    digest = about.get("sha256")
    if not paper.files:
        return Identity(None, "which weights the table is of is not known by hash")
    names = ", ".join(f"{name} ({start[:8]}...)" for name, start in paper.files)
    if digest is not None:
        for name, start in paper.files:
            if str(digest).startswith(start):
                return Identity(True, f"{name}, by its hash {start[:8]}")
    found = "they have no hash" if digest is None else f"theirs begins with {str(digest)[:8]}"
    return Identity(False, f"{found}; the table's are {names}")


def verdict(pictures: Identity, weights: Identity) -> list[str]:
    """Whose pictures and weights these are, and what follows for the table, in sentences."""
    state = {True: "the paper's", False: "NOT the paper's", None: "unknown whether the paper's"}
    lines = [f"pictures: {state[pictures.same]}: {pictures.words}", f"weights: {state[weights.same]}: {weights.words}"]
    if pictures.same is False and weights.same is False:
        return [*lines, "neither data nor weights are the paper's: this is no reproduction, only its measurement"]
    if pictures.same is False:
        return [*lines, "the data are not the paper's: this is no reproduction, only its measurement"]
    if weights.same is False:
        return [*lines, "the weights are not the paper's: other values are to be expected"]
    return lines


# The table ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A published cell and our value there, in its unit.

    Attributes:
        ours: None where there is none; `why` says so
        interval: 95 % of the mean
        count: pictures
    """

    published: Published
    ours: float | None = None
    interval: tuple[float, float] | None = None
    count: int = 0
    why: str = ""


def cells(paper: Paper, test: Trial, evaluation: Evaluation) -> list[Cell]:
    """Our value at every published cell; only those of the test that was run have one."""
    return [_cell(published, test, evaluation) for published in paper.cells]


def _cell(published: Published, test: Trial, evaluation: Evaluation) -> Cell:
    if published.test != test.name:
        return Cell(published, why=f"of the test {published.test}")
    keys = [measure.key for measure in evaluation.measures]
    if published.measure not in keys:
        return Cell(published, why="its weights were not given")
    if published.measure in {measure.key for measure in OF_A_SET}:
        row = next(
            (row for row in evaluation.rows if (row.bin, row.metric) == (published.bin, published.measure)), None
        )
        value, interval, count = (None, None, 0) if row is None else (row.value, row.interval, row.count)
    else:
        chosen = within(published.bin, evaluation.ratios)
        column = evaluation.values[chosen, 0, keys.index(published.measure)]
        value, interval, count = mean_and_interval(column, [evaluation.items[number][0].name for number in chosen])
    if value is None:
        return Cell(published, why="no picture has such a hole" if not count else "not computed for these classes")
    times = published.times
    spread = None if interval is None else (interval[0] * times, interval[1] * times)
    return Cell(published, value * times, spread, count)


def as_text(found: Sequence[Cell]) -> list[str]:
    """A row for each model, test and class of holes: published value, then ours; notes below."""
    if not found:
        return ["no table of it is known: nothing stands beside ours"]
    metrics = list(dict.fromkeys(cell.published.metric for cell in found))
    notes = list(dict.fromkeys(_note(cell) for cell in found))
    rows: dict[tuple[str, str, str, str], dict[str, Cell]] = {}
    for cell in found:
        number = str(notes.index(_note(cell)) + 1)
        key = (cell.published.model, cell.published.test, cell.published.bin, number)
        rows.setdefault(key, {})[cell.published.metric] = cell
    short = [metric.split(" (mean")[0] + (" x 100" if "times 100" in metric else "") for metric in metrics]
    table = [["", "", "", "", *(word for name in short for word in (name, ""))]]
    table.append(["model", "test", "holes", "source", *(word for _ in short for word in ("published", "ours"))])
    for key, by_metric in rows.items():
        row = [key[0], key[1], key[2], f"[{key[3]}]"]
        for metric in metrics:
            row += _pair(by_metric.get(metric))
        table.append(row)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return [*lines, *(f"  [{number}] {note}" for number, note in enumerate(notes, 1))]


def _pair(cell: Cell | None) -> list[str]:
    if cell is None:
        return ["", ""]
    printed = cell.published.value + ("" if cell.published.checked else "?")
    return [printed, "-" if cell.ours is None else _written(cell)]


def _written(cell: Cell) -> str:
    digits = len(cell.published.value.partition(".")[2])
    digits = digits if cell.published.value.replace(".", "").isdigit() else 2
    text = f"{cell.ours:.{digits}f}"
    return text if cell.interval is None else f"{text} [{cell.interval[0]:.{digits}f}, {cell.interval[1]:.{digits}f}]"


def _note(cell: Cell) -> str:
    parts = [cell.published.source, cell.published.remark]
    parts += [] if cell.published.checked else ["? = not checked at the source"]
    return "; ".join(word for word in parts if word)


def as_json(paper: Paper, test: Trial, found: Sequence[Cell], pictures: Identity, weights: Identity) -> dict[str, Any]:
    """reproduction.json: plain values, the same bytes every time."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "paper": paper.name,
        "title": paper.title,
        "test": test.name,
        "pictures": vars(pictures),
        "weights": vars(weights),
        "unknown": list(paper.unknown),
        "cells": [
            {
                **vars(cell.published),
                "ours": rounded(cell.ours),
                "interval": None if cell.interval is None else [rounded(each) for each in cell.interval],
                "count": cell.count,
                "why": cell.why,
            }
            for cell in found
        ],
    }

"""An evaluation as it runs: the same with several workers, few pictures in memory, outputs of other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluated_pictures import hole, picture, three_pictures
from PIL import Image

import retouche.evaluation.evaluate as evaluation
from retouche.errors import DataError, InputError
from retouche.evaluation.backbones import Backbones
from retouche.evaluation.evaluate import AHEAD, evaluate, file_name
from retouche.evaluation.evaluated import LoadedModel, Outputs, open_models
from retouche.evaluation.pictures import Item, Preparation, find_items
from retouche.inference.load import load

CPU = torch.device("cpu")
NOTHING = Backbones(None, None, CPU)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return three_pictures(tmp_path)


def run(folder: Path, into: Path, **options: object) -> dict[str, object]:
    into.mkdir()
    items, _ = find_items(folder, None)
    models = [LoadedModel(name, load(name)) for name in ("harmonic", "mean")]
    evaluate(items, Preparation(size=48), models, into, backbones=NOTHING, **options)  # type: ignore[arg-type]
    return json.loads((into / "table.json").read_text())


def test_the_table_is_the_same_twice_and_with_workers(folder: Path, tmp_path: Path) -> None:
    first = run(folder, tmp_path / "a")
    run(folder, tmp_path / "b", workers=2)
    for name in ("table.json", "table.csv", "pictures.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert str(tmp_path) not in json.dumps(first)
    lines = [json.loads(line) for line in (tmp_path / "a" / "pictures.jsonl").read_text().splitlines()]
    assert [(line["picture"], line["model"]) for line in lines][:3] == [
        ("0.png", "harmonic"),
        ("0.png", "mean"),
        ("1.png", "harmonic"),
    ]
    assert first["protocol"]["dilate"] == first["protocol"]["feather"] == 0  # type: ignore[index]


def test_kept_outputs_give_the_same_figures(folder: Path, tmp_path: Path) -> None:
    first = run(folder, tmp_path / "a", keep=True)
    items, _ = find_items(folder, None)
    models = open_models([f"harmonic={tmp_path / 'a' / 'filled' / 'harmonic'}"], items, CPU, 0, None)
    assert isinstance(models[0], Outputs)
    (tmp_path / "c").mkdir()
    made = evaluate(items, Preparation(size=48), models, tmp_path / "c", backbones=NOTHING)
    ours = [row for row in first["rows"] if row["model"] == "harmonic"]  # type: ignore[attr-defined]
    assert [row.as_json() for row in made.rows] == ours and models[0].changed == 0
    assert (tmp_path / "a" / "inputs" / "0.png").is_file() and (tmp_path / "a" / "masks" / "0.png").is_file()


def test_few_pictures_wait_for_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, no more than asked for are under way, and they come in order."""
    under_way: list[int] = []
    most = 0

    class Score:
        def __init__(self, number: int) -> None:
            nonlocal most
            self.number = number
            under_way.append(number)
            most = max(most, len(under_way))

        def result(self) -> int:
            under_way.remove(self.number)
            return self.number

    class Judging:
        def jobs(self) -> range:
            return range(1000)

        def run(self, jobs: range) -> Iterator[Score]:
            yield from map(Score, jobs)

    monkeypatch.setattr(evaluation, "Inline", lambda scoring: scoring)
    monkeypatch.setattr(evaluation, "_ended", lambda scoring, outcome: outcome)
    told: list[float] = []
    results = evaluation._in_order(Judging(), 2 * AHEAD, [], told.append)  # type: ignore[arg-type]
    assert next(results) == 0 and len(told) == 2 * AHEAD
    assert list(results) == list(range(1, 1000)) and most == 2 * AHEAD and told[-1] == 1000


def test_the_network_never_sees_the_hole(folder: Path) -> None:
    truth, mask = picture(0), hole(0)
    other = truth.copy()
    other[mask] = 255 - other[mask]
    evaluated = LoadedModel("harmonic", load("harmonic"))
    item = Item(0, "0.png", folder, None)
    a, b = evaluated.fill(item, truth, mask), evaluated.fill(item, other, mask)
    assert np.array_equal(a, b) and np.array_equal(a[~mask], truth[~mask])


def test_foreign_outputs_are_checked_and_their_known_pixels_put_back(folder: Path, tmp_path: Path) -> None:
    items, _ = find_items(folder, None)
    outputs = tmp_path / "theirs"
    outputs.mkdir()
    with pytest.raises(DataError, match="neither weights nor pictures"):
        open_models([str(outputs)], items, CPU, 0, None)
    for seed in range(2):
        Image.fromarray(picture(9)).save(outputs / f"{seed}.png")
    with pytest.raises(DataError, match=r"1 of 3 pictures have no output.*2.png"):
        open_models([str(outputs)], items, CPU, 0, None)
    Image.fromarray(picture(9, 50, 50)).save(outputs / "2.png")
    (evaluated,) = open_models([f"lama={outputs}"], items, CPU, 0, None)
    assert evaluated.name == "lama"
    filled = evaluated.fill(items[0], picture(0), hole(0))
    assert np.array_equal(filled[~hole(0)], picture(0)[~hole(0)]) and np.array_equal(
        filled[hole(0)], picture(9)[hole(0)]
    )
    assert evaluated.about()["known_pixels_changed"] == 1
    with pytest.raises(DataError, match="50x50 but the evaluation is at 48x60"):
        evaluated.fill(items[2], picture(2), hole(2))


def test_names_in_a_table_are_honest() -> None:
    with pytest.raises(InputError, match="--model zits=FOLDER"):
        open_models(["zits"], [], CPU, 0, None)
    with pytest.raises(InputError, match="would be called"):
        open_models(["mean", "mean"], [], CPU, 0, None)
    assert [evaluated.name for evaluated in open_models(["mean", "grey=mean"], [], CPU, 0, None)] == ["mean", "grey"]
    assert file_name("a/b: c") == "a-b--c"

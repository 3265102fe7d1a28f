"""Pictures of a batch made together: the same bytes and reports as one by one, and a bad one harms no other."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import retouche
from retouche.apps import cli
from retouche.apps.batch.fill import TOGETHER, Fill, Given, Settings
from retouche.inference.model import Model
from retouche.inference.strategy import CPU_PIXELS
from retouche.methods import find
from retouche.methods.method import Generator
from retouche.pictures import open_picture
from retouche.runners.local import Pool, stream
from retouche.runners.work import Facts, Job, Outcome, Progress


class Words:
    """Text files in capitals, several in one go; a file's text is what part of a group it is, "1/4 bad" ends all."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.read_when_made: list[int] = []
        self.count = 0

    def start(self) -> Facts:
        return Facts({})

    def read(self, job: Job) -> Any:
        self.count += 1
        text = job.image.read_text()
        if text == "unreadable":
            raise ValueError("cannot be read")
        return text

    def share(self, given: str) -> float:
        return 1 / int(given.split()[0].removeprefix("1/"))

    def make(self, job: Job, given: Any, progress: Progress | None) -> str:
        self.groups.append([job.image.name])
        if "bad" in given:
            raise ValueError("cannot be made")
        if progress is not None:
            progress(0.5)
        return str(given).upper()

    def make_together(self, jobs: Sequence[Job], given: Sequence[Any], progress: Progress | None) -> list[str]:
        time.sleep(0.05)  # enough for the reader to go as far as it may
        self.read_when_made.append(self.count)
        if any("bad" in each for each in given):
            raise ValueError("one of them is bad")
        if progress is not None:
            progress(0.5)
        self.groups.append([job.image.name for job in jobs])
        return [str(each).upper() for each in given]

    def write(self, job: Job, result: Any) -> tuple[tuple[str, ...], Any]:
        job.output.write_text(result)
        return (), result


def jobs(folder: Path, *texts: str) -> list[Job]:
    found = []
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
        found.append(Job(folder / f"{number}.txt", None, folder / f"{number}.out"))
    return found


def test_groups_follow_from_the_pictures_alone(tmp_path: Path) -> None:
    work, done = Words(), list[float]()
    given = jobs(tmp_path, *["1/4"] * 6, "1/1", "1/2", "1/3", "1/3", "unreadable", "1/4", "1/4")
    outcomes = list(stream(work, given, done.append))
    assert [outcome.job for outcome in outcomes] == given  # in order
    names = [[int(name.removesuffix(".txt")) for name in group] for group in work.groups]
    assert names == [[0, 1, 2, 3], [4, 5], [6], [7, 8], [9], [11, 12]]
    assert [outcome.error is None for outcome in outcomes] == [number != 10 for number in range(13)]
    assert done == [2.0, 5.0, 6.5, 8.0, 9.5, 12.0]  # pictures


def test_a_bad_picture_ends_alone(tmp_path: Path) -> None:
    work, done = Words(), list[float]()
    outcomes = list(stream(work, jobs(tmp_path, "1/4", "1/4 bad", "1/4", "1/4", "1/2", "1/2"), done.append))
    assert [outcome.error for outcome in outcomes] == [None, "ValueError: cannot be made", None, None, None, None]
    assert work.groups == [["0.txt"], ["1.txt"], ["2.txt"], ["3.txt"], ["4.txt", "5.txt"]]
    assert [outcome.report for outcome in outcomes if outcome.error is None] == ["1/4"] * 3 + ["1/2"] * 2
    assert done == [0.5, 2.5, 3.5, 5.0]


def test_the_next_group_is_read_while_one_is_made(tmp_path: Path) -> None:
    work = Words()
    assert len(list(stream(work, jobs(tmp_path, *["1/8"] * 40)))) == 40
    ahead = [count - 8 * number for number, count in enumerate(work.read_when_made)]
    assert 8 < max(ahead) <= 16 and len(work.groups) == 5


def test_processes_whose_pictures_come_one_by_one_do_not_wait_for_more(tmp_path: Path) -> None:
    pool = Pool(Words(), 2, "fork")
    pool.start()
    try:
        outcomes: list[Outcome] = list(pool.run(jobs(tmp_path, *["1/8"] * 9)))
    finally:
        pool.close()
    assert [outcome.error for outcome in outcomes] == [None] * 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty small pictures of several sizes; of number 7 all is hole, number 11 is no picture."""
    folder = tmp_path_factory.mktemp("gathered")
    for kind in ("in", "masks"):
        (folder / kind).mkdir()
    random = np.random.RandomState(0)
    for number in range(20):
        height, width = 48 + 8 * (number % 3), 64 + number // 10
        hole = np.zeros((height, width), np.uint8)
        hole[10 + number : 20 + number, 20:36] = 255
        if number % 4 == 0:
            hole[4:7, 4:7] = 255
        if number == 7:
            hole[:] = 255
        smooth = Image.fromarray(random.randint(0, 256, (6, 8, 3)).astype(np.uint8)).resize((width, height))
        smooth.save(folder / "in" / f"{number:02}.png")
        Image.fromarray(hole).save(folder / "masks" / f"{number:02}.png")
    (folder / "in" / "11.png").write_bytes(b"no picture")
    return folder


def filled(
    folder: Path, model: str, output: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The outputs by name, and what `--json --report` says of each."""
    words = ["--image", f"{folder}/in", "--mask", f"{folder}/masks", "--output", str(output), "--model", model]
    assert cli.main(["run", *words, "--json", "--report"]) == 1  # two of them failed
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {path.name: path.read_bytes() for path in output.glob("*.png")}, {
        Path(line["input"]).name: line for line in lines
    }


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    report = {
        key: value for key, value in (line.get("report") or {}).items() if key not in ("seconds", "peak_memory_bytes")
    }
    return {**line, "seconds": None, "output": None, "report": report}


@pytest.mark.parametrize("name", ["default", "thin", "weights", "harmonic"])
def test_together_is_the_same_as_one_by_one(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes, where the processor's library computes a batch as it computes each of it; else a level apart."""
    model = name
    if name == "weights":
        model = f"{tmp_path}/weights.safetensors"
        record = find("deepfill-v2")
        config = dataclasses.replace(next(iter(record.presets.values())), width=4)
        assert record.build is not None
        Model("tiny", "deepfill-v2", config, record.build(config).eval(), {}).save(model)
    batches: list[int] = []
    call = Generator.__call__

    def counted(self: Generator, image: Any, *rest: Any, **words: Any) -> Any:
        batches.append(len(image))
        return call(self, image, *rest, **words)

    monkeypatch.setattr(Generator, "__call__", counted)
    together, told = filled(folder, model, tmp_path / "together", capsys)
    largest, batches[:] = max(batches, default=1), []
    monkeypatch.setattr(Fill, "share", lambda self, given: 1.0)
    alone, told_alone = filled(folder, model, tmp_path / "alone", capsys)
    assert together.keys() == alone.keys() and len(alone) == 18
    for file in alone:
        pixels = [np.asarray(Image.open(tmp_path / place / file)).astype(int) for place in ("together", "alone")]
        assert np.abs(pixels[0] - pixels[1]).max() <= 1
    assert {key: without_times(line) for key, line in told.items()} == {
        key: without_times(line) for key, line in told_alone.items()
    }
    assert [key for key, line in told.items() if line["error"]] == ["07.png", "11.png"]
    assert (largest > 2) == (name != "harmonic")
    assert max(batches, default=1) <= 2  # holes of one picture share passes as before


def test_what_part_of_a_group_a_picture_is() -> None:
    def share(size: tuple[int, int], model: str = "thin", **words: Any) -> float:
        work = Fill(Settings(model))
        work.start()
        assert work.model is not None
        for key, value in words.items():
            setattr(work.model, key, value)
        picture = open_picture(np.zeros((*size, 3), np.uint8))
        return work.share(Given(picture, np.zeros(size, bool)))

    assert share((128, 128)) == 128**2 / CPU_PIXELS and share((256, 256)) == 1
    assert share((5, 7)) == 1 / TOGETHER and share((4000, 4000)) > 1
    assert share((64, 64), "harmonic") == 1  # without a network nothing is shared
    fixed = retouche.create("context-encoder")  # sees 128x128 whatever comes
    assert share((20, 20), generator=fixed.generator) == 128**2 / CPU_PIXELS
    assert share((500, 500), generator=torch.nn.Linear(1, 1).to("meta")) == 1 / TOGETHER  # a GPU takes what fits
    assert share((4000, 3000), generator=torch.nn.Linear(1, 1).to("meta")) > 0.5  # in few bytes

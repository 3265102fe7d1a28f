"""`retouche faces`: CelebA-HQ's pictures by CelebA's split, at a size, in lists that training takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouche.apps.cli import main
from retouche.data.sources import open_source

PARTITION = "000003.jpg 0\n000007.jpg 1\n000011.jpg 2\n000012.jpg 0\n"
MAPPING = "idx orig_idx orig_file\n0       6       000007.jpg\n1 2 000003.jpg\n2 10 000011.jpg\n10 11 000012.jpg\n"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    (tmp_path / "hq").mkdir()
    random = np.random.default_rng(0)
    for number in (0, 1, 2, 10):
        pixels = random.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "hq" / f"{number}.png")
    (tmp_path / "partition.txt").write_text(PARTITION)
    (tmp_path / "mapping.txt").write_text(MAPPING)
    return tmp_path


def prepare(folder: Path, *more: str) -> int:
    return main(["faces", "--data", str(folder / "hq"), "--output", str(folder / "out"), *more])


def test_by_the_split_with_copies(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = ("--partition", str(faces / "partition.txt"), "--mapping", str(faces / "mapping.txt"))
    assert prepare(faces, *lists, "--size", "16") == 0
    out = faces / "out"
    found = {name: open_source(str(out / f"{name}.flist")) for name in ("train", "validate", "test")}
    assert {name: [Path(each).name for each in source.names] for name, source in found.items()} == {
        "train": ["1.png", "10.png"],
        "validate": ["0.png"],
        "test": ["2.png"],
    }
    picture = found["train"].read(0)
    assert (picture.width, picture.height) == (16, 16)
    before = (out / "train" / "1.png").stat().st_mtime_ns
    assert prepare(faces, *lists, "--size", "16") == 0
    assert (out / "train" / "1.png").stat().st_mtime_ns == before
    assert prepare(faces, *lists, "--size", "20") == 0
    with Image.open(out / "train" / "1.png") as copy:
        assert copy.size == (20, 20)


def test_celebas_own_names_and_no_split(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(faces) == 0
    assert "all: 4 pictures" in capsys.readouterr().out
    lines = (faces / "out" / "all.flist").read_text().splitlines()
    assert [Path(line).name for line in lines] == ["0.png", "1.png", "2.png", "10.png"]
    for number, name in ((0, "000003"), (1, "000007")):
        (faces / "hq" / f"{number}.png").rename(faces / "hq" / f"{name}.png")
    for number in (2, 10):
        (faces / "hq" / f"{number}.png").unlink()
    assert prepare(faces, "--partition", str(faces / "partition.txt")) == 0
    assert "train: 1 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--partition", "partition.txt"), "give --mapping too"),
        (("--mapping", "mapping.txt"), "give its --partition too"),
        (("--partition", "mapping.txt"), "no line of CelebA's split"),
        (("--partition", "partition.txt", "--mapping", "partition.txt"), "no line of the mapping"),
        (("--partition", "nowhere.txt"), "cannot be read"),
        (("--size", "3"), "16 to 4096"),
    ],
)
def test_what_does_not_fit_is_one_line(
    faces: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(faces / word) if word.endswith(".txt") else word for word in words]
    assert prepare(faces, *given) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1

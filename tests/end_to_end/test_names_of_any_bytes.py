"""Names of any bytes through a batch: files, manifest, JSON, terminals of any encoding, and leftovers of old runs.

"Before" is what happened until there were rules for it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouche.apps.batch.manifest import remove_leftovers
from retouche.apps.cli import main
from retouche.data.sampler import sample_key
from retouche.evaluation.protocol import list_sha256
from retouche.files import atomic_write
from retouche.folders.names import as_json, shown
from retouche.weights.store import cache_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes are Linux's")

ODD = {
    "no UTF-8": b"caf\xe9.png",
    "newline": b"two\nlines.png",
    "line separator": "two\u2028lines\u2029here\x85.png".encode(),
    "control": b"bell\x07 escape\x1b[31m.png",
    "longest": b"x" * 251 + b".png",
    "quotes": b'it\'s "so" \\ <b>&.png',
    "many letters": "日本語 ‎écrit‏ 🎨.png".encode(),
    "dash": b"-rf.png",
}


def make(folder: Path, *names: bytes) -> None:
    inside = os.fsencode(folder / "in")
    os.makedirs(inside, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(folder / "plain.png")
    content = (folder / "plain.png").read_bytes()
    for name in names:
        with open(os.path.join(inside, name), "wb") as file:
            file.write(content)
    mask = np.zeros((8, 8), np.uint8)
    mask[3:5, 3:5] = 255
    Image.fromarray(mask).save(folder / "mask.png")


def words(folder: Path, *more: str) -> list[str]:
    files = ["--image", str(folder / "in"), "--mask", str(folder / "mask.png"), "--output", str(folder / "out")]
    return ["run", *files, "--model", "mean", *more]


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_a_batch_with_such_a_name_is_filled_recorded_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: bytes
) -> None:
    """Before: bytes that are no UTF-8 ended the batch in a traceback; U+2028 cut the manifest's line in two, so that
    --resume filled the picture again; a newline made two lines on stdout."""
    make(tmp_path, name, b"other.png")
    assert main(words(tmp_path, "--json")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    told = {os.path.basename(os.fsencode(json.loads(line)["output"])) for line in lines}
    assert told == {name, b"other.png"} and told <= set(os.listdir(os.fsencode(tmp_path / "out")))
    recorded = (tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    assert {os.fsencode(json.loads(line)["output"]) for line in recorded} == told
    assert main(words(tmp_path, "--resume")) == 0
    assert "2 of 2 pictures are done already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ODD.values(), ids=ODD.keys())
def test_a_bad_picture_of_such_a_name_is_listed_in_lines_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: bytes
) -> None:
    make(tmp_path, name, b"other.png")
    with open(os.path.join(os.fsencode(tmp_path / "in"), name), "wb") as file:
        file.write(b"no picture")
    assert main(words(tmp_path)) == 1
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/out/other.png\n"
    assert [line for line in said.err.splitlines() if shown(os.fsdecode(name)) in line and line.startswith("failed: ")]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
@pytest.mark.parametrize("more", [(), ("--json",)], ids=["plain", "json"])
def test_terminals_of_any_encoding(tmp_path: Path, encoding: str, more: tuple[str, ...]) -> None:
    """Before: UnicodeEncodeError at the first letter that the encoding lacks."""
    names = {"日本語 é.png".encode(), b"caf\xe9.png"}
    make(tmp_path, *names)
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "retouche", *words(tmp_path, *more)], capture_output=True, env=environment
    )
    assert ended.returncode == 0 and b"Traceback" not in ended.stderr, ended.stderr
    lines = ended.stdout.decode(encoding).splitlines()
    assert len(lines) == 2
    if more:
        assert {os.path.basename(os.fsencode(json.loads(line)["output"])) for line in lines} == names


def test_names_through_lists_hashes_and_words(tmp_path: Path) -> None:
    """Before: UnicodeEncodeError in each; splitlines() cut a listed name at U+2028; no list could hold a newline."""
    make(tmp_path, *ODD.values())
    lines = [b"in/" + name for name in ODD.values()]
    for content in (b"\0".join(lines), b"\n".join(line for line in lines if b"\n" not in line)):
        (tmp_path / "list.txt").write_bytes(content)
        files = ["--image", str(tmp_path / "list.txt"), "--mask", str(tmp_path / "mask.png")]
        assert main(["run", *files, "--output", str(tmp_path / f"out{len(content)}"), "--model", "mean"]) == 0
        made = os.listdir(os.fsencode(tmp_path / f"out{len(content)}" / "in"))
        assert len(made) == len(content.split(b"\0" if b"\0" in content else b"\n"))
    odd = os.fsdecode(ODD["no UTF-8"])
    assert sample_key(odd) != sample_key("cafe.png") and list_sha256([(odd, "0")]) != list_sha256([("a", "0")])
    assert shown(odd) == "caf\\xe9.png" and shown("a\nb\u2028c") == "a\\nb\\u2028c" and shown("日本 é") == "日本 é"
    assert json.loads(as_json({"a": odd}))["a"] == odd and as_json("é", "ascii") == '"\\u00e9"'


def test_a_leftover_of_the_same_process_number_is_no_obstacle(tmp_path: Path) -> None:
    """In a container every run has the same number. Before: "cannot be written (File exists)", for ever."""
    leftovers = [tmp_path / f".retouche-{os.getpid()}-{number}.part" for number in range(2000)]
    for path in leftovers:
        path.write_text("old")
        os.utime(path, (1e9, 1e9))
    with atomic_write(tmp_path / "new.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "new.txt").read_text() == "new" and all(path.read_text() == "old" for path in leftovers)
    remove_leftovers([tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == ["new.txt"]


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container. Before: RuntimeError "Could not determine home directory" from the search for weights."""
    import pwd

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_CACHE_HOME", "RETOUCHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    make(tmp_path, b"a.png")
    assert not cache_folder().exists() and main(["models"]) == 0 and main(words(tmp_path)) == 0


def test_the_cache_of_a_user_with_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RETOUCHE_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "retouche"

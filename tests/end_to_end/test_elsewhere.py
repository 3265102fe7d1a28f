"""Batches whose files lie elsewhere: in other file systems and in tar shards."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retouche.apps.cli import main
from retouche.errors import InputError
from retouche.folders.elsewhere import Far, is_far, place

fsspec = pytest.importorskip("fsspec")


def png(number: int, mask: bool = False) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
    if mask:
        pixels = np.zeros((24, 24), np.uint8)
        pixels[8:16, 8:16] = 255
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def store() -> Iterator[Any]:
    """An object store in memory: in/ with pictures, masks/ with their masks."""
    system = fsspec.filesystem("memory")
    for number in range(6):
        system.pipe_file(f"/bucket/in/sub/{number}.png", png(number))
        system.pipe_file(f"/bucket/masks/sub/{number}.png", png(number, mask=True))
    yield system
    system.rm("/bucket", recursive=True)


def shard(path: Path, numbers: range) -> None:
    with tarfile.open(path, "w") as archive:
        for number in numbers:
            for field, content in (
                ("png", png(number)),
                ("mask.png", png(0, mask=True)),
                ("json", f'{{"number": {number}}}'.encode()),
            ):
                told = tarfile.TarInfo(f"{number:03}.{field}")
                told.size = len(content)
                archive.addfile(told, io.BytesIO(content))


def run(image: str, output: str, *more: str) -> int:
    return main(["run", "--image", image, "--output", output, "--model", "mean", "--device", "cpu", *more])


def rows(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def alone(number: int, folder: Path) -> bytes:
    """What a picture of the store becomes on a local disk."""
    (folder / "in.png").write_bytes(png(number))
    (folder / "mask.png").write_bytes(png(0, mask=True))
    assert run(str(folder / "in.png"), str(folder / "out.png"), "--mask", str(folder / "mask.png"), "--overwrite") == 0
    return (folder / "out.png").read_bytes()


def test_paths_of_addresses() -> None:
    far = Far("s3://bucket/a/0.tar/b/c.png")
    assert str(far) == os.fspath(far) == "s3://bucket/a/0.tar/b/c.png" and far.shard == (
        Far("s3://bucket/a/0.tar"),
        "b/c.png",
    )
    assert (
        str(far.with_suffix(".jpg").parent) == "s3://bucket/a/0.tar/b" and str(far.relative_to(far.parent)) == "c.png"
    )
    assert (
        str(place("file:///a/b.png")) == "file:///a/b.png" and far == Far(str(far)) and hash(far) == hash(Far(str(far)))
    )
    assert not is_far("C:/a.png") and not is_far("a/b") and is_far("gs://bucket/a")
    assert Far("s3://bucket/a.png").shard is None


def test_a_store_is_read_and_written(store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.pipe_file("/bucket/in/notes.doc", b"x")
    words = ("memory://bucket/in/", "memory://bucket/out", "--mask", "memory://bucket/masks")
    kind = "parquet" if importlib.util.find_spec("pyarrow") else "jsonl"
    assert run(*words, "--manifest", kind) == 0
    assert "1 other file (first: notes.doc)" in capsys.readouterr().err
    assert sorted(store.find("/bucket/out")) == [
        "/bucket/out/manifest.jsonl",
        *(["/bucket/out/manifest.parquet"] if kind == "parquet" else []),
        *(f"/bucket/out/sub/{number}.png" for number in range(6)),
    ]
    assert store.cat_file("/bucket/out/sub/3.png") == alone(3, tmp_path)
    told = rows(store.cat_file("/bucket/out/manifest.jsonl"))
    assert [row["output"] for row in told] == [f"sub/{number}.png" for number in range(6)]
    assert told[0]["input"] == "memory://bucket/in/sub/0.png" and told[0]["stamps"]["image"]["bytes"] == len(png(0))
    if kind == "parquet":
        from pyarrow import parquet

        table = parquet.read_table(io.BytesIO(store.cat_file("/bucket/out/manifest.parquet"))).to_pylist()
        assert [row["output"] for row in table] == [row["output"] for row in told]
        assert json.loads(table[2]["stamps"]) == told[2]["stamps"] and table[2]["model_hash"] == told[2]["model_hash"]

    # once more: refused; resumed: what is gone, or whose input has changed, is filled again
    capsys.readouterr()
    assert run(*words) == 2
    assert "5 more would be overwritten" in capsys.readouterr().err
    store.rm_file("/bucket/out/sub/1.png")
    store.pipe_file("/bucket/in/sub/2.png", png(22))
    assert run(*words, "--resume") == 0
    assert "4 of 6 pictures are done already" in capsys.readouterr().err
    assert len(rows(store.cat_file("/bucket/out/manifest.jsonl"))) == 8
    assert store.cat_file("/bucket/out/sub/2.png") == alone(22, tmp_path)


def test_names_with_dots_may_be_folders_and_bad_shards_are_a_line(
    store: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.pipe_file("/my.bucket/in.v2/a.png", png(1))
    words = ("memory://my.bucket/in.v2", "memory://my.bucket/out.v2/", "--mask", "memory://bucket/masks/sub/0.png")
    assert run(*words) == 0 and store.exists("/my.bucket/out.v2/a.png")
    store.rm("/my.bucket", recursive=True)
    (tmp_path / "bad.tar").write_bytes(b"no archive" * 100)
    capsys.readouterr()
    assert run(str(tmp_path / "bad.tar"), str(tmp_path / "out/")) == 2
    said = capsys.readouterr().err
    assert "bad.tar is no tar shard" in said and said.count("\n") == 1


def test_a_killed_batch_leaves_its_lines(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouche.apps.batch import far

    monkeypatch.setattr(far, "LINES", 2)
    monkeypatch.setattr(far.FarManifest, "close", lambda self: None)
    words = ("memory://bucket/in/", "memory://bucket/out/", "--mask", "memory://bucket/masks")
    assert run(*words) == 0 and not store.exists("/bucket/out/manifest.jsonl")
    assert store.find("/bucket/out/manifest.jsonl.parts")
    monkeypatch.undo()
    assert run(*words, "--resume") == 0
    outputs = [row["output"] for row in rows(store.cat_file("/bucket/out/manifest.jsonl"))]
    assert sorted(set(outputs)) == [f"sub/{number}.png" for number in range(6)]
    assert not store.exists("/bucket/out/manifest.jsonl.parts")


def test_what_goes_wrong_is_a_line(
    store: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("memory://nowhere/a.png", "memory://bucket/o/", "--mask", "memory://bucket/masks/sub/0.png") == 2
    assert "memory://nowhere/a.png is not there: check the bucket" in capsys.readouterr().err
    assert run("memory://nowhere/", "memory://bucket/o/") == 2
    assert "memory://nowhere/ holds no pictures" in capsys.readouterr().err
    assert run("nonsense://bucket/a.png", "memory://bucket/o/") == 2
    assert "Protocol not known: nonsense" in capsys.readouterr().err

    system = type(store)
    words = ("memory://bucket/in/", "memory://bucket/out/", "--mask", "memory://bucket/masks")
    pipe = system.pipe_file

    def denied(self: Any, path: str, *given: Any, **options: Any) -> None:
        raise PermissionError(13, "Forbidden", path)

    monkeypatch.setattr(system, "pipe_file", denied)
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert "cannot be written (access denied: Forbidden): check credentials" in said and said.count("\n") == 1

    def cut(self: Any, path: str, value: bytes, **options: Any) -> None:
        if path.endswith("3.png"):
            raise ConnectionResetError("the connection was reset")
        pipe(self, path, value, **options)

    monkeypatch.setattr(system, "pipe_file", cut)
    assert run(*words) == 1
    assert "sub/3.png cannot be written (ConnectionResetError: the connection was reset)" in capsys.readouterr().err
    assert not store.exists("/bucket/out/sub/3.png") and store.exists("/bucket/out/sub/4.png")
    monkeypatch.undo()
    assert run(*words, "--resume") == 0 and store.exists("/bucket/out/sub/3.png")


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    assert run("s3://bucket/a.png", "out.png") == 2
    assert "needs fsspec: pip install 'retouche[batch]'" in capsys.readouterr().err


def test_shards_come_out_as_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    shard(tmp_path / "in" / "a.tar", range(4))
    shard(tmp_path / "in" / "b.tar", range(4, 7))
    words = (str(tmp_path / "in"), str(tmp_path / "out"), "--mask", str(tmp_path / "in" / "*.tar"))
    assert run(*words) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tar", "b.tar", "manifest.jsonl"]
    with tarfile.open(tmp_path / "in" / "b.tar") as given, tarfile.open(tmp_path / "out" / "b.tar") as made:
        assert made.getnames() == given.getnames()
        assert made.extractfile("005.json").read() == b'{"number": 5}'
        assert made.extractfile("005.png").read() == alone(5, tmp_path)
    told = rows((tmp_path / "out" / "manifest.jsonl").read_bytes())
    assert len(told) == 7 and told[0]["output"] == "a.tar/000.png"
    capsys.readouterr()
    assert run(*words, "--resume") == 0
    assert "7 of 7 pictures are done already" in capsys.readouterr().err


def test_a_bad_sample_is_left_out_of_its_shard_until_it_is_mended(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", range(3))
    content = (tmp_path / "a.tar").read_bytes().replace(png(1), b"x" * len(png(1)))
    (tmp_path / "a.tar").write_bytes(content)
    words = (str(tmp_path / "a.tar"), str(tmp_path / "out/"), "--mask", str(tmp_path / "a.tar"))
    assert run(*words) == 1
    with tarfile.open(tmp_path / "out" / "a.tar") as made:
        assert {name[:3] for name in made.getnames()} == {"000", "002"}
    shard(tmp_path / "a.tar", range(3))
    assert run(*words, "--resume") == 0
    with tarfile.open(tmp_path / "out" / "a.tar") as made:
        assert made.getnames() == [
            f"{number:03}.{field}" for number in range(3) for field in ("png", "mask.png", "json")
        ]
        assert made.extractfile("001.png").read() == alone(1, tmp_path)


@pytest.mark.slow
def test_workers_read_and_write_elsewhere(tmp_path: Path) -> None:
    """Several processes, each with connections of its own; the output is killed half way and resumed."""
    (tmp_path / "in").mkdir()
    for number in range(12):
        (tmp_path / "in" / f"{number}.png").write_bytes(png(number))
    (tmp_path / "mask.png").write_bytes(png(0, mask=True))
    command = [
        sys.executable,
        "-m",
        "retouche",
        "run",
        "--image",
        f"file://{tmp_path}/in",
        "--output",
        f"file://{tmp_path}/out/",
    ]
    command += [
        "--mask",
        f"file://{tmp_path}/mask.png",
        "--model",
        "mean",
        "--workers",
        "2",
        "--threads",
        "1",
        "--resume",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None and process.stdout.readline().startswith("file:///")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"manifest.jsonl", *(f"{n}.png" for n in range(12))}
    assert (tmp_path / "out" / "7.png").read_bytes() == alone(7, tmp_path)


def test_systems_without_whole_writes_get_the_name_last(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouche.folders import elsewhere

    monkeypatch.setattr(elsewhere, "WHOLE", set())
    Far("memory://bucket/new/a.png").put(b"content")
    assert store.find("/bucket/new") == ["/bucket/new/a.png"]

    def broken(self: Any, *given: Any, **options: Any) -> None:
        raise OSError(28, "No space left")

    monkeypatch.setattr(type(store), "mv", broken)
    with pytest.raises(InputError, match="No space left"):
        Far("memory://bucket/new/b.png").put(b"content")
    assert store.find("/bucket/new") == ["/bucket/new/a.png"]

"""`retouche run` on folders: manifest, one bad picture, resume after a kill, workers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retouche.apps.batch import manifest as manifest_file
from retouche.apps.batch import writing
from retouche.apps.batch.manifest import remove_leftovers
from retouche.apps.cli import main


def make(folder: Path, count: int, side: int = 32) -> None:
    (folder / "in" / "sub").mkdir(parents=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "in" / ("sub" if number % 2 else "") / f"{number:02}.png")
    mask = np.zeros((side, side), np.uint8)
    mask[8:20, 8:20] = 255
    Image.fromarray(mask).save(folder / "mask.png")


def command(folder: Path, *more: str) -> list[str]:
    files = ["--image", str(folder / "in"), "--mask", str(folder / "mask.png"), "--output", str(folder / "out")]
    return ["run", *files, "--model", "mean", *more]


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out" / "manifest.jsonl").read_text().splitlines()]


def pictures(folder: Path) -> dict[str, int]:
    """Output -> time of writing; each must decode whole."""
    found = {}
    for path in sorted((folder / "out").rglob("*.png")):
        with Image.open(path) as image:
            image.load()
        found[path.relative_to(folder / "out").as_posix()] = path.stat().st_mtime_ns
    return found


def test_a_folder_keeps_paths_and_writes_a_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, 3)
    assert main(command(tmp_path)) == 0
    said = capsys.readouterr()
    assert sorted(pictures(tmp_path)) == ["00.png", "02.png", "sub/01.png"]
    assert len(said.out.splitlines()) == 3 and said.err.count("mask grown") == 2  # once, and the count at the end
    first = manifest(tmp_path)[0]
    assert first["input"] == str(tmp_path / "in" / "00.png") and first["output"] == "00.png"
    assert first["mask"] == str(tmp_path / "mask.png") and first["error"] is None and first["seconds"] >= 0
    assert first["model"] == "mean" and first["model_hash"] and first["strategy"] == "whole"
    assert first["options"]["dilate"] == "auto"


def test_one_bad_picture_is_skipped_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, 2)
    (tmp_path / "in" / "01bad.png").write_text("no picture")
    assert main(command(tmp_path, "--json")) == 1
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["error"] is None for line in lines] == [True, False, True]
    assert said.err.splitlines()[-1].strip().startswith(str(tmp_path / "in" / "01bad.png"))
    assert sorted(pictures(tmp_path)) == ["00.png", "sub/01.png"]
    assert manifest(tmp_path)[1]["error"]


def test_a_picture_that_surprises_the_library_does_not_end_the_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, 3)
    write = writing.write_picture

    def surprised(picture: Any, path: Path, **options: Any) -> None:
        if path.name == "01.png":
            raise KeyError("what nobody thought of")
        write(picture, path, **options)

    monkeypatch.setattr(writing, "write_picture", surprised)
    assert main(command(tmp_path)) == 1
    assert "what nobody thought of" in capsys.readouterr().err
    assert sorted(pictures(tmp_path)) == ["00.png", "02.png"]


def test_a_missing_mask_stops_everything_before_it_starts(tmp_path: Path) -> None:
    make(tmp_path, 2)
    (tmp_path / "masks").mkdir()
    (tmp_path / "mask.png").rename(tmp_path / "masks" / "00.png")
    words = ["--image", str(tmp_path / "in"), "--mask", str(tmp_path / "masks"), "--output", str(tmp_path / "out")]
    assert main(["run", *words, "--model", "mean"]) == 2
    assert not (tmp_path / "out").exists()


def test_resume_does_only_what_is_missing_or_different(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, 3)
    assert main(command(tmp_path)) == 0
    assert main(command(tmp_path)) == 2  # nothing is overwritten unasked
    assert "--resume" in capsys.readouterr().err
    first = pictures(tmp_path)
    assert main(command(tmp_path, "--resume")) == 0
    assert "3 of 3 pictures are done already" in capsys.readouterr().err
    assert pictures(tmp_path) == first

    (tmp_path / "out" / "00.png").unlink()  # an output has gone
    Image.new("RGB", (32, 32), (1, 2, 3)).save(tmp_path / "in" / "02.png")  # an input is another
    os.utime(tmp_path / "in" / "sub" / "01.png")  # an input is the same, copied later
    assert main(command(tmp_path, "--resume")) == 0
    second = pictures(tmp_path)
    assert second["sub/01.png"] == first["sub/01.png"]
    assert second["02.png"] != first["02.png"] and "00.png" in second

    assert main(command(tmp_path, "--resume", "--dilate", "3")) == 0  # other options
    assert all(pictures(tmp_path)[name] != time for name, time in second.items())


def test_a_torn_manifest_line_is_done_again(tmp_path: Path) -> None:
    make(tmp_path, 2)
    assert main(command(tmp_path)) == 0
    path = tmp_path / "out" / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    first = pictures(tmp_path)
    assert main(command(tmp_path, "--resume")) == 0
    again = pictures(tmp_path)
    assert again["00.png"] == first["00.png"] and again["sub/01.png"] != first["sub/01.png"]
    assert json.loads(path.read_text().splitlines()[-1])["output"] == "sub/01.png"


def test_in_place_with_overwrite(tmp_path: Path) -> None:
    make(tmp_path, 2)
    words = ["--image", str(tmp_path / "in"), "--mask", str(tmp_path / "mask.png"), "--output", str(tmp_path / "in")]
    assert main(["run", *words, "--model", "mean"]) == 2
    assert main(["run", *words, "--model", "mean", "--overwrite"]) == 0
    assert main(["run", *words, "--model", "mean", "--overwrite", "--resume"]) == 0
    lines = (tmp_path / "in" / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 2  # the second run had nothing to do


def test_a_killed_run_leaves_no_partial_file_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, 40, side=500)  # seconds of work, so that the signal comes in time on a busy machine too
    process = subprocess.Popen(
        [sys.executable, "-m", "retouche", *command(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    done = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("[0-9]*.png")}
    assert 3 <= len(done) < 40
    for name in done:
        with Image.open(tmp_path / "out" / name) as image:
            image.load()
    logged = {entry["output"] for entry in manifest(tmp_path)}
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in logged}
    assert main(command(tmp_path, "--resume")) == 0
    assert f"{len(logged)} of 40 pictures are done already" in capsys.readouterr().err
    after = pictures(tmp_path)
    assert len(after) == 40 and {name: after[name] for name in logged} == before


def test_leftovers_of_killed_runs_are_removed_and_of_living_ones_kept(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, own = tmp_path / f".retouche-{int(gone.stdout)}-0.png", tmp_path / f".retouche-{os.getpid()}-7.png"
    for path in (dead, own):
        path.touch()
    remove_leftovers([tmp_path])
    assert not dead.exists() and own.exists()


def test_workers_make_the_same_bytes(tmp_path: Path) -> None:
    make(tmp_path, 3)
    (tmp_path / "in" / "bad.png").write_text("no picture")
    words = [sys.executable, "-m", "retouche", *command(tmp_path, "--workers", "2", "--threads", "1")]
    run = subprocess.run(words, capture_output=True, text=True)
    assert run.returncode == 1 and "bad.png" in run.stderr, run.stderr
    parallel = {name: (tmp_path / "out" / name).read_bytes() for name in pictures(tmp_path)}
    (tmp_path / "out").rename(tmp_path / "first")
    assert main(command(tmp_path)) == 1
    assert {name: (tmp_path / "out" / name).read_bytes() for name in pictures(tmp_path)} == parallel
    assert len(manifest(tmp_path)) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_interrupt_ends_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    make(tmp_path, 20, side=900)  # seconds of work, so that the signal comes in time on a busy machine too
    process = subprocess.Popen(
        [sys.executable, "-m", "retouche", *command(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume does the rest" in said and "Traceback" not in said
    assert not list((tmp_path / "out").rglob(".retouche-*"))


def test_a_list_of_one_picture_is_a_batch_like_any_other(tmp_path: Path) -> None:
    make(tmp_path, 1)
    (tmp_path / "list.txt").write_text("in/00.png\n")
    words = ["--image", str(tmp_path / "list.txt"), "--mask", str(tmp_path / "mask.png")]
    assert main(["run", *words, "--output", str(tmp_path / "out"), "--model", "mean", "--workers", "4"]) == 0
    assert manifest(tmp_path)[0]["output"] == "in/00.png"


def test_a_disk_that_fills_up_is_named_and_the_batch_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, 3)
    path, real, lines = tmp_path / "out" / "manifest.jsonl", os.fsync, []

    def full(descriptor: int) -> None:
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            lines.append(descriptor)
            if len(lines) == 2:
                raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        patched.setattr(manifest_file, "SYNC_SECONDS", -1.0)
        assert main(command(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "manifest.jsonl cannot be written (No space left on device)" in said and "--resume" in said
    assert main(command(tmp_path, "--resume")) == 0
    assert sorted(pictures(tmp_path)) == ["00.png", "02.png", "sub/01.png"]

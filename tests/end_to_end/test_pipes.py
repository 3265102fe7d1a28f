"""`retouche run` between pipes: the picture or the mask from standard input or a named pipe, the result to one."""

import io
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouche.apps.cli import main

RUN = f"{shlex.quote(sys.executable)} -m retouche run --model mean --dilate 0"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    y, x = np.mgrid[:60, :80]
    scene = Image.fromarray(np.stack([3 * x % 256, (2 * y + x) % 256, 0 * x + 90], axis=2).astype(np.uint8))
    scene.save(tmp_path / "photo.jpg", quality=83)
    scene.save(tmp_path / "photo.png")
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:50] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["bash", "-c", words], capture_output=True, timeout=120)


def test_through_standard_input_and_output(here: Path) -> None:
    """What is read from a pipe and written to one is what files give, byte for byte, and nothing stands beside it."""
    done = shell(f"set -o pipefail; cat photo.jpg | {RUN} --image - --mask mask.png --output - > out.jpg")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    files = ["--image", "photo.jpg", "--mask", "mask.png", "--output", "files.jpg"]
    assert main(["run", *files, "--model", "mean", "--dilate", "0"]) == 0
    assert (here / "out.jpg").read_bytes() == (here / "files.jpg").read_bytes()


def test_mask_from_standard_input_and_another_format(here: Path) -> None:
    done = shell(f"{RUN} --image photo.png --mask - --output - --format webp --report < mask.png")
    assert done.returncode == 0 and b"8.33 % hole" in done.stderr
    with Image.open(io.BytesIO(done.stdout)) as filled:
        assert filled.format == "WEBP" and filled.size == (80, 60)


def test_named_pipes_are_opened_once_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("picture", "mask", "out.tif"):
        os.mkfifo(here / name)
    received: list[bytes] = []

    def feed(name: str, source: str) -> None:
        (here / name).write_bytes((here / source).read_bytes())

    threads = [
        threading.Thread(target=feed, args=("picture", "photo.png"), daemon=True),
        threading.Thread(target=feed, args=("mask", "mask.png"), daemon=True),
        threading.Thread(target=lambda: received.append((here / "out.tif").read_bytes()), daemon=True),
    ]
    for thread in threads:
        thread.start()
    files = ["--image", "picture", "--mask", "mask", "--output", "out.tif"]
    assert main(["run", *files, "--model", "mean", "--dilate", "0"]) == 0
    for thread in threads:
        thread.join(10)
    with Image.open(io.BytesIO(received[0])) as filled, Image.open(here / "photo.png") as photo:
        assert filled.format == "TIFF"
        apart = (np.asarray(filled) != np.asarray(photo)).any(axis=2)
    assert apart.any() and not apart[:20].any() and not apart[:, 50:].any()
    assert capsys.readouterr().out == "out.tif\n" and (here / "out.tif").is_fifo()


def test_a_reader_that_has_gone_is_no_error_message(here: Path) -> None:
    done = shell(f"{RUN} --image - --mask mask.png --output - < photo.jpg | true; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stdout, done.stderr) == (141, b"", b"")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--image - --mask - --output - < photo.jpg", "--image and --mask read the same pipe"),
        ("--image - --mask /dev/stdin --output - < photo.jpg", "--image and --mask read the same pipe"),
        ("--image - --mask mask.png --output - < /dev/null", "--image - is empty"),
        ("--image /dev/null --mask mask.png --output o.png", "--image /dev/null is empty"),
        ("--image - --mask mask.png --output - <&-", "standard input, which is closed"),
        ("--image - --mask mask.png --output out/ < photo.jpg", "is a folder but --image is a pipe"),
        ("--image - photo.png --mask mask.png --output out/ < photo.jpg", "a pipe among other files"),
        ("--image . --mask mask.png --output -", "is a pipe but --image is many pictures"),
        ("--image . --mask - --output out/ < mask.png", "--mask - is a pipe but --image is many pictures"),
        ("--image - --mask mask.png --output - --json < photo.jpg", "--json and the picture"),
        ("--image - --mask mask.png --output - --format gif < photo.jpg", 'no format "gif"'),
        ("--image - --mask mask.png --output o.png --format png < photo.jpg", "--format is for pipes"),
        ("--image - --mask mask.png --output photo.png < photo.jpg", "photo.png would be overwritten"),
        ("--image - --mask mask.png --output - --cluster auto < photo.jpg", "--cluster reads files"),
    ],
)
def test_refused_in_one_line(here: Path, words: str, said: str) -> None:
    done = shell(f"{RUN} {words}")
    assert done.returncode == 2 and done.stdout == b""
    assert said in done.stderr.decode() and done.stderr.count(b"\n") == 1, done.stderr


def test_damaged_bytes_are_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((here / "photo.jpg").read_bytes()[:300])))
    assert main(["run", "--image", "-", "--mask", "mask.png", "--output", "out.png", "--model", "mean"]) == 2
    said = capsys.readouterr()
    assert not said.out and "standard input cannot be" in said.err and said.err.count("\n") == 1


def test_terminals_are_not_waited_for(here: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "retouche", "run", "--image", "-", "--mask", "mask.png", "--output", "-"]
    for ends, said in (({"stdin": theirs}, b"which is a terminal"), ({"stdout": theirs}, b"bytes to the terminal")):
        ends = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **ends}
        done = subprocess.run(words, stderr=subprocess.PIPE, timeout=60, **ends)
        assert done.returncode == 2 and said in done.stderr
    os.close(ours)
    os.close(theirs)

"""A batch on a Ray cluster of two nodes on this machine: every picture once, whatever dies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retouche.apps.cli import main

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
COUNT = 1000


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")
    made: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "object_store_memory": 100_000_000, "include_dashboard": False},
    )
    made.second = made.add_node(num_cpus=2, object_store_memory=100_000_000)
    yield made
    made.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{number:04}.png")
    mask = np.zeros((24, 24), np.uint8)
    mask[8:16, 8:16] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def words(folder: Path, output: str, *more: str) -> list[str]:
    files = ["--image", str(folder / "in"), "--mask", str(folder / "mask.png"), "--output", str(folder / output)]
    return ["run", *files, "--model", "mean", "--device", "cpu", *more]


def kill(node: Any) -> None:
    """A machine's power cut: the raylet and all it has started, at once."""
    import psutil

    raylets = [info.process.pid for info in node.all_processes["raylet"]]
    doomed = [child for pid in raylets for child in psutil.Process(pid).children(recursive=True)]
    for process in (*map(psutil.Process, raylets), *doomed):
        process.send_signal(signal.SIGKILL)


def check(folder: Path, outputs: int = COUNT) -> None:
    """All outputs are there, whole, and what one process makes; each has one line without an error."""
    assert main(words(folder, "alone")) == 0
    for number in range(COUNT):
        made, alone = (folder / name / f"{number:04}.png" for name in ("out", "alone"))
        assert made.read_bytes() == alone.read_bytes()
    assert len(list((folder / "out").glob("*.png"))) == COUNT and not list((folder / "out").glob(".retouche*"))
    lines = [json.loads(line) for line in (folder / "out" / "manifest.jsonl").read_text().splitlines()]
    assert len({line["output"] for line in lines}) == COUNT and not any(line["error"] for line in lines)


def test_a_node_that_dies_half_way_takes_nothing_along(nodes: Any, folder: Path) -> None:
    command = [sys.executable, "-m", "retouche", *words(folder, "out", "--cluster", nodes.address)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    done = [process.stdout.readline() for _ in range(COUNT // 2)]
    kill(nodes.second)
    rest, said = process.communicate(timeout=900)
    assert process.returncode == 0, said
    told = [*done, *rest.splitlines(keepends=True)]
    assert len(told) == len(set(told)) == COUNT
    check(folder)


def test_a_command_that_dies_is_resumed(nodes: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "retouche", *words(folder, "out", "--cluster", nodes.address)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    for _ in range(COUNT // 3):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (folder / "in" / "bad.png").write_text("no picture")
    assert main(words(folder, "out", "--cluster", nodes.address, "--resume")) == 1  # the bad one is listed, not fatal
    said = capsys.readouterr()
    assert "pictures are done already" in said.err and "1 of " in said.err and "bad.png" in said.err
    (folder / "in" / "bad.png").unlink()
    lines = (folder / "out" / "manifest.jsonl").read_text().splitlines(keepends=True)
    (folder / "out" / "manifest.jsonl").write_text("".join(line for line in lines if "bad.png" not in line))
    check(folder)


def test_no_cluster_is_said_in_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(folder, "out", "--cluster", "127.0.0.1:1")) == 2
    assert "no cluster at 127.0.0.1:1" in capsys.readouterr().err

"""A training that is killed and started again ends exactly as one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from run_tiny import run

from retouche.training.run import train

SCRIPT = Path(__file__).parent / "run_tiny.py"
STEPS = 10


def start(pictures, folder, devices, pause, *words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, (pictures, folder, STEPS, devices, pause)), *words]
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(one["step"], one["losses"], one["gradients"]) for one in lines if one["kind"] == "train"]


def kill_at(process, folder, step):
    """SIGKILL for the whole group as soon as the log shows the step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        log = folder / "log.jsonl"
        if log.is_file() and f'"step": {step}, "kind": "train"' in log.read_text():
            break
        time.sleep(0.01)
    assert process.poll() is None, process.stderr.read()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def finish(process):
    _, said = process.communicate(timeout=180)
    assert process.returncode == 0, said


def assert_same(one, other):
    for name in ("last.safetensors", "best.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    checkpoints = [folder / "checkpoints" / f"step-{STEPS}" for folder in (one, other)]
    first, second = [(path / "networks.safetensors").read_bytes() for path in checkpoints]
    assert first == second
    states = [torch.load(path / "optimizers.pt", weights_only=True) for path in checkpoints]
    for role, state in states[0].items():
        for number, moments in state["state"].items():
            for name, value in moments.items():
                assert torch.equal(value, states[1][role]["state"][number][name]), (role, number, name)
    names = [sorted(path.name for path in folder.iterdir()) for folder in checkpoints]
    assert names[0] == names[1]
    own = [
        [torch.load(path, weights_only=True) for path in sorted(folder.glob("process-*.pt"))] for folder in checkpoints
    ]
    for mine, theirs in zip(*own, strict=True):
        assert torch.equal(mine["torch"], theirs["torch"])
        assert mine["python"] == theirs["python"]
    assert losses(one) == losses(other)


def test_killed_and_resumed(pictures, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(run(pictures, whole, STEPS, words=["norm=1"])).finished
    at = random.randint(4, 8)
    kill_at(start(pictures, killed, 1, 0.1, "norm=1"), killed, at)
    assert not (killed / "checkpoints" / f"step-{STEPS}").exists()
    assert train(run(pictures, killed, STEPS, words=["norm=1"])).finished
    assert_same(whole, killed)


@pytest.mark.slow
def test_killed_and_resumed_on_two_processes(pictures, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(pictures, whole, 2, 0))
    kill_at(start(pictures, killed, 2, 0.1), killed, random.randint(4, 8))
    finish(start(pictures, killed, 2, 0))
    assert_same(whole, killed)


def test_more_steps_go_on(pictures, tmp_path):
    """A finished run goes on when asked for more, as if it had been asked at once."""
    whole, longer = tmp_path / "whole", tmp_path / "longer"
    train(run(pictures, whole, STEPS))
    train(run(pictures, longer, 6))
    assert train(run(pictures, longer, 6)).step == 6  # nothing left to do
    train(run(pictures, longer, STEPS))
    assert losses(whole) == losses(longer)
    assert (whole / "last.safetensors").read_bytes() == (longer / "last.safetensors").read_bytes()
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == ["step-10", "step-9"]


def test_the_host_keeps_its_random_numbers(pictures, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(run(pictures, tmp_path / "run", 2))
    assert torch.equal(before, torch.get_rng_state())

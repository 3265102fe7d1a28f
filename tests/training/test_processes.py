"""How a batch is shared does not change what is learned from it."""

import dataclasses
import os
import subprocess
import sys

import pytest
import torch
from run_tiny import run
from test_resume import SCRIPT, losses

from retouche.training.run import train

PLAIN = ["dropout=0"]


def gradients(folder, step):
    """The first moments of Adam after its first step: half of the gradients it was given."""
    states = torch.load(folder / "checkpoints" / f"step-{step}" / "optimizers.pt", weights_only=True)
    return {
        f"{role}.{number}": moments["exp_avg"]
        for role, state in states.items()
        for number, moments in state["state"].items()
    }


def on_two(pictures, folder, steps, *words):
    command = [sys.executable, str(SCRIPT), *map(str, (pictures, folder, steps, 2, 0)), *words]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def assert_close(one, other, relative):
    for name, wanted in one.items():
        assert (other[name] - wanted).abs().max() <= relative * wanted.abs().max(), name


def test_two_processes_take_the_gradients_of_one(pictures, tmp_path):
    train(run(pictures, tmp_path / "one", 1, words=PLAIN))
    on_two(pictures, tmp_path / "two", 1, *PLAIN)
    assert_close(gradients(tmp_path / "one", 1), gradients(tmp_path / "two", 1), 1e-5)
    # the process that does not write makes nothing of its own
    assert (tmp_path / "two" / "checkpoints" / "step-1" / "process-1.pt").is_file()


@pytest.mark.slow
def test_two_processes_lose_like_one(pictures, tmp_path):
    train(run(pictures, tmp_path / "one", 20, words=PLAIN))
    on_two(pictures, tmp_path / "two", 20, *PLAIN)
    for (_, one, _), (_, other, _) in zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True):
        for name, value in one.items():
            assert other[name] == pytest.approx(value, abs=1e-3), name


def test_parts_of_a_batch_add_up(pictures, tmp_path):
    whole = run(pictures, tmp_path / "whole", 1, words=[*PLAIN, "masks=centre", "spectral=0"])
    train(whole)
    train(dataclasses.replace(whole, folder=tmp_path / "parts", accumulate=2))
    assert_close(gradients(tmp_path / "whole", 1), gradients(tmp_path / "parts", 1), 1e-5)

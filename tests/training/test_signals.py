"""Signals that reach the whole process group, as from Slurm and `timeout`; and which GPU is meant."""

import os
import signal
import time

import pytest
import torch
from run_tiny import run
from test_resume import STEPS, assert_same, finish, kill_at, start

from retouche.errors import InputError
from retouche.training import checkpoint
from retouche.training.engine import _accelerator
from retouche.training.run import train


def wait_for(process, folder, step):
    deadline = time.monotonic() + 120
    log = folder / "log.jsonl"
    while not (log.is_file() and f'"step": {step}, "kind": "train"' in log.read_text()):
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.01)


def test_sigterm_to_the_group_saves(pictures, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(run(pictures, whole, STEPS))
    process = start(pictures, stopped, 1, 0.2, "workers=2")
    wait_for(process, stopped, 4)
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    step = int(checkpoint.newest(stopped).name.removeprefix("step-"))
    assert 4 <= step < STEPS
    finish(start(pictures, stopped, 1, 0, "workers=2"))
    assert (whole / "last.safetensors").read_bytes() == (stopped / "last.safetensors").read_bytes()


def test_a_killed_training_lets_its_folder_go_at_once(pictures, tmp_path):
    """Only the main process is killed: its workers live on for a while, but hold nothing."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(run(pictures, whole, STEPS))
    process = start(pictures, killed, 1, 0.2, "workers=2")
    wait_for(process, killed, 4)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert train(run(pictures, killed, STEPS)).finished  # refused while somebody holds the folder
    os.killpg(process.pid, signal.SIGKILL) if _alive(process.pid) else None
    assert_same(whole, killed)


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_group_too(pictures, tmp_path):
    killed = tmp_path / "killed"
    kill_at(start(pictures, killed, 1, 0.2, "workers=2"), killed, 4)
    assert train(run(pictures, killed, STEPS)).finished


def test_one_gpu_by_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert _accelerator("cuda:1") == ("cuda", 1) and _accelerator("cuda") == ("cuda", None)
    assert _accelerator("cpu") == ("cpu", None)
    for device, words in (("cuda:2", "2 GPUs here: cuda:0 to cuda:1"), ("cuda:x", "cuda:N"), ("tpu", "cuda:N")):
        with pytest.raises(InputError, match=words):
            _accelerator(device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="cuda:1 but there is none"):
        _accelerator("cuda:1")

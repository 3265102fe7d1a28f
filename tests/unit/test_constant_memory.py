"""Over many pictures of many sizes a process holds no more than after the first ones."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from retouche.apps.cli import terminal
terminal.bound_the_kernels()
import retouche

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

model, draw = retouche.load("harmonic"), np.random.default_rng(0)
picture = draw.integers(0, 256, (96, 96, 3), np.uint8)
for number in range(110):
    if number == 50:
        before = resident()
    hole = np.zeros((96, 96), bool)
    hole[10 : 11 + number % 80, 8 : 90 - number // 2] = True
    model(picture, hole)
print((resident() - before) >> 10)
"""


PASS = """
import sys
import torch
from retouche.methods import find
torch.set_num_threads(1)

def highest() -> int:
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))

name, side = sys.argv[1], int(sys.argv[2])
record = find(name)
config = next(iter(record.presets.values()))
network = record.build(config).eval().to(memory_format=torch.channels_last)
with torch.inference_mode():
    for size in (128, side):
        before = highest()
        image, mask = torch.rand(1, 3, size, size), torch.zeros(1, 1, size, size)
        mask[..., size // 3 : size // 2, size // 3 : size // 2] = 1
        network(image, mask)
print((highest() - before) / side**2 / record.scope(config).pixel_bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the highest resident memory is read from /proc")
@pytest.mark.parametrize(
    ("method", "side"),
    [
        ("deepfill-v2", 256),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("deepfill-v2", 512), ("deepfill-v1", 384), ("partial-conv", 384))
        ),
    ],
)
def test_a_pass_takes_what_its_scope_says(method: str, side: int) -> None:
    """No more than a little, and not half of it: budgets and batches are reckoned with it."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", PASS, method, str(side)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) < 1.1


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_holes_of_many_sizes_leave_nothing_behind() -> None:
    """With PyTorch's own bounds each size of a convolution stays: 9 MB over the last 60 pictures."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("CACHE_CAPACITY")}
    environment |= {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 << 10  # KiB


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from retouche.apps.cli import terminal

    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "7")
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "")
    monkeypatch.delenv("LRU_CACHE_CAPACITY")
    terminal.bound_the_kernels()
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == "7" and os.environ["LRU_CACHE_CAPACITY"] == "128"

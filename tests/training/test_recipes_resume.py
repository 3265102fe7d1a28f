"""Every method's default recipe, killed on its way and started again, ends as if it had been left alone."""

import os
import random
import subprocess
import sys

import pytest
from test_resume import kill_at, losses

from retouche.methods import find, methods

TRAINABLE = [name for name in methods() if name != "tiny" and find(name).recipes]
SIZES = {"context-encoder": 128, "structural": 128, "structure-flow": 64, "partial-conv": 128}
STEPS = 6
OURS = ("layout", "refine", "thin")


def command(method, pictures, folder):
    size = SIZES.get(method, 64)
    words = ["train", method, "--data", pictures, "--run", folder, "--steps", STEPS, "--size", size, "--batch", 2]
    words += ["--save-every", 2, "--log-every", 1, "--workers", 0, "--device", "cpu", "--threads", 1]
    if method not in OURS:
        words += ["--perceptual-weights", "random"]
    else:
        words += ["--critic-from", 2]  # their features come from EfficientNet-Lite unless something else is said
    if method == "lama":
        words += ["--network.width", 8, "--network.blocks", 2]
    if method == "refine":
        words += ["--structures", pictures]
    return [sys.executable, "-m", "retouche", *map(str, words)]


@pytest.mark.slow
@pytest.mark.parametrize("method", TRAINABLE)
def test_killed_and_resumed(method, tmp_path):
    from tiny import write_pictures

    write_pictures(tmp_path / "pictures", 5, side=140)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(folder):
        words = command(method, tmp_path / "pictures", tmp_path / folder)
        return subprocess.Popen(words, env=environment, start_new_session=True, stderr=subprocess.PIPE, text=True)

    for folder in ("whole", "killed", "killed"):
        process = start(folder)
        if folder == "killed" and not (tmp_path / folder).exists():
            kill_at(process, tmp_path / folder, random.randint(2, 5))
            continue
        _, said = process.communicate(timeout=1200)
        assert process.returncode == 0, said
    for name in ("last.safetensors", f"checkpoints/step-{STEPS}/networks.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")

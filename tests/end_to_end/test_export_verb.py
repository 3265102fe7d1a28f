"""`retouche export`, and its files behind the other verbs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import retouche
from retouche.apps.cli import main

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weight file, a picture, a mask."""
    import dataclasses

    from retouche.methods import find

    monkeypatch.setenv("RETOUCHE_HOME", str(tmp_path / "home"))
    model = retouche.create("aot-gan")
    model.config, model.critics = dataclasses.replace(model.config, width=8, blocks=1), {}
    build = find("aot-gan").build
    assert build is not None
    model.generator = build(model.config).eval()
    model.save(tmp_path / "weights.safetensors", licence="CC0")
    picture = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    mask = np.zeros((70, 90), np.uint8)
    mask[20:40, 30:60] = 255
    Image.fromarray(picture).save(tmp_path / "p.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    return tmp_path


def test_exports_and_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", "--model", str(folder / "weights.safetensors"), "--output", str(folder / "x.onnx")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "differs from PyTorch by" in said and "opset 17" in said and said.count("strokes") == 3
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*words, "--anyway"]) == main([*words, "--pictures", str(folder / "p.png")]) == 2
    assert capsys.readouterr().err.count("give --precision") == 2
    assert main([*words[:-1], str(folder / "new/folder/x.onnx"), "--precision", "fp16"]) == 0
    assert "dB to float32" in capsys.readouterr().out and (folder / "new/folder/x.onnx").exists()
    assert main([*words, "--overwrite", "--json", "--form", "pipeline"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["form"] == "pipeline" and told["inputs"] == ["picture", "mask"] and told["largest"] <= 1

    picture = ["--image", str(folder / "p.png"), "--mask", str(folder / "m.png"), "--dilate", "0"]
    filled = []
    for number, model in enumerate((["x.onnx"], ["weights.safetensors", "--engine", "onnx"], ["weights.safetensors"])):
        output = folder / f"{number}.png"
        name, *rest = model
        assert main(["run", *picture, "--output", str(output), "--model", str(folder / name), *rest]) == 0
        filled.append(np.asarray(Image.open(output)).astype(int))
    assert np.abs(filled[0] - filled[2]).max() <= 1 and np.abs(filled[1] - filled[2]).max() <= 1
    known = np.asarray(Image.open(folder / "m.png")) == 0
    assert np.array_equal(filled[0][known], np.asarray(Image.open(folder / "p.png"))[known])


def test_what_cannot_be_exported_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--model", "mean", "--output", str(folder / "x.onnx")]) == 2
    assert "no network" in capsys.readouterr().err
    assert main(["export", "--model", str(folder / "weights.safetensors"), "--output", str(folder / "x.pth")]) == 2
    assert ".onnx" in capsys.readouterr().err
    (folder / "other.onnx").write_bytes(b"no protocol buffer")
    picture = ["--image", str(folder / "p.png"), "--mask", str(folder / "m.png"), "--output", str(folder / "f.png")]
    assert main(["run", *picture, "--model", str(folder / "other.onnx")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no ONNX file" in said
    assert not (folder / "f.png").exists()
    assert main(["run", *picture, "--engine", "openvino", "--workers", "2"]) == 2
    assert "leave out --workers" in capsys.readouterr().err

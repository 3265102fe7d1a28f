"""`retouche replay`: what is damaged is said in one line, and nothing is written."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import retouche
from retouche.apps.cli import main
from retouche.masks import dilate


def encoded(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def edit() -> dict[str, Any]:
    """Two fills of a small picture, the second in a crop."""
    generator = np.random.default_rng(3)
    content = encoded(Image.fromarray(generator.integers(0, 255, (40, 60, 3), np.uint8)))

    def one(box: tuple[int, int, int, int], crop: list[int]) -> dict[str, Any]:
        left, top, right, bottom = box
        mask = Image.new("L", (right - left, bottom - top), 255)
        return {
            "model": "harmonic",
            "model_hash": None,
            "dilate": 2,
            "feather": 1,
            "seed": 0,
            "box": dict(zip(("left", "top", "right", "bottom"), box, strict=True)),
            "crops": [crop],
            "mask": base64.b64encode(encoded(mask)).decode(),
        }

    source = {"name": "a.png", "width": 60, "height": 40, "sha256": hashlib.sha256(content).hexdigest()}
    return {
        "format": "retouche-edit 1",
        "source": {**source, "data": base64.b64encode(content).decode()},
        "fills": [one((5, 5, 15, 15), [0, 0, 60, 40]), one((30, 10, 50, 30), [20, 0, 60, 40])],
    }


def replayed(tmp_path: Path, edit: Any, *words: str) -> tuple[int, Path]:
    path, output = tmp_path / "edit.json", tmp_path / "out.png"
    path.write_text(edit if isinstance(edit, str) else json.dumps(edit))
    return main(["replay", str(path), "--output", str(output), "--device", "cpu", *words]), output


def test_fills_follow_one_another_in_the_parts_that_were_sent(tmp_path: Path, edit: dict[str, Any]) -> None:
    code, output = replayed(tmp_path, edit)
    assert code == 0
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(edit["source"]["data"]))))
    for fill in edit["fills"]:
        left, top, right, bottom = fill["crops"][0]
        hole = np.zeros((40, 60), bool)
        hole[fill["box"]["top"] : fill["box"]["bottom"], fill["box"]["left"] : fill["box"]["right"]] = True
        part, here = pixels[top:bottom, left:right].copy(), hole[top:bottom, left:right]
        filled = retouche.load("harmonic")(part, here, dilate=2, feather=1)
        inside = dilate(here, 2)
        pixels[top:bottom, left:right][inside] = np.asarray(filled)[inside]
    assert np.array_equal(np.array(Image.open(output)), pixels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda edit: "no json", "no JSON"),
        (lambda edit: [], "no edit"),
        (lambda edit: {**edit, "format": "retouche-edit 9"}, "newer format"),
        (lambda edit: {**edit, "fills": [7]}, "damaged"),
        (lambda edit: {**edit, "fills": [{**edit["fills"][0], "mask": None}]}, "no mask"),
        (lambda edit: {**edit, "fills": [{**edit["fills"][0], "mask": "%"}]}, "base64"),
        (lambda edit: {**edit, "fills": [{**edit["fills"][0], "crops": [[0, 0, 61, 40]]}]}, "outside the picture"),
        (lambda edit: {**edit, "fills": [{**edit["fills"][0], "dilate": -1}]}, "dilate"),
        (lambda edit: {**edit, "fills": [{**edit["fills"][0], "model": "nobody"}]}, "nobody"),
        (lambda edit: {**edit, "source": {**edit["source"], "width": 61}}, "61x40"),
        (lambda edit: {**edit, "source": {**edit["source"], "sha256": "00"}}, "another picture"),
    ],
)
def test_what_is_damaged_is_said(
    tmp_path: Path, edit: dict[str, Any], change: Any, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, output = replayed(tmp_path, change(edit))
    said = capsys.readouterr().err
    assert code == 2 and not output.exists()
    assert words in said and said.count("\n") == 1


def test_another_model_is_remarked(tmp_path: Path, edit: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    edit["fills"][0]["model_hash"] = "another"
    edit["source"]["sha256"] = "another"
    code, output = replayed(tmp_path, edit, "--other-picture", "--json")
    captured = capsys.readouterr()
    assert code == 0 and output.exists() and "hash differs" in captured.err
    assert len(json.loads(captured.out)["fills"]) == 2


def in_browser(edit: dict[str, Any], name: str) -> dict[str, Any]:
    """The edit as the page that fills by itself would have saved it."""
    fills = [{**fill, "model": f"browser:{name}", "feather": 0} for fill in edit["fills"]]
    return {**edit, "fills": fills}


def test_what_the_browser_filled_is_filled_by_the_same_file(
    tmp_path: Path, edit: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from exported import exported

    from retouche.runtime import fill as fill_here

    network = exported("pipeline")
    monkeypatch.chdir(tmp_path)
    edit = in_browser(edit, "small.onnx")
    edit["fills"][0]["model_hash"] = edit["fills"][1]["model_hash"] = hashlib.sha256(network.read_bytes()).hexdigest()
    code, output = replayed(tmp_path, edit)
    said = capsys.readouterr().err
    assert code == 2 and not output.exists()
    assert "--browser-model" in said and said.count("\n") == 1

    code, output = replayed(tmp_path, edit, "--browser-model", str(network))
    assert code == 0 and capsys.readouterr().err == ""
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(edit["source"]["data"]))))
    for fill in edit["fills"]:
        left, top, right, bottom = fill["crops"][0]
        hole = np.zeros((40, 60), bool)
        hole[fill["box"]["top"] : fill["box"]["bottom"], fill["box"]["left"] : fill["box"]["right"]] = True
        part = pixels[top:bottom, left:right].copy()
        pixels[top:bottom, left:right] = fill_here(part, dilate(hole[top:bottom, left:right], 2), network)
    assert np.array_equal(np.array(Image.open(output)), pixels)

    # beside the edit file it is found by its name; another one of that name is used, and told
    (tmp_path / "small.onnx").write_bytes(network.read_bytes())
    edit["fills"][0]["model_hash"] = edit["fills"][1]["model_hash"] = "0" * 64
    output.unlink()
    code, output = replayed(tmp_path, edit)
    assert code == 0 and "hash differs" in capsys.readouterr().err
    assert np.array_equal(np.array(Image.open(output)), pixels)

"""An exported file is a model like any other, whoever runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import exported, photograph, small_model

import retouche

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def hole(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[height // 3 : height // 2, width // 4 : width // 2] = True
    mask[5:8, 10 : width - 10] = True
    return mask


@pytest.mark.parametrize("form", ["network", "pipeline"])
@pytest.mark.parametrize("size", [(61, 90), (700, 200), (31, 17)], ids=str)
def test_an_exported_file_fills_as_its_network_does(form: str, size: tuple[int, int]) -> None:
    picture, mask = photograph(*size), hole(*size)
    filled, report = retouche.load(exported(form))(picture, mask, dilate=0, report=True)
    expected, plain = small_model()(picture, mask, dilate=0, report=True)
    assert np.abs(filled.astype(int) - expected).max() <= 1
    assert np.array_equal(filled[~mask], picture[~mask])
    assert report.method == "aot-gan" and report.device == "cpu (onnx)"
    assert [each.strategy for each in report.holes] == [each.strategy for each in plain.holes]


def test_openvino_fills_the_same() -> None:
    pytest.importorskip("openvino")
    picture, mask = photograph(61, 90), hole(61, 90)
    filled = retouche.load(exported("network"), engine="openvino")(picture, mask, dilate=0)
    assert np.abs(filled.astype(int) - small_model()(picture, mask, dilate=0)).max() <= 1


def test_weights_run_in_another_engine_and_are_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOUCHE_HOME", str(tmp_path / "home"))
    small_model().save(tmp_path / "small.safetensors")
    picture, mask = photograph(61, 90), hole(61, 90)
    weights = retouche.load(tmp_path / "small.safetensors")
    model = retouche.load(tmp_path / "small.safetensors", engine="onnx")
    assert model.engine == "onnx" and model.source_sha256 == weights.source_sha256
    assert np.abs(model(picture, mask, dilate=0).astype(int) - weights(picture, mask, dilate=0)).max() <= 1
    (kept,) = (tmp_path / "home" / "exports").iterdir()
    before = kept.stat().st_mtime_ns
    retouche.load(tmp_path / "small.safetensors", engine="onnx")
    assert kept.stat().st_mtime_ns == before and len(list(kept.parent.iterdir())) == 1


def test_what_an_engine_cannot_do_is_said(tmp_path: Path) -> None:
    model = retouche.load(exported("network"))
    with pytest.raises(retouche.WeightsError, match="copy the exported file"):
        model.save(tmp_path / "x.safetensors")
    with pytest.raises(retouche.InputError, match="say --engine onnx"):
        retouche.load(exported("network"), engine="torch")
    with pytest.raises(retouche.InputError, match="known: torch, onnx, openvino"):
        retouche.load("mean", engine="tensorflow")
    with pytest.raises(retouche.InputError, match="is no network"):
        retouche.load("mean", engine="onnx")


def test_a_graph_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from retouche.export import write

    def wrong(*arguments: Any, **options: Any) -> Any:
        graph = honest(*arguments)
        for tensor in graph.graph.initializer:
            if len(tensor.dims) == 4:
                values = np.frombuffer(tensor.raw_data, np.float32) * np.float32(1.01)
                tensor.raw_data = values.tobytes()
        return graph

    honest = write.recorded
    monkeypatch.setattr(write, "recorded", wrong)
    with pytest.raises(retouche.RetoucheError, match="differs from PyTorch by"):
        write.export(small_model(), tmp_path / "wrong.onnx")
    assert not list(tmp_path.iterdir())

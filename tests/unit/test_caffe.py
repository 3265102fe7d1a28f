"""Caffe's files: their tensors come out as they went in, and nothing a file claims of itself is believed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_writer import blob, field, network, varint

from retouche.errors import WeightsError
from retouche.weights.read import read_tensors

RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("name", ["HED", ""])
def test_tensors_come_out_as_they_went_in(tmp_path: Path, old: bool, name: str) -> None:
    kernel, bias = RANDOM.normal(size=(4, 3, 5, 5)), RANDOM.normal(size=4)
    layers = {"conv1_1": [blob(kernel, old=old), blob(bias, old=old)], "data": [], "more": [blob(bias)] * 3}
    (tmp_path / "a.caffemodel").write_bytes(network(layers, old=old, name=name))
    tensors, header = read_tensors(tmp_path / "a.caffemodel")
    assert list(tensors) == ["conv1_1.weight", "conv1_1.bias", "more.weight", "more.bias", "more.2"] and not header
    assert torch.equal(tensors["conv1_1.weight"], torch.tensor(kernel, dtype=torch.float32))
    assert tensors["conv1_1.bias"].shape == ((1, 1, 1, 4) if old else (4,))
    assert torch.equal(tensors["conv1_1.bias"].flatten(), torch.tensor(bias, dtype=torch.float32))


def test_numbers_one_by_one_and_doubles(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(2, 3))
    (tmp_path / "a").write_bytes(network({"a": [blob(values, packed=False)], "b": [blob(values, double=True)]}))
    tensors, _ = read_tensors(tmp_path / "a")
    assert torch.equal(tensors["a.weight"], tensors["b.weight"]) and tensors["a.weight"].shape == (2, 3)


def _lies() -> dict[str, bytes]:
    good = network({"conv": [blob(np.ones((2, 2)))]})
    huge = field(7, field(1, varint(1 << 30) + varint(1 << 30)))
    return {
        "cut": good[:-3],
        "sizes that do not fit": network({"conv": [field(7, field(1, varint(3))) + field(5, bytes(8))]}),
        "sizes beyond all memory": network({"conv": [huge + field(5, bytes(8))]}),
        "half a number": network({"conv": [field(5, bytes(7))]}),
        "one name twice": network({"conv": [blob(np.ones(2))]}) * 2,
        "a length beyond the end": good + varint(100 << 3 | 2) + varint(1 << 40),
        "a number without end": good + b"\xff" * 11,
        "a group": good + varint(9 << 3 | 3),
        "many axes": network({"conv": [field(7, field(1, bytes([1]) * 5000)) + field(5, bytes(4))]}),
        "no layer": network({}) + field(100, field(1, b"conv")),
        "a name that is none": network({}) + field(100, field(1, b"\xff\xfe") + field(7, blob(np.ones(2)))),
        "very many fields": network({}) + field(100, varint(1 << 3) + b"\0" + (varint(9 << 3) + b"\0") * 320_000),
    }


@pytest.mark.parametrize("kind", list(_lies()))
def test_lies_are_one_line_and_take_no_time(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.caffemodel").write_bytes(_lies()[kind])
    started = time.process_time()
    with pytest.raises(WeightsError) as said:
        read_tensors(tmp_path / "a.caffemodel")
    assert "\n" not in str(said.value) and str(tmp_path) in str(said.value)
    assert time.process_time() - started < 20


def test_texts_are_no_networks(tmp_path: Path) -> None:
    for content in (b"\n\nhello, this is a text of some length\n", b"\n" * 300, b"\x0a", b"\x0a\x03abc"):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(WeightsError, match="no known kind"):
            read_tensors(tmp_path / "a")

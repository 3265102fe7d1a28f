"""Lua Torch's files: their tensors come out as they went in, and nothing else does."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import about, arrays, assert_close, filled
from lua_writer import Module, Writer, write_lua
from torch import Tensor

import retouche
from retouche.apps.cli import main
from retouche.errors import WeightsError
from retouche.methods.context_encoder import ContextEncoder, ContextEncoderConfig
from retouche.weights.lua import MOST
from retouche.weights.read import read_tensors


def tree() -> dict[str, Any]:
    base = torch.arange(24.0).view(2, 3, 4)
    tied = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    return {
        "name": "a network",
        "train": False,
        "epoch": 3,
        "weight": base,
        "part": base[1, :, 1:3],  # a view of the same storage, further on
        "turned": base.transpose(0, 2),
        "tied": {1: tied, 2: tied},
        "counts": torch.tensor([1, 2**40]),
        "bytes": torch.tensor([[1], [255]], dtype=torch.uint8),
        "fine": torch.tensor([0.1], dtype=torch.float64),
        "coarse": torch.tensor([0.5], dtype=torch.float16),
        "empty": torch.empty(0),
        "none": {},
    }


@pytest.mark.parametrize("versions", [True, False])
@pytest.mark.parametrize("gpu", [True, False])
def test_tensors_come_out_as_they_went_in(tmp_path: Path, versions: bool, gpu: bool) -> None:
    whole = tree()
    tensors, header = read_tensors(write_lua(tmp_path / "a.t7", Module("nn.Net", whole), versions, gpu))
    expected = {key: value for key, value in whole.items() if isinstance(value, Tensor) and value.numel()}
    expected |= {"tied.1": whole["tied"][1], "tied.2": whole["tied"][2]}
    assert tensors.keys() == expected.keys() and not header
    for name, tensor in expected.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype, name


def test_a_table_alone_and_tables_that_hold_themselves(tmp_path: Path) -> None:
    inner: dict[str, Any] = {"weight": torch.ones(2)}
    outer = {"first": inner, "again": inner}
    outer["self"] = outer
    tensors, _ = read_tensors(write_lua(tmp_path / "table.t7", outer))
    assert tensors.keys() == {"first.weight"}  # where it stands first


# The published network


def sequential(*modules: Module) -> Module:
    return Module("nn.Sequential", {"modules": dict(enumerate(modules, 1)), "train": False, "output": torch.empty(0)})


def lua_network(tensors: dict[str, Tensor], biases: bool, deviations: bool) -> Module:
    """The port's golden tensors as the original's program would have saved them."""

    def convolution(number: int, kind: str = "nn.SpatialConvolution") -> Module:
        weight = tensors[f"main.{number}.weight"]
        outputs = weight.shape[0 if kind == "nn.SpatialConvolution" else 1]
        bias = torch.zeros(outputs) if biases else None
        return Module(
            kind, {"weight": weight, "bias": bias, "kW": 4, "gradInput": torch.empty(0), "finput": torch.ones(7)}
        )

    def norm(number: int) -> Module:
        fields: dict[str, Any] = {key: tensors[f"main.{number}.{key}"] for key in ("weight", "bias", "running_mean")}
        variance = tensors[f"main.{number}.running_var"]
        key = "running_std" if deviations else "running_var"
        fields[key] = (variance.double() + 1e-5).rsqrt().float() if deviations else variance
        return Module("nn.SpatialBatchNormalization", {**fields, "eps": 1e-5, "momentum": 0.1, "affine": True})

    leaky, full = Module("nn.LeakyReLU", {"negval": 0.2, "inplace": True}), "nn.SpatialFullConvolution"
    encoder = [convolution(0), leaky]
    for number in (2, 5, 8, 11):
        encoder += [convolution(number), norm(number + 1), leaky]
    rest = [norm(15), leaky]
    for number in (17, 20, 23, 26):
        rest += [convolution(number, full), norm(number + 1), Module("nn.ReLU")]
    return sequential(sequential(*encoder, convolution(14)), *rest, convolution(29, full), Module("nn.Tanh"))


@pytest.mark.parametrize(("biases", "deviations"), [(True, True), (False, False)])
def test_context_encoders_of_the_original(tmp_path: Path, biases: bool, deviations: bool) -> None:
    facts = about("context-encoder-pytorch-g")
    stored = arrays("context-encoder-pytorch-g")
    path = tmp_path / "paris_inpaintCenter.t7"
    write_lua(path, lua_network(filled(facts["params"], facts["seed"], facts["gain"]), biases, deviations))
    model = retouche.load(path)
    assert (model.method, model.layout, model.config) == (
        "context-encoder",
        "pathak22",
        ContextEncoderConfig(bias=biases),
    )
    assert isinstance(model.generator, ContextEncoder)
    with torch.inference_mode():
        made = model.generator.centre(stored["input.image"])
    assert_close(made, stored["output.pred"], 2e-5)
    assert sum(weight.numel() for weight in model.generator.parameters()) == (71_130_531 if biases else 71_124_544)
    if biases:
        return
    assert main(["convert", str(path), str(tmp_path / "own.safetensors")]) == 0
    again = retouche.load(tmp_path / "own.safetensors")
    with torch.inference_mode():
        ours: Any = again.generator
        assert torch.equal(ours.centre(stored["input.image"]), made)


# Files that are no networks


def raw(*values: Any) -> bytes:
    """Whole numbers of 32 bits, text with its length, and bytes as they are."""
    parts = []
    for value in values:
        if isinstance(value, int):
            parts.append(struct.pack("<i", value))
        elif isinstance(value, str):
            parts.append(struct.pack("<i", len(value)) + value.encode())
        else:
            parts.append(value)
    return b"".join(parts)


def longs(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


FLOATS = raw(4, 3, "V 1", "torch.FloatStorage", longs(4), b"\0" * 16)


def holding(*inside: Any) -> bytes:
    """A table {weight = ...}."""
    return raw(3, 1, 1, 2, "weight", *inside)


def tensor(axes: int, *numbers: int, storage: bytes = FLOATS) -> bytes:
    return holding(4, 2, "V 1", "torch.FloatTensor", axes, longs(*numbers), storage)


def nested(depth: int) -> bytes:
    return b"".join(raw(3, i + 1, 1, 2, "a") for i in range(depth)) + raw(0)


def bomb(width: int) -> bytes:
    """Tables that each hold the next one twice."""
    levels = b"".join(raw(3, i + 1, 2, 2, "a") for i in range(width))
    leaf = raw(4, 900, "V 1", "torch.FloatTensor", 1, longs(2, 1, 1), raw(4, 901), FLOATS[8:])
    return levels + leaf + raw(2, "b", 0) + b"".join(raw(2, "b", 3, i + 2) for i in reversed(range(width - 1)))


MANY = raw(3, 1, 1 << 20) + b"".join(raw(1, b"\0" * 8, 3, i + 2, 0) for i in range(MOST + 5))
HOSTILE = {
    "a function": (holding(8, 2, "\x1bLua", 3, 3, 0), "holds code"),
    "an old function": (holding(6, "\x1bLua", 3, 3, 0), "holds code"),
    "a kind that is none": (holding(9), "kind 9"),
    "a class without fields": (holding(4, 2, "V 1", "torch.Timer", 1), "no table"),
    "fields of another object": (holding(4, 2, "V 1", "nn.Linear", 3, 1), "fields of another"),
    "numbers of no known class": (holding(4, 2, "V 1", "torch.QuadTensor", 1, longs(1, 1, 1), FLOATS), "QuadTensor"),
    "more axes than any": (tensor(1 << 30), "axes"),
    "fewer axes than none": (tensor(-1), "axes"),
    "a length beyond the file": (tensor(1, 4, 1, 1, storage=FLOATS[:-24] + longs(1 << 60) + b"\0" * 16), "ends early"),
    "a negative length": (tensor(1, 4, 1, 1, storage=FLOATS[:-24] + longs(-1) + b"\0" * 16), "ends early"),
    "text beyond the file": (holding(2, b"\xff\xff\xff\x7f"), "ends early"),
    "a side repeated": (tensor(2, 1 << 31, 1 << 31, 0, 0, 1), "larger than its numbers"),
    "sides whose product overflows": (tensor(4, *[1 << 62] * 4, 0, 0, 0, 0, 1), "larger than its numbers"),
    "steps beyond its numbers": (tensor(1, 2, 1 << 61, 1), "larger than its numbers"),
    "steps backwards": (tensor(1, 2, -1, 3), "shape"),
    "a start beyond its numbers": (tensor(1, 2, 1, 4), "larger than its numbers"),
    "a start before its numbers": (tensor(1, 2, 1, 0), "shape"),
    "a side of nothing": (tensor(2, 0, 2, 2, 1, 1), "shape"),
    "a table for a storage": (tensor(1, 1, 1, 1, storage=raw(3, 9, 1, 2, "a") + FLOATS), "numbers of its own"),
    "another class's storage": (tensor(1, 1, 1, 1, storage=FLOATS.replace(b"Float", b"Short")), "numbers of its own"),
    "a table as a key": (raw(3, 1, 1, 3, 2, 0, 0), "keys"),
    "too deep": (nested(5_000), "more tables"),
    "a million tables": (MANY, "more tables"),
    "a table longer than the file": (raw(3, 1, 0x7FFFFFFF, 2, "a", 0), "ends early"),
    "something behind it": (tensor(1, 2, 1, 1) + b"\0", "follow its end"),
    "nothing in it": (raw(3, 1, 0), "no network tensors"),
    "its text form": (b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "text form"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_one_line(name: str, tmp_path: Path) -> None:
    data, words = HOSTILE[name]
    (tmp_path / "hostile.t7").write_bytes(data)
    begun = time.process_time()
    with pytest.raises(WeightsError, match=words) as said:
        read_tensors(tmp_path / "hostile.t7")
    assert len(str(said.value).splitlines()) == 1 and time.process_time() - begun < 20


def test_tables_met_again_do_not_multiply(tmp_path: Path) -> None:
    (tmp_path / "bomb.t7").write_bytes(bomb(60))
    tensors, _ = read_tensors(tmp_path / "bomb.t7")
    assert [*tensors] == [".".join("a" * 60)]


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    writer = Writer()
    writer.value(Module("nn.Net", {"weight": torch.ones(2, 2), "inner": {"bias": torch.zeros(2)}}))
    data = b"".join(writer.parts)
    for length in range(1, len(data)):
        (tmp_path / "cut.t7").write_bytes(data[:length])
        with pytest.raises(WeightsError):
            read_tensors(tmp_path / "cut.t7")


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    """All hostile files in a process that may have 3 GB of addresses, PyTorch's own included."""
    resource = pytest.importorskip("resource")
    for i, (data, _) in enumerate(HOSTILE.values()):
        (tmp_path / f"{i}.t7").write_bytes(data)
    code = f"""
import resource, sys
from pathlib import Path
from retouche.errors import WeightsError
from retouche.weights.read import read_tensors
resource.setrlimit(resource.RLIMIT_AS, ({3 << 30}, {3 << 30}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).glob("*.t7")):
    try:
        read_tensors(path)
    except WeightsError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 200e6 and resource is not None

"""Where and in what a call computes: on the model's device, in the precision asked for; bad values end at the door."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from other_device import DEVICE, elsewhere
from torch import Tensor

import retouche
from retouche.arithmetic import HALVES, computing_in
from retouche.inference.model import Model
from retouche.layers import exporting
from retouche.methods import find, method
from retouche.training.transfer import Transfer, ahead

PICTURE = np.random.default_rng(5).integers(0, 256, (48, 60, 3), np.uint8)
HOLE = np.zeros((48, 60), bool)
HOLE[12:30, 20:38] = True


def small(**settings: Any) -> Model:
    record = find("aot-gan")
    config = dataclasses.replace(next(iter(record.presets.values())), width=8, blocks=1, **settings)
    assert record.build is not None
    torch.manual_seed(0)
    network = record.build(config).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.2)  # fresh ones would hardly fill anything
    return Model(name="small", method="aot-gan", config=config, generator=network, critics={})


# Fills without weights ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["harmonic", "exemplar", "mean"])
def test_a_fill_without_weights_computes_on_the_device_of_the_call(name: str) -> None:
    picture, hole = PICTURE[:26, :30], np.zeros((26, 30), bool)  # the stand-in takes its time
    hole[9:15, 11:17] = True
    wanted = retouche.load(name)(picture, hole)
    with elsewhere() as looks:
        model = retouche.load(name, device=DEVICE)
        filled, report = model(picture, hole, report=True)
    assert model.device == DEVICE and report.device == str(DEVICE)
    assert np.array_equal(filled, wanted)
    assert {"to", "_to_copy"} & set(looks)  # it was there, and came back


def test_the_stand_in_refuses_what_a_gpu_refuses() -> None:
    with elsewhere() as looks:
        there = torch.rand(3).to(DEVICE)
        with pytest.raises(AssertionError, match="two devices"):
            there + torch.rand(3)
        assert not looks and float(there.sum()) > 0
        assert looks == ["_local_scalar_dense"]


# Values that are none -------------------------------------------------------------------------------------------------


def spoiled(kind: str) -> tuple[Any, Any]:
    image, mask = torch.rand(1, 3, 48, 60), torch.zeros(1, 1, 48, 60)
    mask[..., 12:30, 20:38] = 1
    (mask if kind == "mask" else image)[0, 0, 3, 4] = math.nan if kind != "infinity" else math.inf
    return (image[0].permute(1, 2, 0).numpy(), HOLE) if kind == "array" else (image, mask)


@pytest.mark.parametrize("kind", ["tensor", "array", "infinity", "mask"])
def test_nan_is_refused_at_opening_where_networks_look_at_no_value(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, whose values a network does not look at."""
    for module in (exporting, method):
        monkeypatch.setattr(module, "at_hand", lambda x: False)
    model = small()
    monkeypatch.setattr(model.generator, "forward", lambda *given, **guides: pytest.fail("the network was asked"))
    picture, mask = spoiled(kind)
    with pytest.raises(retouche.InputError, match=r"nan|inf"):
        model(picture, mask)


# Precision ------------------------------------------------------------------------------------------------------------


def test_half_precision_says_how_far_it_is_from_float32() -> None:
    exact = small()(PICTURE, HOLE)
    model = small().compute("bf16")
    filled, report = model(PICTURE, HOLE, report=True)
    (said,) = [text for text in report.remarks if "float32" in text]
    decibels = re.search(r"computed in bf16: ([0-9.]+) dB to float32", said)
    assert decibels and 20 < float(decibels[1]) < 100
    assert (filled != exact).any() and np.array_equal((filled != PICTURE).any(2), (exact != PICTURE).any(2))
    assert ("leave --precision out" in said) == (float(decibels[1]) < 40)
    again = model(PICTURE, HOLE, report=True)[1]
    assert said in again.remarks  # measured once
    assert not [text for text in small()(PICTURE, HOLE, report=True)[1].remarks if "float32" in text]


def test_a_compiled_network_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[int, ...]] = []

    def compiling(network: Any) -> Callable[..., Any]:
        class Compiled:
            multiple, smallest, largest = network.multiple, network.smallest, network.largest

            def __call__(self, image: Tensor, *given: Any, **guides: Any) -> Any:
                ran.append(tuple(image.shape))
                return network(image, *given, **guides)

        return Compiled()

    monkeypatch.setattr(torch, "compile", compiling)
    filled, report = small().compute(compile=True)(PICTURE, HOLE, report=True)
    assert len(ran) == 1 and np.array_equal(filled, small()(PICTURE, HOLE))
    assert any(text.startswith("compiled: inf dB") for text in report.remarks)


def test_what_is_made_near_a_hole_is_not_called_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda network: network)
    record = find("partial-conv")
    config = dataclasses.replace(next(iter(record.presets.values())), width=4, levels=4)
    assert record.build is not None
    model = Model(name="small", method="partial-conv", config=config, generator=record.build(config).eval())
    model.compute(compile=True)
    assert not [text for text in model(PICTURE, HOLE, report=True)[1].remarks if "compiled" in text]
    whole = np.ones_like(HOLE)
    whole[:, :4] = False
    assert [text for text in model(PICTURE, whole, report=True)[1].remarks if text.startswith("compiled")]


def test_a_path_that_keeps_float32_says_so() -> None:
    hole = np.zeros((64, 80), bool)
    hole[12:52, 20:60] = True  # thick: the default sends it to `guided`
    picture = np.random.default_rng(6).integers(0, 256, (64, 80, 3), np.uint8)
    _, report = retouche.load("default").compute("bf16")(picture, hole, report=True)
    assert [text for text in report.remarks if "guided" in text and "float32" in text]
    _, report = retouche.load("default").compute("32")(picture, hole, report=True)
    assert not [text for text in report.remarks if "float32" in text]


def test_precision_is_for_networks() -> None:
    with pytest.raises(retouche.InputError, match="no network"):
        retouche.load("harmonic").compute("bf16")
    with pytest.raises(retouche.InputError, match="give one of"):
        small().compute("64")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", HALVES)
def test_switches_are_set_and_put_back(precision: Any) -> None:
    backends = torch.backends

    def switches() -> tuple[bool, bool, bool]:
        return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark

    before = switches()
    with computing_in("32", "cpu"):
        assert switches() == before
    with (
        pytest.warns() if HALVES[precision] else _nothing(),
        computing_in(precision, "cuda"),
    ):  # half is off without CUDA
        assert switches() == (precision == "tf32", precision == "tf32", precision != "32")
    assert switches() == before


@contextmanager
def _nothing() -> Iterator[None]:
    yield


# Batches on their way -------------------------------------------------------------------------------------------------


class Cuda:
    """Streams that write down what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def Stream(self, device: Any) -> Cuda.Queue:
        return Cuda.Queue(self, "copies")

    def current_stream(self, device: Any) -> Cuda.Queue:
        return Cuda.Queue(self, "computation")

    @contextmanager
    def stream(self, queue: Cuda.Queue) -> Iterator[None]:
        self.told.append(f"on {queue.name}")
        yield

    class Queue:
        def __init__(self, cuda: Cuda, name: str) -> None:
            self.cuda, self.name = cuda, name

        def wait_stream(self, other: Cuda.Queue) -> None:
            self.cuda.told.append(f"{self.name} waits for {other.name}")


def test_the_next_batch_is_sent_before_a_step_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda()
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(Tensor, "to", lambda self, *given, **options: self)
    monkeypatch.setattr(Tensor, "record_stream", lambda self, queue: cuda.told.append(f"held by {queue.name}"))
    transfer = Transfer(torch.device("cuda"), cuda)

    def steps() -> Iterator[Tensor]:
        for number in range(3):
            cuda.told.append(f"read {number}")
            yield transfer.send(torch.full((1, 3, 4, 4), float(number)))

    for batch in ahead(steps(), lambda one: transfer.arrived([one])):
        cuda.told.append(f"step {batch.mean():.0f}")
    arrived = ["computation waits for copies", "held by computation"]
    assert cuda.told == [
        *("read 0", "on copies", *arrived),
        *("read 1", "on copies", "step 0", *arrived),
        *("read 2", "on copies", "step 1", *arrived),
        "step 2",
    ]


def test_what_is_wrong_with_the_next_batch_is_said_in_its_turn() -> None:
    def steps() -> Iterator[int]:
        yield 1
        raise retouche.DataError("b.jpg cannot be read: take it out")

    done: list[int] = []
    with pytest.raises(retouche.DataError, match="take it out"):
        for step in ahead(steps(), lambda one: None):
            done.append(step)
    assert done == [1]
    assert list(ahead(iter([]), lambda one: None)) == []

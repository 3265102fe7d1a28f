"""A fill gives the same bytes whatever the program around it has set in PyTorch, and leaves that as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch

import retouche
from retouche.ambient import plain_torch

RANDOM = np.random.default_rng(3)
PICTURE = RANDOM.integers(0, 256, (72, 90, 3), np.uint8)
HOLE = np.zeros((72, 90), bool)
HOLE[10:45, 20:55] = True  # thick: the collage
HOLE[60:63, 5:80] = True  # thin: the network


@contextmanager
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        assert torch.get_default_dtype() == torch.float64
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        assert torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)


@contextmanager
def coarse() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        assert torch.get_float32_matmul_precision() == "medium"
        torch.set_float32_matmul_precision("highest")


AMBIENT: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype": double,
    "default device": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "coarse products": coarse,
    "inference": torch.inference_mode,
}


@pytest.mark.parametrize("ambient", AMBIENT)
@pytest.mark.parametrize("name", ["default", "exemplar", "harmonic", "mean", "deepfill-v2"])
def test_same_bytes(name: str, ambient: str) -> None:
    make = retouche.create if name == "deepfill-v2" else retouche.load
    wanted = make(name)(PICTURE, HOLE)
    with AMBIENT[ambient]():
        assert np.array_equal(make(name)(PICTURE, HOLE), wanted)


def test_networks_come_from_their_files_alike(tmp_path) -> None:
    made = retouche.create("aot-gan", seed=1)
    made.save(tmp_path / "a.safetensors")
    with double(), torch.device("meta"):
        loaded = retouche.load(tmp_path / "a.safetensors").generator
    for one, two in zip(made.generator.parameters(), loaded.parameters(), strict=True):
        assert two.dtype == torch.float32 and torch.equal(one, two)


def test_the_last_of_several_threads_puts_things_back() -> None:
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with plain_torch():
            entered.set()
            leave.wait(10)

    with double():
        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(10)
        with plain_torch():
            assert torch.get_default_dtype() == torch.float32
        assert torch.get_default_dtype() == torch.float32  # the other one still computes
        leave.set()
        thread.join()
        assert torch.get_default_dtype() == torch.float64

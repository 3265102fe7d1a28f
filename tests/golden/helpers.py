"""Reading golden files: the layout's parameters filled by rule, the stored inputs and the published outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import golden
import torch
from safetensors.torch import load_file
from torch import Tensor

HERE = Path(__file__).parent


def about(name: str) -> dict[str, Any]:
    """The golden file's JSON."""
    return json.loads((HERE / f"{name}.json").read_text())


def arrays(name: str) -> dict[str, Tensor]:
    """The stored inputs and outputs, by `input.*` and `output.*`."""
    return load_file(HERE / f"{name}.safetensors")


def filled(shapes: dict[str, list[int]], seed: int = 0, gain: float = 1.0) -> dict[str, Tensor]:
    """Published names -> the numbers that the rule gives them."""
    return {name: torch.from_numpy(value) for name, value in golden.fill(shapes, seed, gain).items()}


def assert_close(ours: Tensor, published: Tensor, atol: float) -> None:
    """Largest absolute difference at most `atol`; says it otherwise."""
    assert ours.shape == published.shape, f"{tuple(ours.shape)} instead of {tuple(published.shape)}"
    worst = (ours.double() - published.double()).abs().max().item()
    assert worst <= atol, f"differs by up to {worst:.3g}, allowed {atol:.3g}"

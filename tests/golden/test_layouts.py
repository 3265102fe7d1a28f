"""Of every published list of names known here, one layout says that it is its own: no two claim one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from retouche.methods.loading import identify

FILES = sorted(Path(__file__).parent.glob("*.json"))
LAYERS = (
    "losses",
    "correctness",
    "gradients",
    "ffc-spectral",
    "contextual-attention",
    "partial-conv",
    "rtv",
    "resample",
)
"""Words in the names of golden files that hold no whole network."""


def lists(params: dict) -> list[dict[str, list[int]]]:
    """Names and shapes of each network of a golden file, below its key where there are several."""
    if all(isinstance(value, list) for value in params.values()):
        return [params] if params else []  # figures alone
    return [{f"{key}.{name}": shape for name, shape in inner.items()} for key, inner in params.items()]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_one_method_claims_a_published_network(file: Path) -> None:
    said = json.loads(file.read_text())
    for shapes in lists(said.get("params", {})):
        claims = identify({name: torch.empty(shape, device="meta") for name, shape in shapes.items()})
        assert len(claims) <= 1, claims
        assert claims or any(word in file.stem for word in LAYERS)

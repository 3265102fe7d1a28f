"""Networks never look at values while they compute: on a GPU each look waits until all that was asked is done.

Tensors on PyTorch's meta device have no values, so that any look at one is an error: they stand in for a GPU's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from retouche.layers.attention import contextual_attention
from retouche.methods import find, methods
from retouche.methods.method import Batch, RecipeContext
from retouche.methods.recipe_protocol import RecipeOptions, options_of
from retouche.training.loop import take_step
from retouche.training.scaler import Scaler

NETWORKS = sorted(name for name in methods() if find(name).build is not None)
LOOKS = ("thin", "refine", "layout")
"""They compute where the hole is, and begin with a smooth fill of as many levels as the hole asks for."""


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch refuses to say of this device whether autocast is on."""
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *device: False)


def on_meta(name: str) -> Any:
    record = find(name)
    assert record.build is not None
    with torch.device("meta"):
        return record.build(next(iter(record.presets.values()))).eval()


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in LOOKS])
def test_forward_looks_at_no_value(name: str) -> None:
    record, network = find(name), on_meta(name)
    config = next(iter(record.presets.values()))
    side = record.scope(config).centre
    size = side[0] if side else network.largest or 256
    with torch.inference_mode(), torch.device("meta"):
        # a structure picture that is not given is solved for, on the CPU
        structure = torch.empty(1, 3, size, size) if "structure" in record.conditioning(config) else None
        network(torch.empty(1, 3, size, size), torch.empty(1, 1, size, size), structure=structure)


@pytest.mark.parametrize("variant", ["official", "mmagic"])
def test_attention_row_by_row_looks_at_no_value(variant: str) -> None:
    with torch.inference_mode(), torch.device("meta"):
        made = contextual_attention(torch.empty(2, 8, 64, 64), torch.empty(2, 1, 256, 256), variant, (9, 10, 31, 40))
    assert made.shape == (2, 8, 30, 22)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every look at a value of a tensor without any, by the name of the method."""
    found: list[str] = []
    answers = {"__bool__": True, "__float__": 1.0, "item": 1.0, "tolist": 1.0, "cpu": None, "numpy": None}

    def counted(name: str) -> Any:
        before = getattr(Tensor, name)

        def look(self: Tensor, *args: Any, **options: Any) -> Any:
            if self.device.type != "meta":
                return before(self, *args, **options)
            found.append(name)
            return [1.0] * self.numel() if name == "tolist" else answers[name]

        return look

    for name in answers:
        monkeypatch.setattr(Tensor, name, counted(name))
    yield found


@pytest.mark.parametrize("precision", ["32", "fp16"])
@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("deepfill-v1", "places2"),
        ("deepfill-v1", "paddle"),  # two critics with one norm
        ("deepfill-v2", "places2"),
    ],
)
def test_a_training_step_looks_once_a_turn(name: str, preset: str, precision: str, looks: list[str]) -> None:
    """For whether all gradients are finite, and, in the same go, all that is reported; a loss scale asks no more."""
    record = find(name)
    assert record.recipe is not None
    training = record.recipes[preset]
    with torch.device("meta"):
        assert record.build is not None
        networks = {"generator": record.build(training.network), **record.critics(training.network)}
        batch = Batch(torch.empty(2, 3, 256, 256), torch.empty(2, 1, 256, 256))
    # what the program itself reads stays on the CPU
    batch = replace(batch, keys=torch.tensor([3, 4]), box=torch.tensor([[10, 10, 138, 138]] * 2))
    recipe = record.recipe(training, networks, RecipeContext(lambda *depth: None, device=torch.device("meta")))
    optimizers = {role: recipe.optimizer(role) for role in recipe.networks}
    moves = {role: 0 for role in optimizers}
    for role, optimizer in optimizers.items():
        optimizer.register_step_post_hook(lambda *given, role=role: moves.update({role: moves[role] + 1}))

    def backward(loss: Tensor, weights: list[Tensor]) -> None:
        torch.autograd.backward(loss, inputs=list(weights))

    engine: Any = SimpleNamespace(
        backward=backward, all_reduce_gradients=lambda weights: None, mean=lambda value: value
    )
    scaler = Scaler.of(precision)
    result = take_step(recipe, optimizers, [[batch] * recipe.batches], 0, engine, scaler)
    assert result.finite and scaler.good == (precision == "fp16") * len(looks) and min(moves.values()) > 0
    followers = options_of(recipe, RecipeOptions).together[1:]
    assert looks == ["tolist"] * sum(count for role, count in moves.items() if role not in followers)
    assert {*result.losses.values(), *result.norms.values()} == {1.0} and result.norms.keys() == recipe.networks.keys()

"""A batch in parts (--accumulate) is the whole batch: losses, gradients and what the log says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_recipes import batch_of, built, part, tiny
from torch import Tensor, nn

from retouche.training import loop

CASES = [
    ("aot-gan", "aot"),
    ("deepfill-v1", "places2"),
    ("deepfill-v2", "mmagic-places"),
    ("structure-flow", "joint"),
]


class OneProcess:
    """The engine of a single process, in float64, without Fabric."""

    def backward(self, loss: Tensor, weights: list[Tensor]) -> None:
        loss.backward(inputs=weights)

    def all_reduce_gradients(self, weights: Any) -> None:
        return None

    def mean(self, value: Tensor) -> Tensor:
        return value


class Remembering(torch.optim.SGD):
    """Keeps the gradients of its step and moves nothing."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(loop.trainable(network), lr=0.0)
        self.seen: list[Tensor] = []

    def step(self, closure: Any = None) -> Any:
        self.seen = [
            torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
            for group in self.param_groups
            for weight in group["params"]
        ]
        return super().step()


def taken(name: str, preset: str, parts: int) -> tuple[loop.StepResult, dict[str, list[Tensor]]]:
    """One step of two pictures with holes of different sizes, whole or each a part."""
    training = tiny(name, preset)
    recipe, _ = built(name, training)
    optimizers = {role: Remembering(network) for role, network in recipe.networks.items()}
    wholes = [batch_of(training, seed) for seed in range(recipe.batches)]
    assert all(float(whole.mask[0].sum()) != float(whole.mask[1].sum()) for whole in wholes)
    split = [[part(whole, slice(i, i + 2 // parts)) for i in range(0, 2, 2 // parts)] for whole in wholes]
    if parts > 1:
        split = [[replace(one, parts=tuple(all_)) for one in all_] for all_ in split]
    given = [[each[number] for each in split] for number in range(parts)]
    result = loop.take_step(recipe, optimizers, given, 0, OneProcess())  # type: ignore[arg-type]
    return result, {role: optimizer.seen for role, optimizer in optimizers.items()}


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_parts_are_the_whole(name: str, preset: str) -> None:
    (whole, gradients), (halves, other) = taken(name, preset, 1), taken(name, preset, 2)
    assert whole.losses.keys() == halves.losses.keys()
    for term, value in whole.losses.items():
        assert halves.losses[term] == pytest.approx(value, rel=1e-9, abs=1e-12), term
    for role, seen in gradients.items():
        largest = max(float(one.abs().max()) for one in seen)
        for one, two in zip(seen, other[role], strict=True):
            assert (one - two).abs().max() <= 1e-6 * largest, role  # a bias before a norm has nothing but rounding


def test_both_critics_have_one_norm_where_they_share_an_optimiser() -> None:
    """Paddle's rule: gradients times limit / norm of both critics' gradients together; the generator's by its own."""
    training = tiny("deepfill-v1", "paddle")
    recipe, _ = built("deepfill-v1", training)
    plain, _ = built("deepfill-v1", replace(training, clip=0.0))
    seen = []
    for one in (recipe, plain):
        optimizers = {role: Remembering(network) for role, network in one.networks.items()}
        batches = [batch_of(training, seed) for seed in range(one.batches)]
        loop.take_step(one, optimizers, [batches], 0, OneProcess())  # type: ignore[arg-type]
        seen.append({role: optimizer.seen for role, optimizer in optimizers.items()})
    clipped, free = seen

    def norm(*networks: str) -> float:
        return float(sum(float(x.square().sum()) for role in networks for x in free[role])) ** 0.5

    for networks in (("local", "global"), ("generator",)):
        scale = min(1.0, 0.1 / norm(*networks))
        assert scale < 1
        for role in networks:
            for x, wanted in zip(clipped[role], free[role], strict=True):
                assert torch.allclose(x, wanted * scale, rtol=1e-4, atol=1e-12)

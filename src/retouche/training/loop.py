"""One step of any recipe: the updates of its networks, each with its own optimiser, and the averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from retouche.methods.recipe_protocol import Batch, Recipe, RecipeOptions, options_of
from retouche.training.engine import Engine
from retouche.training.scaler import Scaler

Update = tuple[str, dict[str, Tensor]]


@dataclass(frozen=True)
class StepResult:
    """What happened in a step.

    Attributes:
        losses: "role/name" -> value, weighted; the role is "generator" or a critic's name. The mean over processes
            and the parts of a batch, which is the whole batch's; of several updates of a network the last counts
        norms: role -> norm of its gradients before clipping
        finite: whether every gradient and loss was; otherwise nothing was changed by the updates that were not
        overflowed: whether an update was left out only because float16's loss scale was too large; it is smaller now
    """

    losses: dict[str, float]
    norms: dict[str, float]
    finite: bool
    overflowed: bool = False


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The weights a network's optimiser may change."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def take_step(
    recipe: Recipe,
    optimizers: Mapping[str, Optimizer],
    parts: Sequence[Sequence[Batch]],
    step: int,
    engine: Engine,
    scaler: Scaler | None = None,
) -> StepResult:
    """Carry out all updates of one step; the device is waited for once for each time that networks move.

    Args:
        parts: the step's batches (`recipe.batches` of them), or several such, whose gradients are averaged: a large
            batch in smaller parts. Each update is computed for all parts before the next begins
    """
    scaler = scaler or Scaler()
    # a forward pass moves buffers (spectral norm, running statistics); a step that is skipped must leave no NaN there
    buffers = [(buffer, buffer.clone()) for network in recipe.networks.values() for buffer in network.buffers()]
    updates: list[Iterator[Update]] = [recipe.updates(batches, step) for batches in parts]
    losses: dict[str, float] = {}
    norms: dict[str, float] = {}
    waiting: dict[str, Tensor] = {}  # networks that have gradients, but step with others; and their losses
    terms_of: dict[str, dict[str, Tensor]] = {}
    finite, overflowed = True, False
    while (update := next(updates[0], None)) is not None:
        role, terms = update
        optimizers[role].zero_grad()
        weights = trainable(recipe.networks[role])
        values = {f"{role}/{name}": value.detach() / len(parts) for name, value in terms.items()}
        waiting[role] = _add_gradients(engine, terms, weights, len(parts), scaler.scale)
        for others in updates[1:]:
            also = next(others)
            assert also[0] == role, "all parts of a batch yield the same updates"
            for name, value in also[1].items():
                values[f"{role}/{name}"] += value.detach() / len(parts)
            waiting[role] += _add_gradients(engine, also[1], weights, len(parts), scaler.scale)
        terms_of[role] = values
        engine.all_reduce_gradients(weights)
        group = _group(recipe, role)
        if set(waiting) >= set(group):
            for one in group:
                scaler.undo(trainable(recipe.networks[one]))
            values = {name: value for one in group for name, value in terms_of.pop(one).items()}
            played = {name: waiting.pop(name) for name in group}
            good, own_losses, own_norms = _move(recipe, optimizers, engine, played, values)
            losses, norms = losses | own_losses, norms | own_norms
            overflowed |= scaler.note(good)
            finite &= good
    assert not waiting, "networks that step together yield together"
    for optimizer in optimizers.values():
        optimizer.zero_grad()
    if not finite:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    return StepResult(losses, norms, finite, overflowed)


def _group(recipe: Recipe, role: str) -> tuple[str, ...]:
    """The networks that step with this one."""
    together = options_of(recipe, RecipeOptions).together
    return together if role in together else (role,)


def _move(
    recipe: Recipe,
    optimizers: Mapping[str, Optimizer],
    engine: Engine,
    played: Mapping[str, Tensor],
    terms: Mapping[str, Tensor],
) -> tuple[bool, dict[str, float], dict[str, float]]:
    """Clip and step the networks that have their gradients.

    Args:
        played: role -> its loss
        terms: "role/name" -> what the losses are sums of

    Returns: whether all was finite in all processes, else nothing has moved; terms and norms, means over processes
    """
    weights = [weight for role in played for weight in trainable(recipe.networks[role])]
    own = {role: _norm(trainable(recipe.networks[role])) for role in played}
    norm = next(iter(own.values())) if len(own) == 1 else torch.linalg.vector_norm(torch.stack(list(own.values())))
    # the one look at the device: what is not finite in a process is not in the mean of all
    seen = [*own.values(), *played.values(), *terms.values()]
    kind = torch.float64 if any(value.dtype == torch.float64 for value in seen) else torch.float32
    numbers = engine.mean(torch.stack([value.detach().to(kind) for value in seen])).tolist()
    norms = dict(zip(own, numbers, strict=False))
    losses = dict(zip(terms, numbers[len(own) + len(played) :], strict=True))
    if not all(math.isfinite(number) for number in numbers):
        for role in played:
            optimizers[role].zero_grad()
        return False, losses, norms
    if limit := recipe.clip.get(next(iter(played))):
        torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)
    for role in played:
        optimizers[role].step()
    return True, losses, norms


def _norm(weights: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])


def _add_gradients(
    engine: Engine, terms: Mapping[str, Tensor], weights: Sequence[Tensor], parts: int, scale: float
) -> Tensor:
    """Returns: the part's loss."""
    total = (
        torch.stack([term.float() if term.dtype != torch.float64 else term for term in terms.values()]).sum() / parts
    )
    engine.backward(total if scale == 1 else total * scale, weights)
    return total.detach()


@torch.no_grad()
def follow(average: Mapping[str, Tensor], network: nn.Module, decay: float) -> None:
    """Move averaged weights towards the network's; whole numbers and buffers are taken as they are."""
    parameters = {name for name, _ in network.named_parameters()}
    for name, value in network.state_dict().items():
        if name in parameters:
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def average_of(network: nn.Module) -> dict[str, Tensor]:
    """Where an average begins: a copy of the network's weights and buffers."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def json_number(value: float) -> float | None:
    """None for what JSON has no word for."""
    return value if math.isfinite(value) else None

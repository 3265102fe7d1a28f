"""One step of any recipe: its players' turns, each with its own optimiser, and the averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from retouche.methods.method import Batch, Recipe
from retouche.training.engine import Engine

Turn = tuple[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Taken:
    """What happened in a step.

    Attributes:
        losses: "player/name" -> value on this process, weighted; of several turns of a player the last counts
        norms: player -> norm of its gradients before clipping
        finite: whether every gradient and loss was; otherwise nothing was changed by the turns that were not
    """

    losses: dict[str, Tensor]
    norms: dict[str, Tensor]
    finite: bool


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The weights a player's optimiser may change."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def take_step(
    recipe: Recipe, optimizers: Mapping[str, Optimizer], parts: Sequence[Sequence[Batch]], step: int, engine: Engine
) -> Taken:
    """Play all turns of one step.

    Args:
        parts: the step's batches (`recipe.batches` of them), or several such, whose gradients are averaged: a large
            batch in smaller parts. Each turn is played for all parts before the next begins
    """
    # a forward pass moves buffers (spectral norm, running statistics); a step that is skipped must leave no NaN there
    buffers = [(buffer, buffer.clone()) for player in recipe.players.values() for buffer in player.buffers()]
    playing: list[Iterator[Turn]] = [recipe.turns(batches, step) for batches in parts]
    losses: dict[str, Tensor] = {}
    norms: dict[str, Tensor] = {}
    finite = True
    while (turn := next(playing[0], None)) is not None:
        player, terms = turn
        weights = trainable(recipe.players[player])
        optimizers[player].zero_grad()
        said = _add_gradients(engine, terms, weights, len(parts))
        for others in playing[1:]:
            also = next(others)
            assert also[0] == player, "all parts of a batch play the same turns"
            said += _add_gradients(engine, also[1], weights, len(parts))
        engine.settle(weights)
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        losses |= {f"{player}/{name}": value.detach() for name, value in terms.items()}
        norms[player] = norm
        if engine.any(not bool(torch.isfinite(norm) & torch.isfinite(said))):
            finite = False
            optimizers[player].zero_grad()
            continue
        if limit := recipe.clip.get(player):
            torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)
        optimizers[player].step()
    for optimizer in optimizers.values():
        optimizer.zero_grad()
    if not finite:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
    return Taken(losses, norms, finite)


def _add_gradients(engine: Engine, terms: Mapping[str, Tensor], weights: Sequence[Tensor], parts: int) -> Tensor:
    """Returns: the part's loss."""
    total = (
        torch.stack([term.float() if term.dtype != torch.float64 else term for term in terms.values()]).sum() / parts
    )
    engine.backward(total, weights)
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


def as_numbers(values: Mapping[str, Tensor], engine: Engine) -> dict[str, float]:
    """Averaged over processes, in one go."""
    if not values:
        return {}
    stacked = engine.mean(torch.stack([value.float() for value in values.values()]))
    return dict(zip(values, stacked.tolist(), strict=True))


def json_number(value: float) -> float | None:
    """None for what JSON has no word for."""
    return value if math.isfinite(value) else None

"""What the recipes of several methods share; each recipe stands in its method's file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from retouche.errors import InputError
from retouche.layers.spectral import SpectralConv2d
from retouche.methods.recipe_protocol import Batch, PresetOptions, RecipeContext, options_of


class Rates(Protocol):
    """What every preset of these recipes says of its optimisers; `PresetOptions` has what some say beside it."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def betas(self) -> tuple[float, float]: ...


TrainingT = TypeVar("TrainingT", bound=Rates)


class AdamRecipe(Generic[TrainingT]):
    """A recipe whose networks have one Adam each, at a constant rate; `updates` is left to who inherits.

    Attributes: as of `method.Recipe`; one batch a step, no average and no clipping, unless set otherwise
    """

    batches: int = 1
    ema: float = 0.0

    def __init__(
        self, training: TrainingT, networks: Mapping[str, nn.Module], tools: RecipeContext, critics: Sequence[str] = ()
    ) -> None:
        self.training, self.tools = training, tools
        self.networks = {name: networks[name] for name in ("generator", *critics)}
        self.clip: Mapping[str, float] = {}

    def optimizer(self, role: str) -> torch.optim.Optimizer:
        """The generator's rate is everybody's where a preset has none for critics."""
        training, options = self.training, options_of(self.training, PresetOptions)
        rate = training.learning_rate
        if role != "generator" and options.critic_learning_rate is not None:
            rate = options.critic_learning_rate
        return adam(self.networks[role], rate, training.betas, options.epsilon)


def adam(
    network: nn.Module, learning_rate: float, betas: tuple[float, float], epsilon: float = 1e-8
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2014, arXiv 1412.6980) over what a network lets be trained, at a constant rate."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    on_gpu = bool(weights) and all(weight.is_cuda for weight in weights)  # one kernel there instead of a dozen
    return torch.optim.Adam(weights, lr=learning_rate, betas=betas, eps=epsilon, fused=on_gpu or None)


def critic_scores(critic: nn.Module, real: Tensor, fake: Tensor, *guides: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scores of originals and of filled pictures from one pass, for critics without batch statistics.

    Args:
        critic: (image, *guides) -> scores, one or more rows a sample
        real, fake: (N, 3, H, W)
        guides: (N, C, H, W), the same for both; None where there is none
    """
    twice = [None if guide is None else torch.cat([guide, guide]) for guide in guides]
    scores = critic(torch.cat([real, fake]), *twice)
    return scores[: len(real)], scores[len(real) :]


def batch_share(tools: RecipeContext, mean: Tensor, batch: Batch, weigh: Callable[[Batch], Tensor]) -> Tensor:
    """A mean over this part's `weigh` (a number of pixels) as its share of the mean over the whole batch's pixels.

    Means per picture need no such care; a mean over the hole does where holes differ in size.
    """

    def least(part: Batch) -> Tensor:
        return weigh(part).detach().to(mean).clamp_min(1e-6)

    return tools.ratio(mean * least(batch), batch, least)


def hole_pixels(batch: Batch) -> Tensor:
    """How many pixels of a batch are hole."""
    return batch.mask.sum()


def known_pixels(batch: Batch) -> Tensor:
    """How many pixels of a batch are known."""
    return (1 - batch.mask).sum()


def squared(tools: RecipeContext, mean: Tensor) -> Tensor:
    """The square of a mean over the whole batch as this process's share: values and gradients average to its own.

    With --accumulate of this part of the batch only: the mean follows from networks that have not yet seen the others.
    """
    whole = tools.total(mean) / tools.processes
    return 2 * whole * mean - whole.square()


INITIAL: dict[str, Callable[[Tensor], Tensor] | None] = {
    "glorot": nn.init.xavier_uniform_,
    "normal": lambda kernel: nn.init.normal_(kernel, 0, 0.02),
    "kaiming": lambda kernel: nn.init.kaiming_uniform_(kernel, mode="fan_out"),
    "he-in": lambda kernel: nn.init.kaiming_normal_(kernel),
    "he-out": lambda kernel: nn.init.kaiming_normal_(kernel, mode="fan_out"),
    "torch": None,
}
"""How kernels are drawn: Glorot and Bengio 2010, normal numbers of deviation 0.02, He et al. 2015 by outputs (even or
normal numbers) or by inputs, or as PyTorch builds its layers (biases too; otherwise they are 0)."""


def initialise(network: nn.Module, name: str) -> None:
    """Draw the kernels of a network's convolutions and linear layers anew; biases 0.

    Raises: InputError for a name that `INITIAL` does not have
    """
    if name not in INITIAL:
        raise InputError(f'no initial weights "{name}"; known: {", ".join(INITIAL)}')
    draw = INITIAL[name]
    if draw is None:
        return
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear, SpectralConv2d)):
            draw(layer.weight_orig if isinstance(layer, SpectralConv2d) else layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

"""How the networks that ship with Retouche are trained: `thin` and `layout` share losses, critic and schedule.

L1 inside the hole, the distance of EfficientNet-Lite's features inside the hole (Zhang et al. 2018, arXiv 1801.03924,
argue for such a loss), a patch critic under spectral normalisation that counts only where there is hole (Yu et al.
2019, arXiv 1806.03589), and the matching of its features (Wang et al. 2018, arXiv 1711.11585).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.backbones.efficientnet import feature_distances
from retouche.image import composite
from retouche.layers.spectral import SpectralConv2d
from retouche.methods.method import Batch, DataConfig, RecipeContext, Weights, uniform
from retouche.methods.recipe import AdamRecipe

CRITIC = "discriminator"


@dataclass(frozen=True)
class FillLossConfig:
    """Weights of the terms that the generator lowers."""

    reconstruction: float = 1.0
    """Of the mean absolute error inside the hole, on the scale -1..1."""
    features: float = 0.5
    """Of the feature distance inside the hole, the mean over five resolutions."""
    adversarial: float = 0.02
    """Of the critic's scores."""
    matching: float = 0.5
    """Of the mean absolute difference of the critic's features inside the hole."""


@dataclass(frozen=True)
class FillTrainingConfig:
    """How a shipped network is trained; each method's file has its own numbers."""

    network: Any
    data: DataConfig
    steps: int = 20_000
    objective: FillLossConfig = FillLossConfig()
    learning_rate: float = 5e-4
    """Of the generator, after the warm-up."""
    critic_learning_rate: float = 4e-4
    """Of the critic."""
    betas: tuple[float, float] = (0.5, 0.99)
    """Adam's two decays."""
    warm_up: int = 200
    """Steps over which both rates rise from 0."""
    last_rate: float = 0.05
    """Share of the rates that is left at the last step; half a cosine leads there."""
    critic_from: int = 1000
    """The step from which the critic takes part."""
    ema: float = 0.998
    """Decay of the generator's averaged weights."""
    clip: float = 5.0
    """Largest norm of the generator's gradient."""
    sketch_share: float = 0.3
    """Share of samples whose sketch is shown, where the network takes one."""
    channels_last: bool = True
    """Whether pixels lie together in memory, which is quicker here."""


class LocalCritic(nn.Module):
    """Scores of overlapping patches; it sees the mask.

    Args:
        width: channels after the first layer
        halvings: layers of stride 2
    """

    def __init__(self, width: int, halvings: int) -> None:
        super().__init__()
        widths = [4, *(width * min(2**i, 4) for i in range(halvings))]
        self.layers = nn.ModuleList(SpectralConv2d(a, b, 5, stride=2, padding=2) for a, b in pairwise(widths))
        self.layers.append(SpectralConv2d(widths[-1], widths[-1], 3, padding=1))
        self.score = SpectralConv2d(widths[-1], 1, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> list[Tensor]:
        """Image (N, 3, H, W), mask (N, 1, H, W) -> the layers' features, then scores (N, 1, h, w)."""
        x = torch.cat([image, mask], 1)
        found = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            found.append(x)
        return [*found, self.score(x)]


def hole_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of values (N, C, h, w) over each sample's cells with any hole in them, then over samples.

    Args:
        mask: (N, 1, H, W), 1 = hole
    """
    there = functional.adaptive_max_pool2d(mask, values.shape[-2:])
    return ((values * there).sum((1, 2, 3)) / (there.sum((1, 2, 3)) * values.shape[1]).clamp_min(1)).mean()


class FillRecipe(AdamRecipe[FillTrainingConfig]):
    """The critic learns from a filling, then the generator from the critic's new opinion of it."""

    def __init__(self, training: FillTrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext) -> None:
        super().__init__(training, networks, tools, [CRITIC])
        self.ema = training.ema
        self.clip = {"generator": training.clip}
        self.backbone = tools.backbone() if training.objective.features else None

    def rate(self, step: int) -> float:
        """What all learning rates are multiplied by at a step."""
        training = self.training
        return schedule(step, training.steps, training.warm_up, training.last_rate)

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        (batch,) = batches
        training, image, mask = self.training, batch.image, batch.mask
        generator = self.networks["generator"]
        prediction = generator(image, mask, sketch=self._sketch(batch), structure=batch.structure).refined
        filled = composite(image, prediction, mask)
        adversarial = step >= training.critic_from
        wanted: list[Tensor] = []
        if adversarial:
            both = self.networks[CRITIC](torch.cat([image, filled.detach()]), torch.cat([mask, mask]))
            real, fake = both[-1].chunk(2)
            losses = [hole_mean(functional.relu(1 + sign * scores), mask) for sign, scores in ((-1, real), (1, fake))]
            yield CRITIC, {"hinge": losses[0] + losses[1]}
            with torch.no_grad():
                wanted = self.networks[CRITIC](image, mask)[:-1]
        yield "generator", self._terms(image, filled, mask, wanted)

    def _sketch(self, batch: Batch) -> Tensor | None:
        """Each sample's sketch, or none by chance: a network that is given none must do without."""
        if batch.sketch is None:
            return None
        assert batch.keys is not None
        kept = uniform(batch.keys, "sketch").to(batch.sketch) < self.training.sketch_share
        return batch.sketch * kept.view(-1, 1, 1, 1)

    def _terms(self, image: Tensor, filled: Tensor, mask: Tensor, wanted: Sequence[Tensor]) -> dict[str, Tensor]:
        objective = self.training.objective
        per_sample = ((filled - image).abs() * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3))).clamp_min(1)
        terms = {"reconstruction": objective.reconstruction * per_sample.mean()}
        if self.backbone is not None:
            terms["features"] = objective.features * feature_distances(self.backbone, filled, image, mask).mean()
        if wanted:
            *features, scores = self.networks[CRITIC](filled, mask)
            terms["adversarial"] = -objective.adversarial * hole_mean(scores, mask)
            apart = [hole_mean((a - b).abs(), mask) for a, b in zip(features, wanted, strict=True)]
            terms["matching"] = objective.matching * torch.stack(apart).mean()
        return terms


def packaged(file: str, size_bytes: int, sha256: str) -> Weights:
    """The record of a weight file that comes with the package."""
    return Weights(
        tag="shipped",
        file=file,
        url=None,
        sha256=sha256,
        licence="MIT, as retouche",
        trained_on="1,906 freely licensed photographs, see docs/shipped-weights.md",
        layout="retouche",
        size_bytes=size_bytes,
        packaged=True,
    )


def schedule(step: int, steps: int, warm_up: int, last: float) -> float:
    """The share of the learning rate at a step: a linear rise, then half a cosine down to `last`."""
    rise = min(1.0, (step + 1) / max(1, warm_up))
    fall = last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))
    return rise * fall

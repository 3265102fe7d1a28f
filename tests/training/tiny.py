"""A method small enough to be trained in a test, with everything that makes resuming hard.

Dropout draws from the process's random state, spectral normalisation keeps vectors, batch normalisation running
statistics, Adam its moments, the average its own weights, and the critic's penalty draws per sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from retouche.image import composite
from retouche.layers.spectral import SpectralConv2d
from retouche.losses.adversarial import gradient_penalty, hinge_critic, hinge_generator
from retouche.methods.method import Batch, DataConfig, Generator, Method, Prediction, RecipeContext, checked, uniform


@dataclass(frozen=True)
class Network:
    """Sizes."""

    width: int = 4
    """Channels."""
    dropout: float = 0.2
    """Share of dropped features."""
    norm: bool = False
    """Batch normalisation."""
    spectral: bool = True
    """Spectral normalisation of the critic, whose vectors move with every pass."""


class TinyGenerator(Generator):
    multiple = 1
    smallest = 4

    def __init__(self, config: Network) -> None:
        super().__init__()
        c = config.width
        self.first = nn.Conv2d(4, c, 3, padding=1)
        self.norm = nn.BatchNorm2d(c) if config.norm else nn.Identity()
        self.drop = nn.Dropout(config.dropout)
        self.last = nn.Conv2d(c, 3, 3, padding=1)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        coarse = self.first(torch.cat([image * (1 - mask), mask], 1))
        return Prediction(refined=self.last(self.drop(self.norm(coarse).relu())).tanh(), coarse=coarse[:, :3].tanh())


class TinyCritic(nn.Module):
    def __init__(self, config: Network) -> None:
        super().__init__()
        layer = SpectralConv2d if config.spectral else nn.Conv2d
        self.first = layer(4, 4, 3, stride=2)
        self.last = layer(4, 1, 3, stride=2)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.last(nn.functional.leaky_relu(self.first(torch.cat([image, mask], 1)), 0.2))


@dataclass(frozen=True)
class Training:
    """How the tiny method is trained."""

    network: Network = field(default_factory=Network)
    """The generator."""
    data: DataConfig = field(default_factory=lambda: DataConfig(size=16, batch=4, masks="box"))
    """What is learned from."""
    steps: int = 8
    """Steps."""
    learning_rate: float = 1e-2
    """Of both networks."""
    penalty: float = 1.0
    """Weight of the slope's penalty."""
    ema: float = 0.9
    """Decay of the averaged weights."""
    poison: tuple[int, ...] = ()
    """Steps whose loss is not finite."""


class TinyRecipe:
    batches = 2
    clip: Mapping[str, float] = {"generator": 1.0}

    def __init__(self, preset: Training, networks: Mapping[str, nn.Module], tools: RecipeContext) -> None:
        self.preset, self.tools = preset, tools
        self.ema = preset.ema
        self.networks: dict[str, nn.Module] = {"critic": networks["critic"], "generator": networks["generator"]}

    def optimizer(self, role: str) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.networks[role].parameters(), lr=self.preset.learning_rate, betas=(0.5, 0.9))

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        generator, critic = self.networks["generator"], self.networks["critic"]
        early, late = batches
        with torch.no_grad():
            fake = composite(early.image, generator(early.image, early.mask).refined, early.mask)
        assert early.keys is not None
        blend = uniform(early.keys, "blend", (1, 1, 1))
        penalty = gradient_penalty(lambda x: critic(x, early.mask), early.image, fake, early.mask, blend=blend)
        scores = hinge_critic(critic(early.image, early.mask), critic(fake, early.mask))
        yield "critic", {"hinge": scores, "penalty": self.preset.penalty * penalty}
        made = generator(late.image, late.mask).refined
        filled = composite(late.image, made, late.mask)
        hole = late.mask.expand_as(made)
        l1 = self.tools.ratio(((made - late.image).abs() * hole).sum(), late, lambda part: 3 * part.mask.sum())
        poison = float("nan") if step in self.preset.poison else 1.0
        yield "generator", {"l1": l1 * poison, "adversarial": 0.1 * hinge_generator(critic(filled, late.mask))}


METHOD = Method(
    title="Tiny",
    source="tests",
    presets={"tiny": Network()},
    build=TinyGenerator,
    critics=lambda config: {"critic": TinyCritic(config)},
    recipes={"tiny": Training()},
    recipe=TinyRecipe,
)


def write_pictures(folder, count: int = 7, side: int = 24) -> None:
    """Smooth coloured pictures, each different."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:side, 0:side] / side
    for i in range(count):
        colours = [127 + 120 * np.sin(3 * x + i + k) * np.cos(2 * y - k * i) for k in range(3)]
        Image.fromarray(np.stack(colours, -1).astype(np.uint8)).save(folder / f"picture{i}.png")

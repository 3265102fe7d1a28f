"""The finishing network: what a collage lacks or has too much of, mended at full size inside the hole.

Ours, not published elsewhere. It is given the collage as `structure` and adds to it: seams that show, objects cut in
half, a tone that does not fit its surroundings. Trained by `fill_recipe` on collages made beforehand
(`scripts/make_collages.py`); `guided` calls it last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retouche.layers.first_fill import first_fill
from retouche.layers.residual import Doubled, ResidualBlock, activate, initialise_residual
from retouche.methods.fill_recipe import CRITIC, FillRecipe, FillTraining, LocalCritic, Objective, packaged
from retouche.methods.method import Data, Generator, Method, Prediction, Scope, checked


@dataclass(frozen=True)
class Network:
    """Sizes of the network."""

    width: int = 16
    """Channels at full size; three times as many at half the size, six times at a quarter, eight times at an eighth."""
    rates: tuple[int, ...] = (1, 2, 4, 1)
    """Dilations of the blocks at an eighth of the size."""
    critic_width: int = 32
    """Channels after the critic's first layer."""


class RefineGenerator(Generator):
    """Collage + what an encoder and decoder of three halvings add inside the hole; 1.9 million parameters."""

    multiple, smallest = 8, 16

    def __init__(self, config: Network) -> None:
        super().__init__()
        self.config = config
        full, half, quarter, eighth = (config.width * times for times in (1, 3, 6, 8))
        self.enter = nn.Conv2d(7, full, 3, padding=1)
        self.to_half = nn.Conv2d(full, half, 4, stride=2, padding=1)
        self.at_half = ResidualBlock(half)
        self.to_quarter = nn.Conv2d(half, quarter, 4, stride=2, padding=1)
        self.at_quarter = ResidualBlock(quarter)
        self.to_eighth = nn.Conv2d(quarter, eighth, 4, stride=2, padding=1)
        self.at_eighth = nn.Sequential(*(ResidualBlock(eighth, rate) for rate in config.rates))
        self.back_to_quarter = Doubled(eighth, quarter)
        self.again_at_quarter = ResidualBlock(quarter)
        self.back_to_half = Doubled(quarter, half)
        self.again_at_half = ResidualBlock(half)
        self.back_to_full = Doubled(half, full)
        self.mix = nn.Conv2d(full, full, 3, padding=1)
        self.leave = nn.Conv2d(full, 3, 3, padding=1)
        initialise_residual(self, self.leave)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth quicker here

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Finish a batch.

        Args:
            structure: (N, 3, H, W), -1..1, the collage; None = the smooth first fill, of which little can be made
        """
        image, mask = checked(self, image, mask)
        smooth = first_fill(image, mask).to(image)
        collage = smooth if structure is None else torch.where(mask > 0.5, structure.to(image), image)
        full = activate(self.enter(torch.cat([collage, smooth, mask], 1)), fresh=True)  # (N, width, H, W)
        half = self.at_half(self.to_half(full))
        quarter = self.at_quarter(self.to_quarter(activate(half)))
        eighth = self.at_eighth(self.to_eighth(activate(quarter)))
        quarter = self.again_at_quarter(quarter + self.back_to_quarter(activate(eighth, fresh=True)))
        half = self.again_at_half(half + self.back_to_half(activate(quarter, fresh=True)))
        full = full + self.back_to_full(activate(half, fresh=True))
        added = self.leave(activate(self.mix(activate(full, fresh=True)), fresh=True))
        refined = collage + added * mask
        # in training, what lies beyond black and white has to feel it
        return Prediction(refined=refined if self.training else refined.clamp(-1, 1), coarse=collage)


DATA = Data(
    size=128, batch=8, masks="wide:3,objects:1,box(0.4):1", crop="random", flip=True, jitter=0.1, structure="collage"
)
OBJECTIVE = Objective(features=1.0, adversarial=0.03)

METHOD = Method(
    title="Refine: Retouche's own network that finishes collages",
    source="src/retouche/methods/refine.py; docs/models.md tells how it was trained",
    presets={"default": Network()},
    build=RefineGenerator,
    critics=lambda config: {CRITIC: LocalCritic(config.critic_width, 3)},
    scope=lambda config: Scope(side=1024, hole=400, context=1.0, pixel_bytes=1000.0),
    listens=lambda config: frozenset({"structure"}),
    recipes={"default": FillTraining(network=Network(), data=DATA, objective=OBJECTIVE)},
    recipe=FillRecipe,
    weights=(
        packaged(
            "refine.safetensors",
            size_bytes=3_913_054,
            sha256="7f40001512b12709eb83e8b69d0e5ea0b916f34741ace96674a617367c69dd00",
        ),
    ),
)

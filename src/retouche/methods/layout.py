"""The layout network: what goes where inside a large hole, at a low resolution; a collage supplies the texture.

Ours, not published elsewhere. It sees the whole window: attention over all positions at an eighth of the size, dilated
convolutions around it, and adds to a smooth first fill inside the hole. A sketch, if there is one, says where edges
run. Trained by `fill_recipe`; `guided` turns its layout into a fill at full size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retouche.errors import InputError
from retouche.layers.first_fill import first_fill
from retouche.layers.residual import AttentionBlock, Doubled, ResidualBlock, activate, initialise_residual
from retouche.methods.fill_recipe import CRITIC, FillLossConfig, FillRecipe, FillTrainingConfig, LocalCritic, packaged
from retouche.methods.method import DataConfig, Generator, Method, Prediction, Scope, checked

OVERVIEW = 128
"""The longer side of the low-resolution picture, in pixels."""


@dataclass(frozen=True)
class LayoutConfig:
    """Sizes of the network."""

    width: int = 32
    """Channels at full size; twice as many at half, four times at a quarter, six times at an eighth."""
    rates: tuple[int, ...] = (2, 4)
    """Dilations of the residual blocks at an eighth, each followed by two attention blocks."""
    heads: int = 6
    """Of each attention."""
    critic_width: int = 32
    """Channels after the critic's first layer."""


class LayoutGenerator(Generator):
    """First fill + what an encoder and decoder of three halvings add inside the hole; 3.6 million parameters."""

    multiple, smallest = 8, 16

    def __init__(self, config: LayoutConfig) -> None:
        super().__init__()
        self.config = config
        full, half, quarter, eighth = (config.width * times for times in (1, 2, 4, 6))
        self.enter = nn.Conv2d(5, full, 3, padding=1)
        self.to_half = nn.Conv2d(full, half, 4, stride=2, padding=1)
        self.at_half = ResidualBlock(half)
        self.to_quarter = nn.Conv2d(half, quarter, 4, stride=2, padding=1)
        self.at_quarter = ResidualBlock(quarter)
        self.to_eighth = nn.Conv2d(quarter, eighth, 4, stride=2, padding=1)
        blocks: list[nn.Module] = []
        for rate in config.rates:
            attention = (AttentionBlock(eighth, config.heads) for _ in range(2))
            blocks += [ResidualBlock(eighth, rate), *attention]
        self.at_eighth = nn.Sequential(*blocks)
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
        """Fill a batch; a `sketch` counts inside the hole only, as in training.

        Raises: InputError for a sketch of another size
        """
        image, mask = checked(self, image, mask)
        if sketch is None:
            strokes = torch.zeros_like(mask)
        elif sketch.shape in (mask.shape, (1, *mask.shape[1:])):
            strokes = sketch.to(mask) * mask
        else:
            raise InputError(f"sketch is {tuple(sketch.shape)}: give {tuple(mask.shape)}")
        base = first_fill(image, mask).to(image)
        full = activate(self.enter(torch.cat([base, mask, strokes], 1)), fresh=True)  # (N, width, H, W)
        half = self.at_half(self.to_half(full))
        quarter = self.at_quarter(self.to_quarter(activate(half)))
        eighth = self.at_eighth(self.to_eighth(activate(quarter)))
        quarter = self.again_at_quarter(quarter + self.back_to_quarter(activate(eighth, fresh=True)))
        half = self.again_at_half(half + self.back_to_half(activate(quarter, fresh=True)))
        full = full + self.back_to_full(activate(half, fresh=True))
        added = self.leave(activate(self.mix(activate(full, fresh=True)), fresh=True))
        refined = base + added * mask
        # in training, what lies beyond black and white has to feel it
        return Prediction(refined=refined if self.training else refined.clamp(-1, 1), coarse=base)


OBJECTIVE = FillLossConfig(features=1.0, adversarial=0.03)
DATA = DataConfig(
    size=128,
    batch=12,
    masks="wide:3,objects:1,box(0.4):1,irregular(0.1,0.4):1",
    crop="zoom",
    crop_scale=0.5,
    flip=True,
    jitter=0.1,
    sketch=True,
)

METHOD = Method(
    title="Layout: Retouche's own network for what goes where in large holes",
    source="src/retouche/methods/layout.py; see docs/models.md",
    presets={"default": LayoutConfig()},
    build=LayoutGenerator,
    critics=lambda config: {CRITIC: LocalCritic(config.critic_width, 3)},
    scope=lambda config: Scope(side=160, hole=120, context=1.0, pixel_bytes=3000.0, square_bytes=0.5),
    conditioning=lambda config: frozenset({"sketch"}),
    recipes={"default": FillTrainingConfig(network=LayoutConfig(), data=DATA, objective=OBJECTIVE)},
    recipe=FillRecipe,
    weights=(
        packaged(
            "layout.safetensors",
            size_bytes=7_967_446,
            sha256="ac590f7c92c705e3504533bcc711cb67d1ad3847207266728db67d956db30081",
        ),
    ),
)

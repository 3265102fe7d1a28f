"""The thin path: a small network at full size for scratches, text, dates, wires and dust.

Ours, not published elsewhere. It adds detail to a smooth first fill, inside the hole only; half-size and quarter-size
features with dilations see about 64 pixels far. Trained by `fill_recipe`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retouche.layers import near
from retouche.layers.exporting import plainly
from retouche.layers.first_fill import first_fill
from retouche.layers.residual import SLOPE, Doubled, ResidualBlock, activate, initialise_residual
from retouche.methods.fill_recipe import CRITIC, FillLossConfig, FillRecipe, FillTrainingConfig, LocalCritic, packaged
from retouche.methods.method import DataConfig, Generator, Method, Prediction, Scope, checked

MOSTLY = 0.7
"""Share of a map beyond which a layer is quicker over all of it than at chosen cells."""


@dataclass(frozen=True)
class ThinConfig:
    """Sizes of the network."""

    width: int = 24
    """Channels at full size; twice as many at half the size, four times at a quarter."""
    rates: tuple[int, ...] = (1, 2, 4, 1)
    """Dilations of the blocks at a quarter of the size."""
    critic_width: int = 32
    """Channels after the critic's first layer."""


class TwoHalvings(Generator):
    """The encoder and decoder that `thin` and `refine` share: what is to be added to a smooth first fill.

    Args:
        config: sizes
        inputs: channels that `added` is given
    """

    multiple, smallest = 4, 8

    def __init__(self, config: ThinConfig, inputs: int) -> None:
        super().__init__()
        self.config = config
        full, half, quarter = config.width, 2 * config.width, 4 * config.width
        self.enter = nn.Conv2d(inputs, full, 3, padding=1)
        self.to_half = nn.Conv2d(full, half, 4, stride=2, padding=1)
        self.at_half = ResidualBlock(half)
        self.to_quarter = nn.Conv2d(half, quarter, 4, stride=2, padding=1)
        self.at_quarter = nn.ModuleList(ResidualBlock(quarter, rate) for rate in config.rates)
        self.back_to_half = Doubled(quarter, half)
        self.again_at_half = ResidualBlock(half)
        self.back_to_full = Doubled(half, full)
        self.mix = nn.Conv2d(full, full, 3, padding=1)
        self.leave = nn.Conv2d(full, 3, 3, padding=1)
        initialise_residual(self, self.leave)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth quicker here

    def added(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 3, H, W)"""
        full = activate(self.enter(x), fresh=True)  # (N, width, H, W)
        half = self.at_half(self.to_half(full))
        quarter = self.to_quarter(activate(half))
        for block in self.at_quarter:
            quarter = block(quarter)
        half = self.again_at_half(half + self.back_to_half(activate(quarter, fresh=True)))
        full = full + self.back_to_full(activate(half, fresh=True))
        return self.leave(activate(self.mix(activate(full, fresh=True)), fresh=True))

    def added_near(self, x: Tensor, hole: Tensor) -> Tensor:
        """The same inside the hole, 0 elsewhere: layers from a quarter of the size on work where the hole feels them.

        Args:
            x: (N, inputs, H, W)
            hole: (N, H, W), bool
        """
        # the cells that each layer has to know, from the last to the first
        at_hole = near.spots(hole, 1)
        mixed = at_hole.before(1)
        summed = mixed.before(1)
        halved = near.spots(near.parents(summed.inside), 1)
        between_half = halved.before(1)
        before_half = between_half.before(1)
        border = max(self.config.rates)
        known = [near.spots(near.parents(before_half.inside), border)]
        between: list[near.Spots] = []
        for rate in reversed(self.config.rates):
            between.insert(0, known[0].before(1))
            known.insert(0, between[0].before(rate))

        half = self.at_half(self.to_half(activate(self.enter(x), fresh=True)))
        dense = self.to_quarter(activate(half))
        blocks = list(zip(self.at_quarter, between, known[1:], strict=True))
        while blocks and float(blocks[0][2].inside.float().mean()) > MOSTLY:
            dense = blocks.pop(0)[0](dense)
        there = known[-1 - len(blocks)]
        rows = near.from_dense(dense, there)
        for block, middle, after in blocks:
            assert isinstance(block, ResidualBlock)
            rows, there = block.at_cells(rows, there, middle, after), after
        rows = near.doubled(activate(rows, fresh=True), there, before_half, self.back_to_half.spread)
        rows += near.from_dense(half, before_half)
        rows = self.again_at_half.at_cells(rows, before_half, between_half, halved)
        rows = near.doubled(activate(rows, fresh=True), halved, summed, self.back_to_full.spread)
        seen = summed.before(1)
        rows += near.convolved(near.from_dense(x, seen), seen, summed, self.enter, slope=SLOPE)
        rows = near.convolved(activate(rows, fresh=True), summed, mixed, self.mix, slope=SLOPE)
        rows = near.convolved(rows, mixed, at_hole, self.leave)
        result = x.new_zeros(len(x), *x.shape[2:], 3)
        result[hole] = rows[: -near.SPARE]
        return result.permute(0, 3, 1, 2)

    def predicted(self, base: Tensor, mask: Tensor, x: Tensor) -> Prediction:
        """The first fill with what is added to it inside the hole."""
        added = self.added(x) if plainly(x) else self.added_near(x, mask[:, 0] > 0)
        refined = torch.addcmul(base, added, mask)
        # in training, what lies beyond black and white has to feel it
        return Prediction(refined=refined if self.training else refined.clamp_(-1, 1), coarse=base)


class ThinGenerator(TwoHalvings):
    """First fill + what the network adds to it inside the hole; 0.87 million parameters."""

    def __init__(self, config: ThinConfig) -> None:
        super().__init__(config, inputs=4)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        base = first_fill(image, mask).to(image)
        return self.predicted(base, mask, torch.cat([base, mask], 1))


DATA = DataConfig(
    size=96,
    batch=12,
    masks="scratches+scratches:4,scratches+letters:2,scratches:2,hairs+specks:1",
    crop="zoom",
    crop_scale=0.2,
    flip=True,
    jitter=0.1,
    degrade=0.15,
)

METHOD = Method(
    title="Thin: Retouche's own network for scratches, text and dust",
    source="src/retouche/methods/thin.py; see docs/models.md",
    presets={"default": ThinConfig()},
    build=ThinGenerator,
    grain=True,
    critics=lambda config: {CRITIC: LocalCritic(config.critic_width, 2)},
    scope=lambda config: Scope(side=1 << 20, hole=1 << 20, context=1.0, pixel_bytes=1000.0, reach=64),
    recipes={"default": FillTrainingConfig(network=ThinConfig(), data=DATA, objective=FillLossConfig())},
    recipe=FillRecipe,
    weights=(
        packaged(
            "thin.safetensors",
            size_bytes=1_743_670,
            sha256="3b9ddc7670c9954a7f2623c5f09a1430c7c02ea4382c69e2781431231afebb87",
        ),
    ),
)

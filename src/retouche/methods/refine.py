"""The finishing network: fills a large hole at full size, with a collage to take texture and layout from.

Ours, not published elsewhere. It is the network `thin` with a collage, given as `structure`, as three more input
channels, and starts from its weights (`scripts/start_refine.py`): near the border it knows how things go on, deep
inside it leans on the collage, and seams, halved objects and wrong tones are mended on the way. Trained by
`fill_recipe` on collages made beforehand (`scripts/make_collages.py`); `guided` calls it last.
"""

from __future__ import annotations

import torch
from torch import Tensor

from retouche.layers.first_fill import first_fill
from retouche.methods.fill_recipe import CRITIC, FillLossConfig, FillRecipe, FillTrainingConfig, LocalCritic, packaged
from retouche.methods.method import DataConfig, Method, Prediction, Scope, checked
from retouche.methods.thin import ThinConfig, TwoHalvings


class RefineGenerator(TwoHalvings):
    """First fill + what the network adds to it inside the hole, knowing a collage; 0.87 million parameters."""

    def __init__(self, config: ThinConfig) -> None:
        super().__init__(config, inputs=7)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Finish a batch.

        Args:
            structure: (N, 3, H, W), -1..1, the collage; None = the smooth first fill, of which less can be made
        """
        image, mask = checked(self, image, mask)
        base = first_fill(image, mask).to(image)
        collage = base if structure is None else torch.where(mask > 0.5, structure.to(image), image)
        return self.predicted(base, mask, torch.cat([base, mask, collage], 1))


DATA = DataConfig(
    size=128, batch=8, masks="wide:3,objects:1,box(0.4):1", crop="random", flip=True, jitter=0.1, structure="collage"
)
OBJECTIVE = FillLossConfig(features=1.0, adversarial=0.03)

METHOD = Method(
    title="Refine: Retouche's own network that finishes collages",
    source="src/retouche/methods/refine.py; see docs/models.md",
    presets={"default": ThinConfig()},
    build=RefineGenerator,
    critics=lambda config: {CRITIC: LocalCritic(config.critic_width, 3)},
    scope=lambda config: Scope(side=1024, hole=400, context=1.0, pixel_bytes=1000.0),
    conditioning=lambda config: frozenset({"structure"}),
    structure=lambda config, image, mask: first_fill(image, mask).to(image),
    recipes={"default": FillTrainingConfig(network=ThinConfig(), data=DATA, objective=OBJECTIVE)},
    recipe=FillRecipe,
    weights=(
        packaged(
            "refine.safetensors",
            size_bytes=1_744_974,
            sha256="e3f3fb58a0a622b68c37aa59c9fd2e1b93474228ba66536d8ba3a765a67828c0",
        ),
    ),
)

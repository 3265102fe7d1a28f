"""Structural inpainting: a context encoder taught by pixel, feature and adversarial losses.

Paper: Vo, Duong, Perez, "Structural inpainting", ACM Multimedia 2018, arXiv 1803.10348.
Code: github.com/jonzhaocn/structural_inpainting (TensorFlow 1), whose networks these are; nobody published weights.
The network sees a 128x128 picture without its middle 56x56 and predicts the middle 64x64; the ring of 4 pixels is
known and predicted again. Its kernels of 4 with stride 1 are padded by 1 before and 2 after (TensorFlow's SAME).

What differs there: the logit of the discriminator passes through a ReLU, because TensorFlow's fully connected layer
has one by default; a fake can then never score below one half. Ours is linear unless `relu_logit` is set.
The ReLU of the generator's output is the same accident but harmless (pictures are not negative), and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers.centre import Centre
from retouche.losses.adversarial import binary_critic, binary_generator
from retouche.losses.perceptual import structural_loss
from retouche.methods.method import Batch, DataConfig, Generator, Method, Prediction, RecipeContext, Scope, checked
from retouche.methods.recipe import AdamRecipe, critic_scores, initialise
from retouche.weights.layout import Layout, Part, Parts, Tensors

CENTRE = Centre(side=128, block=64, overlap=4)
BLANK = 0.437
"""What the hole is blanked with, of 0..1, in all three colours (the published code)."""


@dataclass(frozen=True)
class StructuralConfig:
    """The networks' sizes; the defaults are the published code's."""

    width: int = 64
    """Channels after the encoder's first convolution; the deepest has eight times as many."""
    bottleneck: int = 2000
    """Channels of the 1x1 code between encoder and decoder."""
    critic_width: int = 32
    """Channels after the discriminator's first convolution."""
    relu_logit: bool = False
    """Whether the discriminator's logit passes through a ReLU, as in the published code."""


class StructuralGenerator(Generator):
    """Encoder to a 1x1 code, decoder by nearest enlargement and convolution; no normalisation.

    38,348,691 parameters at the published sizes.
    """

    multiple = CENTRE.side
    smallest = CENTRE.side

    def __init__(self, config: StructuralConfig) -> None:
        super().__init__()
        c = config.width
        deep = [3, c, c, 2 * c, 4 * c, 8 * c]
        self.encoder = nn.ModuleList(nn.Conv2d(deep[i], deep[i + 1], 4, stride=2, padding=1) for i in range(5))
        self.bottleneck = nn.Conv2d(8 * c, config.bottleneck, 4)
        flat = [config.bottleneck, 8 * c, 4 * c, 2 * c, c, 3]
        self.decoder = nn.ModuleList(nn.Conv2d(flat[i], flat[i + 1], 4) for i in range(5))
        initialise(self, "glorot")

    def masked(self, image: Tensor) -> Tensor:
        """The network's own input: (N, 3, 128, 128), 0..1, its hole blanked, from an image in -1..1."""
        hole = CENTRE.mask(image)
        return (image + 1) / 2 * (1 - hole) + BLANK * hole

    def encode(self, masked: Tensor) -> Tensor:
        """Features of a blanked picture: (N, 3, 128, 128), 0..1 -> (N, 8 * width, 4, 4)."""
        x = masked
        for convolution in self.encoder:
            x = functional.relu(convolution(x))  # half as high and wide each time
        return x

    def code(self, encoded: Tensor) -> Tensor:
        """The whole picture as one vector: (N, 8 * width, 4, 4) -> (N, bottleneck, 1, 1)."""
        return functional.relu(self.bottleneck(encoded))

    def decode(self, code: Tensor) -> Tensor:
        """The middle before its last ReLU: (N, bottleneck, 1, 1) -> (N, 3, 64, 64); 0..1 where it is right."""
        x = code
        for i, convolution in enumerate(self.decoder):
            x = functional.relu(x) if i else x
            x = functional.interpolate(x, size=(4 << i, 4 << i), mode="nearest")
            x = convolution(functional.pad(x, (1, 2, 1, 2)))  # SAME of a kernel of 4: 1 before, 2 after
        return x

    def centre(self, image: Tensor) -> Tensor:
        """The predicted middle: (N, 3, 128, 128) -> (N, 3, 64, 64), both in -1..1; not bounded above."""
        y = functional.relu(self.decode(self.code(self.encode(self.masked(image)))))
        return 2 * y - 1

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Fill the middle of 128x128 pictures.

        The whole middle 56x56 is blanked, whatever part of it the mask covers. `refined` is the image with the
        predicted 64x64 in its middle, and the image's own values elsewhere; the prediction can exceed 1.

        Raises: InputError for another size, or for a mask that leaves the middle 56x56
        """
        image, mask = checked(self, image, mask)
        CENTRE.check(image, mask)
        return Prediction(refined=CENTRE.paste(image, self.centre(image)))


class StructuralDiscriminator(nn.Module):
    """Classifies middles as predicted or true; 694,241 parameters at the published sizes."""

    def __init__(self, config: StructuralConfig) -> None:
        super().__init__()
        c = config.critic_width
        widths = [3, c, 2 * c, 4 * c, 8 * c]
        self.relu_logit = config.relu_logit
        self.convs = nn.ModuleList(nn.Conv2d(widths[i], widths[i + 1], 4, stride=2, padding=1) for i in range(4))
        self.fc = nn.Linear(8 * c * 4 * 4, 1)
        initialise(self, "glorot")

    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """How true the middle looks.

        Args:
            image: (N, 3, 128, 128) in -1..1 if a mask is given; without one the published form, the
                middle (N, 3, 64, 64) in 0..1
            mask: marks the first form; the middle is judged whole, whatever the mask covers

        Returns: (N, 1), a logit
        """
        x = image if mask is None else (CENTRE.crop(image) + 1) / 2
        for convolution in self.convs:
            x = functional.relu(convolution(x))
        logit = self.fc(x.flatten(1))
        return functional.relu(logit) if self.relu_logit else logit


# Recipe

# The code shrinks pictures whose shorter side exceeds 200 to a random 128 to 200. A hole of 56 in 128
DATA = DataConfig(size=CENTRE.side, batch=64, masks="centre(0.4375)", crop="short")
EPOCH = 202_599 // 64
"""Batches of CelebA, which the published code's paths name first; it counts in epochs."""


@dataclass(frozen=True)
class StructuralTrainingConfig:
    """How structural inpainting is trained, in two phases; the numbers are the published code's."""

    network: StructuralConfig = StructuralConfig()
    data: DataConfig = DATA
    steps: int = 50 * EPOCH
    phase: Literal["structural", "joint"] = "structural"
    """The first phase knows no discriminator; the second goes on from its weights, with Adam afresh."""
    learning_rate: float = 2e-4
    """Of both networks."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's two decays."""
    overlap: float = 10.0
    """Weight of squared errors in the ring that is known and predicted again."""
    features: float = 1.0
    """Weight of each layer's squared feature differences."""
    adversarial: float = 0.1
    """Weight of the discriminator's judgement for the generator in the second phase."""
    critic: float = 0.1
    """Weight of the discriminator's own loss; under Adam it only acts through epsilon."""

    def for_size(self) -> StructuralTrainingConfig:
        """The same, unless the pictures do not fit.

        Raises: InputError for another size than the networks'
        """
        if self.data.size != CENTRE.side:
            raise InputError(f"structural cannot be trained at size {self.data.size}: choose {CENTRE.side}")
        return self


class StructuralRecipe(AdamRecipe[StructuralTrainingConfig]):
    """Squared errors and feature differences of the middle, in the second phase beside a discriminator's judgement."""

    def __init__(
        self, training: StructuralTrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext
    ) -> None:
        super().__init__(training, networks, tools, ["discriminator"] if training.phase == "joint" else ())
        self.backbone = tools.vgg(16)

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        (batch,) = batches
        training, image, mask = self.training, batch.image, batch.mask
        refined = self.networks["generator"](image, mask).refined
        if training.phase == "joint":
            real, fake = critic_scores(self.networks["discriminator"], image, refined.detach(), mask)
            yield "discriminator", {"binary": binary_critic(real, fake, training.critic)}
        terms = structural_loss(
            CENTRE.crop(refined),
            CENTRE.crop(image),
            self.backbone,
            overlap=CENTRE.overlap,
            overlap_weight=training.overlap,
            feature_weight=training.features,
        )
        if training.phase == "joint":
            scores = self.networks["discriminator"](refined, mask)
            terms["adversarial"] = training.adversarial * binary_generator(scores)
        yield "generator", terms


_JOINT = StructuralTrainingConfig(steps=10 * EPOCH, phase="joint", learning_rate=2e-5)
RECIPES = {
    "structural": StructuralTrainingConfig(),
    "joint": _JOINT,
    "joint-relu": replace(_JOINT, network=StructuralConfig(relu_logit=True)),  # the discriminator as the code has it
}


# Published layouts


def _config(parts: Parts, semantics: str) -> StructuralConfig:
    sizes = {}
    if "generator" in parts:
        bottleneck = parts["generator"]["bottleneck.weight"]
        sizes = {"width": bottleneck.shape[1] // 8, "bottleneck": bottleneck.shape[0]}
    if "discriminator" in parts:
        sizes["critic_width"] = parts["discriminator"]["convs.0.weight"].shape[0]
    return StructuralConfig(**sizes, relu_logit=semantics == "port")


def _from_tensorflow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels from (row, column, in, out) to (out, in, row, column); the linear layer's from (row, column, channel)."""
    turned = {}
    for name, tensor in tensors.items():
        if name == "fc.weight":  # (4 * 4 * channels, 1): the features are a flattened (row, column, channel)
            tensor = tensor.reshape(4, 4, -1, 1).permute(3, 2, 0, 1).flatten(1)
        elif tensor.ndim == 4:
            tensor = tensor.permute(3, 2, 0, 1)
        turned[name] = tensor
    return turned


_KINDS = {"weights": "weight", "biases": "bias"}
_PLACES = [*(f"encoder.{i}" for i in range(5)), "bottleneck", *(f"decoder.{i}" for i in range(5))]


def _scope(index: int) -> str:
    """TensorFlow's name of the n-th convolution of a scope."""
    return f"Conv_{index}" if index else "Conv"


_TENSORFLOW = {
    "generator": Part(
        probe="Conv_10/weights",
        prefixes=("context_encoder/",),
        rename=tuple(
            (f"{_scope(i)}/{theirs}", f"{place}.{ours}")
            for i, place in enumerate(_PLACES)
            for theirs, ours in _KINDS.items()
        ),
        repair=_from_tensorflow,
    ),
    "discriminator": Part(
        probe="fully_connected/weights",
        prefixes=("discriminator/",),
        rename=tuple(
            (f"{scope}/{theirs}", f"{place}.{ours}")
            for scope, place in [*((_scope(i), f"convs.{i}") for i in range(4)), ("fully_connected", "fc")]
            for theirs, ours in _KINDS.items()
        ),
        repair=_from_tensorflow,
    ),
}


def _ours(tensors: Tensors) -> bool:
    return any(name.endswith(("decoder.4.weight", "convs.3.weight")) for name in tensors)


_ORDER = "its losses turn pictures from R, G, B to B, G, R before VGG"

LAYOUTS = (
    Layout(
        # the checkpoints that the published code writes
        name="jonzhaocn-tensorflow",
        parts=_TENSORFLOW,
        config=_config,
        ignore=(r".*/Adam(_\d+)?", r"(.*/)?beta[12]_power(_\d+)?", r"(.*/)?global_step"),
        order_source=_ORDER,
    ),
    Layout(
        name="jonzhaocn",
        parts={
            "generator": Part(probe="bottleneck.weight", prefixes=("", "generator.")),
            "discriminator": Part(probe="fc.weight", prefixes=("", "discriminator.")),
        },
        config=_config,
        detects=_ours,
        order_source=_ORDER,
    ),
)


METHOD = Method(
    title="Structural inpainting (Vo, Duong, Perez 2018)",
    source="arXiv 1803.10348; github.com/jonzhaocn/structural_inpainting",
    presets={"structural": StructuralConfig()},
    build=StructuralGenerator,
    critics=lambda config: {"discriminator": StructuralDiscriminator(config)},
    layouts=LAYOUTS,
    scope=lambda config: Scope(side=CENTRE.side, hole=CENTRE.hole, centre=(CENTRE.side, CENTRE.hole)),
    recipes=RECIPES,
    recipe=StructuralRecipe,
)

"""AOT-GAN: aggregated contextual transformations for high-resolution image inpainting.

Paper: Zeng, Fu, Chao and Guo 2021 (arXiv 2104.01431). Code: researchmm/AOT-GAN-for-Inpainting (Apache-2.0).
What differs there: the published training asks the generator for the label of filled pixels (its label map is the
mirror image of the paper's); `AOTLossConfig.labels` and `.region` have both forms, the paper's is the default.
The same networks with other blocks are SII-GAN, `sii_gan.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.backbones.vgg import VGG
from retouche.image import composite
from retouche.layers.dilated import Branch, DilatedBlock, Gate
from retouche.layers.spectral import SpectralConv2d
from retouche.losses.adversarial import soft_mask_critic, soft_mask_generator
from retouche.losses.perceptual import perceptual_and_style
from retouche.losses.reconstruction import l1
from retouche.methods.method import (
    Batch,
    DataConfig,
    Generator,
    Method,
    Prediction,
    RecipeContext,
    Scope,
    Weights,
    checked,
)
from retouche.methods.recipe import AdamRecipe, batch_share, critic_scores, hole_pixels, initialise
from retouche.weights.layout import Layout, Part, Parts, Tensors

CRITIC = "discriminator"


@dataclass(frozen=True)
class AOTConfig:
    """What the generator and its discriminator are made of."""

    width: int = 64
    """Channels of the first layer; the blocks have four times as many."""
    blocks: int = 8
    """Dilated blocks at a quarter of the size."""
    rates: tuple[int, ...] = (1, 2, 4, 8)
    """Dilations of a block's branches, in pixels at a quarter of the size."""
    branch: Branch = "plain"
    """Form of a branch: plain, narrow, shrinking."""
    fuse: bool = True
    """Whether a convolution mixes a block's branches."""
    gate: Gate = "normalised"
    """How a block lets in what is new: normalised over the map, or plain."""
    blank: float = 1.0
    """What the hole of the input is painted with, -1..1."""
    mask_channel: Literal["hole", "known"] = "hole"
    """What the fourth input channel is 1 at."""
    critic_kernel: int = 4
    """Kernel of the discriminator's layers, in pixels."""


@dataclass(frozen=True)
class AOTLossConfig:
    """What training lowers: weights of the terms and the forms they come in."""

    adversarial: float = 0.01
    """Weight of the discriminator's judgement."""
    reconstruction: float = 1.0
    """Weight of the L1 of the whole picture."""
    perceptual: float = 0.1
    """Weight of VGG19's feature differences."""
    style: float = 250.0
    """Weight of the differences of their Gram matrices."""
    labels: Literal["consistent", "code", "mmagic"] = "consistent"
    """Of the discriminator: originals 1 and filled pixels 0; the published code's mirror image; or mmagic's, where
    originals and filled pixels are 1 alike."""
    region: Literal["hole", "whole"] = "hole"
    """Where the discriminator scores the generator; in the published code everywhere."""
    feature_target: Literal["prediction", "composite"] = "prediction"
    """Whose features the perceptual and style terms compare with the original's."""


# Generator


class AOTGenerator(Generator):
    """Encoder, dilated blocks, decoder; one stage, no normalisation layers.

    The decoder only doubles, so sides are multiples of 4; the widest reflection padding at a quarter of the size
    needs more pixels than it adds.
    """

    def __init__(self, config: AOTConfig) -> None:
        super().__init__()
        self.config = config
        self.multiple, self.smallest = 4, 4 * (max(config.rates) + 1)
        width = config.width
        self.encoder = nn.ModuleList(
            [
                nn.Conv2d(4, width, 7),
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1),
            ]
        )
        self.blocks = nn.ModuleList(
            DilatedBlock(4 * width, config.rates, config.branch, config.fuse, config.gate) for _ in range(config.blocks)
        )
        self.decoder = nn.ModuleList(
            [
                nn.Conv2d(4 * width, 2 * width, 3, padding=1),
                nn.Conv2d(2 * width, width, 3, padding=1),
                nn.Conv2d(width, 3, 3, padding=1),
            ]
        )
        initialise(self, "normal")

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        blanked = image * (1 - mask) + self.config.blank * mask
        x = torch.cat([blanked, mask if self.config.mask_channel == "hole" else 1 - mask], 1)  # (N, 4, H, W)
        x = functional.pad(x, (3, 3, 3, 3), mode="reflect")
        for layer in self.encoder:
            x = functional.relu(layer(x), inplace=True)
        for block in self.blocks:  # (N, 4 * width, H/4, W/4)
            x = block(x)
        for layer in self.decoder[:2]:
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
            x = functional.relu(layer(x), inplace=True)
        return Prediction(torch.tanh(self.decoder[2](x)))


# Discriminator


class PatchDiscriminator(nn.Module):
    """Scores patches of a picture; a map of logits. It sees no mask."""

    def __init__(self, config: AOTConfig) -> None:
        super().__init__()
        width, kernel = config.width, config.critic_kernel
        widths = (3, width, 2 * width, 4 * width, 8 * width)
        self.layers = nn.ModuleList(
            SpectralConv2d(widths[i], widths[i + 1], kernel, stride=2 if i < 3 else 1, padding=1, bias=False)
            for i in range(4)
        )
        self.layers.append(nn.Conv2d(widths[4], 1, kernel, padding=1))
        initialise(self, "normal")

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W), -1..1 -> (N, 1, h, w): H/8 - 2 for kernels of 4 pixels, H/8 for 3."""
        x = image
        for layer in self.layers[:4]:
            x = functional.leaky_relu(layer(x), 0.2)
        return self.layers[4](x)


# Objective


def critic_terms(
    objective: AOTLossConfig, critic: nn.Module, image: Tensor, filled: Tensor, mask: Tensor
) -> dict[str, Tensor]:
    """What the discriminator lowers, by name, weighted.

    Args:
        critic: image -> (N, 1, h, w)
        image: the original, (N, 3, H, W), -1..1
        filled: image * (1 - mask) + prediction * mask, without a graph
        mask: (N, 1, H, W), 1 = hole
    """
    real, fake = critic_scores(critic, image, filled)
    return {"adversarial": soft_mask_critic(real, fake, mask, objective.labels)}


def generator_terms(
    objective: AOTLossConfig,
    critic: nn.Module,
    backbone: VGG | None,
    image: Tensor,
    prediction: Tensor,
    filled: Tensor,
    mask: Tensor,
) -> dict[str, Tensor]:
    """What the generator lowers, by name, weighted; their sum is the loss. Arguments as of `critic_terms`.

    Args:
        backbone: VGG19 up to relu5_2 or further; None leaves out the perceptual and style terms
        prediction: the generator's output, hole or not
        filled: image * (1 - mask) + prediction * mask, with the prediction's graph
    """
    terms = {
        "adversarial": objective.adversarial * soft_mask_generator(critic(filled), mask, objective.region),
        "reconstruction": objective.reconstruction * l1(prediction, image),
    }
    if backbone is not None:
        seen = prediction if objective.feature_target == "prediction" else filled
        perceptual, style = perceptual_and_style(backbone, seen, image)
        terms |= {"perceptual": objective.perceptual * perceptual, "style": objective.style * style}
    return terms


# Recipe

# mask files are mirrored and turned by up to 45 degrees, as the official loader does; torchvision turns one way only
DATA = DataConfig(
    size=512, batch=8, masks="irregular", mask_files="flip=x,rotate=45", crop="area", flip=True, jitter=0.05
)


@dataclass(frozen=True)
class AOTTrainingConfig:
    """How AOT-GAN and SII-GAN are trained; the defaults are the official code's numbers."""

    network: AOTConfig = AOTConfig()
    data: DataConfig = DATA
    steps: int = 1_000_000
    objective: AOTLossConfig = AOTLossConfig()
    learning_rate: float = 1e-4
    """Of the generator."""
    critic_learning_rate: float = 1e-4
    """Of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's two decays."""
    epsilon: float = 1e-8
    """Adam's smallest divisor."""
    channels_last: bool = True
    """Whether pixels lie together in memory, which is quicker here."""


class SoftMaskRecipe(AdamRecipe[AOTTrainingConfig]):
    """The discriminator learns from a filling, then the generator from the discriminator's new judgement of it.

    The official code clears the gradients once for both steps, so that its discriminator also follows a part of the
    generator's loss; not reproduced.
    """

    def __init__(self, training: AOTTrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext) -> None:
        super().__init__(training, networks, tools, [CRITIC])
        wanted = training.objective.perceptual or training.objective.style
        self.backbone = tools.vgg(19) if wanted else None

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        (batch,) = batches
        image, mask, objective = batch.image, batch.mask, self.training.objective
        prediction = self.networks["generator"](image, mask).refined
        filled = composite(image, prediction, mask)
        yield CRITIC, critic_terms(objective, self.networks[CRITIC], image, filled.detach(), mask)
        terms = generator_terms(objective, self.networks[CRITIC], self.backbone, image, prediction, filled, mask)
        if objective.region == "hole":
            terms["adversarial"] = batch_share(self.tools, terms["adversarial"], batch, hole_pixels)
        yield "generator", terms


# Published layouts and weights

GENERATOR_NAMES, CRITIC_NAMES = (r"(encoder|middle|decoder)\..+",), (r"conv\..+",)
NARROW = "middle.0.block00.3.weight"  # only SII-GAN's branches go on behind the dilated convolution

RESEARCHMM_GENERATOR = (
    (r"encoder\.1\.(\w+)", r"encoder.0.\1"),
    (r"encoder\.3\.(\w+)", r"encoder.1.\1"),
    (r"encoder\.5\.(\w+)", r"encoder.2.\1"),
    (r"middle\.(\d+)\.block0(\d+)\.1\.(\w+)", r"blocks.\1.branches.\2.dilated.\3"),
    (r"middle\.(\d+)\.(fuse|gate)\.1\.(\w+)", r"blocks.\1.\2.\3"),
    (r"decoder\.0\.conv\.(\w+)", r"decoder.0.\1"),
    (r"decoder\.2\.conv\.(\w+)", r"decoder.1.\1"),
    (r"decoder\.4\.(\w+)", r"decoder.2.\1"),
)
RESEARCHMM_DISCRIMINATOR = (
    (r"conv\.0\.(\w+)", r"layers.0.\1"),
    (r"conv\.2\.(\w+)", r"layers.1.\1"),
    (r"conv\.4\.(\w+)", r"layers.2.\1"),
    (r"conv\.6\.(\w+)", r"layers.3.\1"),
    (r"conv\.8\.(\w+)", r"layers.4.\1"),
)
MMAGIC_GENERATOR = (
    (r"encoder\.encoder\.1\.conv\.(\w+)", r"encoder.0.\1"),
    (r"encoder\.encoder\.2\.conv\.(\w+)", r"encoder.1.\1"),
    (r"encoder\.encoder\.3\.conv\.(\w+)", r"encoder.2.\1"),
    (r"dilation_neck\.model\.(\d+)\.blocks\.(\d+)\.1\.conv\.(\w+)", r"blocks.\1.branches.\2.dilated.\3"),
    (r"dilation_neck\.model\.(\d+)\.(fuse|gate)\.1\.conv\.(\w+)", r"blocks.\1.\2.\3"),
    (r"decoder\.decoder\.(\d)\.conv\.(\w+)", r"decoder.\1.\2"),
)
MMAGIC_DISCRIMINATOR = ((r"model\.([0-3])\.conv\.(\w+)", r"layers.\1.\2"), (r"model\.4\.(\w+)", r"layers.4.\1"))


def sizes(parts: Parts) -> dict[str, int]:
    """Settings by a file's names and shapes: width, blocks and critic_kernel, where it has the network."""
    found: dict[str, int] = {}
    generator, critic = parts.get("generator", {}), parts.get(CRITIC, {})
    if "encoder.0.weight" in generator:
        found["width"] = generator["encoder.0.weight"].shape[0]
        found["blocks"] = len({name.split(".")[1] for name in generator if name.startswith("blocks.")})
    if "layers.0.weight_orig" in critic:
        found.setdefault("width", critic["layers.0.weight_orig"].shape[0])
        found["critic_kernel"] = critic["layers.0.weight_orig"].shape[-1]
    return found


def four_pixel_patches(tensors: Tensors, first: str, last: str) -> bool:
    """Whether a file's discriminator, where it has one, is the one of five 4x4 layers on pictures."""
    if first not in tensors:
        return True
    shapes = tensors[first].shape, tensors[last].shape if last in tensors else ()
    return all(len(shape) == 4 and shape[-1] == 4 for shape in shapes) and tensors[first].shape[1] == 3


def _config(parts: Parts, semantics: str) -> AOTConfig:
    return AOTConfig(**sizes(parts))  # type: ignore[arg-type]  # all of them are whole numbers


LAYOUTS = (
    Layout(
        name="researchmm",
        parts={
            "generator": Part("middle.0.block00.1.weight", rename=RESEARCHMM_GENERATOR, only=GENERATOR_NAMES),
            CRITIC: Part("conv.0.weight_orig", rename=RESEARCHMM_DISCRIMINATOR, only=CRITIC_NAMES),
        },
        config=_config,
        detects=lambda tensors: (
            NARROW not in tensors and four_pixel_patches(tensors, "conv.0.weight_orig", "conv.8.weight")
        ),
        order_source="its data set reads pictures by Pillow as RGB",
    ),
    Layout(
        name="mmagic",
        parts={
            "generator": Part(
                "dilation_neck.model.0.fuse.1.conv.weight", prefixes=("generator.",), rename=MMAGIC_GENERATOR
            ),
            CRITIC: Part("model.0.conv.weight_orig", prefixes=("disc.",), rename=MMAGIC_DISCRIMINATOR),
        },
        config=_config,
        detects=lambda tensors: four_pixel_patches(tensors, "disc.model.0.conv.weight_orig", "disc.model.4.weight"),
        ignore=(r"loss_percep\..+", r"loss_style\..+"),  # copies of VGG
        order_source="its configuration loads RGB, unlike mmagic's other inpainting networks; not tried on the file",
    ),
)

README = "https://github.com/researchmm/AOT-GAN-for-Inpainting"
HUGGING_FACE = "https://huggingface.co/NimaBoscarino"
WEIGHTS = (
    Weights(
        tag="places2",
        file="pytorch_model.bin",
        url=f"{HUGGING_FACE}/aot-gan-places2/resolve/main/pytorch_model.bin",
        sha256="bccbee30d45e8682abfa803f2c7b1268a637d5b9d7f5fb0048765ffd542e8843",
        licence="not stated (code: Apache-2.0; data: Places2's own terms)",
        trained_on="Places2, 512x512",
        layout="researchmm",
        remark="the official weights as mirrored on Hugging Face",
        size_bytes=60_846_567,
    ),
    Weights(
        tag="celebahq",
        file="pytorch_model.bin",
        url=f"{HUGGING_FACE}/aot-gan-celebahq/resolve/main/pytorch_model.bin",
        sha256="5362f8fee4e22fc9ce0536a81394b71967348be7d9ddf150301ec118df4478cf",
        licence="not stated (code: Apache-2.0; data: CelebA-HQ, non-commercial research)",
        trained_on="CelebA-HQ, 512x512",
        layout="researchmm",
        remark="the official weights as mirrored on Hugging Face",
        size_bytes=60_846_567,
    ),
    Weights(
        tag="celebahq-original",
        file="G0000000.pt",
        url=None,
        sha256="5cfbf8e545e75adc1be66682741d22b4e5288f734971cc896b795e7e137f42f9",
        licence="not stated (code: Apache-2.0; data: CelebA-HQ, non-commercial research)",
        trained_on="CelebA-HQ, 512x512",
        layout="researchmm",
        remark=f"Google Drive folder linked in {README}; the hash was measured by a third party",
        size_bytes=60_829_150,
    ),
    Weights(
        tag="places2-original",
        file="G0000000.pt",
        url=None,
        sha256=None,
        licence="not stated (code: Apache-2.0; data: Places2's own terms)",
        trained_on="Places2, 512x512",
        layout="researchmm",
        remark=f"Google Drive folder linked in {README}",
    ),
    Weights(
        tag="places-mmagic",
        file="AOT-GAN_512x512_4x12_places_20220509-6641441b.pth",
        url=(
            "https://download.openmmlab.com/mmediting/inpainting/aot_gan/"
            "AOT-GAN_512x512_4x12_places_20220509-6641441b.pth"
        ),
        sha256=None,
        licence="Apache-2.0 (mmagic; data: Places365's own terms)",
        trained_on="Places365, 512x512, 500,002 steps",
        layout="mmagic",
        remark="by the publisher's naming rule the SHA-256 begins with 6641441b",
    ),
)

# The gates' statistics run over the whole map, so a crop is filled a little differently from the whole picture: an
# approximation, best at the side of 512 that published files were trained at. Memory as measured on a CPU at 512 and
# 768 (1330 bytes a pixel; 1840 for SII-GAN's code), with a margin.
SCOPE = Scope(side=512, hole=256, context=1.0, pixel_bytes=2000.0, statistics=True)

OBJECTIVES = {"aot": AOTLossConfig()}
"""Preset -> what its training lowers: the official code's coefficients with the paper's labels."""

AS_CODED = AOTLossConfig(labels="code", region="whole")
"""The published codes' mirrored labels, with which the generator is asked to look filled."""

RECIPES = {
    "aot": AOTTrainingConfig(),
    "aot-code": AOTTrainingConfig(objective=AS_CODED),
    # mmagic's configuration of Places365: its own labels, decays and jitter. The configuration has 4 GPUs with 4
    # pictures each; the released file, "4x12", was trained with 12 on each
    "mmagic": AOTTrainingConfig(
        data=replace(DATA, batch=48, jitter=0.5),
        steps=500_002,
        objective=replace(AS_CODED, labels="mmagic"),
        betas=(0.0, 0.9),
    ),
}

METHOD = Method(
    title="AOT-GAN (Zeng et al. 2021)",
    source="arXiv 2104.01431; researchmm/AOT-GAN-for-Inpainting",
    presets={"aot": AOTConfig()},
    build=AOTGenerator,
    critics=lambda config: {CRITIC: PatchDiscriminator(config)},
    layouts=LAYOUTS,
    weights=WEIGHTS,
    channels_last=True,
    scope=lambda config: SCOPE,
    tolerance=2e-3,  # its gates multiply rounding by about ten before a sigmoid, block after block
    recipes=RECIPES,
    recipe=SoftMaskRecipe,
)

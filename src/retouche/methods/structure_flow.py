"""StructureFlow: an edge-preserving structure picture is completed first, then texture flows in along it.

Paper: Ren, Yu, Zhang, Li, Liu, Li, "StructureFlow: Image Inpainting via Structure-aware Appearance Flow", ICCV 2019
(arXiv 1908.03852). Code: RenYurui/StructureFlow; a published file computes here what it computes there, but for the
sampler's backward pass (see `layers.sampling`) and the last step to 8 bit, which truncates there and rounds here.

Two networks, trained in three stages: the structure network; the texture network on true structure pictures; the
texture network on the structure network's output. Every input is picture 3, structure 3, mask 1 channels, with 0 in
the hole; only the texture network's structure is complete. The structure network completes S * (1 - mask), where S
should come from the complete picture; where there is none, S is made of the known pixels (`structure_of_known`).
The networks' layers are in `structure_flow_networks.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.layers.exporting import at_hand, without_autocast
from retouche.layers.spectral import SpectralConv2d
from retouche.losses.adversarial import least_squares_critic, least_squares_generator
from retouche.losses.correctness import EPSILON, LAYER, correctness_map
from retouche.losses.perceptual import PERCEPTUAL_LAYERS, STYLE_LAYERS, Features, feature_distance, style_distance
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
from retouche.methods.recipe import AdamRecipe
from retouche.methods.structure_flow_networks import Block, StructureNetwork, TextureNetwork
from retouche.numerics.structure import structure_of_known
from retouche.weights.layout import Layout, Part, Parts


@dataclass(frozen=True)
class StructureFlowConfig:
    """Settings of the networks; which of them there are is the paper's stage."""

    structure: bool = True
    """The structure network: stage 1 trains it, stage 3 and use need it."""
    texture: bool = True
    """The flow and texture network: stages 2 and 3 train it."""
    width: int = 64
    """Channels of the first layer; the deepest have eight times as many."""
    smoothing: str = "script"
    """How structure pictures were made (`numerics.structure.SETTINGS`): "script" for the published Places2 and Paris
    files, "example" for CelebA, as their example pictures show."""


# Generator


class StructureFlow(Generator):
    """Both networks in a row, or one of them.

    The structure network alone gives `structure` and no `refined`; the texture network alone takes the `structure`
    it is given as complete. Where the structure network gets none, it is made of the known pixels.
    """

    def __init__(self, config: StructureFlowConfig) -> None:
        super().__init__()
        if not (config.structure or config.texture):
            raise InputError("structure-flow needs the structure network, the texture network or both")
        # the flow column halves four times and mirrors 2 pixels there; the structure network three times, and 1 pixel
        self.multiple, self.smallest = (16, 48) if config.texture else (8, 16)
        self.gives = "refined" if config.texture else "structure"
        self.config = config
        self.structure = StructureNetwork(config.width) if config.structure else None
        self.texture = TextureNetwork(config.width) if config.texture else None
        self.apply(_initialised)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        known = 1 - mask
        masked = image * known  # 0 in the hole: mid-grey
        if structure is None:
            structure = structure_for(self.config, masked, mask)
        elif structure.shape not in (image.shape, (1, *image.shape[1:])):
            raise InputError(f"structure is {tuple(structure.shape)} but image is {tuple(image.shape)}: give one size")
        elif at_hand(structure) and not structure.isfinite().all():
            raise InputError("structure holds NaN or infinity: clean it first")
        structure = structure.to(image).expand_as(image)
        if self.structure is not None:
            structure = self.structure(torch.cat([masked, structure * known, mask], 1))
        if self.texture is None:
            return Prediction(None, structure=structure)
        refined, flow = self.texture(torch.cat([masked, structure, mask], 1))
        return Prediction(refined, structure=structure, flow=flow)


def structure_for(config: StructureFlowConfig, masked: Tensor, mask: Tensor) -> Tensor:
    """The structure picture of the known pixels, where none is given.

    Raises: InputError for the texture network alone, which needs a complete one
    """
    if not config.structure:
        raise InputError(
            "the texture network alone needs structure=, a complete structure picture: give one, or load the "
            "folder with both networks"
        )
    with without_autocast(masked.device.type):  # linear systems want all their digits
        return structure_of_known(masked, mask, config.smoothing)


def _initialised(layer: nn.Module) -> None:
    """The published start: Xavier's normal numbers for ReLU, biases 0."""
    weight = getattr(layer, "weight_orig", getattr(layer, "weight", None))
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | SpectralConv2d) and isinstance(weight, Tensor):
        nn.init.xavier_normal_(weight, 2**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


# Critics


class Shrink(nn.Module):
    """To half the size: two 3 x 3 blocks and pooling, plus pooling and a 1 x 1 block; activations inside both."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_1 = nn.Sequential(
            Block(inputs, inputs, 3, 1, 1, activation="leaky", spectral=True),
            Block(inputs, outputs, 3, 1, 1, activation="leaky", spectral=True),
            nn.AvgPool2d(2),
        )
        self.conv_2 = nn.Sequential(nn.AvgPool2d(2), Block(inputs, outputs, 1, 1, 0, activation="leaky", spectral=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_1(x) + self.conv_2(x)


class Patches(nn.Module):
    """Picture (N, 3, H, W) -> one score per patch, (N, 1, H/8, W/8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            Block(3, width, 4, 2, 1, activation="leaky", spectral=True),
            Shrink(width, 2 * width),
            Shrink(2 * width, 4 * width),
            Block(4 * width, 1, 1, 1, 0, activation="none", spectral=True, bias=False),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class Critic(nn.Module):
    """Scores of patches at full and at half size, by two separate networks; no last activation (least squares)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.model_1, self.model_2 = Patches(width), Patches(width)
        self.apply(_initialised)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Score whole predictions or originals; the mask is not looked at."""
        half = functional.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
        return [self.model_1(image), self.model_2(half)]


def critics(config: StructureFlowConfig) -> dict[str, nn.Module]:
    """One critic for each network that there is."""
    wanted = {"structure": config.structure, "texture": config.texture}
    return {name: Critic(config.width) for name, there in wanted.items() if there}


# Recipe

DATA = DataConfig(
    size=256, batch=8, masks="irregular", mask_files="flip=xy,above=zero", crop="resize", structure="script"
)


@dataclass(frozen=True)
class StructureFlowTrainingConfig:
    """How StructureFlow is trained, in three stages; the numbers are those of the code's model_config.yaml."""

    network: StructureFlowConfig = StructureFlowConfig(texture=False)
    data: DataConfig = DATA
    steps: int = 8_000_000
    """The code's ceiling; where to stop is not published."""
    stage: Literal["structure", "texture", "joint"] = "structure"
    """The first two may run side by side; "joint" tunes the texture network on the structure network's output."""
    learning_rate: float = 1e-4
    """Of all networks."""
    betas: tuple[float, float] = (0.0, 0.999)
    """Adam's two decays."""
    reconstruction: float = 4.0
    """Weight of the L1 of the whole picture: 4 for structure, 5 for texture."""
    adversarial: float = 1.0
    """Weight of the critic's judgement for the generator."""
    correctness: float = 0.0
    """Weight of the sampling correctness: 0.25 wherever there is a flow."""
    content: float = 0.0
    """Weight of feature differences: 0.1 in the joint stage, in the code only."""
    style: float = 0.0
    """Weight of Gram matrices' differences within the hole: 250 in the joint stage, in the code only."""


class StageRecipe(AdamRecipe[StructureFlowTrainingConfig]):
    """Least squares, L1 and, for the texture network, VGG19's say, all on the raw output for the whole picture."""

    def __init__(
        self, training: StructureFlowTrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext
    ) -> None:
        self.critic = "structure" if training.stage == "structure" else "texture"
        super().__init__(training, networks, tools, [self.critic])
        generator = networks["generator"]
        if training.stage == "joint":
            wanted = {f"generator.{name}" for name in generator.state_dict()}
            if absent := sorted(wanted - tools.started):
                raise InputError(
                    "structure-flow joint goes on from both earlier networks and "
                    f'{len(absent)} tensors are missing (first: "{absent[0]}"): give --from STRUCTURE TEXTURE'
                )
            assert isinstance(generator, StructureFlow) and generator.structure is not None
            generator.structure.requires_grad_(False)
        # the published code feeds VGG19 the picture as it is, without ImageNet's mean and deviation
        wanted_backbone = training.correctness or training.content or training.style
        self.backbone = tools.vgg(19, normalisation="none") if wanted_backbone else None

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        (batch,) = batches
        assert batch.structure is not None
        prediction = self.networks["generator"](batch.image, batch.mask, structure=batch.structure)
        first = self.training.stage == "structure"
        result, target = (prediction.structure, batch.structure) if first else (prediction.refined, batch.image)
        scores = self.networks[self.critic](torch.cat([target, result.detach()]))
        pairs = [least_squares_critic(*map_.chunk(2)) for map_ in scores]
        yield self.critic, {"least_squares": torch.stack(pairs).mean()}
        scales = [least_squares_generator(map_) for map_ in self.networks[self.critic](result)]
        terms = {
            "reconstruction": self.training.reconstruction * l1(result, target),
            "adversarial": self.training.adversarial * torch.stack(scales).mean(),
        }
        yield "generator", terms | self._seen(batch, result, prediction.flow)

    def _seen(self, batch: Batch, result: Tensor, flow: Tensor | None) -> dict[str, Tensor]:
        """The terms on VGG's features; originals pass the backbone once, without a graph, whatever is compared."""
        training, image, mask = self.training, batch.image, batch.mask
        if self.backbone is None or flow is None:
            return {}
        terms: dict[str, Tensor] = {}
        layers = dict.fromkeys([LAYER] * bool(training.correctness) + [*PERCEPTUAL_LAYERS] * bool(training.content))
        with torch.no_grad():
            wanted: Features = self.backbone(image, list(layers))
        if training.correctness:
            with torch.no_grad():
                there = self.backbone(image * (1 - mask), [LAYER])[LAYER]
            places = correctness_map(wanted[LAYER], there, flow)

            def hole(part: Batch) -> Tensor:
                return functional.interpolate(part.mask.to(places), size=places.shape[-2:])

            inside = self.tools.ratio((places * hole(batch)).sum(), batch, lambda part: hole(part).sum() + EPSILON)
            terms["correctness"] = training.correctness * inside
        if training.content:
            terms["content"] = training.content * feature_distance(
                self.backbone(result, list(PERCEPTUAL_LAYERS)), wanted
            )
        if training.style:
            with torch.no_grad():
                within = self.backbone(image * mask, list(STYLE_LAYERS))
            terms["style"] = training.style * style_distance(self.backbone(result * mask, list(STYLE_LAYERS)), within)
        return terms


def _stages(
    smoothing: str,
) -> tuple[StructureFlowTrainingConfig, StructureFlowTrainingConfig, StructureFlowTrainingConfig]:
    """The three stages for structure pictures of one setting; values not given are the first's."""
    data = replace(DATA, structure=smoothing)
    first = StructureFlowTrainingConfig(network=StructureFlowConfig(texture=False, smoothing=smoothing), data=data)
    second = replace(
        first,
        network=StructureFlowConfig(structure=False, smoothing=smoothing),
        stage="texture",
        reconstruction=5.0,
        correctness=0.25,
    )
    return (
        first,
        second,
        replace(second, network=StructureFlowConfig(smoothing=smoothing), stage="joint", content=0.1, style=250.0),
    )


STAGES = ("structure", "texture", "joint")
RECIPES = {
    **dict(zip(STAGES, _stages("script"), strict=True)),
    # the settings that the code's CelebA examples were smoothed with
    **dict(zip([f"{stage}-celeba" for stage in STAGES], _stages("example"), strict=True)),
}


# Published files


def _config(parts: Parts, semantics: str) -> StructureFlowConfig:
    generator = parts.get("generator", {})
    widths = {
        "structure": generator.get("structure.input_layer.conv.bias"),
        "texture": generator.get("texture.flow_column.down_sample_flow.0.2.conv.bias"),
    }
    found = {name: bias for name, bias in widths.items() if bias is not None}
    if not found:  # critics alone
        found = {name: tensors["model_1.model.0.conv.bias"] for name, tensors in parts.items() if name in widths}
    return StructureFlowConfig("structure" in found, "texture" in found, width=len(next(iter(found.values()))))


def _by_name(parts: Parts, file: str) -> Parts:
    """Both critics have the same tensors: only the published file name identifies the structure network's."""
    return {"structure": parts["texture"]} if "s_dis" in file else parts


_ORDER = "its data set reads pictures by Pillow as RGB"

LAYOUTS = (
    Layout(
        "renyurui",
        {"generator": Part("input_layer.conv.weight_orig", rename=((r"(.+)", r"structure.\1"),))},
        _config,
        detects=lambda tensors: "content_param.0.conv.weight" in tensors,
        order_source=_ORDER,
    ),
    Layout(
        "renyurui",
        {"generator": Part("flow_column.location.1.conv.weight", rename=((r"(.+)", r"texture.\1"),))},
        _config,
        order_source=_ORDER,
    ),
    Layout(
        "renyurui",
        {"texture": Part("model_1.model.1.conv_1.0.conv.weight_orig")},
        _config,
        by_name=_by_name,
        order_source=_ORDER,
    ),
)


def _weights() -> tuple[Weights, ...]:
    folders: Mapping[str, str] = {
        "places2": "1K7U6fYthC4Acsx0GBde5iszHJWymyv1A",
        "celeba": "1PrLgcEd964etxZcHIOE93uUONB9-b6pI",
        "paris": "18AQpgsYZtA_eL-aJb6n8-geWLdihwXAi",
    }
    return tuple(
        Weights(
            tag=tag,
            file=f"latest_net_{network}.pth",
            url=f"https://drive.google.com/drive/folders/{folder}",
            sha256=None,
            licence="CC BY-NC 4.0 (the repository's; none is stated for the files): not for commercial use",
            trained_on={"places2": "Places2", "celeba": "CelebA", "paris": "Paris StreetView"}[tag],
            layout="renyurui",
            remark="one of two files in a shared folder: fetch both by hand and give their folder; not checked here",
        )
        for tag, folder in folders.items()
        for network in ("s_gen", "f_gen")
    )


METHOD = Method(
    title="StructureFlow (Ren et al. 2019)",
    source="arXiv 1908.03852; https://github.com/RenYurui/StructureFlow",
    presets={
        "places2": StructureFlowConfig(),  # Paris StreetView too
        "celeba": StructureFlowConfig(smoothing="example"),
        "structure": StructureFlowConfig(texture=False),  # stage 1
        "texture": StructureFlowConfig(structure=False),  # stages 2 and 3
    },
    build=StructureFlow,
    # the published sampler reads 4 and 16 taps around the whole pixel below a position: where a position lies within
    # rounding of a whole pixel, another engine may take other taps; one such position of a quarter-size map changes a
    # fill by 1e-2 to 3e-2
    jump=5e-2,
    critics=critics,
    layouts=LAYOUTS,
    weights=_weights(),
    # instance and layer norm look at the whole picture: a crop is filled a little differently
    scope=lambda config: Scope(side=256, hole=128, context=1.0, pixel_bytes=5000.0, statistics=True),
    conditioning=lambda config: frozenset({"structure"}),
    recipes=RECIPES,
    recipe=StageRecipe,
)

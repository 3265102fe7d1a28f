"""DeepFill v1: a coarse network, then a refining one that attends to the known places, against two Wasserstein critics.

Paper: Yu, Lin, Yang, Shen, Lu, Huang, "Generative Image Inpainting with Contextual Attention", CVPR 2018,
arXiv 1801.07892. Code: github.com/JiahuiYu/generative_inpainting v1.0.0 (TensorFlow 1, "official");
daa233/generative-inpainting-pytorch; JennyVanessa/Paddle-GI (daa233's code in Paddle); open-mmlab/mmagic.

One network with switches covers all. What differs in the codes:
- The official network knows BGR; its files have their picture channels turned on loading, so that ours is RGB
  throughout. Whether the author of daa233's converted file turned them is not known; like his program, we feed RGB.
  mmagic's networks know BGR too: `Layout.order`.
- Padding: official as TensorFlow, daa233 the same on all sides, mmagic mirrors (its critics do not). A network trained
  with one is shifted by a pixel at each halving with the other.
- Attention: see `layers.attention`. Published codes use the first sample's mask for a whole batch, Paddle-GI also the
  first sample's features; here each sample has its own.
- daa233's converted file holds official weights: the default are the official rules, `semantics="port"` gives the
  port's own numbers. Its own training is computed by its own rules.
- The last convolution of the local critic is half as wide in daa233; mmagic's critics have ELU inside and a leaky ReLU
  on the score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.image import Box, composite
from retouche.layers.attention import VARIANTS, contextual_attention
from retouche.layers.boxed import both_stages, cost_of_stages
from retouche.layers.padding import PaddedConv2d, Padding
from retouche.layers.two_stage import ATTENDED, COARSE, DECODER, HALLUCINATE, MATCH, Chain, Style
from retouche.losses.adversarial import gradient_penalty, wasserstein_critic, wasserstein_generator
from retouche.losses.reconstruction import box_discounted_l1, distance_to_known, l1
from retouche.methods import deepfill_names as names
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
    uniform,
)
from retouche.methods.recipe import (
    AdamRecipe,
    batch_share,
    critic_scores,
    hole_pixels,
    initialise,
    known_pixels,
    squared,
)
from retouche.weights.layout import Layout, Part, Parts, Tensors


@dataclass(frozen=True)
class DeepFillV1Config:
    """The networks' sizes and switches; the defaults are the official code's."""

    width: int = 32
    """Channels of the first convolution; the deepest has four times as many. Even."""
    match_activation: str = "relu"
    """After the convolution before the attention; ELU everywhere else. A name of `layers.gated.ACTIVATIONS`."""
    padding: str = "same"
    """same (TensorFlow's), zeros or reflect, see `layers.padding`."""
    attention: str = "official"
    """Whose contextual attention, a name of `layers.attention.VARIANTS`."""
    critic_width: int = 64
    """Channels after the critics' first convolution; the global one's deepest has four times as many."""
    local_factor: int = 8
    """Channels of the local critic's deepest convolution, as a multiple of `critic_width`; 4 in daa233."""
    local_size: int = 128
    """Side of the crop around the hole that the local critic judges, in pixels."""
    global_size: int = 256
    """Side of the picture that the global critic judges, in pixels."""
    critic_padding: str = "same"
    """same or zeros: how the critics pad."""
    critic_elu: bool = False
    """Whether the critics have ELU inside and a leaky ReLU on the score, as mmagic's, not a leaky ReLU inside."""
    initial: str = "glorot"
    """How fresh weights are drawn, a name of `recipe.INITIAL`: TensorFlow's default, which the official code keeps."""


OFFICIAL = DeepFillV1Config()
DAA233 = replace(OFFICIAL, padding="zeros", attention="daa233", critic_padding="zeros", local_factor=4, initial="torch")
MMAGIC = replace(
    OFFICIAL,
    match_activation="elu",
    padding="reflect",
    attention="mmagic",
    critic_padding="zeros",
    critic_elu=True,
    initial="normal",
)


class DeepFillV1Generator(Generator):
    """Both stages; 3,601,542 parameters at the official sizes."""

    multiple = 8
    local = True

    def __init__(self, config: DeepFillV1Config) -> None:
        super().__init__()
        if config.attention not in VARIANTS:
            raise InputError(f'no attention "{config.attention}"; known: {", ".join(VARIANTS)}')
        self.config = config
        # mirrored padding of 16 at a quarter of the size needs more than 16 pixels there
        self.smallest = 72 if config.padding == "reflect" else 8
        style, width = Style("plain", "elu", config.padding), 2 * config.width
        self.coarse = Chain(style, 5, COARSE, width)
        self.hallucinate = Chain(style, 5, HALLUCINATE, width)
        self.match = Chain(style, 5, MATCH, width, config.match_activation)
        self.attended = Chain(style, self.match.outputs, ATTENDED, width)
        self.decode = Chain(style, self.hallucinate.outputs + self.attended.outputs, DECODER, width)
        initialise(self, config.initial)

    def attend(self, second: Tensor, mask: Tensor) -> Tensor:
        """What the attention makes of the second stage's input (N, 5, H, W): (N, 4 * width, H/4, W/4)."""
        return contextual_attention(self.match(second), mask, self.config.attention)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        first = self._first(image, mask)
        coarse = self.coarse(first).clamp(-1, 1)
        second = self._second(first, coarse)
        hallucinated = self.hallucinate(second)  # (N, 4 * width, H/4, W/4)
        attended = self.attended(self.attend(second, mask))
        refined = self.decode(torch.cat([hallucinated, attended], 1)).clamp(-1, 1)
        return Prediction(refined=refined, coarse=coarse)

    def inside(self, image: Tensor, mask: Tensor, boxes: Sequence[Box], sketch: Tensor | None = None) -> Tensor:
        image, mask = checked(self, image, mask)
        first, config = self._first(image, mask), self.config
        return both_stages(self, first, self._second, lambda x: x.clamp(-1, 1), mask, boxes, config.attention)

    def cost_near(self, boxes: Sequence[Box], size: tuple[int, int]) -> float:
        return cost_of_stages(boxes, size)

    def _first(self, image: Tensor, mask: Tensor) -> Tensor:
        """What the coarse network sees, (N, 5, H, W)."""
        # the ones mark picture against padding: without them both are zero
        return torch.cat([image * (1 - mask), torch.ones_like(mask), mask], 1)

    def _second(self, first: Tensor, coarse: Tensor) -> Tensor:
        """What the second stage sees, (N, 5, H, W): the hole as the coarse network fills it."""
        masked, guides = first.split([3, 2], 1)
        return torch.cat([coarse * guides[:, 1:] + masked, guides], 1)


class Critic(nn.Module):
    """A Wasserstein critic of pictures of one size: four halvings, then one linear score.

    Args:
        config: of the method
        size: side of the pictures in pixels
        factor: channels of the deepest convolution, as a multiple of `critic_width`
    """

    def __init__(self, config: DeepFillV1Config, size: int, factor: int) -> None:
        super().__init__()
        c = config.critic_width
        widths = [3, c, 2 * c, 4 * c, factor * c]
        rule: Padding = config.critic_padding  # type: ignore[assignment]  # checked by PaddedConv2d
        self.size, self.elu = size, config.critic_elu
        self.convs = nn.ModuleList(PaddedConv2d(widths[i], widths[i + 1], 5, 2, rule=rule) for i in range(4))
        side = -(-size // 16)
        self.linear = nn.Linear(factor * c * side * side, 1)
        initialise(self, config.initial)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, size, size), -1..1 -> (N, 1), higher for more like an original.

        Raises: InputError for pictures of another size
        """
        if image.shape[-2:] != (self.size, self.size):
            h, w = image.shape[-2:]
            raise InputError(f"image is {w}x{h} but this critic knows {self.size}x{self.size} only: crop or resize it")
        x = image
        for convolution in self.convs:
            x = convolution(x)
            x = functional.elu(x) if self.elu else functional.leaky_relu(x, 0.2)
        score = self.linear(x.flatten(1))
        return functional.leaky_relu(score, 0.2) if self.elu else score


def critics(config: DeepFillV1Config) -> dict[str, nn.Module]:
    """ "local" judges a crop around the hole, "global" the whole picture."""
    return {
        "local": Critic(config, config.local_size, config.local_factor),
        "global": Critic(config, config.global_size, 4),
    }


# Recipe

DATA = DataConfig(size=256, batch=16, masks="box", local_box=0.5)


@dataclass(frozen=True)
class DeepFillV1TrainingConfig:
    """How DeepFill v1 is trained; the defaults are the official code's numbers (inpaint.yml, inpaint_model.py)."""

    network: DeepFillV1Config = OFFICIAL
    data: DataConfig = DATA
    steps: int = 1_000_000
    """Turns of the generator."""
    learning_rate: float = 1e-4
    """Of all three networks."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Adam's two decays."""
    critic_turns: int = 5
    """Turns of the critics, each on a fresh batch, before one of the generator."""
    own_batch: bool = True
    """Whether the generator's turn has a fresh batch too, not the critics' last one."""
    hole: float = 1.2
    """Weight of the L1 in and around the hole."""
    known: float = 1.2
    """Weight of the L1 of known pixels."""
    coarse: float = 1.2
    """Both for the coarse stage, as a multiple of the refined one's."""
    hole_rule: Literal["box", "composite", "nearest", "region"] = "box"
    """What the first L1 is: "box" the local box discounted by the distance from its border; "composite" the same with
    known pixels left out; "nearest" the local box discounted by the distance to the nearest known pixel; "region" the
    mean over the hole, not discounted."""
    known_rule: Literal["region", "whole"] = "region"
    """Whether the second L1 is divided by the known pixels or by all."""
    gamma: float = 0.9
    """Discount per pixel of distance: 0.9 in every published configuration, 0.99 in the paper."""
    adversarial: float = 0.001
    """Weight of the critics' scores for the generator."""
    penalty: float = 10.0
    """Weight of the gradient penalty."""
    penalty_rule: Literal["masked", "plain", "mmagic"] = "masked"
    """See `losses.gradient_penalty`; mmagic's local critic sees no mask."""
    shift: float = 0.0
    """Weight of the squares of the critics' two mean scores, averaged."""
    clip: float = 0.0
    """Largest gradient norm of the generator, and of both critics together; 0 = any."""

    def for_size(self) -> DeepFillV1TrainingConfig:
        """The same with critics of the size of the pictures and of the local box."""
        local = round(self.data.local_box * self.data.size)
        return replace(self, network=replace(self.network, global_size=self.data.size, local_size=local))


class WassersteinRecipe(AdamRecipe[DeepFillV1TrainingConfig]):
    """Two critics learn several times, each time on other pictures, then the generator once."""

    def __init__(
        self, training: DeepFillV1TrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext
    ) -> None:
        super().__init__(training, networks, tools, ["local", "global"])
        self.side = training.network.local_size
        self.batches = training.critic_turns + training.own_batch
        self.clip = dict.fromkeys(self.networks, training.clip) if training.clip else {}
        self.together = ("local", "global") if training.clip else ()
        self.full_precision = frozenset({"local", "global"})  # the penalty differentiates twice

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        training, batch = self.training, batches[-1]
        for critics_batch in batches[: training.critic_turns]:
            with torch.set_grad_enabled(critics_batch is batch):  # the generator's turn goes on from its own batch
                prediction, filled = self._fill(critics_batch)
            yield "local", self._critic_terms("local", critics_batch, filled.detach())
            yield "global", self._critic_terms("global", critics_batch, filled.detach())
        if training.own_batch:
            prediction, filled = self._fill(batch)
        yield "generator", self._generator_terms(batch, prediction, filled)

    def _fill(self, batch: Batch) -> tuple[Prediction, Tensor]:
        prediction = self.networks["generator"](batch.image, batch.mask)
        return prediction, composite(batch.image, prediction.refined, batch.mask)

    def _critic_terms(self, name: str, batch: Batch, filled: Tensor) -> dict[str, Tensor]:
        """What a critic lowers on its view of originals and of filled pictures (without a graph)."""
        training, critic = self.training, self.networks[name]
        image, mask = batch.image, batch.mask
        if name == "local":
            image, filled, mask = (cut(x, batch, self.side) for x in (image, filled, mask))
        real, fake = critic_scores(critic, image, filled)
        assert batch.keys is not None
        blend = uniform(batch.keys, f"penalty {name}", (1, 1, 1))
        per_pixel = training.penalty_rule == "mmagic"
        region = None if per_pixel and name == "local" else mask
        penalty = gradient_penalty(critic, image, filled, region, training.penalty_rule, blend)
        if per_pixel and region is not None:
            penalty = batch_share(self.tools, penalty, batch, lambda part: part.mask.mean())
        terms = {"wasserstein": wasserstein_critic(real, fake), "penalty": training.penalty * penalty}
        if training.shift:
            terms["shift"] = training.shift / 2 * (squared(self.tools, real.mean()) + squared(self.tools, fake.mean()))
        return terms

    def _generator_terms(self, batch: Batch, prediction: Prediction, filled: Tensor) -> dict[str, Tensor]:
        """What the generator lowers, by stage and region."""
        training = self.training
        terms = {}
        for stage, result, weight in (
            ("coarse", prediction.coarse, training.coarse),
            ("refined", prediction.refined, 1),
        ):
            assert result is not None
            terms[f"{stage}_hole"] = training.hole * weight * self._hole(batch, result)
            terms[f"{stage}_known"] = training.known * weight * self._known(batch, result)
        near, whole = self.networks["local"](cut(filled, batch, self.side)), self.networks["global"](filled)
        terms["adversarial"] = training.adversarial * (wasserstein_generator(near) + wasserstein_generator(whole))
        return terms

    def _hole(self, batch: Batch, result: Tensor) -> Tensor:
        image, mask, rule = batch.image, batch.mask, self.training.hole_rule
        if rule == "region":
            return batch_share(self.tools, l1(result, image, mask), batch, hole_pixels)
        if rule == "composite":
            result = composite(image, result, mask)
        near, there = cut(result, batch, self.side), cut(image, batch, self.side)
        if rule == "nearest":  # the distance goes to known pixels beyond the box, too
            depth = cut(distance_to_known(mask), batch, self.side)
            return ((near - there).abs() * (self.training.gamma**depth).to(near)).mean()
        return box_discounted_l1(near, there, self.training.gamma)

    def _known(self, batch: Batch, result: Tensor) -> Tensor:
        known = 1 - batch.mask
        if self.training.known_rule == "whole":
            return ((result - batch.image).abs() * known).mean()
        return batch_share(self.tools, l1(result, batch.image, known), batch, known_pixels)


def cut(x: Tensor, batch: Batch, side: int) -> Tensor:
    """The local boxes of a batch: (N, C, H, W) -> (N, C, side, side).

    Raises: InputError if the batch has none
    """
    if batch.box is None:
        raise InputError("deepfill-v1 has a local critic: give each hole its box (data.local_box 0.5)")
    h, w = x.shape[-2:]
    corners = [(max(0, min(left, w - side)), max(0, min(top, h - side))) for left, top, _, _ in batch.box.tolist()]
    return torch.stack([x[i, :, y : y + side, x0 : x0 + side] for i, (x0, y) in enumerate(corners)])


DAA233_TRAINING = DeepFillV1TrainingConfig(
    network=DAA233,
    data=replace(DATA, batch=48),  # 3 GPUs with 16 each
    steps=86_000,  # 430,000 of its iterations: one of five has a turn of the generator
    own_batch=False,
    hole_rule="composite",
    known_rule="whole",
    penalty_rule="plain",
)
MMAGIC_TRAINING = DeepFillV1TrainingConfig(
    network=MMAGIC,
    data=replace(DATA, masks="mmagic-box", crop_scale=1.5),  # crops of 384
    steps=700_000,  # 3,500,000 of its iterations, as the released file; the configuration would go on to 5,000,003
    betas=(0.9, 0.999),
    own_batch=False,
    hole=1.0,
    known=1.0,
    coarse=1.0,
    hole_rule="region",
    adversarial=0.0001,
    penalty_rule="mmagic",
    shift=0.001,
)

RECIPES = {
    "places2": DeepFillV1TrainingConfig(),
    "celeba-hq": DeepFillV1TrainingConfig(data=replace(DATA, crop="resize")),
    "daa233": DAA233_TRAINING,
    # JennyVanessa/Paddle-GI's configuration: daa233's losses; 500,000 iterations, one clip norm for both critics. Its
    # last run went on from iteration 144,000 and leaves out the critics' turn where their loss is 30 or more and the
    # generator's where its loss is 0.5 or more: fresh networks begin above that and would never learn, so not here
    "paddle": replace(DAA233_TRAINING, data=replace(DATA, batch=32), steps=100_000, clip=0.1),
    # Paddle-GI's description of the paper: Adam 1e-4, batch 48, pictures of 256 and patches of 128, the paper's 0.99
    "brief": DeepFillV1TrainingConfig(data=replace(DATA, batch=48), hole_rule="nearest", gamma=0.99),
    "mmagic-places": MMAGIC_TRAINING,
    # two turns of the critics, 1,500,000 iterations
    "mmagic-celeba": replace(MMAGIC_TRAINING, steps=750_000, critic_turns=2),
}


# Published layouts


def _sized(parts: Parts, config: DeepFillV1Config) -> DeepFillV1Config:
    """The sizes that follow from the tensors' shapes."""
    sizes: dict[str, Any] = {}
    if "generator" in parts:
        sizes["width"] = parts["generator"]["coarse.conv1.conv.weight"].shape[0]
    for name in ("local", "global"):
        if name in parts:
            first, last, linear = (parts[name][f"{x}.weight"] for x in ("convs.0", "convs.3", "linear"))
            sizes["critic_width"] = first.shape[0]
            sizes[f"{name}_size"] = 16 * round((linear.shape[1] / last.shape[0]) ** 0.5)
            if name == "local":
                sizes["local_factor"] = last.shape[0] // first.shape[0]
    return replace(config, **sizes)


def _critic_from_tensorflow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the generator's; the linear layer's rows from (row, column, channel) to (channel, row, column)."""
    turned = {name: t.permute(3, 2, 0, 1).contiguous() if t.ndim == 4 else t for name, t in tensors.items()}
    if "convs.0.weight" in turned:
        turned["convs.0.weight"] = names.turn_picture(turned["convs.0.weight"], 1)
    if "linear.weight" in turned and "convs.3.weight" in turned:
        channels = turned["convs.3.weight"].shape[0]
        matrix = turned["linear.weight"]  # (side * side * channels, 1)
        turned["linear.weight"] = matrix.reshape(1, -1, channels).transpose(1, 2).flatten(1)
    return turned


def _upright(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Paddle keeps the linear layer's matrix as (in, out)."""
    return {n: t.t() if n == "linear.weight" and t.shape[-1] == 1 else t for n, t in tensors.items()}


def _shifted(pattern: str, published: str) -> tuple[tuple[str, str], ...]:
    """The critics' convolutions, numbered from 1 in all codes, from 0 in ours."""
    return tuple((pattern.format(i + 1) + rf"\.{published}", rf"convs.{i}.\1") for i in range(4))


def _tensorflow_critic(name: str) -> Part:
    kinds = (("kernel", "weight"), ("bias", "bias"))
    return Part(
        probe=f"discriminator_{name}/conv1/kernel",
        prefixes=("discriminator/",),
        only=(f"discriminator_{name}/.*", f"dout_{name}_fc/.*"),
        rename=(
            *(
                (f"discriminator_{name}/conv{i + 1}/{kind}", f"convs.{i}.{ours}")
                for i in range(4)
                for kind, ours in kinds
            ),
            *((f"dout_{name}_fc/{kind}", f"linear.{ours}") for kind, ours in kinds),
        ),
        repair=_critic_from_tensorflow,
    )


def _daa233_generator(prefix: str) -> Part:
    return Part(probe="coarse_generator.conv1.conv.weight", prefixes=(prefix,), rename=names.renames(names.DAA233))


_DAA233_CRITICS = {
    name: Part(
        probe="dis_conv_module.conv1.conv.weight",
        prefixes=(f"{name}D.",),
        rename=_shifted(r"dis_conv_module\.conv{}", r"conv\.(\w+)"),
        repair=_upright,
    )
    for name in ("local", "global")
}


def _is_converted(tensors: Tensors) -> bool:
    """daa233's whole trainer, as its converted official weights come; its own generators have no prefix."""
    return any(name.startswith("netG.") for name in tensors)


LAYOUTS = (
    Layout(
        name="official",
        parts={
            "generator": Part(
                probe="conv1/kernel",
                prefixes=("inpaint_net/",),
                rename=names.renames(names.TENSORFLOW, "/kernel", "/bias"),
                repair=names.generator_from_tensorflow,
            ),
            "local": _tensorflow_critic("local"),
            "global": _tensorflow_critic("global"),
        },
        config=lambda parts, semantics: _sized(parts, OFFICIAL),
        # DeepFill v2 names the same layers, and a critic alone is v1's by its name
        detects=lambda tensors: not names.tensorflow_is_gated(tensors),
        ignore=(r".*/Adam(_\d+)?", r"(.*/)?beta[12]_power(_\d+)?", r"(.*/)?global_step"),
        order_source="the official code reads B, G, R; the kernels that see or make pictures are turned on loading",
    ),
    Layout(
        name="daa233",
        parts={"generator": _daa233_generator(""), **_DAA233_CRITICS},
        config=lambda parts, semantics: _sized(parts, DAA233),
        detects=lambda tensors: not _is_converted(tensors),
        order_source="its data set reads pictures by Pillow as RGB",
    ),
    Layout(
        name="daa233-converted",
        parts={"generator": _daa233_generator("netG."), **_DAA233_CRITICS},
        config=lambda parts, semantics: _sized(parts, DAA233 if semantics == "port" else OFFICIAL),
        detects=_is_converted,
    ),
    Layout(
        name="mmagic",
        parts={
            "generator": Part(
                probe="stage1.encoder.enc1.conv.weight",
                prefixes=("generator.", ""),
                rename=names.renames(names.MMAGIC),
                ignore=(r".*\.fuse_kernel",),
            ),
            **{
                name: Part(
                    probe="fc.linear.weight",
                    prefixes=(f"disc.{name}_disc.", f"{name}_disc."),
                    rename=(*_shifted("conv{}", r"conv\.(\w+)"), (r"fc\.linear\.(\w+)", r"linear.\1")),
                )
                for name in ("local", "global")
            },
        },
        config=lambda parts, semantics: _sized(parts, MMAGIC),
        ignore=(r"data_preprocessor\..*", r"step_counter", r"loss_\w+\..*"),
        order="bgr",
        order_source=names.MMAGIC_ORDER,
    ),
)


_DRIVE = "https://drive.google.com/uc?export=download&id="
_FOLDER = "https://drive.google.com/drive/folders/"
_MMEDITING = "https://download.openmmlab.com/mmediting/inpainting/deepfillv1/"
_NC = "CC BY-NC 4.0"
_BY_HAND = "a folder: get it by hand and give its snap-* checkpoint"

WEIGHTS = (
    *(
        Weights(f"{tag}-mmagic", file, _MMEDITING + file, None, "Apache-2.0", data, "mmagic")
        for tag, file, data in (
            ("places2", "deepfillv1_256x256_8x2_places_20200619-c00a0e21.pth", "Places365"),
            ("celeba", "deepfillv1_256x256_4x4_celeba_20200619-dd51a855.pth", "CelebA"),
        )
    ),
    Weights(
        tag="imagenet-daa233",
        file="gen_00430000.pt",
        url=_DRIVE + "1qbfA5BP9yzdTFFmiOTvYARUYgW1zwBBK",
        sha256=None,
        licence="MIT (the port)",
        trained_on="ImageNet",
        layout="daa233",
        remark="its rules, 430,000 steps",
    ),
    Weights(
        tag="imagenet-converted",
        file="torch_model.p",
        url=_DRIVE + "1vz2Qp12_iwOiuvLWspLHrC1UIuhSLojx",
        sha256=None,
        licence=_NC,
        trained_on="ImageNet",
        layout="daa233-converted",
        remark="the official weights converted by daa233; whether their BGR was turned is not known",
    ),
    Weights(
        tag="places2-paddle",
        file="gen_00144000.pdparams",
        url=None,
        sha256=None,
        licence="not stated",
        trained_on="Places2",
        layout="daa233",
        remark="linked in the README of github.com/JennyVanessa/Paddle-GI (Baidu, by hand)",
    ),
    *(
        Weights(f"{tag}-official", file, _FOLDER + key, None, _NC, data, "official", _BY_HAND)
        for tag, file, key, data in (
            ("places2", "release_places2_256", "1M3AFy7x9DqXaI-fINSynW7FJSXYROfv-", "Places2"),
            ("celeba", "release_celeba_256", "1sP8ViF3mxUMN--xpKqonEeW9d8S8pJEo", "CelebA"),
            ("celeba-hq", "release_celeba_hq_256", "1lpluFXyWDxTY6wcjixQGWX8jxUUMlyBW", "CelebA-HQ"),
            ("imagenet", "release_imagenet_256", "136APWSdPRAF7-XoS8sMBTLV-X3f-ogE0", "ImageNet"),
        )
    ),
)


METHOD = Method(
    title="DeepFill v1 (Yu, Lin, Yang, Shen, Lu, Huang 2018)",
    source="arXiv 1801.07892; github.com/JiahuiYu/generative_inpainting v1.0.0",
    presets={"official": OFFICIAL, "daa233": DAA233, "mmagic": MMAGIC},
    build=DeepFillV1Generator,
    critics=critics,
    layouts=LAYOUTS,
    weights=WEIGHTS,
    # trained with holes of 96 to 128 pixels in pictures of 256; convolutional, and attention only gains from context
    channels_last=True,
    # bytes a pixel, measured as those of v2 at 256 and 512: official 650, 589; daa233 524, 646; mmagic, whose mirrored
    # padding is a copy of doubled maps, 1028, 1246
    scope=lambda config: Scope(side=512, hole=128, pixel_bytes=1400.0 if config.padding == "reflect" else 750.0),
    recipes=RECIPES,
    recipe=WassersteinRecipe,
)

"""DeepFill v2: free-form inpainting with gated convolution and a patch critic under spectral normalisation.

Paper: Yu, Lin, Yang, Shen, Lu, Huang, "Free-Form Image Inpainting with Gated Convolution", ICCV 2019, arXiv 1806.03589.
Code: github.com/JiahuiYu/generative_inpainting v2.0.0 (TensorFlow 1, "official"); nipponjo/deepfillv2-pytorch
("tf": networks_tf.py with converted official weights, "pt": networks.py with weights tuned further); open-mmlab/mmagic.

One network with switches covers all four. What differs in the codes:
- The official network knows BGR; its files have their picture channels turned on loading, so that ours is RGB
  throughout. Whether the author of the converted .pth files turned them is not known; like his program, we feed RGB.
  mmagic's networks know BGR too: `Layout.order`.
- The converted weights were trained with the official attention, their port computes another (no score fusing, the
  mask resized at once). The default is the official one; `semantics="port"` gives the port's own numbers.
- Padding: official and "tf" as TensorFlow, "pt" the same on all sides, mmagic mirrors.
- mmagic's second stage also sees the mask, its decoders end gated and the second one is wider.
- Published attention often uses the first sample's mask for a whole batch; here each sample has its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.image import Box, composite
from retouche.layers.attention import VARIANTS, contextual_attention
from retouche.layers.boxed import both_stages, cost_of_stages
from retouche.layers.padding import Padding, pad
from retouche.layers.spectral import SpectralConv2d
from retouche.layers.two_stage import ATTENDED, COARSE, DECODER, HALLUCINATE, MATCH, Chain, Style
from retouche.losses.adversarial import hinge_critic, hinge_generator, least_squares_critic, least_squares_generator
from retouche.losses.reconstruction import l1
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
)
from retouche.methods.recipe import AdamRecipe, batch_share, critic_scores, hole_pixels, initialise, known_pixels
from retouche.weights.layout import Layout, Part, Parts, Tensors


@dataclass(frozen=True)
class DeepFillV2Config:
    """The networks' sizes and switches; the defaults are the official code's."""

    width: int = 48
    """Channels of the first convolution before its gate; the deepest has twice as many after it. Divides by 4."""
    decoder_width: int = 48
    """The same for the second stage's decoder; 64 in mmagic, where a factor was forgotten."""
    convolution: str = "gated"
    """gated, partial (Liu et al. 2018) or plain: the paper's comparison. Partial treats the hole as not valid in the
    first stage; the second one's input is complete."""
    activation: str = "elu"
    """After every convolution but those that make pictures; a name of `layers.gated.ACTIVATIONS`."""
    match_activation: str = "relu"
    """After the convolution before the attention."""
    padding: str = "same"
    """same (TensorFlow's), zeros or reflect, see `layers.padding`."""
    attention: str = "official"
    """Whose contextual attention, a name of `layers.attention.VARIANTS`."""
    second_mask: bool = False
    """Whether the second stage sees ones and mask beside the pasted picture."""
    gated_picture: bool = False
    """Whether the convolutions that make pictures are gated too."""
    sketch: bool = False
    """Whether strokes guide the generator and the critic, as one more channel."""
    critic_width: int = 64
    """Channels after the critic's first convolution; the deepest has four times as many."""
    critic_padding: str = "same"
    """same or zeros: how the critic pads."""
    critic_map: bool = False
    """Whether the critic returns a map (N, C, h, w) instead of one row of scores a sample; mmagic does."""
    initial: str = "glorot"
    """How fresh weights of the generator are drawn, a name of `recipe.INITIAL`; the official code's is TensorFlow's."""
    critic_initial: str = "glorot"
    """The same of the critic."""


class DeepFillV2Generator(Generator):
    """A coarse network, then a refining one with two branches, one of which attends to the known places.

    4,052,478 parameters at the official sizes, 4,414,908 at mmagic's; without gates 2,026,566 at the official sizes.
    """

    multiple = 8

    def __init__(self, config: DeepFillV2Config) -> None:
        super().__init__()
        if config.attention not in VARIANTS:
            raise InputError(f'no attention "{config.attention}"; known: {", ".join(VARIANTS)}')
        self.config = config
        # mirrored padding of 16 at a quarter of the size needs more than 16 pixels there
        self.smallest = 72 if config.padding == "reflect" else 8
        self.local = config.convolution != "partial"
        style = Style(config.convolution, config.activation, config.padding, config.gated_picture)
        second, width = (5 if config.second_mask else 3), config.width
        self.coarse = Chain(style, 6 if config.sketch else 5, COARSE, width)
        self.hallucinate = Chain(style, second, HALLUCINATE, width)
        self.match = Chain(style, second, MATCH, width, config.match_activation)
        self.attended = Chain(style, self.match.outputs, ATTENDED, width)
        self.decode = Chain(style, self.hallucinate.outputs + self.attended.outputs, DECODER, config.decoder_width)
        initialise(self, config.initial)

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Fill a batch; a `sketch` counts inside the hole only, as in training.

        Raises: InputError for a sketch of another size, or where the network takes none
        """
        image, mask = checked(self, image, mask)
        first = self._first(image, mask, sketch)
        coarse = self.coarse(first, 1 - mask).tanh()
        second = self._second(first, coarse)  # (N, 3 or 5, H, W)
        hallucinated = self.hallucinate(second)  # (N, 2 * width, H/4, W/4)
        attended = self.attended(contextual_attention(self.match(second), mask, self.config.attention))
        refined = self.decode(torch.cat([hallucinated, attended], 1)).tanh()
        return Prediction(refined=refined, coarse=coarse)

    def inside(self, image: Tensor, mask: Tensor, boxes: Sequence[Box], sketch: Tensor | None = None) -> Tensor:
        image, mask = checked(self, image, mask)
        first = self._first(image, mask, sketch)
        return both_stages(self, first, self._second, torch.tanh, mask, boxes, self.config.attention)

    def cost_near(self, boxes: Sequence[Box], size: tuple[int, int]) -> float:
        return cost_of_stages(boxes, size)

    def _first(self, image: Tensor, mask: Tensor, sketch: Tensor | None) -> Tensor:
        """What the coarse network sees, (N, 5 or 6, H, W)."""
        guides = [_strokes(self.config, sketch, mask)] if self.config.sketch or sketch is not None else []
        # the ones mark picture against padding: without them both are zero
        return torch.cat([image * (1 - mask), *guides, torch.ones_like(mask), mask], 1)

    def _second(self, first: Tensor, coarse: Tensor) -> Tensor:
        """What the second stage sees: the hole as the coarse network fills it."""
        guides, mask = first[:, -2:], first[:, -1:]
        pasted = coarse * mask + first[:, :3]
        return torch.cat([pasted, guides], 1) if self.config.second_mask else pasted


class PatchCritic(nn.Module):
    """SN-PatchGAN: scores of patches, each channel at each place a score of its own; 5,946,816 parameters."""

    def __init__(self, config: DeepFillV2Config) -> None:
        super().__init__()
        self.config = config
        c = config.critic_width
        widths = [5 if config.sketch else 4, c, 2 * c, 4 * c, 4 * c, 4 * c, 4 * c]
        by_itself = 2 if config.critic_padding == "zeros" else 0  # without a padded copy of the map
        for i, (inputs, outputs) in enumerate(pairwise(widths), 1):
            self.add_module(f"conv{i}", SpectralConv2d(inputs, outputs, 5, stride=2, padding=by_itself))
        initialise(self, config.critic_initial)

    def forward(self, image: Tensor, mask: Tensor | None = None, sketch: Tensor | None = None) -> Tensor:
        """Score a batch.

        Args:
            image: (N, 3, H, W), RGB, -1..1; or the published form with mask, and sketch, already behind it
            mask: (N, 1, H, W) or (1, 1, H, W), 1 = hole; None for the published form
            sketch: (N, 1, H, W), 1 = stroke, counts inside the hole only

        Returns: (N, 4 * critic_width * h * w), h and w the sides / 64 rounded up; (N, 4 * critic_width, h, w) with
            `critic_map`
        Raises: InputError for a sketch that the critic does not take or another size
        """
        x = image
        if mask is not None:
            mask = mask.to(image).expand(image.shape[0], -1, -1, -1)
            guides = [_strokes(self.config, sketch, mask)] if self.config.sketch or sketch is not None else []
            x = torch.cat([image, mask, *guides], 1)
        rule: Padding = self.config.critic_padding  # type: ignore[assignment]
        for convolution in self.children():
            x = functional.leaky_relu(convolution(x if rule == "zeros" else pad(x, 5, 2, 1, rule)), 0.2, inplace=True)
        return x if self.config.critic_map else x.flatten(1)


def _strokes(config: DeepFillV2Config, sketch: Tensor | None, mask: Tensor) -> Tensor:
    """The guide's channel (N, 1, H, W): strokes inside the hole, nothing where none are given."""
    if not config.sketch:
        raise InputError("this network takes no sketch: leave it out, or use weights of the sketch preset")
    if sketch is None:
        return torch.zeros_like(mask)
    if sketch.shape not in (mask.shape, (1, *mask.shape[1:])):
        raise InputError(f"sketch is {tuple(sketch.shape)}: give {tuple(mask.shape)}")
    return sketch.to(mask) * mask


# Settings

OFFICIAL = DeepFillV2Config()
PT = DeepFillV2Config(
    padding="zeros", attention="pt", critic_padding="zeros", initial="kaiming", critic_initial="torch"
)
MMAGIC = DeepFillV2Config(
    decoder_width=64,
    match_activation="elu",
    padding="reflect",
    attention="mmagic",
    second_mask=True,
    gated_picture=True,
    critic_padding="zeros",
    critic_map=True,
    initial="normal",
    critic_initial="normal",
)


UNGATED = ("partial", "plain")
"""Convolutions that the paper compares with its own."""


# Recipe

DATA = DataConfig(size=256, batch=16, masks="strokes+box")


@dataclass(frozen=True)
class DeepFillV2TrainingConfig:
    """How DeepFill v2 is trained; the defaults are the official code's numbers (inpaint.yml, inpaint_model.py)."""

    network: DeepFillV2Config = OFFICIAL
    data: DataConfig = DATA
    steps: int = 1_000_000
    """The official limit, 100,000,000, is never reached; nipponjo's is this one."""
    learning_rate: float = 1e-4
    """Of both networks."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's two decays."""
    own_batch: bool = True
    """Whether the critic's update has a batch of its own, not the generator's."""
    loss: Literal["hinge", "ls"] = "hinge"
    """The adversarial loss: the paper's hinge, or least squares, which nipponjo's code offers beside it."""
    critic: float = 0.5
    """Weight of the critic's hinge: the official code averages its two terms, mmagic adds them. No matter to Adam."""
    adversarial: float = 1.0
    """Weight of the critic's scores for the generator. The paper's; with 0.1 coarse pictures blur less."""
    channels_last: ClassVar[bool] = True
    """A pixel's channels lie together in memory: quicker here, in bf16 by half. No setting: nothing wants it else."""
    l1_rule: Literal["whole", "regions"] = "whole"
    """Whether each stage's L1 is one mean over all pixels, or the mean over the hole plus that over known pixels."""


class PatchRecipe(AdamRecipe[DeepFillV2TrainingConfig]):
    """One update of the critic, one of the generator, which also learns both stages by L1 without a discount."""

    def __init__(
        self, training: DeepFillV2TrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext
    ) -> None:
        super().__init__(training, networks, tools, ["discriminator"])
        self.batches = 1 + training.own_batch

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        first, batch = batches[0], batches[-1]
        with torch.set_grad_enabled(first is batch):
            prediction, filled = self._fill(first)
        yield "discriminator", self._critic_terms(first, filled.detach())
        if first is not batch:
            prediction, filled = self._fill(batch)
        yield "generator", self._generator_terms(batch, prediction, filled)

    def _fill(self, batch: Batch) -> tuple[Prediction, Tensor]:
        prediction = self.networks["generator"](batch.image, batch.mask, sketch=batch.sketch)
        return prediction, composite(batch.image, prediction.refined, batch.mask)

    def _critic_terms(self, batch: Batch, filled: Tensor) -> dict[str, Tensor]:
        real, fake = critic_scores(self.networks["discriminator"], batch.image, filled, batch.mask, batch.sketch)
        if self.training.loss == "ls":
            return {"least_squares": least_squares_critic(real, fake)}
        return {"hinge": self.training.critic * hinge_critic(real, fake)}

    def _generator_terms(self, batch: Batch, prediction: Prediction, filled: Tensor) -> dict[str, Tensor]:
        terms = {}
        for stage, result in (("coarse", prediction.coarse), ("refined", prediction.refined)):
            assert result is not None
            if self.training.l1_rule == "whole":
                terms[stage] = l1(result, batch.image)
                continue
            for name, region, pixels in (("hole", batch.mask, hole_pixels), ("known", 1 - batch.mask, known_pixels)):
                terms[f"{stage}_{name}"] = batch_share(self.tools, l1(result, batch.image, region), batch, pixels)
        scores = self.networks["discriminator"](filled, batch.mask, batch.sketch)
        against = least_squares_generator if self.training.loss == "ls" else hinge_generator
        return terms | {"adversarial": self.training.adversarial * against(scores)}


NIPPONJO_TRAINING = DeepFillV2TrainingConfig(network=PT, own_batch=False)
MMAGIC_TRAINING = DeepFillV2TrainingConfig(
    network=MMAGIC,
    data=replace(DATA, masks="mmagic", crop_scale=1.5),  # crops of 384
    steps=1_000_003,  # its configuration; the released file is of 100,000 by its README
    betas=(0.9, 0.999),
    own_batch=False,
    critic=1.0,
    adversarial=0.1,
    l1_rule="regions",
)

RECIPES = {
    "places2": DeepFillV2TrainingConfig(),
    "celeba-hq": DeepFillV2TrainingConfig(data=replace(DATA, crop="resize")),
    "sketch": DeepFillV2TrainingConfig(network=replace(OFFICIAL, sketch=True), data=replace(DATA, sketch=True)),
    # the paper's rivals of gated convolution. A gate is half of a kernel, so that with the same features a network
    # without has 2,026,566 parameters instead of 4,052,478; "-wide" ones have 4,061,306
    **{kind: DeepFillV2TrainingConfig(network=replace(OFFICIAL, convolution=kind)) for kind in UNGATED},
    **{
        f"{kind}-wide": DeepFillV2TrainingConfig(
            network=replace(OFFICIAL, convolution=kind, width=68, decoder_width=68)
        )
        for kind in UNGATED
    },
    "nipponjo": NIPPONJO_TRAINING,
    "ls": replace(NIPPONJO_TRAINING, loss="ls"),
    "mmagic-places": MMAGIC_TRAINING,
    "mmagic-celeba": replace(MMAGIC_TRAINING, steps=500_003),  # the released file: 20,000
}


# Published layouts. All name the same 42 convolutions, see `deepfill_names`.


def _downs(block: str) -> list[str]:
    return [f"{block}{i}.{name}" for i in (1, 2) for name in ("conv1_downsample", "conv2")]


_UPS = [f"up_block{i}.{name}" for i in (1, 2) for name in ("conv1_upsample.conv", "conv2")]
_PT = [
    *(f"stage1.{x}" for x in ("conv1", *_downs("down_block"), *(f"conv_bn{i}" for i in range(1, 8)))),
    *(f"stage1.{x}" for x in (*_UPS, "conv_to_rgb")),
    *(f"stage2.{x}" for x in ("conv_conv1", *_downs("conv_down_block"), *(f"conv_conv_bn{i}" for i in range(1, 6)))),
    *(f"stage2.{x}" for x in ("ca_conv1", *_downs("ca_down_block"), "ca_conv_bn1", "ca_conv_bn4", "ca_conv_bn5")),
    *(f"stage2.{x}" for x in ("conv_bn6", "conv_bn7", *_UPS, "conv_to_rgb")),
]


def _critic_from_tensorflow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    turned = {name: t.permute(3, 2, 0, 1).contiguous() if t.ndim == 4 else t for name, t in tensors.items()}
    if "conv1.weight_orig" in turned:
        turned["conv1.weight_orig"] = names.turn_picture(turned["conv1.weight_orig"], 1)
    return _both_vectors(turned)


def _both_vectors(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Both singular vectors where the file has u alone, as (out, 1) or (1, out): after the first call's iteration.

    A file without u gets the leading one. Stored kernels of nipponjo are already divided; once more does no harm.
    """
    whole = dict(tensors)
    for name, kernel in tensors.items():
        layer, _, kind = name.rpartition(".")
        if kind != "weight_orig":
            continue
        matrix = kernel.flatten(1)
        u = tensors.get(f"{layer}.weight_u")
        start = torch.linalg.svd(matrix, full_matrices=False).U[:, 0] if u is None else u.flatten()
        if start.numel() != matrix.shape[0]:
            continue  # the strict loader names the shape
        v = functional.normalize(matrix.t() @ start, dim=0, eps=1e-12)
        whole[f"{layer}.weight_u"] = functional.normalize(matrix @ v, dim=0, eps=1e-12)
        whole[f"{layer}.weight_v"] = v
    return whole


def _sized(parts: Parts, base: DeepFillV2Config) -> DeepFillV2Config:
    """The configuration with the sizes that the tensors have."""
    generator, critic = (parts.get(name, {}) for name in ("generator", "discriminator"))
    first, last = (generator.get(f"{name}.conv.weight") for name in ("coarse.conv1", "decode.conv11"))
    if first is not None:
        base = replace(base, width=first.shape[0], sketch=first.shape[1] == 6)
    if last is not None:
        base = replace(base, decoder_width=last.shape[0] // 4)
    score = critic.get("conv1.weight_orig")
    if score is not None:
        base = replace(base, critic_width=score.shape[0], sketch=score.shape[1] == 5)
    return base


def _tf_config(parts: Parts, semantics: str) -> DeepFillV2Config:
    """The original's rules or its port's. A critic alone may be of either port: the one that differs is `port` then."""
    if semantics == "original":
        return _sized(parts, OFFICIAL)
    return _sized(parts, replace(OFFICIAL, attention="tf") if "generator" in parts else PT)


def _is_pt(tensors: Tensors) -> bool:
    return any(name.endswith("stage1.conv1.conv.weight") for name in tensors)


_NIPPONJO_CRITIC = Part(
    probe="conv1.conv_sn.weight",
    prefixes=("D.", "", "discriminator."),
    rename=((r"(conv\d)\.conv_sn\.weight", r"\1.weight_orig"), (r"(conv\d)\.conv_sn\.(bias|weight_u)", r"\1.\2")),
    repair=_both_vectors,
)
_NIPPONJO_EXTRAS = (r"(G|D)_optim(\..*)?", "n_iter")

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
            "discriminator": Part(
                probe="conv1/kernel",
                prefixes=("discriminator/sn_patch_gan/",),
                rename=(
                    (r"(conv\d)/kernel", r"\1.weight_orig"),
                    (r"(conv\d)/bias", r"\1.bias"),
                    (r"(conv\d)/(?:\w+/)*u", r"\1.weight_u"),
                ),
                repair=_critic_from_tensorflow,
            ),
        },
        config=lambda parts, semantics: _sized(parts, OFFICIAL),
        # DeepFill v1 names the same layers
        detects=lambda tensors: names.tensorflow_is_gated(tensors) is not False,
        ignore=(r".*/Adam(_\d+)?", r"(.*/)?beta[12]_power(_\d+)?", r"(.*/)?global_step"),
        order_source="the official code reads B, G, R; the kernels that see or make pictures are turned on loading",
    ),
    Layout(
        name="pt",
        parts={
            "generator": Part(
                probe="stage1.conv1.conv.weight",
                prefixes=("G.", "", "generator."),
                rename=names.renames(_PT),
                ignore=(r".*\.fuse_weight",),
            ),
            "discriminator": _NIPPONJO_CRITIC,
        },
        config=lambda parts, semantics: _sized(parts, PT),
        # both ports name their critics alike: one alone is taken for the next layout's
        detects=_is_pt,
        ignore=_NIPPONJO_EXTRAS,
        order_source="trained further on pictures read by Pillow as RGB",
    ),
    Layout(
        name="tf",
        parts={
            "generator": Part(
                probe="allconv11.conv.weight",
                prefixes=("G.", "", "generator."),
                rename=names.renames([f"{name}.conv" if "upsample" in name else name for name in names.OFFICIAL]),
                ignore=(r".*\.fuse_weight",),
            ),
            "discriminator": _NIPPONJO_CRITIC,
        },
        config=_tf_config,
        detects=lambda tensors: not _is_pt(tensors),
        ignore=_NIPPONJO_EXTRAS,
    ),
    Layout(
        name="mmagic",
        parts={
            "generator": Part(
                probe="stage1.encoder.enc1.conv.conv.weight",
                prefixes=("generator.", ""),
                rename=names.renames(names.MMAGIC, ".conv.conv.weight", ".conv.conv.bias"),
                ignore=(r".*\.fuse_kernel",),
            ),
            "discriminator": Part(
                probe="conv1.conv.weight_orig",
                prefixes=("disc.", ""),
                rename=((r"(conv\d)\.conv\.(weight_orig|weight_u|weight_v|bias)", r"\1.\2"),),
            ),
        },
        config=lambda parts, semantics: _sized(parts, MMAGIC),
        ignore=(r"data_preprocessor\..*", r"step_counter", r"loss_\w+\..*"),
        order="bgr",
        order_source=names.MMAGIC_ORDER,
    ),
)


_DRIVE = "https://drive.google.com/uc?export=download&id="
_FILES = "https://drive.google.com/drive/folders/"
_MMEDITING = "https://download.openmmlab.com/mmediting/inpainting/deepfillv2/"
_OF = "official"
_NC = "CC BY-NC 4.0"
_LICENCES = {"tf": _NC, "pt": _NC, _OF: _NC, "mmagic": "Apache-2.0"}
_REMARKS = {
    "tf": "converted from the official checkpoint; whether its BGR was turned is not known",
    "pt": "the converted file trained further by nipponjo; the licence of what it came from holds",
    "official": "a folder: get it by hand and give the prefix of its snap-* checkpoint",
    "mmagic": "",
}

WEIGHTS = tuple(
    Weights(tag, file, url + (file if url == _MMEDITING else ""), None, _LICENCES[of], data, of, _REMARKS[of])
    for tag, file, url, data, of in (
        ("places2", "states_tf_places2.pth", _DRIVE + "1tvdQRmkphJK7FYveNAKSMWC6K09hJoyt", "Places2", "tf"),
        ("celeba-hq", "states_tf_celebahq.pth", _DRIVE + "1fTQVSKWwWcKYnmeemxKWImhVtFQpESmm", "CelebA-HQ", "tf"),
        ("places2-pt", "states_pt_places2.pth", _DRIVE + "1L63oBNVgz7xSb_3hGbUdkYW1IuRgMkCa", "Places2", "pt"),
        ("celeba-hq-pt", "states_pt_celebahq.pth", _DRIVE + "17oJ1dJ9O3hkl2pnl8l2PtNVf2WhSDtB7", "CelebA-HQ", "pt"),
        ("places2-mmagic", "deepfillv2_256x256_8x2_places_20200619-10d15793.pth", _MMEDITING, "Places365", "mmagic"),
        ("celeba-mmagic", "deepfillv2_256x256_8x2_celeba_20200619-c96e5f12.pth", _MMEDITING, "CelebA", "mmagic"),
        ("places2-official", "snap-0", _FILES + "1y7Irxm3HSHGvp546hZdAZwuNmhLUVcjO", "Places2", _OF),
        ("celeba-hq-official", "snap-0", _FILES + "1uvcDgMer-4hgWlm6_G9xjvEQGP8neW15", "CelebA-HQ", _OF),
    )
)  # fmt: skip


def pixel_bytes(config: DeepFillV2Config) -> float:
    """What a pass takes of memory, in bytes a pixel: the largest measured and about a tenth more.

    Measured in float32 on a CPU, the peak of a process over what a pass of 128x128 had left, at 256, 512, 1024 and 2048
    pixels: places2 812, 700, 468, 464; pt 822, 702; mmagic, whose mirrored padding is a copy of doubled maps, 1308,
    827, 478; partial, which is not computed in bands of rows, 1264, 1420, 1408; plain 450, 564. On a GPU bands are
    eight times as high (two_stage.LAUNCHES): a picture of 512 takes 1100, each of several what it takes here.
    """
    if config.convolution != "gated":
        return 1600.0 if config.convolution == "partial" else 650.0
    return 1450.0 if config.padding == "reflect" else 900.0


METHOD = Method(
    title="DeepFill v2 (Yu, Lin, Yang, Shen, Lu, Huang 2019)",
    source="arXiv 1806.03589; github.com/JiahuiYu/generative_inpainting",
    presets={
        "places2": OFFICIAL,
        "sketch": replace(OFFICIAL, sketch=True),
        **{kind: replace(OFFICIAL, convolution=kind) for kind in UNGATED},
        "pt": PT,
        "mmagic": MMAGIC,
    },
    build=DeepFillV2Generator,
    critics=lambda config: {"discriminator": PatchCritic(config)},
    layouts=LAYOUTS,
    weights=WEIGHTS,
    channels_last=True,
    scope=lambda config: Scope(side=512, hole=256, pixel_bytes=pixel_bytes(config)),
    conditioning=lambda config: frozenset({"sketch"} if config.sketch else ()),
    recipes=RECIPES,
    recipe=PatchRecipe,
)

"""Context encoders: the first network that filled large holes, by reconstruction and an adversary.

Paper: Pathak, Krähenbühl, Donahue, Darrell, Efros, "Context encoders: feature learning by inpainting", CVPR 2016,
arXiv 1604.07379. Code: github.com/pathak22/context-encoder (Lua Torch); PyTorch port with published weights:
github.com/BoyuanJiang/context_encoder_pytorch.
Two regions: "centre" sees a 128x128 picture without its middle 56x56 and predicts the middle 64x64; "any" takes holes
anywhere in pictures of 128 or 64 pixels, and predicts the whole picture.

What differs there: the port pastes all 64x64 of its prediction, over the known ring, the original the inner 56x56 only
(so do we, by the mask). The hole is blanked with 117, 104, 123 for red, green, blue: ImageNet's mean colours in another
order, which the weights were trained with. The Lua convolutions have biases that are set to zero before every step;
the port has none; in the "any" networks, which only the Lua code has, they count (`bias`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError
from retouche.image import composite
from retouche.layers.centre import Centre
from retouche.losses.adversarial import binary_critic, binary_generator
from retouche.losses.reconstruction import overlap_reconstruction
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
from retouche.weights.layout import Layout, Part, Parts, Tensors

CENTRE = Centre(side=128, block=64, overlap=4)
BLANK = tuple(2 * value / 255 - 1 for value in (117, 104, 123))
"""What the hole is blanked with: red, green, blue in -1..1."""
SLOPE = 0.2
"""Of the leaky ReLUs."""


@dataclass(frozen=True)
class ContextEncoderConfig:
    """The networks' sizes; the defaults are the published weights'."""

    region: Literal["centre", "any"] = "centre"
    """Where the hole may be: in the middle of the picture, or anywhere."""
    side: Literal[64, 128] = 128
    """Side of the pictures the network is trained on, in pixels; 64 only with region "any"."""
    width: int = 64
    """Channels after the encoder's first convolution; the deepest has eight times as many."""
    bottleneck: int = 4000
    """Channels of the 1x1 code between encoder and decoder."""
    critic_width: int = 64
    """Channels after the discriminator's first convolution."""
    bias: bool = False
    """Whether the convolutions have biases."""


class Stage(nn.Module):
    """Convolution with a kernel of 4, batch normalisation, activation.

    Args:
        inputs, outputs: channels
        stride: 2 halves (or, transposed, doubles) the sides; 1 goes from 4x4 to 1x1 (or back)
        bias: whether the convolution has one
        slope: of the leaky ReLU; 0 for a plain one, None for no activation
        transposed: a transposed convolution
        norm: whether batch normalisation follows
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        bias: bool,
        slope: float | None,
        transposed: bool = False,
        norm: bool = True,
    ) -> None:
        super().__init__()
        kind = nn.ConvTranspose2d if transposed else nn.Conv2d
        self.conv = kind(inputs, outputs, 4, stride, padding=stride - 1, bias=bias)
        self.norm = nn.BatchNorm2d(outputs) if norm else None
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if self.norm is None else self.norm(x)
        return x if self.slope is None else functional.leaky_relu(x, self.slope)


class ContextEncoder(Generator):
    """Encoder to a 1x1 code, decoder by transposed convolutions.

    Parameters at the published sizes: 71,124,544 ("centre"); with biases 71,196,259 ("any", 128) and
    71,064,803 ("any", 64).
    """

    def __init__(self, config: ContextEncoderConfig) -> None:
        super().__init__()
        if config.region == "centre" and config.side != CENTRE.side:
            raise InputError(f"region centre knows side {CENTRE.side} only, not {config.side}: choose region any")
        self.region = config.region
        # the "centre" network knows one geometry; the other is convolutional and takes larger pictures, too
        self.multiple = CENTRE.side if config.region == "centre" else 32 * config.side // 128
        self.smallest = config.side
        c, bias = config.width, config.bias
        small = config.side == 64
        deep = [c, *([] if small else [c]), 2 * c, 4 * c, 8 * c]  # channels after each halving
        self.encoder = nn.Sequential(
            Stage(3, deep[0], 2, bias, SLOPE, norm=False),
            *(Stage(deep[i - 1], deep[i], 2, bias, SLOPE) for i in range(1, len(deep))),
        )
        self.bottleneck = Stage(deep[-1], config.bottleneck, 1, bias, SLOPE)
        # the middle of 64 pixels, or all 128, which takes one more doubling
        flat = [8 * c, 4 * c, 2 * c, c, *([c] if config.region == "any" and not small else [])]
        self.decoder = nn.Sequential(
            Stage(config.bottleneck, flat[0], 1, bias, 0.0, transposed=True),
            *(Stage(flat[i - 1], flat[i], 2, bias, 0.0, transposed=True) for i in range(1, len(flat))),
            Stage(flat[-1], 3, 2, bias, None, transposed=True, norm=False),
        )
        self.apply(_initialise)

    def masked(self, image: Tensor, mask: Tensor) -> Tensor:
        """The network's own input: the image with its hole blanked."""
        blank = image.new_tensor(BLANK).view(1, 3, 1, 1)
        return torch.where(mask > 0, blank, image)

    def encode(self, masked: Tensor) -> Tensor:
        """Features of a blanked picture: (N, 3, side, side) -> (N, 8 * width, 4, 4)."""
        return self.encoder(masked)

    def code(self, encoded: Tensor) -> Tensor:
        """The whole picture as one vector: (N, 8 * width, 4, 4) -> (N, bottleneck, 1, 1)."""
        return self.bottleneck(encoded)

    def decode(self, code: Tensor) -> Tensor:
        """(N, bottleneck, 1, 1) -> (N, 3, 64, 64) for the middle, or (N, 3, side, side); -1..1."""
        return torch.tanh(self.decoder(code))

    def centre(self, image: Tensor) -> Tensor:
        """The predicted middle of region "centre": (N, 3, 128, 128) -> (N, 3, 64, 64), both in -1..1."""
        assert self.region == "centre"
        return self.decode(self.code(self.encode(self.masked(image, CENTRE.mask(image)))))

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Fill a batch.

        Region "centre" blanks the whole middle 56x56, whatever part of it the mask covers. `refined` is then the image
        with the predicted 64x64 in its middle, and the image's own values elsewhere.

        Raises: with region "centre" InputError for another size, or for a mask that leaves the middle 56x56
        """
        image, mask = checked(self, image, mask)
        if self.region == "centre":
            CENTRE.check(image, mask)
            return Prediction(refined=CENTRE.paste(image, self.centre(image)))
        return Prediction(refined=self.decode(self.code(self.encode(self.masked(image, mask)))))


class ContextDiscriminator(nn.Module):
    """Scores pictures as predicted or true; 2,765,568 parameters for the middle of 64 pixels at the published sizes."""

    def __init__(self, config: ContextEncoderConfig) -> None:
        super().__init__()
        self.region = config.region
        c, bias = config.critic_width, config.bias
        large = config.region == "any" and config.side == 128  # one more halving than for 64 pixels
        widths = [c, *([c] if large else []), 2 * c, 4 * c, 8 * c]
        self.stages = nn.Sequential(
            Stage(3, widths[0], 2, bias, SLOPE, norm=False),
            *(Stage(widths[i - 1], widths[i], 2, bias, SLOPE) for i in range(1, len(widths))),
            Stage(widths[-1], 1, 1, bias, None, norm=False),
        )
        self.apply(_initialise)

    def forward(self, image: Tensor, mask: Tensor | None = None, logits: bool = False) -> Tensor:
        """How true a picture looks.

        Args:
            image: (N, 3, side, side) in -1..1; without a mask region "centre" takes the published form, the
                middle (N, 3, 64, 64)
            mask: marks the first form; the middle or picture is judged whole, whatever the mask covers
            logits: whether to leave out the sigmoid, for losses that are exact for large logits only then

        Returns: (N, 1), 0..1 as published, or a logit
        """
        if self.region == "centre" and mask is not None:
            image = CENTRE.crop(image)
        logit = self.stages(image).flatten(1)
        return logit if logits else torch.sigmoid(logit)


def _initialise(layer: nn.Module) -> None:
    """Normal kernels of deviation 0.02, norm weights around 1; biases zero (both published codes)."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)
        nn.init.zeros_(layer.bias)


# Recipe

# Lua: the shorter side to 350, a random 128 of it, mirrored half of the time. A hole of 56 in 128
DATA = DataConfig(
    size=CENTRE.side, batch=64, masks="centre(0.4375)", crop="short", crop_scale=350 / CENTRE.side, flip=True
)
EPOCH = 14_900 // 64
"""Batches of Paris StreetView; the published codes count in epochs."""


@dataclass(frozen=True)
class ContextEncoderTrainingConfig:
    """How context encoders are trained; the defaults are the Lua code's numbers, with its README's options."""

    network: ContextEncoderConfig = ContextEncoderConfig()
    data: DataConfig = DATA
    steps: int = 500 * EPOCH
    learning_rate: float = 2e-3
    """Of the generator: ten times the discriminator's wherever reconstruction is weighted."""
    critic_learning_rate: float = 2e-4
    """Of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's two decays."""
    reconstruction: float = 0.999
    """Weight of squared errors."""
    adversarial: float = 0.001
    """Weight of the discriminator's judgement for the generator."""
    overlap: float = 10.0
    """Weight of squared errors in the ring that is known and predicted again; region "centre" only."""
    judged: Literal["hole", "whole"] = "hole"
    """With region "any": whether the generator answers for the hole (the paper: squared errors of the hole, the filled
    picture before the discriminator) or for its whole output (the Lua code)."""

    def for_size(self) -> ContextEncoderTrainingConfig:
        """The same with networks for the pictures' size.

        Raises: InputError for a size that the networks do not come in
        """
        sides: tuple[Literal[64, 128], ...] = (64, 128) if self.network.region == "any" else (128,)
        for side in sides:
            if side == self.data.size:
                return replace(self, network=replace(self.network, side=side))
        known = " or ".join(map(str, sides))
        raise InputError(f"context-encoder cannot be trained at size {self.data.size}: choose {known}")


class ContextRecipe(AdamRecipe[ContextEncoderTrainingConfig]):
    """The discriminator learns first; its batches of originals and of fillings are normalised apart, as published."""

    def __init__(
        self, training: ContextEncoderTrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext
    ) -> None:
        super().__init__(training, networks, tools, ["discriminator"])

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        (batch,) = batches
        training, image, mask = self.training, batch.image, batch.mask
        refined = self.networks["generator"](image, mask).refined
        hole_only = training.network.region == "any" and training.judged == "hole"
        shown = composite(image, refined, mask) if hole_only else refined
        real = self.networks["discriminator"](image, mask, logits=True)
        fake = self.networks["discriminator"](shown.detach(), mask, logits=True)
        yield "discriminator", {"binary": binary_critic(real, fake)}
        scores = self.networks["discriminator"](shown, mask, logits=True)
        terms = {name: training.reconstruction * term for name, term in self._errors(batch, refined).items()}
        yield "generator", terms | {"adversarial": training.adversarial * binary_generator(scores)}

    def _errors(self, batch: Batch, refined: Tensor) -> dict[str, Tensor]:
        """Squared errors in -1..1, by where they are."""
        training, image, mask = self.training, batch.image, batch.mask
        if training.network.region == "centre":
            blocks = CENTRE.crop(refined), CENTRE.crop(image)
            inside, ring = overlap_reconstruction(*blocks, CENTRE.overlap, training.overlap)
            return {"centre": inside, "overlap": ring}
        error = (refined - image).square()
        if training.judged == "whole":
            return {"whole": error.mean()}
        return {"hole": self.tools.ratio((error * mask).sum(), batch, lambda part: (3 * part.mask.sum()).clamp_min(1))}


def _any(side: Literal[64, 128], where: Literal["hole", "whole"]) -> ContextEncoderTrainingConfig:
    """Holes anywhere: the Lua code's blots over 20 to 30 % of the picture. It takes one for a whole batch; here each
    picture has its own."""
    data = replace(DATA, size=side, masks="blots", crop_scale=350 / side)
    return ContextEncoderTrainingConfig(
        network=ContextEncoderConfig(region="any", side=side, bias=True), data=data, judged=where
    )


RECIPES = {
    "centre": ContextEncoderTrainingConfig(),
    # the PyTorch port: one rate for both, its weight 0.999 applied twice, the middle square unmirrored, 200 epochs
    "port": ContextEncoderTrainingConfig(
        data=replace(DATA, crop="centre", crop_scale=1.0, flip=False),
        steps=200 * EPOCH,
        learning_rate=2e-4,
        reconstruction=0.999**2,
    ),
    **{f"any-{side}": _any(side, "hole") for side in (128, 64)},
    **{f"any-{side}-code": _any(side, "whole") for side in (128, 64)},
}


# Published layouts


def _config(parts: Parts, semantics: str) -> ContextEncoderConfig:
    sizes: dict[str, int] = {}
    if "generator" in parts:
        code = parts["generator"]["bottleneck.conv.weight"]
        sizes = {"width": code.shape[1] // 8, "bottleneck": code.shape[0]}
        sizes["bias"] = "bottleneck.conv.bias" in parts["generator"]
    if "discriminator" in parts:
        sizes["critic_width"] = parts["discriminator"]["stages.0.conv.weight"].shape[0]
    return ContextEncoderConfig(**sizes)  # type: ignore[arg-type]  # whole numbers, and a switch


def _numbered(places: list[str], normed: int) -> tuple[tuple[str, str], ...]:
    """The port counts convolutions, norms and activations in one row; the first and the last stage have no norm.

    Args:
        places: our stages in order
        normed: the first `normed` after stage 0 have a norm
    """
    renames, position = [], 0
    for i, place in enumerate(places):
        renames.append((rf"main\.{position}\.(\w+)", rf"{place}.conv.\1"))
        if 1 <= i <= normed:
            renames.append((rf"main\.{position + 1}\.(\w+)", rf"{place}.norm.\1"))
        position += 3 if 1 <= i <= normed else 2
    return tuple(renames)


_COUNTERS = (r".*\.num_batches_tracked",)  # PyTorch before 0.4.1, which wrote the published file, has none


_LUA_STAGES = [  # place of the convolution, of its norm (if any), our stage
    *(("1.modules.1", None, "encoder.0"), ("1.modules.3", "1.modules.4", "encoder.1")),
    *(("1.modules.6", "1.modules.7", "encoder.2"), ("1.modules.9", "1.modules.10", "encoder.3")),
    *(("1.modules.12", "1.modules.13", "encoder.4"), ("1.modules.15", "2", "bottleneck")),
    *((f"{4 + 3 * i}", f"{5 + 3 * i}" if i < 4 else None, f"decoder.{i}") for i in range(5)),
]
"""The generator of the original code: an encoder within a row that goes on with the norm of its last convolution."""
_LUA_RENAMES = tuple(
    (rf"modules\.{re.escape(place)}\.(\w+)", rf"{ours}.{kind}.\1")
    for convolution, norm, ours in _LUA_STAGES
    for place, kind in ((convolution, "conv"), (norm, "norm"))
    if place is not None
)


def _from_lua(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Variances, where older files keep the inverse of the deviation: 1 / sqrt(variance + 0.00001)."""
    whole = {}
    for name, tensor in tensors.items():
        if name.endswith(".running_std"):
            name, tensor = name.removesuffix("std") + "var", tensor.pow(-2) - 1e-5
        whole[name] = tensor
    return whole


def _is_generator(tensors: Tensors) -> bool:
    return any(n.endswith("main.29.weight") and t.ndim == 4 and t.shape[1] == 3 for n, t in tensors.items())


def _is_discriminator(tensors: Tensors) -> bool:
    return any(n.endswith("main.11.weight") and t.ndim == 4 and t.shape[0] == 1 for n, t in tensors.items())


# The port has two layouts, because all names of the discriminator's file are names of the generator's too: shapes
# decide.
LAYOUTS = (
    Layout(
        name="boyuanjiang",
        parts={
            "generator": Part(
                probe="main.29.weight",
                prefixes=("", "netG."),
                rename=_numbered(
                    [*(f"encoder.{i}" for i in range(5)), "bottleneck", *(f"decoder.{i}" for i in range(5))], normed=9
                ),
                optional=_COUNTERS,
            )
        },
        config=_config,
        detects=_is_generator,
        ignore=("epoch",),
        order_source="torchvision's ImageFolder reads pictures by Pillow as RGB",
    ),
    Layout(
        name="boyuanjiang-discriminator",
        parts={
            "discriminator": Part(
                probe="main.11.weight",
                prefixes=("", "netD."),
                rename=_numbered([f"stages.{i}" for i in range(5)], normed=3),
                optional=_COUNTERS,
            )
        },
        config=_config,
        detects=_is_discriminator,
        ignore=("epoch",),
        order_source="torchvision's ImageFolder reads pictures by Pillow as RGB",
    ),
    Layout(
        # the original's binary files, see `weights.lua`; what modules kept of their last pass is no weight
        name="pathak22",
        parts={
            "generator": Part(
                probe="modules.1.modules.1.weight",
                rename=_LUA_RENAMES,
                repair=_from_lua,
                ignore=(r"(.*\.)?(?!(weight|bias|running_(mean|var|std))$)[^.]+",),
                optional=_COUNTERS,
            )
        },
        config=_config,
        order_source="the image package of Lua Torch loads R, G, B",
    ),
)

WEIGHTS = (
    Weights(
        tag="streetview",
        file="netG_streetview.pth",
        url=None,
        sha256=None,
        licence="MIT (the port); Paris StreetView itself is for research only",
        trained_on="Paris StreetView",
        layout="boyuanjiang",
        remark="linked in the README of github.com/BoyuanJiang/context_encoder_pytorch (Google Drive, Baidu)",
    ),
    *(
        Weights(
            tag=f"{tag}-original",
            file=f"{tag}_inpaintCenter.t7",
            url=None,
            sha256=None,
            licence="UC Berkeley: educational, research and not-for-profit use",
            trained_on=data,
            layout="pathak22",
            remark="in inpaintCenterModels.tar.gz (504 MB, MD5 632b1cfcc9bc59212c77ca138235d125) of "
            "github.com/pathak22/context-encoder, models/scripts/download_inpaintCenter_models.sh",
        )
        for tag, data in (("paris", "Paris StreetView"), ("imagenet", "ImageNet"))
    ),
)


def _scope(config: ContextEncoderConfig) -> Scope:
    if config.region == "centre":
        return Scope(side=CENTRE.side, hole=CENTRE.hole, centre=(CENTRE.side, CENTRE.hole))
    # trained with 20 to 30 % of the picture missing
    return Scope(side=config.side, hole=config.side // 2)


METHOD = Method(
    title="Context encoder (Pathak, Krähenbühl, Donahue, Darrell, Efros 2016)",
    source="arXiv 1604.07379; github.com/pathak22/context-encoder; github.com/BoyuanJiang/context_encoder_pytorch",
    presets={
        "centre": ContextEncoderConfig(),
        "any-128": ContextEncoderConfig(region="any", bias=True),
        "any-64": ContextEncoderConfig(region="any", side=64, bias=True),
    },
    build=ContextEncoder,
    critics=lambda config: {"discriminator": ContextDiscriminator(config)},
    layouts=LAYOUTS,
    weights=WEIGHTS,
    scope=_scope,
    recipes=RECIPES,
    recipe=ContextRecipe,
)

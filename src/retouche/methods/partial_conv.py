"""Partial convolutions: a U-Net whose layers weigh known pixels only and pass on what has become known.

Paper: Liu, Reda, Shih, Wang, Tao, Catanzaro, "Image Inpainting for Irregular Holes Using Partial Convolutions",
ECCV 2018, arXiv 1804.07723. Code: the layer alone at github.com/NVIDIA/partialconv; networks by others:
open-mmlab/mmagic ("mmagic") and naoto0804/pytorch-inpainting-with-partial-conv ("naoto").
A patent of the authors' company carries the paper's title (US 12,425,605); whether and where it stands in the way of a
use is for the user to find out.

One network with switches covers both. What differs in the codes:
- The layer divides by the number of known values; NVIDIA and mmagic multiply by the window's size, naoto does not
  (`window`), so that its weights are as much larger.
- The first layer has a bias in mmagic only.
- mmagic's network sees -1..1 in the order B, G, R; naoto's ImageNet's mean and deviation, R, G, B. The hole is 0 in
  either space.
- Losses: see `losses.partial`. mmagic's VGG is shown B, G, R with the mean and deviation of R, G, B.
- Decoder: features and masks are doubled and joined with the encoder's, each group keeping its own mask; the Keras port
  (MathiasGruber/PConv-Keras) joins the other way round and is another network.

Trained twice: holes are zeros in the statistics of batch normalisation, which makes them depend on the mask. The second
stage goes on from the first with the encoder's statistics frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from retouche.backbones.vgg import NORMALISATIONS, VGG
from retouche.errors import InputError, WeightsError
from retouche.image import Box, area, composite, union
from retouche.layers.partial import GroupedPartialConv2d, Window
from retouche.layers.unet_boxes import cut, decoder_steps, encoder_steps, grown, halved
from retouche.losses.partial import Share, Variation, hole_and_valid, perceptual_and_style_of_both, variations
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
from retouche.methods.recipe import AdamRecipe, batch_share, hole_pixels, initialise, known_pixels
from retouche.weights.layout import Layout, Order, Part, Parts

NEAR = 8
"""About how far from wanted pixels the decoder has to be computed, on average over its work."""
FAR = 3
"""About how far the encoder has, as a multiple of the deepest place's side."""

Space = Literal["symmetric", "imagenet"]
"""What a network's numbers mean: -1..1, or 0..1 minus ImageNet's mean, divided by its deviation."""


@dataclass(frozen=True)
class PartialConvConfig:
    """The network's sizes and switches; the defaults are what fresh training uses."""

    width: int = 64
    """Channels after the first layer; the deepest have eight times as many."""
    levels: int = 7
    """Halvings; 7 in both published networks, which were trained at 256 pixels. The paper's has 8, at 512."""
    window: Window = "ratio"
    """What sums over known values are multiplied by: the window's size / their number, or none of the size."""
    first_bias: bool = True
    """Whether the first layer has a bias."""
    space: Space = "symmetric"
    """What the numbers that the layers see mean."""
    initial: str = "he-in"
    """How fresh kernels are drawn, a name of `recipe.INITIAL`."""


MMAGIC = PartialConvConfig(initial="he-out")
NAOTO = PartialConvConfig(window="none", first_bias=False, space="imagenet")


class Layer(nn.Module):
    """Partial convolution, batch normalisation, activation; the mask passes the last two by.

    Args:
        widths: channels of what comes in, group by group
        outputs: channels made
        kernel: in pixels
        stride: 2 in the encoder
        config: of the method
        slope: of the leaky ReLU, 0 for a plain one; None for the layer that makes the picture, which has no norm
        norm: whether batch normalisation follows
    """

    def __init__(
        self,
        widths: Sequence[int],
        outputs: int,
        kernel: int,
        stride: int,
        config: PartialConvConfig,
        slope: float | None,
        norm: bool,
    ) -> None:
        super().__init__()
        picture = slope is None
        bias = picture or (not norm and config.first_bias)
        self.conv = GroupedPartialConv2d(widths, outputs, kernel, stride, bias, config.window)
        self.norm = nn.BatchNorm2d(outputs) if norm else None
        self.slope = slope

    def forward(self, groups: Sequence[Tensor], known: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `GroupedPartialConv2d.forward`."""
        x, seen = self.conv(groups, known)
        x = x if self.norm is None else self.norm(x)
        return (x if self.slope is None else functional.leaky_relu(x, self.slope)), seen


class PartialUNet(Generator):
    """The network; 25,779,860 parameters with the bias of the first layer."""

    local = True

    def __init__(self, config: PartialConvConfig) -> None:
        super().__init__()
        if config.levels < 3 or config.space not in {"symmetric", "imagenet"} or config.window not in {"ratio", "none"}:
            raise InputError(
                f'levels {config.levels}, window "{config.window}" and space "{config.space}" make no network: '
                "levels is 3 or more, window ratio or none, space symmetric or imagenet"
            )
        self.config = config
        self.multiple = self.smallest = 2**config.levels
        self.widths = widths = [3, *(min(2**i, 8) * config.width for i in range(config.levels))]
        self.kernels = kernels = [7, 5, 5, *[3] * (config.levels - 3)]
        self.encoder = nn.ModuleList(
            Layer([widths[i]], widths[i + 1], kernels[i], 2, config, 0.0, norm=i > 0) for i in range(config.levels)
        )
        # decoder.0 is the last to run; each sees what the one before made and what the encoder had at that size
        self.decoder = nn.ModuleList(
            Layer([widths[i + 1], widths[i]], widths[i] if i else 3, 3, 1, config, 0.2 if i else None, norm=i > 0)
            for i in range(config.levels)
        )
        initialise(self, config.initial)

    @property
    def encoder_norms(self) -> list[nn.BatchNorm2d]:
        """The encoder's batch normalisation, from the second layer on."""
        return [layer for layer in self.encoder.modules() if isinstance(layer, nn.BatchNorm2d)]

    def to_space(self, image: Tensor) -> Tensor:
        """-1..1 as the layers' numbers."""
        if self.config.space == "symmetric":
            return image
        mean, deviation = _imagenet(image)
        return ((image + 1) / 2 - mean) / deviation

    def from_space(self, x: Tensor) -> Tensor:
        """The layers' numbers as -1..1."""
        if self.config.space == "symmetric":
            return x
        mean, deviation = _imagenet(x)
        return 2 * (x * deviation + mean) - 1

    def encode(self, x: Tensor, known: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Features and masks (1 = known) of each size: the input's own first, then each layer's."""
        levels = [(x, known)]
        for layer in self.encoder:
            x, known = layer([x], [known])
            levels.append((x, known))
        return levels

    def decode(self, levels: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The picture in the layers' numbers, (N, 3, H, W), and its mask (N, 1, H, W): 0 where nothing was reached."""
        x, known = levels[-1]
        for i in reversed(range(len(self.decoder))):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            known = functional.interpolate(known, scale_factor=2.0, mode="nearest")
            x, known = self.decoder[i]([x, levels[i][0]], [known, levels[i][1]])
        return x, known

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        """Fill a batch. `refined` is not cut to -1..1.

        A place beyond reach of every known pixel is 0 in the layers' numbers: mid grey, or ImageNet's mean colour.
        Masks between 0 and 1 weigh, as in naoto's training.

        Raises: InputError in training for a batch that batch normalisation cannot take
        """
        image, mask = checked(self, image, mask)
        deepest = image.numel() // 3 // self.multiple**2
        if deepest == 1 and any(norm.training for norm in self.encoder_norms):
            raise InputError(
                f"one picture of {self.multiple} pixels has no deviation at the network's bottom: train on two or more "
                "pictures a batch, or at a larger size"
            )
        known = 1 - mask
        x, _ = self.decode(self.encode(self.to_space(image) * known, known))
        return Prediction(refined=self.from_space(x))

    def inside(self, image: Tensor, mask: Tensor, boxes: Sequence[Box], sketch: Tensor | None = None) -> Tensor:
        """The decoder makes the boxes alone; the encoder, whose deepest places see far, one box around all they read.

        Exact but for rounding, as statistics of batch normalisation are those of training, and windows are counted
        where they are.
        """
        image, mask = checked(self, image, mask)
        known = 1 - mask
        seen = self.to_space(image) * known
        size = (image.shape[2], image.shape[3])
        plans = [decoder_steps(box, self.config.levels, size) for box in boxes]
        wanted = [union(level) for level in zip(*([step.given for step in plan] for plan in plans), strict=True)]
        wanted.append(halved(wanted[-1]))
        steps = encoder_steps(wanted, self.kernels, size)
        begun = union([wanted[0], steps[0].given])
        levels = [(cut(seen, (0, 0, *size[::-1]), begun), cut(known, (0, 0, *size[::-1]), begun), begun)]
        for layer, step in zip(self.encoder, steps, strict=True):
            x, valid, begun = levels[-1]
            x, valid = layer([cut(x, begun, step.given)], [cut(valid, begun, step.given)])
            made = halved(step.given)
            levels.append((cut(x, made, step.wanted), cut(valid, made, step.wanted), step.wanted))
        refined = image * known
        for box, plan in zip(boxes, plans, strict=True):
            x, valid, begun = levels[-1]
            for layer, (features, there, from_), step in reversed(
                list(zip(self.decoder, levels[:-1], plan, strict=True))
            ):
                below = halved(step.given)
                pair = [functional.interpolate(cut(each, begun, below), scale_factor=2.0) for each in (x, valid)]
                joined = [pair[0], cut(features, from_, step.given)], [pair[1], cut(there, from_, step.given)]
                x, valid = (cut(each, step.given, step.wanted) for each in layer(*joined))
                begun = step.wanted
            cut(refined, (0, 0, *size[::-1]), box).copy_(self.from_space(x))
        return refined

    def cost_near(self, boxes: Sequence[Box], size: tuple[int, int]) -> float:
        pairs = list(enumerate(pairwise(self.widths)))
        encoder = sum(self.kernels[i] ** 2 * one * two / 4 ** (i + 1) for i, (one, two) in pairs)
        decoder = sum(9 * (one + two) * one / 4**i for i, (one, two) in pairs)
        near = sum(area(grown(box, NEAR, size)) for box in boxes)
        around = area(grown(union(boxes), FAR * self.multiple, size))
        return (encoder * around + decoder * near) / (encoder + decoder)


def _imagenet(x: Tensor) -> tuple[Tensor, Tensor]:
    """ImageNet's mean and deviation of red, green, blue in 0..1, (1, 3, 1, 1), in the type and place of `x`."""
    mean, deviation = (x.new_tensor(numbers).view(1, 3, 1, 1) for numbers in NORMALISATIONS["torchvision"])
    return mean, deviation


# Recipe

DATA = DataConfig(size=256, batch=16, masks="irregular", crop="resize")


@dataclass(frozen=True)
class PartialConvLossConfig:
    """What training lowers: weights of the terms and the forms they come in; the defaults are nearest to the paper."""

    valid: float = 1.0
    """Weight of the L1 of known pixels."""
    hole: float = 6.0
    """Weight of the L1 of the hole."""
    perceptual: float = 0.05
    """Weight of feature differences, of the raw prediction and of the filled picture each."""
    style: float = 120.0
    """Weight of Gram matrices' differences, likewise."""
    variation: float = 0.1
    """Weight of differences between neighbours in the filled picture."""
    share: Share = "all"
    """What the two L1 are averaged over."""
    neighbours: Variation = "dilated"
    """Where neighbours are compared."""
    features: Order = "rgb"
    """In which order VGG is shown colours; bgr in mmagic, whose networks see that order throughout."""


@dataclass(frozen=True)
class PartialConvTrainingConfig:
    """How partial convolutions are trained."""

    network: PartialConvConfig = PartialConvConfig()
    data: DataConfig = DATA
    steps: int = 500_000
    objective: PartialConvLossConfig = field(default_factory=PartialConvLossConfig)
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's two decays."""
    frozen: Literal["nothing", "statistics", "norms"] = "nothing"
    """What of the encoder's batch normalisation stays as the first stage left it: nothing, its statistics, or its
    weights too."""


def generator_terms(
    objective: PartialConvLossConfig,
    network: PartialUNet,
    backbone: VGG | None,
    batch: Batch,
    prediction: Tensor,
    tools: RecipeContext,
) -> dict[str, Tensor]:
    """What the generator lowers, weighted: pixel terms in the network's numbers, features in the backbone's.

    Args:
        network: whose numbers count
        backbone: a VGG16; None where neither features nor style weigh anything
        prediction: (N, 3, H, W), of the batch
    """
    image, mask = batch.image, batch.mask
    filled = composite(image, prediction, mask)
    here, there, whole = (network.to_space(x) for x in (prediction, image, filled))
    hole, valid = hole_and_valid(here, there, mask, objective.share)
    if objective.share == "region":
        hole, valid = batch_share(tools, hole, batch, hole_pixels), batch_share(tools, valid, batch, known_pixels)

    def places(axis: int) -> Callable[[Batch], Tensor]:
        return lambda part: variations(part.image, part.mask, objective.neighbours)[axis][1]

    steps = variations(whole, mask, objective.neighbours)
    down, sideways = (batch_share(tools, mean, batch, places(axis)) for axis, (mean, _) in enumerate(steps))
    terms = {
        "hole": objective.hole * hole,
        "valid": objective.valid * valid,
        "variation": objective.variation * (down + sideways),
    }
    if backbone is not None:
        axes = [1] if objective.features == "bgr" else []
        shown = (x.flip(axes) for x in (prediction, filled, image))
        for name, (perceptual, style) in perceptual_and_style_of_both(backbone, *shown).items():
            terms[f"perceptual_{name}"] = objective.perceptual * perceptual
            terms[f"style_{name}"] = objective.style * style
    return terms


class PartialRecipe(AdamRecipe[PartialConvTrainingConfig]):
    """One network; its only losses beside L1 are those of the frozen backbone."""

    def __init__(
        self, training: PartialConvTrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext
    ) -> None:
        network = networks["generator"]
        assert isinstance(network, PartialUNet)
        super().__init__(training, networks, tools)
        self.network = network
        if training.frozen != "nothing":
            if not tools.started:
                raise InputError(
                    "the second stage of partial-conv goes on from the first: give --from FILE of the first one's run"
                )
            freeze_encoder(network, weights=training.frozen == "norms")
        objective = training.objective
        self.backbone = tools.vgg(16, last="pool3") if objective.perceptual or objective.style else None

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        (batch,) = batches
        prediction = self.networks["generator"](batch.image, batch.mask).refined
        terms = generator_terms(self.training.objective, self.network, self.backbone, batch, prediction, self.tools)
        yield "generator", terms


def freeze_encoder(network: PartialUNet, weights: bool) -> None:
    """Keep the statistics of the encoder's batch normalisation, and its weights where asked, from being trained."""
    for norm in network.encoder_norms:
        norm.eval()
        norm.requires_grad_(not weights)


# mmagic: crops of 384 brought to 256, its polylines; 8 GPUs with 12 pictures each on Places, 1 each on CelebA
_MMAGIC = PartialConvTrainingConfig(
    network=MMAGIC,
    data=replace(DATA, batch=96, masks="mmagic", crop="random", crop_scale=1.5),
    steps=800_002,
    objective=PartialConvLossConfig(share="region", neighbours="hole", features="bgr"),
)
_MMAGIC_FINE = replace(_MMAGIC, learning_rate=5e-5, frozen="norms")
_NAOTO = PartialConvTrainingConfig(network=NAOTO, objective=PartialConvLossConfig(neighbours="whole"))

RECIPES = {
    "first": PartialConvTrainingConfig(),
    "second": PartialConvTrainingConfig(learning_rate=5e-5, frozen="statistics"),
    # the paper's size: 8 levels at 512, 6 pictures on one GPU
    "first-512": PartialConvTrainingConfig(network=PartialConvConfig(levels=8), data=replace(DATA, size=512, batch=6)),
    "second-512": PartialConvTrainingConfig(
        network=PartialConvConfig(levels=8),
        data=replace(DATA, size=512, batch=6),
        learning_rate=5e-5,
        frozen="statistics",
    ),
    "mmagic-places": _MMAGIC,
    "mmagic-places-second": replace(_MMAGIC_FINE, data=replace(_MMAGIC.data, batch=8), steps=500_000),
    "mmagic-celeba": replace(_MMAGIC, data=replace(_MMAGIC.data, batch=8)),
    "mmagic-celeba-second": replace(_MMAGIC_FINE, data=replace(_MMAGIC.data, batch=8), steps=300_002),
    "naoto": _NAOTO,
    # to a million in all; the code keeps the first stage's Adam and sets its rate, ours starts a new one
    "naoto-second": replace(_NAOTO, learning_rate=5e-5, frozen="statistics"),
}


# Published layouts. Both name the same layers; the codes' all-one kernels, which count known pixels, are only checked.

ONES = ".ones"


def _renames(encoder: str, decoder: str, weight: str, ones: str, norm: str) -> tuple[tuple[str, str], ...]:
    """Published names to ours; layers are counted from 1 there, from 0 here.

    Args:
        encoder, decoder: patterns of a layer's published name, with {} for its number
        weight, ones, norm: patterns of what is in a layer: kernel and bias (one group), the all-one kernel, the norm
    """
    pairs = []
    for i in range(8):
        for published, ours in ((encoder.format(i + 1), f"encoder.{i}"), (decoder.format(i + 1), f"decoder.{i}")):
            pairs += [
                (rf"{published}\.{weight}", rf"{ours}.conv.\1"),
                (rf"{published}\.{ones}", f"{ours}{ONES}"),
                (rf"{published}\.{norm}", rf"{ours}.norm.\1"),
            ]
    return tuple(pairs)


def _checked_ones(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the all-one kernels.

    Raises: WeightsError if one of these is something else: then the file is of another network
    """
    for name, tensor in tensors.items():
        if not name.endswith(ONES):
            continue
        kernel = tensors.get(f"{name.removesuffix(ONES)}.conv.weight")
        if (kernel is not None and kernel.shape != tensor.shape) or not bool((tensor == 1).all()):
            raise WeightsError(
                f"the mask's kernel of {name.removesuffix(ONES)} is not all ones of its layer's shape: "
                "this is no published partial-conv network, or it is damaged"
            )
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(ONES)}


def _sized(parts: Parts, base: PartialConvConfig) -> PartialConvConfig:
    """The configuration with the sizes that the tensors have."""
    tensors = parts["generator"]
    first = tensors["encoder.0.conv.weight"]
    if first.ndim != 4 or first.shape[1] != 3:
        raise WeightsError(
            f"this partial-conv network sees {first.shape[1] if first.ndim == 4 else 'no'} channels instead of a "
            "picture's three: it is part of another program"
        )
    levels = len({name.split(".")[1] for name in tensors if name.startswith("encoder.")})
    return replace(base, width=first.shape[0], levels=levels, first_bias="encoder.0.conv.bias" in tensors)


def _layout(name: str, part: Part, base: PartialConvConfig, order: Order, source: str) -> Layout:
    return Layout(
        name=name,
        parts={"generator": part},
        config=lambda parts, semantics: _sized(parts, base),
        ignore=(r"data_preprocessor\..*", r"step_counter", r"loss_\w+\..*"),  # the loss's VGG
        order=order,
        order_source=source,
    )


LAYOUTS = (
    _layout(
        "mmagic",
        Part(
            probe="encoder.enc7.conv.weight",
            prefixes=("generator.", ""),
            rename=_renames(
                r"encoder\.enc{}", r"decoder\.dec{}", r"conv\.(weight|bias)", r"conv\.weight_mask_updater", r"bn\.(\w+)"
            ),
            repair=_checked_ones,
        ),
        MMAGIC,
        "bgr",
        "mmagic's loader and its inpainting inferencer read B, G, R, and nothing turns it",
    ),
    _layout(
        "naoto",
        Part(
            probe="enc_7.conv.input_conv.weight",
            rename=_renames(
                "enc_{}", "dec_{}", r"conv\.input_conv\.(weight|bias)", r"conv\.mask_conv\.weight", r"bn\.(\w+)"
            ),
            repair=_checked_ones,
        ),
        NAOTO,
        "rgb",
        "its data set reads pictures by Pillow as RGB",
    ),
)

_MMEDITING = "https://download.openmmlab.com/mmediting/inpainting/pconv/"
WEIGHTS = (
    *(
        Weights(
            tag=f"{tag}-mmagic",
            file=f"pconv_256x256_stage2_4x2_{tag}_20200619-{digest}.pth",
            url=f"{_MMEDITING}pconv_256x256_stage2_4x2_{tag}_20200619-{digest}.pth",
            sha256=None,
            licence=f"Apache-2.0 (mmagic; data: {data}'s own terms)",
            trained_on=f"{data}, 256x256",
            layout="mmagic",
            remark=f"by the publisher's naming rule the SHA-256 begins with {digest}",
        )
        for tag, digest, data in (("places", "1ffed0e8", "Places365"), ("celeba", "860f8b95", "CelebA"))
    ),
    Weights(
        tag="places2-naoto",
        file="1000000.pth",
        url=None,
        sha256=None,
        licence="MIT (the port; data: Places2's own terms)",
        trained_on="Places2, 256x256",
        layout="naoto",
        remark="release v0.0.0 of github.com/naoto0804/pytorch-inpainting-with-partial-conv",
    ),
)


METHOD = Method(
    title="Partial convolutions (Liu, Reda, Shih, Wang, Tao, Catanzaro 2018)",
    source="arXiv 1804.07723; github.com/NVIDIA/partialconv; github.com/open-mmlab/mmagic",
    presets={"default": PartialConvConfig(), "paper": PartialConvConfig(levels=8), "mmagic": MMAGIC, "naoto": NAOTO},
    build=PartialUNet,
    layouts=LAYOUTS,
    weights=WEIGHTS,
    # trained at 256 (512) with holes of up to 60 %. Where a hole is thicker its crop is shrunk: what lies further than
    # about 300 pixels from anything known would stay grey. Measured in float32 on a CPU, the whole pass: 1422 bytes a
    # pixel at 256, 1381 at 512
    scope=lambda config: Scope(side=2 ** (config.levels + 2), hole=2**config.levels, pixel_bytes=1550.0),
    recipes=RECIPES,
    recipe=PartialRecipe,
)

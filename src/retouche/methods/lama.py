"""LaMa: large-mask inpainting by convolutions over the frequencies of the whole picture.

Paper: Suvorov et al., "Resolution-robust Large Mask Inpainting with Fourier Convolutions", WACV 2022
(arXiv 2109.07161). Code: advimman/lama (Apache-2.0). "big-lama" and "lama-fourier" differ in their number of blocks.

The network sees picture * (1 - mask) in 0..1, then the mask, and predicts the whole picture. Its modules are named by
their position in the published sequence, so that published files need no renaming. What is used without gradients
runs through `lama_fast.py`; `refine` turns on the slow refinement at high resolution of `lama_refine.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from retouche.errors import InputError, WeightsError
from retouche.layers.exporting import plainly
from retouche.layers.fourier import SpectralTransform
from retouche.losses.adversarial import logistic_critic, logistic_generator, r1_penalty
from retouche.losses.perceptual import sum_of
from retouche.methods.lama_fast import (
    Folded,
    Halves,
    Layer,
    Transforms,
    Weight,
    as_matrix,
    block,
    folded,
    head,
    parts_apart,
    tail,
)
from retouche.methods.lama_refine import refined
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
from retouche.weights.layout import Layout, Part, Parts

CRITIC = "discriminator"
FIRST_BLOCK = 5
"""Position of the first residual block in the published sequence."""


@dataclass(frozen=True)
class LamaConfig:
    """Settings of the generator and its discriminator."""

    width: int = 64
    """Channels at full size; the blocks, at an eighth of it, have eight times as many."""
    blocks: int = 18
    """Residual blocks."""
    share: float = 0.75
    """Part of the blocks' channels that is global, 0..1."""
    critic_width: int = 64
    """Channels of the discriminator's first layer."""


# Generator


class FFCLayer(nn.Module):
    """Fast Fourier convolution: local and global halves that feed each other, then batch normalisation and ReLU.

    Args:
        inputs, outputs: channels of the local and of the global half; 0 where there is none
        kernel, stride, padding: of the 3x3 and 7x7 convolutions, in pixels; the border is mirrored
    """

    def __init__(
        self, inputs: tuple[int, int], outputs: tuple[int, int], kernel: int = 3, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__()
        self.padding = padding
        ways = {"convl2l": (0, 0), "convl2g": (0, 1), "convg2l": (1, 0), "convg2g": (1, 1)}
        self.ffc = nn.ModuleDict()
        for name, (source, target) in ways.items():
            a, b = inputs[source], outputs[target]
            if a and b:
                self.ffc[name] = (
                    SpectralTransform(a, b) if name == "convg2g" else nn.Conv2d(a, b, kernel, stride, bias=False)
                )
        self.bn_l = nn.BatchNorm2d(outputs[0])
        if outputs[1]:
            self.bn_g = nn.BatchNorm2d(outputs[1])

    def forward(self, local: Tensor, spread: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Halves (N, C, h, w) -> halves; the global one is None where there is none."""
        near, far = (x if x is None else self._padded(x) for x in (local, spread))
        result = self.ffc["convl2l"](near)
        if "convg2l" in self.ffc:
            result = result + self.ffc["convg2l"](far)
        local_out = functional.relu(self.bn_l(result))
        if "convl2g" not in self.ffc:
            return local_out, None
        result = self.ffc["convl2g"](near)
        if "convg2g" in self.ffc:
            result = result + self.ffc["convg2g"](spread)
        return local_out, functional.relu(self.bn_g(result))

    def _padded(self, x: Tensor) -> Tensor:
        return functional.pad(x, (self.padding,) * 4, mode="reflect") if self.padding else x

    def way(self, name: str) -> Weight:
        """The folded weight of one convolution; batch normalisation is folded into all that adds up before it."""
        return folded(self.ffc[name], self.bn_l if name.endswith("l") else self.bn_g)

    def folded(self) -> Layer:
        """The weights of a layer with both halves for `lama_fast`."""
        transform = self.ffc["convg2g"]
        assert isinstance(transform, SpectralTransform)
        return Layer(
            local=self.way("convl2l"),
            local_to_global=self.way("convl2g"),
            global_to_local=self.way("convg2l")._replace(bias=None),
            narrow=as_matrix(folded(transform.conv1[0], transform.conv1[1])),
            frequencies=parts_apart(as_matrix(folded(transform.fu.conv_layer, transform.fu.bn))),
            widen=as_matrix(folded(transform.conv2, self.bn_g)._replace(bias=None)),
        )


class FFCBlock(nn.Module):
    """Two layers around a shortcut; both end in a ReLU, nothing follows the sum."""

    def __init__(self, local: int, spread: int) -> None:
        super().__init__()
        self.conv1 = FFCLayer((local, spread), (local, spread))
        self.conv2 = FFCLayer((local, spread), (local, spread))

    def forward(self, local: Tensor, spread: Tensor) -> Halves:
        result = self.conv2(*self.conv1(local, spread))
        return local + result[0], spread + result[1]


class LamaGenerator(Generator):
    """Three halvings, residual blocks of fast Fourier convolutions, three doublings.

    Parameters at the published sizes: 50,975,875 with 18 blocks, 27,048,835 with 9.
    """

    multiple, smallest = 8, 16  # mirrored padding needs 2 pixels at an eighth of the size

    def __init__(self, config: LamaConfig) -> None:
        super().__init__()
        w = config.width
        deep = 8 * w
        spread = round(deep * config.share)
        if not 0 < spread < deep or spread < 2:
            raise InputError(f"lama has a local and a global half: share {config.share} leaves one of them empty")
        self.blocks, self.refine = config.blocks, False
        halves = deep - spread, spread
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            FFCLayer((4, 0), (w, 0), kernel=7, padding=0),
            FFCLayer((w, 0), (2 * w, 0), stride=2),
            FFCLayer((2 * w, 0), (4 * w, 0), stride=2),
            FFCLayer((4 * w, 0), halves, stride=2),
            *(FFCBlock(*halves) for _ in range(config.blocks)),
            nn.Identity(),  # the halves become one
        ]
        for channels in (deep, deep // 2, deep // 4):
            doubled = nn.ConvTranspose2d(channels, channels // 2, 3, 2, padding=1, output_padding=1)
            layers += [doubled, nn.BatchNorm2d(channels // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Sigmoid()]
        self.model = nn.ModuleList(layers)
        self._kept: tuple[list[tuple[int, int, torch.dtype]], Folded] | None = None

    def forward(
        self, image: Tensor, mask: Tensor, sketch: Tensor | None = None, structure: Tensor | None = None
    ) -> Prediction:
        image, mask = checked(self, image, mask)
        seen = torch.cat([(image + 1) / 2 * (1 - mask), mask], 1)  # (N, 4, H, W), 0..1
        if self.training or torch.is_grad_enabled() or (plainly(seen) and not self.refine):
            return Prediction(2 * self.layer_by_layer(seen) - 1)
        weights = self.folded()
        if self.refine:
            # fitting needs gradients, and tensors that were not born where there are none
            with torch.inference_mode(False), torch.enable_grad(), torch.autocast(seen.device.type, enabled=False):
                pairs = zip(((image + 1) / 2).clone().split(1), mask.clone().split(1), strict=True)
                return Prediction(2 * torch.cat([refined(weights, *pair) for pair in pairs]) - 1)
        x = head(weights, seen)
        transforms = Transforms.of(x[0])
        for layers in weights.blocks:
            x = block(layers, x, transforms)
        return Prediction(2 * tail(weights, x) - 1)

    def layer_by_layer(self, seen: Tensor) -> Tensor:
        """The sequence as published, for training and export: (N, 4, H, W) -> picture (N, 3, H, W), 0..1."""
        behind = FIRST_BLOCK + self.blocks
        local, spread = self.model[0](seen), None
        for layer in self.model[1:behind]:
            local, spread = layer(local, spread)
        assert spread is not None
        x = torch.cat([local, spread], 1)
        for layer in self.model[behind:]:
            x = layer(x)
        return x

    def folded(self) -> Folded:
        """The weights for `lama_fast`, made once and kept for as long as the network's tensors stay as they are."""
        tensors = [*self.parameters(), *self.buffers()]
        if any(tensor.is_inference() for tensor in tensors):  # these do not record their changes
            return self._folded()
        with torch.inference_mode(False), torch.no_grad():  # refinement needs weights that gradients may pass
            return self._folded_once(tensors)

    def _folded_once(self, tensors: list[Tensor]) -> Folded:
        state = [(tensor.data_ptr(), tensor._version, tensor.dtype) for tensor in tensors]
        if self._kept is None or self._kept[0] != state:
            self._kept = state, self._folded()
        return self._kept[1]

    def _folded(self) -> Folded:
        layers = list(self.model)
        ends = [layer for layer in layers if isinstance(layer, FFCLayer)]
        blocks = [layer for layer in layers if isinstance(layer, FFCBlock)]
        doubled = [i for i, layer in enumerate(layers) if isinstance(layer, nn.ConvTranspose2d)]
        return Folded(
            head=tuple(layer.way("convl2l") for layer in ends[:3]),
            split=(ends[3].way("convl2l"), ends[3].way("convl2g")),
            blocks=tuple((each.conv1.folded(), each.conv2.folded()) for each in blocks),
            tail=tuple(folded(*layers[i : i + 2]) for i in doubled),
            last=folded(layers[-2]),
        )


# Discriminator


class LamaCritic(nn.Module):
    """pix2pixHD's patch discriminator: pictures in 0..1 to a map of logits; it sees no mask."""

    def __init__(self, config: LamaConfig) -> None:
        super().__init__()
        w = config.critic_width
        widths = (3, w, 2 * w, 4 * w, 8 * w, 8 * w)
        for i, (a, b) in enumerate(pairwise(widths)):
            layers: list[nn.Module] = [nn.Conv2d(a, b, 4, stride=1 if i == 4 else 2, padding=2)]
            layers += [nn.BatchNorm2d(b)] if i else []
            self.add_module(f"model{i}", nn.Sequential(*layers, nn.LeakyReLU(0.2)))
        self.model5 = nn.Sequential(nn.Conv2d(8 * w, 1, 4, padding=2))

    def forward(self, image: Tensor, features: bool = False) -> Tensor | list[Tensor]:
        """Score patches.

        Args:
            image: (N, 3, H, W), 0..1
            features: also return what the layers before the last made

        Returns: logits (N, 1, h, w), 19 by 19 for 256 pixels; with `features` the five maps, then the logits
        """
        found = [image]
        for i in range(6):
            found.append(getattr(self, f"model{i}")(found[-1]))
        return found[1:] if features else found[-1]


# Recipe

DATA = DataConfig(size=256, batch=120, masks="wide", flip=True, jitter=0.03)
"""The code also turns, shears and bends pictures and equalises their contrast, which is not done here."""


@dataclass(frozen=True)
class LamaLossConfig:
    """Weights of the terms, for pictures in 0..1."""

    known: float = 10.0
    """Of the mean absolute error where pixels are known; nothing compares the hole's own pixels."""
    adversarial: float = 10.0
    """Of the discriminator's judgement of the raw prediction."""
    penalty: float = 0.001
    """Of the discriminator's squared slope at originals."""
    matching: float = 100.0
    """Of the mean squared difference of the discriminator's features."""
    perceptual: float = 30.0
    """Of the squared differences of the scene parser's features."""


@dataclass(frozen=True)
class LamaTrainingConfig:
    """How LaMa is trained; the numbers are those of the code's configurations."""

    network: LamaConfig = LamaConfig()
    data: DataConfig = DATA
    steps: int = 1_000_000
    objective: LamaLossConfig = LamaLossConfig()
    learning_rate: float = 1e-3
    """Of the generator."""
    critic_learning_rate: float = 1e-4
    """Of the discriminator."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's two decays."""
    clip: float = 1.0
    """Largest norm of either network's gradient."""
    channels_last: bool = True
    """Whether pixels lie together in memory, which is quicker here."""


class LamaRecipe(AdamRecipe[LamaTrainingConfig]):
    """The generator learns first, then the discriminator from a fresh pass of the generator as it has become.

    Both passes count in the generator's batch statistics, and all three of the generator's turn in the discriminator's.
    """

    def __init__(self, training: LamaTrainingConfig, networks: Mapping[str, nn.Module], tools: RecipeContext) -> None:
        super().__init__(training, networks, tools, [CRITIC])
        self.clip = dict.fromkeys(self.networks, training.clip) if training.clip else {}
        self.full_precision = frozenset({CRITIC})  # the penalty differentiates twice
        self.scene = tools.scene() if training.objective.perceptual else None

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        (batch,) = batches
        yield "generator", self._generator_terms(batch, self._prediction(batch))
        with torch.no_grad():
            prediction = self._prediction(batch)
        image = ((batch.image + 1) / 2).requires_grad_()
        real = self.networks[CRITIC](image)
        terms = {"logistic": logistic_critic(real, self.networks[CRITIC](prediction), batch.mask)}
        terms["penalty"] = self.training.objective.penalty * r1_penalty(real, image)
        yield CRITIC, terms

    def _prediction(self, batch: Batch) -> Tensor:
        """In 0..1."""
        result: Tensor = self.networks["generator"](batch.image, batch.mask).refined
        return (result + 1) / 2

    def _generator_terms(self, batch: Batch, prediction: Tensor) -> dict[str, Tensor]:
        objective, critic, image = self.training.objective, self.networks[CRITIC], (batch.image + 1) / 2
        with torch.no_grad():
            *wanted, _ = critic(image, features=True)
        *found, scores = critic(prediction, features=True)
        matching = torch.stack([functional.mse_loss(a, b) for a, b in zip(found, wanted, strict=True)]).mean()
        terms = {
            "known": objective.known * ((prediction - image).abs() * (1 - batch.mask)).mean(),
            "adversarial": objective.adversarial * logistic_generator(scores),
            "matching": objective.matching * matching,
        }
        if self.scene is not None:
            with torch.no_grad():
                wanted = self.scene(batch.image)
            pairs = zip(self.scene(2 * prediction - 1), wanted, strict=True)
            terms["perceptual"] = objective.perceptual * sum_of([functional.mse_loss(a, b) for a, b in pairs])
        return terms


FOURIER = LamaTrainingConfig(network=LamaConfig(blocks=9), data=replace(DATA, batch=30))
RECIPES = {
    "big-lama": LamaTrainingConfig(),
    "lama-fourier": FOURIER,
    "lama-fourier-narrow": replace(FOURIER, data=replace(FOURIER.data, masks="narrow")),  # the paper's thin masks
}


# Published layouts and weights

VARIANTS = (".lfu.", ".gate.", ".impl.", ".se.")
"""In names of the code's other fast Fourier convolutions, which no published file uses."""
COUNTER = (r".+\.num_batches_tracked",)


def _config(parts: Parts, semantics: str) -> LamaConfig:
    generator, critic = parts.get("generator"), parts.get(CRITIC)
    values: dict[str, int | float] = {}
    if generator is not None:
        if other := next((name for name in generator for word in VARIANTS if word in name), None):
            raise WeightsError(f"the file is of a variant of LaMa that is not known here ({other}): give big-lama's")
        local, spread = (generator[f"model.4.ffc.convl2{half}.weight"].shape[0] for half in "lg")
        values = {
            "width": generator["model.1.ffc.convl2l.weight"].shape[0],
            "blocks": len({name for name in generator if re.fullmatch(r"model\.\d+\.conv1\.bn_l\.weight", name)}),
            "share": spread / (local + spread),
        }
    if critic is not None:
        values["critic_width"] = critic["model0.0.weight"].shape[0]
    return LamaConfig(**values)  # type: ignore[arg-type]


ORDER_SOURCE = "its data set turns what OpenCV reads into RGB"
PROBE = "model.1.bn_l.running_mean"
LAYOUTS = (
    # a whole training: beside the two networks it holds judges and averages
    Layout(
        "advimman",
        {
            "generator": Part(PROBE, prefixes=("generator.",), optional=COUNTER),
            CRITIC: Part("model0.0.weight", prefixes=("discriminator.",), optional=COUNTER),
        },
        _config,
        ignore=(r"(?!generator\.|discriminator\.).+",),
        order_source=ORDER_SOURCE,
    ),
    # the generator alone, as tools for other programs save it
    Layout(
        "advimman",
        {"generator": Part(PROBE, prefixes=("model.generator.", ""), optional=COUNTER)},
        _config,
        order_source=ORDER_SOURCE,
    ),
)

SANSTER = "https://github.com/Sanster/models/releases/download"
WEIGHTS = (
    Weights(
        tag="big-lama",
        file="big-lama.pt",
        url=f"{SANSTER}/add_big_lama/big-lama.pt",
        sha256="344c77bbcb158f17dd143070d1e789f38a66c04202311ae3a258ef66667a9ea9",
        licence="Apache-2.0 (as the repository and its model card say; data: Places2's own terms)",
        trained_on="Places2, 256x256, 1,000,000 steps",
        layout="advimman",
        remark="a TorchScript archive, whose tensors are read and whose program is not run",
        size_bytes=205_669_692,
    ),
    Weights(
        tag="original",
        file="best.ckpt",
        url=None,
        sha256="fccb7adffd53ec0974ee5503c3731c2c2f1e7e07856fd9228cdcc0b46fd5d423",
        licence="Apache-2.0 (as the repository and its model card say; data: Places2's own terms)",
        trained_on="Places2, 256x256, 1,000,000 steps",
        layout="advimman",
        remark="in big-lama.zip of Hugging Face's smartywu/big-lama; the hash was measured by third parties",
        size_bytes=410_046_389,
    ),
    Weights(
        tag="anime-manga",
        file="anime-manga-big-lama.pt",
        url=f"{SANSTER}/AnimeMangaInpainting/anime-manga-big-lama.pt",
        sha256="479d3afdcb7ed2fd944ed4ebcc39ca45b33491f0f2e43eb1000bd623cfb41823",
        licence="not established: hosts say different things",
        trained_on="comics, on top of big-lama",
        layout="advimman",
        remark="a TorchScript archive, whose tensors are read and whose program is not run",
        size_bytes=205_717_870,
    ),
)

METHOD = Method(
    title="LaMa (Suvorov et al. 2022)",
    source="arXiv 2109.07161; advimman/lama",
    presets={"big-lama": LamaConfig(), "lama-fourier": LamaConfig(blocks=9)},
    build=LamaGenerator,
    critics=lambda config: {CRITIC: LamaCritic(config)},
    layouts=LAYOUTS,
    weights=WEIGHTS,
    # frequencies are those of all it sees: a crop is filled a little differently
    scope=lambda config: Scope(side=1024, hole=384, context=1.0, pixel_bytes=500.0, statistics=True),
    recipes=RECIPES,
    recipe=LamaRecipe,
)

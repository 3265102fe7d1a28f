"""What training and a method's recipe know of each other: batches, settings, and which members a recipe has."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn

from retouche.errors import InputError


@dataclass(frozen=True)
class Batch:
    """What a recipe learns from in one update.

    Attributes:
        image: (N, 3, H, W), RGB, -1..1, complete
        mask: (N, 1, H, W), 1 = hole, each picture its own
        structure: (N, 3, H, W), -1..1, the image's structure picture, where the recipe asks for it
        sketch: (N, 1, H, W), 1 = stroke, of the whole image, where the recipe asks for it
        keys: (N,) int64, on the CPU, one random key per sample; a loss draws its randomness from it, so that it does
            not depend on how samples are spread over processes
        box: (N, 4) int64, on the CPU, left, top, right, bottom of the local box around each hole, for methods with a
            local critic
        parts: all the parts that a batch is split into by --accumulate, this one among them; empty where it is whole
    """

    image: Tensor
    mask: Tensor
    structure: Tensor | None = None
    sketch: Tensor | None = None
    keys: Tensor | None = None
    box: Tensor | None = None
    parts: tuple[Batch, ...] = ()


class Recipe(Protocol):
    """How one method is trained: which network is updated by which losses, in which order.

    Attributes:
        networks: role ("generator" or a critic's name) -> network that is trained. The loop replaces each value by
            the network set up for device, precision and processes, so `updates` calls `self.networks[name](...)` and
            nothing else of a network
        batches: how many fresh batches one step consumes (critics may have batches of their own)
        ema: decay of the generator's averaged weights, 0 = none
        clip: role -> largest gradient norm; absent = none

    What a recipe may say beside these is `RecipeOptions`.
    """

    networks: dict[str, nn.Module]
    batches: int
    ema: float
    clip: Mapping[str, float]

    def optimizer(self, role: str) -> torch.optim.Optimizer:
        """A fresh optimiser over the weights of this network."""
        ...

    def updates(self, batches: Sequence[Batch], step: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield (role, named losses already weighted); the loop sums them, steps that network alone, and resumes."""
        ...


OptionsT = TypeVar("OptionsT")


def options_of(holder: Any, options: type[OptionsT]) -> OptionsT:
    """The options that an object has as attributes; those it lacks keep the defaults of their dataclass."""
    names = [option.name for option in fields(options) if hasattr(holder, option.name)]  # type: ignore[arg-type]
    return options(**{name: getattr(holder, name) for name in names})


@dataclass(frozen=True)
class RecipeOptions:
    """What a recipe may say beside `Recipe`, under these names.

    Attributes:
        rate: step -> what all learning rates are multiplied by, beside the schedule that the user asks for
        together: networks whose gradients have one norm, that of all their weights; their losses come one after
            another, and all step after the last
        full_precision: networks that compute in float32 whatever the run's precision
    """

    rate: Callable[[int], float] = lambda step: 1.0
    together: tuple[str, ...] = ()
    full_precision: Collection[str] = ()


@dataclass(frozen=True)
class PresetOptions:
    """What a training preset may say beside `network`, `data`, `steps` and its recipe's own numbers.

    Attributes:
        for_size: () -> the same preset with networks for the size of its pictures. Raises InputError where there are
            none; without it the networks take every size that divides
        channels_last: whether a pixel's channels lie together in memory
        critic_learning_rate: of all networks but the generator; None = the generator's
        epsilon: Adam's
    """

    for_size: Callable[[], Any] | None = None
    channels_last: bool = False
    critic_learning_rate: float | None = None
    epsilon: float = 1e-8


@dataclass(frozen=True)
class DataConfig:
    """What a training preset learns from; the loop and the data set read it.

    Attributes:
        size: sides of the square training images, pixels; masks and boxes scale with it
        batch: pictures per batch, over all processes
        masks: which holes, e.g. "strokes+box", "wide:2,box:1" (see retouche.data.mask_makers)
        mask_files: how the files of a folder of masks are read where `masks` names one (see retouche.data.mask_files)
        crop: "random": a random square from the full-size picture; "resize": the whole picture, its aspect lost;
            "area": a random rectangle of 0.08..1 of the area and aspect 3/4..4/3, resized; "short": the shorter side
            scaled to between 1 and 25/16 times `size`, then a random square; "zoom": a random square whose side is
            between `crop_scale` and 1 times the shorter side, even on the logarithm; "centre": the largest square in
            the middle
        crop_scale: side of the square that "random" cuts, as a multiple of `size`; it is then resized to `size`. With
            "short" what the shorter side is scaled to, as a multiple of `size`, unless 1
        flip: mirror half of the pictures left to right
        jitter: largest change of brightness, contrast, saturation and hue, 0..1
        degrade: share of pictures that get noise or JPEG's blocks before their hole is cut, 0..1
        structure: setting of the structure pictures (retouche.numerics.structure.SETTINGS), "" where none are needed
        sketch: whether the method learns from sketches
        local_box: side of the local box around the hole as a fraction of `size`, 0 where no critic needs one
    """

    size: int = 256
    batch: int = 16
    masks: str = "strokes+box"
    mask_files: str = ""
    crop: Literal["random", "resize", "area", "short", "zoom", "centre"] = "random"
    crop_scale: float = 1.0
    flip: bool = False
    jitter: float = 0.0
    degrade: float = 0.0
    structure: str = ""
    sketch: bool = False
    local_box: float = 0.0


def _no_backbone() -> nn.Module:
    raise InputError("this recipe compares features: give --perceptual-weights efficientnet-lite0")


def _no_scene() -> nn.Module:
    raise InputError("this recipe compares a scene parser's features: give --perceptual-weights FILE, or random")


@dataclass(frozen=True)
class RecipeContext:
    """What a run lends to a recipe beside the networks.

    Attributes:
        vgg: (depth, normalisation) -> a frozen backbone on the run's device, the same object for the same arguments.
            Raises InputError if the user named no `--perceptual-weights`
        backbone: the frozen EfficientNet-Lite that `--perceptual-weights efficientnet-liteN` names; variant 0 unless
            said
        scene: the frozen encoder of a scene parser, image -> four feature maps. Raises InputError as `vgg`
        processes: how many share each batch
        total: sum of a tensor over all processes, without gradient
        started: names ("generator.conv1.weight") of the tensors that `--from` filled
        device: where batches and networks are
    """

    vgg: Callable[..., Any]
    backbone: Callable[[], nn.Module] = _no_backbone
    scene: Callable[[], nn.Module] = _no_scene
    processes: int = 1
    total: Callable[[Tensor], Tensor] = Tensor.detach
    started: frozenset[str] = frozenset()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def ratio(self, numerator: Tensor, batch: Batch, weigh: Callable[[Batch], Tensor]) -> Tensor:
        """Sum of `numerator` / sum of `weigh` over the whole batch, as this part's share of the loss.

        The whole batch is spread over processes and, with --accumulate, over parts. Gradients and logged losses are
        averaged over both, so each share is multiplied by their number.

        Args:
            numerator: of this part
            batch: this part
            weigh: a part -> its denominator, which may depend on nothing but the part (its holes)
        """
        parts = batch.parts or (batch,)
        whole = self.total(torch.stack([weigh(part).detach() for part in parts]).sum())
        return self.processes * len(parts) * numerator / whole


def uniform(keys: Tensor, purpose: str, shape: Sequence[int] = ()) -> Tensor:
    """Numbers in 0..1, drawn per sample: the same however samples are spread over processes.

    Args:
        keys: (N,) int64, `Batch.keys`
        purpose: a word that separates this draw from others for the same samples
        shape: of one sample's numbers

    Returns: (N, *shape) float32 on the keys' device
    """
    generator = torch.Generator()
    rows = []
    for key in keys.tolist():
        digest = hashlib.blake2b(f"{key} {purpose}".encode(), digest_size=8).digest()
        generator.manual_seed(int.from_bytes(digest, "little") >> 1)
        rows.append(torch.rand(tuple(shape), generator=generator))
    return torch.stack(rows).to(keys.device)

"""The frozen networks that a training compares features with: built when they are asked for, each once."""

from __future__ import annotations

from typing import Any

from torch import nn

from retouche.backbones.efficientnet import NAME, VARIANTS, efficientnet_lite, variant_of
from retouche.backbones.scene import ADDRESS, ByResolution
from retouche.backbones.vgg import vgg
from retouche.errors import InputError, WeightsError
from retouche.losses.perceptual import ByBlock
from retouche.training.engine import Engine
from retouche.training.scene import scene_encoder
from retouche.training.settings import Run


class LossBackbones:
    """What `RecipeContext` asks for, by the run's `--perceptual-weights`.

    Attributes:
        perceptual: which weights these are, for the header of what is trained; None where none were asked for
    """

    def __init__(self, run: Run, engine: Engine) -> None:
        self.run, self.engine = run, engine
        self.perceptual: str | None = None
        self.backbones: dict[Any, nn.Module] = {}

    def vgg(self, depth: int, normalisation: str | None = None, last: str | None = None) -> nn.Module:
        """`RecipeContext.vgg`."""
        if self.run.perceptual is None:
            raise InputError(
                f"this preset's perceptual losses need VGG{depth}: give --perceptual-weights FILE (torchvision's), or "
                '"random" for a random backbone, which is another loss than the published one'
            )
        if variant_of(self.run.perceptual) is not None:
            return ByBlock(self.backbone())
        wanted: Any = (depth, self.run.perceptual, last, normalisation)
        if wanted not in self.backbones:
            backbone = vgg(*wanted)
            self.perceptual = f"VGG{depth} {backbone.origin}"
            self.backbones[wanted] = self.engine.backbone(backbone)
        return self.backbones[wanted]

    def backbone(self) -> nn.Module:
        """`RecipeContext.backbone`."""
        variant = variant_of(self.run.perceptual or f"{NAME}0")
        if variant is None:
            raise InputError(
                f"{self.run.method} compares EfficientNet-Lite's features: give --perceptual-weights {NAME}0, or none"
            )
        if variant not in self.backbones:
            backbone = efficientnet_lite(variant)
            self.perceptual = f"EfficientNet-Lite{variant} {backbone.origin}"
            self.backbones[variant] = self.engine.backbone(backbone)
        return self.backbones[variant]

    def scene(self) -> nn.Module:
        """`RecipeContext.scene`."""
        given = self.run.perceptual
        if given is None:
            raise InputError(
                "this preset's perceptual loss needs a scene parser's encoder: give --perceptual-weights FILE "
                f'({ADDRESS}), or "random" or "{NAME}0", which are other losses than the published one'
            )
        if variant_of(given) is not None:
            return ByResolution(self.backbone())
        if "scene" not in self.backbones:
            encoder = scene_encoder(given)
            self.perceptual = f"scene parser {encoder.origin}"
            self.backbones["scene"] = self.engine.backbone(encoder)
        return self.backbones["scene"]

    def chosen(self) -> tuple[str, nn.Module | None]:
        """What the best weights are chosen by, and the network for the feature distance where there is one."""
        network = next((self.backbones[variant] for variant in VARIANTS if variant in self.backbones), None)
        if network is None and self.run.best in ("auto", "features"):
            try:
                network = self.engine.backbone(efficientnet_lite(0))
            except WeightsError:
                if self.run.best == "features":
                    raise
        if self.run.best != "auto":
            return self.run.best, network
        return "l1" if network is None else "features", network

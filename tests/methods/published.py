"""Every published container known, made from the golden files' lists of names: the same table for all generic tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from helpers import about
from torch import Tensor

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """One published file: which golden list names its tensors, and the container around them."""

    golden: str
    method: str
    layout: str
    part: str  # "generator" or the critics it holds
    wrap: Callable[[Tensors], Any] = lambda tensors: tensors
    key: str | None = None  # a list within the golden file's params

    def tensors(self) -> Tensors:
        """Random numbers under the published names; the golden tests fill them by rule and compare outputs."""
        golden = about(self.golden)
        shapes = golden["params"][self.key] if self.key else golden["params"]
        random = torch.Generator().manual_seed(0)
        return {name: torch.randn(shape, generator=random) * 0.05 for name, shape in shapes.items()}


def under(key: str) -> Callable[[Tensors], Any]:
    return lambda tensors: {key: tensors}


PUBLISHED = [
    Published("deepfillv2-tf", "deepfill-v2", "tf", "generator", under("G")),
    Published("deepfillv2-pt", "deepfill-v2", "pt", "generator", under("G")),
    Published("deepfillv2-mmagic", "deepfill-v2", "mmagic", "generator", under("state_dict")),
    Published("deepfillv2-critic", "deepfill-v2", "tf", "discriminator", under("D")),
    Published("deepfillv2-mmagic-critic", "deepfill-v2", "mmagic", "discriminator", under("state_dict")),
    Published("deepfillv1-daa233", "deepfill-v1", "daa233", "generator"),
    Published("deepfillv1-mmagic", "deepfill-v1", "mmagic", "generator", under("state_dict")),
    Published("deepfillv1-daa233-critics", "deepfill-v1", "daa233", "local", under("localD"), "localD"),
    Published("deepfillv1-daa233-critics", "deepfill-v1", "daa233", "global", under("globalD"), "globalD"),
    Published("deepfillv1-mmagic-critics", "deepfill-v1", "mmagic", "global", under("state_dict")),
    Published("aotgan-researchmm-g", "aot-gan", "researchmm", "generator"),
    Published("aotgan-researchmm-d", "aot-gan", "researchmm", "discriminator"),
    Published("aotgan-mmagic-g", "aot-gan", "mmagic", "generator", under("state_dict")),
    Published("aotgan-mmagic-d", "aot-gan", "mmagic", "discriminator", under("state_dict")),
    Published("siigan-lazycat-g", "sii-gan", "lazycat", "generator"),
    Published("context-encoder-pytorch-g", "context-encoder", "boyuanjiang", "generator", under("state_dict")),
    Published("context-encoder-pytorch-d", "context-encoder", "boyuanjiang", "discriminator", under("state_dict")),
    Published("structural-inpainting-g", "structural", "jonzhaocn", "generator"),
    Published("structural-inpainting-d", "structural", "jonzhaocn", "discriminator"),
    Published("pconv-mmagic-g", "partial-conv", "mmagic", "generator", under("state_dict")),
    Published("pconv-naoto-g", "partial-conv", "naoto", "generator", under("model")),
    Published("structureflow-structure", "structure-flow", "renyurui", "generator"),
    Published("structureflow-flow", "structure-flow", "renyurui", "generator"),
    Published("structureflow-discriminator", "structure-flow", "renyurui", "texture"),
    Published("lama-generator", "lama", "advimman", "generator", under("state_dict")),
    Published("lama-fourier-generator", "lama", "advimman", "generator", under("state_dict")),
    Published("mi-gan-256", "mi-gan", "picsart", "generator"),
    Published("mi-gan-512", "mi-gan", "picsart", "generator"),
    Published("lama-critic", "lama", "advimman", "discriminator", under("state_dict")),
]

"""A small network's exported files, made once for the tests of engines, of the runtime and of hostile files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from torch import nn

import retouche
from retouche.methods import find


def small_model() -> retouche.Model:
    """AOT-GAN with 8 channels and one block, its features of unit size."""
    from dataclasses import replace

    model = retouche.create("aot-gan")
    model.config, model.preset, model.critics = replace(model.config, width=8, blocks=1), None, {}
    build = find("aot-gan").build
    assert build is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model.generator = build(model.config).eval()
        for layer in model.generator.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
    return model


@cache
def exported(form: str) -> Path:
    """The file of this form."""
    from retouche.export.write import export

    path = Path(mkdtemp(prefix="exported-")) / f"{form}.onnx"
    export(small_model(), path, form)
    return path


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with grain, (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [127 + 80 * np.sin(y / 17 + 2 * k) * np.cos(x / 23 + k) for k in range(3)]
    return np.clip(np.stack(planes, -1) + random.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)

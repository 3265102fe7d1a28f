"""How published files of DeepFill v1 and v2 name the 42 convolutions of their backbone, `layers.two_stage`.

Every list has one place a convolution, in the order of `OURS`.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from retouche.layers.two_stage import ATTENDED, COARSE, DECODER, HALLUCINATE, MATCH
from retouche.weights.layout import Tensors

_CHAINS = (
    # ours, its rows, how the official code begins the same names
    ("coarse", COARSE, ""),
    ("hallucinate", HALLUCINATE, "x"),
    ("match", MATCH, "pm"),
    ("attended", ATTENDED, "pm"),
    ("decode", DECODER, "all"),
)
OURS = [f"{chain}.{row[0]}" for chain, rows, _ in _CHAINS for row in rows]
OFFICIAL = [prefix + row[0] for _, rows, prefix in _CHAINS for row in rows]
TENSORFLOW = [f"{name}/{name}_conv" if "upsample" in name else name for name in OFFICIAL]
"""An upsampling layer is a scope with one convolution in it."""
DAA233 = [
    f"coarse_generator.{name}" if chain == "coarse" else f"fine_generator.{prefix.removeprefix('x')}{name}"
    for chain, rows, prefix in _CHAINS
    for name in (row[0].removesuffix("_upsample") for row in rows)
]
_NECK = [f"dilation_neck.dilation_convs.{i}" for i in range(4)]
MMAGIC = [
    *(f"stage1.encoder.enc{i}" for i in range(1, 7)),
    *(f"stage1.{place}" for place in _NECK),
    *(f"stage1.decoder.dec{i}" for i in range(1, 8)),
    *(f"stage2.encoder_conv.enc{i}" for i in range(1, 7)),
    *(f"stage2.{place}" for place in _NECK),
    *(f"stage2.encoder_attention.enc{i}" for i in range(1, 7)),
    *(f"stage2.contextual_attention_neck.conv{i}" for i in (1, 2)),
    *(f"stage2.decoder.dec{i}" for i in range(1, 8)),
]


MMAGIC_ORDER = "mmagic's loader and its inpainting inferencer read B, G, R, and nothing turns it"
"""Whence the order of its networks' colours is known."""


def renames(places: list[str], kernel: str = ".conv.weight", bias: str = ".conv.bias") -> tuple[tuple[str, str], ...]:
    """Published places, in our order, to our names."""
    return tuple(
        (re.escape(theirs + published), f"{ours}.conv.{kind}")
        for theirs, ours in zip(places, OURS, strict=True)
        for published, kind in ((kernel, "weight"), (bias, "bias"))
    )


def turn_picture(kernel: Tensor, axis: int) -> Tensor:
    """BGR to RGB in the first three channels of an axis."""
    order = torch.tensor([2, 1, 0, *range(3, kernel.shape[axis])])
    return kernel.index_select(axis, order)


def generator_from_tensorflow(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels from (row, column, in, out) to (out, in, row, column), and pictures from BGR to RGB."""
    turned = {}
    for name, tensor in tensors.items():
        tensor = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
        if name.endswith(".conv1.conv.weight"):
            tensor = turn_picture(tensor, 1)
        elif ".conv17." in name:
            tensor = turn_picture(tensor, 0)
        turned[name] = tensor.contiguous()
    return turned


def tensorflow_is_gated(tensors: Tensors) -> bool | None:
    """Which version a TensorFlow file is of: both name the same layers, a gate halves their channels. None: neither."""
    first, second = (tensors.get(f"inpaint_net/{name}/kernel") for name in ("conv1", "conv2_downsample"))
    if first is None or second is None or first.ndim != 4 or second.ndim != 4:
        return None
    return second.shape[2] * 2 == first.shape[3]

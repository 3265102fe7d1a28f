"""Whole TensorFlow checkpoints of DeepFill v1 and structural inpainting, from their files to networks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from checkpoint_writer import write_checkpoint
from torch import Tensor, nn

from retouche.methods import deepfill_names, deepfill_v1, structural
from retouche.methods.loading import load_file
from retouche.weights.layout import Part

SCALARS = {"beta1_power": np.float32(0.5), "beta2_power": np.float32(0.9), "global_step": np.int64(7)}


def turned(tensor: Tensor) -> Tensor:
    return tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor


def linear(matrix: Tensor, side: int) -> Tensor:
    """(1, channels * side * side) as TensorFlow has it, (side * side * channels, 1)."""
    return matrix.view(-1, side, side).permute(1, 2, 0).reshape(-1, 1)


def checkpoint(tensors: dict[str, Tensor], prefix: Path) -> Path:
    """Written with what training leaves beside the networks."""
    slots = {f"{name}/Adam{end}": torch.zeros_like(tensor) for name, tensor in tensors.items() for end in ("", "_1")}
    written = {name: tensor.contiguous().numpy() for name, tensor in {**tensors, **slots}.items()}
    write_checkpoint(prefix, written | {name: np.asarray(value) for name, value in SCALARS.items()})
    return prefix


def names_of(part: Part) -> dict[str, str]:
    """Our names -> theirs, where the renames are literal."""
    return {ours: part.prefixes[0] + re.sub(r"\\(.)", r"\1", theirs) for theirs, ours in part.rename}


def same(ours: nn.Module, theirs: nn.Module | None) -> bool:
    assert theirs is not None
    other = theirs.state_dict()
    return all(torch.equal(tensor, other[name]) for name, tensor in ours.state_dict().items())


def test_structural(tmp_path: Path) -> None:
    config = structural.StructuralConfig(width=2, bottleneck=6, critic_width=2)
    generator = structural.METHOD.build(config)
    critic = structural.METHOD.critics(config)["discriminator"]
    parts = structural.LAYOUTS[0].parts
    tensors = {}
    for part, network in ((parts["generator"], generator), (parts["discriminator"], critic)):
        for name, tensor in network.state_dict().items():
            tensors[names_of(part)[name]] = linear(tensor, 4) if name == "fc.weight" else turned(tensor)
    loaded = load_file(checkpoint(tensors, tmp_path / "model.ckpt-50"))
    assert (loaded.method, loaded.layout, loaded.config) == ("structural", "jonzhaocn-tensorflow", config)
    assert same(generator, loaded.generator) and same(critic, loaded.critics["discriminator"])
    assert load_file(tmp_path, semantics="port").config.relu_logit


def test_deepfill_v1(tmp_path: Path) -> None:
    """BGR to RGB at both ends of both stages and at the critics; their linear layers by (row, column, channel)."""
    config = deepfill_v1.DeepFillV1Config(width=4, critic_width=2, local_size=32, global_size=64)
    generator, critics = deepfill_v1.METHOD.build(config), deepfill_v1.METHOD.critics(config)
    tensors = {}
    for ours, theirs in zip(deepfill_names.OURS, deepfill_names.TENSORFLOW, strict=True):
        for kind, published in (("weight", "kernel"), ("bias", "bias")):
            tensor = generator.state_dict()[f"{ours}.conv.{kind}"]
            if ours.endswith(".conv1") and kind == "weight":
                tensor = tensor[:, [2, 1, 0, 3, 4]]
            elif ours.endswith(".conv17"):
                tensor = tensor[[2, 1, 0]]
            tensors[f"inpaint_net/{theirs}/{published}"] = turned(tensor)
    for critic, side in (("local", 2), ("global", 4)):
        part = deepfill_v1.LAYOUTS[0].parts[critic]
        for name, tensor in critics[critic].state_dict().items():
            tensor = tensor[:, [2, 1, 0]] if name == "convs.0.weight" else tensor
            tensors[names_of(part)[name]] = linear(tensor, side) if name == "linear.weight" else turned(tensor)
    assert "inpaint_net/allconv15_upsample/allconv15_upsample_conv/kernel" in tensors
    assert {"discriminator/discriminator_local/conv4/kernel", "discriminator/dout_global_fc/bias"} <= tensors.keys()
    loaded = load_file(checkpoint(tensors, tmp_path / "snap-1000"))
    assert (loaded.method, loaded.layout, loaded.config) == ("deepfill-v1", "official", config)
    assert same(generator, loaded.generator)
    assert all(same(critics[name], loaded.critics[name]) for name in ("local", "global"))

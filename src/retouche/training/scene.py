"""The weights of the scene parser whose features LaMa's training compares."""

from __future__ import annotations

from pathlib import Path

import torch

from retouche.backbones.scene import ADDRESS, SceneEncoder, random_scene
from retouche.errors import WeightsError
from retouche.weights.layout import load_strictly
from retouche.weights.read import read_tensors
from retouche.weights.store import sha256_of


def scene_encoder(weights: Path | str) -> SceneEncoder:
    """The encoder with weights.

    Args:
        weights: the published file, or a classifier of the same form (ResNet50 with the deep stem); "random" for a
            seeded random one

    Raises: WeightsError if there is no such file, or it does not fit
    """
    if weights == "random":
        return random_scene()
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(f"there is no file {path}: download {ADDRESS} and give its path")
    tensors, _ = read_tensors(path)
    with torch.random.fork_rng(devices=[]):
        network = SceneEncoder()
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}  # the classifier's
    load_strictly(network, kept, (r".+\.num_batches_tracked",), f"{path} as the scene parser of {ADDRESS}")
    network.origin = f"{path.name} {sha256_of(path)[:8]}"
    return network

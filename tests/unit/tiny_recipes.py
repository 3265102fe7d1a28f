"""Every recipe with small networks and pictures, for tests."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from retouche.backbones.efficientnet import EfficientNetLite
from retouche.backbones.scene import SceneEncoder, random_scene
from retouche.backbones.vgg import VGG, vgg
from retouche.methods import METHODS, find
from retouche.methods.method import Batch, Recipe, RecipeContext

TINY: dict[str, dict[str, Any]] = {
    "aot-gan": {"width": 4, "blocks": 1},
    "sii-gan": {"width": 4, "blocks": 1},
    "lama": {"width": 4, "blocks": 1, "critic_width": 4},
    "deepfill-v1": {"width": 8, "critic_width": 4},
    "deepfill-v2": {"width": 16, "decoder_width": 16, "critic_width": 4},
    "structure-flow": {"width": 4},
    "structural": {"width": 4, "bottleneck": 16, "critic_width": 4},
    "context-encoder": {"width": 4, "bottleneck": 16, "critic_width": 4},
    "partial-conv": {"width": 4, "levels": 3},
    **{name: {"width": 4, "critic_width": 4} for name in ("layout", "refine", "thin")},
}
SIZES = {"aot-gan": 40, "sii-gan": 40, "deepfill-v1": 32, "deepfill-v2": 32, "structure-flow": 48}
SIZES |= {"lama": 32, "layout": 48, "refine": 48, "thin": 48, "partial-conv": 32}
TRAINED = [(name, preset) for name in METHODS for preset in find(name).recipes]
SAME = {  # presets that differ from a neighbour in data, steps or sizes only
    ("lama", "lama-fourier"),
    ("lama", "lama-fourier-narrow"),
    ("deepfill-v1", "celeba-hq"),
    ("deepfill-v1", "paddle"),
    ("deepfill-v1", "mmagic-celeba"),
    ("deepfill-v2", "celeba-hq"),
    ("deepfill-v2", "mmagic-celeba"),
    ("structure-flow", "structure-celeba"),
    ("structure-flow", "texture-celeba"),
    ("structure-flow", "joint-celeba"),
    ("sii-gan", "siigan-code-labels"),
    ("context-encoder", "port"),
    ("context-encoder", "any-128"),
    ("context-encoder", "any-128-code"),
    *(("deepfill-v2", f"{preset}-wide") for preset in ("partial", "plain")),
    *(("partial-conv", f"{preset}-512") for preset in ("first", "second")),
    *(("partial-conv", f"mmagic-celeba{stage}") for stage in ("", "-second")),
}
DIFFERENT = [case for case in TRAINED if case not in SAME]
LEARNERS = [  # with the steps it takes
    *((name, "default", 10) for name in ("layout", "refine", "thin")),
    *(("lama", "big-lama", 6), ("aot-gan", "aot", 6), ("sii-gan", "siigan", 6), ("deepfill-v1", "places2", 6)),
    *(("deepfill-v2", preset, 20) for preset in ("places2", "sketch", "ls")),
    *(("structure-flow", preset, 6) for preset in ("structure", "texture", "joint")),
    *(("structural", preset, 6) for preset in ("structural", "joint")),
    *(("context-encoder", preset, 6) for preset in ("centre", "any-64")),
    *(("partial-conv", preset, 6) for preset in ("first", "second", "mmagic-places")),
]


@cache
def tiny_vgg(depth: int, normalisation: str | None, precise: bool) -> VGG:
    last = {16: "pool3", 19: "relu5_2"}[depth]
    network = vgg(depth, "random", last, normalisation)  # type: ignore[arg-type]
    return network.double() if precise else network


def random_backbone() -> EfficientNetLite:
    """Features of random weights, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return EfficientNetLite(0)


@cache
def parser() -> SceneEncoder:
    return random_scene()


def tiny(name: str, preset: str) -> Any:
    """A preset for small networks and pictures."""
    training = find(name).recipes[preset]
    size = SIZES.get(name, training.data.size)
    if "mmagic" in preset and name.startswith("deepfill"):
        size = 72  # its mirrored padding needs it
    training = replace(
        training, network=replace(training.network, **TINY[name]), data=replace(training.data, size=size, batch=2)
    )
    if hasattr(training, "critic_from"):
        training = replace(training, critic_from=0, warm_up=0)
    return training.for_size() if hasattr(training, "for_size") else training


def built(
    name: str, training: Any, dtype: torch.dtype = torch.float64, **tools: Any
) -> tuple[Recipe, dict[str, nn.Module]]:
    """A recipe and its networks from a fixed seed."""
    method = find(name)
    assert method.build is not None and method.recipe is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        networks = {"generator": method.build(training.network), **method.critics(training.network)}
    networks = {role: network.to(dtype).eval() for role, network in networks.items()}
    started = frozenset(f"{role}.{key}" for role, network in networks.items() for key in network.state_dict())

    def lend(depth: int, normalisation: str | None = None, last: str | None = None) -> VGG:
        return tiny_vgg(depth, normalisation, dtype == torch.float64)

    def backbone() -> nn.Module:
        return random_backbone().to(dtype)

    def scene() -> nn.Module:
        return parser().to(dtype)

    return method.recipe(training, networks, RecipeContext(lend, backbone, scene, started=started, **tools)), networks


def batch_of(training: Any, seed: int, dtype: torch.dtype = torch.float64, n: int = 2) -> Batch:
    """Smooth random pictures with holes of different sizes, each within its local box."""
    draw = torch.Generator().manual_seed(seed)
    size = training.data.size

    def picture() -> Tensor:
        small = torch.rand(n, 3, 5, 5, generator=draw, dtype=dtype) * 2 - 1
        return f.interpolate(small, size=(size, size), mode="bilinear", align_corners=True)

    image, structure = picture(), picture()
    mask, box = torch.zeros(n, 1, size, size, dtype=dtype), torch.zeros(n, 4, dtype=torch.int64)
    side = round(training.data.local_box * size) or size // 2
    for i in range(n):
        left, top = (int(x) for x in torch.randint(0, size - side + 1, (2,), generator=draw))
        box[i] = torch.tensor([left, top, left + side, top + side])
        margin = 1 + 2 * i
        mask[i, :, top + margin : top + side - 1, left + 1 : left + side - margin] = 1
    if training.data.masks.startswith("centre"):
        mask = torch.zeros_like(mask)
        mask[..., 36:92, 36:92] = 1
    sketch = (torch.rand(n, 1, size, size, generator=draw) > 0.8).to(dtype)
    keys = torch.randint(0, 2**62, (n,), generator=draw)
    return Batch(image, mask, structure, sketch if training.data.sketch else None, keys, box)


def updates(recipe: Recipe, batches: list[Batch]) -> list[tuple[str, dict[str, Tensor]]]:
    """All turns of one step, without any step being made."""
    return list(recipe.updates(batches, 0))


def part(batch: Batch, samples: slice) -> Batch:
    tensors = {key: getattr(batch, key) for key in ("image", "mask", "structure", "sketch", "keys", "box")}
    return Batch(**{key: None if x is None else x[samples] for key, x in tensors.items()})

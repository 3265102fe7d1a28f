"""Every recipe: its losses against formulas written anew, whose weights its gradients reach, and that it learns.

The formulas of `hand` use nothing of `retouche.losses`; networks and trunk are the recipe's own, in float64 and in
evaluation mode, so that spectral normalisation stands still.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from retouche.backbones.efficientnet import EfficientNetLite
from retouche.backbones.scene import SceneEncoder, random_scene
from retouche.backbones.vgg import VGG, vgg
from retouche.errors import InputError
from retouche.layers.attention import VARIANTS
from retouche.methods import METHODS, find
from retouche.methods.method import Batch, Recipe, Tools, uniform
from retouche.methods.recipe import INITIAL

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
def trunk(depth: int, normalisation: str | None, precise: bool) -> VGG:
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
    return training.fitted() if hasattr(training, "fitted") else training


def built(
    name: str, training: Any, dtype: torch.dtype = torch.float64, **tools: Any
) -> tuple[Recipe, dict[str, nn.Module]]:
    """A recipe and its networks from a fixed seed."""
    method = find(name)
    assert method.build is not None and method.recipe is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        networks = {"generator": method.build(training.network), **method.critics(training.network)}
    networks = {player: network.to(dtype).eval() for player, network in networks.items()}
    started = frozenset(f"{player}.{key}" for player, network in networks.items() for key in network.state_dict())

    def lend(depth: int, normalisation: str | None = None, last: str | None = None) -> VGG:
        return trunk(depth, normalisation, dtype == torch.float64)

    def backbone() -> nn.Module:
        return random_backbone().to(dtype)

    def scene() -> nn.Module:
        return parser().to(dtype)

    return method.recipe(training, networks, Tools(lend, backbone, scene, started=started, **tools)), networks


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


def turns(recipe: Recipe, batches: list[Batch]) -> list[tuple[str, dict[str, Tensor]]]:
    """All turns of one step, without any step being made."""
    return list(recipe.turns(batches, 0))


def part(batch: Batch, samples: slice) -> Batch:
    tensors = {key: getattr(batch, key) for key in ("image", "mask", "structure", "sketch", "keys", "box")}
    return Batch(**{key: None if x is None else x[samples] for key, x in tensors.items()})


# The formulas, anew

Turn = tuple[str, dict[str, Any]]


def features(network: VGG, x: Tensor, wanted: list[str]) -> dict[str, Tensor]:
    """Features after the ReLU by block and number, "3_1", layer by layer from the trunk's tensors."""
    tensors = network.state_dict()
    if network.normalisation == "torchvision":
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = ((x + 1) / 2 - mean.view(3, 1, 1).to(x)) / deviation.view(3, 1, 1).to(x)
    found, index = {}, 0
    for block, count in enumerate([2, 2, 3, 3, 3] if network.depth == 16 else [2, 2, 4, 4, 4], 1):
        for number in range(1, count + 1):
            if f"features.{index}.weight" not in tensors:
                return found
            x = f.relu(f.conv2d(x, tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"], padding=1))
            index += 2
            if f"{block}_{number}" in wanted:
                found[f"{block}_{number}"] = x
        x = f.max_pool2d(x, 2)
        index += 1
    return found


@torch.no_grad()
def content_and_style(network: VGG, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    first, second = ["1_1", "2_1", "3_1", "4_1", "5_1"], ["2_2", "3_4", "4_4", "5_2"]
    one, two = (features(network, x, first + second) for x in (a, b))
    content = sum((one[k] - two[k]).abs().mean() for k in first)
    style = 0
    for k in second:
        grams = [torch.einsum("nchw,ndhw->ncd", x[k], x[k]) / x[k][0].numel() for x in (one, two)]
        style = style + (grams[0] - grams[1]).abs().mean()
    return content, style  # type: ignore[return-value]


def hand_soft_mask(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    o, (batch,) = training.objective, batches
    image, m = batch.image, batch.mask
    y = nets["generator"](image, m).refined
    z = image * (1 - m) + y * m
    offsets = torch.arange(-35, 36, dtype=torch.float64)
    kernel = torch.exp(-(offsets.view(-1, 1) ** 2 + offsets**2) / 200)
    soft = f.conv2d(m, (kernel / kernel.sum()).view(1, 1, 71, 71), padding=35)
    real, fake = (nn.UpsamplingBilinear2d(size=m.shape[-2:])(nets["discriminator"](x)) for x in (image, z))
    aims = {"consistent": (1.0, 1 - soft), "code": (0.0, soft), "mmagic": (1.0, soft)}[o.labels]
    yield "discriminator", {"adversarial": ((real - aims[0]) ** 2).mean() + ((fake - aims[1]) ** 2).mean()}
    error = (fake - 1) ** 2
    content, style = content_and_style(trunk(19, None, True), y if o.feature_target == "prediction" else z, image)
    yield (
        "generator",
        {
            "adversarial": o.adversarial * ((error * m).sum() / m.sum() if o.region == "hole" else error.mean()),
            "reconstruction": o.reconstruction * (y - image).abs().mean(),
            "perceptual": o.perceptual * content,
            "style": o.style * style,
        },
    )


def hand_v1(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    t, side = training, training.network.local_size

    def local(x: Tensor, batch: Batch) -> Tensor:
        assert batch.box is not None
        boxes = batch.box.tolist()
        return torch.stack([x[i][:, top:bottom, left:right] for i, (left, top, right, bottom) in enumerate(boxes)])

    def fill(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        made = nets["generator"](batch.image, batch.mask)
        return made.coarse, made.refined, batch.image * (1 - batch.mask) + made.refined * batch.mask

    for batch in batches[: t.critic_turns]:
        z = fill(batch)[2].detach()
        for name in ("local", "global"):
            x, y, m = batch.image, z, batch.mask
            if name == "local":
                x, y, m = (local(a, batch) for a in (x, y, m))
            critic = nets[name]
            real, fake = critic(x), critic(y)
            a = uniform(batch.keys, f"penalty {name}", (1, 1, 1)).double()
            between = (x + a * (y - x)).requires_grad_()
            (g,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            if t.penalty_rule == "mmagic":
                weight = m if name == "global" else torch.ones_like(m)
                penalty = ((((g * weight) ** 2).sum(1).sqrt() - 1) ** 2).mean() / weight.mean()
            else:
                weight = m if t.penalty_rule == "masked" else torch.ones_like(m)
                penalty = (((g**2 * weight).sum((1, 2, 3)).sqrt() - 1) ** 2).mean()
            terms = {"wasserstein": fake.mean() - real.mean(), "penalty": t.penalty * penalty}
            if t.shift:
                terms["shift"] = t.shift * 0.5 * (real.mean() ** 2 + fake.mean() ** 2)
            yield name, terms
    batch = batches[-1]
    image, m, n = batch.image, batch.mask, 1 - batch.mask
    coarse, refined, z = fill(batch)
    if t.hole_rule == "nearest":
        weight = torch.ones_like(m)
        for i in range(len(m)):
            holes, known = m[i, 0].nonzero().double(), n[i, 0].nonzero().double()
            for (y, x), d in zip(holes.long().tolist(), torch.cdist(holes, known).amin(1).tolist(), strict=True):
                weight[i, 0, y, x] = t.gamma**d
        weight = local(weight, batch)
    else:
        weight = torch.zeros(side, side, dtype=torch.float64)
        for i in range(side):
            for j in range(side):
                weight[i, j] = max(t.gamma ** min(i, side - i), t.gamma ** min(j, side - j))
    terms = {}
    for stage, made, alpha in (("coarse", coarse, t.coarse), ("refined", refined, 1.0)):
        error = (made - image).abs()
        if t.hole_rule == "region":
            hole = (error * m).sum() / (3 * m.sum())
        elif t.hole_rule == "composite":
            hole = (local(error * m, batch) * weight).mean()
        else:
            hole = (local(error, batch) * weight).mean()
        known = (error * n).mean() / (n.mean() if t.known_rule == "region" else 1)
        terms |= {f"{stage}_hole": t.hole * alpha * hole, f"{stage}_known": t.known * alpha * known}
    score = nets["local"](local(z, batch)).mean() + nets["global"](z).mean()
    yield "generator", terms | {"adversarial": -t.adversarial * score}


def hand_v2(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    t = training

    def fill(batch: Batch) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        made = nets["generator"](batch.image, batch.mask, sketch=batch.sketch)
        guides = [batch.mask, *([] if batch.sketch is None else [batch.sketch * batch.mask])]
        return made.coarse, made.refined, lambda x: nets["discriminator"](torch.cat([x, *guides], 1))

    first, batch = batches[0], batches[-1]
    _, refined, critic = fill(first)
    real, fake = critic(first.image), critic(first.image * (1 - first.mask) + refined * first.mask)
    if t.loss == "ls":
        yield "discriminator", {"least_squares": 0.5 * ((real - 1) ** 2).mean() + 0.5 * (fake**2).mean()}
    else:
        yield "discriminator", {"hinge": t.critic * ((1 - real).clamp_min(0).mean() + (1 + fake).clamp_min(0).mean())}
    coarse, refined, critic = fill(batch)
    fake = critic(batch.image * (1 - batch.mask) + refined * batch.mask)
    terms = {"adversarial": t.adversarial * (((fake - 1) ** 2).mean() if t.loss == "ls" else -fake.mean())}
    for stage, made in (("coarse", coarse), ("refined", refined)):
        error = (made - batch.image).abs()
        if t.l1_rule == "whole":
            terms[stage] = error.mean()
        else:
            terms[f"{stage}_hole"] = (error * batch.mask).sum() / (3 * batch.mask.sum())
            terms[f"{stage}_known"] = (error * (1 - batch.mask)).sum() / (3 * (1 - batch.mask).sum())
    yield "generator", terms


def hand_fill(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    o, (batch,) = training.objective, batches
    image, m, guides = batch.image, batch.mask, {"structure": batch.structure}
    if batch.sketch is not None:
        shown = uniform(batch.keys, "sketch") < training.sketch_share
        guides["sketch"] = batch.sketch * shown.view(-1, 1, 1, 1)
    z = image * (1 - m) + nets["generator"](image, m, **guides).refined * m
    *wanted, real = nets["discriminator"](image, m)
    *found, fake = nets["discriminator"](z, m)

    def near(values: Tensor) -> Tensor:
        means = []
        for value, hole in zip(values, m, strict=True):
            step = [a // b for a, b in zip(hole.shape[-2:], value.shape[-2:], strict=True)]
            touched = hole.unfold(1, step[0], step[0]).unfold(2, step[1], step[1]).flatten(3).amax(3)[0] > 0
            means.append(value[:, touched].mean())
        return torch.stack(means).mean()

    yield "discriminator", {"hinge": near((1 - real).clamp_min(0)) + near((1 + fake).clamp_min(0))}
    error = torch.stack([(a - b).abs()[:, hole[0] > 0].mean() for a, b, hole in zip(z, image, m, strict=True)]).mean()
    distances = []
    network = random_backbone().double()
    for a, b in zip(network(z), network(image), strict=True):
        units = [x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + 1e-3) for x in (a, b)]
        share = f.avg_pool2d(
            f.pad(m, (0, -m.shape[3] % a.shape[3], 0, -m.shape[2] % a.shape[2])), m.shape[2] // a.shape[2]
        )
        apart = ((units[0] - units[1]) ** 2).sum(1, keepdim=True) * share
        distances.append(apart.sum((1, 2, 3)) / share.sum((1, 2, 3)))
    yield (
        "generator",
        {
            "reconstruction": o.reconstruction * error,
            "features": o.features * torch.stack(distances).mean(),
            "adversarial": -o.adversarial * near(fake),
            "matching": o.matching
            * torch.stack([near((a - b).abs()) for a, b in zip(found, wanted, strict=True)]).mean(),
        },
    )


def hand_structure_flow(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    t, (batch,) = training, batches
    image, m = batch.image, batch.mask
    made = nets["generator"](image, m, structure=batch.structure)
    y, target = (made.structure, batch.structure) if t.stage == "structure" else (made.refined, image)
    critic = nets["structure" if t.stage == "structure" else "texture"]
    assert target is not None
    pairs = list(zip(critic(target), critic(y), strict=True))
    loss = sum((((real - 1) ** 2).mean() + (fake**2).mean()) / 2 for real, fake in pairs) / 2
    yield ("structure" if t.stage == "structure" else "texture"), {"least_squares": loss}
    terms = {
        "reconstruction": t.reconstruction * (y - target).abs().mean(),
        "adversarial": t.adversarial * sum(((fake - 1) ** 2).mean() for _, fake in pairs) / 2,
    }
    network = trunk(19, "none", True)
    if t.stage != "structure":
        wanted, there = (features(network, x, ["3_1"])["3_1"] for x in (image, image * (1 - m)))
        n, c, h, w = wanted.shape
        similar = torch.einsum(
            "ncp,ncq->npq", f.normalize(wanted.flatten(2), dim=1), f.normalize(there.flatten(2), dim=1)
        )
        best = similar.amax(2).view(n, h, w)
        x = torch.arange(w) + made.flow[:, 0]
        row = torch.arange(h).view(-1, 1) + made.flow[:, 1]
        a, b = x - x.floor(), row - row.floor()
        total, fetched = torch.zeros(n, h, w, dtype=torch.float64), torch.zeros_like(wanted)
        for i in range(-1, 3):
            for j in range(-1, 3):
                weight = torch.exp(-((i - a) ** 2 + (j - b) ** 2) / 8)
                place = (row.floor() + j).clamp(0, h - 1).long() * w + (x.floor() + i).clamp(0, w - 1).long()
                taken = there.flatten(2).gather(2, place.view(n, 1, -1).expand(n, c, h * w)).view(n, c, h, w)
                total, fetched = total + weight, fetched + weight.unsqueeze(1) * taken
        mu = f.cosine_similarity(fetched / total.unsqueeze(1), wanted)
        hole = m[:, 0, ::4, ::4]
        terms["correctness"] = t.correctness * (torch.exp(-mu / best) * hole).sum() / hole.sum()
    if t.stage == "joint":
        terms["content"] = t.content * content_and_style(network, y, image)[0]
        terms["style"] = t.style * content_and_style(network, y * m, image * m)[1]
    yield "generator", terms


def hand_structural(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    t, (batch,) = training, batches
    y, target = (x[..., 32:96, 32:96] for x in (nets["generator"](batch.image, batch.mask).refined, batch.image))
    ring = torch.ones(64, 64, dtype=torch.float64)
    ring[4:60, 4:60] = 0
    error = (y / 2 - target / 2) ** 2
    one, two = (features(trunk(16, None, True), x, ["1_1", "2_1", "3_1"]) for x in (y, target))
    terms = {"centre": (error * (1 - ring)).mean(), "overlap": 10 * (error * ring).mean()}
    terms |= {f"relu{k}": (((one[k] - two[k]) * 0.226) ** 2).mean() for k in one}
    if t.phase == "joint":
        real, fake = (nets["discriminator"]((x + 1) / 2) for x in (target, y))
        yield "discriminator", {"binary": 0.1 * (f.softplus(-real).mean() + f.softplus(fake).mean())}
        terms["adversarial"] = 0.1 * f.softplus(-fake).mean()
    yield "generator", terms


def hand_context(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    t, (batch,) = training, batches
    image, m = batch.image, batch.mask
    y, middle = nets["generator"](image, m).refined, t.network.region == "centre"
    shown = image * (1 - m) + y * m if not middle and t.judged == "hole" else y
    a, b = (x[..., 32:96, 32:96] if middle else x for x in (image, shown))
    real, fake = (torch.log(p) - torch.log1p(-p) for p in map(nets["discriminator"], (a, b)))
    yield "discriminator", {"binary": f.softplus(-real).mean() + f.softplus(fake).mean()}
    error = (y - image) ** 2
    if middle:
        weight = torch.full((64, 64), 10.0, dtype=torch.float64)
        weight[4:60, 4:60] = 0
        error = error[..., 32:96, 32:96]
        errors = {"centre": (error * (weight == 0)).mean(), "overlap": (error * weight).mean()}
    elif t.judged == "hole":
        errors = {"hole": (error * m).sum() / (3 * m.sum())}
    else:
        errors = {"whole": error.mean()}
    terms = {name: t.reconstruction * value for name, value in errors.items()}
    yield "generator", terms | {"adversarial": t.adversarial * f.softplus(-fake).mean()}


def hand_partial(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    o, (batch,) = training.objective, batches
    image, m, n = batch.image, batch.mask, 1 - batch.mask
    y = nets["generator"](image, m).refined
    z = image * n + y * m
    x, p, q = image, y, z  # original, prediction and filling in the numbers that the layers see
    if training.network.space == "imagenet":
        mean, deviation = (
            torch.tensor(c).double().view(3, 1, 1) for c in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        x, p, q = (((c + 1) / 2 - mean) / deviation for c in (x, p, q))
    each = (m.mean(), n.mean()) if o.share == "region" else (1, 1)
    down, right = (q[..., 1:, :] - q[..., :-1, :]).abs(), (q[..., 1:] - q[..., :-1]).abs()
    if o.neighbours == "whole":
        smooth = down.mean() + right.mean()
    elif o.neighbours == "hole":
        smooth = (down * m[..., :-1, :]).sum() / (3 * m[..., :-1, :].sum())
        smooth = smooth + (right * m[..., :-1]).sum() / (3 * m[..., :-1].sum())
    else:
        wide = f.conv2d(m, torch.ones(1, 1, 3, 3).double(), padding=1) > 0
        smooth = (down * (wide[..., 1:, :] & wide[..., :-1, :])).sum() + (
            right * (wide[..., 1:] & wide[..., :-1])
        ).sum()
        smooth = smooth / q.numel()
    terms = {
        "hole": o.hole * ((p - x).abs() * m).mean() / each[0],
        "valid": o.valid * ((p - x).abs() * n).mean() / each[1],
        "variation": o.variation * smooth,
    }
    for name, made in (("raw", y), ("filled", z)):
        pair = (made, image) if o.features == "rgb" else (made[:, [2, 1, 0]], image[:, [2, 1, 0]])
        one, two = (trunk(16, None, True)(picture, ["pool1", "pool2", "pool3"]) for picture in pair)
        grams = [[torch.einsum("nchw,ndhw->ncd", c, c) / c[0].numel() for c in found.values()] for found in (one, two)]
        terms[f"perceptual_{name}"] = o.perceptual * sum((one[k] - two[k]).abs().mean() for k in one)
        terms[f"style_{name}"] = o.style * sum((a - b).abs().mean() for a, b in zip(*grams, strict=True))
    yield "generator", terms


def hand_lama(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    o, (batch,) = training.objective, batches
    image, m = (batch.image + 1) / 2, batch.mask
    made = (nets["generator"](batch.image, m).refined + 1) / 2

    def layers(x: Tensor) -> list[Tensor]:
        found = [x]
        for i in range(6):
            found.append(getattr(nets["discriminator"], f"model{i}")(found[-1]))
        return found[1:]

    real, fake = layers(image), layers(made)
    judge = parser().double()
    seen, wanted = judge(2 * made - 1), judge(2 * image - 1)
    yield (
        "generator",
        {
            "known": o.known * ((made - image).abs() * (1 - m)).sum() / made.numel(),
            "adversarial": o.adversarial * (1 + (-fake[5]).exp()).log().mean(),
            "matching": o.matching * sum(((a - b) ** 2).mean() for a, b in zip(fake[:5], real[:5], strict=True)) / 5,
            "perceptual": o.perceptual * sum(((a - b) ** 2).mean() for a, b in zip(seen, wanted, strict=True)),
        },
    )
    image = image.detach().requires_grad_()
    real = layers(image)[5]
    (g,) = torch.autograd.grad(real.sum(), image, create_graph=True)
    side = fake[5].shape[-1]
    at = (torch.arange(side) * m.shape[-1]) // side
    hole = m[:, :, at][:, :, :, at]
    score = fake[5].detach()
    of_fake = hole * (1 + score.exp()).log() + (1 - hole) * (1 + (-score).exp()).log()
    terms = {"logistic": (1 + (-real).exp()).log().mean() + of_fake.mean()}
    yield "discriminator", {**terms, "penalty": o.penalty * (g**2).sum() / len(g)}


HANDS = {
    "lama": hand_lama,
    "partial-conv": hand_partial,
    "aot-gan": hand_soft_mask,
    "sii-gan": hand_soft_mask,
    **dict.fromkeys(("layout", "refine", "thin"), hand_fill),
    "deepfill-v1": hand_v1,
    "deepfill-v2": hand_v2,
    "structure-flow": hand_structure_flow,
    "structural": hand_structural,
    "context-encoder": hand_context,
}


@pytest.mark.parametrize(("name", "preset"), DIFFERENT)
def test_losses_are_the_formulas(name: str, preset: str) -> None:
    training = tiny(name, preset)
    recipe, networks = built(name, training)
    batches = [batch_of(training, seed) for seed in range(recipe.batches)]
    ours, theirs = turns(recipe, batches), list(HANDS[name](training, networks, batches))
    assert [player for player, _ in ours] == [player for player, _ in theirs]
    for (player, terms), (_, values) in zip(ours, theirs, strict=True):
        assert terms.keys() == values.keys(), player
        for key, value in values.items():
            assert terms[key].shape == (), key
            torch.testing.assert_close(terms[key], torch.as_tensor(value), atol=1e-12, rtol=1e-6, msg=f"{player}/{key}")


# What every recipe keeps


@pytest.mark.parametrize(("name", "preset"), DIFFERENT)
def test_gradients_reach_the_player_alone(name: str, preset: str) -> None:
    """Critics see no graph of the generator; every weight that a player trains gets a gradient in its turn."""
    training = tiny(name, preset)
    recipe, networks = built(name, training, torch.float32)
    for network in networks.values():
        network.train()
    batches = [batch_of(training, seed, torch.float32) for seed in range(recipe.batches)]
    played = set()
    for player, terms in recipe.turns(batches, 0):
        assert player in recipe.players and all(torch.isfinite(term) for term in terms.values())
        weights = [weight for weight in recipe.players[player].parameters() if weight.requires_grad]
        others = [
            w
            for other, network in networks.items()
            if network is not recipe.players[player]
            for w in network.parameters()
        ]
        total = torch.stack(list(terms.values())).sum()
        if player != "generator":  # even an unrestrained backward pass stays within the critic
            total.backward()
            assert all(weight.grad is None for weight in others)
        else:
            total.backward(inputs=weights)
            assert all(weight.grad is None for weight in others)
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights), player
        assert any(weight.grad.abs().sum() > 0 for weight in weights if weight.grad is not None)
        for weight in weights:
            weight.grad = None
        played.add(player)
    assert played == recipe.players.keys()


class Recorder:
    """Stands for the sum over two processes: first keeps what each would add, then tells both the sum."""

    def __init__(self) -> None:
        self.rows: list[list[Tensor]] = []
        self.sums: list[Tensor] | None = None

    def begin(self) -> None:
        self.rows.append([])

    def __call__(self, x: Tensor) -> Tensor:
        row = self.rows[-1]
        row.append(x.detach())
        return row[-1] if self.sums is None else self.sums[len(row) - 1]


@pytest.mark.parametrize(("name", "preset"), DIFFERENT)
def test_two_processes_with_halves_are_one_with_all(name: str, preset: str) -> None:
    training = tiny(name, preset)
    recipe, _ = built(name, training)
    batches = [batch_of(training, seed) for seed in range(recipe.batches)]
    whole = turns(recipe, batches)
    total = Recorder()
    recipe, _ = built(name, training, processes=2, total=total)
    halves = [[part(batch, slice(i, i + 1)) for batch in batches] for i in (0, 1)]
    for half in halves:
        total.begin()
        turns(recipe, half)
    total.sums = [a + b for a, b in zip(*total.rows, strict=True)]
    shares = []
    for half in halves:
        total.begin()
        shares.append(turns(recipe, half))
    for (player, terms), (_, one), (_, two) in zip(whole, *shares, strict=True):
        for key, value in terms.items():
            torch.testing.assert_close((one[key] + two[key]) / 2, value, atol=1e-12, rtol=1e-9, msg=f"{player}/{key}")


def test_the_critic_of_lama_meets_the_generator_as_it_has_become() -> None:
    recipe, networks = built("lama", tiny("lama", "big-lama"))
    batch = batch_of(tiny("lama", "big-lama"), 0)
    before = turns(recipe, [batch])[1][1]["logistic"]
    for player, terms in recipe.turns([batch], 0):
        if player == "generator":
            with torch.no_grad():
                for weight in networks["generator"].parameters():
                    weight.add_(0.1)
        else:
            assert not torch.isclose(terms["logistic"], before, rtol=1e-9)


@pytest.mark.parametrize(
    "name", [name for name in METHODS if find(name).recipes and name not in {"partial-conv", "lama"}]
)
def test_the_generator_meets_the_critic_as_it_has_become(name: str) -> None:
    preset = "joint" if name in {"structural", "structure-flow"} else next(iter(find(name).recipes))
    training = tiny(name, preset)
    recipe, _ = built(name, training)
    batches = [batch_of(training, seed) for seed in range(recipe.batches)]
    (before,) = (terms["adversarial"] for player, terms in turns(recipe, batches) if player == "generator")
    for player, terms in recipe.turns(batches, 0):
        if player == "generator":
            assert not torch.isclose(terms["adversarial"], before, rtol=1e-3)
        else:
            with torch.no_grad():
                for weight in recipe.players[player].parameters():
                    weight.add_(0.05)


@pytest.mark.parametrize(("name", "preset", "steps"), LEARNERS)
def test_one_batch_is_learned(name: str, preset: str, steps: int) -> None:
    """The generator comes closer to the originals, the critics learning more slowly than it."""
    rate = 1e-2 if name in {"aot-gan", "sii-gan"} else 1e-3
    recipe, networks = built(name, replace(tiny(name, preset), learning_rate=rate), torch.float32)
    for network in networks.values():
        network.train()
    batches = [batch_of(tiny(name, preset), 0, torch.float32)] * recipe.batches
    optimizers = {player: recipe.optimizer(player) for player in recipe.players}
    for player in recipe.players.keys() - {"generator"}:
        optimizers[player].param_groups[0]["lr"] = 1e-4
    errors = []
    for step in range(steps):
        for player, terms in recipe.turns(batches, step):
            weights = [weight for group in optimizers[player].param_groups for weight in group["params"]]
            optimizers[player].zero_grad()
            torch.stack(list(terms.values())).sum().backward(inputs=weights)
            optimizers[player].step()
        errors.append(sum(term.item() for key, term in terms.items() if key != "adversarial"))
    assert min(errors[-2:]) < 0.98 * errors[0], errors


# Presets


@pytest.mark.parametrize(("name", "preset"), TRAINED)
def test_presets_are_plain_and_belong_to_the_method(name: str, preset: str) -> None:
    training = find(name).recipes[preset]
    assert json.loads(json.dumps(asdict(training))) == json.loads(json.dumps(asdict(replace(training))))
    assert type(training.network) is type(next(iter(find(name).presets.values())))
    assert training.steps > 0 and training.data.batch > 0
    assert training.data.sketch == ("sketch" in find(name).listens(training.network))
    assert bool(training.data.structure) == (name in {"structure-flow", "refine"})


def test_published_numbers() -> None:
    """What each publication says of its own training: rate, decays, batch, size."""

    def numbers(name: str, preset: str) -> tuple[Any, ...]:
        t = find(name).recipes[preset]
        return t.learning_rate, t.betas, t.data.batch, t.data.size

    assert numbers("aot-gan", "aot") == (1e-4, (0.5, 0.999), 8, 512)
    assert numbers("aot-gan", "mmagic") == (1e-4, (0.0, 0.9), 48, 512)
    assert numbers("sii-gan", "siigan-code") == (1e-4, (0.5, 0.999), 1, 512)
    assert numbers("deepfill-v1", "places2") == (1e-4, (0.5, 0.9), 16, 256)
    assert numbers("deepfill-v1", "brief") == (1e-4, (0.5, 0.9), 48, 256)
    assert numbers("deepfill-v1", "mmagic-places") == (1e-4, (0.9, 0.999), 16, 256)
    assert numbers("deepfill-v2", "places2") == (1e-4, (0.5, 0.999), 16, 256)
    assert numbers("deepfill-v2", "mmagic-places") == (1e-4, (0.9, 0.999), 16, 256)
    assert numbers("structure-flow", "joint") == (1e-4, (0.0, 0.999), 8, 256)
    assert numbers("structural", "structural") == (2e-4, (0.5, 0.999), 64, 128)
    assert numbers("structural", "joint") == (2e-5, (0.5, 0.999), 64, 128)
    assert numbers("context-encoder", "centre") == (2e-3, (0.5, 0.999), 64, 128)
    assert numbers("partial-conv", "mmagic-places") == (2e-4, (0.9, 0.999), 96, 256)
    assert numbers("partial-conv", "mmagic-celeba-second") == (5e-5, (0.9, 0.999), 8, 256)
    assert numbers("partial-conv", "naoto") == (2e-4, (0.9, 0.999), 16, 256)
    objective = find("partial-conv").recipes["first"].objective
    weights = (objective.valid, objective.hole, objective.perceptual, objective.style, objective.variation)
    assert weights == (1, 6, 0.05, 120, 0.1)
    brief = find("deepfill-v1").recipes["brief"]
    assert (brief.gamma, brief.hole_rule, brief.network.local_size, brief.critic_turns) == (0.99, "nearest", 128, 5)
    assert find("deepfill-v1").recipes["paddle"].clip == 0.1
    joint = find("structure-flow").recipes["joint"]
    assert (joint.reconstruction, joint.correctness, joint.content, joint.style) == (5, 0.25, 0.1, 250)


def test_parameters_with_and_without_gates() -> None:
    """What is said of them in the documents and beside the presets."""
    method = find("deepfill-v2")
    assert method.build is not None
    counts = {"places2": 4_052_478, "partial": 2_026_566, "partial-wide": 4_061_306}
    counts |= {"plain": counts["partial"], "plain-wide": counts["partial-wide"]}
    for preset, count in counts.items():
        with torch.device("meta"):
            network = method.build(method.recipes[preset].network)
        assert sum(weight.numel() for weight in network.parameters()) == count


def test_critics_fit_the_pictures() -> None:
    training = find("deepfill-v1").recipes["brief"]
    small = replace(training, data=replace(training.data, size=64)).fitted()
    assert (small.network.global_size, small.network.local_size) == (64, 32)
    assert training.fitted() == training


@pytest.mark.parametrize(("name", "preset"), [("structural", "joint"), ("context-encoder", "centre")])
def test_networks_of_one_size_say_so(name: str, preset: str) -> None:
    training = find(name).recipes[preset]
    with pytest.raises(InputError, match="cannot be trained at size 64: choose 128"):
        replace(training, data=replace(training.data, size=64)).fitted()


def test_context_encoder_follows_the_size() -> None:
    training = find("context-encoder").recipes["any-128"]
    assert replace(training, data=replace(training.data, size=64)).fitted().network.side == 64


def test_the_joint_stage_refuses_to_start_from_nothing() -> None:
    method = find("structure-flow")
    training = tiny("structure-flow", "joint")
    assert method.build is not None and method.recipe is not None
    generator = method.build(training.network)
    networks = {"generator": generator, **method.critics(training.network)}
    names = {f"generator.{key}" for key in generator.state_dict()}
    only_structure = frozenset(key for key in names if ".structure." in key)
    for started in (frozenset[str](), only_structure, frozenset(names) - only_structure):
        with pytest.raises(InputError, match="both earlier networks"):
            method.recipe(training, networks, Tools(lambda *a, **k: trunk(19, "none", False), started=started))
    method.recipe(training, networks, Tools(lambda *a, **k: trunk(19, "none", False), started=frozenset(names)))


def test_the_joint_stage_leaves_the_structure_network_alone() -> None:
    recipe, _ = built("structure-flow", tiny("structure-flow", "joint"))
    generator = recipe.players["generator"]
    assert not any(w.requires_grad for key, w in generator.named_parameters() if key.startswith("structure."))
    assert all(w.requires_grad for key, w in generator.named_parameters() if key.startswith("texture."))
    trained = {id(w) for group in recipe.optimizer("generator").param_groups for w in group["params"]}
    assert trained == {id(w) for w in generator.parameters() if w.requires_grad}


@pytest.mark.parametrize("preset", ["second", "mmagic-places-second", "naoto-second"])
def test_the_second_stage_of_partial_convolutions_goes_on_from_the_first(preset: str) -> None:
    method, training = find("partial-conv"), tiny("partial-conv", preset)
    assert method.build is not None and method.recipe is not None
    networks: dict[str, nn.Module] = {"generator": method.build(training.network)}
    with pytest.raises(InputError, match="goes on from the first: give --from"):
        method.recipe(training, networks, Tools(lambda *a, **k: trunk(16, None, False)))
    generator = networks["generator"].train()
    tools = Tools(lambda *a, **k: trunk(16, None, False), started=frozenset({"generator.encoder.0.conv.weight"}))
    recipe = method.recipe(training, networks, tools)
    trained = {weight for group in recipe.optimizer("generator").param_groups for weight in group["params"]}
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    list(recipe.turns([batch_of(training, 0, torch.float32)], 0))
    moved = [not torch.equal(one, norm.running_mean) for one, norm in zip(before, norms, strict=True)]
    assert moved == [False, False, True, True]  # the encoder's are frozen, the decoder's are not
    weights = [norm.weight in trained for norm in norms]
    assert weights == [training.frozen == "statistics"] * 2 + [True, True]


def test_no_trunk_is_asked_for_without_a_weight_for_it() -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise InputError("no weights")

    training = tiny("aot-gan", "aot")
    method = find("aot-gan")
    assert method.build is not None and method.recipe is not None
    networks = {"generator": method.build(training.network), **method.critics(training.network)}
    with pytest.raises(InputError):
        method.recipe(training, networks, Tools(refuse))
    plain = replace(training, objective=replace(training.objective, perceptual=0.0, style=0.0))
    recipe = method.recipe(plain, networks, Tools(refuse))
    *_, (_, terms) = recipe.turns([batch_of(plain, 0, torch.float32)], 0)
    assert set(terms) == {"adversarial", "reconstruction"}


def test_local_boxes_are_asked_for() -> None:
    training = tiny("deepfill-v1", "places2")
    recipe, _ = built("deepfill-v1", training)
    batch = replace(batch_of(training, 0), box=None)
    with pytest.raises(InputError, match=r"local_box"):
        next(recipe.turns([batch] * recipe.batches, 0))


def test_batch_statistics_are_taken_apart() -> None:
    """A discriminator with batch normalisation never sees originals and fillings in one batch."""
    training = tiny("context-encoder", "centre")
    recipe, networks = built("context-encoder", training)
    networks["discriminator"].train()
    batch = batch_of(training, 0)
    (_, terms), _ = turns(recipe, [batch])
    with torch.no_grad():
        filled = networks["generator"](batch.image, batch.mask).refined
        both = networks["discriminator"](torch.cat([batch.image, filled]), batch.mask, logits=True)
        mixed = f.softplus(-both[:2]).mean() + f.softplus(both[2:]).mean()
    assert not torch.isclose(terms["binary"], mixed, rtol=1e-4)


@pytest.mark.parametrize("initial", INITIAL)
def test_initial_weights(initial: str) -> None:
    """Kernels have the spread that each code gives them, biases are 0 but for PyTorch's own."""
    for name in ("deepfill-v1", "deepfill-v2"):
        method = find(name)
        config = next(iter(method.presets.values()))
        extra = {} if name == "deepfill-v1" else {"critic_initial": initial}
        config = replace(config, initial=initial, **extra)
        assert method.build is not None
        for network in (method.build(config), *method.critics(config).values()):
            layers = [x for x in network.modules() if hasattr(x, "bias") and isinstance(x.bias, nn.Parameter)]
            layer = max(layers, key=lambda x: getattr(x, "weight_orig", x.weight).numel())
            kernel = getattr(layer, "weight_orig", None)
            kernel = (layer.weight if kernel is None else kernel).detach()
            inputs, outputs = kernel[0].numel(), kernel.transpose(0, 1)[0].numel()
            spread = {
                "glorot": (2 / (inputs + outputs)) ** 0.5,
                "normal": 0.02,
                "kaiming": (2 / outputs) ** 0.5,
                "he-in": (2 / inputs) ** 0.5,
                "he-out": (2 / outputs) ** 0.5,
                "torch": (1 / (3 * inputs)) ** 0.5,
            }[initial]
            assert kernel.std().item() == pytest.approx(spread, rel=0.05)
            assert bool(layer.bias.abs().sum() > 0) == (initial == "torch")
    with pytest.raises(InputError, match="no initial weights"):
        find("deepfill-v1").critics(replace(find("deepfill-v1").presets["official"], initial="no"))


def test_recipes_only_name_known_attention() -> None:
    assert {find(n).recipes[p].network.attention for n, p in TRAINED if n.startswith("deepfill")} <= set(VARIANTS)

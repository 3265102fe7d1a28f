"""The losses of every recipe, written anew: what each role's turn should yield.

Nothing of `retouche.losses` is used; networks and backbone are the recipe's own, in float64 and in evaluation mode, so
that spectral normalisation stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from tiny_recipes import parser, random_backbone, tiny_vgg
from torch import Tensor, nn
from torch.nn import functional as f

from retouche.backbones.vgg import VGG
from retouche.methods.method import Batch, uniform

Turn = tuple[str, dict[str, Any]]


def features(network: VGG, x: Tensor, wanted: list[str]) -> dict[str, Tensor]:
    """Features after the ReLU by block and number, "3_1", layer by layer from the backbone's tensors."""
    tensors = network.state_dict()
    if network.normalisation == "torchvision":
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = ((x + 1) / 2 - mean.view(3, 1, 1).to(x)) / deviation.view(3, 1, 1).to(x)
    found: dict[str, Tensor] = {}
    index = 0
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
    content = torch.stack([(one[k] - two[k]).abs().mean() for k in first]).sum()
    style = torch.zeros((), dtype=a.dtype)
    for k in second:
        grams = [torch.einsum("nchw,ndhw->ncd", x[k], x[k]) / x[k][0].numel() for x in (one, two)]
        style = style + (grams[0] - grams[1]).abs().mean()
    return content, style


def hand_soft_mask(training: Any, nets: dict[str, nn.Module], batches: list[Batch]) -> Iterator[Turn]:
    o, (batch,) = training.objective, batches
    image, m = batch.image, batch.mask
    y = nets["generator"](image, m).refined
    z = image * (1 - m) + y * m
    offsets = torch.arange(-35, 36, dtype=torch.float64)
    kernel = torch.exp(-(offsets.view(-1, 1) ** 2 + offsets**2) / 200)
    soft = f.conv2d(m, (kernel / kernel.sum()).view(1, 1, 71, 71), padding=35)
    real, fake = (
        nn.UpsamplingBilinear2d(size=(m.shape[-2], m.shape[-1]))(nets["discriminator"](x)) for x in (image, z)
    )
    aims = {"consistent": (1.0, 1 - soft), "code": (0.0, soft), "mmagic": (1.0, soft)}[o.labels]
    yield "discriminator", {"adversarial": ((real - aims[0]) ** 2).mean() + ((fake - aims[1]) ** 2).mean()}
    error = (fake - 1) ** 2
    content, style = content_and_style(tiny_vgg(19, None, True), y if o.feature_target == "prediction" else z, image)
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
    network = tiny_vgg(19, "none", True)
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
    one, two = (features(tiny_vgg(16, None, True), x, ["1_1", "2_1", "3_1"]) for x in (y, target))
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
        one, two = (tiny_vgg(16, None, True)(picture, ["pool1", "pool2", "pool3"]) for picture in pair)
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
    score_of_real = layers(image)[5]
    (g,) = torch.autograd.grad(score_of_real.sum(), image, create_graph=True)
    side = fake[5].shape[-1]
    at = (torch.arange(side) * m.shape[-1]) // side
    hole = m[:, :, at][:, :, :, at]
    score = fake[5].detach()
    of_fake = hole * (1 + score.exp()).log() + (1 - hole) * (1 + (-score).exp()).log()
    terms = {"logistic": (1 + (-score_of_real).exp()).log().mean() + of_fake.mean()}
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

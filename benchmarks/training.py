"""Seconds and memory of one training step: ours against the published algorithm written down plainly.

    python benchmarks/training.py [--size 256] [--batch 2] [--rounds 5] [--only aot-gan deepfill-v2]

Each contender runs in a process of its own on one thread and they take turns; seconds are of the processor, system
calls included, so that a busy machine disturbs little.
The plain step is this file's, after the public code of each paper: AOT-GAN with its four passes through the whole of
VGG19 (two losses, two pictures each), its 71 x 71 blur and three passes of the discriminator; DeepFill v2 with its
attention as convolutions, sample by sample, and the score matrix fused by two more. ReLUs work in place where theirs
do. Of ours it shares nothing but numbers: the tables of DeepFill's rows, the weights of VGG19. It allocates as any
program does; ours runs as `retouche train` does, which keeps freed memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, spectral_norm

MUST = 0.85  # ours / plain in float32
GOALS = {  # ours / plain: float32, bfloat16
    "aot-gan": (0.60, 0.30),
    "deepfill-v2": (0.70, 0.40),
}
CONTENDERS = ("plain", "32", "bf16")
WARM_UP = 2


def sample(size: int, batch: int) -> tuple[Tensor, Tensor]:
    """Noise with a hole in its middle."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, size, size, generator=generator) * 2 - 1
    mask = torch.zeros(batch, 1, size, size)
    mask[..., size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 1
    return image, mask


# AOT-GAN, plainly: github.com/researchmm/AOT-GAN-for-Inpainting


class PlainBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.views = nn.ModuleList(
            nn.Sequential(nn.ReflectionPad2d(rate), nn.Conv2d(channels, channels // 4, 3, dilation=rate), nn.ReLU(True))
            for rate in (1, 2, 4, 8)
        )
        self.fuse = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))
        self.gate = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        made = self.fuse(torch.cat([view(x) for view in self.views], 1))
        gate = self.gate(x)
        mean, deviation = gate.mean((2, 3), keepdim=True), gate.std((2, 3), keepdim=True) + 1e-9
        gate = torch.sigmoid(5 * (2 * (gate - mean) / deviation - 1))
        return x * (1 - gate) + made * gate


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def plain_aot() -> nn.Module:
    return nn.Sequential(
        *(nn.ReflectionPad2d(3), nn.Conv2d(4, 64, 7), nn.ReLU(True)),
        *(nn.Conv2d(64, 128, 4, 2, 1), nn.ReLU(True), nn.Conv2d(128, 256, 4, 2, 1), nn.ReLU(True)),
        *(PlainBlock(256) for _ in range(8)),
        *(Twice(), nn.Conv2d(256, 128, 3, padding=1), nn.ReLU(True)),
        *(Twice(), nn.Conv2d(128, 64, 3, padding=1), nn.ReLU(True), nn.Conv2d(64, 3, 3, padding=1), nn.Tanh()),
    )


def plain_discriminator() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 64, 2), (64, 128, 2), (128, 256, 2), (256, 512, 1)):
        layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False)), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 1))


class PlainBackbone(nn.Module):
    """VGG19 as there: every pass goes to the last ReLU, whatever the loss reads of it."""

    def __init__(self) -> None:
        super().__init__()
        from retouche.backbones.vgg import vgg

        ours = vgg(19, "random")
        self.names, self.mean, self.deviation = ours.names, ours.mean, ours.deviation
        self.layers = nn.ModuleList(nn.ReLU(True) if isinstance(layer, nn.ReLU) else layer for layer in ours.features)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = ((image + 1) / 2 - self.mean) / self.deviation
        found = {}
        for name, layer in zip(self.names, self.layers, strict=True):
            x = layer(x)
            if name.startswith("relu"):
                found[name] = x
        return found


def plain_aot_step(size: int, batch: int) -> Callable[[], None]:
    image, mask = sample(size, batch)
    generator, critic, backbone = plain_aot(), plain_discriminator(), PlainBackbone()
    betas = (0.5, 0.999)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-4, betas) for net in (generator, critic)]
    offsets = torch.arange(71) - 35.0
    bell = torch.exp(-(offsets**2) / 200)
    kernel = (bell[:, None] * bell[None]) / bell.sum() ** 2

    def gram(x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return flat @ flat.transpose(1, 2) / (x.shape[1] * x.shape[2] * x.shape[3])

    def step() -> None:
        masked = image * (1 - mask) + mask
        prediction = generator(torch.cat([masked, mask], 1))
        filled = (1 - mask) * image + mask * prediction
        losses = functional.l1_loss(prediction, image)
        content = [f"relu{i}_1" for i in range(1, 6)]
        made, wanted = backbone(prediction), backbone(image)
        losses = losses + 0.1 * sum(functional.l1_loss(made[name], wanted[name]) for name in content)
        texture = ["relu2_2", "relu3_4", "relu4_4", "relu5_2"]
        made, wanted = backbone(prediction), backbone(image)
        losses = losses + 250 * sum(functional.l1_loss(gram(made[name]), gram(wanted[name])) for name in texture)
        scores = [critic(one) for one in (filled, filled.detach(), image)]
        fooled, judged_fake, judged_real = (
            functional.interpolate(one, size=(size, size), mode="bilinear", align_corners=True) for one in scores
        )
        label = functional.conv2d(mask, kernel[None, None], padding=35)
        lost = functional.mse_loss(judged_fake, label) + functional.mse_loss(judged_real, torch.ones_like(judged_real))
        losses = losses + 0.01 * functional.mse_loss(fooled, torch.ones_like(fooled))
        for optimizer in optimizers:
            optimizer.zero_grad()
        losses.backward()
        lost.backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


# DeepFill v2, plainly: github.com/nipponjo/deepfillv2-pytorch


class PlainGate(nn.Module):
    def __init__(self, inputs: int, row: tuple[str, int, int, int, int], width: int, activate: nn.Module) -> None:
        super().__init__()
        name, kernel, stride, dilation, quarters = row
        self.outputs, self.upsample, self.activate = quarters * width // 4, "upsample" in name, activate
        reach = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, 2 * self.outputs or 3, kernel, stride, reach, dilation)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(functional.interpolate(x, scale_factor=2, mode="nearest") if self.upsample else x)
        if not self.outputs:  # the picture
            return x
        feature, gate = torch.split(x, self.outputs, dim=1)
        return self.activate(feature) * torch.sigmoid(gate)


class PlainGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from retouche.layers.two_stage import ATTENDED, COARSE, DECODER, HALLUCINATE, MATCH

        def chain(inputs: int, rows: tuple[tuple[str, int, int, int, int], ...], last: nn.Module) -> nn.Sequential:
            layers: list[nn.Module] = []
            for row in rows:
                layers.append(PlainGate(inputs, row, 48, last if row is rows[-1] else nn.ELU()))
                inputs = row[4] * 48 // 4
            return nn.Sequential(*layers)

        self.coarse = chain(5, COARSE, nn.ELU())
        self.hallucinate, self.match = chain(3, HALLUCINATE, nn.ELU()), chain(3, MATCH, nn.ReLU())
        self.attended, self.decode = chain(96, ATTENDED, nn.ELU()), chain(192, DECODER, nn.ELU())

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        masked = image * (1 - mask)
        coarse = torch.tanh(self.coarse(torch.cat([masked, torch.ones_like(mask), mask], 1)))
        pasted = coarse * mask + masked * (1 - mask)
        attended = self.attended(plain_attention(self.match(pasted), mask))
        return coarse, torch.tanh(self.decode(torch.cat([self.hallucinate(pasted), attended], 1)))


def plain_critic() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((4, 64, 128, 256, 256, 256, 256)):
        layers += [parametrizations.spectral_norm(nn.Conv2d(inputs, outputs, 5, 2, 2)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten())


def plain_attention(features: Tensor, mask: Tensor) -> Tensor:
    """Contextual attention as convolutions with the picture's own patches, one sample after another."""
    n, c = features.shape[:2]
    patches = functional.pad(features, (1, 1, 1, 1))
    patches = functional.unfold(patches, 4, stride=2).view(n, c, 4, 4, -1).permute(0, 4, 1, 2, 3)  # (n, l, c, 4, 4)
    small = features[..., ::2, ::2]
    h, w = small.shape[-2:]
    keys = functional.unfold(small, 3, padding=1).view(n, c, 3, 3, -1).permute(0, 4, 1, 2, 3)  # (n, l, c, 3, 3)
    hole = functional.unfold(mask[..., :: mask.shape[-2] // h, :: mask.shape[-1] // w], 3, padding=1).mean(1)  # (n, l)
    line = torch.eye(3)[None, None]
    filled = []
    for i in range(n):
        free = (hole[i] == 0).float().view(1, -1, 1, 1)
        norm = keys[i].square().sum((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-4)
        scores = functional.conv2d(small[i : i + 1], keys[i] / norm, padding=1)  # (1, l, h, w)
        scores = functional.conv2d(scores.view(1, 1, h * w, h * w), line, padding=1)
        scores = scores.view(h, w, h, w).permute(1, 0, 3, 2).reshape(1, 1, h * w, h * w)
        scores = functional.conv2d(scores, line, padding=1)
        scores = scores.view(w, h, w, h).permute(1, 0, 3, 2).reshape(1, h * w, h, w)
        weights = torch.softmax(scores * free * 10, 1) * free
        filled.append(functional.conv_transpose2d(weights, patches[i], stride=2, padding=1) / 4)
    return torch.cat(filled)


def plain_v2_step(size: int, batch: int) -> Callable[[], None]:
    image, mask = sample(size, batch)
    generator, critic = PlainGenerator(), plain_critic()
    betas = (0.5, 0.999)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-4, betas) for net in (generator, critic)]

    def step() -> None:
        coarse, refined = generator(image, mask)
        filled = refined * mask + image * (1 - mask)
        real, fake = torch.cat([image, mask], 1), torch.cat([filled.detach(), mask], 1)
        real, fake = critic(torch.cat([real, fake])).split(batch)
        lost = 0.5 * (functional.relu(1 - real).mean() + functional.relu(1 + fake).mean())
        optimizers[1].zero_grad()
        lost.backward()
        optimizers[1].step()
        losses = functional.l1_loss(coarse, image) + functional.l1_loss(refined, image)
        losses = losses - critic(torch.cat([refined, mask], 1)).mean()
        optimizers[0].zero_grad()
        losses.backward()
        optimizers[0].step()

    return step


# Ours

PRESETS = {"aot-gan": "aot", "deepfill-v2": "nipponjo"}  # one batch for both networks, as in the plain steps


def our_step(method: str, precision: str, size: int, batch: int) -> Callable[[], None]:
    from retouche.apps.cli.terminal import keep_freed_memory
    from retouche.backbones.vgg import vgg
    from retouche.methods import find
    from retouche.methods.method import Batch, RecipeContext
    from retouche.training.engine import Engine
    from retouche.training.loop import take_step
    from retouche.training.settings import Run

    keep_freed_memory()
    record = find(method)
    preset = record.recipes[PRESETS[method]]
    preset = dataclasses.replace(preset, data=dataclasses.replace(preset.data, size=size, batch=batch))
    engine = Engine(Run(method, "", preset, "", Path(), device="cpu", precision=precision))  # type: ignore[arg-type]
    assert record.build is not None and record.recipe is not None
    networks = {"generator": record.build(preset.network), **record.critics(preset.network)}
    image, mask = sample(size, batch)
    if getattr(preset, "channels_last", False):
        image = image.to(memory_format=torch.channels_last)
        for network in networks.values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe = record.recipe(preset, networks, RecipeContext(lambda *which: engine.backbone(vgg(which[0], "random"))))
    optimizers = {name: recipe.optimizer(name) for name in recipe.networks}
    for name, network in recipe.networks.items():
        recipe.networks[name] = engine.prepare(network.train())
    one = Batch(image, mask, keys=torch.arange(batch))

    def step() -> None:
        assert take_step(recipe, optimizers, [[one] * recipe.batches], 0, engine).finite

    return step


def work(method: str, contender: str, size: int, batch: int) -> None:
    """A contender's process: one step for each line on stdin, its seconds and peak memory as a line of JSON."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if contender == "plain":
        step = {"aot-gan": plain_aot_step, "deepfill-v2": plain_v2_step}[method](size, batch)
    else:
        step = our_step(method, contender, size, batch)
    for _ in sys.stdin:
        start = time.process_time()
        step()
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": seconds, "gib": peak}), flush=True)


def compare(method: str, size: int, batch: int, rounds: int) -> None:
    """Let the contenders take turns and print their medians."""
    common = [sys.executable, __file__, "--size", str(size), "--batch", str(batch), "--only", method, "--work"]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen([*common, name], stdin=pipe, stdout=pipe, text=True) for name in CONTENDERS]
    taken: list[list[dict[str, float]]] = [[] for _ in workers]
    for _ in range(WARM_UP + rounds):
        for worker, results in zip(workers, taken, strict=True):
            assert worker.stdin is not None and worker.stdout is not None
            worker.stdin.write("step\n")
            worker.stdin.flush()
            results.append(json.loads(worker.stdout.readline()))
    for worker in workers:
        worker.communicate()
    seconds = [statistics.median(one["seconds"] for one in results[WARM_UP:]) for results in taken]
    for name, median, results, goal in zip(CONTENDERS, seconds, taken, (None, *GOALS[method]), strict=True):
        must = f", must {MUST:.2f}" if name == "32" else ""
        ratio = "" if goal is None else f"   {median / seconds[0]:.2f} of plain (goal {goal:.2f}{must})"
        print(f"{method:12} {name:6} {median:7.2f} s  {results[-1]['gib']:5.2f} GiB{ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.only[0], options.work, options.size, options.batch)
        return
    print(f"{platform.machine()}, torch {torch.__version__}, one thread, {date.today()}")
    print(f"{options.size} x {options.size}, batch {options.batch}, median of {options.rounds} after {WARM_UP}")
    for method in options.only:
        compare(method, options.size, options.batch, options.rounds)


if __name__ == "__main__":
    main()

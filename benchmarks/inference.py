"""The published networks: our time against the public codes' formulation, same weights, interleaved, one thread.

    python benchmarks/inference.py [--rounds 5] [--only deepfill-v2] [--size 256 512 1024]
    python benchmarks/inference.py --near 2048 [--only deepfill-v2]

The public codes are no dependency: `Plain...` below writes their layers down as they are published, one operator after
the other, in PyTorch's own order in memory. Weights are random. The floor is the convolutions' number of operations
over the rate of a 3x3 convolution of 256 channels that is measured in the same run; attention's products count as
convolutions, too, in the published form's number. Errors are the largest differences from the plain form in float64.

`--near SIDE` compares a whole pass with one near a hole of a twentieth of the picture, each in a process of its own:
CPU seconds, peak memory, largest difference in the hole. At 2048 it takes minutes; no plain form can run there.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import retouche
from retouche.layers.attention import VARIANTS, Rules, _hole_free, _resize, contextual_attention
from retouche.layers.gated import GatedConv2d
from retouche.layers.padding import pad
from retouche.layers.spectral import SpectralConv2d
from retouche.layers.two_stage import Chain, Unit
from retouche.methods.aot_gan import AOTGenerator
from retouche.methods.deepfill_v1 import DeepFillV1Generator
from retouche.methods.deepfill_v2 import DeepFillV2Generator
from retouche.methods.structure_flow import StructureFlow
from retouche.methods.structure_flow_networks import Block, Expand, LayerNorm, Residual, Residuals, ToImage

Run = Callable[[], Tensor]


def plain_attention(x: Tensor, mask: Tensor, rules: Rules) -> Tensor:
    """Published steps: patches as kernels of convolutions, the whole map in memory. "silent" rules, one sample."""
    _, c, h, w = x.shape
    small, free = _resize(x, h // 2, w // 2, rules.resize), _hole_free(mask, h, w, rules).to(x).view(1, -1, 1, 1)
    h, w = h // 2, w // 2
    kernels = functional.unfold(small, 3, padding=1)[0].t().reshape(-1, c, 3, 3)
    norms = kernels.square().sum((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-4)
    scores = functional.conv2d(functional.pad(small, (1, 1, 1, 1)), kernels / norms)  # (1, L, h, w)
    if rules.fuse:
        eye = torch.eye(3, dtype=x.dtype)[None, None]
        scores = functional.conv2d(scores.view(1, 1, h * w, h * w), eye, padding=1)
        scores = scores.view(1, h, w, h, w).permute(0, 2, 1, 4, 3).reshape(1, 1, h * w, h * w)
        scores = functional.conv2d(scores, eye, padding=1).view(1, w, h, w, h).permute(0, 2, 1, 4, 3)
        scores = scores.reshape(1, h * w, h, w)
    weights = functional.softmax(scores * free * 10, 1) * free
    patches = functional.unfold(x, 4, stride=2, padding=1)[0].t().reshape(-1, c, 4, 4)
    return functional.conv_transpose2d(weights, patches, stride=2, padding=1) / 4


def plain_unit(unit: Unit, x: Tensor, activate: Callable[[Tensor], Tensor]) -> Tensor:
    """A convolution of DeepFill: doubled where asked, padded, convolved, activated, gated."""
    if unit.upsample:
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    kernel, stride, dilation, rule = unit.margins
    padded = pad(x, kernel, stride, dilation, rule)
    made = functional.conv2d(padded, unit.conv.weight.contiguous(), unit.conv.bias, stride, 0, dilation)
    if isinstance(unit.conv, GatedConv2d):
        feature, gate = made.chunk(2, 1)
        return activate(feature) * torch.sigmoid(gate)
    return activate(made) if made.shape[1] > 3 else made


def plain_chain(chain: Chain, x: Tensor, last: Callable[[Tensor], Tensor] = functional.elu) -> Tensor:
    """The convolutions of one of the five chains."""
    *most, end = chain.children()
    for unit in most:
        x = plain_unit(unit, x, functional.elu)  # type: ignore[arg-type]
    return plain_unit(end, x, last)  # type: ignore[arg-type]


def plain_deepfill(network: DeepFillV1Generator | DeepFillV2Generator, image: Tensor, mask: Tensor) -> Tensor:
    """Both stages; v1 and v2 differ in kinds of convolutions, in what the second stage sees and in how pictures end."""
    first = isinstance(network, DeepFillV1Generator)
    end: Callable[[Tensor], Tensor] = (lambda x: x.clamp(-1, 1)) if first else torch.tanh
    masked, guides = image * (1 - mask), [torch.ones_like(mask), mask]
    coarse = end(plain_chain(network.coarse, torch.cat([masked, *guides], 1)))
    second = torch.cat([coarse * mask + masked, *(guides if first else [])], 1)
    matched = plain_chain(network.match, second, functional.relu)
    attended = plain_chain(network.attended, plain_attention(matched, mask, VARIANTS[network.config.attention]))
    hallucinated = plain_chain(network.hallucinate, second)
    return end(plain_chain(network.decode, torch.cat([hallucinated, attended], 1)))


def plain_aot(network: AOTGenerator, image: Tensor, mask: Tensor) -> Tensor:
    """AOT-GAN: each branch mirrors its border for itself, the gate is normalised step by step."""
    convolve = functional.conv2d
    x = functional.pad(torch.cat([image * (1 - mask) + mask, mask], 1), (3, 3, 3, 3), mode="reflect")
    for layer in network.encoder:
        kernel, options = layer.weight.contiguous(), (layer.bias, layer.stride, layer.padding)  # type: ignore[operator]
        x = functional.relu(convolve(x, kernel, *options))  # type: ignore[call-overload]
    for block in network.blocks:
        views = []
        for rate, branch in zip(block.rates, block.branches, strict=True):  # type: ignore[arg-type]
            padded = functional.pad(x, (rate,) * 4, mode="reflect")
            made = convolve(padded, branch.dilated.weight.contiguous(), branch.dilated.bias, dilation=rate)
            views.append(functional.relu(made))
        joined, gate = (
            convolve(functional.pad(y, (1, 1, 1, 1), mode="reflect"), layer.weight.contiguous(), layer.bias)  # type: ignore[union-attr, operator, arg-type]
            for y, layer in ((torch.cat(views, 1), block.fuse), (x, block.gate))
        )
        mean, deviation = gate.mean((2, 3), keepdim=True), gate.std((2, 3), keepdim=True) + 1e-9
        share = torch.sigmoid(5 * (2 * (gate - mean) / deviation - 1))
        x = x * (1 - share) + joined * share
    for layer in network.decoder[:2]:
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        x = functional.relu(convolve(x, layer.weight.contiguous(), layer.bias, padding=1))  # type: ignore[arg-type]
    last = network.decoder[2]
    return torch.tanh(convolve(x, last.weight.contiguous(), last.bias, padding=1))  # type: ignore[arg-type]


def plain_layers(layer: nn.Module, x: Tensor) -> Tensor:
    """StructureFlow's blocks, a padded copy, a convolution, a norm and an activation after the other."""
    if isinstance(layer, Residual):
        return x + plain_layers(layer.model, x)
    if isinstance(layer, nn.Sequential | Residuals):
        for each in layer.model if isinstance(layer, Residuals) else layer:
            x = plain_layers(each, x)
        return x
    if isinstance(layer, LayerNorm):
        mean = x.flatten(1).mean(1).view(-1, 1, 1, 1)
        deviation = x.flatten(1).var(1, unbiased=False).view(-1, 1, 1, 1)
        return (x - mean) / (deviation + 1e-5).sqrt() * layer.weight + layer.bias
    if isinstance(layer, Expand):
        return functional.relu(plain_layers(layer.norm, layer.transConv(x)))
    if not isinstance(layer, Block):
        return plain_layers(layer.conv, x) if isinstance(layer, ToImage) else layer(x)  # type: ignore[no-any-return]
    if layer.doubles:
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
    x = functional.pad(x, (layer.padding,) * 4, mode="reflect")
    convolution = layer.conv
    weight = convolution.weight_orig if isinstance(convolution, SpectralConv2d) else convolution.weight
    if isinstance(convolution, SpectralConv2d):  # as there, the weight is divided at every call
        flat = weight.flatten(1)
        weight = weight / torch.dot(convolution.weight_u, flat @ convolution.weight_v)
    x = plain_layers(layer.norm, functional.conv2d(x, weight, convolution.bias, convolution.stride))
    kinds = {"relu": functional.relu, "leaky": lambda x: functional.leaky_relu(x, 0.2), "tanh": torch.tanh}
    return kinds.get(layer.activation, lambda x: x)(x)


def plain_sampler(features: Tensor, flow: Tensor, kernel: int, sigma: float) -> Tensor:
    """Tap by tap."""
    _, c, h, w = features.shape
    x, y = flow[:, 0] + torch.arange(w), flow[:, 1] + torch.arange(h)[:, None]
    left, top, flat = x.floor(), y.floor(), features.flatten(2)
    total, result = torch.zeros_like(features[:, :1]), torch.zeros_like(features)
    for j in range(1 - kernel // 2, kernel // 2 + 1):
        for i in range(1 - kernel // 2, kernel // 2 + 1):
            weight = torch.exp(-((left + i - x) ** 2 + (top + j - y) ** 2) / (2 * sigma**2))[:, None]
            at = (top + j).clamp(0, h - 1).long() * w + (left + i).clamp(0, w - 1).long()
            result += weight * flat.gather(2, at.view(1, 1, -1).expand(-1, c, -1)).view(1, c, h, w)
            total += weight
    return result / total


def plain_structure_flow(network: StructureFlow, image: Tensor, mask: Tensor) -> Tensor:
    """Both networks; the picture itself stands for its structure."""
    known, coarse, fine = 1 - mask, network.structure, network.texture
    assert coarse is not None and fine is not None
    kept = [plain_layers(coarse.input_layer, torch.cat([image * known, image * known, mask], 1))]
    for layer in coarse.down_sample:
        kept.append(plain_layers(layer, kept[-1]))
    x = kept.pop()
    for up, content, skip in zip(coarse.up_sample, coarse.content_param, reversed(kept), strict=True):
        x = plain_layers(up, x) + plain_layers(content, skip)
    seen = torch.cat([image * known, plain_layers(coarse.image_net.conv, x), mask], 1)
    x, kept = seen, []
    for layer in fine.flow_column.down_sample_flow:
        x = plain_layers(layer, x)
        kept.append(x)
    for up, skip in zip(fine.flow_column.up_sample_flow, (kept[2], kept[1]), strict=True):
        x = torch.cat([plain_layers(up, x), skip], 1)
    flow, column = plain_layers(fine.flow_column.location, x), fine.conv_column
    features = plain_layers(column.down_sample[0], seen)
    views = [plain_sampler(features, flow, kernel, sigma) for kernel, sigma in ((16, 4.0), (4, 2.0))]
    x = plain_layers(column.up_sample[0], plain_layers(column.down_sample[1], features))
    return plain_layers(column.up_sample[1], torch.cat([x, *views], 1))


PLAIN = {
    "deepfill-v1": plain_deepfill,
    "deepfill-v2": plain_deepfill,
    "aot-gan": plain_aot,
    "structure-flow": plain_structure_flow,
}
MUSTS = {
    ("deepfill-v2", "", 256): 0.66,
    ("deepfill-v2", "", 512): 0.50,
    ("deepfill-v2", "tf", 512): 0.58,
    ("deepfill-v2", "tf", 1024): 0.36,
    ("deepfill-v1", "", 512): 0.42,
    ("aot-gan", "", 512): 0.90,
    ("aot-gan", "", 1024): 0.84,
    ("attention", "", 512): 0.18,
    ("structure-flow", "", 256): 0.94,
}
"""(network, attention's variant, side) -> ours / plain that is asked for."""


def pictures(size: int) -> tuple[Tensor, Tensor]:
    """A smooth random picture, -1..1, and a hole of a tenth of it."""
    draw = torch.Generator().manual_seed(0)
    image = functional.interpolate(torch.rand(1, 3, 33, 33, generator=draw) * 2 - 1, (size, size), mode="bicubic")
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 3 : size * 2 // 3, size // 3 : size * 19 // 30] = 1
    return image.clamp(-1, 1), mask


def lively(network: nn.Module) -> nn.Module:
    """Random weights, scaled so that features keep their size through all layers."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            gated = 2.0 if isinstance(layer, GatedConv2d) else 1.3
            nn.init.normal_(layer.weight, 0, gated / layer.weight[0].numel() ** 0.5)
    return network


def cases(name: str, variant: str, size: int) -> tuple[Run, Run, Run | None]:
    """Ours, the plain form, and the plain form in float64."""
    image, mask = pictures(size)
    if name == "attention":
        x = torch.randn(1, 96, size // 4, size // 4, generator=torch.Generator().manual_seed(1))
        rules = VARIANTS["official"]
        return (
            lambda: contextual_attention(x, mask),
            lambda: plain_attention(x, mask, rules),
            lambda: plain_attention(x.double(), mask.double(), rules),
        )
    network = retouche.create(name).generator
    assert network is not None
    lively(network)
    if variant:
        network.config = copy.copy(network.config)
        object.__setattr__(network.config, "attention", variant)
    plain = PLAIN[name]

    def exact() -> Tensor:
        return plain(copy.deepcopy(network).double(), image.double(), mask.double())  # type: ignore[arg-type]

    return (
        lambda: network(image, mask, structure=image if name == "structure-flow" else None).refined,  # type: ignore[return-value]
        lambda: plain(network, image, mask),  # type: ignore[arg-type]
        exact if size <= 512 else None,
    )


def timed(run: Run) -> float:
    """CPU seconds."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def rate() -> float:
    """Operations a second of a 3x3 convolution of 256 channels, channels last."""
    x = torch.rand(1, 256, 66, 66).contiguous(memory_format=torch.channels_last)
    kernel = torch.rand(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    return 2 * 64 * 64 * 9 * 256 * 256 / min(timed(lambda: functional.conv2d(x, kernel)) for _ in range(7))


@torch.inference_mode()
def compare(name: str, variant: str, size: int, rounds: int) -> None:
    """Print one line of the table."""
    ours, plain, exact = cases(name, variant, size)
    with FlopCounterMode(display=False) as counter:
        one, two = ours(), plain()
    operations = counter.get_total_flops() / 2  # of both together
    errors = ""
    if exact is not None:
        truth = exact()
        errors = ", ".join(f"{title} {(y - truth).abs().max():.0e}" for title, y in (("ours", one), ("plain", two)))
    pairs = [(timed(ours), timed(plain)) for _ in range(rounds)]
    mine, theirs = (min(column) for column in zip(*pairs, strict=True))
    title = f"{name} {variant} {size}".replace("  ", " ")
    print(
        f"{title:24} {mine:7.2f} {theirs:8.2f} {mine / theirs:6.2f} {MUSTS.get((name, variant, size), '')!s:>6}"
        f" {operations / rate() / theirs:6.2f}  {errors}",
        flush=True,
    )


def near(name: str, size: int) -> None:
    """Print a whole pass and one near the hole, beside each other."""
    environment = os.environ | {
        "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=536870912"
    }
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for way in ("whole", "near"):
            words = [sys.executable, __file__, "--near", str(size), "--only", name, "--work", way, folder]
            found[way] = json.loads(subprocess.run(words, env=environment, check=True, capture_output=True).stdout)
        one, two = (torch.load(f"{folder}/{way}.pt") for way in found)
    cells = "  ".join(f"{way} {seconds:.1f} s {peak:.2f} GiB" for way, (seconds, peak) in found.items())
    ratio = found["near"][0] / found["whole"][0]
    print(f"{name} {size}: {cells}  ratio {ratio:.3f} (must 0.2)  differs by {(one - two).abs().max():.0e}", flush=True)


@torch.inference_mode()
def pass_near(name: str, size: int, way: str, folder: str) -> None:
    """One pass of `near`, in a process of its own."""
    network = retouche.create(name).generator
    assert network is not None
    lively(network)
    image, mask = pictures(size)[0], torch.zeros(1, 1, size, size)
    side, first = round(size * 0.05**0.5), size * 3 // 8
    box = (first, first - size // 16, first + side, first - size // 16 + side)
    mask[..., box[1] : box[3], box[0] : box[2]] = 1
    begun = time.process_time()
    made = network.near(image, mask, [box]) if way == "near" else network(image, mask).refined
    seconds = time.process_time() - begun
    assert made is not None
    torch.save(made[..., box[1] : box[3], box[0] : box[2]].clone(), f"{folder}/{way}.pt")
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*PLAIN, "attention"], help="only these")
    parser.add_argument("--size", nargs="+", type=int, default=[256, 512], help="sides of the pictures")
    parser.add_argument("--near", type=int, help="side of the picture for passes near a hole")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.near:
        for name in options.only or ["deepfill-v2", "deepfill-v1"]:
            if options.work:
                pass_near(name, options.near, *options.work)
            else:
                near(name, options.near)
        return
    print(f"torch {torch.__version__}, one thread, smallest of {options.rounds} rounds, CPU seconds")
    print(f"{'':24} {'ours':>7} {'plain':>8} {'ratio':>6} {'must':>6} {'floor':>6}  from float64")
    for name, variant, size in MUSTS:
        if size in options.size and name in (options.only or [*PLAIN, "attention"]):
            compare(name, variant, size, options.rounds)


if __name__ == "__main__":
    main()

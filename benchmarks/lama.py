"""LaMa (big-lama): our time and memory against the public code's formulation, same weights, interleaved, one thread.

    python benchmarks/lama.py [--size 512] [--rounds 5] [--memory 2048]

The public code is not a dependency: `Plain` below writes its layers down as they are published, one operator after
the other, and runs them eagerly. Weights are random. Both are compared with the plain one in float64. Peak memory is
that of a fresh process, Python and PyTorch included.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import retouche
from retouche.methods.lama import LamaConfig, LamaGenerator

CONVOLUTION = {"bias": False, "padding_mode": "reflect"}


class PlainFourier(nn.Module):
    """The Fourier unit: one operator a line."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        spectrum = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        parts = torch.stack((spectrum.real, spectrum.imag), dim=-1)
        parts = parts.permute(0, 1, 4, 2, 3).contiguous().view(n, -1, h, w // 2 + 1)
        parts = self.relu(self.bn(self.conv_layer(parts)))
        parts = parts.view(n, -1, 2, h, w // 2 + 1).permute(0, 1, 3, 4, 2).contiguous()
        return torch.fft.irfftn(torch.complex(parts[..., 0], parts[..., 1]), s=(h, w), dim=(-2, -1), norm="ortho")


class PlainTransform(nn.Module):
    """The spectral transform."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = outputs // 2
        self.conv1 = nn.Sequential(nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(True))
        self.fu = PlainFourier(inner)
        self.conv2 = nn.Conv2d(inner, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv2(x + self.fu(x))


class PlainLayer(nn.Module):
    """A layer: each convolution pads for itself."""

    def __init__(self, a: tuple[int, int], b: tuple[int, int], kernel: int = 3, stride: int = 1, pad: int = 1) -> None:
        super().__init__()
        self.ffc = nn.ModuleDict({"convl2l": nn.Conv2d(a[0], b[0], kernel, stride, pad, **CONVOLUTION)})
        if b[1]:
            self.ffc["convl2g"] = nn.Conv2d(a[0], b[1], kernel, stride, pad, **CONVOLUTION)
        if a[1]:
            self.ffc["convg2l"] = nn.Conv2d(a[1], b[0], kernel, stride, pad, **CONVOLUTION)
            self.ffc["convg2g"] = PlainTransform(a[1], b[1])
        self.bn_l = nn.BatchNorm2d(b[0])
        self.bn_g = nn.BatchNorm2d(b[1]) if b[1] else None
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        local, spread = x
        made = self.ffc["convl2l"](local)
        if spread is not None:
            made = made + self.ffc["convg2l"](spread)
        if self.bn_g is None:
            return self.act(self.bn_l(made)), None
        far = self.ffc["convl2g"](local)
        if spread is not None:
            far = far + self.ffc["convg2g"](spread)
        return self.act(self.bn_l(made)), self.act(self.bn_g(far))


class PlainBlock(nn.Module):
    """A residual block."""

    def __init__(self, halves: tuple[int, int]) -> None:
        super().__init__()
        self.conv1, self.conv2 = PlainLayer(halves, halves), PlainLayer(halves, halves)

    def forward(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        made = self.conv2(self.conv1(x))
        return x[0] + made[0], x[1] + made[1]


class Plain(nn.Module):
    """The generator as published, its modules at the published positions."""

    def __init__(self, blocks: int = 18, width: int = 64) -> None:
        super().__init__()
        w, halves = width, (2 * width, 6 * width)
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            PlainLayer((4, 0), (w, 0), 7, pad=0),
            PlainLayer((w, 0), (2 * w, 0), stride=2),
            PlainLayer((2 * w, 0), (4 * w, 0), stride=2),
            PlainLayer((4 * w, 0), halves, stride=2),
            *(PlainBlock(halves) for _ in range(blocks)),
            nn.Identity(),
        ]
        for c in (8 * w, 4 * w, 2 * w):
            layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1), nn.BatchNorm2d(c // 2), nn.ReLU(True)]
        self.model = nn.ModuleList([*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Sigmoid()])
        self.join = 5 + blocks

    def forward(self, seen: Tensor) -> Tensor:
        x: tuple[Tensor, Tensor | None] = (self.model[0](seen), None)
        for layer in self.model[1 : self.join]:
            x = layer(x)
        y = torch.cat([half for half in x if half is not None], 1)
        for layer in self.model[self.join + 1 :]:
            y = layer(y)
        return y


def pictures(size: int) -> tuple[Tensor, Tensor]:
    """A random picture, -1..1, and a hole of a tenth of it."""
    draw = torch.Generator().manual_seed(0)
    image = nn.functional.interpolate(torch.rand(1, 3, 33, 33, generator=draw) * 2 - 1, (size, size), mode="bicubic")
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 3 : size * 2 // 3, size // 3 : size * 19 // 30] = 1
    return image.clamp(-1, 1), mask


def networks() -> tuple[LamaGenerator, Plain]:
    """Ours and the plain one with the same random weights, scaled so that features keep their size."""
    torch.manual_seed(0)
    ours = LamaGenerator(LamaConfig()).eval()
    for layer in ours.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0, 0.75 / layer.weight[0].numel() ** 0.5)
    plain = Plain().eval()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def timed(run: Callable[[], object]) -> float:
    """CPU seconds."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


@torch.inference_mode()
def compare(size: int, rounds: int) -> None:
    """Print the ratio of CPU seconds and both errors."""
    ours, plain = networks()
    image, mask = pictures(size)
    seen = torch.cat([(image + 1) / 2 * (1 - mask), mask], 1)
    precise = Plain().eval()
    precise.load_state_dict(plain.state_dict())
    exact = precise.double()(seen.double())
    del precise
    one = (ours(image, mask).refined + 1) / 2
    two = plain(seen)
    said = ", ".join(f"{name} {(made - exact).abs().max():.1e}" for name, made in (("ours", one), ("plain", two)))
    pairs = [(timed(lambda: ours(image, mask)), timed(lambda: plain(seen))) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    each = statistics.median(a / b for a, b in pairs)
    print(f"{size}x{size}: ours {mine:.2f} s, plain {theirs:.2f} s, ratio {each:.2f} (goal 0.80); from float64: {said}")


def peak(words: list[str]) -> str:
    """GiB and seconds that a fresh process takes for one picture."""
    made = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
    return made.stdout.strip()


def single(size: int) -> None:
    """Fill one picture and print this process's peak memory."""
    generator = retouche.create("lama").generator
    assert generator is not None
    image, mask = pictures(size)
    with torch.inference_mode():
        seconds = timed(lambda: generator(image, mask))
    # not ru_maxrss: that of a process begins with its parent's
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(f"{int(peak.split()[1]) / 2**20:.2f} GiB, {seconds:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, default=2048, help="side of the picture whose peak memory is printed")
    parser.add_argument("--single", type=int, help="only fill one picture of this side and print the peak")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.single:
        return single(options.single)
    print(f"torch {torch.__version__}, one thread")
    if options.rounds:
        compare(options.size, options.rounds)
    if options.memory:
        print(f"{options.memory}x{options.memory}: peak {peak(['--single', str(options.memory)])} (goal 3 GiB)")
    return None


if __name__ == "__main__":
    main()

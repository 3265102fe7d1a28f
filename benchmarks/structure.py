"""Times of StructureFlow's two own parts beside plain ways: RTV beside SciPy's splu, the sampler beside a gather loop.

    OMP_NUM_THREADS=1 python benchmarks/structure.py [--image PHOTO] [--size 256] [--repeats 5]

One thread; CPU seconds, median; the ways of a table run in turns. Without --image the picture is drawn from noise.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from PIL import Image
from torch import Tensor

from retouche.layers import gaussian_sample, rtv
from retouche.numerics.structure import SETTINGS, Setting
from retouche.numerics.total_variation import conductances


def picture(path: str | None, size: int) -> Tensor:
    """(1, 3, size, size), 0..1, float64."""
    if path is None:
        generator = np.random.default_rng(0)
        coarse = Image.fromarray(generator.integers(0, 256, (12, 12, 3), np.uint8)).resize((size, size), Image.BICUBIC)
        pixels = np.asarray(coarse) / 255 + generator.normal(0, 0.05, (size, size, 3))
    else:
        opened = Image.open(path).convert("RGB")
        side = min(opened.size)
        pixels = np.asarray(opened.crop((0, 0, side, side)).resize((size, size), Image.LANCZOS)) / 255
    return torch.from_numpy(pixels.clip(0, 1)).permute(2, 0, 1)[None].contiguous()


def rtv_by_splu(image: Tensor, setting: Setting) -> Tensor:
    """The same rounds, each system by one SuperLU factorisation for three colours."""
    smooth, sigma = image, setting.sigma
    n, c, h, w = image.shape
    for _ in range(setting.rounds):
        across, along = conductances(smooth, sigma, setting.sharpness, None, "published")
        right, down = np.zeros((h, w)), np.zeros((h, w))
        right[:, :-1] = across[0].numpy() * setting.strength / 2
        down[:-1] = along[0].numpy() * setting.strength / 2
        diagonal = 1 + right + down
        diagonal[:, 1:] += right[:, :-1]
        diagonal[1:] += down[:-1]
        right, down = right.ravel()[:-1], down.ravel()[:-w]
        matrix = scipy.sparse.diags_array(
            [diagonal.ravel(), -right, -right, -down, -down], offsets=[0, 1, -1, w, -w], format="csc"
        )
        factor = scipy.sparse.linalg.splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        smooth = torch.from_numpy(factor.solve(image[0].flatten(1).T.numpy())).T.reshape(n, c, h, w)
        sigma = setting.next_sigma(sigma)
    return smooth


def gather_loop(features: Tensor, flow: Tensor, kernel_size: int, sigma: float) -> Tensor:
    """The sampler tap by tap, as the published kernel goes."""
    n, c, h, w = features.shape
    x = flow[:, 0] + torch.arange(w)
    y = flow[:, 1] + torch.arange(h)[:, None]
    left, top = x.floor(), y.floor()
    total, result = torch.zeros(n, 1, h, w), torch.zeros(n, c, h, w)
    flat = features.flatten(2)
    for j in range(1 - kernel_size // 2, kernel_size // 2 + 1):
        for i in range(1 - kernel_size // 2, kernel_size // 2 + 1):
            weight = torch.exp(-((left + i - x) ** 2 + (top + j - y) ** 2) / (2 * sigma**2))[:, None]
            at = (top + j).clamp(0, h - 1).long() * w + (left + i).clamp(0, w - 1).long()
            result += weight * flat.gather(2, at.view(n, 1, -1).expand(-1, c, -1)).view(n, c, h, w)
            total += weight
    return result / total


def one_factorisation(side: int) -> float:
    """CPU seconds of one sparse LU of such a grid: what RTV's exact ways are measured in."""
    ones = np.ones(side * side)
    matrix = scipy.sparse.diags_array(
        [5 * ones, -ones[1:], -ones[1:], -ones[side:], -ones[side:]], offsets=[0, 1, -1, side, -side], format="csc"
    )
    seconds = []
    for _ in range(3):
        started = time.process_time()
        scipy.sparse.linalg.splu(
            matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        seconds.append(time.process_time() - started)
    return min(seconds)


def compare(title: str, ways: dict[str, Callable[[], Tensor]], repeats: int, unit: float = 0.0) -> None:
    """Print each way's time, as a multiple of `unit` where there is one, and its largest difference to the last one."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    results = {name: way() for name, way in ways.items()}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.process_time()
            way()
            seconds[name].append(time.process_time() - started)
    *_, last = ways
    reference = statistics.median(seconds[last])
    print(title)
    for name in ways:
        taken = statistics.median(seconds[name])
        off = (results[name].double() - results[last].double()).abs().max().item()
        units = f"   {taken / unit:5.2f} of one sparse LU" if unit else ""
        print(f"  {name:24} {taken:8.4f} s   {taken / reference:6.3f} of {last}{units}   differs by at most {off:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    image = picture(arguments.image, arguments.size)
    unit = one_factorisation(arguments.size)
    print(f"one sparse LU {unit:.2f} s; exact RTV must take 1.75 (script) and 2.25 of it (example), the sampler 0.08")
    for name in ("script", "example"):
        setting = SETTINGS[name]
        compare(
            f"RTV {arguments.size}x{arguments.size}, setting {name} {tuple(setting)}",
            {
                "published": lambda setting=setting: rtv(image, *setting, solver="published"),
                "exact": lambda setting=setting: rtv(image, *setting),
                "splu": lambda setting=setting: rtv_by_splu(image, setting),
            },
            arguments.repeats,
            unit,
        )
    side = arguments.size // 4
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 128, side, side, generator=generator)
    flow = torch.randn(1, 2, side, side, generator=generator)
    for kernel_size, sigma in ((16, 4.0), (4, 2.0)):
        compare(
            f"sampler {side}x{side}, 128 channels, kernel {kernel_size}",
            {
                "gaussian_sample": lambda k=kernel_size, s=sigma: gaussian_sample(features, 3 * flow, k, s),
                "gather loop": lambda k=kernel_size, s=sigma: gather_loop(features, 3 * flow, k, s),
            },
            arguments.repeats,
        )


if __name__ == "__main__":
    main()

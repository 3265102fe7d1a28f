"""The command from file to file: seconds and memory, by the picture's size and by the hole's, beside other programs.

    python benchmarks/end_to_end.py [--megapixels 2 12 50] [--holes 100 500] [--specks 1 100] [--model default]

Each run is a process of its own, on one thread; CPU seconds of it and all it starts, and its peak memory. `files` is
what cannot be spared: Pillow decodes the picture and the mask and encodes the result. `start` is a process that imports
PyTorch and ends. What is left of `retouche` without both is the fill itself: with one hole it should not grow with the
picture, once `--dilate 16` keeps the hole the same (by itself it grows by a 256th of the longest side). OpenCV (Telea,
radius 5) and PyPatchMatch fill the same file where they are installed (`retouche[classical]`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FILES = """
import sys; from PIL import Image
Image.MAX_IMAGE_PIXELS = None
picture, mask = Image.open(sys.argv[1]).convert("RGB"), Image.open(sys.argv[2]).convert("L")
mask.load(); picture.save(sys.argv[3], quality=95)
"""
START = "import torch"
OPENCV = """
import sys, cv2
picture, mask = cv2.imread(sys.argv[1]), cv2.imread(sys.argv[2], 0)
cv2.setNumThreads(1); cv2.imwrite(sys.argv[3], cv2.inpaint(picture, mask, 5, cv2.INPAINT_TELEA))
"""
PATCHMATCH = """
import sys, numpy as np; from PIL import Image; from patchmatch import patch_match
Image.MAX_IMAGE_PIXELS = None
picture, mask = Image.open(sys.argv[1]).convert("RGB"), Image.open(sys.argv[2]).convert("L")
filled = patch_match.inpaint(np.asarray(picture), np.asarray(mask)[..., None] > 127, patch_size=5)
Image.fromarray(filled).save(sys.argv[3], quality=95)
"""
PROGRAMS = {
    "opencv": ("cv2", "opencv-contrib-python-headless", OPENCV),
    "patchmatch": ("patchmatch", "pypatchmatch", PATCHMATCH),
}
"""Name -> module, package, and what is run."""


def picture(megapixels: float) -> Image.Image:
    """Smooth colours under noise, 4:3."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = height * 4 // 3
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (height // 64, width // 64, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = draw.normal(0, 6, (512, 512, 3)).astype(np.int16)
    tiles = (-(-height // 512), -(-width // 512), 1)
    return Image.fromarray((pixels + np.tile(noise, tiles)[:height, :width]).clip(0, 255).astype(np.uint8))


def hole(size: tuple[int, int], side: int) -> Image.Image:
    """A square hole in the middle, 255, as far as it leaves something known."""
    side = min(side, *(length // 2 for length in size))
    mask = Image.new("L", size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    ImageDraw.Draw(mask).rectangle((left, top, left + side - 1, top + side - 1), fill=255)
    return mask


def specks(size: tuple[int, int], count: int) -> Image.Image:
    """Discs of 3 to 9 pixels anywhere."""
    mask, draw = Image.new("L", size), np.random.default_rng(1)
    brush = ImageDraw.Draw(mask)
    for x, y, radius in zip(
        draw.integers(0, size[0], count), draw.integers(0, size[1], count), draw.integers(1, 5, count), strict=True
    ):
        brush.ellipse((int(x - radius), int(y - radius), int(x + radius), int(y + radius)), fill=255)
    return mask


def cost(words: Sequence[str]) -> tuple[float, float]:
    """CPU seconds and peak GiB of one command and all it starts."""
    environment = os.environ | {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    words_of_error = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {words_of_error.decode()[-400:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def versions() -> str:
    """The machine and what is compared."""
    found = [f"{platform.machine()}, Python {platform.python_version()}"]
    for package in ("torch", "pillow", *(package for _, package, _ in PROGRAMS.values())):
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} is not here")
    return ", ".join(found) + f", {date.today()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megapixels", nargs="+", type=float, default=[2, 12, 50])
    parser.add_argument("--holes", nargs="*", type=int, default=[100, 500, 2000], help="sides of square holes, pixels")
    parser.add_argument("--specks", nargs="*", type=int, default=[1, 100, 5000], help="how many small holes")
    parser.add_argument("--model", default="default")
    parser.add_argument("--dilate", default="auto", help="of retouche: pixels, or auto")
    parser.add_argument("--rounds", type=int, default=1, help="of each the smallest counts")
    parser.add_argument("--alone", action="store_true", help="without the other programs")
    options = parser.parse_args()
    others = {} if options.alone else {n: s for n, (m, _, s) in PROGRAMS.items() if importlib.util.find_spec(m)}
    print(versions())
    start = min(cost([sys.executable, "-c", START])[0] for _ in range(options.rounds))
    print(f"model {options.model}; importing PyTorch takes {start:.2f} s\n")
    names = ["files", "retouche", *others]
    print(
        f"{'MP':>4} {'hole':>12}  "
        + "  ".join(f"{n:>9} s   GiB" for n in names)
        + "   fill alone  "
        + "  ".join(f"/{n}" for n in others)
    )
    with tempfile.TemporaryDirectory() as folder:
        before, mask, after = (str(Path(folder) / name) for name in ("picture.jpg", "mask.png", "filled.jpg"))
        for megapixels in options.megapixels:
            image = picture(megapixels)
            image.save(before, quality=92)
            kinds = [(f"{s} px", hole(image.size, s)) for s in options.holes]
            kinds += [(f"{n} specks", specks(image.size, n)) for n in options.specks]
            for title, drawn in kinds:
                drawn.save(mask)
                ours = ["-m", "retouche", "run", "--model", options.model, "--dilate", options.dilate]
                ours += ["--image", before, "--mask", mask]
                ways = {
                    "files": [sys.executable, "-c", FILES, before, mask, after],
                    "retouche": [sys.executable, *ours, "--output", after, "--overwrite"],
                    **{name: [sys.executable, "-c", script, before, mask, after] for name, script in others.items()},
                }
                taken = {name: min(cost(words) for _ in range(options.rounds)) for name, words in ways.items()}
                alone = taken["retouche"][0] - taken["files"][0] - start
                cells = "  ".join(f"{taken[name][0]:11.2f} {taken[name][1]:5.2f}" for name in names)
                ratios = "  ".join(f"{taken['retouche'][0] / taken[name][0]:.2f}" for name in others)
                print(f"{megapixels:4g} {title:>12}  {cells}   {alone:10.2f}  {ratios}", flush=True)


if __name__ == "__main__":
    main()

"""From a process's start to a filled picture: `retouche.runtime` without torch beside the command.

    python benchmarks/runtime.py [--size 4000x3000] [--hole 100] [--repeats 5] [--model default.onnx]

Both fill the same JPEG with the same mask in processes of their own, in turn; the least of the repeats. "Filled" ends
when the picture is there, "written" with a JPEG on the disk, as the command ends. Seconds of the clock and of the
processor, and the ratios to the command; on a busy machine the processor's are the ones to compare. The command fills
with the default's collage, which an exported file does not have (`docs/export.md`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

FILLED = "import sys; from retouche.runtime import fill; fill(*sys.argv[1:4])"
WRITTEN = FILLED + ".save(sys.argv[4], quality=95)"
COMMAND = "import sys; from retouche.apps.cli import main; sys.exit(main(sys.argv[1:]))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="4000x3000", help="width x height of the picture")
    parser.add_argument("--hole", type=int, default=100, help="side of the square hole, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", type=Path, help="an exported pipeline; default: the default, exported now")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        picture, mask = home / "picture.jpg", home / "mask.png"
        make(picture, mask, width, height, options.hole)
        file = options.model or home / "default.onnx"
        if options.model is None:
            python(COMMAND, "export", "--form", "pipeline", "--output", file)
        paths = ["--image", picture, "--mask", mask, "--output", home / "command.jpg", "--overwrite"]
        sides = {
            "command, written": [COMMAND, "run", *paths],
            "runtime, written": [WRITTEN, picture, mask, file, home / "runtime.jpg"],
            "runtime, filled": [FILLED, picture, mask, file],
        }
        least = {name: (float("inf"), float("inf")) for name in sides}
        for _ in range(options.repeats):
            for name, words in sides.items():
                least[name] = tuple(map(min, least[name], python(*words)))  # type: ignore[assignment]
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"{options.size}, a hole of {options.hole}x{options.hole}, threads: {threads}, least of {options.repeats}")
    first = least["command, written"]
    for name, (wall, cpu) in least.items():
        ratios = f"ratio {wall / first[0]:.2f} and {cpu / first[1]:.2f}"
        print(f"  {name:18} {wall:6.2f} s of the clock, {cpu:6.2f} s of the processor   {ratios}")


def make(picture: Path, mask: Path, width: int, height: int, hole: int) -> None:
    """A picture of smooth colours with grain, and a square hole in its middle."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = random.integers(-8, 9, (height, width, 1), np.int16)
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(picture, quality=92)
    hidden = np.zeros((height, width), np.uint8)
    top, left = (height - hole) // 2, (width - hole) // 2
    hidden[top : top + hole, left : left + hole] = 255
    Image.fromarray(hidden).save(mask)


def python(code: str, *words: object) -> tuple[float, float]:
    """Seconds of the clock and of the processor that a process of its own takes."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{code} ended with {process.returncode}")
    return wall, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

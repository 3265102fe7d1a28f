"""How many pictures a second a batch fills: one worker and several, small and 2-megapixel pictures, before and after.

    python benchmarks/batch.py --models harmonic default --counts 200 8
    python benchmarks/batch.py --against OTHER/src        (the same with another version of retouche, in turns)
    python benchmarks/batch.py --many 20000               (first output and memory of very many tiny pictures)

All runs of one kind of picture take turns, `--rounds` times, and the median is told: other work on the machine then
weighs on all alike. "CPU s" is what all processes of a run have computed, which other work hardly changes, "own" the
part of the process that was started: with several workers it only hands out pictures and keeps the manifest. "speed-up"
compares pictures per second with the first number of workers. "first" is
the time until the first picture is there, start of Python included; "per second" counts the whole run, start included;
"steady" leaves the start out.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent.parent / "src"
SIZES = {"256x256": (256, 256), "1600x1250": (1250, 1600)}


def pictures(folder: Path, height: int, width: int, count: int) -> None:
    """Smooth pictures with a little noise, and one mask with two holes, of these sides."""
    (folder / "in").mkdir(parents=True)
    y, x = np.mgrid[:height, :width]
    for number in range(count):
        rng = np.random.default_rng(number)
        waves = [np.sin(x / rng.uniform(9, 60) + y / rng.uniform(9, 60) + phase) for phase in rng.uniform(0, 6, 3)]
        pixels = np.stack(waves, 2) * 90 + 128 + rng.normal(0, 4, (height, width, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "in" / f"{number:05}.png", compress_level=1)
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 255
    mask[-height // 5 : -height // 8, width // 8 : width // 3] = 255
    Image.fromarray(mask).save(folder / "mask.png")


def run(source: Path, folder: Path, model: str, workers: int, threads: int | None) -> tuple[float, ...]:
    """Seconds until the first picture, until the end, pictures a second between, seconds of CPU, those of its own."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = ["--image", str(folder / "in"), "--mask", str(folder / "mask.png"), "--output", str(out)]
    words += ["--model", model, "--workers", str(workers)]
    words += [] if threads is None else ["--threads", str(threads)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "retouche", "run", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    assert process.stdout is not None
    times, own = [], 0.0
    for _ in process.stdout:
        times.append(time.perf_counter() - started)
        own = own_seconds(process.pid)
    if process.wait():
        raise SystemExit(f"retouche run {' '.join(words)} ended with {process.returncode}")
    end = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return times[0], end, (len(times) - 1) / max(1e-9, times[-1] - times[0]), cpu, own


def own_seconds(process: int) -> float:
    """CPU seconds of a process without its children; 0 where the system does not tell."""
    try:
        told = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def table(options: argparse.Namespace) -> None:
    """One line for each kind of picture, model, version and number of workers."""
    versions = [("this", HERE), *([("other", options.against)] if options.against else [])]
    print("picture    model     version  workers  first s  total s    CPU s  own CPU s  per second  steady  speed-up")
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        for (size, sides), count in zip(SIZES.items(), options.counts, strict=True):
            if not count:
                continue
            folder = Path(made) / size
            pictures(folder, *sides, count)
            for model in options.models:
                kinds = [(name, source, workers) for name, source in versions for workers in options.workers]
                found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
                for _ in range(options.rounds):
                    for name, source, workers in kinds:
                        result = run(source, folder, model, workers, options.threads)
                        found.setdefault((name, workers), []).append(result)
                alone = {}
                for (name, workers), results in found.items():
                    first, end, steady, cpu, own = (statistics.median(column) for column in zip(*results, strict=True))
                    alone.setdefault(name, end)
                    print(
                        f"{size:10} {model:9} {name:8} {workers:7}  {first:7.2f}  {end:7.2f}  {cpu:7.2f}  {own:9.2f}  "
                        f"{count / end:10.2f}  {steady:6.2f}  {alone[name] / end:8.2f}",
                        flush=True,
                    )


def many(options: argparse.Namespace) -> None:
    """Very many tiny pictures: the first output's time, and the most memory of a process, for a tenth and for all."""
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        for count in (options.many // 10, options.many):
            folder = Path(made) / str(count)
            pictures(folder, 16, 16, 1)
            content = (folder / "in" / "00000.png").read_bytes()
            for number in range(1, count):
                path = folder / "in" / f"{number // 1000:03}" / f"{number:05}.png"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            for workers in options.workers:
                first, end, steady, *_ = run(options.against or HERE, folder, "mean", workers, options.threads)
                most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
                print(
                    f"{count} pictures of 16x16, {workers} workers: first after {first:.2f} s, all after {end:.1f} s, "
                    f"{steady:.0f} a second, most memory of a process so far {most:.0f} MiB",
                    flush=True,
                )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["harmonic", "default"])
    parser.add_argument("--counts", nargs=2, type=int, default=[200, 8], help="pictures of 256x256 and of 1600x1250")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="src folder of another version")
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the pictures go for the time of the run")
    options = parser.parse_args()
    if options.many:
        many(options)
    else:
        table(options)


if __name__ == "__main__":
    main()

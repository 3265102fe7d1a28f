"""Every network as an exported file: largest difference to PyTorch, time against PyTorch, file size.

    python benchmarks/export_table.py --output rows.jsonl [--networks lama thin] [--forms network pipeline]
    python benchmarks/export_table.py --markdown rows.jsonl

One thread each, process seconds, both sides in one process in turn, the least of the repeats. Networks whose weights
ship are run with these; all others with fresh kernels of unit gain, so that features keep their size. Differences of
the network form are in -1..1 (relative where a network's own values pass it), of the pipeline in levels of 255.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import retouche
from retouche.engines.onnx_file import open_onnx
from retouche.engines.sessions import open_session
from retouche.errors import RetoucheError
from retouche.export import parity
from retouche.export.write import export, form_of, network_of
from retouche.methods import find, methods

SIZES = ((256, 256), (512, 512), (384, 640))
TIMED = (512, 512)
OWN_KERNELS = {"mi-gan"}  # fresh ones have length 1, as published ones do
SATURATING = {"lama"}  # whose values grow through many residual blocks to a sigmoid's ends
ENGINES = ("onnx", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path)
    parser.add_argument("--networks", nargs="*", default=[])
    parser.add_argument("--forms", nargs="*", default=["network", "pipeline"])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--sizes", nargs="*", default=[f"{width}x{height}" for height, width in SIZES])
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if options.markdown is not None:
        print(markdown([json.loads(line) for line in options.markdown.read_text().splitlines()]))
        return
    torch.set_num_threads(1)
    sizes = [(int(height), int(width)) for width, height in (word.split("x") for word in options.sizes)]
    names = options.networks or [*(name for name in methods() if find(name).build is not None), "default"]
    for name in names:
        for form in options.forms:
            for row in rows(name, form, sizes, options.repeats):
                print(json.dumps(row), flush=True)
                if options.output is not None:
                    with options.output.open("a") as file:
                        file.write(json.dumps(row) + "\n")


def model_of(name: str) -> Any:
    """The network with its shipped weights, or fresh ones of unit gain."""
    if name == "default" or any(weights.packaged for weights in find(name).weights):
        return network_of(retouche.load(name))
    model = retouche.create(name)
    if name in OWN_KERNELS:
        return model
    torch.manual_seed(0)
    assert model.generator is not None
    for layer in model.generator.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    if name in SATURATING:
        soften(model.generator)
    return model


def soften(generator: nn.Module) -> None:
    """Scale the last convolution so that its values have deviation 1: a sigmoid after it is then at neither end."""
    last = [layer for layer in generator.modules() if isinstance(layer, nn.Conv2d)][-1]
    seen: list[torch.Tensor] = []
    handle = last.register_forward_hook(lambda layer, given, made: seen.append(made.detach()))
    picture = parity.pictures(1, 128, 128, torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., 40:80, 40:80] = 1
    with torch.enable_grad():  # the form for training calls every layer
        generator(picture * (1 - mask), mask)
    handle.remove()
    last.weight.data.div_(seen[0].std())


def rows(name: str, form: str, sizes: list[tuple[int, int]], repeats: int) -> list[dict[str, Any]]:
    """One row for each engine."""
    model = model_of(name)
    with tempfile.TemporaryDirectory() as folder:
        try:
            started = time.process_time()
            made = export(model, Path(folder) / "x.onnx", form)
        except RetoucheError as error:
            return [{"network": name, "form": form, "engine": engine, "error": str(error)} for engine in ENGINES]
        seconds_export = time.process_time() - started
        eager = form_of(model, form)
        scope = find(model.method).scope(model.config)
        centre = scope.centre[1] if scope.centre else 0
        sizes = [(eager.side, eager.side)] if eager.side else sizes
        timed = TIMED if TIMED in sizes else sizes[-1]
        found = {engine: {"network": name, "form": form, "engine": engine, "differences": {}} for engine in ENGINES}
        try:
            runs = {engine: open_session(open_onnx(made.path), engine, threads=1) for engine in ENGINES}
            for height, width in sizes:
                example = parity.examples(eager, height, width, "strokes", centre, batch=1)
                arrays = {key: tensor.numpy() for key, tensor in example.items()}
                sides: list[Callable[[], Any]] = [lambda e=example: eager(*e.values())]
                sides += [lambda a=arrays, run=run: run(a) for run in runs.values()]
                (expected, *others), least = fastest(sides, repeats if (height, width) == timed else 1)
                for engine, value, seconds in zip(ENGINES, others, least[1:], strict=True):
                    row = found[engine]
                    row["differences"][f"{width}x{height}"] = parity.apart(form == "pipeline", expected.numpy(), value)
                    if (height, width) == timed:
                        row.update(seconds_eager=round(least[0], 3), seconds_engine=round(seconds, 3))
                        row["ratio"] = round(seconds / least[0], 2)
        except RetoucheError as error:
            return [{**row, "error": str(error)} for row in found.values()]
        return [
            {**row, "size_bytes": made.size_bytes, "seconds_export": round(seconds_export, 1)} for row in found.values()
        ]


@torch.inference_mode()
def fastest(sides: list[Callable[[], Any]], repeats: int) -> tuple[list[Any], list[float]]:
    """What each side gives, and its least process seconds, in turn."""
    least, given = [float("inf")] * len(sides), [None] * len(sides)
    for _ in range(repeats):
        for number, side in enumerate(sides):
            started = time.process_time()
            given[number] = side()
            least[number] = min(least[number], time.process_time() - started)
    return given, least


def markdown(found: list[dict[str, Any]]) -> str:
    """The rows as a table, an engine a line."""
    lines = ["| network | form | engine | largest difference at | time / eager | MB |", "|---|---|---|---|---|---|"]
    for row in found:
        if "error" in row:
            differences, ratio = row["error"], ""
        else:
            each = row["differences"].items()
            differences = ", ".join(f"{size} {value:.1e}" if value % 1 else f"{size} {value:g}" for size, value in each)
            ratio = f"{row['ratio']:.2f}"
        size = f"{row['size_bytes'] / 1e6:.1f}" if "size_bytes" in row else ""
        lines.append(f"| {row['network']} | {row['form']} | {row['engine']} | {differences} | {ratio} | {size} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

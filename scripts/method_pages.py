"""Writes docs/methods/: a page and a figure for each method that has networks, from the code alone.

`python scripts/method_pages.py` writes them all; tests/unit/test_method_pages.py tells when they are out of date.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import network_figure
import presets_page
import torch
from torch import nn

from retouche.methods import METHODS, find
from retouche.methods.method import Method

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "methods"

GOLDEN = {
    "aotgan-": ("aot-gan", "sii-gan"),
    "siigan-": ("sii-gan",),
    "context-encoder-": ("context-encoder",),
    "contextual-attention": ("deepfill-v1", "deepfill-v2"),
    "deepfillv1-": ("deepfill-v1",),
    "deepfillv2-": ("deepfill-v2",),
    "ffc-": ("lama",),
    "lama-": ("lama",),
    "mi-gan-": ("mi-gan",),
    "partial-conv": ("partial-conv", "deepfill-v2"),
    "pconv-": ("partial-conv",),
    "structural-": ("structural",),
    "structureflow-": ("structure-flow",),
    "p-ids": (),
}
"""Which methods a golden file speaks of, by how its name begins."""

HEAD = """\
# {title}

This page is written by `scripts/method_pages.py` from the code; do not edit it by hand. Source: {source}.
Code: `{module}`.
{parts}
![The layers of {name} in the order in which they are computed]({name}.svg)

The figure is drawn from the network itself, preset `{preset}`, while it computes a picture of {side} pixels: a bar for
each layer with a kernel, in the order in which they are computed, as high as its map and as wide as it has channels;
blue ones are convolutions, orange ones dilated, green ones transposed. A row is a part of the network, named as in the
code; what runs side by side stands one after another. Point at a bar for its name and numbers.

"""
HELPERS = ("exporting", "padding", "near", "boxed", "attention_rows")
"""Files of `layers/` that hold no formula of a paper: ways to compute one, or to record its graph."""
FOLLOWED = ("retouche.layers.", "retouche.losses.", "retouche.methods.")
COMMON = ("retouche.methods.method", "retouche.methods.recipe", "retouche.methods.recipe_protocol")
"""Modules that every method reads."""

GOLDEN_WORDS = """\
Golden files hold what the published code computed for parameters filled by rule; ours must agree within the tolerance
that stands in the test. No published weight file was opened for them.

| golden file | of |
|---|---|
"""


def built(method: Method, preset: str) -> tuple[nn.Module, dict[str, nn.Module]]:
    """Generator and critics without memory."""
    assert method.build is not None
    with torch.device("meta"):
        return method.build(method.presets[preset]), method.critics(method.presets[preset])


def parameters(network: nn.Module) -> int:
    """Numbers that are learned."""
    return sum(each.numel() for each in network.parameters())


def parts(module: str) -> dict[str, list[str]]:
    """The files of `layers/` and `losses/` that a method's module reads, itself or through others of its folder."""
    found: dict[str, list[str]] = {}
    seen, pending = set(), [module]
    while pending:
        name = pending.pop()
        path = ROOT / "src" / (name.replace(".", "/") + ".py")
        if name in seen or name in COMMON or not path.is_file():
            continue
        seen.add(name)
        _, folder, *rest = name.split(".")
        if folder in ("layers", "losses") and rest[0] not in HELPERS:
            found.setdefault(folder, []).append(rest[0])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith(FOLLOWED):
                pending.append(str(node.module))
    return found


def pointers(module: str) -> str:
    """`parts` in a sentence."""
    said = [
        f"{folder} " + ", ".join(f"`{name}.py`" for name in sorted(names))
        for folder, names in sorted(parts(module).items())
    ]
    return f"What it is built from, in `src/retouche/`: {'; '.join(said)}.\n" if said else ""


def networks(method: Method) -> Iterator[str]:
    """Presets of the network with their sizes."""
    yield "## Networks\n\n| preset | generator, parameters | critics, parameters | sides |\n|---|---:|---|---|\n"
    for preset in method.presets:
        generator, critics = built(method, preset)
        told = ", ".join(f"{name} {parameters(critic):,}" for name, critic in critics.items()) or "none"
        sides = f"multiples of {generator.multiple}, at least {generator.smallest}"
        yield f"| `{preset}` | {parameters(generator):,} | {told} | {sides} |\n"


def trainings(name: str, method: Method) -> Iterator[str]:
    """Training presets with their source and what differs from it."""
    if not method.recipes:
        yield "\n## Training\n\nThere is no recipe: it fills with published weights.\n"
        return
    yield "\n## Training presets\n\n| preset | as in | settings equal | deliberately different |\n|---|---|---:|---|\n"
    for preset in method.recipes:
        if (name, preset) in presets_page.OFFICIAL:
            source, table = presets_page.OFFICIAL[name, preset]
            different = [row for row in table if presets_page.ours(name, preset, row.field) != row.value]
            said = "; ".join(f"`{row.field}`: {row.why}" for row in different) or "nothing"
            yield f"| `{preset}` | {source} | {len(table) - len(different)} | {said} |\n"
        else:
            words = presets_page.TEXT_ONLY.get((name, preset), "our own, or not compared")
            yield f"| `{preset}` | {words} | | |\n"
    yield "\n[docs/presets.md](../presets.md) has every setting beside the published value.\n"


def layouts(method: Method) -> Iterator[str]:
    """Published names that are read."""
    if not method.layouts:
        return
    yield "\n## Files that are recognised\n\n| layout | networks | colours |\n|---|---|---|\n"
    for layout in method.layouts:
        order = f"{layout.order}: {layout.order_source}" if layout.order_source else f"{layout.order}, not known"
        yield f"| {layout.name} | {', '.join(layout.parts)} | {order} |\n"
    yield f"\n{len(method.weights)} published files are known: [docs/models.md](../models.md).\n"


def golden_files(name: str) -> list[tuple[str, str]]:
    """(file, what it holds) of the golden files that speak of a method."""
    found = []
    for path in sorted((ROOT / "tests" / "golden").glob("*.json")):
        if name in GOLDEN[prefix_of(path.stem)]:
            found.append((path.stem, _words(json.loads(path.read_text(encoding="utf-8")))))
    return found


def prefix_of(golden: str) -> str:
    """The longest beginning in `GOLDEN`."""
    return max((prefix for prefix in GOLDEN if golden.startswith(prefix)), key=len)


def _words(content: dict[str, object]) -> str:
    about = content.get("about")
    said = content.get("source") or about
    if isinstance(about, dict):
        said = about.get("reference") or about.get("source") or about.get("layout")
    first = re.split(r"(?<=[a-z)])[.:;] ", str(said), maxsplit=1)[0]
    first = first if first.count("(") == first.count(")") else first.rpartition(" (")[0]
    return first.replace("seed 004", "jonzhaocn/structural_inpainting").replace("seed author's own", "author's")


@cache
def _tests() -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "tests" / "golden").glob("test_*.py"))
    }


def test_files(name: str) -> list[str]:
    """Tests of golden files that name a method or import its module."""
    module = METHODS[name].rpartition(".")[2]
    wanted = re.compile(rf"[\"']{re.escape(name)}[\"':]|methods(?:\.| import [\w, ]*\b){module}\b")
    return [path for path, text in _tests().items() if wanted.search(text)]


def verified(name: str) -> Iterator[str]:
    """Golden files and tests."""
    yield "\n## How it is verified\n\n"
    found = golden_files(name)
    if found:
        yield GOLDEN_WORDS
        yield from (f"| `{file}` | {words} |\n" for file, words in found)
    else:
        yield "It is our own: there is no published code to agree with.\n"
    files = ", ".join(f"`{path}`" for path in test_files(name))
    yield (
        f"\nThey are read by {files}. " if found and files else "\n"
    ) + "It passes `tests/methods`, as every method must.\n"


def page(name: str) -> str:
    """A method's page."""
    method = find(name)
    preset = next(iter(method.presets))
    head = HEAD.format(
        title=method.title,
        source=method.source,
        module="src/" + METHODS[name].replace(".", "/") + ".py",
        parts=pointers(METHODS[name]),
        name=name,
        preset=preset,
        side=network_figure.side_of(method, preset),
    )
    return "".join([head, *networks(method), *trainings(name, method), *layouts(method), *verified(name)])


def figure(name: str) -> str:
    """A method's figure, SVG."""
    method = find(name)
    return network_figure.drawn(method, next(iter(method.presets)), name)


def drawable() -> list[str]:
    """Methods with networks."""
    return [name for name in METHODS if find(name).build is not None]


def index() -> str:
    """The list of all pages."""
    lines = ["# Methods\n\nThis page is written by `scripts/method_pages.py`; do not edit it by hand.\n\n"]
    lines.append("| method | what | generator, parameters | golden files |\n|---|---|---:|---:|\n")
    for name in drawable():
        method = find(name)
        count = parameters(built(method, next(iter(method.presets)))[0])
        lines.append(f"| [{name}]({name}.md) | {method.title} | {count:,} | {len(golden_files(name))} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    (PAGES / "README.md").write_text(index(), encoding="utf-8")
    for each in drawable():
        (PAGES / f"{each}.md").write_text(page(each), encoding="utf-8")
        (PAGES / f"{each}.svg").write_text(figure(each), encoding="utf-8")

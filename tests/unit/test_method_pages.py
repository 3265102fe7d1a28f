"""docs/methods is what the code says, and its figures show every layer that has a kernel."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import method_pages as pages  # noqa: E402
import network_figure  # noqa: E402

from retouche.methods import find  # noqa: E402


@pytest.mark.parametrize("name", pages.drawable())
def test_page_and_figure_are_up_to_date(name: str) -> None:
    remedy = "run python scripts/method_pages.py"
    assert (pages.PAGES / f"{name}.md").read_text(encoding="utf-8") == pages.page(name), remedy
    figure = pages.figure(name)
    assert (pages.PAGES / f"{name}.svg").read_text(encoding="utf-8") == figure, remedy
    # the network without memory has the same layers: none is left out
    method = find(name)
    generator, _ = pages.built(method, next(iter(method.presets)))
    wanted = {layer for layer, module in generator.named_modules() if network_figure.is_drawn(module)}
    shown = set(re.findall(r"<title>([\w.]+): ", figure))
    assert shown == wanted and shown
    assert f"{pages.parameters(generator):,}" in pages.page(name)


def test_the_list_and_nothing_else_is_there() -> None:
    assert (pages.PAGES / "README.md").read_text(encoding="utf-8") == pages.index()
    there = {path.name for path in pages.PAGES.iterdir()}
    assert there == {"README.md"} | {f"{name}{kind}" for name in pages.drawable() for kind in (".md", ".svg")}


def test_every_golden_file_belongs_to_a_method() -> None:
    known = {name for methods in pages.GOLDEN.values() for name in methods}
    assert known <= set(pages.drawable())
    for path in (ROOT / "tests" / "golden").glob("*.json"):
        assert pages.prefix_of(path.stem)


def test_layers_are_drawn_in_the_order_they_are_computed() -> None:
    method = find("aot-gan")
    found = network_figure.layers(method, "aot")
    assert [layer.shrink for layer in found[:3]] == [1, 2, 4] and found[-1].channels == 3
    assert sum(layer.kind == "dilated" for layer in found) == 8 * 3  # rates 2, 4 and 8 of eight blocks

"""docs/presets.md is what the recipes say, and every difference from the publication has its reason."""

import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from retouche.methods import METHODS, find

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import presets_page as page  # noqa: E402

COMPARED = {method for method, _ in page.OFFICIAL}
OURS = {"network", "data", "objective", "channels_last", "stage", "phase"}  # shapes, and which of several recipes


def test_the_page_is_up_to_date():
    assert (ROOT / "docs" / "presets.md").read_text() == "".join(page.lines())


@pytest.mark.parametrize(("method", "preset"), page.OFFICIAL)
def test_equal_or_deliberate(method, preset):
    for row in page.OFFICIAL[method, preset][1]:
        own = page.ours(method, preset, row.field)
        assert (own != row.value) == bool(row.why), (row.field, own, row.value)


@pytest.mark.parametrize("method", sorted(COMPARED & METHODS.keys()))
def test_nothing_is_left_out(method):
    """Every preset of a compared method, and every number of its training."""
    for preset, training in find(method).recipes.items():
        if (method, preset) in page.TEXT_ONLY:
            continue
        named = {row.field for row in page.OFFICIAL[method, preset][1]}
        own = {field.name for field in fields(training)} - OURS
        if hasattr(training, "objective"):
            own |= {f"objective.{field.name}" for field in fields(training.objective)}
        missing = own - named - {"judged"}
        assert not missing, (preset, missing)
        assert {"data.size", "data.batch", "data.masks", "data.crop"} <= named


def test_a_changed_recipe_shows():
    row = next(row for row in page.AOT if row.field == "betas")
    assert page.verdict(row, (0.5, 0.999)) == "equal"
    assert page.verdict(row, (0.0, 0.9)) == "different"
    assert page.verdict(replace(row, why="so"), (0.0, 0.9)) == "deliberate: so"

"""docs/models.md says what the records say."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "models_page.py"))["page"]
    assert (ROOT / "docs" / "models.md").read_text() == page(), "run: python scripts/models_page.py > docs/models.md"

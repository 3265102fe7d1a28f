"""The report in a real browser: all of it loads, nothing is fetched, light and dark differ, a fill shows the truth."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouche.apps.cli import main

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: install it, or set CHROMIUM to its path")
playwright = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    random = np.random.default_rng(0)
    for seed in range(4):
        small = random.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(root / f"{seed}.png")
    words = ["--model", "harmonic", "mean", "--masks", "box:1,strokes:1", "--report", str(root / "report")]
    assert main(["eval", "--data", str(root), *words]) == 0
    return root / "report" / "index.html"


def test_the_report_opens_in_a_browser(report: Path) -> None:
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            papers, fetched, complaints = set(), [], []
            for scheme in ("light", "dark"):
                page = browser.new_page(color_scheme=scheme, viewport={"width": 1200, "height": 900})
                page.on("request", lambda request: fetched.append(request.url))
                page.on("console", lambda message: complaints.append(message.text))
                page.on("pageerror", lambda error: complaints.append(str(error)))
                page.goto(report.as_uri())
                papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
                assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth > 0)")
                assert page.evaluate("document.images.length") > 20
                assert page.locator("svg").count() >= 4
                for width in (1200, 390):  # no part is wider than a telephone
                    page.set_viewport_size({"width": width, "height": 900})
                    assert page.evaluate("document.documentElement.scrollWidth") <= width
                fill = page.locator(".swap").first
                fill.hover()
                page.wait_for_function("e => getComputedStyle(e, '::after').opacity === '1'", arg=fill.element_handle())
                page.get_by_text("All figures, by hole ratio").click()
                assert page.get_by_text("MS-SSIM").first.is_visible()
                page.close()
            assert len(papers) == 2 and complaints == []
            assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
        finally:
            browser.close()

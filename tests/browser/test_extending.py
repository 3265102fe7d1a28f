"""Room at the sides of a picture, from the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import drag, fill, open_file, ready, said, saved
from PIL import Image

import retouche


def test_a_picture_is_extended_with_its_fills(
    server: str, look: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (90, 30), (130, 60))
    fill(page)
    once = np.asarray(Image.open(saved(page, tmp_path / "once.png")))
    assert page.is_disabled("#extend")
    page.evaluate("document.getElementById('extend').closest('details').open = true")
    page.fill("#left", "20")
    page.fill("#bottom", "11")
    page.click("#extend")
    said(page, "Now 276 × 203")
    assert page.input_value("#left") == "" and page.is_disabled("#extend")
    assert page.evaluate("async () => (await import('/work.js')).work.document.unsaved")
    wider = np.asarray(Image.open(saved(page, tmp_path / "wider.png")))
    assert np.array_equal(wider[:192, 20:], once)
    assert np.array_equal(wider, retouche.load("harmonic")(once, extend="left=20,bottom=11"))
    assert not page.evaluate("async () => (await import('/work.js')).work.document.unsaved")


def test_borders_are_dragged_and_moved_by_keys(
    server: str, look: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = ready(look(server, bypass_csp=True))
    open_file(page, picture)
    assert page.locator("#edges").is_hidden()
    page.click("#extendpart summary")
    place = page.locator("#edge-left").bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    scale = "async () => { const { view } = (await import('/work.js')).work; return view.zoom / view.ratio; }"
    ratio = page.evaluate(scale)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 30 * ratio, y, steps=4)
    assert page.input_value("#left") == "30" and page.get_attribute("#edge-left", "aria-valuenow") == "30"
    page.mouse.move(x + 90, y, steps=2)  # a border does not go into the picture
    assert page.input_value("#left") == ""
    page.mouse.move(x - 24 * ratio, y, steps=2)
    page.mouse.up()
    whole, stage = page.locator("#edges .frame").bounding_box(), page.locator("#stage").bounding_box()
    assert whole["x"] >= stage["x"] and whole["y"] >= stage["y"]
    assert whole["x"] + whole["width"] <= stage["x"] + stage["width"]

    for key in ("Tab", "Tab", "Tab", "ArrowDown", "Shift+ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    assert page.input_value("#bottom") == "11" and page.inner_text("#extendhere") == "Extend and fill"
    assert axe.Axe().run(page).response["violations"] == []
    page.keyboard.press("Enter")
    said(page, "Now 280 × 203")
    assert page.get_attribute("#edge-left", "aria-valuenow") == "0"
    wider = np.asarray(Image.open(saved(page, tmp_path / "wider.png")))
    once = np.asarray(Image.open(picture))
    assert np.array_equal(wider, retouche.load("harmonic")(once, extend="left=24,bottom=11"))

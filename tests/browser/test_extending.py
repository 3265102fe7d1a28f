"""Room at the sides of a picture, from the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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

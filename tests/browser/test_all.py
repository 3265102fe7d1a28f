"""The same edit on all pictures of a folder: few gestures, a grid of what to look at, everything saved at once."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import drag, photograph, ready, until
from PIL import Image

COUNT = 20
MARK = (180, 150, 240, 160)  # of pictures of the usual size
GROWN = 8  # pixels around the mark that a stroke over it may touch


def place(width: int, height: int) -> tuple[int, int, int, int]:
    """The bar's box in a picture of that size."""
    left, top, right, bottom = MARK
    return left + width - 256, top + height - 192, right + width - 256, bottom + height - 192


def marked(path: Path, seed: int, size: tuple[int, int] = (192, 256)) -> None:
    """A picture with a white bar at a fixed distance from its lower right corner."""
    picture = photograph(seed, size)
    left, top, right, bottom = (
        side + more for side, more in zip(MARK, (size[1] - 256, size[0] - 192) * 2, strict=True)
    )
    picture.paste((255, 255, 255), (left, top, right, bottom))
    picture.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "trip"
    (root / "day 2").mkdir(parents=True)
    for number in range(COUNT - 2):
        marked(root / f"p{number}.png", number)
    marked(root / "day 2" / "large.png", 98, (300, 400))
    marked(root / "day 2" / "last.png", 99)
    return root


def cells(page: Any, state: str) -> int:
    return page.locator(f'#allgrid > [data-state="{state}"]').count()


def bar_of(path: Any) -> tuple[np.ndarray, np.ndarray]:
    """A picture's bar, and the picture with the bar's surroundings blanked."""
    pixels = np.array(Image.open(path).convert("RGB")).astype(int)
    height, width = pixels.shape[:2]
    left, top, right, bottom = place(width, height)
    bar = pixels[top:bottom, left:right].copy()
    pixels[top - GROWN : bottom + GROWN, left - GROWN : right + GROWN] = 0
    return bar, pixels


def test_a_mark_goes_from_twenty_pictures_in_few_gestures(
    server: str, look: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = ready(look(server, face="simple", bypass_csp=True))
    gestures = 0

    def click(name: str) -> None:
        nonlocal gestures
        gestures += 1
        page.click(name)

    with page.expect_file_chooser() as chooser:
        click("#choosefolder")
    chooser.value.set_files(folder)
    gestures += 1  # in the dialog
    page.locator("#place", has_text=f"1 of {COUNT}").wait_for()
    assert not page.is_visible("#all")
    page.evaluate("async () => (await import('/work.js')).set({ size: 16 })")
    gestures += 1  # the stroke
    drag(page, (184, 155), (236, 155))
    until(lambda: int(page.get_attribute("#history", "data-fills") or 0) == 1)
    click("#all")
    click("#allstart")
    until(lambda: cells(page, "done") == COUNT, 60)
    assert page.inner_text("#allsaid") == f"{COUNT} of {COUNT} · to look at: 1"
    assert "another size" in page.locator("#allgrid .doubt").inner_text()
    assert axe.Axe().run(page).response["violations"] == []
    with page.expect_download() as waiting:
        click("#allsave")
    assert gestures <= 8
    waiting.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None and len(archive.namelist()) == COUNT
        for name in archive.namelist():
            with archive.open(name) as file:
                bar, others = bar_of(file)
            before, same = bar_of(folder / name)
            assert (before == 255).all() and (bar.min(-1) < 250).mean() > 0.95, name
            assert np.array_equal(others, same), name
    assert cells(page, "saved") == COUNT

    shot = page.locator("#allgrid .shot").first
    read = "(shot) => shot.firstChild.toDataURL()"
    after = shot.evaluate(read)
    shot.click()
    assert shot.evaluate(read) != after and shot.get_attribute("aria-pressed") == "true"


def test_what_fails_is_said_and_tried_again(
    serve: Callable[..., Any], look: Callable[..., Any], tmp_path: Path
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    output.mkdir()
    for number in range(3):
        marked(source / f"p{number}.png", number)
    with serve("--model", "harmonic", "--input", str(source), "--output", str(output)) as address:
        page = ready(look(address, face="full", expected="status of"))
        page.keyboard.press("m")
        drag(page, (178, 148), (242, 162))  # a mask alone, not filled
        asked: list[str] = []

        def route(one: Any) -> None:
            asked.append(one.request.url)
            if len(asked) == 2:
                one.fulfill(status=503, json={"error": "out of memory: send a smaller part"})
            else:
                one.continue_()

        page.route("**/api/v1/inpaint", route)
        page.click("#all")
        page.click("#allstart")
        until(lambda: cells(page, "done") == 2 and cells(page, "failed") == 1)
        assert "out of memory" in page.locator("#allgrid .doubt").inner_text()
        page.locator("#allgrid .doubt .retry").click()
        until(lambda: cells(page, "done") == 3)
        (output / "p1.png").write_bytes(b"another")
        page.click("#allsave")
        page.locator("#allsaid", has_text="1 exist").wait_for()
        assert (output / "p1.png").read_bytes() == b"another"
        page.click("#allsave")
        page.locator("#allsaid", has_text="Saved: 3").wait_for()
        for number in range(3):
            assert (bar_of(output / f"p{number}.png")[0].min(-1) < 250).mean() > 0.95
            assert (output / f"p{number}.png.retouche.json").is_file()

"""Folders opened in the browser: by dialog, by drop, as many files at once; without a folder of the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import SIZE, at, drag, fill, open_file, photograph, ready, said, saved
from PIL import Image

from retouche.apps.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures in natural order (2, 10, then those of the folder inside) and what is none."""
    root = tmp_path / "holiday"
    (root / "inner" / ".hidden").mkdir(parents=True)
    photograph(1).save(root / "ball 2.png")
    photograph(2).save(root / "ball 10.TIF")
    photograph(3).save(root / "inner" / "a.jpg", quality=95)
    photograph(4).save(root / "inner" / "b.webp", lossless=True)
    photograph(5).save(root / "inner" / ".hidden" / "c.png")
    (root / "notes.txt").write_text("no picture")
    (root / ".thumbs.png").write_bytes(b"no picture")
    return root


def shown(page: Any, name: str, place: str) -> None:
    page.locator("#name b", has_text=name).wait_for()
    page.locator("#place", has_text=place).wait_for()


def drop(page: Any, *paths: Path) -> None:
    """Files and folders from the desktop onto the picture."""
    session = page.context.new_cdp_session(page)
    x, y = page.evaluate("[innerWidth / 2, innerHeight / 2]")
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": x, "y": y, "data": data})


def test_a_folder_is_walked_through_and_its_results_are_downloaded(
    server: str, look: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    page = ready(look(server))
    with page.expect_file_chooser() as chooser:
        page.click("#choosefolder")
    chooser.value.set_files(folder)
    shown(page, "ball 2.png", "1 of 4")
    page.locator("#overlay").focus()
    page.keyboard.press("m")
    page.check("#keepmask")
    page.locator("#overlay").focus()
    for name, place in (("ball 10.TIF", "2"), ("a.jpg", "3"), ("b.webp", "4"), ("ball 2.png", "1")):
        page.keyboard.press("ArrowRight")
        shown(page, name, f"{place} of 4")
    page.keyboard.press("ArrowLeft")
    shown(page, "b.webp", "4 of 4")
    for _ in range(3):  # faster than pictures can be decoded
        page.keyboard.press("ArrowLeft")
    shown(page, "ball 2.png", "1 of 4")
    page.click("#next")
    shown(page, "ball 10.TIF", "2 of 4")
    assert page.get_attribute("#tool-box", "aria-pressed") == "true" and page.is_checked("#keepmask")

    page.locator("#overlay").focus()
    drag(page, (22, 22), (58, 58))
    fill(page)
    page.keyboard.press("ArrowRight")  # asks once
    page.locator("#message.error", has_text="unsaved").wait_for()
    with page.expect_download() as waiting:
        page.keyboard.press("Control+s")
    assert waiting.value.suggested_filename == "ball 10.TIF"
    result = tmp_path / "result.tif"
    waiting.value.save_as(result)
    mask = np.zeros(SIZE, np.uint8)
    mask[21:60, 21:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert main(["check", str(folder / "ball 10.TIF"), str(result), str(tmp_path / "mask.png")]) == 0
    page.keyboard.press("ArrowRight")  # saved: nothing to ask
    shown(page, "a.jpg", "3 of 4")

    fillable = page.evaluate("async () => (await import('/work.js')).work.document.layers.mask.measure().count")
    assert fillable == pytest.approx(36 * 36, rel=0.1)  # the mask is kept, as was said
    page.uncheck("#keepmask")
    page.locator("#overlay").focus()
    page.keyboard.press("Control+d")
    drag(page, (22, 22), (58, 58))
    fill(page)
    page.keyboard.press("ArrowRight")
    page.locator("#message.error", has_text="unsaved").wait_for()
    shown(page, "a.jpg", "3 of 4")
    page.keyboard.press("ArrowRight")  # and the same again leaves
    shown(page, "b.webp", "4 of 4")


def test_a_folder_can_be_dropped_and_unreadable_files_are_passed_over(
    server: str, look: Callable[..., Any], folder: Path, tmp_path: Path
) -> None:
    page = ready(look(server, expected="422"))
    (folder / "ball 3.png").write_bytes((folder / "ball 2.png").read_bytes()[:300])
    drop(page, folder)
    shown(page, "ball 2.png", "1 of 5")
    page.locator("#overlay").focus()
    page.keyboard.press("ArrowRight")
    shown(page, "ball 10.TIF", "3 of 5")
    page.locator("#message.error", has_text="Passed over ball 3.png").wait_for()
    (tmp_path / "empty").mkdir()
    drop(page, tmp_path / "empty")
    page.locator("#message.error", has_text="no JPEG, PNG").wait_for()
    page.keyboard.press("ArrowLeft")  # the folder open before is still there
    shown(page, "ball 2.png", "1 of 5")

    # pictures in one drop or one choice are walked through, too; one with its mask is a picture with a mask
    drop(page, folder / "inner" / "b.webp", folder / "inner" / "a.jpg")
    shown(page, "a.jpg", "1 of 2")
    Image.new("L", SIZE[::-1], 255).save(tmp_path / "ball_mask.png")
    page.set_input_files("#file", [folder / "ball 10.TIF", tmp_path / "ball_mask.png", folder / "ball 2.png"])
    shown(page, "ball 2.png", "1 of 2")
    page.locator("#message.error", has_text="were left out").wait_for()
    page.set_input_files("#file", [tmp_path / "ball_mask.png", folder / "inner" / "b.webp"])
    said(page, "the mask now")
    assert page.inner_text("#name b") == "b.webp"


def test_only_the_shown_picture_is_held(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(12):
        photograph(number, (300, 400)).save(root / f"{number}.png")
    page = ready(look(server))
    page.evaluate(
        """() => {
          window.open = 0;
          window.most = 0;
          const make = window.createImageBitmap, close = ImageBitmap.prototype.close;
          window.createImageBitmap = async (...given) => {
            const bitmap = await make(...given);
            most = Math.max(most, ++open);
            return bitmap;
          };
          ImageBitmap.prototype.close = function () {
            open--;
            return close.call(this);
          };
        }"""
    )
    page.set_input_files("#folder", root)
    shown(page, "0.png", "1 of 12")
    page.locator("#overlay").focus()
    for number in range(1, 24):
        page.keyboard.press("ArrowRight")
        if number % 5 == 0:
            shown(page, f"{number % 12}.png", f"{number % 12 + 1} of 12")
    shown(page, "11.png", "12 of 12")
    # the one shown and the next: as decoded and as a tile of it
    assert page.evaluate("[open, most]") == [1, 3]


def test_a_single_picture_keeps_its_way(server: str, look: Callable[..., Any], picture: Path, tmp_path: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    assert page.locator("#walk").is_hidden()
    page.mouse.click(*at(page, 100, 100))
    fill(page)
    with page.expect_download() as waiting:
        page.keyboard.press("Control+s")
    assert waiting.value.suggested_filename == "photo_filled.png"
    assert saved(page, tmp_path / "again.png").stat().st_size > 0

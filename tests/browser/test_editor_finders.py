"""Masks that find themselves in the page, lines drawn straight, and a lasso that keeps to edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from editor_page import SIZE, at, drag, mask_of, open_file, photograph, ready, until
from PIL import Image, ImageDraw


def found(page: Any) -> np.ndarray:
    """Look, and wait for what is found."""
    page.click("#find")
    label = "async () => (await import('/work.js')).work.document.done.at(-1)?.label"
    until(lambda: page.evaluate(label) == "find", 90)
    assert "of the picture" in page.inner_text("#message")
    return mask_of(page)


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    return float((one & two).sum() / (one | two).sum())


def test_specks_are_found_and_the_slider_finds_more(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    picture, specks = photograph(4), Image.new("1", SIZE[::-1])
    generator = np.random.default_rng(1)
    for image in (picture, specks):
        draw = ImageDraw.Draw(image)
        for x, y in np.random.default_rng(2).integers(70, 180, (12, 2)):
            draw.rectangle((x, y, x + 2, y + 2), fill="black" if image is picture else 1)
    faint = Image.fromarray((np.array(picture) + generator.integers(0, 2, (*SIZE, 1))).clip(0, 255).astype(np.uint8))
    faint.save(tmp_path / "scan.png")
    page = ready(look(server))
    open_file(page, tmp_path / "scan.png")
    hole = found(page)
    assert hole[np.array(specks)].mean() > 0.9 and hole.mean() < 0.06
    page.locator("#sensitivity").fill("0")  # which takes the place of what was found before
    page.locator("#find:not([disabled])").wait_for(timeout=90_000)
    assert mask_of(page).sum() <= hole.sum()
    page.keyboard.press("Control+z")
    assert not mask_of(page).any()


def test_the_mark_of_a_folder_is_found(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    mark = Image.new("L", SIZE[::-1], 0)
    ImageDraw.Draw(mark).rectangle((150, 140, 230, 150), fill=255)
    ImageDraw.Draw(mark).ellipse((110, 130, 140, 160), outline=255, width=5)
    for number in range(10):
        white = Image.new("RGB", SIZE[::-1], "white")
        Image.composite(Image.blend(photograph(number), white, 0.5), photograph(number), mark).save(
            tmp_path / f"p{number}.png"
        )
    page = ready(look(server))
    with page.expect_file_chooser() as chooser:
        page.click("#choosefolder")
    chooser.value.set_files(tmp_path)
    page.locator("#place", has_text="1 of 10").wait_for()
    page.locator("#findkind").select_option("mark")
    assert not page.is_visible("#sensitivity")
    # the yellow square is in all of them, too, and no mark: it lets nothing through
    assert overlap(found(page)[100:], np.array(mark)[100:] > 0) > 0.7


def test_lines_are_straight_with_shift_and_the_lasso_keeps_to_edges(
    server: str, look: Callable[..., Any], picture: Path
) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.evaluate("async () => (await import('/work.js')).set({ size: 6 })")
    drag(page, (100, 100), (101, 100))
    page.keyboard.down("Shift")
    page.mouse.click(*at(page, 200, 150))
    page.keyboard.up("Shift")
    hole = mask_of(page)
    assert hole[125, 150] and hole[112, 125] and not hole[105, 150] and hole.sum() < 900
    page.keyboard.press("Control+z")  # the line alone
    assert not mask_of(page)[125, 150] and mask_of(page)[100, 100]
    page.keyboard.press("Control+z")

    square = np.zeros(SIZE, bool)
    square[20:60, 20:60] = True
    around = [(16, 17), (40, 23), (63, 16), (56, 40), (63, 64), (40, 57), (17, 63), (24, 40), (16, 19)]
    page.keyboard.press("l")
    drag(page, *around)
    by_hand = overlap(mask_of(page), square)
    page.keyboard.press("Control+z")
    page.check("#snap")
    page.locator("#overlay").focus()
    drag(page, *around)
    assert overlap(mask_of(page), square) > max(0.9, by_hand + 0.05)
    page.keyboard.press("m")
    assert not page.is_visible("#snap")

"""Fills as layers: hidden and shown, done again, three seeds; one file that holds it all and is replayed elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import drag, fill, mask_of, open_file, photograph, ready, said, saved, until
from PIL import Image

from retouche.apps.cli import main

READ = """async () => {
  const { document } = (await import("/work.js")).work;
  return [...document.read(document.box)].join();
}"""
FILLS = """async () => (await import("/work.js")).work.document.fills.map(
  ({ model, options, hidden }) => [model, options.seed, Boolean(hidden)],
)"""


def shown(page: Any) -> np.ndarray:
    return np.array(page.evaluate(READ).split(","), np.uint8).reshape(192, 256, 4)[..., :3]


def row(page: Any, number: int) -> Any:
    return page.locator("#layers > div", has=page.locator("b", has_text=f"{number}  "))


def pressed(page: Any, number: int, text: str) -> None:
    row(page, number).locator("button", has_text=text).click()


def test_fills_are_layers_and_one_file_replays_them(
    server: str, look: Callable[..., Any], picture: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = ready(look(server, bypass_csp=True))
    open_file(page, picture)
    start = shown(page)
    page.keyboard.press("m")
    drag(page, (22, 22), (100, 58))
    fill(page)
    first = shown(page)
    drag(page, (80, 40), (140, 90))  # over a part of the first
    fill(page)
    both = shown(page)
    page.click("#fillsdetails summary")
    row(page, 1).locator(".eye").click()
    without = shown(page)
    assert np.array_equal(without[40:90, 80:140], both[40:90, 80:140])  # also where both fills agree
    assert not np.array_equal(without, both)
    without[39:91, 79:141] = start[39:91, 79:141]
    assert np.array_equal(without, start)
    row(page, 2).locator(".eye").click()
    assert np.array_equal(shown(page), start)
    page.evaluate("async () => (await import('/kept.js')).flush()")
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    ready(page)
    assert np.array_equal(shown(page), start) and [hidden for *_, hidden in page.evaluate(FILLS)] == [True, True]
    page.click("#fillsdetails summary")
    row(page, 1).locator(".eye").click()
    assert np.array_equal(shown(page), first)
    row(page, 2).locator(".eye").click()
    assert np.array_equal(shown(page), both)

    # once more with another model; then three seeds, of which the second is taken
    row(page, 1).locator("select").select_option("mean")
    pressed(page, 1, "Again")
    until(lambda: len(page.evaluate(FILLS)) == 3)
    assert page.evaluate(FILLS)[2][:2] == ["mean", 0] and not mask_of(page).any()
    pressed(page, 2, "3 seeds")
    page.locator("#results [role=option]").nth(2).wait_for()
    assert "seed 1" in page.locator("#results").inner_text() and "seed 3" in page.locator("#results").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(lambda: len(page.evaluate(FILLS)) == 4)
    assert page.evaluate(FILLS)[3][:2] == ["harmonic", 2]
    assert axe.Axe().run(page).response["violations"] == []
    row(page, 3).locator(".eye").click()  # is not in what is saved

    result = np.array(Image.open(saved(page, tmp_path / "page.png")).convert("RGB"))
    assert np.array_equal(result, shown(page))
    with page.expect_download() as waiting:
        page.click("#savewhole")
    edit = tmp_path / "photo.retouche.json"
    waiting.value.save_as(edit)
    again = tmp_path / "again.png"
    assert main(["replay", str(edit), "--output", str(again), "--device", "cpu"]) == 0
    with Image.open(again) as image:
        assert np.array_equal(np.array(image.convert("RGB")), result)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)  # the picture's own metadata

    # dropped on an empty page, it brings its picture along
    other = page.context.new_page()
    other.goto(page.base)
    ready(other)
    other.set_input_files("#file", edit)
    said(other, "4 fills done again")
    assert np.array_equal(shown(other), result)

    # a picture that it was not made for is refused, and said to be so
    wrong = tmp_path / "wrong.png"
    photograph(5).save(wrong)
    capfd.readouterr()
    assert main(["replay", str(edit), "--image", str(wrong), "--output", str(tmp_path / "no.png")]) == 2
    assert "another picture" in capfd.readouterr().err and not (tmp_path / "no.png").exists()
    content = json.loads(edit.read_text())
    del content["source"]["data"]
    edit.write_text(json.dumps(content))
    assert main(["replay", str(edit), "--output", str(tmp_path / "no.png")]) == 2
    assert "--image" in capfd.readouterr().err

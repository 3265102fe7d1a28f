"""Work survives: reloads, pages that die, fills under way; settings are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from editor_page import drag, fill, mask_of, open_file, photograph, ready, said, until

STATE = """async () => {
  const { work } = await import("/work.js"), { document } = work;
  const hash = async (bytes) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].slice(0, 8).join();
  return {
    name: document.source.name,
    pixels: await hash(document.read(document.box)),
    mask: await hash(document.layers.mask.read(document.box)),
    done: document.done.map(({ label }) => label),
    undone: document.undone.map(({ label }) => label),
    fills: document.fills.map(({ model, box, report }) => [model, box, report.seconds]),
    unsaved: document.unsaved,
    seed: work.settings.seed,
    dilate: work.settings.dilate,
    model: work.settings.model,
  };
}"""


def kept(page: Any) -> None:
    page.evaluate("async () => (await import('/kept.js')).flush()")


def test_work_survives_a_reload_and_a_page_that_dies(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (22, 22), (58, 58))
    fill(page)
    drag(page, (100, 40), (140, 80))
    fill(page)
    drag(page, (150, 120), (180, 150))
    fill(page)
    page.keyboard.press("Control+z")  # a fill and the box before it can come again
    page.keyboard.press("Control+z")
    drag(page, (200, 20), (240, 60))
    page.keyboard.press("Control+z")
    drag(page, (10, 100), (50, 140))  # not filled
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    page.fill("#dilate", "5")
    page.fill("#seed", "7")
    page.locator("#seed").press("Enter")
    page.locator("#model").select_option("mean")
    before = page.evaluate(STATE)
    assert len(before["fills"]) == 2 and before["unsaved"] and before["model"] == "mean"
    kept(page)

    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    ready(page)
    assert page.evaluate(STATE) == before
    assert page.locator("#history button canvas").count() == 3
    for _ in before["done"]:
        page.keyboard.press("Control+z")
    assert not mask_of(page).any() and page.evaluate(STATE)["fills"] == []
    for _ in before["done"]:
        page.keyboard.press("Control+Shift+z")
    assert page.evaluate(STATE) == before

    # another page is not offered what this one has open, but is once it has died
    other = page.context.new_page()
    other.goto(page.base)
    ready(other)
    assert not other.is_visible("#continue")
    kept(page)
    page.close()
    other.reload()
    ready(other)
    assert other.inner_text("#continue") == "Go on with photo.png"
    other.click("#continue")
    said(other, "as you left it")
    assert other.evaluate(STATE) == before
    fill(other)  # and it goes on from there
    assert other.evaluate(STATE)["fills"][:2] == before["fills"]


def test_a_fill_under_way_gives_its_hole_back(
    server: str, look: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    page = ready(look(server, face="simple"))
    open_file(page, picture)
    page.route("**/api/v1/inpaint", lambda one: None)  # never answers
    drag(page, (100, 90), (140, 92))
    until(lambda: page.evaluate("async () => (await import('/work.js')).work.document.pending.size") == 1)
    kept(page)
    page.unroute("**/api/v1/inpaint")
    page.reload()
    ready(page)
    hole = mask_of(page)
    assert hole[91, 100:140].all()
    page.click("#fill")
    until(lambda: len(page.evaluate(STATE)["fills"]) == 1)

    # a picture opened since, on which nothing was done, is no reason to go back to the one before
    other = tmp_path / "other.png"
    photograph(3).save(other)
    for _ in range(2):  # asked once
        page.set_input_files("#file", other)
    page.locator("#name b", has_text="other.png").wait_for()
    page.reload()
    ready(page)
    assert page.is_visible("#continue") and page.is_visible("#choose")

"""A full queue, an expired token, a folder's mask, a sidecar of another picture: nothing that was done is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from editor_page import SIZE, drag, fill, mask_of, open_file, photograph, ready, said, saved


def test_a_full_queue_is_asked_again_when_it_says(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, expected="429"))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (90, 60), (130, 100))
    asked: list[float] = []

    def route(one: Any) -> None:
        asked.append(time.monotonic())
        if len(asked) < 3:
            one.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": "the queue is full"})
        else:
            one.continue_()

    page.route("**/api/v1/inpaint", route)
    page.keyboard.press("Enter")
    page.locator("#progress", has_text="Waiting").wait_for()
    page.locator('#history[data-fills="1"]').wait_for(state="attached")
    assert len(asked) == 3 and all(late - soon > 0.95 for soon, late in pairwise(asked))

    # cancelled while it waits, it is not asked again, and the hole is back
    drag(page, (20, 20), (40, 40))
    hole = mask_of(page)
    del asked[:]
    page.keyboard.press("Enter")
    page.locator("#progress", has_text="Waiting").wait_for()
    assert len(asked) == 1
    page.keyboard.press("Escape")
    page.wait_for_selector("#cancel", state="hidden")
    page.wait_for_timeout(1300)
    assert len(asked) == 1 and np.array_equal(mask_of(page), hole)


def test_an_expired_token_is_asked_for_in_its_place(
    serve: Callable[..., Any], look: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    with serve("--model", "harmonic", RETOUCHE_TOKEN="a-word-hard-to-guess") as address:
        page = look(address, expected="401")
        page.fill("input[name=token]", "a-word-hard-to-guess")
        page.keyboard.press("Enter")
        ready(page)
        open_file(page, picture)
        page.keyboard.press("m")
        drag(page, (90, 60), (130, 100))
        page.context.clear_cookies()
        page.keyboard.press("Enter")
        page.wait_for_selector("#token[open]")
        page.fill("#tokenword", "a guess")
        page.keyboard.press("Enter")
        page.locator("#tokenmessage", has_text="not the token").wait_for()
        page.fill("#tokenword", "a-word-hard-to-guess")
        page.keyboard.press("Enter")
        page.locator('#history[data-fills="1"]').wait_for(state="attached")
        assert not page.is_visible("#token") and page.input_value("#tokenword") == ""

        # left for later, the hole goes back into the mask; saving asks again and goes on
        drag(page, (20, 20), (40, 40))
        hole = mask_of(page)
        page.context.clear_cookies()
        page.keyboard.press("Enter")
        page.wait_for_selector("#token[open]")
        page.keyboard.press("Escape")
        page.locator("#message.error", has_text="token").wait_for()
        assert np.array_equal(mask_of(page), hole)
        with page.expect_download() as waiting:
            page.keyboard.press("Control+s")
            page.wait_for_selector("#token[open]")
            page.fill("#tokenword", "a-word-hard-to-guess")
            page.keyboard.press("Enter")
        waiting.value.save_as(tmp_path / "result.png")
        assert (tmp_path / "result.png").stat().st_size > 0


def test_a_folder_keeps_the_mask_where_one_said_so(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    root = tmp_path / "folder"
    root.mkdir()
    for number, size in enumerate([SIZE, SIZE, (100, 120), SIZE]):
        photograph(number, size).save(root / f"{number}.png")
    page = ready(look(server))
    page.set_input_files("#folder", root)
    page.locator("#place", has_text="1 of 4").wait_for()
    page.locator("#overlay").focus()
    page.keyboard.press("m")
    drag(page, (30, 30), (70, 60))
    hole = mask_of(page)

    def go(place: str) -> np.ndarray:
        page.locator("#overlay").focus()
        page.keyboard.press("ArrowRight")
        page.locator("#place", has_text=place).wait_for()
        return mask_of(page)

    assert not go("2 of 4").any()  # nobody said so
    page.check("#keepmask")
    page.locator("#overlay").focus()
    drag(page, (30, 30), (70, 60))
    assert not go("3 of 4").any()  # of another size
    said(page, "waits for the next picture of that size")
    assert np.array_equal(go("4 of 4"), hole)
    fill(page)
    assert np.array_equal(mask_of(page), hole)
    saved(page, tmp_path / "3.png")
    assert np.array_equal(go("1 of 4"), hole)
    page.keyboard.press("Control+d")
    assert not go("2 of 4").any()  # cleared is cleared


def test_a_sidecar_of_another_picture_asks(
    server: str, look: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (30, 30), (70, 60))
    fill(page)
    with page.expect_download() as waiting:
        page.click("#savesidecar")
    sidecar = tmp_path / "photo.retouche.json"
    waiting.value.save_as(sidecar)
    assert json.loads(sidecar.read_text())["source"]["sha256"]
    saved(page, tmp_path / "one.png")
    photograph(3).save(tmp_path / "other.png")
    page.set_input_files("#file", tmp_path / "other.png")
    page.locator("#name", has_text="other.png").wait_for()
    page.set_input_files("#file", sidecar)
    page.locator("#message.error", has_text="another picture (photo.png)").wait_for()
    assert not mask_of(page).any() and page.get_attribute("#history", "data-fills") == "0"
    page.set_input_files("#file", sidecar)
    said(page, "1 fills done again")
    saved(page, tmp_path / "two.png")
    open_file(page, picture)  # on its own picture it asks nothing
    page.set_input_files("#file", sidecar)
    said(page, "1 fills done again")

"""Holes on their way to a fill: strokes, undo and further fills go on beside them, and nothing meets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import SIZE, at, drag, fill, mask_of, open_file, photograph, ready, until
from PIL import Image
from test_waiting import Held

import retouche
from retouche import metrics

MASK = "async () => (await import('/work.js')).work.document.layers.mask.measure().count"
FILLS = "async () => (await import('/work.js')).work.document.fills.map(({ box }) => Object.values(box))"


def fills(page: Any, count: int) -> list[list[int]]:
    page.locator(f'#history[data-fills="{count}"]').wait_for(state="attached")
    return page.evaluate(FILLS)


def begun(page: Any, *points: tuple[float, float]) -> None:
    """A stroke that is not lifted yet."""
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=4)


def test_a_fill_that_ends_under_a_stroke_leaves_it_alone(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (90, 30), (130, 60))
    held = Held(page)
    page.keyboard.press("Enter")
    page.wait_for_selector("#cancel:not([hidden])")
    page.keyboard.press("b")
    begun(page, (60, 120), (120, 120))
    held.go()
    fills(page, 1)
    page.mouse.move(*at(page, 200, 120), steps=4)
    page.mouse.up()
    mask = mask_of(page)
    assert mask[120, 60:200].all() and not mask[30:60, 90:130].any()
    page.keyboard.press("Control+z")  # the whole stroke is one step, and the fill another
    assert not mask_of(page).any() and page.get_attribute("#history", "data-fills") == "1"
    page.keyboard.press("Control+z")
    assert page.get_attribute("#history", "data-fills") == "0" and mask_of(page)[45, 110]


@pytest.mark.parametrize("key", ["Control+d", "Control+i", "+", "Control+Shift+z", "Shift+R"])
def test_a_command_in_the_middle_of_a_stroke(server: str, look: Callable[..., Any], picture: Path, key: str) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (90, 30), (130, 60))
    page.keyboard.press("b")
    begun(page, (60, 120), (120, 120))
    page.keyboard.press(key)
    page.mouse.move(*at(page, 200, 120), steps=4)
    page.mouse.up()
    mask = mask_of(page)
    assert mask[120, 60:200].all()
    assert mask[0, 0] == (key == "Control+i")
    assert mask[45, 110] == (key in {"+", "Control+Shift+z"})
    if key == "Shift+R":  # it filled what was painted before, not half a stroke
        (box,) = fills(page, 1)
        assert box == pytest.approx([90, 30, 130, 60], abs=1)


def test_every_quick_stroke_is_filled_once(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.check("#onrelease")
    page.locator("#overlay").focus()
    page.keyboard.press("m")
    boxes = [(20, 20, 40, 40), (100, 100, 130, 120), (180, 40, 200, 80), (60, 150, 90, 170)]
    held = Held(page)
    for left, top, right, bottom in boxes[:3]:
        drag(page, (left, top), (right, bottom))
        assert page.evaluate(MASK) == 0  # on its way: what is painted next is another hole
    held.let_through = 9
    held.go()
    drag(page, boxes[3][:2], boxes[3][2:])
    made = fills(page, 4)
    assert [box for box in made] == [pytest.approx(box, abs=1) for box in boxes]
    assert page.evaluate(MASK) == 0
    for left in (3, 2, 1, 0):  # one undo for each
        page.keyboard.press("Control+z")
        fills(page, left)
        assert page.evaluate(MASK) == 0
    assert page.locator("#undo").is_disabled()


def test_undo_cancels_what_is_on_its_way(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (90, 30), (130, 60))
    hole = mask_of(page)
    held = Held(page)
    page.keyboard.press("Enter")
    page.wait_for_selector("#cancel:not([hidden])")
    page.keyboard.press("Control+z")
    page.wait_for_selector("#cancel", state="hidden")
    held.go()
    page.wait_for_timeout(500)
    assert page.get_attribute("#history", "data-fills") == "0" and np.array_equal(mask_of(page), hole)
    page.keyboard.press("Control+z")
    assert not mask_of(page).any()


def test_each_hole_has_its_own_cancel(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    held = Held(page)
    page.keyboard.press("m")
    for box in (((30, 40), (60, 70)), ((150, 120), (180, 150))):
        drag(page, *box)
        page.keyboard.press("Enter")
    page.locator(".badge").nth(1).wait_for()
    x, y = at(page, 60, 40)
    one = page.locator(".badge").first.bounding_box()
    assert abs(one["x"] - x) < 40 and abs(one["y"] + one["height"] - y) < 40
    page.locator(".badge").first.click()
    page.wait_for_function("document.querySelectorAll('.badge').length === 1")
    mask = mask_of(page)
    assert mask[55, 45] and not mask[135, 165] and page.is_visible("#cancel")
    held.let_through = 9
    held.go()
    (filled,) = fills(page, 1)
    assert filled == pytest.approx([150, 120, 180, 150], abs=1)


# What is seen and heard after a fill ----------------------------------------------------------------------------------

READS = "willReadFrequently"  # what the browser advises a page that reads its canvas, as these tests do
SHOWN = """() => {
  const canvas = document.getElementById("overlay"), { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  return data.filter((value, at) => at % 4 === 3 && value).length;
}"""


@pytest.mark.parametrize("keeps", [False, True])
def test_after_a_fill_nothing_hides_it(server: str, look: Callable[..., Any], picture: Path, keeps: bool) -> None:
    page = ready(look(server, expected=READS))
    open_file(page, picture)
    if keeps:
        page.check("#keepmask")
        page.locator("#overlay").focus()
    page.keyboard.press("m")
    drag(page, (90, 60), (130, 100))
    hole = mask_of(page)
    page.wait_for_timeout(200)
    veil = page.evaluate(SHOWN)
    fill(page)
    page.mouse.move(*at(page, 2, 2))
    page.wait_for_timeout(100)
    assert 0 < page.evaluate(SHOWN) < veil / 2  # an outline
    page.wait_for_timeout(1000)
    assert page.evaluate(SHOWN) == 0
    assert np.array_equal(mask_of(page), hole) if keeps else not mask_of(page).any()
    told = page.inner_text("#told")
    assert (
        told.startswith(f"Filled {100 * hole.mean():.1f} % of the picture with harmonic in ")
        and page.get_attribute("#told", "role") == "status"
    )
    if keeps:  # it is there again for whoever works on it
        page.keyboard.press("+")
        page.wait_for_timeout(200)
        assert page.evaluate(SHOWN) > veil / 2


def test_the_original_has_no_outline(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, expected=READS))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (90, 60), (130, 100))
    page.keyboard.press("d")
    page.locator("#divider").focus()
    page.keyboard.press("End")
    page.wait_for_timeout(200)
    assert page.evaluate(SHOWN) == 0
    page.keyboard.press("Home")
    page.wait_for_timeout(200)
    assert page.evaluate(SHOWN) > 0


def test_the_seam_is_the_report_s(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.select_option("#model", "mean")
    page.locator("#overlay").focus()
    page.keyboard.press("b")
    drag(page, (90, 60), (130, 100), (150, 60))
    page.fill("#dilate", "3")
    page.locator("#overlay").focus()
    fill(page)
    seam, inside, rgb = page.evaluate(
        """async () => {
          const { work } = await import("/work.js"), { dilate } = await import("/raster.js"), { document } = work;
          const { hole, seam } = document.fills[0], { box, width, height } = document;
          const rgba = document.read(box);
          return [seam, [...dilate(hole.layer.read(box), width, height, 3)], [...rgba]];
        }"""
    )
    hole = np.array(inside, np.uint8).reshape(192, 256) > 0
    filled = np.array(rgb, np.uint8).reshape(192, 256, 4)[..., :3]
    assert seam == pytest.approx(metrics.seam_score(filled, hole), rel=1e-9) and seam > 1
    assert f"seam {seam:.1f} levels" in page.inner_text("#chip")


# What is drawn --------------------------------------------------------------------------------------------------------


def test_only_what_changed_is_drawn_again_and_panning_moves_it(
    server: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    photograph(size=(1500, 2000)).save(path)
    page = ready(look(server, expected=READS))
    open_file(page, path)
    page.evaluate("async () => (await import('/work.js')).set({ size: 60 })")
    page.keyboard.press("Control+1")
    made = "async () => (await import('/work.js')).work.view.film.made"
    # the veil and its rim as they are, and as they are when all is made again
    twice = """async () => {
      const { work } = await import("/work.js"), { film } = work.view;
      const read = () => [film.veil, film.rim].map((layer) =>
        layer.getContext("2d").getImageData(0, 0, layer.width, layer.height).data.join());
      film.growth();
      const kept = read();
      film.forget();
      film.paint();
      film.growth();
      const again = read();
      return [kept[0].length > 0, kept[0] === again[0], kept[1] === again[1]];
    }"""
    page.keyboard.press("b")
    drag(page, (900, 700), (1000, 760))
    page.wait_for_timeout(200)
    before = page.evaluate(made)
    drag(page, (1050, 700), (1070, 720))
    page.wait_for_timeout(200)
    assert page.evaluate(made) - before < 60_000  # of half a million on the stage
    before = page.evaluate(made)
    for dx, dy in ((0, 60), (40, 0), (-25, 35), (3, -70)):
        page.mouse.wheel(dx, dy)
        page.wait_for_timeout(60)
    assert page.evaluate(made) - before < 300_000
    page.wait_for_timeout(200)
    assert page.evaluate(twice) == [True, True, True]


def test_two_fingers_scroll_and_pinch(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    state = """async () => {
      const { view } = (await import("/work.js")).work;
      return [view.zoom / view.ratio, ...Object.values(view.toStage(0, 0))];
    }"""
    page.mouse.move(*at(page, 128, 96))
    zoom, left, top = page.evaluate(state)
    page.mouse.wheel(30, -20)
    page.wait_for_timeout(100)
    assert page.evaluate(state) == pytest.approx([zoom, left - 30, top + 20], abs=0.6)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -10)  # as a touchpad says that two fingers part
    page.keyboard.up("Control")
    page.wait_for_timeout(100)
    assert page.evaluate(state)[0] == pytest.approx(zoom * 2**0.1, rel=0.01)


def test_the_request_leaves_before_the_picture_is_drawn_again(
    server: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "large.png"
    photograph(size=(1500, 2000)).save(path)
    page = ready(look(server))
    open_file(page, path)
    page.check("#onrelease")
    page.locator("#overlay").focus()
    # the rim of growth, the dearest thing on the film, is made for a hole that stays in the mask alone
    page.evaluate(
        """async () => {
          const { film } = (await import("/work.js")).work.view, growth = film.growth, ask = window.fetch;
          window.order = [];
          film.growth = () => { order.push("rim"); growth.call(film); };
          window.fetch = (path, ...more) => {
            if (String(path).includes("inpaint")) order.push("request");
            return ask(path, ...more);
          };
        }"""
    )
    page.keyboard.press("b")
    drag(page, (900, 700), (1000, 760))
    fills(page, 1)
    assert page.evaluate("order")[0] == "request"


# A quick fill first ---------------------------------------------------------------------------------------------------


def test_a_quick_fill_is_shown_until_the_real_one_is_there(
    server: str, look: Callable[..., Any], picture: Path
) -> None:
    page = ready(look(server, expected=READS))
    open_file(page, picture)
    page.select_option("#model", "exemplar")
    page.locator("#overlay").focus()
    asked: list[Any] = []
    page.route("**/api/v1/inpaint", lambda one: asked.append(one))  # nobody answers: the preview is the page's own
    page.keyboard.press("m")
    drag(page, (14, 14), (66, 66))  # the yellow square and a little around it
    page.keyboard.press("Enter")
    colour = """async () => {
      const { work } = await import("/work.js"), { view } = work, at = view.toStage(40, 40);
      const pixel = view.paper.getImageData(Math.round(at.x), Math.round(at.y), 1, 1).data;
      return pixel[2];
    }"""
    previews = "async () => (await import('/work.js')).work.view.previews.size"
    until(lambda: page.evaluate(previews) == 1)
    page.wait_for_timeout(150)
    assert page.evaluate(colour) > 45 and page.get_attribute("#history", "data-fills") == "0"
    assert len(asked) == 1
    box, inside, rgba = page.evaluate(
        """async () => {
          const [[{ box, inside, rgba }]] = (await import("/work.js")).work.view.previews.values();
          return [box, [...inside], [...rgba]];
        }"""
    )
    part = np.s_[box["top"] : box["bottom"], box["left"] : box["right"]]
    grown = np.zeros(SIZE, bool)
    grown[part] = np.reshape(inside, grown[part].shape) > 0
    shown = np.reshape(rgba, (*grown[part].shape, 4))[..., :3]
    source = np.asarray(Image.open(picture))
    wanted = np.asarray(retouche.load("harmonic")(source, grown, dilate=0, feather=0))[part]
    assert np.abs(shown - wanted.astype(int))[grown[part]].mean() < 2
    assert (shown[~grown[part]] == source[part][~grown[part]]).all()
    page.keyboard.press("Control+z")  # taken back, it is gone from the picture
    until(lambda: page.evaluate(previews) == 0)
    page.wait_for_timeout(150)
    assert page.evaluate(colour) < 45
    page.unroute("**/api/v1/inpaint")
    assert fill(page)["report"]["model"] == "exemplar"

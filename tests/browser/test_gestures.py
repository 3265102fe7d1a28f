"""Fingers, pens and keys in a real browser: each does what the list of keys and the documentation say."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import SIZE, at, candidates, drag, fill, mask_of, open_file, photograph, ready, said, saved
from PIL import Image


class Fingers:
    """Fingers on the glass, as the browser's own input gets them: places of the page by the finger's number."""

    def __init__(self, page: Any) -> None:
        self.session = page.context.new_cdp_session(page)
        self.down: dict[int, tuple[float, float]] = {}

    def _send(self, kind: str) -> None:
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in self.down.items()]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def put(self, finger: int, place: tuple[float, float]) -> None:
        self.down[finger] = place
        self._send("touchStart")

    def move(self, places: dict[int, tuple[float, float]], steps: int = 5) -> None:
        start = dict(self.down)
        for step in range(1, steps + 1):
            for finger, (x, y) in places.items():
                x0, y0 = start[finger]
                self.down[finger] = (x0 + (x - x0) * step / steps, y0 + (y - y0) * step / steps)
            self._send("touchMove")

    def lift(self, finger: int) -> None:
        del self.down[finger]
        self._send("touchEnd")


def setting(page: Any, name: str) -> Any:
    return page.evaluate("async (name) => (await import('/work.js')).work.settings[name]", name)


def set_size(page: Any, pixels: int) -> None:
    page.evaluate("async (size) => (await import('/work.js')).set({ size })", pixels)


def zoom_of(page: Any) -> float:
    """Screen pixels for one of the picture's."""
    return page.evaluate(
        "async () => { const { view } = (await import('/work.js')).work; return view.zoom / view.ratio; }"
    )


def under(page: Any, x: float, y: float) -> tuple[float, float]:
    """The picture's point at a place of the page."""
    found = page.evaluate(
        """async ([x, y]) => {
          const { view } = (await import("/work.js")).work, rect = view.stage.getBoundingClientRect();
          const at = view.toPicture(x - rect.left, y - rect.top);
          return [at.x, at.y];
        }""",
        [x, y],
    )
    return found[0], found[1]


def disc(x: float, y: float, diameter: float) -> np.ndarray:
    """(H, W) bool: pixels whose centres are inside."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return (columns - x) ** 2 + (rows - y) ** 2 <= (diameter / 2) ** 2


def test_one_finger_paints_and_two_pan_and_zoom(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, viewport={"width": 412, "height": 800}, has_touch=True, is_mobile=True))
    open_file(page, picture)
    fingers = Fingers(page)
    size = setting(page, "size")
    assert size == pytest.approx(28 / zoom_of(page), abs=1)  # as wide as a thumb, whatever the picture's size

    fingers.put(0, at(page, 60, 90))
    fingers.move({0: at(page, 180, 90)})
    fingers.lift(0)
    painted = mask_of(page)
    assert painted[90, 55:185].all() and not painted[90 + size, 120]

    # the fingers part to twice their distance and move on: what was under them stays under them
    one, two = at(page, 100, 60), at(page, 140, 100)
    middle = ((one[0] + two[0]) / 2, (one[1] + two[1]) / 2)
    before, scale = under(page, *middle), zoom_of(page)
    fingers.put(0, one)
    fingers.move({0: (one[0] + 3, one[1])}, steps=1)  # has begun to paint when the second finger comes
    fingers.move({0: one}, steps=1)
    fingers.put(1, two)
    apart = {
        0: (middle[0] - (two[0] - one[0]) + 30, middle[1] - (two[1] - one[1]) - 20),
        1: (middle[0] + (two[0] - one[0]) + 30, middle[1] + (two[1] - one[1]) - 20),
    }
    fingers.move(apart)
    assert zoom_of(page) == pytest.approx(2 * scale, rel=0.02)
    assert under(page, middle[0] + 30, middle[1] - 20) == pytest.approx(before, abs=1.5)
    assert np.array_equal(mask_of(page), painted)

    # two fingers side by side only pan
    scale = zoom_of(page)
    places = dict(fingers.down)
    before = under(page, *places[0])
    fingers.move({finger: (x - 40, y + 25) for finger, (x, y) in places.items()})
    assert zoom_of(page) == pytest.approx(scale, rel=0.01)
    assert under(page, places[0][0] - 40, places[0][1] + 25) == pytest.approx(before, abs=1.5)

    # the finger that is left does not paint; the next one alone does
    fingers.lift(1)
    fingers.move({0: (fingers.down[0][0] + 60, fingers.down[0][1])})
    fingers.lift(0)
    assert np.array_equal(mask_of(page), painted)
    page.tap("#tool-eraser")
    x, y = at(page, 120, 90)
    fingers.put(0, (x, y))
    fingers.move({0: (x + 4, y)})
    fingers.lift(0)
    erased = mask_of(page)
    assert not erased[90, 120] and not (erased & ~painted).any()


def test_a_pen_presses_and_a_palm_does_nothing(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, has_touch=True))
    open_file(page, picture)
    set_size(page, 40)
    session = page.context.new_cdp_session(page)

    def pen(kind: str, x: float, y: float, force: float) -> None:
        place = dict(zip("xy", at(page, x, y), strict=True))
        more = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen", "force": force}
        session.send("Input.dispatchMouseEvent", {"type": kind, **place, **more})

    for force, x in ((0.1, 40), (0.5, 120), (1, 200)):
        pen("mousePressed", x, 60, force)
        pen("mouseReleased", x, 60, 0)
    mask = mask_of(page)
    widths = [int(mask[60, left:right].sum()) for left, right in ((0, 80), (80, 160), (160, 240))]
    assert widths == pytest.approx([40 * (0.25 + 0.75 * force) for force in (0.1, 0.5, 1)], abs=1)

    # a stroke that is pressed harder and harder becomes wider, and a hand laid down beside it changes nothing
    page.keyboard.press("Control+d")
    palm = Fingers(page)
    pen("mousePressed", 40, 100, 0.1)
    palm.put(0, at(page, 120, 160))
    for step in range(1, 11):
        pen("mouseMoved", 40 + 16 * step, 100, 0.1 + 0.09 * step)
    palm.move({0: at(page, 160, 160)})
    palm.lift(0)
    pen("mouseReleased", 200, 100, 0)
    mask = mask_of(page)
    columns = mask[:, 42:198].sum(axis=0)
    assert (np.diff(columns.astype(int)) >= -1).all() and columns[0] < 18 and columns[-1] > 34
    assert not mask[150:].any()
    page.keyboard.press("Control+z")
    assert not mask_of(page).any()  # it was one gesture
    drag(page, (40, 60), (60, 60))
    assert mask_of(page)[60, 20:80].sum() == pytest.approx(60, abs=2)  # a mouse does not press


def test_copy_and_paste(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    page = ready(look(server))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=server)
    source = photograph(2)
    source.save(tmp_path / "photo.png")
    open_file(page, tmp_path / "photo.png")
    page.keyboard.press("m")
    drag(page, (22, 22), (58, 58))
    fill(page)
    page.keyboard.press("Control+c")
    said(page, "Copied the picture")
    kinds, text = page.evaluate(
        """async () => {
          const [item] = await navigator.clipboard.read();
          const bytes = new Uint8Array(await (await item.getType("image/png")).arrayBuffer());
          return [item.types, btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))];
        }"""
    )
    assert "image/png" in kinds
    copied = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
    with Image.open(saved(page, tmp_path / "saved.png")) as image:
        assert np.array_equal(copied, np.asarray(image)) and not np.array_equal(copied, np.asarray(source))

    page.keyboard.press("Control+v")
    page.locator("#name b", has_text="image.png").wait_for()
    assert page.get_attribute("#history", "data-fills") == "0"
    with Image.open(saved(page, tmp_path / "pasted.png")) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), copied)

    # text in a field is copied and pasted as text
    page.fill("#dilate", "7")
    page.locator("#dilate").select_text()
    page.keyboard.press("Control+c")
    page.locator("#feather").focus()
    page.keyboard.press("Control+v")
    assert page.input_value("#feather") == "7"


def test_shift_adds_and_alt_subtracts(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    set_size(page, 20)

    def gesture(key: str, *modifiers: str) -> np.ndarray:
        page.keyboard.press(key)
        for modifier in modifiers:
            page.keyboard.down(modifier)
        if key == "w":
            page.mouse.click(*at(page, 40, 40))
        elif key == "l":
            drag(page, (24, 24), (56, 24), (56, 56), (24, 56))
        else:
            drag(page, (28, 30), (52, 50))
        for modifier in modifiers:
            page.keyboard.up(modifier)
        return mask_of(page)

    for key in "bmlw":
        page.keyboard.press("Control+d")
        plain = gesture(key)
        assert plain[40, 40], key
        page.keyboard.press("Control+d")
        assert np.array_equal(gesture(key, "Shift"), plain), key
        assert not gesture(key, "Alt").any(), key
    page.keyboard.press("Control+d")
    assert not gesture("e").any() and gesture("e", "Shift")[40, 40] and not gesture("e").any()


def test_sizes_tools_and_zoom_by_keys(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("b")
    set_size(page, 100)
    page.keyboard.press("]")
    assert setting(page, "size") == 120 and page.inner_text("#sizevalue") == "120 px"
    page.keyboard.press("[")
    assert setting(page, "size") == 100
    # where brackets need AltGr they come with Ctrl and Alt
    page.evaluate(
        """() => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {
          key: "[", ctrlKey: true, altKey: true, modifierAltGraph: true, bubbles: true, cancelable: true,
        }))"""
    )
    assert setting(page, "size") == 83
    for _ in range(60):
        page.keyboard.press("[")
    assert setting(page, "size") == 1
    drag(page, (100, 100), (100, 100))
    assert mask_of(page).sum() == 1
    for _ in range(60):
        page.keyboard.press("]")
    assert setting(page, "size") == 1000

    for expected in ("eraser", "brush", "eraser"):
        page.keyboard.press("x")
        assert page.get_attribute(f"#tool-{expected}", "aria-pressed") == "true"

    page.keyboard.press("Control+1")
    assert zoom_of(page) == 1 and page.inner_text("#zoom") == "100 %"
    page.mouse.move(*at(page, 128, 96))
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function("document.getElementById('zoom').textContent !== '100 %'")
    assert zoom_of(page) > 1.2 and under(page, *at(page, 128, 96)) == pytest.approx((128, 96), abs=0.1)
    page.keyboard.press("Control+0")
    left, top = at(page, 0, 0)
    right, bottom = at(page, SIZE[1], SIZE[0])
    stage = page.locator("#stage").bounding_box()
    assert left - stage["x"] == pytest.approx(stage["x"] + stage["width"] - right, abs=1)
    assert stage["y"] + stage["height"] - bottom == pytest.approx(48, abs=1)  # the chip has its place below
    assert min(left - stage["x"], top - stage["y"]) == pytest.approx(24, abs=1)
    page.keyboard.down("Space")
    drag(page, (100, 100), (110, 105))
    page.keyboard.up("Space")
    assert at(page, 0, 0) == pytest.approx((left + 10 * zoom_of(page), top + 5 * zoom_of(page)), abs=1)

    before = mask_of(page)
    page.keyboard.press("Control+i")
    assert np.array_equal(mask_of(page), ~before)
    page.keyboard.press("Control+d")
    assert not mask_of(page).any()
    page.keyboard.press("?")
    dialog = page.locator("#keys[open]")
    dialog.wait_for()
    words = dialog.inner_text().lower()
    for key in ("smaller, larger", "adds", "subtracts", "invert", "open a folder", "paste a picture", "100 %"):
        assert key in words
    page.keyboard.press("Control+i")  # nothing behind the list is meant
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert not mask_of(page).any() and page.get_attribute("#tool-eraser", "aria-pressed") == "true"


def test_escape_takes_back_what_is_nearest(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    for key in "bml":  # strokes under way
        page.keyboard.press(key)
        page.mouse.move(*at(page, 60, 60))
        page.mouse.down()
        page.mouse.move(*at(page, 100, 100), steps=4)
        page.keyboard.press("Escape")
        page.mouse.move(*at(page, 140, 60), steps=4)
        page.mouse.up()
        assert not mask_of(page).any(), key
        assert page.get_attribute("#ink path", "d") == "", key
    assert page.locator("#undo").is_disabled()

    page.keyboard.press("m")
    drag(page, (30, 30), (70, 64))
    hole = mask_of(page)
    page.click("#several summary")
    candidates(page, "harmonic", "mean")
    page.click("#try")
    page.wait_for_selector("#results [aria-selected=true]")
    page.keyboard.press("Escape")  # none of the results
    assert page.locator("#results").is_hidden() and page.get_attribute("#history", "data-fills") == "0"
    assert np.array_equal(mask_of(page), hole)

    page.route("**/api/v1/inpaint", lambda route: None)
    page.keyboard.press("Enter")
    page.wait_for_selector("#cancel:not([hidden])")
    page.mouse.move(*at(page, 150, 60))
    page.mouse.down()
    page.mouse.move(*at(page, 200, 100), steps=3)
    page.keyboard.press("Escape")  # the stroke; the fill goes on
    page.mouse.up()
    assert page.locator("#cancel").is_visible() and not mask_of(page).any()  # the hole is on its way
    page.keyboard.press("Escape")
    page.wait_for_selector("#cancel", state="hidden")
    assert np.array_equal(mask_of(page), hole)
    page.unroute("**/api/v1/inpaint")

    page.keyboard.press("d")
    page.locator("#divider").focus()
    page.keyboard.press("Escape")
    assert page.locator("#divider").is_hidden()


def test_a_hundred_steps_back_within_bounded_memory(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    photograph(1, (900, 1200)).save(tmp_path / "wide.png")
    page = ready(look(server, viewport={"width": 480, "height": 400}))
    open_file(page, tmp_path / "wide.png")
    set_size(page, 30)
    page.keyboard.press("b")
    look_at = """async () => {
      const { document } = (await import("/work.js")).work, { mask } = document.layers;
      const bytes = document.done.reduce((sum, step) => sum + step.bytes, 0);
      return [mask.measure().count, document.done.length, bytes];
    }"""
    (left, top), scale = at(page, 0, 0), zoom_of(page)
    states = []
    for step in range(108):
        x, y = left + scale * (40 + (step % 12) * 100), top + scale * (60 + (step // 12) * 95)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 10, y + 6)
        page.mouse.up()
        states.append(page.evaluate(look_at))
    counts = [count for count, _, _ in states]
    assert counts == sorted(set(counts)) and states[-1][1] == 100
    # a short stroke costs the tiles it touches, before and after, not the picture's million bytes
    assert max(kept for _, _, kept in states) <= 100 * 2 * 4 * 256 * 256
    page.keyboard.down("Control")
    for step in range(100):
        page.keyboard.press("z")
        if step % 25 == 24:
            assert page.evaluate(look_at)[0] == counts[-2 - step]
    page.keyboard.press("z")
    said(page, "Nothing to undo")
    assert page.evaluate(look_at)[:2] == [counts[7], 0]
    for _ in range(100):
        page.keyboard.press("y")
    page.keyboard.up("Control")
    assert page.evaluate(look_at) == states[-1]

    # fills of the whole picture are larger than what is kept: the oldest steps go, the newest stays
    kept, steps = page.evaluate(
        """async () => {
          const { work } = await import("/work.js"), { document } = work;
          const { box } = document, size = box.right * box.bottom;
          const inside = new Uint8Array(size).fill(255);
          for (let turn = 0; turn < 30; turn++) {
            const rgba = new Uint8ClampedArray(size * 4).fill(turn);
            const report = { seconds: 0, crops: [] }, options = { dilate: 0 };
            document.apply([{ box, inside, rgba }], { model: "mean", report, options, box, seam: null });
          }
          const bytes = document.done.reduce((sum, step) => sum + step.bytes, 0);
          const steps = document.done.length;
          while (document.undo());
          return [bytes, steps];
        }"""
    )
    assert kept <= 256 << 20 and 10 <= steps < 30


def test_leaving_unsaved_work_asks_once(server: str, look: Callable[..., Any], picture: Path, tmp_path: Path) -> None:
    page = ready(look(server))
    other = tmp_path / "other.png"
    photograph(7).save(other)
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (22, 22), (58, 58))
    fill(page)
    page.set_input_files("#file", other)
    page.locator("#message.error", has_text="unsaved fills").wait_for()
    assert "photo.png" in page.inner_text("#name") and "edited" in page.inner_text("#name")
    drag(page, (100, 100), (130, 130))  # it goes on: what comes after is asked about again
    fill(page)
    page.set_input_files("#file", other)
    page.locator("#message.error", has_text="unsaved fills").wait_for()
    assert "photo.png" in page.inner_text("#name")
    page.set_input_files("#file", other)
    page.locator("#name b", has_text="other.png").wait_for()

    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    def named(name: str) -> Path:  # a reload shows the picture before, so that its name alone proves nothing
        return Path(shutil.copy(picture, tmp_path / f"{name}.png"))

    page.on("dialog", answer)
    page.reload()  # nothing done: nothing asked
    ready(page)
    open_file(page, named("second"))
    drag(page, (22, 22), (58, 58))
    fill(page)
    saved(page, tmp_path / "one.png")
    page.evaluate("async () => (await import('/kept.js')).flush()")
    page.reload()  # saved
    ready(page)
    assert asked == []
    open_file(page, named("third"))
    drag(page, (22, 22), (58, 58))
    fill(page)
    page.keyboard.press("Control+z")
    page.evaluate("async () => (await import('/kept.js')).flush()")
    page.reload()  # taken back
    ready(page)
    assert asked == []
    open_file(page, named("fourth"))
    drag(page, (22, 22), (58, 58))
    fill(page)
    page.reload()
    ready(page)
    assert asked == ["beforeunload"]


def test_a_browser_that_alters_what_pages_read_is_told_of(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = look(server)
    page.add_init_script(
        """const read = OffscreenCanvasRenderingContext2D.prototype.getImageData;
        OffscreenCanvasRenderingContext2D.prototype.getImageData = function (...box) {
          const image = read.apply(this, box);
          for (let at = 0; at < image.data.length; at += 400) image.data[at] ^= 1;
          return image;
        };"""
    )
    page.reload()
    ready(page)
    page.set_input_files("#file", picture)
    page.locator("#message.error", has_text="alters the pixels").wait_for()
    assert page.locator("#empty").is_visible()

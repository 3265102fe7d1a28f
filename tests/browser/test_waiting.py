"""How far a fill is, and which device does it, as the page shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from editor_page import drag, fill, open_file, photograph, ready, said, saved


class Held:
    """Keeps fills on their way to the server until they are let go; what the page hears of them is made up here."""

    def __init__(self, page: Any, let_through: int = 0) -> None:
        self.page = page
        self.let_through = let_through
        self.routes: list[Any] = []
        self.state: dict[str, Any] = {"state": "unknown", "place": None, "fraction": None, "seconds": None}
        page.route("**/api/v1/inpaint", self.hold)
        page.route("**/api/v1/jobs/*", lambda route: route.fulfill(json=self.state))

    def hold(self, route: Any) -> None:
        if self.let_through:
            self.let_through -= 1
            route.continue_()
        else:
            self.routes.append(route)

    def tell(self, state: str, place: int | None = None, fraction: float | None = None) -> None:
        self.state = {"state": state, "place": place, "fraction": fraction, "seconds": 1.0}

    def go(self) -> None:
        for route in self.routes:
            route.continue_()
        self.routes.clear()


def shows(page: Any, text: str) -> None:
    page.locator("#progress", has_text=text).wait_for()


def painted(page: Any, path: Path) -> Any:
    open_file(page, path)
    page.keyboard.press("m")
    drag(page, (90, 60), (130, 100))
    return page


def fits(page: Any) -> bool:
    """Whether everything in the bars is inside the page."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#bar > *, #status > *, #progress")].every((each) => {
          const { left, right, width } = each.getBoundingClientRect();
          return !width || (left >= -0.5 && right <= innerWidth + 0.5);
        }) && document.documentElement.scrollWidth <= innerWidth"""
    )


def test_a_real_fill_tells_how_far_it_is(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    photograph(size=(400, 500)).save(path)
    page = ready(look(server))
    open_file(page, path)
    page.select_option("#model", "exemplar")
    page.keyboard.press("m")
    drag(page, (120, 100), (360, 300))
    page.evaluate(
        """() => {
          window.seen = [];
          const bar = document.getElementById("progress"), cancel = document.getElementById("cancel");
          const note = () => window.seen.push([bar.getAttribute("aria-valuenow"), bar.textContent, cancel.textContent]);
          new MutationObserver(note).observe(bar, { attributes: true });
        }"""
    )
    page.locator("#overlay").focus()
    fill(page)
    page.wait_for_selector("#progress", state="hidden")
    assert not page.is_visible("#cancel") and not page.is_visible("#line")
    seen = page.evaluate("window.seen")
    values = [int(value) for value, _, _ in seen if value is not None]
    assert values == sorted(values) and len({value for value in values if 0 < value < 100}) >= 2
    assert any(f"{value} %" in text and f"{value} %" in button for value, text, button in seen)


def test_waiting_then_running(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = painted(ready(look(server)), picture)
    held = Held(page)
    page.evaluate(
        """() => {
          window.said = [];
          const line = document.getElementById("message");
          new MutationObserver(() => window.said.push(line.textContent)).observe(line, { childList: true });
        }"""
    )
    bar = page.get_by_role("progressbar")
    page.keyboard.press("Enter")
    shows(page, "Filling, ")
    assert bar.get_attribute("aria-valuenow") is None  # nothing is known yet
    held.tell("waiting", place=3)
    shows(page, "Waiting, 2 more before it")
    assert "waiting" in page.inner_text("#cancel")
    held.tell("waiting", place=1)
    page.locator("#progress", has_text=re.compile(r"^Waiting, [\d.]+ s$")).wait_for()
    assert (
        bar.get_attribute("aria-valuenow") is None and bar.get_attribute("aria-valuetext") == "waiting for other fills"
    )
    held.tell("running", fraction=0.0)
    shows(page, "Filling, ")
    held.tell("running", fraction=0.425)
    shows(page, "42 %")
    assert bar.get_attribute("aria-valuenow") == "42" and bar.get_attribute("aria-valuetext") == "42 percent"
    assert (bar.get_attribute("aria-valuemin"), bar.get_attribute("aria-valuemax")) == ("0", "100")
    assert "Cancel" in page.inner_text("#cancel") and "42 %" in page.inner_text("#cancel")
    assert page.evaluate("Number(document.getElementById('line').style.getPropertyValue('--share'))") == 0.425
    held.tell("running", fraction=0.1)  # never back
    page.wait_for_timeout(900)
    assert bar.get_attribute("aria-valuenow") == "42"
    assert [text for text in page.evaluate("window.said") if text] == ["Waiting for other fills to end"]  # once
    live = page.evaluate("!!document.getElementById('progress').closest('[aria-live], [role=status], [role=alert]')")
    assert not live
    held.go()
    page.wait_for_selector("#progress", state="hidden")
    page.wait_for_selector("#chip:not([hidden])")


def test_a_lost_answer_does_not_end_the_progress(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = painted(ready(look(server, expected="Failed to load")), picture)
    held = Held(page)
    held.tell("waiting", place=12)
    losses = [lambda route: route.fulfill(body="no JSON"), lambda route: route.abort()]
    page.route("**/api/v1/jobs/*", lambda route: losses.pop()(route) if losses else route.fallback())
    page.keyboard.press("Enter")
    shows(page, "Waiting, 11 more before it")
    assert not losses
    held.go()
    page.wait_for_selector("#progress", state="hidden")


def test_only_the_hole_is_drawn_while_it_is_filled(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = painted(ready(look(server)), picture)
    held = Held(page)
    page.keyboard.press("Enter")
    shows(page, "Filling, ")
    frames = page.evaluate(
        """async () => {
          const { film, overlay, document } = (await import("/work.js")).work.view, areas = [];
          for (let last = film.composed; areas.length < 6; last = film.composed) {
            while (film.composed === last) await new Promise(requestAnimationFrame);
            areas.push((film.composed - last) / (overlay.width * overlay.height));
          }
          const { left, top, right, bottom } = [...document.pending][0].box;
          return { areas, hole: ((right - left) * (bottom - top)) / (document.width * document.height) };
        }"""
    )
    held.go()
    page.wait_for_selector("#progress", state="hidden")
    assert sorted(frames["areas"])[2] <= 1.5 * frames["hole"]  # in half of the frames nothing else has changed


def test_crops_are_one_whole(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    photograph(size=(1400, 2200)).save(path)
    page = ready(look(server))
    open_file(page, path)
    page.keyboard.press("m")
    drag(page, (100, 100), (160, 150))
    drag(page, (1700, 900), (2100, 1300))
    areas = page.evaluate(
        """async () => {
          const { work } = await import("/work.js");
          return work.document.crops(work.document.defaultDilation, "near")
            .map(({ left, top, right, bottom }) => (right - left) * (bottom - top));
        }"""
    )
    assert len(areas) == 2
    held = Held(page, let_through=1)
    held.tell("running", fraction=0.5)
    page.keyboard.press("Enter")
    first = int(100 * areas[0] / sum(areas))
    part = int(100 * (areas[0] + areas[1] / 2) / sum(areas))
    assert 0 < first < part < 99
    shows(page, f"{part} %")
    held.go()
    page.wait_for_selector("#chip:not([hidden])")


def test_several_models_are_one_whole(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = painted(ready(look(server)), picture)
    held = Held(page, let_through=1)
    held.tell("running", fraction=0.5)
    page.evaluate(
        "import('/choice.js').then((choice) => { choice.several([{ model: 'mean' }, { model: 'harmonic' }]); })"
    )
    shows(page, "75 %")
    held.go()
    page.wait_for_selector("#results:not([hidden])")
    assert page.locator("#results [role=option]").count() == 2
    page.wait_for_selector("#progress", state="hidden")


def test_two_fills_at_once_and_cancelling(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = painted(ready(look(server)), picture)
    held = Held(page)
    held.tell("running", fraction=0.3)
    page.keyboard.press("Enter")
    shows(page, "30 %")
    drag(page, (180, 130), (200, 150))
    page.keyboard.press("Enter")
    shows(page, "(and 1 more)")
    page.click("#cancel")
    page.wait_for_selector("#progress", state="hidden")
    said(page, "nothing changed")
    page.wait_for_timeout(600)  # for what was under way
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(900)
    assert not [url for url in asked if "/jobs/" in url]  # nobody asks any more


@pytest.mark.parametrize("width", [1200, 760, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_room_and_accessibility_while_filling(
    server: str, look: Callable[..., Any], picture: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = painted(
        ready(look(server, viewport={"width": width, "height": 640}, color_scheme=scheme, bypass_csp=True)), picture
    )

    def findings() -> list[Any]:
        found = axe.Axe().run(page).response["violations"]
        return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]

    held = Held(page)
    page.locator("#hole", has_text="MP").wait_for(state="attached")
    assert fits(page) and findings() == []  # a hole is painted, nothing is filled
    page.keyboard.press("Enter")
    for state in (("waiting", 12, None), ("running", None, 0.87)):
        held.tell(*state)
        shows(page, "11 more" if state[0] == "waiting" else "87 %")
        assert fits(page) and findings() == []
    assert page.is_visible("#progress") and page.is_visible("#line")
    page.keyboard.press("Escape")
    page.wait_for_selector("#progress", state="hidden")


# Devices ------------------------------------------------------------------------------------------------------------


def test_one_device_is_shown_and_not_asked_for(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = painted(ready(look(server)), picture)
    assert page.inner_text("#device") == "CPU"
    assert page.locator("select.devices:visible").count() == 0
    page.evaluate("import('/work.js').then(({ set }) => set({ device: 'cuda:3' }))")  # kept from another server
    assert "--device" not in page.inner_text("#command")
    assert fill(page)["options"]["device"] is None


def test_a_device_is_chosen_remembered_and_told(
    serve: Callable[..., Any], look: Callable[..., Any], server: str, picture: Path, tmp_path: Path
) -> None:
    with serve("--model", "harmonic", "--device", "cpu", "cpu:1") as address:
        page = painted(ready(look(address)), picture)
        choice = page.get_by_label("Device").first
        assert choice.locator("option").all_inner_texts() == ["Any device", "CPU", "cpu:1"]
        assert choice.input_value() == "" and "--device" not in page.inner_text("#command")
        choice.select_option("cpu:1")
        assert page.inner_text("#command").endswith("--device cpu:1")
        page.locator("#overlay").focus()
        done = fill(page)
        assert done["report"]["worker"] == "cpu:1" and done["options"]["device"] == "cpu:1"
        with page.expect_download() as waiting:
            page.click("#savesidecar")
        waiting.value.save_as(tmp_path / "photo.retouche.json")
        assert json.loads((tmp_path / "photo.retouche.json").read_text())["fills"][0]["device"] == "cpu:1"
        result = saved(page, tmp_path / "one.png").read_bytes()

        page.reload()
        ready(page)
        assert page.get_by_label("Device").first.input_value() == "cpu:1"
        page.set_viewport_size({"width": 360, "height": 640})
        assert not page.is_visible(".device select") and fits(page)
        page.click("#more")
        page.select_option("#devicerow select", "")
        page.set_viewport_size({"width": 1200, "height": 700})
        assert page.get_by_label("Device").first.input_value() == "" and not page.is_visible("#devicerow")

    page = ready(look(server))  # which has no such device: the sidecar is done again all the same
    open_file(page, picture)
    page.set_input_files("#file", tmp_path / "photo.retouche.json")
    said(page, "1 fills done again")
    page.locator("#overlay").focus()
    assert saved(page, tmp_path / "two.png").read_bytes() == result

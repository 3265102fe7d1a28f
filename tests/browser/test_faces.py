"""The simple face and the full one, two languages, small screens and fingers; what each model is good for."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import at, drag, mask_of, open_file, photograph, ready, until
from PIL import Image

from retouche.apps.server.app import EDITOR
from retouche.methods import CLASSICAL, METHODS

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LYING = {"viewport": {"width": 844, "height": 390}, "has_touch": True, "is_mobile": True}
FINGER = 44  # pixels of the screen


def fills(page: Any) -> int:
    return int(page.get_attribute("#history", "data-fills") or 0)


def test_the_first_fill_takes_two_gestures(server: str, look: Callable[..., Any]) -> None:
    page = ready(look(server, face="simple"))
    page.click("#example")
    page.locator("#name", has_text="example.jpg").wait_for()
    drag(page, (236, 352), (288, 352), (296, 378), (262, 398))
    until(lambda: fills(page) == 1)
    assert re.match(r"Done in [\d.]+ s", page.inner_text("#chip")) and "Try again" in page.inner_text("#chip")
    for hidden in ("#tools", "#panel", "#model", "#fill", "#cancel"):
        assert not page.is_visible(hidden), hidden
    drag(page, (564, 30), (692, 40))
    until(lambda: fills(page) == 2)
    page.click("#again")  # the same hole with another seed, as a step of its own
    until(lambda: fills(page) == 3)
    seeds = page.evaluate(
        """async () => (await import("/work.js")).work.document.fills.map(({ options, box }) => [options.seed, box])"""
    )
    assert [seed for seed, _ in seeds] == [0, 0, 1] and seeds[1][1] == seeds[2][1]
    for left in (2, 1, 0):  # one undo for each stroke
        page.keyboard.press("Control+z")
        until(functools.partial(lambda expected: fills(page) == expected, left))
        assert not mask_of(page).any()


def test_the_whole_simple_path_by_keys(server: str, look: Callable[..., Any]) -> None:
    page = ready(look(server, face="simple"))
    page.locator("#example").focus()
    page.keyboard.press("Enter")
    page.locator("#name", has_text="example.jpg").wait_for()
    for key in ("k", " ", "Shift+ArrowRight", "Shift+ArrowRight", " "):
        page.keyboard.press(key)
    until(lambda: fills(page) == 1)
    page.keyboard.press("Control+z")
    until(lambda: fills(page) == 0)
    page.keyboard.press("Control+Shift+z")
    until(lambda: fills(page) == 1)
    with page.expect_download() as waiting:
        page.keyboard.press("Control+s")
    assert waiting.value.suggested_filename == "example_filled.jpg"


def test_a_file_is_opened_its_specks_found_filled_and_saved_by_keys(
    server: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "dusty.png"
    dusty = photograph()
    for x, y in ((90, 50), (150, 120), (200, 30)):
        dusty.paste((0, 0, 0), (x, y, x + 3, y + 3))
    dusty.save(path)
    page = ready(look(server, face="simple"))

    def reach(name: str, key: str = "Tab") -> None:
        """Press the key until the element has the focus."""
        for _ in range(60):
            if page.evaluate("document.activeElement.id") == name:
                return
            page.keyboard.press(key)
        raise AssertionError(f"{name} is not reached by {key}")

    page.on("filechooser", lambda chooser: chooser.set_files(path))
    reach("choose")
    page.keyboard.press("Enter")
    page.locator("#name", has_text=path.name).wait_for()
    assert page.evaluate("document.activeElement.id") == "overlay"
    reach("face", "Shift+Tab")
    page.keyboard.press("Enter")
    reach("size", "F6")
    reach("find")
    page.keyboard.press("Enter")
    page.locator("#message", has_text="Found").wait_for()
    assert mask_of(page)[51, 91]
    reach("overlay", "F6")
    page.keyboard.press("Enter")
    until(lambda: fills(page) == 1)
    with page.expect_download() as waiting:
        page.keyboard.press("Control+s")
    waiting.value.save_as(tmp_path / "clean.png")
    assert np.asarray(Image.open(tmp_path / "clean.png").convert("RGB"))[121, 151].min() > 40


def test_the_face_is_remembered(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, face="simple"))
    assert page.is_visible("#thumb") is False
    page.click("#face")
    assert page.is_visible("#tools") and page.is_visible("#panel") and page.inner_text("#face") == "Simple"
    page.reload()
    ready(page)
    assert page.is_visible("#panel")
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (30, 30), (60, 60))
    page.wait_for_timeout(300)
    assert fills(page) == 0 and page.is_visible("#fill")  # nothing runs until asked
    page.click("#face")
    assert not page.is_visible("#panel") and page.is_visible("#fill")  # the hole painted before can still be filled
    page.click("#fill")
    until(lambda: fills(page) == 1)
    assert not page.is_visible("#fill")


# Fingers and small screens --------------------------------------------------------------------------------------------

SMALL = """() => [...document.querySelectorAll("button, select, input, summary, [role=slider]")].filter((each) => {
  const { width, height } = each.getBoundingClientRect();
  const label = each.matches("[type=checkbox], [type=range]") && each.closest("label");
  const around = label ? label.getBoundingClientRect() : { width, height };
  return each.checkVisibility({ visibilityProperty: true }) && width > 0 &&
    (Math.max(height, around.height) < 43.5 || Math.max(width, around.width) < 43.5);
}).map((each) => each.id || each.outerHTML.slice(0, 80))"""
BARS = "#bar > *, #status > *, #tools > button, #thumb, #chip"
OUTSIDE = """(bars) => [...document.querySelectorAll(bars)].filter((each) => {
  const { left, right, top, bottom, width } = each.getBoundingClientRect();
  return width && each.checkVisibility({ visibilityProperty: true }) && !each.matches(".unseen, #line") &&
    (left < -0.5 || right > innerWidth + 0.5 || top < -0.5 || bottom > innerHeight + 0.5);
}).map((each) => each.id || each.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
@pytest.mark.parametrize("screen", [PHONE, LYING], ids=["upright", "lying"])
@pytest.mark.parametrize("face", ["simple", "full"])
def test_fingers_find_everything(
    server: str, look: Callable[..., Any], picture: Path, face: str, screen: dict[str, Any], language: str
) -> None:
    page = ready(look(server, face=face, locale=language, **screen))
    assert page.evaluate(SMALL) == [] and page.evaluate(OUTSIDE, BARS) == []
    open_file(page, picture)
    page.touchscreen.tap(*at(page, 128, 60))
    if face == "full":
        page.tap("#fill")
    until(lambda: fills(page) == 1)
    assert page.evaluate(SMALL) == [] and page.evaluate(OUTSIDE, BARS) == []
    if face == "full":
        page.tap("#more")
        page.wait_for_selector("#panel.open")
        assert page.evaluate(SMALL) == [] and page.evaluate(OUTSIDE, BARS) == []
        hint = page.inner_text("#toolhint")
        assert hint and not re.search("Alt|Shift", hint)
    stage = page.locator("#stage").bounding_box()
    assert stage["height"] >= 0.55 * screen["viewport"]["height"] and stage["width"] >= 0.8 * 390
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_brush_stays_as_wide_as_a_thumb(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, face="simple", **PHONE))
    open_file(page, picture)
    width = """async () => {
      const { work } = await import("/work.js"), { view } = work;
      return (work.settings.size * view.zoom) / view.ratio;
    }"""
    before = page.evaluate(width)
    session = page.context.new_cdp_session(page)
    x, y = at(page, 128, 96)

    def fingers(kind: str, *gaps: float) -> None:
        points = [{"x": x + gap, "y": y, "id": number} for number, gap in enumerate(gaps)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", -20)
    fingers("touchStart", -20, 20)
    for gap in range(25, 61, 5):
        fingers("touchMove", -gap, gap)
    fingers("touchEnd", -60)
    fingers("touchEnd")
    zoom = page.evaluate("async () => (await import('/work.js')).work.view.zoom")
    assert zoom > 0 and page.evaluate(width) == pytest.approx(before, rel=0.06)
    assert not mask_of(page).any() and fills(page) == 0
    page.locator("#thumbsize").fill("80")  # and the slider on the picture sets another width
    assert page.evaluate("async () => (await import('/work.js')).work.settings.size") == 251


# Languages ------------------------------------------------------------------------------------------------------------


def words(language: str) -> dict[str, str]:
    """The words of one language, read as a program would."""
    text = (EDITOR / "words" / f"{language}.js").read_text(encoding="utf-8")
    body = text[text.index("export default {") :]
    found = re.findall(r'^  (?:"([^"]+)"|(\w+)): "((?:[^"\\]|\\.)*)",$', body, re.M)
    assert len(found) == len(re.findall(r"^  [^ /]", body, re.M)) > 150
    assert len({quoted or plain for quoted, plain, _ in found}) == len(found)
    return {quoted or plain: said for quoted, plain, said in found}


def strings() -> dict[str, tuple[str, str]]:
    """English and Chinese by key."""
    english, chinese = words("en"), words("zh")
    assert list(english) == list(chinese)
    return {key: (english[key], chinese[key]) for key in english}


def test_no_string_is_missing_and_none_is_idle() -> None:
    pairs = strings()
    for key, (english, chinese) in pairs.items():
        assert english.strip() and chinese.strip(), key
        held = [sorted(re.findall(r"\{\w+\}", text)) for text in (english, chinese)]
        assert held[0] == held[1], key
        assert re.search(r"[\u4e00-\u9fff]", chinese) or key == "key.full", key
        assert not re.search(r"[\u4e00-\u9fff]", english), key
    sources = {path.name: path.read_text() for path in EDITOR.rglob("*.js") if path.parent.name != "words"}
    page = (EDITOR / "index.html").read_text()
    used = set(re.findall(r'data-t(?:-\w+)?="([^"]+)"', page))
    for text in sources.values():
        for call in re.findall(r"\bt\(\s*([^()]*?(?:\([^()]*\)[^()]*?)?)[,)]", text):
            used.update(re.findall(r'"([^"]+)"', call))
    assert used and used - pairs.keys() <= {"lang"}, used - pairs.keys()
    tools = {f"tool.{path.stem}" for path in (EDITOR / "tools").glob("*.js") if path.stem != "index"}
    assert tools <= pairs.keys() and {f"{tool}.hint" for tool in tools} <= pairs.keys()
    steps = set(
        re.findall(
            r'(?:made|commit|paint|setMask)\((?:[^()"]*|[^()]*\([^()]*\)[^()"]*)"([a-z ]+)"', "".join(sources.values())
        )
    )
    steps |= {"change", "fill", "brush", "erase", "sketch", "lasso", "box", "wand", "clear", "clear sketch"}
    assert {f"did.{step}" for step in steps - {"mask"}} <= pairs.keys()
    everything = page + "".join(sources.values())
    idle = [
        key
        for key in pairs
        if f'"{key.removesuffix(".touch")}"' not in everything
        and not key.startswith(("tool.", "did.", "for.", "server.", "place."))
    ]
    assert idle == []
    places = re.findall(r'"([a-z ]+)"', re.search(r"PLACES = \[(.*?)\]", sources["carry.js"])[1])
    assert {f"place.{place}" for place in places} == {key for key in pairs if key.startswith("place.")}
    methods = {*METHODS, *CLASSICAL}
    assert {f"for.{name}" for name in methods} | {"for.file"} == {key for key in pairs if key.startswith("for.")}
    assert all(len(pairs[f"for.{name}"][0].split()) <= 6 for name in methods)


@pytest.mark.parametrize("face", ["simple", "full"])
def test_chinese_is_chinese_throughout(server: str, look: Callable[..., Any], picture: Path, face: str) -> None:
    page = ready(look(server, face=face, locale="zh-CN"))
    words = """() => {
      const models = "#model, #candidates, #layers select, #layers b";
      const own = `${models}, #name, #command, .device, .languages, h1, kbd, #toolhint, .unit`;
      const texts = [];
      const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        const { parentElement: at, data } = walk.currentNode;
        if (!at.closest(`${own}, script, style, symbol`)) texts.push(data);
      }
      for (const each of document.querySelectorAll("[aria-label], [title], [placeholder]"))
        for (const name of ["aria-label", "title", "placeholder", "aria-valuetext"])
          if (!each.closest(own)) texts.push(each.getAttribute(name) ?? "");
      return texts;
    }"""
    # names of keys and models, units, and file formats are not translated
    names = re.compile(
        r"\b(Ctrl|Shift|Alt|Tab|Enter|Esc|Escape|Space|Left|Right|Arrows|Wheel|PNG|MP|MiB|px|F6|crop|scale|whole|"
        r"harmonic|default|cpu|CPU|[A-Z])\b"
    )

    def foreign() -> list[str]:
        return [text for text in page.evaluate(words) if re.search("[A-Za-z]{2}", names.sub("", text))]

    assert page.evaluate("document.documentElement.lang") == "zh"
    assert foreign() == []
    open_file(page, picture)
    drag(page, (30, 30), (70, 60))
    if face == "full":
        page.keyboard.press("Enter")
    until(lambda: fills(page) == 1)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    if face == "full":
        page.keyboard.press("?")
    assert foreign() == []


def test_the_language_is_switched_and_kept(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, locale="fr-FR"))  # of which there is none: English
    assert page.inner_text("#choose") == "Choose a picture"
    page.locator("#empty .languages").select_option("zh")
    assert page.inner_text("#choose") == "选择图片" and page.inner_text("#toolname") == "画笔"
    assert page.evaluate("document.documentElement.lang") == "zh"
    page.reload()
    ready(page)
    assert page.inner_text("#choose") == "选择图片"
    open_file(page, picture)
    page.locator("#panel .languages").select_option("en")
    assert page.inner_text("#toolname") == "Brush" and page.get_attribute("#undo", "aria-label") == "Undo"


# Models ---------------------------------------------------------------------------------------------------------------


def test_models_are_listed_once_with_what_they_are_good_for(server: str, look: Callable[..., Any]) -> None:
    page = ready(look(server))
    names = page.locator("#model option").evaluate_all("(all) => all.map(({ value }) => value)")
    assert names.count("default") == 1 and "retouche" not in names and len(names) == len(set(names))
    assert "smooth ground" in page.inner_text("#modelhint")
    page.locator("#model").focus()
    texts = page.locator("#model option").evaluate_all("(all) => all.map(({ textContent }) => textContent)")
    assert all(re.fullmatch(r".+: \S.*", text) for text in texts)
    page.locator("#overlay").focus()
    assert page.locator("#model option").first.inner_text() == names[0]
    page.click("#several summary")
    rows = page.locator("#candidates label").all_inner_texts()
    assert len(rows) == len(names) and all(len(row.split("\n")) == 2 for row in rows)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [{}, PHONE, LYING], ids=["wide", "upright", "lying"])
def test_the_simple_face_is_accessible(
    server: str, look: Callable[..., Any], picture: Path, scheme: str, screen: dict[str, Any]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = ready(look(server, face="simple", color_scheme=scheme, bypass_csp=True, **screen))

    def findings() -> list[str]:
        return [each["id"] for each in axe.Axe().run(page).response["violations"]]

    assert findings() == []
    open_file(page, picture)
    drag(page, (30, 30), (70, 60))
    until(lambda: fills(page) == 1)
    assert findings() == []
    page.evaluate("import('/api.js').then(({ door }) => { door.unlock(); })")
    page.wait_for_selector("#token[open]")
    assert findings() == []

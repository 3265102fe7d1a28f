"""The editor in a real browser, against a real server: from opening a picture to the checked file."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import SIZE, at, candidates, drag, fill, mask_of, open_file, photograph, pixels, ready, said, saved
from PIL import Image

import retouche
from retouche.apps.cli import main

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"


def test_from_opening_to_the_checked_file(server: str, look: Callable[..., Any], picture: Path, tmp_path: Path) -> None:
    page = ready(look(server))
    assert page.locator("#fill").is_disabled() and page.locator("#tool-pen").is_hidden()
    open_file(page, picture)
    page.keyboard.press("b")
    drag(page, (100, 60), (160, 60))
    one = mask_of(page)
    drag(page, (100, 120), (160, 130))
    two = mask_of(page)
    assert one[60, 130] and not one[125, 130] and two[60, 130] and two[125, 130]
    page.keyboard.press("e")
    drag(page, (130, 40), (130, 80))
    erased = mask_of(page)
    assert not erased[60, 130] and erased[60, 104] and erased[60, 158]
    page.keyboard.press("l")
    drag(page, (180, 20), (230, 20), (230, 60), (180, 60))
    lasso = mask_of(page)
    assert lasso[40, 205] and (lasso & ~erased).sum() == pytest.approx(50 * 40, rel=0.1)
    page.keyboard.press("w")
    page.mouse.click(*at(page, 40, 40))
    wand = mask_of(page)
    assert (wand & ~lasso)[20:60, 20:60].all() and (wand & ~lasso).sum() == 1600

    # undo is per gesture, and all of it comes back
    for expected in (lasso, erased, two, one):
        page.keyboard.press("Control+z")
        assert np.array_equal(mask_of(page), expected)
    for expected in (two, erased, lasso, wand):
        page.keyboard.press("Control+Shift+z")
        assert np.array_equal(mask_of(page), expected)
    page.keyboard.press("Control+i")
    assert np.array_equal(mask_of(page), ~wand)
    page.keyboard.press("Control+d")
    assert not mask_of(page).any()

    # a mask by file; the fill; the original under Tab; a second fill on the result
    mask = np.zeros(SIZE, np.uint8)
    mask[22:58, 22:58] = 255
    Image.fromarray(mask).save(tmp_path / "photo_mask.png")
    page.set_input_files("#file", tmp_path / "photo_mask.png")
    said(page, "the mask now")
    assert np.array_equal(mask_of(page), mask > 0)
    with page.expect_download() as waiting:
        page.click("#savemask")
    waiting.value.save_as(tmp_path / "again.png")
    with Image.open(tmp_path / "again.png") as again:
        assert again.mode == "L" and np.array_equal(np.asarray(again), mask)
    page.fill("#dilate", "4")
    page.keyboard.press("Enter")
    done = fill(page)
    assert done["report"]["model"] == "harmonic" and done["options"]["dilate"] == 4
    assert "seam" in page.inner_text("#chip") and not mask_of(page).any()
    page.wait_for_timeout(250)
    changed = pixels(page, 40, 40)
    page.keyboard.down("Tab")
    page.wait_for_timeout(100)
    assert np.allclose(pixels(page, 40, 40), (250, 250, 20), atol=12)
    page.keyboard.up("Tab")
    page.wait_for_timeout(100)
    assert np.allclose(pixels(page, 40, 40), changed, atol=12) and not np.allclose(changed, (250, 250, 20), atol=40)
    page.keyboard.press("d")  # the divider: the original on the left of it
    page.locator("#divider").focus()
    page.keyboard.press("End")
    page.wait_for_timeout(100)
    assert np.allclose(pixels(page, 40, 40), (250, 250, 20), atol=12)
    page.keyboard.press("Escape")
    page.locator("#overlay").focus()
    page.keyboard.press("m")
    drag(page, (40, 30), (90, 70))
    second = mask_of(page)
    assert second.sum() == pytest.approx(50 * 40, rel=0.1)
    fill(page)

    path = saved(page, tmp_path / "filled.png")
    union = Image.fromarray(((mask > 0) | second).astype(np.uint8) * 255)
    union.save(tmp_path / "union.png")
    assert main(["check", str(picture), str(path), str(tmp_path / "union.png"), "--dilate", "4"]) == 0
    with Image.open(path) as result, Image.open(picture) as source:
        assert result.info["dpi"] == pytest.approx(source.info["dpi"])
        same = (np.asarray(result) == np.asarray(source)).all(-1)
        assert not same[25:55, 25:55].any() and not same[35:65, 65:85].all()
        once = retouche.load("harmonic")(source, mask, dilate=4)  # what travelled was the very picture
        first = np.asarray(once)[24:28, 24:36]
        assert np.array_equal(np.asarray(result)[24:28, 24:36], first)


def test_drop_and_paste(server: str, look: Callable[..., Any], picture: Path, tmp_path: Path) -> None:
    page = ready(look(server, expected="422"))

    def hand(kind: str, *paths: Path) -> None:
        """Drop or paste files."""
        page.evaluate(
            """([kind, files]) => {
              const data = new DataTransfer();
              for (const [name, type, text] of files) {
                const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
                data.items.add(new File([bytes], name, { type }));
              }
              const more = kind === "drop" ? { dataTransfer: data } : { clipboardData: data };
              const Kind = kind === "drop" ? DragEvent : ClipboardEvent;
              window.dispatchEvent(new Kind(kind, { bubbles: true, cancelable: true, ...more }));
            }""",
            [kind, [(path.name, "image/png", base64.b64encode(path.read_bytes()).decode()) for path in paths]],
        )

    mask = np.zeros(SIZE, np.uint8)
    mask[50:90, 100:140] = 255
    Image.fromarray(mask).save(tmp_path / "photo_mask.png")
    hand("drop", tmp_path / "photo_mask.png", picture)  # the picture is opened first whatever the order
    said(page, "the mask now")
    assert np.array_equal(mask_of(page), mask > 0)
    photograph(5, (90, 120)).save(tmp_path / "other.png")
    hand("paste", tmp_path / "other.png")
    page.locator("#name", has_text="other.png").wait_for()
    assert "120 × 90" in page.inner_text("#name") and not mask_of(page).any()
    hand("drop", tmp_path / "photo_mask.png")
    page.locator("#message.error", has_text="give one of the same size").wait_for()
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:200])
    with page.expect_response("**/api/v1/view") as answer:
        hand("drop", tmp_path / "broken.png")
    assert answer.value.status == 422
    page.locator("#message.error", has_text="truncated").or_(page.locator("#message.error", has_text="read")).wait_for()
    assert "other.png" in page.inner_text("#name")


def test_several_models_history_and_sidecar(
    server: str, look: Callable[..., Any], picture: Path, tmp_path: Path
) -> None:
    page = ready(look(server))
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (30, 30), (70, 64))
    page.click("#several summary")
    candidates(page, "harmonic", "mean")
    page.click("#try")
    page.wait_for_selector("#results [aria-selected=true]")
    assert page.locator("#results [role=option]").count() == 2
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#history [aria-current=true][title='1: mean']")
    page.locator("#overlay").focus()
    drag(page, (150, 100), (190, 140))
    fill(page, "Shift+R")
    assert page.locator("#history button").count() == 3
    before = saved(page, tmp_path / "one.png").read_bytes()
    with page.expect_download() as waiting:
        page.click("#savesidecar")
    waiting.value.save_as(tmp_path / "photo.retouche.json")
    sidecar = json.loads((tmp_path / "photo.retouche.json").read_text())
    assert [each["model"] for each in sidecar["fills"]] == ["mean", "mean"]
    assert all(each["model_hash"] for each in sidecar["fills"])

    page.click("#history button >> nth=0")  # as it came; then again from the strip, then from the sidecar
    assert page.evaluate("async () => (await import('/work.js')).work.document.layers.pixels.tiles.size") == 0
    page.click("#history button >> nth=2")
    assert page.evaluate("async () => (await import('/work.js')).work.document.fills.length") == 2
    page.click("#history button >> nth=0")
    page.set_input_files("#file", tmp_path / "photo.retouche.json")
    said(page, "2 fills done again")
    page.locator("#overlay").focus()
    assert saved(page, tmp_path / "two.png").read_bytes() == before
    assert page.inner_text("#command").startswith("retouche run --image photo.png --mask photo_mask.png")


def test_only_the_crop_travels_and_a_fill_can_be_cancelled(
    server: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[0x010E] = "kept"
    photograph(size=(1500, 2000)).save(path, quality=90, exif=exif)
    page = ready(look(server))
    open_file(page, path)
    page.keyboard.press("m")
    drag(page, (900, 700), (960, 760))
    done = fill(page)
    sent = done["report"]["crops"][0]["sent"]
    assert sent["right"] - sent["left"] < 700 and sent["bottom"] - sent["top"] < 700
    assert done["options"]["dilate"] == 8  # by the whole picture's size, not the crop's

    drag(page, (300, 300), (330, 330))
    page.route("**/api/v1/inpaint", lambda route: None)  # an answer that does not come
    page.keyboard.press("Enter")
    page.wait_for_selector("#cancel:not([hidden])")
    drag(page, (600, 300), (640, 330))  # the rest stays usable
    page.keyboard.press("Escape")
    page.wait_for_selector("#cancel", state="hidden")
    assert "nothing changed" in page.inner_text("#message").lower()
    assert mask_of(page).sum() > 2000
    page.unroute("**/api/v1/inpaint")
    result = saved(page, tmp_path / "filled.jpg")
    with Image.open(result) as image, Image.open(path) as source:
        assert image.format == "JPEG" and image.getexif()[0x010E] == "kept"
        assert image.quantization == source.quantization
    mask = np.zeros((1500, 2000), np.uint8)
    mask[699:762, 899:962] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert main(["check", str(path), str(result), str(tmp_path / "mask.png"), "--lossy"]) == 0


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("folders")
    (root / "in" / "more").mkdir(parents=True)
    photograph(1).save(root / "in" / "a.png")
    photograph(2).save(root / "in" / "b.tif")
    photograph(3).save(root / "in" / "more" / "c d.jpg")
    return root / "in", root / "out"


def test_the_token_page_and_the_folder_walk(
    serve: Callable[..., Any], look: Callable[..., Any], folders: tuple[Path, Path]
) -> None:
    given, made = folders
    words = ["--model", "harmonic", "--input", str(given), "--output", str(made)]
    with serve(*words, RETOUCHE_TOKEN="a-word-hard-to-guess") as address:
        page = look(address, expected="401")
        assert page.locator("#stage").count() == 0
        page.fill("input[name=token]", "a guess")
        page.keyboard.press("Enter")
        page.get_by_role("alert").wait_for()
        page.fill("input[name=token]", "a-word-hard-to-guess")
        page.keyboard.press("Enter")
        ready(page)
        page.locator("#name", has_text="a.png").wait_for()
        assert page.inner_text("#place") == "1 of 3"
        page.locator("#overlay").focus()
        page.keyboard.press("l")
        page.keyboard.press("ArrowRight")
        page.locator("#name", has_text="b.tif").wait_for()  # which no browser shows: the server makes a view of it
        page.keyboard.press("ArrowRight")
        page.locator("#name", has_text="c d.jpg").wait_for()
        assert page.get_attribute("#tool-lasso", "aria-pressed") == "true"
        page.keyboard.press("ArrowLeft")
        page.locator("#name", has_text="b.tif").wait_for()
        page.keyboard.press("m")
        drag(page, (22, 22), (58, 58))
        fill(page)
        page.keyboard.press("ArrowRight")  # asks once
        page.wait_for_selector("#message.error")
        assert "unsaved" in page.inner_text("#message")
        page.keyboard.press("Control+s")
        said(page, "Saved b.tif")
        with Image.open(made / "b.tif") as result:
            assert result.format == "TIFF" and result.size == SIZE[::-1]
        assert json.loads((made / "b.tif.retouche.json").read_text())["fills"][0]["model"] == "harmonic"
        mask = np.zeros(SIZE, np.uint8)
        mask[21:60, 21:60] = 255
        Image.fromarray(mask).save(made / "mask.png")
        assert main(["check", str(given / "b.tif"), str(made / "b.tif"), str(made / "mask.png")]) == 0


def test_a_screen_360_pixels_wide(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    open_file(page, picture)
    page.tap("#tool-brush")
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    x, y = at(page, 40, 40)
    fingers("touchStart", (x, y))
    fingers("touchMove", (x + 20, y + 4))
    fingers("touchEnd")
    painted = mask_of(page)
    assert painted[40, 40]
    zoom = page.inner_text("#zoom")
    fingers("touchStart", (120, 200))
    fingers("touchStart", (120, 200), (220, 300))
    fingers("touchMove", (100, 180), (250, 330))
    fingers("touchEnd")
    assert page.inner_text("#zoom") != zoom and np.array_equal(mask_of(page), painted)  # pinched, not painted
    page.tap("#more")
    page.wait_for_selector("#panel.open")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.tap("#more")
    page.tap("#fill")
    page.wait_for_selector("#chip:not([hidden])")
    for each in ("#tools button:not([hidden])", "#status button:not([hidden])", "#bar button:not([hidden])"):
        for control in page.locator(each).all():
            box = control.bounding_box()
            assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= 360.5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(server: str, look: Callable[..., Any], picture: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = ready(look(server, color_scheme=scheme, bypass_csp=True))

    def findings() -> list[str]:
        found = axe.Axe().run(page).response["violations"]
        return [
            f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in {"serious", "critical"}
        ]

    assert findings() == []
    open_file(page, picture)
    page.keyboard.press("m")
    drag(page, (30, 30), (70, 64))
    fill(page)
    page.click("#chip button")
    page.keyboard.press("Escape")
    page.click("#several summary")
    page.click("#compare")
    assert findings() == []
    page.set_viewport_size({"width": 360, "height": 640})
    assert findings() == []
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator("#overlay").focus()
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    assert findings() == []


def test_without_a_mouse(server: str, look: Callable[..., Any], picture: Path) -> None:
    page = ready(look(server))
    open_file(page, picture)
    for key in ("b", "k", " ", "Shift+ArrowRight", "Shift+ArrowRight", " "):
        page.keyboard.press(key)
    mask = mask_of(page)
    middle = (SIZE[0] // 2, SIZE[1] // 2)
    assert mask[middle] and mask[middle[0], middle[1] + 20] and not mask[middle[0], middle[1] + 60]
    fill(page)
    page.keyboard.press("F6")
    assert page.evaluate("document.activeElement.id") == "tool-brush"
    page.keyboard.press("ArrowDown")
    assert page.get_attribute("#tool-eraser", "aria-pressed") == "true"


def test_a_sketch_guides_where_the_model_takes_one(
    serve: Callable[..., Any], look: Callable[..., Any], tmp_path: Path
) -> None:
    picture = tmp_path / "photo.png"
    photograph(size=(80, 104)).save(picture)
    weights = tmp_path / "guided.safetensors"
    model = retouche.create("deepfill-v2", preset="sketch")
    for parameter in model.generator.parameters():  # a fresh network says too little for 8 bits to show
        if parameter.ndim == 4:
            parameter.data.mul_(3)
    model.save(weights)
    with serve("--model", "harmonic", "--models", str(tmp_path)) as address:
        page = ready(look(address))
        open_file(page, picture)
        page.select_option("#model", weights.name)
        assert page.locator("#tool-pen").is_hidden()  # what a file takes is known once it has been loaded
        page.locator("#overlay").focus()
        page.keyboard.press("m")
        drag(page, (30, 30), (70, 64))
        page.check("#keepmask")
        page.locator("#overlay").focus()
        fill(page)
        page.locator("#tool-pen").wait_for()
        page.select_option("#model", "harmonic")
        page.locator("#tool-pen").wait_for(state="hidden")
        page.select_option("#model", weights.name)
        page.locator("#overlay").focus()
        plain = saved(page, tmp_path / "plain.png").read_bytes()
        page.keyboard.press("Control+z")
        page.keyboard.press("p")
        drag(page, (32, 34), (66, 60))
        fill(page)
        assert saved(page, tmp_path / "guided.png").read_bytes() != plain


def test_the_picture_of_the_editor(server: str, look: Callable[..., Any], tmp_path: Path) -> None:
    """Makes docs/editor.png again when RETOUCHE_PICTURES is set."""
    page = ready(look(server, color_scheme="dark", viewport={"width": 1120, "height": 740}))
    page.click("#example")
    page.wait_for_selector("#empty", state="hidden")
    page.keyboard.press("Control+0")
    page.select_option("#model", "exemplar")
    page.locator("#overlay").focus()
    page.keyboard.press("m")
    drag(page, (564, 22), (692, 56))  # the date
    fill(page)
    page.keyboard.press("b")
    page.evaluate("async () => (await import('/work.js')).set({ size: 44 })")
    drag(
        page, (236, 352), (262, 344), (288, 352), (296, 378), (262, 398), (236, 390), (262, 372), (300, 408)
    )  # the ball
    page.evaluate("document.activeElement.blur()")
    page.mouse.move(*at(page, 330, 330))
    page.wait_for_timeout(300)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    assert image.size == (1120, 740) and len(image.getcolors(1 << 24) or []) > 1000
    path = (DOCS if os.environ.get("RETOUCHE_PICTURES") else tmp_path) / "editor.png"
    image.quantize(96, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
    assert path.stat().st_size < 300_000


def test_the_document_without_a_browser() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here: install it to test the editor's state without a browser")
    made = subprocess.run([node, "--test", str(HERE / "document.test.mjs")], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-4000:]

"""The editor fills by itself: an exported file on ONNX Runtime Web, without a request that carries a picture."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from editor_page import drag, fill, mask_of, open_file, photograph, ready, said, saved
from PIL import Image

from retouche.masks import dilate
from retouche.runtime import fill as fill_here

ROOT = Path(__file__).parents[2]
PACKAGE = Path(os.environ.get("ONNXRUNTIME_WEB", ROOT / "node_modules" / "onnxruntime-web"))
STATE = """async () => {
  const { document } = (await import("/work.js")).work;
  const bytes = document.read(document.box);
  let text = "";
  for (let at = 0; at < bytes.length; at += 4) text += String.fromCharCode(bytes[at], bytes[at + 1], bytes[at + 2]);
  return [document.width, document.height, btoa(text)];
}"""


@pytest.fixture(scope="module")
def network() -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    if not (PACKAGE / "dist" / "ort.wasm.min.mjs").exists():
        pytest.skip("npm's onnxruntime-web is not here: npm install onnxruntime-web, or set ONNXRUNTIME_WEB to it")
    sys.path.append(str(ROOT / "tests" / "unit"))
    from exported import exported

    return exported("pipeline")


def shown(page: Any) -> np.ndarray:
    """(H, W, 3), the picture with its fills."""
    width, height, text = page.evaluate(STATE)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 3)


def hole_of(page: Any) -> np.ndarray:
    """(H, W) bool: what the last fill was to fill, grown."""
    width, height, text, grown = page.evaluate(
        """async () => {
          const { work } = await import("/work.js"), { document } = work, { hole, options } = document.fills.at(-1);
          return [document.width, document.height,
            [...hole.layer.read(document.box)].map((value) => (value ? "1" : "0")).join(""), options.dilate];
        }"""
    )
    return dilate((np.frombuffer(text.encode(), np.uint8) == ord("1")).reshape(height, width), grown)


def lines(network: Path, folder: Path) -> Path:
    """The same file, saying that it takes a sketch, too."""
    import onnx

    model = onnx.load(network)
    next(each for each in model.metadata_props if each.key == "inputs").value += " sketch"
    onnx.save(model, folder / "lines.onnx")
    return folder / "lines.onnx"


def without_inpaint(page: Any) -> list[str]:
    """Paths that were asked for from now on; the server's own fill is not to be had."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/api/v1/inpaint", lambda route: route.abort())
    return asked


@pytest.mark.slow
def test_fills_without_a_request(
    serve: Callable[..., Any], look: Callable[..., Any], network: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.png"
    photograph(2, (700, 900)).save(picture)
    words = ("--model", "harmonic", "--browser-model", str(network), "--onnxruntime-web", str(PACKAGE))
    with serve(*words) as address:
        page = ready(look(address))
        asked = without_inpaint(page)
        assert page.is_enabled("#feather") and page.text_content("#device") == "CPU"
        page.select_option("#model", "browser:pipeline.onnx")
        assert page.is_disabled("#feather") and page.is_disabled("#seed")
        assert page.text_content("#device") == "In this browser"
        open_file(page, picture)
        before = shown(page)
        page.keyboard.press("m")
        drag(page, (90, 60), (130, 100))
        drag(page, (500, 400), (560, 440))
        drag(page, (560, 300), (570, 330))
        done = fill(page)
        hole = hole_of(page)
        after = shown(page)
        assert np.array_equal(after[~hole], before[~hole]) and (after[hole] != before[hole]).mean() > 0.9
        assert np.abs(after.astype(int) - fill_here(before, hole, network)).max() <= 1
        assert page.is_hidden("#again")  # the same fill would come of it
        assert done["report"]["device"] == "WebAssembly" and done["options"]["feather"] == 0
        assert not [url for url in asked if "/api/v1/inpaint" in url]

        # the same again by `retouche replay`, from the file alone
        page.locator("#commandsection summary").scroll_into_view_if_needed()
        with page.expect_download() as waiting:
            page.click("#savewhole")
        edit = tmp_path / "photo.retouche.json"
        waiting.value.save_as(edit)
        assert json.loads(edit.read_text())["fills"][0]["model"] == "browser:pipeline.onnx"
        from retouche.apps.cli import main

        command = ["replay", str(edit), "--output", str(tmp_path / "again.png")]
        assert main(command) == 2 and not (tmp_path / "again.png").exists()
        assert main([*command, "--browser-model", str(network)]) == 0
        again = np.asarray(Image.open(tmp_path / "again.png").convert("RGB"))
        assert np.array_equal(again[~hole], before[~hole]) and np.abs(again.astype(int) - after).max() <= 1

        # and by the page
        page.keyboard.press("Control+z")
        page.set_input_files("#file", edit)
        said(page, "done again")
        assert np.array_equal(shown(page), after)
        written = np.asarray(Image.open(saved(page, tmp_path / "written.png")).convert("RGB"))
        assert np.array_equal(written, after)


@pytest.mark.slow
def test_a_file_of_the_users_fills_where_the_server_is_gone(
    serve: Callable[..., Any], look: Callable[..., Any], network: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "photo.png"
    photograph(3, (600, 640)).save(picture)
    with serve("--model", "harmonic", "--onnxruntime-web", str(PACKAGE)) as address:
        page = ready(look(address, service_workers="allow", expected="ERR_CONNECTION_REFUSED"))
        page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        page.reload()  # its files now pass by the worker
        ready(page)
        page.set_input_files("#network", ROOT / "README.md")
        page.locator("#message.error", has_text="no exported model").wait_for()
        page.set_input_files("#network", lines(network, tmp_path))
        page.wait_for_selector("#tool-pen", state="visible")  # it takes a sketch
        page.set_input_files("#network", network)
        page.wait_for_selector("#tool-pen", state="hidden")
        said(page, "fills in this browser now")
        assert page.input_value("#model") == "browser:pipeline.onnx"
        open_file(page, picture)
        before = shown(page)
        page.keyboard.press("m")
        drag(page, (100, 60), (140, 100))
        fill(page)
        hole, after = hole_of(page), shown(page)
        assert np.array_equal(after[~hole], before[~hole])
        assert np.abs(after.astype(int) - fill_here(before, hole, network)).max() <= 1

        # a pass that has begun is ended, and the hole is back
        drag(page, (60, 200), (560, 560))
        mask = mask_of(page)
        page.keyboard.press("Enter")
        page.wait_for_selector("#cancel", state="visible")
        page.keyboard.press("Escape")
        page.wait_for_selector("#cancel", state="hidden")
        assert np.array_equal(mask_of(page), mask) and np.array_equal(shown(page), after)
        page.click("#clear")
        page.evaluate("async () => (await import('/kept.js')).flush()")
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    ready(page)
    page.locator("#message", has_text="fills run in this browser").wait_for()
    assert page.input_value("#model") == "browser:pipeline.onnx"
    page.locator("#name", has_text="photo.png").wait_for()
    page.keyboard.press("m")
    drag(page, (300, 300), (340, 330))
    fill(page)
    hole, again = hole_of(page), shown(page)
    assert np.array_equal(again[~hole], after[~hole])
    assert np.abs(again.astype(int) - fill_here(after, hole, network)).max() <= 1
    written = saved(page, tmp_path / "written.png")
    said(page, "without profile and metadata")
    assert np.array_equal(np.asarray(Image.open(written).convert("RGB")), again)


def test_without_the_runtime_no_model_of_the_browser_is_offered(
    server: str, look: Callable[..., Any], tmp_path: Path
) -> None:
    page = ready(look(server))
    assert page.locator("#model optgroup").count() == 0
    file = tmp_path / "some.onnx"
    file.write_bytes(b"")
    page.set_input_files("#file", file)
    page.locator("#message.error", has_text="--onnxruntime-web").wait_for()

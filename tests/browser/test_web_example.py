"""The example page fills a picture in Chromium with an exported network; nothing outside the hole changes."""

from __future__ import annotations

import base64
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retouche

ROOT = Path(__file__).parents[2]
PACKAGE = Path(os.environ.get("ONNXRUNTIME_WEB", ROOT / "node_modules" / "onnxruntime-web")) / "dist"
NEEDED = ("ort.webgpu.min.js", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
FILL = """async ([network, picture, hole, width, height]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const session = await retouche.open(bytes(network));
  const image = new ImageData(new Uint8ClampedArray(bytes(picture)), width, height);
  const made = await retouche.fill(session, image, bytes(hole));
  let text = "";
  for (const value of made.data) text += String.fromCharCode(value);
  return btoa(text);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def guess_type(self, path: Any) -> str:
        return "text/javascript" if str(path).endswith(".mjs") else super().guess_type(path)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    if not all((PACKAGE / name).exists() for name in NEEDED):
        pytest.skip("npm's onnxruntime-web is not here: npm install onnxruntime-web, or set ONNXRUNTIME_WEB to it")
    shutil.copy(ROOT / "examples" / "web" / "index.html", tmp_path)
    (tmp_path / "ort").symlink_to(PACKAGE)
    handler = functools.partial(Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opened = browser.new_page()
    opened.goto(f"http://127.0.0.1:{server.server_port}/index.html")
    yield opened
    opened.close()
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_the_exported_default_fills_in_chromium(page: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from PIL import Image

    from retouche.export.write import export

    network = tmp_path / "default.onnx"
    export(retouche.load("default"), network, "pipeline")
    picture = np.asarray(Image.open(ROOT / "docs" / "examples" / "object.jpg").convert("RGB"))[:240, :320]
    height, width = picture.shape[:2]
    hole = np.zeros((height, width), np.uint8)
    hole[80:150, 120:200] = hole[20:24, 30:250] = 1
    rgba = np.dstack([picture, np.full((height, width), 255, np.uint8)])
    words = [base64.b64encode(each).decode() for each in (network.read_bytes(), rgba.tobytes(), hole.tobytes())]
    made = np.frombuffer(base64.b64decode(page.evaluate(FILL, [*words, width, height])), np.uint8)
    made = made.reshape(height, width, 4)[..., :3]
    assert np.array_equal(made[hole == 0], picture[hole == 0])
    from retouche.runtime import fill

    here = fill(picture, hole.astype(bool), network)
    assert (made[hole == 1] != picture[hole == 1]).any()
    assert np.abs(made.astype(int) - here)[hole == 1].mean() < 2  # one window there, one each here

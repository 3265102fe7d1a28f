"""From the release of a stroke to its preview and to its fill, in a real Chromium, with what each stage costs.

    python benchmarks/editor.py [--rounds 8] [--megapixels 12] [--hole 100] [--model default] [--threads N]

A server of its own on the loopback address, a page of 1280x800 and strokes in a photograph-like picture. Prints for
each stroke milliseconds to the preview and to the fill, the page's marks between (request left, answer there), the
server's stages (header Server-Timing), and CPU seconds of the server's and the browser's processes meanwhile, which a
busy machine blurs less than the clock; then medians and the slowest. Needs Chromium (or CHROMIUM=its path) and the
Python package playwright, as the tests of the page do. The first stroke is left out: it warms things up.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STAGES = ("asked", "preview", "answered", "fill")
WATCH = """
async () => {
  const { work } = await import("/work.js");
  window.strokes = [];
  const send = window.fetch;
  window.fetch = async (path, options) => {
    const here = window.strokes.at(-1), fills = here && String(path).endsWith("/inpaint");
    const real = fills && options.body.get("job");
    if (real) here.asked ??= performance.now() - here.start;
    const response = await send(path, options);
    if (real) {
      here.answered ??= performance.now() - here.start;
      here.server = response.headers.get("Server-Timing");
    }
    return response;
  };
  const { previews } = work.view;
  previews.set = function (...given) {
    mark("preview");
    return Map.prototype.set.apply(this, given);
  };
  work.document.on(({ layer }) => layer === "pixels" && mark("fill"));
  // the frame after the one in which a change is drawn: by then it is on the screen
  const mark = (name) => {
    const here = window.strokes.at(-1);
    requestAnimationFrame(() => requestAnimationFrame(() => {
      here[name] ??= performance.now() - here.start;
      if (name === "fill") here.over();
    }));
  };
  addEventListener("pointerup", () => {
    const here = { start: performance.now() };
    window.strokes.push(here);
    window.filled = new Promise((done) => (here.over = done));
  }, true);
}
"""


def cpu(root: int) -> float:
    """CPU seconds of a process and all its descendants that still live, and of those it has waited for."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
        spent[int(entry.name)] = sum(map(int, fields[11:15]))
    family = {root}
    while more := {number for number, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(spent.get(number, 0) for number in family) / os.sysconf("SC_CLK_TCK")


def photograph(megapixels: float) -> bytes:
    """A JPEG of 4:3 with shapes at all scales and sensor noise."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(height * 4 / 3)
    generator = np.random.default_rng(0)
    total = np.zeros((height, width, 3), np.float32)
    for cells in (4, 16, 64, 256):
        rough = generator.normal(0, 90 / cells**0.35, (cells * 3 // 4 + 1, cells + 1, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(rough[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            total[..., channel] += np.asarray(layer)
    total += 128 + generator.normal(0, 3, total.shape)
    content = io.BytesIO()
    Image.fromarray(total.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=92)
    return content.getvalue()


def measure(page: Any, number: int, hole: int, numbers: tuple[int, int]) -> dict[str, Any]:
    """One stroke: its marks, and CPU seconds of server and browser from release to fill."""
    size = "async () => { const d = (await import('/work.js')).work.document; return [d.width, d.height] }"
    wide, high = page.evaluate(size)
    columns = 6
    x = wide * (0.12 + 0.76 * (number % columns) / (columns - 1))
    y = high * (0.2 + 0.2 * (number // columns % 4))
    corner = """async ([x, y]) => {
      const { view } = (await import("/work.js")).work;
      const rect = view.stage.getBoundingClientRect(), at = view.toStage(x, y);
      return [rect.left + at.x, rect.top + at.y];
    }"""
    page.mouse.move(*page.evaluate(corner, [x, y]))
    page.mouse.down()
    page.mouse.move(*page.evaluate(corner, [x + hole * 0.4, y + hole * 0.15]), steps=4)
    before = [cpu(root) for root in numbers]
    page.mouse.up()
    page.evaluate("window.filled")
    after = [cpu(root) for root in numbers]
    marks = page.evaluate("({ ...window.strokes.at(-1), over: null })")
    time.sleep(1.2)  # what is kept is written, the outline fades
    server, both = (end - start for start, end in zip(before, after, strict=True))
    return {**marks, "cpu": [server, both - server]}


def line(marks: dict[str, Any]) -> str:
    """A stroke in words."""
    stages = "  ".join(f"{stage} {marks[stage]:5.0f}" if stage in marks else f"{stage}     -" for stage in STAGES)
    server, browser = marks["cpu"]
    return f"{stages} ms   CPU: server {server:.2f}, browser {browser:.2f} s   {marks.get('server') or ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--hole", type=int, default=100, help="its longest side, pixels, before it grows")
    parser.add_argument("--model", default="default")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    from playwright.sync_api import sync_playwright

    words = [sys.executable, "-m", "retouche", "start", "--port", "0", "--device", "cpu", "--model", options.model]
    words += [] if options.threads is None else ["--threads", str(options.threads)]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found, "the server did not start"
        with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
            file = Path(folder, "photograph.jpg")
            file.write_bytes(photograph(options.megapixels))
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(found[0])
            page.wait_for_selector("html[data-ready]")
            page.set_input_files("#file", file)
            page.locator("#name", has_text=file.name).wait_for()
            page.evaluate(f"async () => (await import('/work.js')).set({{ size: {round(options.hole * 0.6)} }})")
            page.evaluate(WATCH)
            numbers = server.pid, os.getpid()
            rows = [measure(page, number, options.hole, numbers) for number in range(options.rounds + 1)]
            sent = page.evaluate("async () => (await import('/work.js')).work.document.fills.at(-1).report.sent")
            browser.close()
    finally:
        server.terminate()
        server.wait()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.model}; sent {json.dumps(sent)}")
    print(f"first    {line(rows[0])}")
    for number, row in enumerate(rows[1:], 1):
        print(f"{number:5}    {line(row)}")
    for stage in STAGES:
        took = [row[stage] for row in rows[1:] if stage in row]
        if took:
            print(f"{stage:9} median {statistics.median(took):5.0f} ms, slowest {max(took):5.0f}")
    for place, name in enumerate(("server", "browser")):
        print(f"CPU of the {name}: median {statistics.median(row['cpu'][place] for row in rows[1:]):.2f} s")


if __name__ == "__main__":
    main()

"""What a test does to the editor's page, and what it reads from it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (192, 256)  # height, width


def photograph(seed: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    """A smooth picture with a plain square in it, for the wand."""
    small = np.random.default_rng(seed).integers(60, 190, (6, 8, 3), np.uint8)
    picture = Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
    picture.paste((250, 250, 20), (20, 20, 60, 60))
    return picture


def ready(page: Any) -> Any:
    page.wait_for_selector("html[data-ready]")
    return page


def open_file(page: Any, path: Path) -> None:
    page.set_input_files("#file", path)
    page.locator("#name", has_text=path.name).wait_for()


def said(page: Any, text: str) -> None:
    page.locator("#message", has_text=text).wait_for()


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """The page's point of a picture's pixel."""
    place = page.evaluate(
        """async ([x, y]) => {
          const { work } = await import("/work.js");
          const rect = work.view.stage.getBoundingClientRect(), at = work.view.toStage(x, y);
          return [rect.left + at.x, rect.top + at.y];
        }""",
        [x, y],
    )
    return place[0], place[1]


def drag(page: Any, *points: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=4)
    page.mouse.up()


def mask_of(page: Any) -> np.ndarray:
    """(H, W) bool, True = hole."""
    width, height, values = page.evaluate(
        """async () => {
          const { work } = await import("/work.js");
          const { document } = work, bytes = document.layers.mask.read(document.box);
          return [document.width, document.height, [...bytes].map((value) => (value ? "1" : "0")).join("")];
        }"""
    )
    return (np.frombuffer(values.encode(), np.uint8) == ord("1")).reshape(height, width)


def fill(page: Any, key: str = "Enter") -> dict[str, Any]:
    """Press fill, wait for it, give what was done."""
    before = int(page.get_attribute("#history", "data-fills") or 0)
    page.keyboard.press(key)
    page.locator(f'#history[data-fills="{before + 1}"]').wait_for(state="attached", timeout=60_000)
    return page.evaluate(
        """async () => {
          const { report, options } = (await import("/work.js")).work.document.fills.at(-1);
          return { report, options };
        }"""
    )


def saved(page: Any, path: Path, key: str = "Control+s") -> Path:
    with page.expect_download() as waiting:
        page.keyboard.press(key)
    waiting.value.save_as(path)
    return path


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that will be true soon."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def candidates(page: Any, *names: str) -> None:
    """Choose the models that are tried together."""
    for box in page.locator("#candidates input").all():
        box.set_checked(box.get_attribute("value") in names)


def pixels(page: Any, x: float, y: float) -> list[int]:
    """The colour shown at a picture's pixel."""
    image = Image.open(io.BytesIO(page.screenshot()))
    column, row = at(page, x, y)
    pixel: Any = image.convert("RGB").getpixel((int(column), int(row)))
    return list(pixel)

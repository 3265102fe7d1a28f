"""A server on loopback in a process of its own, and pages of a real Chromium that look at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from editor_page import photograph

BLOCKED = "Service Worker registration blocked"  # that routes of a test see all requests
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[str]]:
    return serving


@contextmanager
def serving(*words: str, **environment: str) -> Iterator[str]:
    """`retouche start` with these words; gives its address."""
    command = [sys.executable, "-m", "retouche", "start", "--port", "0", "--device", "cpu", "--threads", "1", *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the server did not start"
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")  # a second Playwright cannot start while one runs
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium here: install it, or set CHROMIUM to its path")
    tool = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    with tool.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def look(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page that may not complain on its console, nor ask any other address."""
    contexts, complaints, asked = [], [], []

    def opened(address: str, **options: Any) -> Any:
        expected = options.pop("expected", "\0")  # what its console may say
        face = options.pop("face", "full")
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "service_workers": "block", **options}
        )
        contexts.append(context)
        # what the user chose before, unless the test is about the first visit
        kept = json.dumps(json.dumps({"face": face}))
        context.add_init_script(
            f"try {{ localStorage['retouche settings'] ??= {kept}; }} catch {{ /* a page that keeps nothing */ }}"
        )
        page = context.new_page()
        page.set_default_timeout(20_000)

        def heard(kind: str, text: str) -> None:
            if kind in {"error", "warning"} and expected not in text and BLOCKED not in text:
                complaints.append(text)

        page.on("console", lambda message: heard(message.type, message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.base = address
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "blob:", "data:"))] == []


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of one that all tests share."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: install it, or set CHROMIUM to its path")
    with serving("--model", "harmonic") as address:
        yield address


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    photograph().save(path, dpi=(300, 300))
    return path

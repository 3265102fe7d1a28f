"""A server on loopback in a process of its own, and pages of a real Chromium that look at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from editor_page import photograph, until

BLOCKED = "Service Worker registration blocked"  # that routes of a test see all requests
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


# Imports what a server needs, then forks one for each line of stdin; each tells its process and its address.
TEMPLATE = """
import json, os, signal, sys
import retouche.apps.server.running, retouche.inference.load
from retouche.apps.cli import main
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    asked = json.loads(line)
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.update(asked["environment"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(asked["told"], os.O_WRONLY), 1)
        print(os.getpid(), flush=True)
        os._exit(main(asked["words"]))
"""


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., AbstractContextManager[str]]]:
    """Starts servers: what they import is imported once."""
    if not hasattr(os, "fork"):
        pytest.skip("no fork here: servers of the browser tests are forked")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    template = subprocess.Popen(
        [sys.executable, "-c", TEMPLATE],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    yield partial(serving, template)
    assert template.stdin is not None
    template.stdin.close()
    template.wait(20)


@contextmanager
def serving(template: subprocess.Popen[str], *words: str, **environment: str) -> Iterator[str]:
    """`retouche start` with these words; gives its address."""
    command = ["start", "--port", "0", "--device", "cpu", "--threads", "1", *words]
    with tempfile.TemporaryDirectory() as folder:
        told = os.path.join(folder, "told")
        os.mkfifo(told)
        assert template.stdin is not None
        print(json.dumps({"words": command, "environment": environment, "told": told}), file=template.stdin, flush=True)
        with open(told) as lines:
            process = int(lines.readline())
            try:
                found = re.search(r"http://\S+", lines.readline())
                assert found, "the server did not start"
                yield found[0]
            finally:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
                until(lambda: not alive(process))


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


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
def server(serve: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """The address of one that all tests share."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: install it, or set CHROMIUM to its path")
    with serve("--model", "harmonic") as address:
        yield address


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    photograph().save(path, dpi=(300, 300))
    return path

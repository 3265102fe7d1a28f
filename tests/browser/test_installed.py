"""The page as a program of its own: manifest, icons, and a worker that keeps the shell alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from editor_page import drag, open_file, ready, until
from PIL import Image


def test_the_shell_opens_without_its_server(serve: Callable[..., Any], look: Callable[..., Any], picture: Path) -> None:
    with serve("--model", "harmonic") as address:
        page = ready(look(address, face="simple", service_workers="allow", expected="ERR_CONNECTION_REFUSED"))
        manifest = page.request.get(f"{address}manifest.webmanifest")
        assert manifest.headers["content-type"] == "application/manifest+json"
        for icon in manifest.json()["icons"]:
            content = page.request.get(f"{address}{icon['src']}")
            assert content.ok
            if icon["type"] == "image/png":
                assert "x".join(map(str, Image.open(io.BytesIO(content.body())).size)) == icon["sizes"]
        page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        page.reload()  # its files now pass by the worker
        ready(page)
        open_file(page, picture)
        drag(page, (100, 90), (140, 92))
        until(lambda: int(page.get_attribute("#history", "data-fills") or 0) == 1)
        page.evaluate("async () => (await import('/kept.js')).flush()")
        paths = page.evaluate(
            """async () => {
              const found = [];
              for (const name of await caches.keys())
                for (const { url } of await (await caches.open(name)).keys()) found.push(new URL(url).pathname);
              return found;
            }"""
        )
        assert {"/", "/main.js", "/style.css", "/tools/brush.js"} <= set(paths)
        assert not [path for path in paths if path.startswith("/api/") or path.endswith(".jpg")]
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()
    ready(page)  # and says why it cannot fill
    assert page.locator("#message.error", has_text="does not answer").is_visible()

"""How answers travel: HEAD beside every GET, 304 for what the client has already, text compressed."""

from __future__ import annotations

import gzip
import hashlib

from starlette.datastructures import Headers, MutableHeaders

from retouche.apps.server.safety import App, Message, Receive, Scope, Send

TEXT = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
LEAST_BYTES = 500
"""Shorter texts go as they are: compressed they would hardly be shorter."""
MOST_BYTES = 2 << 20
"""Longer ones, too: they are compressed on the event loop's thread, which all requests share."""


class Delivery:
    """Stands around the application."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=dict(scope))
        outward = _Answer(asked, send, bodiless=scope["method"] == "HEAD")
        await self.app({**scope, "method": "GET"}, receive, outward.send)


class _Answer:
    """One answer on its way out."""

    def __init__(self, asked: Headers, send: Send, bodiless: bool) -> None:
        self._asked = asked
        self._send = send
        self._bodiless = bodiless
        self._start: Message = {}
        self._kept: bytearray | None = None  # a text's body, held until it is whole

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            headers = Headers(raw=message["headers"])
            length = int(headers.get("content-length", MOST_BYTES))
            text = headers.get("content-type", "").startswith(TEXT)
            if message["status"] == 200 and text and LEAST_BYTES <= length < MOST_BYTES:
                self._kept = bytearray()
            else:
                await self._begin()
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._kept is None:
            await self._pass(body, more)
            return
        self._kept += body
        if more:
            return
        whole, self._kept = bytes(self._kept), None
        headers = MutableHeaders(raw=self._start["headers"])
        headers.setdefault("etag", f'"{hashlib.sha256(whole).hexdigest()[:32]}"')
        headers.add_vary_header("Accept-Encoding")
        if "gzip" in self._asked.get("accept-encoding", ""):
            whole = gzip.compress(whole, 6, mtime=0)
            headers["content-encoding"] = "gzip"
            headers["etag"] = f"W/{headers['etag'].removeprefix('W/')}"  # the same text, other bytes
        headers["content-length"] = str(len(whole))
        await self._begin()
        await self._pass(whole, False)

    async def _begin(self) -> None:
        headers = MutableHeaders(raw=self._start["headers"])
        if self._start["status"] == 200 and _has(self._asked.get("if-none-match", ""), headers.get("etag")):
            self._bodiless = True
            self._start = {**self._start, "status": 304}
            for name in ("content-length", "content-type", "content-encoding"):
                del headers[name]
        await self._send(self._start)

    async def _pass(self, body: bytes, more: bool) -> None:
        if not self._bodiless:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})
        elif not more:
            await self._send({"type": "http.response.body", "body": b""})


def _has(listed: str, etag: str | None) -> bool:
    """Whether an If-None-Match names this version; how it was compressed does not matter."""
    if etag is None:
        return False
    known = {each.strip().removeprefix("W/") for each in listed.split(",")}
    return "*" in known or etag.removeprefix("W/") in known

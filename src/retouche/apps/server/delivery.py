"""How answers travel: HEAD beside every GET, 304 for what the client has already."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers, MutableHeaders

from retouche.apps.server.safety import App, Message, Receive, Scope, Send

TEXT = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
MOST_BYTES = 2 << 20
"""Longer texts get no version of their own: they would be held until they are whole."""


class Heads:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif not message.get("more_body", False):
                await send({"type": "http.response.body", "body": b""})

        await self.app({**scope, "method": "GET"}, receive, bodiless)


class Versions:
    """Answers 304 where the client has this version already; a text without one gets its hash as one."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            send = _Answer(Headers(scope=dict(scope)).get("if-none-match", ""), send).send
        await self.app(scope, receive, send)


class _Answer:
    """One answer on its way out; a text that names no version is held until it is whole."""

    def __init__(self, known: str, send: Send) -> None:
        self._known = known
        self._send = send
        self._start: Message = {}
        self._held: bytearray | None = None
        self._unchanged = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            headers = Headers(raw=message["headers"])
            length = int(headers.get("content-length", MOST_BYTES))
            text = headers.get("content-type", "").startswith(TEXT)
            if message["status"] == 200 and text and "etag" not in headers and length < MOST_BYTES:
                self._held = bytearray()
            else:
                await self._begin()
            return
        more = message.get("more_body", False)
        if self._held is not None:
            self._held += message.get("body", b"")
            if more:
                return
            MutableHeaders(raw=self._start["headers"])["etag"] = f'W/"{hashlib.sha256(self._held).hexdigest()[:32]}"'
            await self._begin()
            message = {**message, "body": bytes(self._held)}
        if not self._unchanged:
            await self._send(message)
        elif not more:
            await self._send({"type": "http.response.body", "body": b""})

    async def _begin(self) -> None:
        headers = MutableHeaders(raw=self._start["headers"])
        if self._start["status"] == 200 and _has(self._known, headers.get("etag")):
            self._unchanged = True
            self._start = {**self._start, "status": 304}
            for name in ("content-length", "content-type"):
                del headers[name]
        await self._send(self._start)


def _has(listed: str, etag: str | None) -> bool:
    """Whether an If-None-Match names this version; how it was compressed does not matter."""
    if etag is None:
        return False
    known = {each.strip().removeprefix("W/") for each in listed.split(",")}
    return "*" in known or etag.removeprefix("W/") in known

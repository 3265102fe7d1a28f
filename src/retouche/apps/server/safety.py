"""Who may talk to the server, from which page, and how much: the guard before every request.

The order: the Host header (a foreign name that resolves to this machine: DNS rebinding), the Origin (another site's
page), the token, the size. What it refuses never reaches the application.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import socket
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from retouche.apps.server import pages

OUR_LOG = "retouche.server"
log = logging.getLogger(OUR_LOG)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "retouche_token"
OPEN_PATHS = frozenset({"/health", "/token", pages.STYLE_PATH})
"""What needs no token: they reveal nothing."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "font-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer the token form would be sent with the Origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
EXPOSED = (
    "X-Seed, X-Retouche-Strategy, X-Retouche-Seconds, X-Retouche-Report, X-Retouche-Box, Server-Timing, Retry-After, "
    "Content-Disposition"
)
INTERNAL = "internal error ({}): see the server's log"
SMALL_BYTES = 64 << 10
"""The largest body where no picture is sent: a token, a model's name."""
HELD_BODIES = 4
"""So many of the largest bodies may be held at a time, whoever sent them: on their way, or waiting in the queue."""
HELD_SECONDS = 5
IDLE_SECONDS = 20.0
"""For which nothing of a body may come."""
PACE_SECONDS, PACE_BYTES = 20.0, 2048
"""After so long, a body must have come at so many bytes a second on average."""
DRAIN_BYTES = 16 << 20
DRAIN_SECONDS = 5.0
DRAIN_IDLE_SECONDS = 0.5
WRONG_TOKEN_SECONDS = 0.5
CLIENT_LEFT = 499  # nobody reads it; the log shows it


class Refused(Exception):
    """An answer other than what was asked for: status, one line of why, further headers."""

    def __init__(self, status: int, why: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers or {}


@dataclass(frozen=True)
class Access:
    """Who may come in.

    Attributes:
        host: that the server listens on; of the names in the Host header it admits this one, the loopback's, and
            those of `origins`, behind whose proxy it may be
        token: that everybody must show; None = nobody
        origins: pages elsewhere that may call the API, "https://example.org"
    """

    host: str = "127.0.0.1"
    token: str | None = None
    origins: tuple[str, ...] = ()

    def admits_host(self, header: str | None) -> bool:
        """Whether a Host header names this server."""
        name = _host_name(header)
        if name is None:
            return False
        if name in {"localhost", "127.0.0.1", "::1", self.host.lower().strip("[]")}:
            return True
        if name in {urlsplit(origin).hostname for origin in self.origins}:
            return True
        if self.host not in {"0.0.0.0", "::"}:
            return False
        # on all addresses: any address (a foreign page cannot rebind without a name), and the machine's own names
        own = socket.gethostname().lower()
        return _is_address(name) or name in {own, own.partition(".")[0], f"{own}.local"}

    def admits_origin(self, origin: str | None, fetch_site: str | None, host: str) -> bool:
        """Whether what a page sends may change anything: from this server's own pages, listed ones, or no page."""
        if origin is None:
            return fetch_site in {None, "same-origin", "none"}
        if origin in self.origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()

    def knows(self, headers: dict[str, str]) -> bool:
        """Whether the request shows the token, in its header or in the cookie that the page's form sets."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip().encode("latin-1")):
            return True
        for cookie in headers.get("cookie", "").split(";"):  # other programs' cookies may be of any form
            name, _, value = cookie.strip().partition("=")
            if name == COOKIE and hmac.compare_digest(_digest(value.encode()), _digest(self.cookie.encode())):
                return True
        return False

    def is_token(self, given: bytes) -> bool:
        """Whether this is the token, in a time that does not reveal how much of it is right."""
        return self.token is not None and hmac.compare_digest(_digest(given), _digest(self.token.encode()))

    @property
    def cookie(self) -> str:
        """What the cookie holds: derived from the token, which cannot be read off it."""
        return hmac.new((self.token or "").encode(), b"retouche cookie", hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether nobody beyond this machine reaches this host."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _host_name(header: str | None) -> str | None:
    """The name in a Host header, without port and brackets; None where it is no host."""
    if not header or any(sign in header for sign in "/@?#\\, \t"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
        return parts.hostname
    except ValueError:
        return None


class Guard:
    """Stands before the application: refuses, limits, adds the headers of safety, logs one line per request."""

    def __init__(
        self,
        app: App,
        access: Access,
        max_bytes: int,
        body_seconds: float,
        large: frozenset[str],
        headers: dict[str, str],
    ) -> None:
        """Guard an application.

        Args:
            access: who may come in
            max_bytes: of the body of a request to one of the paths in `large`; elsewhere `SMALL_BYTES`
            body_seconds: that a body may take to arrive
            headers: of safety, that every answer has
        """
        self.app = app
        self.access = access
        self.max_bytes = max_bytes
        self.body_seconds = body_seconds
        self.large = large
        self.headers = headers
        self.held = 0  # bytes of bodies, of all exchanges in hand

    def limit(self, path: str) -> int:
        """The largest body for a path."""
        return self.max_bytes if path in self.large else min(SMALL_BYTES, self.max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        await _Exchange(self, scope, receive, send).serve()


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard = guard
        self.access = guard.access
        self.scope = scope
        self._receive = receive
        self._send = send
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.started = time.perf_counter()
        self.status: int | None = None
        self.bytes_in = self.bytes_out = 0
        self.limit = guard.limit(scope["path"])
        self.body_ended = not {"content-length", "transfer-encoding"} & self.headers.keys()
        scope["retouche.log"] = {}

    async def serve(self) -> None:
        try:
            if (preflight := self._preflight()) is not None:
                await self._answer(204, b"", preflight)
                return
            await self._check()
            await self.guard.app(self.scope, self.receive, self.send)
        except Refused as refused:
            await self._refuse(refused)
        except Exception as error:
            log_line("failure", error=type(error).__name__, traceback=traceback.format_exc())
            if self.status is None:
                await self._refuse(Refused(500, INTERNAL.format(type(error).__name__)))
        finally:
            self.guard.held -= self.bytes_in
            if not self.scope["retouche.log"].pop("quiet", False):
                log_line(
                    "request",
                    method=self.scope["method"],
                    path=self.scope["path"],
                    status=self.status,
                    seconds=round(time.perf_counter() - self.started, 3),
                    bytes_in=self.bytes_in,
                    bytes_out=self.bytes_out,
                    **self.scope["retouche.log"],
                )

    # What comes in

    async def receive(self) -> Message:
        """The next part of the body, as long as it stays within the limits of bytes and seconds."""
        if self.body_ended:
            return await self._receive()
        took = time.perf_counter() - self.started
        if took > PACE_SECONDS and self.bytes_in < took * PACE_BYTES:
            raise Refused(408, f"the request comes at less than {PACE_BYTES} bytes a second: send it faster")
        left = min(self.guard.body_seconds - took, IDLE_SECONDS)
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except asyncio.TimeoutError:
            raise Refused(
                408,
                f"the request did not arrive within {self.guard.body_seconds:g} seconds, or nothing of it came for "
                f"{IDLE_SECONDS:g}: send it faster",
            ) from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.bytes_in += size
            self.guard.held += size
            self.body_ended = not message.get("more_body", False)
            if self.bytes_in > self.limit:
                raise self._too_large(f"more than {self.limit}")
            if self.guard.held > HELD_BODIES * self.guard.max_bytes:
                words = "the server holds as many requests as it has memory for: try again in a moment"
                raise Refused(429, words, {"Retry-After": str(HELD_SECONDS)})
        else:
            self.body_ended = True
        return message

    def _too_large(self, length: str) -> Refused:
        remedy = "send no more than that"
        if self.limit == self.guard.max_bytes:
            remedy = "send the part around the hole, or start the server with a larger --max-bytes"
        return Refused(413, f"the request has {length} bytes but the limit is {self.limit}: {remedy}")

    async def _check(self) -> None:
        access, scope = self.access, self.scope
        host = self.headers.get("host")
        if not access.admits_host(host):
            raise Refused(421, "this Host is not served here: use the address that `retouche start` prints")
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"} and not access.admits_origin(
            self.headers.get("origin"), self.headers.get("sec-fetch-site"), host or ""
        ):
            raise Refused(403, "requests from other sites are refused: start the server with --allow-origin for them")
        if scope["path"] not in OPEN_PATHS and not access.knows(self.headers):
            if "authorization" in self.headers:
                await asyncio.sleep(WRONG_TOKEN_SECONDS)
            raise Refused(401, "a token is needed: send Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self.limit:
            raise self._too_large(length[:20])

    def _preflight(self) -> dict[str, str] | None:
        """The answer to a browser that asks whether a listed page elsewhere may call."""
        origin = self.headers.get("origin")
        if self.scope["method"] != "OPTIONS" or origin not in self.access.origins:
            return None
        return {
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "600",
        }

    # What goes out

    async def send(self, message: Message) -> None:
        """Pass an answer on, with the headers of safety.

        What is left of the body is let in first (up to a limit): a client that still sends would not read the answer.
        """
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            if not await self._drained():
                headers.append((b"connection", b"close"))
            present = {name.lower() for name, _ in headers}
            extra = {**self.guard.headers, **self._for_origin()}
            if not {b"cache-control"} & present:
                extra["cache-control"] = "no-store"
            headers += [(name.encode(), text.encode()) for name, text in extra.items() if name.encode() not in present]
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            self.bytes_out += len(message.get("body", b""))
        await self._send(message)

    def _for_origin(self) -> dict[str, str]:
        origin = self.headers.get("origin")
        if origin is None or origin not in self.access.origins:
            return {"vary": "Origin"} if self.access.origins else {}
        return {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": EXPOSED,
            "cross-origin-resource-policy": "cross-origin",
            "vary": "Origin",
        }

    async def _refuse(self, refused: Refused) -> None:
        """Answer in words, unless an answer is on its way."""
        if self.status is not None:
            return
        headers = dict(refused.headers)
        wants_page = self.scope["method"] == "GET" and "text/html" in self.headers.get("accept", "")
        if refused.status == 401 and wants_page:
            await self._answer(401, pages.token_form().encode(), {**headers, "Content-Type": pages.HTML})
            return
        body = json.dumps({"error": refused.why}).encode()
        await self._answer(refused.status, body, {**headers, "Content-Type": "application/json"})

    async def _drained(self) -> bool:
        """Whether the whole body has arrived, after a while of throwing it away."""
        if "expect" in self.headers and not self.bytes_in:
            return self.body_ended  # the client waits for our word before it sends anything
        until, room = time.perf_counter() + DRAIN_SECONDS, DRAIN_BYTES
        while not self.body_ended:
            try:
                left = min(DRAIN_IDLE_SECONDS, until - time.perf_counter())
                message = await asyncio.wait_for(self._receive(), max(left, 0.001))
            except asyncio.TimeoutError:
                return False
            self.body_ended = message["type"] != "http.request" or not message.get("more_body", False)
            room -= len(message.get("body", b""))
            if room < 0 and not self.body_ended:
                return False
        return True

    async def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        raw = [(name.lower().encode(), text.encode("latin-1")) for name, text in headers.items()]
        raw.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def line(event: str, **facts: Any) -> str:
    """One JSON object for the server's log."""
    return json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts})


def log_line(event: str, **facts: Any) -> None:
    """Log what happened; never anything of a picture's content."""
    log.info(line(event, **facts))

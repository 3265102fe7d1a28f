"""Connections: how many one client may hold, and how long the head of a request may take to arrive.

Beneath what an application sees: a client that sends half a head, or nothing, never becomes a request.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""From the first byte of a head, or a new connection, to the head's end."""
CROWDED_SECONDS = 2


def connection_class(most: int) -> type[asyncio.Protocol]:
    """What uvicorn makes of each connection of a server on which one client may hold so many."""
    return type("Connection", (_Connection,), {"most": most, "held": Counter()})


class _Connection(H11Protocol):
    most: int
    held: Counter[str]
    """Connections by the clients' addresses."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        self.held[self._peer] += 1
        self._crowded = self.held[self._peer] > self.most
        self._timer: asyncio.TimerHandle | None = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self.held[self._peer] -= 1
        if not self.held[self._peer]:
            del self.held[self._peer]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._crowded:
            words = f"this address holds {self.most} connections already: close some, or try again in a moment"
            self._end(HTTPStatus.TOO_MANY_REQUESTS, words, {"Retry-After": CROWDED_SECONDS})
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._expect_nothing()
        elif self.conn.trailing_data[0]:
            self._expect_head()

    def _expect_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.conn.trailing_data[0]:
            words = f"the head of the request did not arrive within {HEAD_SECONDS:g} seconds: send it faster"
            self._end(HTTPStatus.REQUEST_TIMEOUT, words, {})
        else:
            self.transport.close()

    def _end(self, status: HTTPStatus, words: str, headers: dict[str, Any]) -> None:
        """Answer without a request, and close."""
        if self.transport.is_closing():
            return
        body = json.dumps({"error": words}).encode()
        all_headers = {
            "Content-Type": "application/json",
            "Content-Length": len(body),
            "Connection": "close",
            "X-Content-Type-Options": "nosniff",
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
        self.transport.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode() + body)
        self.transport.close()

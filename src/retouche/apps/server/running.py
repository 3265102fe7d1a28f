"""Running the application: its socket, uvicorn, the log, and an orderly end."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from retouche.apps.server.app import create_app
from retouche.apps.server.connections import connection_class
from retouche.apps.server.core import Server, Settings
from retouche.apps.server.safety import OUR_LOG, line
from retouche.errors import InputError

GRACE_SECONDS = 20
"""How long an ending server waits for the answers under way."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises: InputError
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port} ({error.strerror}): choose another --port") from None
    listener.set_inheritable(True)
    return listener


def address_of(sock: socket.socket) -> str:
    """Where to point a browser."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)
    return f"http://{host}:{port}/"


def run(settings: Settings, port: int, ready: Callable[[str], None]) -> bool:
    """Serve until a signal ends it: answers under way are finished, for up to `GRACE_SECONDS`.

    Args:
        settings: of the application; its `access.host` is listened on
        port: 0 = a free one
        ready: called with the address once requests are taken
    Returns: whether all works have ended; else a thread is in the middle of one, which Python's end would abort
    """
    _log_to_stderr()
    with listen(settings.access.host, port) as sock:
        served = Server(settings)
        server = _engine(served)
        # uvicorn ends in order on these signals, then raises them again for whoever was there before: nobody
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: None)
        gc.collect()
        gc.freeze()  # what is there now stays: looking through all of it again and again would hold everybody up
        ready(address_of(sock))
        server.run(sockets=[sock])
    return served.close(0.5)


def prepared(settings: Settings) -> uvicorn.Server:
    """The engine around the application, not yet running.

    Raises: RetoucheError if a model cannot be loaded or a device is not here
    """
    return _engine(Server(settings))


def _engine(server: Server) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(server),
        http=connection_class(server.settings.connections),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=32 << 10,
    )
    return uvicorn.Server(config)


class _Lines(logging.Formatter):
    """One JSON object a line: our own as they are, the engine's warnings made into one."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == OUR_LOG:
            return record.getMessage()
        return line("engine", level=record.levelname.lower(), message=super().format(record))


def _log_to_stderr() -> None:
    levels = {OUR_LOG: logging.INFO, "uvicorn.error": logging.WARNING, "python_multipart": logging.ERROR}
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate = False
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(_Lines())
            logger.addHandler(handler)

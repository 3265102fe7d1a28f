"""What the server's tests share: servers in this process or their own, and pictures that tell themselves apart."""

import base64
import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from retouche.apps.server.app import Settings
from retouche.apps.server.running import address_of, listen, prepared


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[httpx.Client]:
    """A server in a thread of this process, and a client for it; models are `mean` unless given."""
    made = Settings(**{"models": ("mean",), "devices": ("cpu",), **settings})
    with listen("127.0.0.1", 0) as sock:
        engine = prepared(made)
        thread = threading.Thread(target=engine.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        try:
            with httpx.Client(base_url=address_of(sock).rstrip("/"), timeout=60) as client:
                yield client
        finally:
            engine.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@contextlib.contextmanager
def own_process(
    folder: Path, *flags: str, before: str = "", temporary: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`retouche start` as users start it, on a free port: the process and its address.

    `before` is Python that runs first; `temporary` is its TMPDIR, the folder unless given.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary or folder)}
    code = f"{before}\nimport sys\nfrom retouche.apps.cli import main\nsys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "start", "--port", "0", "--device", "cpu", "--threads", "1", *flags]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://" in line, (folder / "log").read_text()
        yield process, line.split()[3].rstrip("/")
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def scene(number: int = 0, height: int = 60, width: int = 80) -> np.ndarray:
    """A smooth picture (H, W, 3) uint8 that no other number has."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(3 * x + number) % 256, (2 * y + x) % 256, np.full_like(x, number % 256)], 2).astype(np.uint8)


def hole(height: int = 60, width: int = 80) -> np.ndarray:
    """(H, W) uint8, white in the middle."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 255
    return mask


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def decoded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def until(condition: Any, seconds: float = 90.0) -> None:
    """Wait for something that will be true soon."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


# Stand in for functions that a helper process calls ------------------------------------------------------------------


def hangs(*_: Any) -> None:
    time.sleep(600)


def crashes(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)

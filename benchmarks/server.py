"""Load figures of the server, measured from a second process over the loopback address.

    python benchmarks/server.py [--requests 200] [--side 256] [--model harmonic] [--rounds 2]

Prints: seconds to start; a small hole in a 12-megapixel picture by the shipped default, as a crop (what the editor
sends) and whole; many requests at once, each answer verified against its own input, with the server's memory after each
round; the slowest /health meanwhile; how soon a worker is free after its client has left; a crowd: 200 clients, 30 slow
senders and 5 killed connections at once; memory over 500 fills; what reading and writing in a helper process costs.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
from PIL import Image


@contextmanager
def server(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str, float]]:
    """`retouche start`: its process, address, and seconds until it listened."""
    started = time.perf_counter()
    words = [sys.executable, "-m", "retouche", "start", "--port", "0", *flags]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[3].rstrip("/")
        yield process, address, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()


def scene(side: tuple[int, int], number: int) -> np.ndarray:
    """A picture (H, W, 3) with texture, another for each number."""
    generator = np.random.default_rng(number)
    y, x = np.mgrid[: side[0], : side[1]]
    waves = 60 * np.sin(x / (9 + number % 7)) + 60 * np.cos(y / (11 + number % 5))
    noise = generator.normal(0, 6, (*side, 3))
    return np.clip(waves[..., None] + 128 + noise, 0, 255).astype(np.uint8)


def hole(side: tuple[int, int], extent: int) -> np.ndarray:
    """(H, W) uint8, a white square in the middle."""
    mask = np.zeros(side, np.uint8)
    top, left = (side[0] - extent) // 2, (side[1] - extent) // 2
    mask[top : top + extent, left : left + extent] = 255
    return mask


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def resident_bytes(process: int) -> int:
    """What the process holds in memory; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/status")
    return int(status.read_text().partition("VmRSS:")[2].split()[0]) * 1024 if status.exists() else 0


def large_picture(address: str) -> None:
    """Seconds for a 60-pixel hole in 12 megapixels."""
    picture = scene((3000, 4000), 1)
    mask = hole((3000, 4000), 60)
    top, left = 1500 - 256, 2000 - 256
    cut = (slice(top, top + 512), slice(left, left + 512))
    for name, image, part in (
        ("crop of 512, PNG", encoded(picture[cut]), encoded(mask[cut])),
        ("whole, JPEG", encoded(picture, "JPEG"), encoded(mask)),
    ):
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            answer = httpx.post(f"{address}/api/v1/inpaint", files={"image": image, "mask": part}, timeout=300)
            answer.raise_for_status()
            seconds.append(time.perf_counter() - started)
        print(f"12 MP, hole of 60, shipped default, {name}: {min(seconds):.2f} s, first {seconds[0]:.2f} s")


def load(address: str, process: int, arguments: argparse.Namespace) -> None:
    """Rounds of requests at once; memory after each."""
    side = (arguments.side, arguments.side)
    known = hole(side, arguments.side // 4) == 0
    mask = base64.b64encode(encoded(hole(side, arguments.side // 4))).decode()
    slowest = [0.0]
    ended = threading.Event()

    def watch() -> None:
        with httpx.Client() as client:
            while not ended.is_set():
                started = time.perf_counter()
                client.get(f"{address}/health", timeout=60)
                slowest[0] = max(slowest[0], time.perf_counter() - started)
                time.sleep(0.05)

    def one(number: int) -> tuple[int, float, bool]:
        picture = scene(side, number)
        sent = {"image": base64.b64encode(encoded(picture)).decode(), "mask": mask, "dilate": 0}
        started = time.perf_counter()
        answer = httpx.post(f"{address}/api/v1/inpaint", json=sent, timeout=300, verify=False)
        seconds = time.perf_counter() - started
        if answer.status_code != 200:
            return answer.status_code, seconds, True
        filled = np.asarray(Image.open(io.BytesIO(answer.content)))
        return 200, seconds, bool((filled[known] == picture[known]).all())

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = 0
    for turn in range(arguments.rounds):
        started = time.perf_counter()
        with ThreadPoolExecutor(arguments.requests) as pool:
            first = turn * arguments.requests
            answers = list(pool.map(one, range(first, first + arguments.requests)))
        total = time.perf_counter() - started
        now = resident_bytes(process)
        times = sorted(seconds for status, seconds, _ in answers if status == 200)
        grown = f" ({now / before - 1:+.1%})" if before else ""
        print(
            f"{arguments.requests} at once, {side[0]}x{side[1]}, {arguments.model}: "
            f"{dict(Counter(status for status, *_ in answers))} in {total:.1f} s, "
            f"median {statistics.median(times):.2f} s, slowest {times[-1]:.2f} s, "
            f"{sum(not right for *_, right in answers)} mixed up, memory {now / 2**20:.0f} MiB{grown}"
        )
        before = now
    ended.set()
    watcher.join()
    print(f"slowest /health meanwhile: {slowest[0] * 1000:.0f} ms")


def leaving(address: str) -> None:
    """Seconds from a client's leaving, in the middle of a long fill, until the worker is free."""
    side = (1500, 1500)
    body = httpx.Request(
        "POST", f"{address}/api/v1/inpaint", files={"image": encoded(scene(side, 2)), "mask": encoded(hole(side, 700))}
    )
    body.read()
    parts = urlsplit(address)
    seconds = []
    for wait in (0.5, 1.0, 2.0):
        with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
            head = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
            connection.sendall(f"POST /api/v1/inpaint HTTP/1.1\r\n{head}\r\n".encode() + body.content)
            time.sleep(wait)
            busy = httpx.get(f"{address}/health").json()["busy"]
        started = time.perf_counter()
        while httpx.get(f"{address}/health").json()["busy"]:
            time.sleep(0.02)
        seconds.append(f"{time.perf_counter() - started:.2f} s" if busy else "done before")
    print(f"worker free after its client has left: {', '.join(seconds)}")


WATCH = """
import socket, sys, time
while True:
    started = time.perf_counter()
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 60) as connection:
        connection.sendall(b"GET /health HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n")
        while connection.recv(4096):
            pass
    took = time.perf_counter() - started
    started = time.perf_counter()
    time.sleep(0.05)
    print(took, time.perf_counter() - started - 0.05, flush=True)
"""
"""Seconds that /health takes, and by how much a sleep is late: what the machine itself adds."""


def crowd(address: str, process: int) -> None:
    """200 clients who come again when told to, while 30 senders dribble and 5 connections are cut in the middle."""
    known = hole((64, 64), 16) == 0
    parts = urlsplit(address)
    there = (parts.hostname or "", parts.port or 80)
    kind = "Content-Type: application/json\r\nContent-Length: "
    head = f"POST /api/v1/inpaint HTTP/1.1\r\nHost: {parts.netloc}\r\n{kind}"
    ended = threading.Event()

    def one(number: int) -> tuple[int, bool, int]:
        picture, mask = scene((64, 64), number), encoded(hole((64, 64), 16))
        again, sent = 0, {"image": encoded(picture), "mask": mask}
        while True:
            answer = httpx.post(
                address + "/api/v1/inpaint", files=sent, data={"dilate": "0"}, timeout=300, verify=False
            )
            if answer.status_code != 429:
                break
            again += 1
            time.sleep(float(answer.headers["retry-after"]))
        right = answer.status_code == 200
        filled = np.asarray(Image.open(io.BytesIO(answer.content))) if right else picture * 0
        return answer.status_code, right and bool((filled[known] == picture[known]).all()), again

    def slow() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError), socket.create_connection(there, 20) as connection:
                connection.sendall(f"{head}999999\r\n\r\n".encode() + b'{"image": "')
                while not ended.wait(0.2):
                    connection.sendall(b"A")

    def killed() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(OSError), socket.create_connection(there, 20) as connection:
                connection.sendall(f"{head}2000000\r\n\r\n".encode() + b"A" * 300_000)

    for number in range(5):  # the first fill has more to prepare, and how long they take is known then
        one(number)
    others = [threading.Thread(target=target) for target in (*[slow] * 30, *[killed] * 5)]
    watch = subprocess.Popen([sys.executable, "-c", WATCH, *map(str, there)], stdout=subprocess.PIPE, text=True)
    for thread in others:
        thread.start()
    started = time.perf_counter()
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(one, range(200)))
    total = time.perf_counter() - started
    ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    spent = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    ended.set()
    for thread in others:
        thread.join()
    watch.terminate()
    seen = [[float(word) for word in line.split()] for line in watch.communicate()[0].splitlines()]
    health, late = [took for took, _ in seen], max(late for _, late in seen)
    print(
        f"200 clients, 30 slow senders, 5 killed connections: {sum(right for _, right, _ in answers)} answered right, "
        f"{dict(Counter(status for status, *_ in answers))} in {total:.1f} s, "
        f"{sum(again for *_, again in answers)} times told to come again; /health median "
        f"{statistics.median(health) * 1000:.0f} ms, slowest {max(health) * 1000:.0f} ms of {len(health)} "
        f"(a sleep beside it woke up to {late * 1000:.0f} ms late); server {spent:.1f} CPU s; "
        f"load {os.getloadavg()[0]:.1f}"
    )


def steady(address: str, process: int) -> None:
    """Memory over 500 fills, the helpers' too."""

    def held() -> int:
        tree, found = {process}, [process]
        while found:  # the processes below
            number = found.pop()
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{number}/task").iterdir():
                    below = [int(word) for word in (task / "children").read_text().split()]
                    found += below
                    tree |= set(below)
        return sum(resident_bytes(number) for number in tree)

    mask = encoded(hole((256, 256), 64))
    sizes = []
    with httpx.Client(timeout=300) as client:
        for number in range(501):
            files = {"image": encoded(scene((256, 256), number % 7)), "mask": mask}
            client.post(f"{address}/api/v1/inpaint", files=files).raise_for_status()
            if number % 100 == 0:
                sizes.append((resident_bytes(process), held()))
    text = ", ".join(f"{own / 2**20:.0f} ({together / 2**20:.0f})" for own, together in sizes)
    print(
        f"memory after 1, 101, ... 501 fills, MiB, with helpers in brackets: {text}; from 101 to 501 "
        f"{sizes[-1][0] / sizes[1][0] - 1:+.1%} ({sizes[-1][1] / sizes[1][1] - 1:+.1%})"
    )


def helpers() -> None:
    """What it costs to read and write in another process, CPU and wall, smallest of 15."""
    from retouche.apps.server import foreign, work
    from retouche.apps.server.schema import Inpaint

    helper, reader = foreign.Helper(), work.PictureReader(100_000_000)
    for side in ((512, 512), (3000, 4000)):
        asked = Inpaint(image=encoded(scene(side, 1), "JPEG"), mask=encoded(hole(side, 60)))
        taken: dict[str, list[float]] = {"here": [], "in a helper": []}
        for _ in range(15):
            for name, call in (
                ("here", lambda asked=asked: work._written(work._read(reader, asked).picture, "JPEG")),
                ("in a helper", lambda asked=asked: _through(helper, reader, asked)),
            ):
                started = time.perf_counter()
                call()
                taken[name].append(time.perf_counter() - started)
        here, there = (min(seconds) * 1000 for seconds in taken.values())
        print(f"read, write {side[1]}x{side[0]}: here {here:.1f} ms, in a helper {there:.1f} ms ({there - here:+.1f})")
    helper.end()


def _through(helper: object, reader: object, asked: object) -> None:
    from retouche.apps.server import work

    given = helper.call(lambda: None, work._read, reader, asked)  # type: ignore[attr-defined]
    helper.call(lambda: None, work._written, given.picture, "JPEG")  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--model", default="harmonic")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", choices=("crowd", "steady", "helpers"))
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    tasks = [arguments.only] if arguments.only else ["crowd", "steady", "helpers"]
    if "helpers" in tasks:
        helpers()
    for name in [task for task in tasks if task != "helpers"]:
        with server("--model", arguments.model) as (process, address, _):
            {"crowd": crowd, "steady": steady}[name](address, process.pid)
    if arguments.only:
        return
    with server("--model", "default") as (_, address, seconds):
        print(f"started in {seconds:.1f} s")
        large_picture(address)
        leaving(address)
    with server("--model", arguments.model) as (process, address, _):
        load(address, process.pid, arguments)


if __name__ == "__main__":
    main()

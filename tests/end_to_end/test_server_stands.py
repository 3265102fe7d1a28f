"""A server that cannot be frozen: slow, greedy and vanishing clients, files that hang their reader, an end in time."""

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import serving as stand_ins
from serving import encoded, hole, own_process, scene, serving, text, until

from retouche.apps.server import connections, foreign, safety, work
from retouche.apps.server.queue import Interrupted

JSON = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
HEAD = f"POST /api/v1/inpaint HTTP/1.1\r\n{JSON}Content-Length: {{}}\r\n\r\n"


def fill(client: httpx.Client, number: int = 0, **options: Any) -> httpx.Response:
    files = {"image": encoded(scene(number)), "mask": encoded(hole())}
    return client.post("/api/v1/inpaint", files=files, **options)


@contextlib.contextmanager
def senders(client: httpx.Client, count: int, part: bytes = b'{"image": "AAAA') -> Iterator[list[socket.socket]]:
    """Connections that have sent the head of a fill and a part of its body."""
    with contextlib.ExitStack() as stack:
        there = (client.base_url.host, client.base_url.port or 0)
        made = [stack.enter_context(socket.create_connection(there, 20)) for _ in range(count)]
        for each in made:
            each.sendall(HEAD.format(50_000).encode() + part)
        yield made


def status(connection: socket.socket) -> int:
    return int(connection.recv(4000).split()[1])


# Bodies and heads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/token", "/api/v1/model"])
def test_where_no_picture_is_sent_little_is_taken(path: str) -> None:
    with serving() as client:
        large = b"token=" + b"A" * 200_000
        for content in (large, iter([large[:100_000], large[100_000:]])):
            answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413 and f"limit is {safety.SMALL_BYTES}" in answer.json()["error"]


def test_slow_senders_take_no_place() -> None:
    with serving(waiting=2) as client, senders(client, 20) as slow:
        time.sleep(0.2)
        assert client.get("/health").json()["busy"] == 0
        assert fill(client).status_code == 200
        assert len(slow) == 20


def test_a_full_queue_refuses_before_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    act = work.inpaint
    monkeypatch.setattr(work, "inpaint", lambda *args: go.wait(60) and act(*args))
    with serving(waiting=0) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(fill, client)
        until(lambda: client.get("/health").json()["busy"] == 1)
        with senders(client, 1) as (one,):
            assert status(one) == 429
        go.set()
        assert first.result(60).status_code == 200


def test_a_body_that_stops_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "IDLE_SECONDS", 0.3)
    with serving() as client, senders(client, 1) as (one,):
        assert status(one) == 408


def test_a_body_that_dribbles_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "PACE_SECONDS", 0.5)
    with serving() as client, senders(client, 1) as (one,):
        ended = threading.Event()

        def dribble() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.05):
                    one.sendall(b"A")

        thread = threading.Thread(target=dribble)
        thread.start()
        assert status(one) == 408
        ended.set()
        thread.join()


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "])
def test_half_a_head_is_ended(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with serving() as client:
        there = (client.base_url.host, client.base_url.port or 0)
        with socket.create_connection(there, 20) as first, socket.create_connection(there, 20) as second:
            first.sendall(sent)
            second.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = b""
            while b'"limit"' not in answer:
                answer += second.recv(4000)
            assert answer.split()[1] == b"200"
            second.sendall(sent)  # after an answer, too
            for one in (first, second) if sent else (first,):
                got = one.recv(4000)
                assert (b" 408 " in got.partition(b"\r\n")[0]) if sent else got == b""
                assert one.recv(4000) == b""


def test_one_address_holds_so_many_connections() -> None:
    with serving(connections=4) as client:
        there = (client.base_url.host, client.base_url.port or 0)
        assert client.get("/health").status_code == 200  # holds one
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(socket.create_connection(there, 20))
            with socket.create_connection(there, 20) as one:
                one.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                got = one.recv(4000)
                assert b" 429 " in got.partition(b"\r\n")[0] and b"Retry-After" in got and b"4 connections" in got
            assert client.get("/health").status_code == 200

        def free() -> bool:
            with httpx.Client(base_url=client.base_url) as other:
                return other.get("/health").status_code == 200

        until(free)


def test_bodies_in_hand_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "HELD_BODIES", 1)
    with serving(max_bytes=50_000) as client:
        with senders(client, 2, part=b"A" * 24_900):
            until(lambda: fill(client).status_code == 429)
            answer = fill(client)
            assert answer.status_code == 429 and "retry-after" in answer.headers
        until(lambda: fill(client).status_code == 200)


# Files that hang or crash their reader --------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["view", "_read"])
def test_a_file_that_hangs_its_reader_is_ended_in_time(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setattr(work, stage, stand_ins.hangs)
    with serving(max_seconds=2) as client:
        path = "/api/v1/view" if stage == "view" else "/api/v1/inpaint"
        files = {"image": encoded(scene()), "mask": encoded(hole())}
        assert client.post(path, files=files).status_code == 504
        until(lambda: client.get("/health").json()["busy"] == 0)
        monkeypatch.undo()
        until(lambda: client.post(path, files=files).status_code == 200)


@pytest.mark.parametrize("stage", ["view", "_read"])
def test_a_file_that_crashes_its_reader_is_refused(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setattr(work, stage, stand_ins.crashes)
    with serving() as client:
        path = "/api/v1/view" if stage == "view" else "/api/v1/inpaint"
        files = {"image": encoded(scene()), "mask": encoded(hole())}
        answer = client.post(path, files=files)
        assert answer.status_code == 422 and "damaged" in answer.json()["error"]
        monkeypatch.undo()
        assert client.post(path, files=files).status_code == 200


def _add(one: np.ndarray, other: Any) -> np.ndarray:
    return one + other


def test_a_helper_calls_replaces_and_is_replaced() -> None:
    helper = foreign.Helper()
    for size in (0, 1, 4000, 3_000_000):
        array = np.arange(size, dtype=np.float32)
        more = helper.call(lambda: None, np.add, array, 1)
        assert np.array_equal(more, array + 1)
        more += 1  # it is ours to change
    content = bytes(range(256)) * 4000
    assert helper.call(lambda: None, bytes.upper, content) == content.upper()
    with pytest.raises(ZeroDivisionError):
        helper.call(lambda: None, divmod, 1, 0)
    wire = helper._wire
    assert helper.call(lambda: None, len, b"") == 0 and helper._wire is wire

    def unwanted() -> None:
        raise Interrupted

    started = time.monotonic()
    with pytest.raises(Interrupted):
        helper.call(unwanted, time.sleep, 60)
    assert time.monotonic() - started < 30
    assert helper.call(lambda: None, len, b"abc") == 3
    helper._kill()  # while idle, as by whoever looks for memory
    time.sleep(0.1)
    assert helper.call(lambda: None, len, b"abcd") == 4
    foreign._fork_server()._process.kill()
    helper.end()
    assert helper.call(lambda: None, len, b"abcde") == 5
    helper.end()


def test_where_nothing_forks_processes_are_spawned() -> None:
    pipe, kill = foreign._spawned()
    pipe.send((divmod, (7, 2)))
    assert pipe.receive() == (True, (3, 1))
    kill()
    with pytest.raises((EOFError, OSError)):
        pipe.receive()
    pipe.close()


# The end --------------------------------------------------------------------------------------------------------------

SHORT = "from retouche.apps.server import app, running, work\nrunning.GRACE_SECONDS = app.ENDING_SECONDS = 1"
DEAF = f"{SHORT}\nimport torch\na = torch.rand(999, 999)\nwork.inpaint = lambda *_: [a @ a for _ in range(99999)]"


@pytest.mark.parametrize("before", [SHORT, DEAF], ids=["a fill that tells", "a fill that does not"])
def test_a_signal_during_a_long_fill_ends_the_server_cleanly(tmp_path: Path, before: str) -> None:
    side = 1600
    files = {"image": encoded(scene(2, side, side)), "mask": encoded(hole(side, side))}
    with (
        own_process(tmp_path, "--model", "exemplar", before=before) as (process, address),
        ThreadPoolExecutor(1) as pool,
    ):

        def ask() -> None:
            with contextlib.suppress(httpx.HTTPError):
                httpx.post(f"{address}/api/v1/inpaint", files=files, timeout=120)

        asked = pool.submit(ask)
        until(lambda: httpx.get(f"{address}/health", verify=False).json()["busy"] == 1)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0
        asked.result(10)
        assert process.stdout is not None and "has ended" in process.stdout.read()
    for line in (tmp_path / "log").read_text().splitlines():
        assert json.loads(line)["event"] in {"request", "engine"}


def test_a_temporary_folder_that_is_removed_changes_nothing(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    files = {"image": encoded(noise), "mask": encoded(hole(1000, 1000))}
    assert len(files["image"]) > 2 << 20
    with own_process(tmp_path, "--model", "mean", temporary=temporary) as (_, address):
        temporary.rmdir()
        answers = [
            httpx.post(f"{address}/api/v1/inpaint", files=files, timeout=60),
            httpx.post(f"{address}/api/v1/view", json={"image": text(files["image"])}, timeout=60),
        ]
        assert [answer.status_code for answer in answers] == [200, 200]

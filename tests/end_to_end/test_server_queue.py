"""Many at once: nobody's answer is lost or another's; who leaves or takes too long makes room; an orderly end."""

import asyncio
import functools
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
import torch
from serving import decoded, encoded, hole, own_process, scene, serving, text, until

from retouche.apps.server import work
from retouche.apps.server.core import Server, Settings
from retouche.apps.server.models import FillWorker
from retouche.apps.server.queue import ClientLeft, Full, Interrupted, Place, TooSlow, Workers
from retouche.arithmetic import Computing
from retouche.errors import InputError

KNOWN = hole() == 0


def fill_own(address: str, number: int) -> int:
    """Ask for one picture's fill; 200 only if the answer is this picture, 429 with a hint when to come again."""
    sent = {"image": text(encoded(scene(number))), "mask": text(encoded(hole())), "dilate": 0, "seed": number}
    answer = httpx.post(f"{address}/api/v1/inpaint", json=sent, timeout=120, verify=False)
    if answer.status_code == 429:
        assert int(answer.headers["retry-after"]) >= 1 and "queue" in answer.json()["error"]
    else:
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-seed"] == str(number)
        assert (decoded(answer.content)[KNOWN] == scene(number)[KNOWN]).all()
    return answer.status_code


def test_forty_at_once() -> None:
    with serving(waiting=16) as client, ThreadPoolExecutor(40) as pool:
        address = str(client.base_url).rstrip("/")
        statuses = list(pool.map(lambda number: fill_own(address, number), range(40)))
        assert statuses.count(200) >= 17 and set(statuses) <= {200, 429}
        assert client.get("/health").json()["busy"] == 0


class Slow:
    """Stands in for a fill that takes until it is told, or until nobody waits for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = self.interrupted = 0
        self.go = threading.Event()
        self.fill = work.inpaint
        monkeypatch.setattr(work, "inpaint", self)

    def __call__(self, *args: Any) -> Any:
        self.begun += 1
        try:
            while not self.go.is_set():
                args[-1](0.0)
                time.sleep(0.005)
        except Interrupted:
            self.interrupted += 1
            raise
        return self.fill(*args)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    made = Slow(monkeypatch)
    yield made
    made.go.set()


def test_beyond_the_queue_is_429_and_the_rest_is_served(slow: Slow) -> None:
    with serving(waiting=2) as client, ThreadPoolExecutor(8) as pool:
        address = str(client.base_url).rstrip("/")
        served = [pool.submit(fill_own, address, number) for number in range(3)]
        until(lambda: client.get("/health").json()["busy"] == 3)
        assert fill_own(address, 9) == 429
        assert client.post("/api/v1/view", files={"image": encoded(scene())}).status_code == 200  # does not wait
        slow.go.set()
        assert [one.result(30) for one in served] == [200, 200, 200]
        assert fill_own(address, 9) == 200


def request_bytes(address: httpx.URL) -> bytes:
    body = json.dumps({"image": text(encoded(scene())), "mask": text(encoded(hole()))}).encode()
    head = f"POST /api/v1/inpaint HTTP/1.1\r\nHost: {address.host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_who_leaves_makes_room(slow: Slow) -> None:
    with serving(waiting=1) as client:
        there = (client.base_url.host, client.base_url.port or 0)
        with socket.create_connection(there) as running, socket.create_connection(there) as waiting:
            running.sendall(request_bytes(client.base_url))
            until(lambda: slow.begun == 1)
            waiting.sendall(request_bytes(client.base_url))
            until(lambda: client.get("/health").json()["busy"] == 2)
            waiting.close()
            until(lambda: client.get("/health").json()["busy"] == 1)
            assert slow.interrupted == 0
        until(lambda: client.get("/health").json()["busy"] == 0)
        assert (slow.begun, slow.interrupted) == (1, 1)
        slow.go.set()
        assert fill_own(str(client.base_url).rstrip("/"), 3) == 200


def test_what_takes_too_long_is_ended(slow: Slow) -> None:
    with serving(max_seconds=0.3) as client:
        sent = {"image": text(encoded(scene())), "mask": text(encoded(hole()))}
        answer = client.post("/api/v1/inpaint", json=sent)
        assert answer.status_code == 504 and "0.3 seconds" in answer.json()["error"]
        until(lambda: slow.interrupted == 1)
        until(lambda: client.get("/health").json()["busy"] == 0)


def test_a_body_that_does_not_come_is_408() -> None:
    with serving(max_seconds=0.3) as client:
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), 20) as connection:
            connection.sendall(request_bytes(client.base_url)[:-9])
            assert b" 408 " in connection.recv(4000).partition(b"\r\n")[0]
        assert client.get("/health").json()["busy"] == 0


def test_running_out_of_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(work, "inpaint", greedy)
    with serving() as client:
        sent = {"image": text(encoded(scene())), "mask": text(encoded(hole()))}
        answer = client.post("/api/v1/inpaint", json=sent)
        assert answer.status_code == 503 and "retry-after" in answer.headers


def test_workers_end_works_at_any_moment() -> None:
    """Works of every length around the limit: each ends with its result or TooSlow, and the worker goes on."""

    async def never() -> None:
        await asyncio.Event().wait()

    def busy(seconds: float, place: Place, _resource: None) -> float:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            place.report_progress(0.5)
        return seconds

    async def many() -> None:
        workers: Workers[None] = Workers([None], waiting=0)
        for number in range(150):
            seconds = number * 2e-5
            with workers.place() as place:
                try:
                    act = functools.partial(busy, seconds, place)
                    result = await workers.run(place, act, 0.0015, never())
                    assert result == seconds
                except TooSlow:
                    pass
            while workers.places:
                await asyncio.sleep(0)
        with workers.place() as place:
            assert await workers.run(place, lambda _: "alive", 5, never()) == "alive"
        workers.close()

    asyncio.run(many())


def test_a_network_is_ended_between_its_layers() -> None:
    worker = FillWorker(torch.device("cpu"))
    model, _ = worker.model("thin")
    told: list[float] = []

    def on_progress(fraction: float) -> None:
        told.append(fraction)
        if len(told) == limit:
            raise Interrupted

    limit = -1
    with worker.watched(on_progress) as (progress, _alive):
        whole = model(scene(), hole() > 0, progress=progress)
    calls = len(told)
    assert calls > 10 and sorted(told) == told and told[-1] == 1
    limit, told[:] = calls // 2, []
    with pytest.raises(Interrupted), worker.watched(on_progress) as (progress, _alive):
        model(scene(), hole() > 0, progress=progress)
    assert len(told) == limit
    assert (model(scene(), hole() > 0) == whole).all() and len(told) == limit  # nobody watches any more


def test_networks_compute_as_the_operator_says(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = FillWorker(torch.device("cpu")).model("thin")[0](scene(), hole() > 0)
    worker = FillWorker(torch.device("cpu"), computing=Computing("bf16"))
    worker.warm("thin")
    model, _ = worker.model("thin")
    assert model.likeness is None  # the noise of warming up is no picture
    filled, report = model(scene(), hole() > 0, report=True)
    assert [text for text in report.remarks if text.startswith("computed in bf16: ")] and (filled != plain).any()
    assert worker.model("harmonic")[0].precision == "32"  # without networks, as ever
    compiled: list[Any] = []

    def compiling(network: Any) -> Any:
        compiled.append(network)
        return network

    monkeypatch.setattr(torch, "compile", compiling)
    model, _ = FillWorker(torch.device("cpu"), computing=Computing(compile=True)).model("thin")
    assert compiled == [model.generator]
    assert not any(module._forward_pre_hooks for module in model.generator.modules())  # a look is a cut


def test_a_server_without_networks_refuses_a_precision() -> None:
    with pytest.raises(InputError, match="leave --precision and --compile out"):
        Server(Settings(models=("mean",), devices=("cpu",), computing=Computing("bf16")))
    Server(Settings(models=("mean", "thin"), devices=("cpu",), computing=Computing("bf16"))).close(5)


def test_workers_pass_errors_on_and_count_places() -> None:
    async def gone() -> None:
        return None

    async def never() -> None:
        await asyncio.Event().wait()

    def fails(_: None) -> None:
        raise KeyError("x")

    async def some() -> None:
        workers: Workers[None] = Workers([None], waiting=1)
        with workers.place() as place, pytest.raises(KeyError):
            await workers.run(place, fails, 5, never())
        with workers.place(), workers.place(), pytest.raises(Full), workers.place():
            pass
        assert workers.places == 0
        with workers.place() as place, pytest.raises(ClientLeft):
            await workers.run(place, lambda _: time.sleep(0.05), 5, gone())
        while workers.places:
            await asyncio.sleep(0.01)
        workers.close()
        with pytest.raises(Full), workers.place():
            pass

    asyncio.run(some())


def test_a_signal_ends_the_server_in_order(tmp_path: Path) -> None:
    with own_process(tmp_path, "--model", "mean", "--output", str(tmp_path / "out")) as (process, address):
        assert fill_own(address, 1) == 200
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port or 0), 20) as connection:
            connection.sendall(b"no HTTP at all\r\n\r\n")
            assert b" 400 " in connection.recv(4000).partition(b"\r\n")[0]
        large = {"image": encoded(scene(2, 400, 400)), "mask": encoded(hole(400, 400))}
        with ThreadPoolExecutor(1) as pool:
            under_way = pool.submit(
                httpx.post, f"{address}/api/v1/inpaint", files=large, data={"model": "exemplar"}, timeout=120
            )
            until(lambda: httpx.get(f"{address}/health", verify=False).json()["busy"] == 1)
            process.send_signal(signal.SIGTERM)
            assert under_way.result(120).status_code == 200
        assert process.wait(30) == 0
        assert process.stdout is not None and "has ended" in process.stdout.read()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {line["event"] for line in lines} == {"request", "engine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out"]


@pytest.mark.slow
def test_two_hundred_from_another_process_and_steady_memory(tmp_path: Path) -> None:
    with own_process(tmp_path, "--model", "harmonic") as (process, address), ThreadPoolExecutor(200) as pool:

        def round_of(first: int) -> list[int]:
            return list(pool.map(lambda number: fill_own(address, number), range(first, first + 200)))

        def resident() -> int:
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(status.partition("VmRSS:")[2].split()[0])

        first = round_of(0)
        after_200 = resident()
        second = round_of(200)
        after_400 = resident()
    assert set(first + second) <= {200, 429} and first.count(200) >= 17 and second.count(200) >= 17
    assert after_400 <= 1.05 * after_200


@pytest.mark.slow
def test_killed_in_the_middle_leaves_no_partial_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    rng = np.random.default_rng(0)
    sent = {"image": text(encoded(rng.integers(0, 256, (1500, 2000, 3), np.uint8), compress_level=1))}
    for attempt in range(5):
        with own_process(tmp_path, "--model", "mean", "--output", str(out)) as (process, address):

            def save(number: int, address: str = address, attempt: int = attempt) -> None:
                asked = {**sent, "output": f"{attempt}-{number}.png", "sidecar": {}}
                with pytest.raises(httpx.HTTPError):
                    while True:
                        httpx.post(f"{address}/api/v1/save", json={**asked, "overwrite": True}, timeout=30)

            with ThreadPoolExecutor(2) as pool:
                saving = [pool.submit(save, number) for number in range(2)]
                until(lambda attempt=attempt: list(out.glob(f"{attempt}-*.png")), 60)
                time.sleep(0.1 + 0.13 * attempt)
                process.kill()
                for one in saving:
                    one.result(60)
    assert not list(tmp_path.glob("retouche-*"))
    for path in out.iterdir():
        assert path.name.endswith((".png", ".png.retouche.json")), path.name
        if path.suffix == ".png":
            assert decoded(path.read_bytes()).shape == (1500, 2000, 3)
        else:
            json.loads(path.read_text())

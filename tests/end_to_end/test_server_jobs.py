"""A request that names itself can be asked after; a request that names a device gets that device's worker."""

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from serving import decoded, encoded, hole, scene, serving, until

from retouche.apps.server import progress, work
from retouche.apps.server.queue import ClientLeft, Place, Workers
from retouche.inference.devices import choose_device


def name() -> str:
    return secrets.token_hex(16)


class Gate:
    """Holds fills at their half until it is opened; knows which worker does which."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.devices: list[str] = []
        self.fill = work.inpaint
        monkeypatch.setattr(work, "inpaint", self)

    def __call__(self, reader: Any, worker: Any, request: Any, offered: str, source: str, report_progress: Any) -> Any:
        self.devices.append(worker.name)
        report_progress(0.5)
        while not self.open.is_set():
            time.sleep(0.005)
        return self.fill(reader, worker, request, offered, source, report_progress)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open.set()


def fill(client: httpx.Client, **fields: Any) -> httpx.Response:
    """Over a connection of its own, as it may be one of several at a time."""
    files = {"image": encoded(scene()), "mask": encoded(hole())}
    return httpx.post(f"{str(client.base_url).rstrip('/')}/api/v1/inpaint", files=files, data=fields, timeout=60)


def state(client: httpx.Client, job: str) -> dict[str, Any]:
    answer = client.get(f"/api/v1/jobs/{job}")
    assert answer.status_code == 200
    return answer.json()


def test_waiting_running_done(gate: Gate) -> None:
    first, second, third = name(), name(), name()
    with serving() as client, ThreadPoolExecutor(4) as pool:
        assert state(client, first) == {"state": "unknown", "place": None, "fraction": None, "seconds": None}
        one = pool.submit(fill, client, job=first)
        until(lambda: state(client, first)["fraction"] == 0.5)
        two = pool.submit(fill, client, job=second)
        until(lambda: state(client, second)["state"] == "waiting")
        three = pool.submit(fill, client, job=third)
        until(lambda: state(client, third)["state"] == "waiting")
        assert (state(client, second)["place"], state(client, third)["place"]) == (1, 2)
        running = state(client, first)
        assert running["state"] == "running" and running["place"] is None and running["seconds"] > 0
        assert state(client, third)["fraction"] is None
        taken = fill(client, job=first)
        assert taken.status_code == 409 and "in hand" in taken.json()["error"]
        gate.open.set()
        assert [each.result(30).status_code for each in (one, two, three)] == [200, 200, 200]
        for job in (first, second, third):
            ended = state(client, job)
            assert (ended["state"], ended["fraction"], ended["place"]) == ("done", 1.0, None)
        seconds = state(client, first)["seconds"]
        assert state(client, first)["seconds"] == seconds  # it stands
        assert fill(client, job=first).status_code == 200  # a name whose request has ended may be used again


def test_what_fails_or_leaves_has_failed(gate: Gate) -> None:
    with serving() as client, ThreadPoolExecutor(2) as pool:
        left, waited, wrong = name(), name(), name()
        with httpx.Client(base_url=client.base_url, timeout=0.5) as impatient:
            files = {"image": encoded(scene()), "mask": encoded(hole())}
            running = pool.submit(fill, client, job=left)
            until(lambda: state(client, left)["state"] == "running")
            with pytest.raises(httpx.ReadTimeout):
                impatient.post("/api/v1/inpaint", files=files, data={"job": waited})
        until(lambda: state(client, waited)["state"] == "failed")
        gate.open.set()
        assert running.result(30).status_code == 200
        refused = httpx.post(
            f"{str(client.base_url).rstrip('/')}/api/v1/inpaint",
            files={"image": encoded(scene()), "mask": encoded(hole(9, 9))},
            data={"job": wrong},
        )
        assert refused.status_code == 422
        assert state(client, wrong)["state"] == "failed" and state(client, wrong)["fraction"] is None


@pytest.mark.parametrize("job", ["short", "x" * 65, "sixteen letters!!", "../../../../etc/passwd", "naïve-naïve-naïve"])
def test_names_that_could_be_guessed_or_are_none_are_refused(job: str) -> None:
    with serving() as client:
        answer = fill(client, job=job)
        assert answer.status_code == 422 and answer.json()["error"].startswith("job:")


def test_the_fraction_of_a_real_fill_rises() -> None:
    job = name()
    large = {"image": encoded(scene(1, 320, 320)), "mask": encoded(hole(320, 320))}
    with serving() as client, ThreadPoolExecutor(1) as pool:
        address = f"{str(client.base_url).rstrip('/')}/api/v1/inpaint"
        data = {"model": "exemplar", "job": job}
        answer = pool.submit(httpx.post, address, files=large, data=data, timeout=120)
        seen = []
        while not answer.done():
            seen.append(state(client, job)["fraction"])
            time.sleep(0.01)
        assert answer.result().status_code == 200
    fractions = [each for each in seen if each is not None]
    assert fractions == sorted(fractions)
    assert len({each for each in fractions if 0 < each < 1}) >= 3


def test_states_need_the_token_and_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    from retouche.apps.server.safety import OUR_LOG, Access

    job = name()
    with caplog.at_level("INFO", OUR_LOG), serving(access=Access(token="a word")) as client:
        assert client.get(f"/api/v1/jobs/{job}").status_code == 401
        shown = {"Authorization": "Bearer a word"}
        assert client.get(f"/api/v1/jobs/{job}", headers=shown).json()["state"] == "unknown"
        assert client.get(f"/api/v1/jobs/{job}", headers={**shown, "Host": "foreign.example"}).status_code == 421
        elsewhere = client.get(f"/api/v1/jobs/{job}", headers={**shown, "Origin": "https://foreign.example"})
        assert "access-control-allow-origin" not in elsewhere.headers  # its page may not read it
        assert elsewhere.headers["cross-origin-resource-policy"] == "same-origin"
    statuses = [line for line in caplog.messages if job in line]
    assert len(statuses) == 2 and all('"status": 4' in line for line in statuses)


def test_the_register_forgets_the_oldest_and_never_what_is_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "KEPT", 3)
    workers: Workers[None] = Workers([None], waiting=100)
    register = progress.Register()
    in_hand = Place(workers)
    register.enter("in-hand", in_hand)
    for number in range(20):
        place = Place(workers)
        workers.places += 1
        register.enter(str(number), place)
        place.leave()
    kept = [number for number in range(20) if register.state(str(number)).state != "unknown"]
    assert kept == [16, 17, 18, 19]  # three, and the one that had not ended when the last name came
    assert register.state("in-hand").state == "waiting"
    with pytest.raises(progress.NameTaken):
        register.enter("in-hand", Place(workers))
    workers.close()


# Devices ------------------------------------------------------------------------------------------------------------


def test_two_workers_of_one_processor_have_names_of_their_own() -> None:
    assert [str(choose_device(given).device) for given in ("cpu", "cpu:1")] == ["cpu", "cpu:1"]


def test_a_request_gets_the_device_it_names(gate: Gate) -> None:
    gate.open.set()
    with serving(devices=("cpu", "cpu:1")) as client:
        assert [each["name"] for each in client.get("/api/v1/server-config").json()["devices"]] == ["cpu", "cpu:1"]
        for device in ("cpu:1", "cpu", "cpu:1", "cpu:1"):
            answer = fill(client, device=device, model="harmonic")
            assert answer.status_code == 200
            assert f'"worker":"{device}"' in answer.headers["x-retouche-report"]
        assert gate.devices == ["cpu:1", "cpu", "cpu:1", "cpu:1"]
        refused = fill(client, device="cuda:7")
        assert refused.status_code == 422
        assert refused.json()["error"] == 'no device "cuda:7" on this server; offered: cpu, cpu:1'
        assert client.get("/health").json()["busy"] == 0


def test_results_do_not_depend_on_the_worker() -> None:
    with serving(devices=("cpu", "cpu:1")) as client:
        one, other = (decoded(fill(client, device=device, model="exemplar").content) for device in ("cpu", "cpu:1"))
        assert np.array_equal(one, other)


def test_who_names_no_device_takes_the_free_one_and_passes_those_who_wait_for_another(gate: Gate) -> None:
    jobs = [name() for _ in range(5)]
    with serving(devices=("cpu", "cpu:1"), waiting=3) as client, ThreadPoolExecutor(6) as pool:

        def ask(number: int, wanted: str, **fields: str) -> Any:
            asked = pool.submit(fill, client, job=jobs[number], **fields)
            until(lambda: state(client, jobs[number])["state"] == wanted)
            return asked

        asked = [
            ask(0, "running", device="cpu:1"),
            ask(1, "waiting", device="cpu:1"),
            ask(2, "waiting", device="cpu:1"),
            ask(3, "running"),  # the other worker is free, though two wait
            ask(4, "waiting", device="cpu"),
        ]
        assert gate.devices == ["cpu:1", "cpu"]
        assert [state(client, jobs[number])["place"] for number in (1, 2, 4)] == [1, 2, 1]
        assert fill(client).status_code == 429  # the queue is one for all, and bounded
        gate.open.set()
        assert [each.result(30).status_code for each in asked] == [200] * 5
        assert sorted(gate.devices) == ["cpu", "cpu", "cpu:1", "cpu:1", "cpu:1"]


def test_the_same_device_twice_is_two_workers(gate: Gate) -> None:
    with serving(devices=("cpu", "cpu")) as client, ThreadPoolExecutor(2) as pool:
        assert [each["name"] for each in client.get("/api/v1/server-config").json()["devices"]] == ["cpu"]
        asked = [pool.submit(fill, client, device="cpu") for _ in range(2)]
        until(lambda: len(gate.devices) == 2)
        gate.open.set()
        assert [each.result(30).status_code for each in asked] == [200, 200]


def test_workers_that_do_not_suit_leave_works_alone_and_those_can_still_be_dropped() -> None:
    async def gone() -> None:
        await asyncio.sleep(0.05)

    async def never() -> None:
        await asyncio.Event().wait()

    done: list[str] = []

    async def some() -> None:
        workers: Workers[str] = Workers(["a", "b"], waiting=4)
        go = threading.Event()

        def work_on(resource: str) -> str:
            done.append(resource)
            go.wait(20)
            return resource

        async def ask(which: str | None, left: Any) -> str:
            with workers.place() as place:
                if which is not None:
                    place.suits = lambda resource: resource == which
                return await workers.run(place, work_on, 30, left)

        first = asyncio.ensure_future(ask("a", never()))
        while not done:
            await asyncio.sleep(0.001)
        waiting = asyncio.ensure_future(ask("a", gone()))
        with pytest.raises(ClientLeft):
            await waiting
        assert done == ["a"] and workers.places == 1
        other = asyncio.ensure_future(ask(None, never()))
        while len(done) < 2:
            await asyncio.sleep(0.001)
        assert done == ["a", "b"]
        go.set()
        assert [await first, await other] == ["a", "b"]
        assert await ask("b", never()) == "b" and await ask("a", never()) == "a"
        assert workers.places == 0
        workers.close()

    asyncio.run(some())

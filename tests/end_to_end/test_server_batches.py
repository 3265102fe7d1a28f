"""Fills without a connection: a job is begun, asked after, fetched or ended; a batch goes through a folder."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import decoded, encoded, hole, scene, serving, text, until

from retouche.apps.server import jobs, work

KNOWN = hole() == 0
FILES = {"image": encoded(scene(3)), "mask": encoded(hole())}


class Held:
    """Fills wait until `go`, and tell meanwhile that they are at their half."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = False
        self.begun = 0
        self.fill = work._fill
        monkeypatch.setattr(work, "_fill", self)

    def __call__(self, model: Any, given: Any, options: Any, progress: Any) -> Any:
        self.begun += 1
        while not self.go:
            progress(0.5)
            time.sleep(0.005)
        return self.fill(model, given, options, progress)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    made = Held(monkeypatch)
    yield made
    made.go = True


def test_a_job_is_begun_asked_after_and_fetched(held: Held) -> None:
    with serving(waiting=0) as client:
        begun = client.post("/api/v1/jobs", files=FILES, data={"dilate": "0"})
        assert begun.status_code == 202 and begun.headers["location"] == begun.json()["state"]
        state, result = begun.json()["state"], begun.json()["result"]
        until(lambda: client.get(state).json()["fraction"] == 0.5)
        waits = client.get(result)
        assert waits.status_code == 202 and waits.json()["state"] == "running" and waits.headers["retry-after"]
        full = client.post("/api/v1/jobs", files=FILES)
        assert full.status_code == 429 and full.headers["retry-after"]
        held.go = True
        until(lambda: client.get(state).json()["state"] == "done")
        for _ in range(2):
            got = client.get(result)
            assert got.status_code == 200 and got.headers["x-seed"] == "0"
            assert (decoded(got.content)[KNOWN] == scene(3)[KNOWN]).all()
        assert client.delete(state).status_code == 204
        assert client.get(result).status_code == client.delete(state).status_code == 404


def test_a_job_is_ended(held: Held) -> None:
    with serving() as client:
        address = client.post("/api/v1/jobs", files={**FILES}, data={"job": "a" * 16}).json()["state"]
        assert address == f"/api/v1/jobs/{'a' * 16}"
        assert client.post("/api/v1/jobs", files=FILES, data={"job": "a" * 16}).status_code == 409
        until(lambda: held.begun == 1)
        assert client.delete(address).status_code == 204
        until(lambda: client.get(address).json()["state"] == "failed")
        until(lambda: client.get("/health").json()["busy"] == 0)


def test_a_job_that_fails_says_why() -> None:
    with serving() as client:
        assert client.post("/api/v1/jobs", files=FILES, data={"device": "cuda:9"}).status_code == 422
        begun = client.post("/api/v1/jobs", files={**FILES, "mask": encoded(hole(9, 9))}).json()
        until(lambda: client.get(begun["state"]).json()["state"] == "failed")
        answer = client.get(begun["result"])
        assert answer.status_code == 422 and "same size" in answer.json()["error"]


def test_results_wait_so_long_and_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as client:
        made = []
        for _ in range(3):
            made.append(client.post("/api/v1/jobs", files=FILES).json())
            until(lambda: client.get(made[-1]["state"]).json()["state"] == "done")
        size = len(client.get(made[0]["result"]).content)
        monkeypatch.setattr(jobs, "KEPT_BYTES", 2 * size)
        assert [client.get(each["result"]).status_code for each in made] == [404, 200, 200]
        monkeypatch.setattr(jobs, "KEPT_SECONDS", 0.0)
        assert client.get(made[2]["result"]).status_code == 404


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    for name in ("in/trip", "out"):
        (tmp_path / name).mkdir(parents=True)
    for number, name in enumerate(("a.png", "trip/b.png", "c.png")):
        (tmp_path / "in" / name).write_bytes(encoded(scene(number)))
    (tmp_path / "in" / "broken.png").write_bytes(encoded(scene(5))[:90])
    (tmp_path / "secret.png").write_bytes(encoded(scene(6)))
    return {"input": tmp_path / "in", "output": tmp_path / "out"}


def ended(client: httpx.Client, address: str) -> dict[str, Any]:
    until(lambda: client.get(address).json()["state"] != "running")
    return client.get(address).json()


def test_a_batch_goes_through_a_folder(folders: dict[str, Path]) -> None:
    names = ["a.png", "trip/b.png", "broken.png", "c.png", "../secret.png", "none.png"]
    sent = {"names": names, "mask": text(encoded(hole())), "masks": {"c.png": text(encoded(hole(9, 9)))}, "dilate": 0}
    with serving(**folders) as client:
        begun = client.post("/api/v1/batches", json=sent)
        assert begun.status_code == 202 and begun.json()["state"] == "running"
        state = ended(client, begun.headers["location"])
        rows = {row["name"]: row for row in state["pictures"]}
        assert (state["state"], state["done"], state["failed"]) == ("done", 2, 4)
        for number, name in enumerate(names[:2]):
            row = rows[name]
            assert row["saved"] == [name] and row["strategy"] == "whole" and 0 < row["hole"] < 1
            saved = decoded((folders["output"] / name).read_bytes())
            assert (saved[KNOWN] == scene(number)[KNOWN]).all() and (saved != scene(number)).any()
        assert "same size" in rows["c.png"]["error"] and rows["broken.png"]["error"]
        assert "no such picture" in rows["none.png"]["error"] == rows["../secret.png"]["error"]
        assert str(folders["input"]) not in client.get(begun.headers["location"]).text
        again = ended(client, client.post("/api/v1/batches", json={**sent, "names": ["a.png"]}).headers["location"])
        assert again["failed"] == 1 and "exists" in again["pictures"][0]["error"]
        over = {**sent, "names": ["a.png"], "overwrite": True}
        assert ended(client, client.post("/api/v1/batches", json=over).headers["location"])["done"] == 1
        bare = ended(client, client.post("/api/v1/batches", json={"names": ["a.png"]}).headers["location"])
        assert "no mask" in bare["pictures"][0]["error"]
        assert client.get("/api/v1/batches/nothing").status_code == 404


def test_a_batch_waits_among_others_and_is_stopped(held: Held, folders: dict[str, Path]) -> None:
    sent = {"names": ["a.png", "trip/b.png", "c.png"], "mask": text(encoded(hole()))}
    with serving(waiting=0, **folders) as client:
        job = client.post("/api/v1/jobs", files=FILES).json()
        address = client.post("/api/v1/batches", json=sent).headers["location"]
        until(lambda: client.get(address).json()["pictures"][0]["state"] == "running")
        assert held.begun <= 1  # the queue is full: the batch comes again
        client.delete(job["state"])
        until(lambda: client.get(address).json()["pictures"][0]["fraction"] == 0.5)
        client.delete(address)
        state = ended(client, address)
        assert state["state"] == "stopped" and [row["state"] for row in state["pictures"]] == ["stopped"] * 3
        until(lambda: client.get("/health").json()["busy"] == 0)
    assert not list(folders["output"].iterdir())


def test_a_batch_needs_two_folders(folders: dict[str, Path]) -> None:
    with serving(input=folders["input"]) as client:
        answer = client.post("/api/v1/batches", json={"names": ["a.png"], "mask": text(encoded(hole()))})
        assert answer.status_code == 404 and "--output" in answer.json()["error"]

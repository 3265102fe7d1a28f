"""How answers travel: HEAD, 304, compression; and when to come again to a full queue."""

import asyncio
import contextlib
import gzip
import math
import time
from collections.abc import Iterator

import httpx
import pytest
from serving import encoded, scene, serving

from retouche.apps.server.app import EDITOR
from retouche.apps.server.models import Catalogue
from retouche.apps.server.queue import Workers

SCRIPT = "/document.js"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "a.png").write_bytes(encoded(scene()))
    with serving(input=folder) as made:
        yield made


@pytest.mark.parametrize(
    "path", [SCRIPT, "/", "/style.css", "/example.jpg", "/docs", "/openapi.json", "/api/v1/files/a.png"]
)
def test_what_the_client_has_is_not_sent_again(client: httpx.Client, path: str) -> None:
    first = client.get(path)
    assert first.status_code == 200 and first.headers["etag"]
    again = client.get(path, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == first.headers["etag"]
    # whether compressed or not, it is the same version
    plain = client.get(path, headers={"If-None-Match": first.headers["etag"], "Accept-Encoding": "identity"})
    assert plain.status_code == 304
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content


def test_head_tells_what_get_would(client: httpx.Client) -> None:
    for path in ("/", SCRIPT, "/health", "/api/v1/server-config", "/api/v1/files/a.png", "/example.jpg"):
        head, got = client.head(path), client.get(path)
        assert head.status_code == got.status_code == 200 and head.content == b"", path
        for name in ("content-type", "content-length", "content-security-policy"):
            assert head.headers[name] == got.headers[name], (path, name)
    assert client.head("/nothing.js").status_code == 404 and client.head("/nothing.js").content == b""
    assert client.head("/api/v1/inpaint").status_code == client.get("/api/v1/inpaint").status_code == 404


def test_text_is_compressed_and_pictures_are_not(client: httpx.Client) -> None:
    script = (EDITOR / "document.js").read_bytes()
    with client.stream("GET", SCRIPT, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "Accept-Encoding"
    assert len(raw) == int(answer.headers["content-length"]) < len(script) / 2 and gzip.decompress(raw) == script
    plain = client.get(SCRIPT, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == script
    for path in ("/example.jpg", "/api/v1/files/a.png"):
        assert "content-encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers, path


def test_patience_is_as_long_as_works_take() -> None:
    async def work(seconds: float) -> list[int]:
        workers = Workers([None], 3)
        before = workers.retry_after()

        async def stays() -> None:
            await asyncio.sleep(60)

        with contextlib.ExitStack() as stack:
            place = stack.enter_context(workers.place())
            await workers.run(place, lambda _: time.sleep(seconds), 60, stays())
            (took,) = workers._durations
            places = [stack.enter_context(workers.place()) for _ in range(4)]  # full: three of them wait
            found = [before, workers.retry_after()]
            turns = [workers.turn() for _ in range(200)]
        assert len(places) == 4
        assert (
            turns[0] == found[1] and turns == sorted(turns) and turns[-1] == min(120, math.ceil(took + 199 * took / 2))
        )
        workers.close()
        return found

    assert asyncio.run(work(0.01)) == [1, 1]
    assert asyncio.run(work(2.1)) == [1, 3]


def test_the_default_is_listed_once_with_what_it_is() -> None:
    for given in (("default",), ("harmonic",), ("retouche", "mean"), ("default", "exemplar")):
        rows = Catalogue(given).rows()
        ours = [row for row in rows if row["method"] == "retouche"]
        assert len(ours) == 1 and ours[0]["kind"] == "networks and collage" and ours[0]["licence"], given
        assert ours[0]["name"] == ("retouche" if "retouche" in given else "default")
        kinds = {row["name"]: row["kind"] for row in rows}
        assert kinds["guided"] == "networks and collage" and kinds["harmonic"] == "fill without weights"
        assert kinds["thin:shipped"] == "network"

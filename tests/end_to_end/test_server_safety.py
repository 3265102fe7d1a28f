"""Who may come in, and that nothing hostile leads to an internal error, a traceback or a file outside."""

import http.client
import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hostile import JSON, Request, by_hand, generated
from serving import encoded, hole, scene, serving, text, until

from retouche.apps.cli import main
from retouche.apps.server.safety import Access

TOKEN = "a word that is hard to guess"


def ask(client: httpx.Client, request: Request) -> tuple[int, dict[str, str], bytes]:
    """Send a request as it is, path and headers unmended."""
    url = client.base_url
    connection = http.client.HTTPConnection(url.host, url.port, timeout=30)
    try:
        connection.putrequest(request.method, request.path, skip_host="Host" in request.headers)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        if request.method == "POST":
            connection.putheader("Content-Length", str(len(request.body)))
        connection.endheaders(request.body or None)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("attacked")
    for name in ("in", "out", "tmp"):
        (root / name).mkdir()
    (root / "in" / "a.png").write_bytes(encoded(scene(1)))
    (root / "secret.png").write_bytes(encoded(scene(4)))
    return root


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[httpx.Client]:
    patch = pytest.MonkeyPatch()
    patch.setattr("tempfile.tempdir", str(place / "tmp"))
    with serving(input=place / "in", output=place / "out", max_bytes=2_000_000, max_seconds=20) as client:
        yield client
    assert list((place / "tmp").iterdir()) == []
    patch.undo()


def check(status: int, headers: dict[str, str], body: bytes) -> None:
    """An error in one line of JSON, or a good answer; never an internal one."""
    assert status < 500, body[:300]
    assert b"Traceback" not in body and b'File "' not in body and b"/work" not in body and b"site-packages" not in body
    if status >= 400 and headers.get("content-type", "").startswith("application/json"):
        error = json.loads(body)["error"]
        assert error and "\n" not in error and len(error) < 400, error


@pytest.mark.parametrize("request_", by_hand(), ids=lambda request: request.name)
def test_hostile(client: httpx.Client, place: Path, request_: Request) -> None:
    before = sorted(path for path in place.rglob("*") if "tmp" not in path.parts)
    status, headers, body = ask(client, request_)
    check(status, headers, body)
    assert 400 <= status < 500, body[:200]
    assert sorted(path for path in place.rglob("*") if "tmp" not in path.parts) == before
    assert client.get("/health").json()["busy"] == 0


def test_generated_requests(client: httpx.Client) -> None:
    for request in generated(60):
        check(*ask(client, request))
    assert client.get("/health").json()["status"] == "ok"


@pytest.mark.slow
def test_three_hundred_more(client: httpx.Client) -> None:
    statuses = set()
    for request in generated(300, seed=1):
        answer = ask(client, request)
        check(*answer)
        statuses.add(answer[0])
    assert {200, 422} <= statuses


@pytest.mark.slow
def test_by_the_description(client: httpx.Client) -> None:
    import schemathesis
    from hypothesis import HealthCheck, given, settings

    described = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    found: Any
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def attempt(case: Any) -> None:
            answer = case.call(base_url=str(client.base_url))
            check(answer.status_code, {}, answer.content)

        attempt()


def test_length_is_refused_before_anything_arrives(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), 20) as connection:
        head = "POST /api/v1/inpaint HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
        connection.sendall(f"{head}99999999999999999999\r\n\r\n".encode())
        assert b" 413 " in connection.recv(4000).partition(b"\r\n")[0]


def test_bytes_are_counted_where_no_length_is_given(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        yield b'{"image": "'
        for _ in range(60):
            yield b"A" * 50_000

    answer = client.post("/api/v1/inpaint", content=endless(), headers=JSON)
    assert answer.status_code == 413 and "limit is 2000000" in answer.json()["error"]


def test_pictures_beyond_the_limit_are_refused_by_their_header() -> None:
    with serving(max_pixels=4000) as client:
        answer = client.post("/api/v1/view", files={"image": encoded(scene())})
        assert answer.status_code == 422 and "megapixels" in answer.json()["error"]


def test_the_token() -> None:
    with serving(access=Access(token=TOKEN)) as client:
        assert client.get("/health").status_code == 200
        refused = client.get("/api/v1/models")
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        assert "error" in refused.json()
        for wrong in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN.upper()}"):
            assert client.get("/api/v1/models", headers={"Authorization": wrong}).status_code == 401
        assert client.get("/api/v1/models", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        for path in ("/style.css", "/docs", "/openapi.json", "/api/v1/server-config", "/api/v1/files"):
            assert client.get(path).status_code == 401
        sent = {"image": text(encoded(scene())), "mask": text(encoded(hole()))}
        assert client.post("/api/v1/inpaint", json=sent).status_code == 401


def test_the_page_asks_for_the_token() -> None:
    with serving(access=Access(token=TOKEN)) as client:
        page = client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 401 and 'action="/token"' in page.text and "<script" not in page.text
        assert client.get("/pages.css").status_code == 200
        wrong = client.post("/token", data={"token": "guess"})
        assert wrong.status_code == 401 and "not the token" in wrong.text and "set-cookie" not in wrong.headers
        right = client.post("/token", data={"token": TOKEN})
        assert right.status_code == 303 and right.headers["location"] == "/"
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and TOKEN not in cookie
        assert client.get("/api/v1/models").status_code == 200  # the client keeps the cookie
        client.cookies.clear()
        client.cookies.set("retouche_token", "0" * 64)
        assert client.get("/api/v1/models").status_code == 401


def test_listed_sites_may_call_and_no_others() -> None:
    site = "https://editor.example"
    with serving(access=Access(origins=(site,))) as client:
        asked = {"Origin": site, "Access-Control-Request-Method": "POST"}
        preflight = client.options("/api/v1/inpaint", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == site
        assert "access-control-allow-credentials" not in preflight.headers
        answer = client.post("/api/v1/model", json={"name": "mean"}, headers={"Origin": site})
        assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == site
        other = client.post("/api/v1/model", json={"name": "mean"}, headers={"Origin": "https://other.example"})
        assert other.status_code == 403 and "access-control-allow-origin" not in other.headers
        assert client.get("/health", headers={"Host": "editor.example"}).status_code == 200  # behind its proxy
        own = client.post("/api/v1/model", json={"name": "mean"}, headers={"Origin": str(client.base_url)})
        assert own.status_code == 200


@pytest.mark.parametrize(
    ("host", "header", "admitted"),
    [
        ("127.0.0.1", "localhost:1234", True),
        ("127.0.0.1", "[::1]:80", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "192.168.1.5", False),
        ("192.168.1.5", "192.168.1.5:8080", True),
        ("192.168.1.5", "evil.example", False),
        ("0.0.0.0", "192.168.1.5:8080", True),
        ("0.0.0.0", "[fe80::1]:8080", True),
        ("0.0.0.0", "evil.example", False),
        ("paint.local", "paint.local:8080", True),
        ("127.0.0.1", None, False),
        ("127.0.0.1", "localhost, evil.example", False),
    ],
)
def test_hosts(host: str, header: str | None, admitted: bool) -> None:
    assert Access(host).admits_host(header) is admitted


def test_a_token_of_any_letters() -> None:
    with serving(access=Access(token="pässwörd 密")) as client:
        sent = "Bearer pässwörd 密".encode()
        assert client.get("/api/v1/models", headers={b"Authorization": sent}).status_code == 200
        assert client.post("/token", data={"token": "pässwörd 密"}).status_code == 303
        strange = 'a="{\\"x\\": 1}"; ; =; retouche_token' + "=" + client.cookies["retouche_token"]
        client.cookies.clear()
        assert client.get("/api/v1/models", headers={"Cookie": strange}).status_code == 200


def test_other_hosts_need_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "--token" in capsys.readouterr().err
    assert main(["start", "--token", "", "--port", "0"]) == 2
    assert main(["start", "--input", "/no/such/folder"]) == 2
    assert main(["start", "--port", "70000"]) == 2


def test_an_internal_error_tells_nothing(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret at /home/somebody")

    monkeypatch.setattr("retouche.apps.server.foreign.Helper.call", broken)
    with caplog.at_level(logging.INFO, "retouche.server"):
        answer = client.post("/api/v1/view", files={"image": encoded(scene())})
        until(lambda: any('"event": "failure"' in record.getMessage() for record in caplog.records))
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error (ZeroDivisionError): see the server's log"}
    assert client.get("/health").json()["busy"] == 0


def test_the_log_holds_no_picture(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    sent = {"image": text(encoded(scene())), "mask": text(encoded(hole()))}

    def lines() -> list[dict[str, Any]]:
        found = [json.loads(record.getMessage()) for record in caplog.records if record.name == "retouche.server"]
        return [line for line in found if line["path"] == "/api/v1/inpaint"]

    with caplog.at_level(logging.INFO, "retouche.server"):
        assert client.post("/api/v1/inpaint?token=hidden", json=sent).status_code == 200
        until(lines)
    line = lines()[0]
    assert (line["status"], line["model"], line["width"], line["height"]) == (200, "mean", 80, 60)
    server_lines = " ".join(record.getMessage() for record in caplog.records if record.name == "retouche.server")
    assert "hidden" not in server_lines and sent["image"][:40] not in server_lines

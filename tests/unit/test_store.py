"""The cache of weight files against a server on this machine that can misbehave in all the usual ways."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retouche.errors import InputError, WeightsError
from retouche.weights import store

CONTENT = np.random.RandomState(0).bytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked."""

    address: str = ""
    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)  # bytes after which the next connections end
    ranges: bool = True
    shift: int = 0  # where a range really begins
    status: int = 200
    kind: str = "application/octet-stream"
    redirect: str = ""
    endless: bool = False  # no length is said, and zeros without end follow the content
    pause: float = 0.0  # seconds between pieces of 1,000 bytes
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on loopback, and an empty cache."""
    monkeypatch.setenv("RETOUCHE_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # must not be used for this machine
    rules = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            rules.asked.append(asked)
            if rules.redirect:
                self.send_response(302)
                self.send_header("Location", rules.redirect)
                self.end_headers()
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and rules.ranges else 0
            if start >= len(rules.content) and start:
                self.send_error(416)
                return
            if rules.status != 200:
                self.send_error(rules.status)
                return
            body = rules.content[start + rules.shift :] if start else rules.content
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start + rules.shift}-{len(rules.content) - 1}/*")
            self.send_header("Content-Type", rules.kind)
            if not rules.endless:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if rules.pause:
                self.drip(body)
                return
            if rules.endless:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.wfile.write(body)
                    while True:
                        self.wfile.write(bytes(1 << 16))
            with contextlib.suppress(OSError):  # who has enough hangs up
                self.wfile.write(body[: rules.cuts.pop(0)] if rules.cuts else body)

        def drip(self, body: bytes) -> None:
            with contextlib.suppress(OSError):
                for start in range(0, len(body), 1000):
                    self.wfile.write(body[start : start + 1000])
                    time.sleep(rules.pause)

        def log_message(self, *words: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        rules.address = f"http://127.0.0.1:{running.server_address[1]}/w.pth"
        yield rules
        running.shutdown()
        thread.join()


def beside(path: Path) -> list[str]:
    """All files in the cache."""
    return sorted(file.name for file in path.rglob("*") if file.is_file())


def test_a_file_is_fetched_once_and_kept(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = store.fetch(server.address, SHA256, "m/w.pth", progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "weights" / "m" / "w.pth"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert store.fetch(server.address, SHA256.upper(), "m/w.pth") == path
    assert server.asked == [None]
    assert beside(tmp_path) == ["w.pth"], "no temporary file stays"


def test_a_wrong_hash_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"has SHA-256 {SHA256} instead of {'0' * 64}"):
        store.fetch(server.address, "0" * 64, "w.pth")
    assert beside(tmp_path) == []


def test_a_cut_connection_is_taken_up_within_the_call(server: Server) -> None:
    server.cuts = [100_000, 5]
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=100005-"]


def test_a_download_cut_for_good_continues_at_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [300_000, 0]
    with pytest.raises(WeightsError, match=r"beyond byte 300000 \(kept: the same command continues\)"):
        store.fetch(server.address, SHA256, "w.pth")
    assert (tmp_path / "weights" / "w.pth.part").stat().st_size == 300_000
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=300000-"
    assert beside(tmp_path) == ["w.pth"]


def test_a_complete_part_needs_no_connection(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "weights" / "w.pth.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize("beginning", [b"another file's beginning", CONTENT + b"too long", b"x" * len(CONTENT)])
def test_a_part_that_does_not_belong_is_dropped(server: Server, tmp_path: Path, beginning: bytes) -> None:
    part = tmp_path / "weights" / "w.pth.part"
    part.parent.mkdir()
    part.write_bytes(beginning)
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(beginning)}-", None]


def test_a_server_that_ignores_ranges_starts_anew(server: Server) -> None:
    server.ranges = False
    server.cuts = [300_000]
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere_is_not_believed(server: Server) -> None:
    server.cuts = [300_000]
    server.shift = 7
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", None]


def test_a_spoiled_cache_entry_is_fetched_anew(server: Server) -> None:
    path = store.fetch(server.address, SHA256, "w.pth")
    path.write_bytes(b"spoiled")
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_spoiled_cache_entry_is_not_used_offline(server: Server) -> None:
    path = store.fetch(server.address, SHA256, "w.pth")
    path.write_bytes(b"spoiled")
    server.status = 503
    with pytest.raises(WeightsError, match="503"):
        store.fetch(server.address, SHA256, "w.pth")
    assert not path.exists()
    assert store.cached(SHA256, "w.pth") is None


def test_offline_says_address_and_place(server: Server, tmp_path: Path) -> None:
    address = "http://127.0.0.1:9/w.pth"  # the discard port: nobody listens
    with pytest.raises(
        WeightsError, match=f"cannot fetch {address}: .*fetch it by hand and save it as {tmp_path}.*w.pth$"
    ):
        store.fetch(address, SHA256, "w.pth")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_refusals_of_the_server_are_passed_on(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(WeightsError, match=f"answers {status}"):
        store.fetch(server.address, SHA256, "w.pth")
    assert beside(tmp_path) == []


def test_a_web_page_is_no_file(server: Server) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(WeightsError, match="is a web page: open it in a browser and save the file as"):
        store.fetch(server.address, SHA256, "w.pth")


def test_too_little_space_is_seen_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**5, 10**5))
    with pytest.raises(WeightsError, match=r"1 MB are still to come but .* has 0 MB free: make room"):
        store.fetch(server.address, SHA256, "w.pth")
    assert beside(tmp_path) == []


def test_a_disk_that_fills_up_is_said(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    plain_open = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 400_000

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *why: object) -> None:
            self.file.close()

        def write(self, chunk: bytes) -> int:
            self.room -= len(chunk)
            if self.room < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(chunk)

    def open_full(path: Path, mode: str = "r", **options: Any) -> Any:
        file = plain_open(path, mode, **options)
        return Full(file) if path.suffix == ".part" and mode in {"wb", "ab"} else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        with pytest.raises(WeightsError, match=r"the disk of .* is full: make room, then the same command continues"):
            store.fetch(server.address, SHA256, "w.pth")
    assert store.fetch(server.address, SHA256, "w.pth").read_bytes() == CONTENT
    assert server.asked[1].startswith("bytes="), "it continues"


def test_an_unknown_hash_is_refused_until_accepted_then_recorded(server: Server) -> None:
    with pytest.raises(WeightsError, match="--accept-unknown-hash"):
        store.fetch(server.address, None, "w.pth")
    assert server.asked == [], "nothing was fetched"
    path = store.fetch(server.address, None, "w.pth", accept_unknown_hash=True)
    assert store.fetch(server.address, None, "w.pth") == path, "accepted once is accepted"
    server.content = b"something else"
    path.unlink()
    with pytest.raises(WeightsError, match=f"instead of {SHA256}"):
        store.fetch(server.address, None, "w.pth", accept_unknown_hash=True)


def test_a_file_put_there_by_hand_needs_acceptance_too(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "weights" / "m" / "w.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"by hand")
    with pytest.raises(WeightsError, match="by hand: say `retouche download NAME --accept-unknown-hash`"):
        store.cached(None, "m/w.pth")
    assert store.fetch("https://drive.google.com/x", None, "m/w.pth", accept_unknown_hash=True) == path
    assert store.cached(None, "m/w.pth") == path
    path.write_bytes(b"changed since")
    assert store.cached(None, "m/w.pth") is None
    assert not path.exists()


def test_a_folder_put_there_by_hand_is_checked_as_a_whole(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "release"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"1")
    (folder / "b").write_bytes(b"2")
    assert store.cached(None, "release", accept_unknown_hash=True) == folder
    assert store.cached(None, "release") == folder
    (folder / "b").write_bytes(b"3")
    assert store.cached(None, "release") is None


def test_a_checkpoint_put_there_by_hand_is_one_entry(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "m"
    folder.mkdir(parents=True)
    assert store.cached(None, "m/snap-0") is None
    for suffix in ("index", "data-00000-of-00001"):
        (folder / f"snap-0.{suffix}").write_bytes(suffix.encode())
    assert store.cached(None, "m/snap-0", accept_unknown_hash=True) == folder / "snap-0"
    (folder / "snap-0.index").write_bytes(b"changed")
    assert store.cached(None, "m/snap-0") is None


@pytest.mark.parametrize("record", ["{", "[1]", "[" * 100_000, "9" * 5000])
def test_a_damaged_record_is_named(server: Server, tmp_path: Path, record: str) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / store.RECORD).write_text(record)
    with pytest.raises(WeightsError, match="is damaged: remove it"):
        store.fetch(server.address, None, "w.pth", accept_unknown_hash=True)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://example.com/a", "w.pth", ""])
def test_only_https_is_fetched(server: Server, address: str) -> None:
    with pytest.raises(WeightsError, match="is not fetched: only https"):
        store.fetch(address, SHA256, "w.pth")


def test_plain_http_is_fetched_where_it_is_allowed_and_the_hash_is_known(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_is_loopback", lambda host: False)  # this machine's address as if it were another's
    monkeypatch.delenv("http_proxy")
    with pytest.raises(WeightsError, match="with --allow-http"):
        store.fetch(server.address, SHA256, "w.pth")
    with pytest.raises(WeightsError, match="whose hash is known"):
        store.fetch(server.address, None, "w.pth", accept_unknown_hash=True, allow_http=True)
    assert store.fetch(server.address, SHA256, "w.pth", allow_http=True).read_bytes() == CONTENT


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://example.com/a"])
def test_redirects_to_other_schemes_are_refused(server: Server, address: str) -> None:
    server.redirect = address
    with pytest.raises(WeightsError, match=r"is not fetched|answers 302"):
        store.fetch(server.address, SHA256, "w.pth")


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_no_more_is_written_than_the_file_has(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    """600 MB were written once for a file of 1 MB whose server sent no length."""
    monkeypatch.setattr(store, "LARGEST_BYTES", 2_000_000)
    server.endless = True
    seen: list[int] = []
    with pytest.raises(WeightsError, match=r"is larger than the \d+ bytes expected: not kept"):
        store.fetch(server.address, SHA256, "w.pth", progress=lambda done, _: seen.append(done), size_bytes=size)
    assert max(seen) < 2_500_000
    assert beside(tmp_path) == []


def test_a_promise_of_too_much_is_refused_before_a_byte_is_written(server: Server, tmp_path: Path) -> None:
    server.content = bytes(3_000_000)
    with pytest.raises(WeightsError, match="is larger than the"):
        store.fetch(server.address, SHA256, "w.pth", size_bytes=len(CONTENT))
    assert beside(tmp_path) == []


def test_a_connection_that_drips_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(store, "ATTEMPTS", 1)
    server.pause = 0.05
    with pytest.raises(WeightsError, match=r"it brings \d+ bytes a second"):
        store.fetch(server.address, SHA256, "w.pth")


def test_redirects_in_a_circle_end_in_one_line(server: Server) -> None:
    server.redirect = server.address
    with pytest.raises(WeightsError, match="leads on and on") as said:
        store.fetch(server.address, SHA256, "w.pth")
    assert "\n" not in str(said.value)
    assert len(server.asked) <= 1 + store.REDIRECTS


def test_browser_pages_are_named_honestly(server: Server, tmp_path: Path) -> None:
    address = "https://drive.google.com/uc?export=download&id=1"
    with pytest.raises(WeightsError, match=f"opens in a browser only: download w.pth there and save it as {tmp_path}"):
        store.fetch(address, SHA256, "w.pth")


@pytest.mark.parametrize("name", ["../w.pth", "/etc/w.pth", "a/../../w.pth"])
def test_names_stay_in_the_cache(server: Server, name: str) -> None:
    with pytest.raises(InputError, match="leads out of the cache folder"):
        store.fetch(server.address, SHA256, name)


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RETOUCHE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.cache_folder() == tmp_path / "retouche"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert store.cache_folder() == Path.home() / ".cache" / "retouche"
    monkeypatch.setenv("RETOUCHE_HOME", "~/here")
    assert store.cache_folder() == Path.home() / "here"


def test_two_at_once_fetch_it_once(server: Server) -> None:
    threads = [threading.Thread(target=store.fetch, args=(server.address, SHA256, "w.pth")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (store.weights_folder() / "w.pth").read_bytes() == CONTENT
    assert server.asked == [None]

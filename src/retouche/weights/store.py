"""Weight files from the network: fetched once, checked against their SHA-256 every time, kept in a cache folder."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import http.client
import ipaddress
import json
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retouche.errors import InputError, WeightsError
from retouche.weights.border import one_line

log = logging.getLogger("retouche")

Progress = Callable[[int, "int | None"], None]
"""Called with bytes so far, and bytes in all where the server says so."""

CHUNK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0
SLOW_SECONDS, SLOW_BYTES = 60.0, 64_000
"""A connection that brings less in this time is given up."""
REDIRECTS = 5
LARGEST_BYTES = 4 << 30
"""Of a file whose size neither we nor the server know; more is not written."""
ATTEMPTS = 4
"""How often a cut download is taken up again within one call."""

SPARE_BYTES = 64 << 20
"""Disk space that a download leaves free."""

PART = ".part"
RECORD = "accepted-hashes.json"
NO_HOME = Path("/nonexistent")  # by the convention of Debian and others, the home of users that have none

BROWSER_HOSTS = ("drive.google.com", "docs.google.com", "pan.baidu.com", "1drv.ms", "onedrive.live.com")
"""They give large files to browsers only, behind a page."""


@dataclass(frozen=True)
class Weights:
    """A file of weights: where it is, what it is, and what one may do with it.

    Attributes:
        packaged: whether it comes with the package itself, in `retouche/weights/shipped`
    """

    tag: str
    file: str
    url: str | None
    sha256: str | None
    licence: str
    trained_on: str
    layout: str
    remark: str = ""
    size_bytes: int | None = None
    packaged: bool = False


def cache_folder() -> Path:
    """`RETOUCHE_HOME`, else `retouche` in the XDG cache folder.

    A user without a home folder, as in a container, has no cache: what is asked of it is not there, and what is to be
    written says that RETOUCHE_HOME is to be set.
    """
    if home := os.environ.get("RETOUCHE_HOME"):
        return Path(home).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG rules ignore relative paths
    if Path(caches).is_absolute():
        return Path(caches) / "retouche"
    try:
        return Path.home() / ".cache" / "retouche"
    except RuntimeError:  # neither HOME nor an entry among the system's users
        return NO_HOME / "retouche"


def packaged(file: str) -> Path:
    """Where a weight file that comes with the package is."""
    return Path(__file__).parent / "shipped" / file


def weights_folder() -> Path:
    """Where downloaded weights are."""
    return cache_folder() / "weights"


def sha256_of(*files: Path) -> str:
    """A file's SHA-256; of several files that of the lines "HASH  NAME"."""
    hashes = []
    for path in files:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
        hashes.append(digest.hexdigest())
    if len(files) == 1:
        return hashes[0]
    lines = "".join(f"{digest}  {path.name}\n" for digest, path in zip(hashes, files, strict=True))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def entry_files(path: Path) -> list[Path]:
    """The files of a cache entry, which is a file, a folder or a TensorFlow checkpoint's prefix; none if not there."""
    if path.is_file():
        return [path]
    found = path.rglob("*") if path.is_dir() else path.parent.glob(f"{glob.escape(path.name)}.*")
    return sorted(file for file in found if file.is_file() and file.suffix != PART)


def needs_browser(url: str) -> bool:
    """Whether the address leads to a page for people rather than to the file."""
    return urllib.parse.urlsplit(url).hostname in BROWSER_HOSTS


def fetch(
    url: str,
    sha256: str | None,
    name: str,
    accept_unknown_hash: bool = False,
    progress: Progress | None = None,
    size_bytes: int | None = None,
    allow_http: bool = False,
) -> Path:
    """A file from the cache, downloaded before if it is not there.

    An interrupted download is taken up where it ended (its beginning lies beside as `NAME.part`).

    Args:
        url: https, or http on this machine
        sha256: what the file must have; None if nobody has published it
        name: path of the file below the weights folder
        accept_unknown_hash: take a file without known hash as it comes; its hash is recorded and demanded from then on
        progress: called with how far it is
        allow_http: take plain http too, from any machine: others can read and change it on its way, so only a file
            whose hash is known
        size_bytes: about how large the file is, where that is known; much more is not written

    Raises: WeightsError in one line with the remedy: hash, connection, disk space or address
    """
    target = cached(sha256, name, accept_unknown_hash)
    if target is not None:
        return target
    target = weights_folder() / name
    expected = _expected(sha256, name)
    if needs_browser(url):
        raise WeightsError(f"{url} opens in a browser only: download {target.name} there and save it as {target}")
    allow_http = allow_http and expected is not None
    _check_address(url, allow_http)
    if expected is None:
        _demand_acceptance(accept_unknown_hash, url)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + PART)
    with _alone(part.parent):
        if target.is_file() and expected == sha256_of(target):
            return target  # another process has fetched it meanwhile
        if expected is None:
            part.unlink(missing_ok=True)  # without a hash nothing shows whether the rest belongs to the beginning
        resumed = part.exists()
        limit = LARGEST_BYTES if size_bytes is None else size_bytes + size_bytes // 10 + (1 << 20)
        if not resumed or sha256_of(part) != expected:  # else killed just before it could be renamed
            _download(url, part, limit, progress, allow_http)
        found = sha256_of(part)
        if resumed and expected != found:
            log.warning("%s did not continue what was there: fetching all of it", url)
            part.unlink()
            _download(url, part, limit, progress, allow_http)
            found = sha256_of(part)
        if expected is not None and expected != found:
            part.unlink()
            raise WeightsError(f"{url} has SHA-256 {found} instead of {expected}: not kept; try another source")
        part.replace(target)
    if expected is None:
        _accept(name, found)
    return target


def cached(sha256: str | None, name: str, accept_unknown_hash: bool = False) -> Path | None:
    """A file or folder that is in the cache, checked; None if it is not, or was spoiled and therefore removed.

    Raises: WeightsError if it was put there by hand, nobody knows its hash, and `accept_unknown_hash` is not set
    """
    target = weights_folder() / name
    if not target.resolve().is_relative_to(weights_folder().resolve()):
        raise InputError(f'"{name}" leads out of the cache folder: give a plain name')
    files = entry_files(target)
    if not files:
        return None
    expected, found = _expected(sha256, name), sha256_of(*files)
    if expected is None:
        _demand_acceptance(accept_unknown_hash, f"{target}, put there by hand")
        _accept(name, found)
    elif expected != found:
        log.warning("%s has SHA-256 %s instead of %s: removed", target, found, expected)
        for file in files:
            file.unlink()
        return None
    return target


# Hashes


def _expected(sha256: str | None, name: str) -> str | None:
    """The published hash, else the one recorded when the file was accepted."""
    return (sha256 or _accepted().get(name) or "").lower() or None


def _demand_acceptance(accepted: bool, what: str) -> None:
    if not accepted:
        remedy = "say `retouche download NAME --accept-unknown-hash` to take it on trust"
        raise WeightsError(f"nobody has published the SHA-256 of {what}: {remedy}")


def _accepted() -> dict[str, str]:
    path = weights_folder() / RECORD
    try:
        found = json.loads(path.read_text()) if path.exists() else {}
        return {str(name): str(sha256) for name, sha256 in found.items()}
    except (ValueError, RecursionError, AttributeError):
        raise WeightsError(f"{path} is damaged: remove it, and accept unknown hashes again") from None


def _accept(name: str, sha256: str) -> None:
    path = weights_folder() / RECORD
    beside = path.with_name(f"{RECORD}.{os.getpid()}")
    beside.write_text(json.dumps({**_accepted(), name: sha256}, indent=1, sort_keys=True) + "\n")
    beside.replace(path)
    log.warning("%s: nobody has published its SHA-256; recorded %s", name, sha256)


# Transfer


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Other processes that want files of this folder wait here, where the system has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows: the hash still shows when two have written into each other
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _check_address(url: str, allow_http: bool) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and (allow_http or _is_loopback(parts.hostname))):
        rule = "only https addresses are (http on this machine, or with --allow-http for a file whose hash is known)"
        raise WeightsError(f'"{url}" is not fetched: {rule}')


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to addresses that might be given themselves; never from outside to this machine."""

    max_repeats, max_redirections = 2, REDIRECTS
    allow_http = False

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_address(newurl, self.allow_http)
        if _is_loopback(urllib.parse.urlsplit(newurl).hostname) and not _is_loopback(
            urllib.parse.urlsplit(req.full_url).hostname
        ):
            raise WeightsError(f'"{req.full_url}" leads to {newurl} on this machine: not followed')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, start: int, allow_http: bool) -> Any:
    """The server's answer from a byte on."""
    redirects = _CheckedRedirects()
    redirects.allow_http = allow_http
    handlers: list[urllib.request.BaseHandler] = [redirects]
    if _is_loopback(urllib.parse.urlsplit(url).hostname):
        handlers.append(urllib.request.ProxyHandler({}))
    headers = {"User-Agent": "retouche", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.build_opener(*handlers).open(request, timeout=TIMEOUT_SECONDS)


class _CutError(Exception):
    """The connection ended before the file did, or would not for days."""


def _download(url: str, part: Path, limit: int, progress: Progress | None, allow_http: bool) -> None:
    """Bring `part` to its full length, of at most so many bytes, taking up where it ends."""
    by_hand = f"fetch it by hand and save it as {part.with_suffix('')}"
    for last in [False] * (ATTEMPTS - 1) + [True]:
        before = _size(part)
        try:
            return _transfer(url, part, before, limit, progress, allow_http)
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code == 416 and before:  # there is nothing after what we have: it is no beginning of this file
                part.unlink()
            elif "infinite loop" in answer.reason:
                raise WeightsError(one_line(f"{url} leads on and on, at last to {answer.url}: {by_hand}")) from None
            elif answer.code < 500 or last:
                raise WeightsError(one_line(f"{url} answers {answer.code} ({answer.reason}): {by_hand}")) from None
        except (urllib.error.URLError, http.client.HTTPException, _CutError, TimeoutError, ConnectionError) as lost:
            size = _size(part)
            if size == before or last:
                kept = f" beyond byte {size} (kept: the same command continues)" if size else ""
                why = getattr(lost, "reason", None) or str(lost) or type(lost).__name__
                raise WeightsError(
                    one_line(f"cannot fetch {url}{kept}: {why}; if you are offline, {by_hand}")
                ) from None
            log.info("%s was cut at byte %d: taking it up again", url, size)
        except OSError as failed:
            if failed.errno in {errno.ENOSPC, errno.EDQUOT}:
                full = f"the disk of {part.parent} is full"
                raise WeightsError(f"{full}: make room, then the same command continues") from None
            raise WeightsError(
                f"cannot write {part} ({failed.strerror}): set RETOUCHE_HOME to a folder you own"
            ) from None
    raise WeightsError(f"{url} does not come in full: {by_hand}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _transfer(url: str, part: Path, start: int, limit: int, progress: Progress | None, allow_http: bool) -> None:
    """One connection's worth of the file, from byte `start` where the server can."""
    with _open(url, start, allow_http) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise WeightsError(f"{url} is a web page: open it in a browser and save the file as {part.with_suffix('')}")
        if answer.status == 206:
            span = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            if not span or int(span[1]) != start:
                part.unlink()
                raise _CutError("the server continues elsewhere")
        done = start if answer.status == 206 else 0
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if re.fullmatch("[0-9]{1,15}", length) else None
        _check_size(url, part, total or done, limit)
        _demand_space(part.parent, (total or done) - done)
        since, brought = time.monotonic(), 0
        with part.open("ab" if done else "wb") as file:
            while chunk := answer.read1(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                brought += len(chunk)
                if done > limit:
                    break
                if (now := time.monotonic()) - since > SLOW_SECONDS:
                    if brought < SLOW_BYTES:
                        raise _CutError(f"it brings {brought / (now - since):.0f} bytes a second")
                    since, brought = now, 0
                if progress:
                    progress(done, total)
    _check_size(url, part, done, limit)
    if total is not None and done != total:
        raise _CutError(f"the connection ended at byte {done} of {total}")


def _check_size(url: str, part: Path, size: int, limit: int) -> None:
    """That a file is not much larger than the one that is known; what there is of it goes.

    Raises: WeightsError
    """
    if size > limit:
        part.unlink(missing_ok=True)
        raise WeightsError(f"{url} is larger than the {limit} bytes expected: not kept; try another source")


def _demand_space(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted + SPARE_BYTES:
        lack = f"{wanted / 1e6:.0f} MB are still to come but {folder} has {free / 1e6:.0f} MB free"
        raise WeightsError(f"{lack}: make room, or set RETOUCHE_HOME to a folder on another disk")

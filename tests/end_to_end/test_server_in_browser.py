"""What a server gives a page that fills by itself, and what it says of files that cannot be given."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from serving import serving

from retouche.apps.cli import main
from retouche.apps.server.in_browser import NEEDED, BrowserModel, InBrowser, in_browser
from retouche.errors import InputError, WeightsError

NOTES = {"retouche": "0", "method": "thin", "title": "Thin", "format": "1", "form": "pipeline"}
WINDOW = {"multiple": 8, "smallest": 8, "largest": 0, "only": 0, "side": 512, "hole": 256}


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def onnx_file(path: Path, **notes: str) -> Path:
    """A file that says these things of itself, around a graph that does nothing."""
    said = {**NOTES, "inputs": "picture mask", "window": json.dumps(WINDOW), **notes}
    pairs = [field(14, field(1, key.encode()) + field(2, value.encode())) for key, value in said.items()]
    fed = b"".join(field(11, field(1, name.encode())) for name in said["inputs"].split())
    path.write_bytes(field(7, fed) + b"".join(pairs))
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder like the npm package's."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name in NEEDED:
        (folder / "dist" / name).write_bytes(b"of " + name.encode())
    (folder / "dist" / "other.mjs").write_text("no")
    (folder / "package.json").write_text("{}")
    return folder


def test_a_page_is_given_files_by_their_hash_and_may_compile(package: Path, tmp_path: Path) -> None:
    file = onnx_file(tmp_path / "small.onnx")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with serving(browser=in_browser((str(file), str(file)), str(package))) as client:
        told = client.get("/api/v1/server-config").json()["browser"]
        assert told["runtime"] == "/onnxruntime-web/"
        (row,) = told["models"]
        assert (row["name"], row["sha256"], row["bytes"]) == ("small.onnx", digest, file.stat().st_size)
        assert row["window"] == WINDOW and row["form"] == "pipeline" and row["licence"] is None
        given = client.get(row["address"])
        assert given.content == file.read_bytes() and "content-encoding" not in given.headers
        for name in NEEDED:
            part = client.get(f"/onnxruntime-web/{name}")
            assert part.content == b"of " + name.encode()
            kind = "application/wasm" if name.endswith(".wasm") else "text/javascript"
            assert part.headers["content-type"].startswith(kind)
        for path in ("other.mjs", "package.json", "../package.json", "ort.none.mjs", "%2e%2e/package.json"):
            assert client.get(f"/onnxruntime-web/{path}").status_code == 404, path
        assert client.get(f"/browser-models/{'0' * 64}.onnx").status_code == 404
        headers = client.get("/").headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
        assert "unsafe" not in "".join(words for name, words in policy.items() if name != "script-src")
        assert headers["cross-origin-embedder-policy"] == "require-corp"


def test_elsewhere_a_page_may_not() -> None:
    with serving() as client:
        assert client.get("/api/v1/server-config").json()["browser"] is None
        assert "wasm" not in client.get("/").headers["content-security-policy"]
        assert client.get("/onnxruntime-web/ort.wasm.min.mjs").status_code == 404
        assert client.get(f"/browser-models/{'0' * 64}.onnx").status_code == 404


def test_the_token_is_asked_for(package: Path, tmp_path: Path) -> None:
    from retouche.apps.server.safety import Access

    page = in_browser((str(onnx_file(tmp_path / "a.onnx")),), str(package))
    assert page is not None
    with serving(browser=page, access=Access(token="a-word-hard-to-guess")) as client:
        assert client.get(page.models[0].address).status_code == 401
        assert client.get("/onnxruntime-web/ort.wasm.min.mjs").status_code == 401


def test_what_an_operator_means(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = onnx_file(tmp_path / "a.onnx")
    assert in_browser((), None) is None
    assert in_browser((), str(package)) == InBrowser(package / "dist")
    assert in_browser((), str(package / "dist")) == InBrowser(package / "dist")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "node_modules").mkdir()
    package.rename(tmp_path / "node_modules" / package.name)
    found = in_browser((str(file),), None)  # where npm puts it
    assert found is not None and isinstance(found.models[0], BrowserModel)
    assert found.runtime == tmp_path / "node_modules" / package.name / "dist"


@pytest.mark.parametrize(
    ("notes", "words"),
    [
        ({"inputs": "picture mask structure"}, "needs structure pictures"),
        ({"form": "none"}, "damaged metadata"),
        ({"format": "2"}, "update Retouche"),
        ({"method": "", "retouche": ""}, None),
    ],
)
def test_files_that_cannot_be_given(package: Path, tmp_path: Path, notes: dict[str, str], words: str | None) -> None:
    file = onnx_file(tmp_path / "a.onnx", **notes)
    if words is None:
        file.write_bytes(field(7, b""))
    with pytest.raises(WeightsError, match=words or "retouche export"):
        in_browser((str(file),), str(package))


def test_wrong_words_are_one_line_and_exit_code_2(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = onnx_file(tmp_path / "a.onnx")
    for words, said in (
        (["--browser-model", str(file)], "npm install onnxruntime-web"),
        (["--onnxruntime-web", str(tmp_path)], "no dist/ort.wasm.min.mjs"),
        (["--onnxruntime-web", str(tmp_path / "none")], "npm install"),
        (["--browser-model", "none.onnx", "--onnxruntime-web", str(package)], "cannot be read"),
        (["--browser-model", str(package / "package.json"), "--onnxruntime-web", str(package)], "no ONNX file"),
    ):
        assert main(["start", "--port", "0", *words]) == 2, words
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1, err
    with pytest.raises(InputError):
        in_browser((str(file),), None)

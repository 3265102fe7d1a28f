"""Requests that nobody means well: built by hand, and generated from a seed."""

import io
import json
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from serving import encoded, hole, scene, text


@dataclass(frozen=True)
class Request:
    name: str
    path: str = "/api/v1/inpaint"
    method: str = "POST"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
IMAGE, MASK = text(encoded(scene())), text(encoded(hole()))
GOOD = {"image": IMAGE, "mask": MASK, "dilate": 0}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, rows: bytes = bytes(100), *more: bytes) -> bytes:
    """A PNG whose header may lie about its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of(width: int, height: int) -> bytes:
    file = io.BytesIO()
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 4, height)]
    file.write(struct.pack("<2sHIH", b"II", 42, 8, len(tags)))
    for tag, kind, value in tags:
        file.write(struct.pack("<HHII", tag, kind, 1, value))
    file.write(bytes(4))
    return file.getvalue()


def part(name: str, content: bytes, file: str | None = "f.png") -> bytes:
    filename = "" if file is None else f'; filename="{file}"'
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode() + content + b"\r\n"


def _bodies() -> Iterator[tuple[str, object]]:
    yield "no object", []
    yield "null", None
    yield "number", 7
    yield "empty", {}
    yield "no mask", {"image": IMAGE}
    yield "null image", {**GOOD, "image": None}
    yield "image a number", {**GOOD, "image": 5}
    yield "image a list", {**GOOD, "image": [IMAGE]}
    yield "image an object", {**GOOD, "image": {"data": IMAGE}}
    yield "empty image", {**GOOD, "image": ""}
    yield "bad base64", {**GOOD, "image": "@@@@"}
    yield "base64 cut", {**GOOD, "image": IMAGE[:-3]}
    yield "picture cut", {**GOOD, "image": text(encoded(scene())[:90])}
    yield "data URL without base64", {**GOOD, "image": "data:image/png,abc"}
    yield "data URL without comma", {**GOOD, "image": "data:image/png;base64"}
    yield "file URL", {**GOOD, "image": "file:///etc/passwd"}
    yield "path", {**GOOD, "image": "/etc/passwd"}
    yield "http URL", {**GOOD, "image": "http://127.0.0.1:1/x.png"}
    yield "no picture", {**GOOD, "image": text(b"hello world, this is text")}
    yield "an SVG", {**GOOD, "image": text(b"<svg xmlns='http://www.w3.org/2000/svg'/>")}
    yield "a GIF", {**GOOD, "image": text(b"GIF89a" + bytes(40))}
    yield "PostScript", {**GOOD, "image": text(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")}
    yield "surrogates", {**GOOD, "image": "\ud800"}
    yield "PNG bomb", {**GOOD, "image": text(png_of(60_000, 60_000))}
    yield "PNG bomb as mask", {**GOOD, "mask": text(png_of(60_000, 60_000))}
    yield "PNG bomb as structure", {**GOOD, "structure": text(png_of(60_000, 60_000))}
    yield "PNG of no pixels", {**GOOD, "image": text(png_of(0, 5))}
    yield "PNG of one side", {**GOOD, "image": text(png_of(2**31 - 1, 1))}
    yield (
        "PNG with a text bomb",
        {
            **GOOD,
            "image": text(png_of(8, 8, bytes(200), chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(80_000_000))))),
        },
    )
    yield (
        "PNG with a profile bomb",
        {
            **GOOD,
            "image": text(png_of(8, 8, bytes(200), chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(80_000_000))))),
        },
    )
    yield "TIFF bomb", {**GOOD, "image": text(tiff_of(90_000, 90_000))}
    yield "TIFF without pixels", {**GOOD, "image": text(tiff_of(50, 50))}
    yield (
        "BMP bomb",
        {
            **GOOD,
            "image": text(
                b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 70_000, 70_000, 1, 24, 0, 0, 0, 0, 0, 0)
            ),
        },
    )
    yield "mask of another size", {**GOOD, "mask": text(encoded(hole(9, 9)))}
    yield "all hole", {**GOOD, "mask": text(encoded(hole() * 0 + 255))}
    yield "dilate negative", {**GOOD, "dilate": -1}
    yield "dilate huge", {**GOOD, "dilate": 10**9}
    yield "dilate beyond integers", {**GOOD, "dilate": 10**40}
    yield "dilate a fraction", {**GOOD, "dilate": 1.5}
    yield "dilate NaN", {**GOOD, "dilate": float("nan")}
    yield "dilate infinite", {**GOOD, "dilate": float("inf")}
    yield "dilate a word", {**GOOD, "dilate": "many"}
    yield "feather negative", {**GOOD, "feather": -5}
    yield "seed negative", {**GOOD, "seed": -1}
    yield "seed huge", {**GOOD, "seed": 2**70}
    yield "model a path", {**GOOD, "model": "/etc/passwd"}
    yield "model a way up", {**GOOD, "model": "../../etc/passwd"}
    yield "model with a zero byte", {**GOOD, "model": "a\0b"}
    yield "model very long", {**GOOD, "model": "m" * 100_000}
    yield "model with a tag", {**GOOD, "model": "aot-gan:../../x"}
    yield "model of long letters", {**GOOD, "model": "\U0001f600" * 200}
    yield "model empty", {**GOOD, "model": ""}
    yield "sketch refused", {**GOOD, "sketch": MASK}


def by_hand() -> list[Request]:
    """Each must be answered with an error of the client's, in one line."""
    made = [Request(f"json: {name}", body=json.dumps(body).encode(), headers=JSON) for name, body in _bodies()]
    adjust, save = "/api/v1/adjust_mask", "/api/v1/save"

    def at(name: str, path: str, body: object) -> Request:
        return Request(name, path, body=json.dumps(body).encode(), headers=JSON)

    made += [
        Request("json cut", body=b'{"image": "', headers=JSON),
        Request("json deep", body=b"[" * 200_000, headers=JSON),
        Request("json not UTF-8", body=b'{"image": "\xff\xfe"}', headers=JSON),
        Request("no body", headers=JSON),
        Request("body of another kind", body=b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        Request("gzip", body=zlib.compress(b"{}"), headers={**JSON, "Content-Encoding": "gzip"}),
        Request("too many bytes", body=b'{"image": "' + b"A" * 3_000_000 + b'"}', headers=JSON),
        Request("multipart without boundary", body=b"x", headers={"Content-Type": "multipart/form-data"}),
        Request("multipart cut", body=part("image", encoded(scene()))[:60], headers=FORM),
        Request("multipart never closed", body=part("image", encoded(scene())), headers=FORM),
        Request("multipart of noise", body=bytes(range(256)) * 40, headers=FORM),
        Request("multipart with 1000 files", body=part("f", b"") * 1000 + b"--x--\r\n", headers=FORM),
        Request("multipart with 1000 fields", body=part("f", b"", None) * 1000 + b"--x--\r\n", headers=FORM),
        Request("multipart with 1000 headers", body=b"--x\r\n" + b"A: b\r\n" * 1000 + part("f", b"")[5:], headers=FORM),
        Request(
            "multipart with a long header",
            body=b"--x\r\nA: " + b"b" * 99_999 + b"\r\n" + part("f", b"")[5:],
            headers=FORM,
        ),
        Request(
            "multipart with a long boundary", body=b"x", headers={"Content-Type": FORM["Content-Type"] + "x" * 9999}
        ),
        Request("multipart with paths", body=part("image", b"x", "../../../x.png") + b"--x--\r\n", headers=FORM),
        Request("multipart with bad JSON", save, body=part("patches", b"[[", None) + b"--x--\r\n", headers=FORM),
        at("operate unknown", adjust, {"mask": MASK, "operate": "explode"}),
        at("kernel negative", adjust, {"mask": MASK, "operate": "expand", "kernel_size": -3}),
        at("kernel huge", adjust, {"mask": MASK, "operate": "expand", "kernel_size": 10**6}),
        at("save nothing", save, {}),
        at("save from above", save, {"name": "../secret.png"}),
        at("save to above", save, {"image": IMAGE, "output": "../stolen.png"}),
        at("save to the root", save, {"image": IMAGE, "output": "/tmp/stolen.png"}),
        at("save as a program", save, {"image": IMAGE, "output": "stolen.py"}),
        at("save a patch outside", save, {"image": IMAGE, "patches": [{"left": 79, "top": 0, "image": IMAGE}]}),
        at("save a patch far away", save, {"image": IMAGE, "patches": [{"left": 2**40, "image": IMAGE}]}),
        at("save 5000 patches", save, {"image": IMAGE, "patches": [{"image": ""}] * 5000}),
        at("save in another format", save, {"image": IMAGE, "format": "exe"}),
        at("cut nothing", "/api/v1/cut", {"box": [0, 0, 1, 1]}),
        at("cut from above", "/api/v1/cut", {"name": "../secret.png", "box": [0, 0, 1, 1]}),
        at("cut far away", "/api/v1/cut", {"image": IMAGE, "box": [0, 0, 2**40, 2**70]}),
        at("cut a box of text", "/api/v1/cut", {"image": IMAGE, "box": "all"}),
        at("switch to a path", "/api/v1/model", {"name": "/etc/passwd"}),
        at("switch to nothing", "/api/v1/model", {"name": None}),
        Request("way up", "/api/v1/files/../../../etc/passwd", "GET"),
        Request("way up, escaped", "/api/v1/files/..%2f..%2f..%2fetc%2fpasswd", "GET"),
        Request("way up, twice escaped", "/api/v1/files/%252e%252e%252fsecret.png", "GET"),
        Request("way up, static", "/..%2fserver%2fapp.py", "GET"),
        Request("absolute", "/api/v1/files//etc/passwd", "GET"),
        Request("zero byte", "/api/v1/files/a.png%00.txt", "GET"),
        Request("not UTF-8", "/api/v1/files/%ff%fe.png", "GET"),
        Request("very long", "/api/v1/view/" + "a" * 5000 + ".png", "GET"),
        Request("deep", "/api/v1/view/" + "a/" * 1000 + "a.png", "GET"),
        Request("wrong method", "/api/v1/inpaint", "DELETE"),
        Request("strange method", "/api/v1/inpaint", "BREW"),
        Request("foreign host", "/health", "GET", headers={"Host": "rebound.example"}),
        Request("foreign host with port", "/health", "GET", headers={"Host": "rebound.example:8080"}),
        Request("loopback as a part of a host", "/health", "GET", headers={"Host": "127.0.0.1.example"}),
        Request("host with a user", "/health", "GET", headers={"Host": "127.0.0.1@rebound.example"}),
        Request("host with a bad port", "/health", "GET", headers={"Host": "127.0.0.1:abc"}),
        Request("empty host", "/health", "GET", headers={"Host": ""}),
    ]
    body = json.dumps(GOOD).encode()
    for origin in ("https://rebound.example", "null", "http://127.0.0.1:1", "file://", "http://localhost.example"):
        made.append(Request(f"origin {origin}", body=body, headers={**JSON, "Origin": origin}))
    made.append(Request("another site, no origin", body=body, headers={**JSON, "Sec-Fetch-Site": "cross-site"}))
    return made


def generated(count: int, seed: int = 0) -> Iterator[Request]:
    """Good requests with something broken in them: bytes of the picture, of the JSON, of the multipart, values."""
    random_ = random.Random(seed)
    values = [
        None,
        True,
        -1,
        2**63,
        1e308,
        "",
        "\0",
        "x" * 9999,
        [],
        {},
        [[]],
        {"a": {}},
        "NaN",
        "../..",
        "\u202e",
        MASK,
    ]
    names = [
        "image",
        "mask",
        "model",
        "sketch",
        "structure",
        "dilate",
        "feather",
        "seed",
        "operate",
        "patches",
        "output",
    ]
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("PNG", {}),
        ("JPEG", {"quality": 50}),
        ("WEBP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
    ]
    for number in range(count):
        path = random_.choice(["inpaint", "inpaint", "adjust_mask", "view", "save"])
        kind, options = random_.choice(kinds)
        picture = bytearray(encoded(scene(number), kind, **options))
        for _ in range(random_.randint(0, 12)):
            picture[random_.randrange(min(len(picture), 400))] = random_.randrange(256)
        if random_.random() < 0.3:
            del picture[random_.randrange(1, len(picture)) :]
        way = random_.random()
        if way < 0.6:
            asked = {**GOOD, "operate": "expand", "image": text(bytes(picture))}
            for _ in range(random_.randint(0, 2)):
                asked[random_.choice(names)] = random_.choice(values)
            body = bytearray(json.dumps(asked).encode())
            headers = JSON
        else:
            body = bytearray(part("image", bytes(picture)) + part("mask", encoded(hole())) + b"--x--\r\n")
            headers = FORM
        if way > 0.4:
            for _ in range(random_.randint(1, 6)):
                body[random_.randrange(len(body))] = random_.randrange(256)
        yield Request(f"generated {number}", f"/api/v1/{path}", body=bytes(body), headers=headers)

"""What the workers do for a request: bytes in, bytes out, all in memory. Nothing here knows HTTP.

Files are decoded and encoded in the worker's helper; only the fill itself runs on its thread.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retouche import __version__
from retouche.apps.server import files, schema
from retouche.apps.server.models import FillWorker
from retouche.errors import InputError
from retouche.image import Box, to_uint8
from retouche.inference.model import Model
from retouche.inference.report import Report
from retouche.masks import Mask, dilate, open_mask, open_sketch
from retouche.pictures import Picture, decode, encode, open_picture
from retouche.pictures.formats import BY_SUFFIX, FORMATS
from retouche.pictures.margins import margins
from retouche.progress import ProgressCallback

REPORT_BYTES = 6000
"""The largest report header; more holes than fit in it are counted only. Servers and proxies take 8 KiB a line."""


@dataclass(frozen=True)
class Answer:
    """A file, its media type and headers of its own; `facts` are for the log."""

    content: bytes
    media: str
    headers: dict[str, str]
    facts: dict[str, Any]


@dataclass(frozen=True)
class PictureReader:
    """What is read and written for a request, in memory; errors call it by its field's name."""

    max_pixels: int

    def picture(self, content: bytes, name: str = "image") -> Picture:
        """Decode a picture file; its size is checked from its header before anything is decoded."""
        return decode(content, name, self.max_pixels)

    def mask(self, content: bytes, size: tuple[int, int] | None, name: str = "mask") -> tuple[np.ndarray, list[str]]:
        """(H, W) bool, True = hole, and remarks."""
        return open_mask(decode(content, name, self.max_pixels), size, name=name)

    def sketch(self, content: bytes, size: tuple[int, int]) -> np.ndarray:
        """(H, W) bool, True = stroke."""
        return open_sketch(decode(content, "sketch", self.max_pixels), size)


def inpaint(
    reader: PictureReader,
    worker: FillWorker,
    request: schema.Inpaint,
    offered: str,
    source: str,
    progress: ProgressCallback,
) -> tuple[Answer, Any]:
    """Fill; the answer is in the picture's own format, metadata kept, or a PNG of the part that has changed.

    `progress` is called with the fraction done.

    Returns: the answer, and the model that made it
    Raises: RetoucheError
    """
    model, hashed = worker.model(source)
    marks = [time.perf_counter()]
    with worker.watched(progress) as (on_progress, alive):
        given = worker.helper.call(alive, _read, reader, request)
        marks.append(time.perf_counter())
        filled, report = _fill(model, given, request, on_progress)
        marks.append(time.perf_counter())
        kind, answer, box = given.picture.source.format or "PNG", filled, None
        if request.answer == "hole" and given.hole is not None and report.extended is None:
            box = _changed(given.hole, report.dilate)
            kind, answer = "PNG", _part(filled, box)
        content, noted = worker.helper.call(alive, _written, answer, kind)
        marks.append(time.perf_counter())
    picture = filled
    remarks = dict.fromkeys((*given.remarks, *report.remarks, *noted))
    report = replace(report, model=offered, remarks=tuple(remarks))
    stages = zip(("read", "fill", "write"), marks, marks[1:], strict=False)
    headers = {
        "X-Seed": str(request.seed),
        "X-Retouche-Strategy": report.strategy,
        "X-Retouche-Seconds": f"{report.seconds:.3f}",
        "X-Retouche-Report": report_header(report, hashed, worker.name),
        "Server-Timing": ", ".join(f"{name};dur={1000 * (end - start):.0f}" for name, start, end in stages),
    }
    if box is not None:
        headers["X-Retouche-Box"] = ",".join(map(str, box))
    facts = {
        "model": offered,
        "width": picture.width,
        "height": picture.height,
        "strategy": report.strategy,
        "fill_seconds": round(report.seconds, 3),
    }
    return Answer(content, FORMATS[kind].media, headers, facts), model


def _changed(hole: Mask, dilate: int) -> Box:
    """The box around all that a fill may have changed; all of the picture where there is no hole."""
    height, width = hole.shape
    if not hole.any():
        return 0, 0, width, height
    rows, columns = hole.any(1).nonzero()[0], hole.any(0).nonzero()[0]
    left, top = max(0, int(columns[0]) - dilate), max(0, int(rows[0]) - dilate)
    return left, top, min(width, int(columns[-1]) + 1 + dilate), min(height, int(rows[-1]) + 1 + dilate)


def _part(picture: Picture, box: Box) -> Picture:
    """A part as PNG knows it: the picture's own values, or 8-bit RGB of what is in other colours."""
    left, top, right, bottom = box
    if picture.mode in ("CMYK", "YCbCr"):
        return Picture(to_uint8(picture.rgb(box)), "RGB")
    return Picture(picture.pixels[top:bottom, left:right], picture.mode)


def fill_file(
    reader: PictureReader,
    worker: FillWorker,
    request: schema.Batch,
    name: str,
    folders: tuple[Path, Path],
    source: str,
    progress: ProgressCallback,
) -> tuple[list[str], Report, Any]:
    """Fill a picture of the first folder and save it in the second, under the same name.

    Returns: the names written, the report, and the model
    Raises: RetoucheError, files.Outside, files.Exists
    """
    mask = request.masks.get(name, request.mask)
    if mask is None:
        raise InputError("no mask: give `mask` for all pictures, or one for this picture in `masks`")
    path = files.existing(folders[0], name)
    model, _ = worker.model(source)
    with worker.watched(progress) as (on_progress, alive):
        given = worker.helper.call(alive, _read_file, reader, path, mask)
        filled, report = _fill(model, given, request, on_progress)
        save = partial(files.save, overwrite=request.overwrite)
        written = worker.helper.call(alive, save, folders[1], name, filled, None)
    return written, report, model


def _fill(model: Model, given: _Given, options: schema.Options, progress: ProgressCallback) -> tuple[Picture, Report]:
    return model(
        given.picture,
        given.hole,
        sketch=given.sketch,
        structure=given.structure,
        dilate=options.dilate,
        feather=options.feather,
        seed=options.seed,
        report=True,
        extend=given.extend,
        progress=progress,
    )


@dataclass(frozen=True)
class _Given:
    """What a fill starts from, decoded; `hole` and `sketch` (H, W) bool."""

    picture: Picture
    hole: np.ndarray | None
    remarks: list[str]
    sketch: np.ndarray | None
    structure: Picture | None
    extend: str | None = None


def _read(reader: PictureReader, request: schema.Inpaint) -> _Given:
    picture = reader.picture(request.image)
    size = (picture.height, picture.width)
    hole, remarks = (None, []) if request.mask is None else reader.mask(request.mask, size)
    if request.extend is not None:  # guides are of the new size
        left, top, right, bottom = margins(request.extend, size)
        size = (size[0] + top + bottom, size[1] + left + right)
        if size[0] * size[1] > reader.max_pixels:
            raise InputError(
                f"extend: the picture would be {size[1]}x{size[0]}, more than {reader.max_pixels / 1e6:g} megapixels: "
                "add less"
            )
    sketch = None if request.sketch is None else reader.sketch(request.sketch, size)
    structure = None if request.structure is None else reader.picture(request.structure, "structure")
    return _Given(picture, hole, remarks, sketch, structure, request.extend)


def _read_file(reader: PictureReader, path: Path, mask: bytes) -> _Given:
    picture = _opened(reader, path)
    return _Given(picture, *reader.mask(mask, (picture.height, picture.width)), None, None)


def _written(picture: Picture, kind: str) -> tuple[bytes, list[str]]:
    """A picture as a file, and the remarks on it, those of its writing too."""
    return encode(picture, kind), picture.remarks


def report_header(report: Report, hashed: str, worker: str) -> str:
    """The report as JSON that a header can carry; of too many holes the first.

    `worker` is the device asked for; a fill without weights runs on the CPU all the same, which `device` says.
    """
    plain = {
        **report.as_json(),
        "worker": worker,
        "model_hash": hashed,
        "retouche": __version__,
        "hole_count": len(report.holes),
    }
    text = json.dumps(plain, separators=(",", ":"))
    while len(text) > REPORT_BYTES and (plain["holes"] or plain["remarks"]):
        kind = "holes" if plain["holes"] else "remarks"
        plain[kind] = plain[kind][: len(plain[kind]) // 2]
        text = json.dumps(plain, separators=(",", ":"))
    return text


def adjust_mask(reader: PictureReader, request: schema.AdjustMask) -> Answer:
    """The mask grown or shrunk by a disc, or inverted: a PNG, white and opaque where the hole is, else clear."""
    hole, _ = reader.mask(request.mask, None)
    if request.operate == "reverse":
        hole = ~hole
    elif request.operate == "expand":
        hole = dilate(hole, request.kernel_size)
    else:
        hole = ~dilate(~hole, request.kernel_size)
    pixels = np.repeat(hole[..., None].astype(np.uint8) * np.uint8(255), 4, axis=2)  # (H, W, RGBA)
    return Answer(encode(Picture(pixels, "RGBA"), "PNG"), "image/png", {}, {})


def view(reader: PictureReader, request: schema.View) -> Answer:
    """The picture upright as 8-bit PNG, alpha kept: for browsers, which do not show every file read here."""
    return _shown(reader, reader.picture(request.image))


def view_file(reader: PictureReader, path: Path) -> Answer:
    """A file below --input as 8-bit PNG."""
    return _shown(reader, _opened(reader, path))


def _opened(reader: PictureReader, path: Path) -> Picture:
    """Open a file of the operator's folders; errors say its name, not where it is."""
    try:
        return open_picture(path, reader.max_pixels)
    except InputError as error:
        raise InputError(str(error).replace(str(path), path.name)) from None


def _shown(reader: PictureReader, picture: Picture) -> Answer:
    pixels = to_uint8(picture.rgb())
    alpha = picture.alpha()
    shown = Picture(pixels, "RGB")
    if alpha is not None:
        opacity = (alpha >> 8).astype(np.uint8) if alpha.dtype == np.uint16 else alpha.astype(np.uint8)
        shown = Picture(np.dstack([pixels, opacity]), "RGBA")
    depth = str(picture.pixels.dtype.itemsize * 8)
    return Answer(encode(shown, "PNG"), "image/png", {"X-Retouche-Depth": depth}, {})


def cut(reader: PictureReader, request: schema.Cut, source: Path | None) -> Answer:
    """A part of the source, with patches put into it before, as PNG of the source's own depth.

    Raises: RetoucheError
    """
    picture = _patched(reader, request, source)
    left, top, right, bottom = request.box
    if not (0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height):
        raise InputError(
            f"box: {request.box} is no part of the picture, which is {picture.width}x{picture.height}: "
            "give left, top, right, bottom inside it"
        )
    return Answer(encode(_part(picture, request.box), "PNG"), "image/png", {}, {})


def _patched(reader: PictureReader, request: schema.Save | schema.Cut, source: Path | None) -> Picture:
    picture = reader.picture(request.image) if request.image is not None else _opened(reader, _given(source))
    for number, patch in enumerate(request.patches):
        _put(reader, picture, patch, f"patches.{number}")
    return picture


def save(reader: PictureReader, request: schema.Save, source: Path | None, output: Path | None) -> Answer | list[str]:
    """Patches into the source's own pixels; as a file's bytes, or written below the output folder.

    Returns: the file, or the names written
    Raises: RetoucheError, files.Outside, files.Exists
    """
    picture = _patched(reader, request, source)
    kind = FORMATS[picture.source.format or "PNG"] if request.format is None else BY_SUFFIX[f".{request.format}"]
    if output is None:
        return Answer(encode(picture, kind.name), kind.media, {}, {})
    assert request.output is not None
    sidecar = request.sidecar
    if sidecar is not None:
        sidecar = {**sidecar, "retouche": __version__, "width": picture.width, "height": picture.height}
    return files.save(output, request.output, picture, sidecar, overwrite=request.overwrite)


def _given(source: Path | None) -> Path:
    if source is None:
        raise InputError("image: give the source file, or the name of one below --input")
    return source


def _put(reader: PictureReader, picture: Picture, patch: schema.Patch, name: str) -> None:
    """Replace pixels by a patch's, in the picture's own units; under a white mask, or everywhere."""
    part = reader.picture(patch.image, f"{name}.image")
    box = (patch.left, patch.top, patch.left + part.width, patch.top + part.height)
    if box[2] > picture.width or box[3] > picture.height:
        raise InputError(
            f"{name}: {part.width}x{part.height} at ({patch.left}, {patch.top}) reaches out of the picture, which is "
            f"{picture.width}x{picture.height}: cut it"
        )
    here = np.ones((part.height, part.width), bool)
    if patch.mask is not None:
        here, _ = reader.mask(patch.mask, (part.height, part.width), f"{name}.mask")
    hole = np.zeros((picture.height, picture.width), bool)
    hole[box[1] : box[3], box[0] : box[2]] = here
    picture.expect(hole)
    picture.paste(part.rgb(), box, torch.from_numpy(here.astype(np.float32))[None, None])

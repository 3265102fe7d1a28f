"""Streams, bytes and paths are one door; each file is opened once; whatever a parser raises is one line."""

from __future__ import annotations

import io
import os
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pictures_made import pil, png16, smooth, values
from PIL import Image

from retouche.errors import InputError
from retouche.pictures import decode, decoding, encode, encoding, measure, open_picture, write_picture
from retouche.pictures.formats import FORMATS

STREAMED = {
    "a.jpg": lambda: pil(smooth(30, 40), "RGB"),
    "a.png": lambda: pil(values(30, 40, 4), "RGBA"),
    "a.webp": lambda: pil(smooth(30, 40), "RGB"),
    "a.tif": lambda: pil(values(30, 40, 4), "CMYK"),
    "a.bmp": lambda: pil(values(30, 40, 1), "L"),
}


@pytest.mark.parametrize("name", STREAMED)
def test_bytes_streams_pipes_and_paths_are_the_same_door(tmp_path, name):
    STREAMED[name]().save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    whole = open_picture(tmp_path / name)
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        piped = decode(pipe, name)
    for picture in (decode(data), decode(io.BytesIO(data)), piped):
        assert picture.mode == whole.mode and np.array_equal(picture.pixels, whole.pixels)
        assert picture.source == whole.source
    write_picture(whole, tmp_path / f"again-{name}")
    assert encode(whole) == (tmp_path / f"again-{name}").read_bytes()
    assert measure(data) == (40, 30)


def opened(path: Path, act) -> int:
    """How often `act` opens a file."""
    count, watching = 0, True

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if watching and event == "open" and str(args[0]) == str(path):
            count += 1

    sys.addaudithook(hook)
    act()
    watching = False
    return count


def test_a_file_is_opened_once(tmp_path):
    Image.new("RGB", (4000, 3000)).save(tmp_path / "a.jpg", quality=50)
    (tmp_path / "b.png").write_bytes(png16(values(20, 30, 3, np.uint16)))
    tifffile.imwrite(tmp_path / "c.tif", values(20, 30, 3, np.uint16), photometric="rgb")
    pil(smooth(20, 30), "RGB").save(tmp_path / "d.webp")
    for name in ("a.jpg", "b.png", "c.tif", "d.webp"):
        assert opened(tmp_path / name, lambda name=name: open_picture(tmp_path / name)) == 1


def test_a_fill_opens_each_file_once(tmp_path):
    from retouche.apps.batch.fill import Fill, Settings
    from retouche.runners.work import Job

    Image.new("RGB", (4000, 3000), (90, 120, 60)).save(tmp_path / "a.jpg", quality=50)
    mask = np.zeros((3000, 4000), np.uint8)
    mask[100:110, 200:210] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    filling = Fill(Settings("mean", overwrite=True))
    filling.start()
    job = Job(tmp_path / "a.jpg", tmp_path / "m.png", tmp_path / "out.jpg")

    def act() -> None:
        filling.write(job, filling.make(job, filling.read(job), None))

    assert opened(job.image, act) == 1
    (tmp_path / "m.png").rename(tmp_path / "other.png")  # a mask is kept for the next picture
    job = replace(job, mask=tmp_path / "other.png")
    assert opened(job.mask, act) == 1
    assert opened(job.output, act) == 0


class Clumsy:
    """Stands for a parser or an encoder that raises whatever it stumbles over."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, *_args, **_options):
        raise self.error


ANYTHING = [KeyError(7), struct.error("x"), RecursionError(), MemoryError(), ZeroDivisionError(), SystemError("s")]


@pytest.mark.parametrize("error", ANYTHING, ids=lambda error: type(error).__name__)
def test_whatever_a_parser_or_encoder_raises_is_one_line(tmp_path, monkeypatch, error):
    picture = open_picture(values(4, 4, 3))
    data = encode(picture, "PNG")
    for name in ("jpeg", "png", "webp", "tiff", "bmp"):
        kind = name.upper()
        monkeypatch.setitem(encoding._WRITERS, kind, Clumsy(error))
        with pytest.raises(InputError) as caught:
            encode(picture, kind)
        assert "\n" not in str(caught.value) and f"picture.{FORMATS[kind].suffixes[0][1:]}" in str(caught.value)
    monkeypatch.setattr(decoding, "_source", Clumsy(error))
    with pytest.raises(InputError, match=r"^field\.png cannot"):
        decode(data, "field.png")
    monkeypatch.setattr(decoding, "_parsed", Clumsy(error))
    with pytest.raises(InputError, match=r"^field\.png cannot"):
        decode(data, "field.png")

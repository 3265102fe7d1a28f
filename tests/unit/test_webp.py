"""Lossy WebP is written as finely as its source, never coarser."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import retouche
from retouche.pictures import decode, encode, webp


def scene(height: int, width: int, noise: float) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    planes = np.stack([128 + 90 * np.sin(x / 20), 128 + 90 * np.cos(y / 30), x / 2], -1)
    planes += np.random.default_rng(0).normal(0, noise, planes.shape)
    return Image.fromarray(planes.clip(0, 255).astype(np.uint8))


def lossy(image: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", **options)
    return file.getvalue()


def index(data: bytes) -> float:
    return webp.settings(io.BytesIO(data))["quantiser"]


@pytest.mark.parametrize("quality", [0, 20, 50, 75, 90, 100])
@pytest.mark.parametrize("noise", [0, 60], ids=["smooth", "noisy"])
@pytest.mark.parametrize("method", [0, 4])
def test_the_quantiser_is_that_of_the_quality(quality, noise, method):
    found = index(lossy(scene(90, 120, noise), quality=quality, method=method))
    assert abs(webp.quality_of(found) - quality) <= 20  # the encoder gives parts of a picture more or less of it
    assert quality not in (0, 100) or found == (127 if quality == 0 else 0)
    assert quality == 0 or found < index(lossy(scene(90, 120, noise), quality=quality - 10, method=method))


@pytest.mark.parametrize("quality", [10, 40, 75, 90, 98])
@pytest.mark.parametrize("noise", [0, 20, 60])
def test_a_fill_is_never_written_coarser(quality, noise):
    image = scene(90, 120, noise)
    data = lossy(image, quality=quality)
    mask = np.zeros((90, 120), np.uint8)
    mask[30:60, 40:80] = 255
    picture = decode(data)
    again = encode(retouche.load("mean")(picture, mask))
    assert index(again) <= index(data)
    assert len(again) < 2 * len(data) + 500
    kept = np.asarray(mask == 0) & ~np.pad(mask > 0, 16, mode="edge")[32:, 32:] & ~np.pad(mask > 0, 16)[:-32, :-32]
    moved = np.abs(decode(again).pixels.astype(int) - picture.pixels)[kept]
    lost = np.abs(picture.pixels.astype(int) - np.asarray(image))[kept]
    assert moved.mean() <= lost.mean() + 1  # a second encoding costs no more than the first


def test_with_alpha_and_metadata():
    image = scene(40, 50, 10).convert("RGBA")
    image.putalpha(Image.fromarray((np.mgrid[0:40, 0:50][1] * 5).astype(np.uint8)))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=60, xmp=b"<x/>")
    picture = decode(file.getvalue())
    again = decode(encode(picture))
    assert picture.mode == "RGBA" and again.source.xmp == b"<x/>"
    assert again.source.settings["quantiser"] <= picture.source.settings["quantiser"]


@pytest.mark.parametrize("frame", [b"", b"\x10\0\0\x9d\x01\x2a", bytes(40), b"\xff" * 40])
def test_what_is_no_key_frame_says_nothing(frame):
    assert webp.quantiser(frame) is None

"""HEIC, AVIF and JPEG XL in and out: orientation, profile, EXIF and XMP kept; what is missing is named."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from retouche.apps.cli import main
from retouche.errors import InputError
from retouche.pictures import decode, encode, measure, open_picture
from retouche.pictures.formats import FORMATS

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NEEDED = {"HEIF": "pillow_heif", "JXL": "pillow_jxl"}


def soft(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([60 + x * 2, 60 + y * 3, 200 - x], -1).astype(np.uint8)


def there(format: str) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    if format in NEEDED:
        pytest.importorskip(NEEDED[format])


def exif(orientation: int = 1) -> bytes:
    made = Image.Exif()
    made[274], made[271] = orientation, "Maker"
    return made.tobytes()


def photo(format: str, orientation: int = 1) -> bytes:
    """A file as a phone writes it: stored lying, with the turn beside it; made by the format's own writer."""
    file = io.BytesIO()
    if format == "HEIF":
        import pillow_heif

        stored = pillow_heif.from_bytes("RGB", (60, 40), soft().tobytes())
        stored[0].info.update(exif=exif(orientation), icc_profile=SRGB, xmp=b"<x/>")
        stored.save(file, quality=95, chroma=444)
    else:
        words = {"exif": exif(orientation), "icc_profile": SRGB, "xmp": b"<x/>"}
        Image.fromarray(soft()).save(file, format, quality=95, subsampling="4:4:4", **words)
    return file.getvalue()


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_phones_picture_is_upright_and_keeps_what_came_with_it(format, orientation):
    there(format)
    data = photo(format, orientation)
    picture = decode(data)
    shown = np.rot90(soft(), {1: 0, 3: 2, 6: -1, 8: 1}[orientation])
    assert picture.pixels.shape == shown.shape and np.abs(picture.pixels.astype(int) - shown).max() <= 12
    assert measure(data) == (shown.shape[1], shown.shape[0])
    again = decode(encode(picture))
    assert again.source.format == format and again.pixels.shape == shown.shape
    assert np.abs(again.pixels.astype(int) - shown).max() <= 20
    for source in (picture.source, again.source):
        assert source.icc == SRGB and source.xmp == b"<x/>"
        read = Image.Exif()
        read.load(source.exif)
        assert read[271] == "Maker" and read.get(274, 1) == 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_jpeg_xl_is_written_without_loss(mode):
    there("JXL")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, len(mode))).astype(np.uint8)
    file = io.BytesIO()
    Image.frombytes(mode, (20, 30), pixels.tobytes()).save(file, "PNG", exif=exif(3))
    picture = decode(file.getvalue())
    again = decode(encode(picture, "JXL"))
    assert again.mode == mode and np.array_equal(again.pixels, picture.pixels)
    assert again.source.format == "JXL"
    read = Image.Exif()
    read.load(again.source.exif)
    assert read[271] == "Maker" and read.get(274, 1) == 1
    assert not picture.remarks
    once_more = decode(encode(again))
    assert np.array_equal(once_more.pixels, picture.pixels) and not again.remarks


def test_jpeg_xl_keeps_xmp_and_says_of_a_profile():
    there("JXL")
    picture = decode(encode(open_picture(soft()), "PNG"))
    object.__setattr__(picture.source, "xmp", b"<x/>")
    object.__setattr__(picture.source, "icc", SRGB)
    assert decode(encode(picture, "JXL")).source.xmp == b"<x/>"
    assert any("profile" in remark for remark in picture.remarks)


@pytest.mark.parametrize("format", ["HEIF", "AVIF", "JXL"])
def test_run_fills_it_in_its_own_format(format, tmp_path, capsys):
    there(format)
    suffix = FORMATS[format].suffixes[0]
    path, out = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    path.write_bytes(encode(open_picture(soft()), "JXL") if format == "JXL" else photo(format, 6))
    before = open_picture(path)
    hole = np.zeros((before.height, before.width), np.uint8)
    hole[10:20, 10:20] = 255
    Image.fromarray(hole).save(tmp_path / "m.png")
    words = ["--image", str(path), "--mask", str(tmp_path / "m.png"), "--output", str(out), "--model", "harmonic"]
    assert main(["run", *words]) == 0
    after = open_picture(out)
    assert after.source.format == format and after.pixels.shape == before.pixels.shape
    known = ~np.pad(hole > 0, 2)[:-4, :-4] & ~np.pad(hole > 0, 2)[4:, 4:] & (hole == 0)
    moved = np.abs(after.pixels.astype(int) - before.pixels)[known]
    assert moved.max() <= (0 if format == "JXL" else 25)
    if format == "JXL":
        assert after.source.settings == {}
    else:
        assert after.source.icc == before.source.icc and b"Maker" in after.source.exif


@pytest.mark.parametrize("format", ["HEIF", "JXL"])
def test_a_missing_extra_is_named(format, monkeypatch):
    there(format)
    data = encode(open_picture(soft()), format)
    monkeypatch.setitem(sys.modules, NEEDED[format], None)
    for act in (lambda: decode(data, "a.x"), lambda: encode(open_picture(soft()), format)):
        with pytest.raises(InputError, match=r'pip install "retouche\[formats\]"'):
            act()


@pytest.mark.parametrize("format", ["HEIF", "AVIF", "JXL"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_short_is_refused_or_read(format, share):
    there(format)
    data = encode(open_picture(soft()), format)
    try:
        decode(data[: int(len(data) * share)], "a.x")
    except InputError as error:
        assert str(error).startswith("a.x") and "\n" not in str(error)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".jif", ".JFIF"])
def test_jpeg_by_its_other_names(tmp_path, suffix):
    Image.fromarray(soft()).save(tmp_path / f"a{suffix}", "JPEG")
    hole = np.zeros((40, 60), np.uint8)
    hole[10:20, 10:20] = 255
    Image.fromarray(hole).save(tmp_path / "m.png")
    words = ["--image", str(tmp_path), "--mask", str(tmp_path / "m.png"), "--output", str(tmp_path / "out")]
    assert main(["run", *words, "--model", "mean"]) == 0
    assert open_picture(tmp_path / "out" / f"a{suffix}").source.format == "JPEG"

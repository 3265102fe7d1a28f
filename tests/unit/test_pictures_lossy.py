"""JPEG and WebP: tables, subsampling and quality of the source; orientation, thumbnails, previews."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures_made import SIZES, SRGB, pil, repainted, smooth, values
from PIL import ExifTags, Image, JpegImagePlugin

from retouche.errors import InputError
from retouche.pictures import open_picture, write_picture


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_written_with_its_own_tables_and_subsampling(tmp_path, subsampling, progressive):
    pil(smooth(50, 70), "RGB").save(
        tmp_path / "a.jpg",
        quality=71,
        subsampling=subsampling,
        progressive=progressive,
        comment=b"a field",
        dpi=(96, 96),
    )
    repainted(tmp_path / "a.jpg", tmp_path / "b.jpg", (10, 10, 20, 20))
    with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "b.jpg") as after:
        assert after.quantization == before.quantization
        assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before) == subsampling
        assert bool(after.info.get("progressive")) == progressive
        assert after.info["comment"] == b"a field" and after.info["dpi"] == (96, 96)
        far = np.abs(np.asarray(after).astype(int) - np.asarray(before))
        far[0:32, 0:32] = 0
        assert far.max() <= 6


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_of_any_size_and_mode(tmp_path, mode, size):
    pil(smooth(size[0], size[1], len(mode)), mode).save(tmp_path / "a.jpg", quality=90, progressive=True)
    picture = open_picture(tmp_path / "a.jpg")
    assert picture.mode == mode
    write_picture(picture, tmp_path / "b.jpg")
    with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "b.jpg") as after:
        assert after.mode == mode and after.size == before.size and after.quantization == before.quantization
        assert np.abs(np.asarray(after).astype(int) - np.asarray(before)).max() <= 4


def test_jpeg_whose_components_share_or_own_tables(tmp_path):
    tables = [[5] * 64, [9] * 64, [13] * 64]
    for count in (1, 2, 3):
        pil(smooth(32, 32), "RGB").save(tmp_path / f"a{count}.jpg", qtables=tables[:count])
        write_picture(open_picture(tmp_path / f"a{count}.jpg"), tmp_path / f"b{count}.jpg")
        with Image.open(tmp_path / f"a{count}.jpg") as before, Image.open(tmp_path / f"b{count}.jpg") as after:
            used = [[list(im.quantization[layer[3]]) for layer in im.layer] for im in (before, after)]
            assert used[0] == used[1]


def test_jpeg_that_stores_rgb_stays_rgb(tmp_path):
    pil(values(16, 16, 3), "RGB").save(tmp_path / "a.jpg", keep_rgb=True, quality=92)
    write_picture(open_picture(tmp_path / "a.jpg"), tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as after:
        assert [layer[0] for layer in after.layer] == [*b"RGB"]


def thumbnailed(path: Path, array: np.ndarray, orientation: int, thumbnail: Image.Image) -> bytes:
    """A JPEG with EXIF: orientation, pixel sizes, a maker's note with an embedded preview, a thumbnail. Returns it."""
    file = io.BytesIO()
    thumbnail.save(file, "JPEG")
    small = file.getvalue()
    note = b"MAKER\0" + small + b"TAIL"
    height, width = array.shape[:2]

    def directory(rows: list[tuple[int, int, int, int]], following: int) -> bytes:
        body = b"".join(struct.pack("<HHII", *row) for row in rows)
        return struct.pack("<H", len(rows)) + body + struct.pack("<I", following)

    second = 8 + 2 + 3 * 12 + 4
    inner = second + 2 + 3 * 12 + 4
    note_at = inner + 2 + 3 * 12 + 4
    small_at = note_at + len(note)
    exif = b"II*\0" + struct.pack("<I", 8)
    exif += directory([(271, 2, 2, ord("M")), (274, 3, 1, orientation), (34665, 4, 1, inner)], second)
    exif += directory([(259, 3, 1, 6), (513, 4, 1, small_at), (514, 4, 1, len(small))], 0)
    exif += directory([(37500, 7, len(note), note_at), (40962, 4, 1, width), (40963, 4, 1, height)], 0)
    exif += note + small
    pil(array, "RGB").save(path, exif=b"Exif\0\0" + exif, icc_profile=SRGB, quality=88)
    return small


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_rotated_jpeg_is_turned_and_its_thumbnail_remade(tmp_path, orientation):
    array = np.zeros((60, 90, 3), np.uint8)
    old = thumbnailed(tmp_path / "a.jpg", array, orientation, Image.new("RGB", (48, 32), (255, 0, 0)))
    picture = open_picture(tmp_path / "a.jpg")
    turned = orientation in (6, 8)
    assert (picture.height, picture.width) == ((90, 60) if turned else (60, 90))
    picture.paste(
        torch.ones(1, 3, picture.height, picture.width),
        (0, 0, picture.width, picture.height),
        torch.ones(1, 1, picture.height, picture.width),
    )
    write_picture(picture, tmp_path / "b.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    assert old[20:] not in data and b"MAKER\0" in data and b"TAIL" in data
    with Image.open(tmp_path / "a.jpg") as before, Image.open(tmp_path / "b.jpg") as after:
        exif = after.getexif()
        assert exif[274] == 1
        inner = exif.get_ifd(34665)
        assert (inner[40962], inner[40963]) == after.size == (picture.width, picture.height)
        assert after.quantization == before.quantization and after.info["icc_profile"] == SRGB
        second = exif.get_ifd(ExifTags.IFD.IFD1)
        start, length = second[513], second[514]
        raw = after.info["exif"][6:]
        with Image.open(io.BytesIO(raw[start : start + length])) as thumbnail:
            assert max(thumbnail.size) == 48
            assert (thumbnail.width < thumbnail.height) == turned
            assert np.asarray(thumbnail).min() > 250  # the picture is white now
    given: Any = picture.as_given()
    assert given.getexif()[274] == 1 and given.info["icc_profile"] == SRGB and old[20:] not in given.info["exif"]


def test_thumbnail_that_does_not_fit_is_left_out(tmp_path):
    old = thumbnailed(tmp_path / "a.jpg", smooth(60, 90), 1, Image.new("RGB", (48, 32), (255, 0, 0)))
    picture = open_picture(tmp_path / "a.jpg")
    exif = bytearray(picture.source.exif)
    at = exif.index(b"TAIL")
    assert old in exif
    # the note grows over all the room there is; the thumbnail stays where it was
    grown = bytes(exif) + bytes(65500 - len(exif))
    object.__setattr__(picture.source, "exif", grown)
    write_picture(picture, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as after:
        assert not after.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert old[20:] not in after.info["exif"] and after.info["exif"][6 + at :].startswith(b"TAIL")


@pytest.mark.parametrize("damage", ["short", "wild", "empty"])
def test_damaged_exif_does_not_stop_a_picture(tmp_path, damage):
    exif = {"short": b"II*\0\x08", "wild": b"II*\0" + struct.pack("<I", 9999), "empty": b"nonsense"}[damage]
    pil(smooth(10, 10), "RGB").save(tmp_path / "a.png", exif=b"Exif\0\0" + exif)
    picture = open_picture(tmp_path / "a.png")
    assert any("EXIF" in remark for remark in picture.remarks)
    write_picture(picture, tmp_path / "b.png")


def test_gain_maps_and_previews_are_named_and_left_out(tmp_path):
    xmp = b'<x xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
    segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    extra = b"\xff\xe1" + struct.pack(">H", 2 + len(segment)) + segment
    frames = [pil(smooth(20, 30), "RGB"), pil(smooth(10, 15), "RGB")]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    picture = open_picture(tmp_path / "a.jpg")
    assert any("preview" in remark for remark in picture.remarks)
    write_picture(picture, tmp_path / "b.jpg")
    assert b"MPF\0" not in (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as given:
        assert given.format == "MPO" and np.array_equal(open_picture(given).pixels, picture.pixels)
    frames[0].save(tmp_path / "c.jpg", extra=extra)
    picture = open_picture(tmp_path / "c.jpg")
    assert picture.source.xmp is None and any("gain map" in remark for remark in picture.remarks)


def test_lossy_webp_stays_lossy_and_lossless_stays_exact(tmp_path):
    array = values(40, 50, 4)
    array[:20, :, 3] = 0
    pil(array, "RGBA").save(tmp_path / "a.webp", lossless=True, exact=True, icc_profile=SRGB)
    pil(smooth(40, 50), "RGB").save(tmp_path / "b.webp", quality=80)
    repainted(tmp_path / "a.webp", tmp_path / "c.webp", (0, 0, 5, 5))
    again = open_picture(tmp_path / "c.webp")
    assert np.array_equal(again.pixels[5:], array[5:]) and again.source.icc == SRGB
    assert again.source.settings == {"lossless": True}
    write_picture(open_picture(tmp_path / "b.webp"), tmp_path / "d.webp")
    assert list(open_picture(tmp_path / "d.webp").source.settings) == ["quantiser"]


def test_other_formats_than_the_source_are_written_well_or_refused(tmp_path):
    pil(smooth(40, 50), "RGB").save(tmp_path / "a.png", icc_profile=SRGB, dpi=(300, 300))
    write_picture(open_picture(tmp_path / "a.png"), tmp_path / "b.jpeg")
    with Image.open(tmp_path / "b.jpeg") as after:
        assert JpegImagePlugin.get_sampling(after) == 0 and after.info["icc_profile"] == SRGB
        assert np.abs(np.asarray(after).astype(int) - smooth(40, 50)).max() < 8
    transparent, deep, inks = values(4, 4, 4), values(4, 4, 3, np.uint16), pil(values(4, 4, 4), "CMYK")
    for given, name, remedy in (
        (transparent, "c.jpg", "choose PNG"),
        (deep, "c.jpg", "choose PNG or TIFF"),
        (deep, "c.webp", "choose PNG or TIFF"),
        (deep, "c.bmp", "choose PNG or TIFF"),
        (inks, "c.png", "choose TIFF or JPEG"),
        (values(1, 16384, 3), "c.webp", "only 16383"),
        (values(1, 65501, 3), "c.jpg", "only 65500"),
        (transparent, "c.gif", "use one of .avif"),
        (transparent, "c", "use one of"),
    ):
        with pytest.raises(InputError, match=remedy):
            write_picture(open_picture(given), tmp_path / name)
        assert not (tmp_path / name).exists()

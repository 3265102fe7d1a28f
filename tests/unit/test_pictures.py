"""Pictures in, pictures out: every format and kind keeps its pixels, mode, depth, profile, EXIF and resolution."""

from __future__ import annotations

import io
import os
import re
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps, JpegImagePlugin, PngImagePlugin

from retouche import files
from retouche.errors import InputError
from retouche.files import atomic_write
from retouche.image import to_uint8
from retouche.pictures import Picture, decode, decoding, encode, encoding, measure, open_picture, png, write_picture
from retouche.pictures.formats import FORMATS

SIZES = [(1, 1), (7, 5), (1, 4000)]  # (height, width)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def values(height: int, width: int, channels: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels)).astype(dtype)


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A soft picture: JPEG changes it little."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / (20 + 9 * c) + c) * np.cos(y / (30 + 5 * c)) for c in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8)


def pil(array: np.ndarray, mode: str) -> Image.Image:
    return Image.frombytes(mode, (array.shape[1], array.shape[0]), array.tobytes())


def repainted(path: Path, out: Path, box: tuple[int, int, int, int], level: float = 1.0) -> Picture:
    """Open, paste one colour into a box, write."""
    picture = open_picture(path)
    left, top, right, bottom = box
    weight = torch.ones(1, 1, bottom - top, right - left)
    picture.paste(torch.full((1, 3, bottom - top, right - left), level), box, weight)
    write_picture(picture, out)
    return picture


# Lossless files -----------------------------------------------------------------------------------------------------

LOSSLESS = [
    *(("png", mode) for mode in ("1", "L", "LA", "RGB", "RGBA")),
    *(("tif", mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")),
    *(("webp", mode) for mode in ("RGB", "RGBA")),
    *(("bmp", mode) for mode in ("1", "L", "RGB")),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("suffix", "mode"), LOSSLESS)
def test_lossless_files_come_back_bit_for_bit(tmp_path, suffix, mode, size):
    array = values(*size, len(mode) if mode not in ("1", "YCbCr") else 3 if mode == "YCbCr" else 1)
    given = pil(array, "L").point(lambda v: 255 * (v > 127)).convert("1") if mode == "1" else pil(array, mode)
    given.save(tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {}))
    picture = open_picture(tmp_path / f"a.{suffix}")
    write_picture(picture, tmp_path / f"b.{suffix}")
    with Image.open(tmp_path / f"a.{suffix}") as before, Image.open(tmp_path / f"b.{suffix}") as after:
        assert after.mode == before.mode and after.size == before.size
        assert np.array_equal(np.asarray(after), np.asarray(before))
        assert after.format == before.format
    back = picture.as_given()
    assert back.mode == mode
    assert np.array_equal(np.asarray(back), np.asarray(given))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_files_come_back_bit_for_bit(tmp_path, suffix, channels, size):
    array = values(*size, channels, np.uint16)
    if suffix == "tif":
        extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        photometric = "minisblack" if channels == 1 else "rgb"
        tifffile.imwrite(
            tmp_path / "a.tif", array[..., 0] if channels == 1 else array, photometric=photometric, **extra
        )
    else:
        (tmp_path / "a.png").write_bytes(png16(array))
    picture = open_picture(tmp_path / f"a.{suffix}")
    assert picture.pixels.dtype == np.uint16 and np.array_equal(picture.pixels, array)
    repainted(tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}", (0, 0, 1, 1))
    again = open_picture(tmp_path / f"b.{suffix}").pixels
    assert again.dtype == np.uint16
    kept = np.ones(size, bool)
    kept[0, 0] = False
    assert np.array_equal(again[kept], array[kept])
    assert (again[0, 0, :3] == 65535).all()
    given = picture.as_given()
    if channels == 1:
        assert given.mode == "I;16" and np.array_equal(np.asarray(given), array[..., 0])
    else:
        assert isinstance(given, np.ndarray) and np.array_equal(given, array)


def png16(array: np.ndarray, chunks: bytes = b"", interlaced: bool = False) -> bytes:
    """A 16-bit PNG by the book, filter 0; Adam7 on request."""
    height, width, channels = array.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x, y, step_x, step_y in passes:
        part = array[y::step_y, x::step_x]
        if part.size:
            raw += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, int(interlaced))
    return b"".join(
        (png.SIGNATURE, chunk(b"IHDR", head), chunks, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    )


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_interlaced_sixteen_bit_png(tmp_path):
    for channels in (1, 3, 4):
        array = values(13, 11, channels, np.uint16)
        (tmp_path / "a.png").write_bytes(png16(array, interlaced=True))
        assert np.array_equal(open_picture(tmp_path / "a.png").pixels, array)


def test_sixteen_bit_png_of_smooth_rows_uses_both_filters(tmp_path):
    rows = np.arange(300, dtype=np.uint16)[:, None, None] * 200
    columns = np.arange(200, dtype=np.uint16)[None, :, None] * 300
    array = np.concatenate([rows + 0 * columns, np.roll(rows, 150) + 0 * columns, rows + columns], axis=2)
    array = np.concatenate([array[:150], np.swapaxes(array[:200], 0, 1)[:, :200]]).astype(np.uint16)
    with (tmp_path / "a.png").open("wb") as file:
        png.write_samples(file, array, "RGB", [])
    assert np.array_equal(open_picture(tmp_path / "a.png").pixels, array)
    assert (tmp_path / "a.png").stat().st_size < array.nbytes / 10


def test_sixteen_bit_png_keeps_profile_resolution_words_and_transparent_colour(tmp_path):
    array = values(5, 6, 3, np.uint16)
    key = struct.pack(">HHH", *array[2, 3])
    chunks = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB))
    chunks += chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)) + chunk(b"tRNS", key)
    chunks += chunk(b"tEXt", b"Title\0a field") + chunk(b"tEXt", b"Thumb::Image\0old")
    (tmp_path / "a.png").write_bytes(png16(array, chunks))
    picture = open_picture(tmp_path / "a.png")
    assert picture.mode == "RGBA"
    assert np.array_equal(picture.alpha() == 0, (array == array[2, 3]).all(axis=2))
    write_picture(picture, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as after:
        assert after.info["icc_profile"] == SRGB
        assert after.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        assert after.info["gamma"] == pytest.approx(0.45455)
        assert after.info["Title"] == "a field" and "Thumb::Image" not in after.info


@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_sixteen_bit_tiff_layouts(tmp_path, compression, order, planar):
    array = values(9, 20, 3, np.uint16)
    stored = array if planar == "contig" else np.moveaxis(array, 2, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, compression=compression, byteorder=order,
        iccprofile=SRGB, resolution=(240, 120), resolutionunit="inch", description="a field", metadata=None,
    )  # fmt: skip
    picture = open_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, array)
    write_picture(picture, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as after:
        page = after.pages[0]
        assert np.array_equal(page.asarray(), array)
        assert page.iccprofile == SRGB and page.description == "a field"
        assert page.tags["XResolution"].value == (240, 1) and page.tags["YResolution"].value == (120, 1)
        assert (page.compression != 1) == (compression is not None)


def test_sixteen_bit_tiff_with_lzw(tmp_path):
    array = np.repeat(values(6, 7, 3, np.uint16), 2, axis=0)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", compression=None, rowsperstrip=12)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages[0].tags
        compression, count, offset = tags["Compression"], tags["StripByteCounts"], tags["StripOffsets"]
        places = compression.valueoffset, count.valueoffset, offset.valueoffset
    packed = lzw(array.astype("<u2").tobytes())
    struct.pack_into("<H", data, places[0], 5)
    struct.pack_into("<I", data, places[1], len(packed))
    struct.pack_into("<I", data, places[2], len(data))
    (tmp_path / "a.tif").write_bytes(bytes(data) + packed)
    assert np.array_equal(open_picture(tmp_path / "a.tif").pixels, array)


def lzw(data: bytes) -> bytes:
    """TIFF's LZW without a table: a clear code often enough that codes stay 9 bits wide."""
    codes = []
    for at, byte in enumerate(data):
        if at % 200 == 0:
            codes.append(256)
        codes.append(byte)
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_sixteen_bit_tiff_is_turned_and_keeps_its_exif(tmp_path):
    array = values(4, 6, 3, np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric="rgb", extratags=[(274, 3, 1, 6, True), (271, 2, 0, "Maker", True)]
    )
    picture = open_picture(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, np.rot90(array, -1))
    write_picture(picture, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as after:
        assert np.array_equal(after.pages[0].asarray(), np.rot90(array, -1))
        assert after.pages[0].tags["Make"].value == "Maker"
        assert after.pages[0].tags.get("Orientation") is None or after.pages[0].tags["Orientation"].value == 1


def test_sixteen_bit_grey_tiff_is_turned_once(tmp_path):
    array = values(4, 6, 1, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array[..., 0], photometric="minisblack", extratags=[(274, 3, 1, 8, True)])
    assert np.array_equal(open_picture(tmp_path / "a.tif").pixels[..., 0], np.rot90(array[..., 0]))


def test_exif_directory_survives_in_every_tiff(tmp_path):
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 3
    exif[34665] = {33434: 0.01, 36867: "2020:01:02 03:04:05"}
    exif[34853] = {1: "N", 2: (1.0, 2.0, 3.0)}
    pil(smooth(20, 30), "RGB").save(tmp_path / "a.jpg", exif=exif)
    eight = open_picture(tmp_path / "a.jpg")
    write_picture(eight, tmp_path / "b.tif")
    deep = eight.copy()
    deep.pixels = deep.pixels.astype(np.uint16) * 257
    write_picture(deep, tmp_path / "c.tif")
    for name in ("b.tif", "c.tif"):
        write_picture(open_picture(tmp_path / name), tmp_path / f"again-{name}")
        with Image.open(tmp_path / f"again-{name}") as after:
            read = after.getexif()
            assert read[271] == "Maker"
            assert read.get_ifd(34665)[36867] == "2020:01:02 03:04:05"
            assert float(read.get_ifd(34665)[33434]) == pytest.approx(0.01)
            assert [float(v) for v in read.get_ifd(34853)[2]] == [1, 2, 3]


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw", "jpeg"])
def test_tiff_compression_is_kept_unless_lossy(tmp_path, compression):
    pil(smooth(40, 50), "RGB").save(tmp_path / "a.tif", compression=compression, dpi=(144, 144), icc_profile=SRGB)
    before = open_picture(tmp_path / "a.tif")
    write_picture(before, tmp_path / "b.tif")
    with Image.open(tmp_path / "b.tif") as after:
        assert after.info["compression"] == ("tiff_adobe_deflate" if compression == "jpeg" else compression)
        assert np.array_equal(np.asarray(after), before.pixels)
        assert after.info["dpi"] == (144, 144) and after.info["icc_profile"] == SRGB


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_tiff_orientation(tmp_path, orientation, mode, compression):
    array = smooth(4, 6, len(mode))
    exif = Image.Exif()
    exif[274] = orientation
    pil(array, mode).save(tmp_path / "a.tif", exif=exif, compression=compression)
    pil(array, mode).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored)).reshape(
            *stored.size[:: 1 if orientation > 4 else -1], -1
        )
    assert np.array_equal(open_picture(tmp_path / "a.png").pixels, expected)
    if mode == "RGB":  # Pillow itself turns the others wrongly where it maps them into memory
        with Image.open(tmp_path / "a.tif") as lazy:
            assert np.array_equal(open_picture(lazy).pixels, expected)
        with Image.open(tmp_path / "a.tif") as loaded:
            loaded.load()
        assert np.array_equal(open_picture(loaded).pixels, expected)
    turned = open_picture(tmp_path / "a.tif")
    assert np.array_equal(turned.pixels, open_picture(tmp_path / "a.png").pixels)
    write_picture(turned, tmp_path / "b.tif")
    with Image.open(tmp_path / "b.tif") as after:
        assert after.getexif().get(274, 1) == 1
        assert np.array_equal(np.asarray(after).reshape(expected.shape), expected)


def test_rgba_bmp_keeps_its_alpha(tmp_path):
    array = values(5, 7, 4)
    write_picture(open_picture(array), tmp_path / "a.bmp")
    write_picture(open_picture(tmp_path / "a.bmp"), tmp_path / "b.bmp")
    with Image.open(tmp_path / "b.bmp") as after:
        assert after.mode == "RGBA" and np.array_equal(np.asarray(after), array)


def test_png_keeps_words_colour_chunks_profile_exif_xmp(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 45455))
    info.add_text("Title", "a field", zip=True)
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"><xmp:Thumbnails><a>old</a></xmp:Thumbnails></x>')
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    pil(values(4, 6, 3), "RGB").save(tmp_path / "a.png", pnginfo=info, icc_profile=SRGB, dpi=(300, 150), exif=exif)
    write_picture(open_picture(tmp_path / "a.png"), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as after:
        after.load()
        assert after.size == (4, 6)
        assert after.info["Title"] == "a field" and after.info["icc_profile"] == SRGB
        assert after.info["dpi"] == pytest.approx((150, 300), abs=0.02)  # turned with its pixels
        assert after.info["gamma"] == pytest.approx(0.45455)
        assert after.getexif()[274] == 1 and after.getexif()[271] == "Maker"
        assert after.info["xmp"] == b'<x tiff:Orientation="1"></x>'


# JPEG and WebP ------------------------------------------------------------------------------------------------------


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
    pil(smooth(*size, len(mode)), mode).save(tmp_path / "a.jpg", quality=90, progressive=True)
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
    given = picture.as_given()
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


# What users give in memory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pil_in_pil_out(mode):
    channels = {"1": 1, "YCbCr": 3, "I;16": 2}.get(mode, len(mode))
    array = values(6, 9, channels)
    given = pil(array, "L").convert("1") if mode == "1" else pil(array, mode)
    given.info["icc_profile"] = SRGB
    before = given.tobytes()
    picture = open_picture(given)
    assert picture.rgb().shape == (1, 3, 6, 9)
    back = picture.as_given()
    assert back.mode == mode and back.tobytes() == before and back.info["icc_profile"] == SRGB
    picture.paste(torch.ones(1, 3, 2, 2), (3, 1, 5, 3), torch.ones(1, 1, 2, 2))
    assert given.tobytes() == before and back.tobytes() == before
    filled = picture.as_given()
    assert filled.mode == mode
    assert (
        np.asarray(filled.convert("RGB") if mode not in ("I;16", "1") else filled)[1:3, 3:5].min() >= 254 or mode == "1"
    )


def test_lazy_pil_pictures(tmp_path):
    pil(smooth(20, 30), "RGB").save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as lazy:
        assert isinstance(open_picture(lazy).as_given(), Image.Image)
        assert lazy.mode == "RGB"


def test_palettes_become_rgb_and_say_so(tmp_path):
    given = pil(smooth(20, 30), "RGB").quantize(16)
    given.save(tmp_path / "a.png")
    given.save(tmp_path / "t.png", transparency=3)
    picture = open_picture(tmp_path / "a.png")
    assert picture.mode == "RGB" and picture.remarks == ["palette picture became RGB"]
    assert np.array_equal(picture.pixels, np.asarray(given.convert("RGB")))
    picture = open_picture(tmp_path / "t.png")
    assert picture.mode == "RGBA" and picture.remarks == ["palette picture became RGBA"]
    assert np.array_equal(picture.alpha() == 0, np.asarray(given) == 3)


def test_transparent_colour_becomes_alpha(tmp_path):
    array = smooth(6, 6)
    pil(array, "RGB").save(tmp_path / "a.png", transparency=tuple(int(v) for v in array[2, 2]))
    picture = open_picture(tmp_path / "a.png")
    assert picture.mode == "RGBA" and picture.alpha()[2, 2] == 0
    pil(array[..., :1], "L").save(tmp_path / "b.png", transparency=int(array[2, 2, 0]))
    picture = open_picture(tmp_path / "b.png")
    assert picture.mode == "LA" and picture.alpha()[2, 2] == 0


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4)], ids=str)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
def test_array_in_array_out(shape, dtype):
    given = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    given.flags.writeable = False
    back = open_picture(given).as_given()
    assert back.shape == shape and back.dtype == np.dtype(dtype) and np.array_equal(back, given)


def test_arrays_in_any_memory_order():
    array = values(6, 8, 3)
    for given in (np.asfortranarray(array), array[::-1], array[:, ::2], array.transpose(1, 0, 2), array[..., ::-1]):
        picture = open_picture(given)
        picture.paste(torch.zeros(1, 3, 1, 1), (0, 0, 1, 1), torch.ones(1, 1, 1, 1))
        back = picture.as_given()
        assert np.array_equal(back[1:], given[1:]) and (back[0, 0] == 128).all()
    assert np.array_equal(array, values(6, 8, 3))


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4)], ids=str)
def test_float_arrays_are_taken_like_float_tensors(dtype, shape):
    given = np.random.default_rng(0).random(shape).astype(dtype)
    picture = open_picture(given)
    picture.paste(torch.ones(1, 3, 2, 2), (1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    back = picture.as_given()
    assert back.dtype == given.dtype and back.shape == shape
    assert (back.reshape(5, 7, -1)[1:3, 1:3, :3] > 0.999).all()
    back[1:3, 1:3] = given[1:3, 1:3]
    assert np.array_equal(back, given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 3, 5, 7)], ids=str)
def test_tensor_in_tensor_out(dtype, shape):
    given = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    kept = given.clone()
    picture = open_picture(given)
    assert picture.rgb().dtype == torch.float32
    picture.paste(torch.ones(1, 3, 2, 2), (1, 1, 3, 3), torch.ones(1, 1, 2, 2))
    back = picture.as_given()
    assert back.dtype == dtype and back.shape == shape and back.device == given.device
    assert (back[..., 1:3, 1:3] == 1).all()
    back[..., 1:3, 1:3] = given[..., 1:3, 1:3]
    assert torch.equal(back, kept) and torch.equal(given, kept)


def test_tensor_with_gradient_and_strides():
    given = torch.rand(5, 7, 3, requires_grad=True).permute(2, 0, 1)
    assert torch.equal(open_picture(given).as_given(), given.detach())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((5, 7), bool), "uint8 or uint16"),
        (np.zeros((5, 7, 3), np.int64), "uint8 or uint16"),
        (np.full((5, 7, 3), 1.5), "0..1"),
        (np.full((5, 7), np.nan, np.float32), "0..1"),
        (np.zeros((3, 5, 7), np.uint8), "(H, W, 3)"),
        (np.zeros((0, 7, 3), np.uint8), "(H, W, 3)"),
        (np.zeros((5,), np.uint8), "(H, W, 3)"),
        (torch.zeros(3, 5, 7, dtype=torch.uint8), "float tensor"),
        (torch.zeros(5, 7, 3), "float tensor"),
        (torch.zeros(2, 3, 5, 7), "float tensor"),
        (torch.full((3, 5, 7), 2.0), "0..1"),
        (torch.full((3, 5, 7), -0.1), "0..1"),
        (torch.full((3, 5, 7), float("nan")), "0..1"),
        (torch.full((3, 5, 7), float("inf")), "0..1"),
        (b"bytes", "give a path"),
        (None, "give a path"),
        (Image.new("F", (3, 3)), "convert it"),
        (Image.new("HSV", (3, 3)), "convert it"),
        (Image.new("I", (3, 3)), "convert it"),
        (Image.new("RGB", (0, 3)), "at least one pixel"),
    ],
)
def test_what_cannot_be_used_is_named(given, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        open_picture(given)
    assert "\n" not in str(caught.value)


def test_a_picture_is_returned_as_it_is():
    picture = open_picture(values(3, 3, 3))
    assert open_picture(picture) is picture
    copy = picture.copy()
    copy.pixels[0] = 0
    copy.remarks.append("x")
    assert picture.pixels[0].any() and not picture.remarks


# Files that cannot be read ------------------------------------------------------------------------------------------


def refused(path: Path, **options: int) -> str:
    with pytest.raises(InputError) as caught:
        open_picture(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    pil(values(64, 64, 3), "RGB").save(path)
    data = path.read_bytes()
    for share in (0.02, 0.1, 0.5, 0.95):
        path.write_bytes(data[: max(5, int(len(data) * share))])
        assert "a." + suffix in refused(path)


def test_truncated_pictures_given_by_pil(tmp_path):
    pil(values(64, 64, 3), "RGB").save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    with (
        Image.open(io.BytesIO(data[: len(data) // 2])) as lazy,
        pytest.raises(InputError, match="the picture cannot be decoded"),
    ):
        open_picture(lazy)


@pytest.mark.parametrize("compression", [None, "adobe_deflate"])
def test_truncated_sixteen_bit_files_are_refused(tmp_path, compression):
    array = values(64, 64, 3, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb", compression=compression)
    (tmp_path / "a.png").write_bytes(png16(array))
    for name in ("a.tif", "a.png"):
        data = (tmp_path / name).read_bytes()
        for share in (0.1, 0.5, 0.95):
            (tmp_path / name).write_bytes(data[: int(len(data) * share)])
            assert name in refused(tmp_path / name)


def test_bombs_are_refused_from_the_header(tmp_path):
    head = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    bomb = png.SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(bomb)
    assert "400.0 megapixels" in refused(tmp_path / "a.png")
    exactly = struct.pack(">IIBBBBB", 10000, 10000, 8, 2, 0, 0, 0)
    (tmp_path / "b.png").write_bytes(bomb.replace(chunk(b"IHDR", head), chunk(b"IHDR", exactly)))
    assert "decoded" in refused(tmp_path / "b.png")  # 100 megapixels pass the limit; this file holds no pixels
    pil(values(10, 10, 3), "RGB").save(tmp_path / "c.webp")
    assert "limit" in refused(tmp_path / "c.webp", max_pixels=99)
    assert open_picture(tmp_path / "c.webp", max_pixels=100).width == 10
    (tmp_path / "d.bmp").write_bytes(
        b"BM" + struct.pack("<IHHIIIIHH", 99, 0, 0, 54, 40, 60000, 60000, 1, 24) + bytes(30)
    )
    assert "megapixels" in refused(tmp_path / "d.bmp")


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_text("hello, I am text")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(png.SIGNATURE + b"more")
    Image.new("P", (3, 3)).save(tmp_path / "d.gif")
    assert "convert it to PNG" in refused(tmp_path / "a.png")
    assert "empty" in refused(tmp_path / "b.png")
    assert "damaged" in refused(tmp_path / "c.png")
    assert "convert it to PNG" in refused(tmp_path / "d.gif")
    assert "does not exist" in refused(tmp_path / "none.png")
    assert "is a folder" in refused(tmp_path)
    assert "cannot be read" in refused(tmp_path / "a.png" / "b.png")


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_several_pages_or_frames_are_refused(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert "pages or frames" in refused(tmp_path / f"a.{suffix}")


def test_other_depths_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png16(values(4, 4, 2, np.uint16)))
    assert "grey with alpha" in refused(tmp_path / "a.png")
    key = chunk(b"tRNS", struct.pack(">H", 7))
    (tmp_path / "b.png").write_bytes(png16(values(4, 4, 1, np.uint16), key))
    assert "transparency" in refused(tmp_path / "b.png")
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((4, 4)))
    assert "c.tif" in refused(tmp_path / "c.tif")
    tifffile.imwrite(tmp_path / "d.tif", values(4, 4, 4, np.uint16), photometric="separated")
    assert "16-bit" in refused(tmp_path / "d.tif")


# Writing whole or not at all ----------------------------------------------------------------------------------------


def test_existing_files_are_kept_unless_asked(tmp_path):
    picture = open_picture(values(3, 3, 3))
    write_picture(picture, tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(InputError, match="exists"):
        write_picture(open_picture(values(3, 3, 3, seed=1)), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    (tmp_path / "a.png").chmod(0o640)
    write_picture(open_picture(values(3, 3, 3, seed=1)), tmp_path / "a.png", overwrite=True)
    assert (tmp_path / "a.png").read_bytes() != before
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("nameless", [True, False])
def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch, nameless):
    if not nameless:  # as on systems that have no files without a name
        monkeypatch.setattr(files, "_nameless", lambda folder: None)
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        others = [entry.name for entry in tmp_path.iterdir() if entry.name != "a.txt"]
        assert all(name.startswith(".retouche-") and str(os.getpid()) in name for name in others)
        assert not (others and files._nameless(tmp_path))
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "before"
    with pytest.raises(InputError, match="No space left"), atomic_write(tmp_path / "a.txt") as temporary:
        raise OSError(28, "No space left on device")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("after")
    assert (tmp_path / "a.txt").read_text() == "after"


def test_folders_that_cannot_take_a_file(tmp_path):
    picture = open_picture(values(3, 3, 3))
    with pytest.raises(InputError, match="make it first"):
        write_picture(picture, tmp_path / "none" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        write_picture(picture, tmp_path / "folder.png", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="make it first"):
        write_picture(picture, tmp_path / "file" / "a.png")


def test_a_folder_that_refuses(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(files, "_nameless", lambda folder: None)
    with pytest.raises(InputError, match="Permission denied"):
        write_picture(open_picture(values(3, 3, 3)), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.png").write_bytes(b"")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_picture(open_picture(values(3, 3, 3)), tmp_path / "link.png", overwrite=True)
    assert (tmp_path / "link.png").is_symlink() and open_picture(tmp_path / "real.png").width == 3


# Values -------------------------------------------------------------------------------------------------------------


def test_rgb_by_hand():
    picture = open_picture(np.array([[[0, 51, 255]]], np.uint8))
    assert torch.allclose(picture.rgb(), torch.tensor([-1, -0.6, 1]).view(1, 3, 1, 1))
    deep = open_picture(np.array([[[0, 13107, 65535]]], np.uint16))
    assert torch.allclose(deep.rgb(), picture.rgb())
    grey = open_picture(np.array([[0, 255]], np.uint8))
    assert torch.equal(grey.rgb(), torch.tensor([-1.0, 1.0]).expand(1, 3, 1, 2))
    inks = open_picture(Image.new("CMYK", (1, 1), (0, 255, 255, 0)))
    assert torch.equal(inks.rgb(), torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1))


def test_rgb_of_a_box_is_a_cut_of_the_whole():
    for given in (values(6, 8, 3), values(6, 8, 1), pil(values(6, 8, 4), "CMYK"), torch.rand(3, 6, 8)):
        picture = open_picture(given)
        assert torch.equal(picture.rgb((2, 1, 7, 4)), picture.rgb()[..., 1:4, 2:7])


def test_every_level_survives_the_way_through_a_tensor():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    picture = open_picture(levels)
    assert np.array_equal(to_uint8(picture.rgb()), levels)
    blank = open_picture(np.zeros_like(levels))
    blank.paste(picture.rgb(), (0, 0, 16, 16), torch.ones(1, 1, 16, 16))
    assert np.array_equal(blank.pixels, levels)
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    blank = open_picture(np.zeros_like(deep))
    blank.paste(open_picture(deep).rgb(), (0, 0, 256, 256), torch.ones(1, 1, 256, 256))
    assert np.array_equal(blank.pixels, deep)


def test_paste_by_hand():
    picture = open_picture(np.full((1, 4, 4), 100, np.uint8))
    weight = torch.tensor([0, 0.25, 0.5, 1]).view(1, 1, 1, 4)
    picture.paste(torch.ones(1, 3, 1, 4), (0, 0, 4, 1), weight)
    assert picture.pixels[0, :, 0].tolist() == [100, 139, 178, 255]  # 100 + w * 155, rounded
    assert (picture.pixels[..., 3] == 100).all()
    grey = open_picture(np.zeros((1, 1), np.uint8))
    grey.paste(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1), (0, 0, 1, 1), torch.ones(1, 1, 1, 1))
    assert grey.pixels.item() == round(0.299 * 255)
    with pytest.raises(InputError, match="NaN"):
        grey.paste(torch.full((1, 3, 1, 1), float("nan")), (0, 0, 1, 1), torch.ones(1, 1, 1, 1))
    grey.paste(torch.full((1, 3, 1, 1), float("nan")), (0, 0, 1, 1), torch.zeros(1, 1, 1, 1))
    assert grey.pixels.item() == round(0.299 * 255)


# Streams ------------------------------------------------------------------------------------------------------------

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
    from retouche.apps.batch.pairing import Job

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

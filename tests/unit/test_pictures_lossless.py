"""Lossless files keep their pixels, mode, depth, profile, EXIF and resolution."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures_made import SIZES, SRGB, chunk, pil, png16, repainted, smooth, values
from PIL import Image, ImageOps, PngImagePlugin

from retouche.pictures import open_picture, png, write_picture

LOSSLESS = [
    *(("png", mode) for mode in ("1", "L", "LA", "RGB", "RGBA")),
    *(("tif", mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr")),
    *(("webp", mode) for mode in ("RGB", "RGBA")),
    *(("bmp", mode) for mode in ("1", "L", "RGB")),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("suffix", "mode"), LOSSLESS)
def test_lossless_files_come_back_bit_for_bit(tmp_path, suffix, mode, size):
    array = values(size[0], size[1], len(mode) if mode not in ("1", "YCbCr") else 3 if mode == "YCbCr" else 1)
    given = pil(array, "L").point(lambda v: 255 * (v > 127)).convert("1") if mode == "1" else pil(array, mode)
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == "webp" else {}
    given.save(tmp_path / f"a.{suffix}", **options)
    picture = open_picture(tmp_path / f"a.{suffix}")
    write_picture(picture, tmp_path / f"b.{suffix}")
    with Image.open(tmp_path / f"a.{suffix}") as before, Image.open(tmp_path / f"b.{suffix}") as after:
        assert after.mode == before.mode and after.size == before.size
        assert np.array_equal(np.asarray(after), np.asarray(before))
        assert after.format == before.format
    back: Any = picture.as_given()
    assert back.mode == mode
    assert np.array_equal(np.asarray(back), np.asarray(given))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_files_come_back_bit_for_bit(tmp_path, suffix, channels, size):
    array = values(size[0], size[1], channels, np.uint16)
    if suffix == "tif":
        extra: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
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
    given: Any = picture.as_given()
    if channels == 1:
        assert given.mode == "I;16" and np.array_equal(np.asarray(given), array[..., 0])
    else:
        assert isinstance(given, np.ndarray) and np.array_equal(given, array)


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

"""What comes with a picture comes out with it, or is said: IPTC, extended XMP, the aspect of pixels."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from hostile_metadata import _jpeg, _pieces, _png, _tiff, png_chunk
from PIL import Image, TiffImagePlugin

from retouche.pictures import decode, encode, jpeg, photoshop

WORDS = b"\x1c\x02\x05\0\x05title" + b"\x1c\x02\x19\0\x03key"
PREVIEW = b"\x1c\x02\xca\0\x06\xff\xd8\xff\xe0.." + b"\x1c\x02\xc8\0\x02\0\x0b"
PATH = (2000, b"\0\0", b"clipping path!")


def picture_in(size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), (255, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def resources() -> bytes:
    thumbnail = (1036, b"\0\0", struct.pack(">7I2H", 1, 8, 8, 24, 192, 99, 24, 1, 1)[:28] + picture_in())
    return photoshop.packed([(photoshop.IPTC, b"\0\0", WORDS + PREVIEW), thumbnail, PATH, (1058, b"\0\0", b"II*\0")])


KEPT = photoshop.packed([(photoshop.IPTC, b"\0\0", WORDS), PATH])


@pytest.mark.parametrize("length", [60000, 50])
def test_iptc_and_photoshop_survive_in_a_jpeg_without_their_previews(length):
    given = _jpeg(*_pieces(0xED, jpeg.PHOTOSHOP_HEAD, resources(), length))
    picture = decode(given)
    assert picture.source.photoshop == KEPT and picture.remarks == []
    again = encode(picture)
    assert decode(again).source.photoshop == KEPT
    with Image.open(io.BytesIO(again)) as seen:
        assert seen.info["photoshop"][photoshop.IPTC] == WORDS and 1036 not in seen.info["photoshop"]


def test_long_photoshop_data_is_split_over_segments():
    long = photoshop.packed([(photoshop.IPTC, b"\0\0", WORDS), (2001, b"\0\0", bytes(range(200)) * 1000)])
    picture = decode(encode(decode(_jpeg(*_pieces(0xED, jpeg.PHOTOSHOP_HEAD, long)))))
    assert picture.source.photoshop == long


def test_iptc_goes_along_into_tiff_and_png_and_is_said_where_it_cannot():
    picture = decode(_jpeg(*_pieces(0xED, jpeg.PHOTOSHOP_HEAD, resources())))
    tiff = encode(picture, "TIFF")
    with Image.open(io.BytesIO(tiff)) as seen:
        assert seen.tag_v2[33723] == WORDS and seen.tag_v2[34377] == KEPT
    for format in ("TIFF", "PNG", "JPEG"):
        assert decode(encode(picture, format)).source.photoshop == KEPT, format
    assert picture.remarks == []
    deep = picture.copy()
    deep.pixels = deep.pixels.astype(np.uint16) * 257
    for format in ("TIFF", "PNG"):
        assert decode(encode(deep, format)).source.photoshop == KEPT, format
    encode(picture, "WEBP")
    assert any("IPTC" in remark and "WebP" in remark for remark in picture.remarks)


@pytest.mark.parametrize("numbers", [False, True])
def test_iptc_alone_in_a_tiff(numbers):
    padded = WORDS + bytes(-len(WORDS) % 4)
    data = _tiff((33723, 7, padded))
    if numbers:  # as many programs write it
        data = data.replace(struct.pack("<HHI", 33723, 7, len(padded)), struct.pack("<HHI", 33723, 4, len(padded) // 4))
    assert photoshop.iptc_of(decode(data).source.photoshop) == WORDS
    assert photoshop.iptc_of(decode(encode(decode(data))).source.photoshop) == WORDS


def test_raw_profiles_of_a_png_are_read():
    digits = b"\niptc\n%8d\n" % len(resources()) + resources().hex().encode()
    picture = decode(_png(png_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(digits))))
    assert picture.source.photoshop == KEPT
    exif = Image.Exif()
    exif[274] = 6
    block = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    digits = b"\nexif\n%8d\n" % len(block) + block.hex().encode()
    assert decode(_png(png_chunk(b"tEXt", b"Raw profile type exif\0" + digits))).source.orientation == 6


def with_extension(extension: bytes, missing: int = 0) -> bytes:
    name = hashlib.md5(extension).hexdigest().upper().encode()
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r xmpNote:HasExtendedXMP="' + name + b'"/></x:xmpmeta>'
    pieces = [
        jpeg._segment(0xE1, jpeg.MORE_HEAD + name + struct.pack(">II", len(extension), at) + extension[at : at + 65000])
        for at in range(0, len(extension), 65000)
    ]
    return _jpeg(jpeg._segment(0xE1, jpeg.XMP_HEAD + packet), *reversed(pieces[missing:]))


def test_extended_xmp_survives_with_a_name_that_fits():
    extension = b"<e>" + bytes(range(32, 127)) * 2000 + b"</e>"
    picture = decode(with_extension(extension))
    assert picture.source.extended == extension and picture.remarks == []
    again = decode(encode(picture))
    assert again.source.extended == extension and again.source.xmp == picture.source.xmp
    hiding = b"<e><xmp:Thumbnails>" + b"a" * 100000 + b"</xmp:Thumbnails><keep/></e>"
    again = decode(encode(decode(with_extension(hiding))))
    assert again.source.extended == b"<e><keep/></e>"
    plain = decode(encode(picture, "PNG"))
    assert b"HasExtendedXMP" not in plain.source.xmp
    assert any("extended XMP has no place in PNG" in remark for remark in picture.remarks)


def test_extended_xmp_that_is_incomplete_is_said():
    picture = decode(with_extension(b"e" * 150000, missing=1))
    assert picture.source.extended is None and b"HasExtendedXMP" not in picture.source.xmp
    assert any("incomplete" in remark for remark in picture.remarks)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("deep", [False, True])
def test_the_aspect_of_pixels_survives(format, deep):
    pixels = np.full((6, 9, 3), 90, np.uint8)
    picture = decode(encode(decode(_png(png_chunk(b"pHYs", struct.pack(">IIB", 59, 54, 0))))))
    assert picture.source.aspect == (59, 54) and picture.source.dpi is None
    picture.pixels = pixels.astype(np.uint16) * 257 if deep and format != "JPEG" else pixels
    again = decode(encode(picture, format)).source
    assert again.dpi is None and again.aspect[0] * 54 == again.aspect[1] * 59
    if format == "JPEG":
        with Image.open(io.BytesIO(encode(picture, format))) as seen:
            assert seen.info["jfif_unit"] == 0 and seen.info["jfif_density"] == (59, 54)


def test_where_the_aspect_has_no_place_it_is_said():
    picture = decode(_png(png_chunk(b"pHYs", struct.pack(">IIB", 59, 54, 0))))
    encode(picture, "WEBP")
    assert any("aspect" in remark for remark in picture.remarks)
    assert decode(_png(png_chunk(b"pHYs", struct.pack(">IIB", 1, 1, 0)))).source.aspect is None


def test_a_turned_picture_exchanges_resolution_and_aspect():
    pixels = Image.new("RGB", (9, 6))
    exif = Image.Exif()
    exif[274], exif[282], exif[283] = 6, 300.0, 150.0
    file = io.BytesIO()
    pixels.save(file, "JPEG", exif=exif, dpi=(300, 150))
    source = decode(encode(decode(file.getvalue()))).source
    assert source.dpi == (150, 300)
    read = Image.Exif()
    read.load(source.exif)
    assert (float(read[282]), float(read[283])) == (150, 300)


@pytest.mark.parametrize(
    ("packet", "kept"),
    [
        (b"<a><xmp:Thumbnails>x</xmp:Thumbnails>b</a>", b"<a>b</a>"),
        (b"<a><xmp:Thumbnails/>b<xmp:Thumbnails >x</xmp:Thumbnails ></a>", b"<a>b</a>"),
        (b"<a xmpGImg:image='x' b=''/>", b"<a b=''/>"),
        (b"<a><xmp:ThumbnailsOther>x</xmp:ThumbnailsOther></a>", None),
        (b"<a><other:Thumbnails>x</other:Thumbnails></a>", None),
        (b"<a><xmp:Thumbnails>x", None),
        (b'<a tiff:Orientation="6"/>', b'<a tiff:Orientation="1"/>'),
        (b"<a><tiff:Orientation>8</tiff:Orientation></a>", b"<a><tiff:Orientation>1</tiff:Orientation></a>"),
    ],
)
def test_xmp_by_hand(packet, kept):
    picture = decode(_jpeg(jpeg._segment(0xE1, jpeg.XMP_HEAD + packet)))
    assert picture.source.xmp == kept
    assert bool(picture.remarks) == (kept is None)


def test_limits_of_a_decoder_are_not_called_damage():
    """Pillow refuses a text of more than a megabyte; the picture is sound."""
    words = b"Comment\0" + b"a" * 3_000_000
    picture = decode(_png(png_chunk(b"tEXt", words), png_chunk(b"zTXt", b"T\0\0" + zlib.compress(bytes(3_000_000)))))
    assert picture.width == 8 and picture.source.chunks[0] == (b"tEXt", words)
    assert decode(encode(picture)).source.chunks == picture.source.chunks


def test_tiff_tags_of_bytes_are_written_as_such():
    picture = decode(_jpeg(*_pieces(0xED, jpeg.PHOTOSHOP_HEAD, resources())))
    with Image.open(io.BytesIO(encode(picture, "TIFF"))) as seen:
        assert isinstance(seen, TiffImagePlugin.TiffImageFile)
        assert seen.tag_v2.tagtype[34377] == 1 and seen.tag_v2.tagtype[33723] == 7

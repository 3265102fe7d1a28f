"""JPEG: the source's own tables and subsampling, in and out."""

from __future__ import annotations

import hashlib
import io
import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import JpegImagePlugin

from retouche.pictures import exif_block, xmp
from retouche.pictures.segments import CAP, Held, spliced
from retouche.pictures.source import Pixels, Source, as_pil, common, no_place

SEGMENT = 65533
"""Bytes that one segment can hold beside its length."""

PIECE = 65400  # bytes of what is longer than a segment, in each


EXIF_HEAD, XMP_HEAD, MORE_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
ICC_HEAD, PHOTOSHOP_HEAD = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_COMMENT, _APPLICATION = 0xFE, range(0xE0, 0xF0)
_SEEN = (0xE0, 0xEE)  # JFIF's density and Adobe's colours belong to the pixels


def sieve(stream: BinaryIO) -> tuple[BinaryIO, Held]:
    """The file without its metadata, and these. Layout: ITU-T T.81, annex B."""
    held, parts, segments = Held(), [(0, 2)], _Segments()
    stream.seek(2)
    while True:
        start = stream.tell()
        head = stream.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0x00, 0x01, 0xFF, *range(0xD0, 0xDB)):
            break  # the scan, or what the parser has to make sense of
        end = start + 2 + max(2, struct.unpack(">H", head[2:])[0])
        if head[1] in _SEEN or not (head[1] == _COMMENT or head[1] in _APPLICATION):
            parts.append((start, end))
        else:
            segments.add(head[1], stream.read(end - start - 4))
        stream.seek(end)
    parts.append((start, stream.seek(0, io.SEEK_END)))
    segments.put_together(held)
    return spliced(stream, parts), held


class _Segments:
    """Metadata of a JPEG in the pieces that its segments hold."""

    def __init__(self) -> None:
        self.pieces: dict[str, list[bytes]] = {"exif": [], "photoshop": [], "xmp": [], "comment": []}
        self.profile: dict[int, bytes] = {}
        self.more: list[bytes] = []
        self.previews = False

    def add(self, marker: int, content: bytes) -> None:
        """One segment, without marker and length."""
        if marker == _COMMENT:
            self.pieces["comment"] = [content]
        elif marker == 0xE1 and content.startswith(EXIF_HEAD):
            self.pieces["exif"].append(content[len(EXIF_HEAD) :])
        elif marker == 0xE1 and content.startswith(XMP_HEAD):
            self.pieces["xmp"] = [content[len(XMP_HEAD) :]]
        elif marker == 0xE1 and content.startswith(MORE_HEAD):
            self.more.append(content[len(MORE_HEAD) :])
        elif marker == 0xE2 and content.startswith(ICC_HEAD):
            self.profile.setdefault(content[len(ICC_HEAD)] if len(content) > 14 else 0, content[14:])
        elif marker == 0xE2 and content.startswith(b"MPF\0"):
            self.previews = True
        elif marker == 0xED and content.startswith(PHOTOSHOP_HEAD):
            self.pieces["photoshop"].append(content[len(PHOTOSHOP_HEAD) :])

    def put_together(self, held: Held) -> None:
        """Fill in what is kept."""
        for kind, title in (
            ("exif", "EXIF"),
            ("photoshop", "Photoshop data"),
            ("xmp", "XMP"),
            ("comment", "a comment"),
        ):
            pieces = self.pieces[kind]
            if pieces and held.fits(sum(map(len, pieces)), title):
                setattr(held, kind, b"".join(pieces))
        if self.profile and held.fits(sum(map(len, self.profile.values())), "the colour profile"):
            held.icc = b"".join(piece for _, piece in sorted(self.profile.items()))
        held.previews = self.previews
        if held.xmp is not None and (name := xmp.extension_of(held.xmp)) is not None:
            held.extended = self._extension(name)
            if held.extended is None:
                held.xmp = xmp.pointing(held.xmp, None)
                held.remarks.append("extended XMP is incomplete and is left out")

    def _extension(self, name: bytes) -> bytes | None:
        """The extension of this name, where all of it is there: digest, whole length, place, content."""
        pieces = {piece[36:40]: piece for piece in self.more if piece[:32].upper() == name.upper() and len(piece) > 40}
        if not pieces:
            return None
        whole = b"".join(piece[40:] for _, piece in sorted(pieces.items()))
        (length,) = struct.unpack(">I", next(iter(pieces.values()))[32:36])
        return whole if len(whole) == length <= CAP else None


def settings(image: JpegImagePlugin.JpegImageFile) -> dict[str, Any]:
    """The words for Pillow's encoder that repeat tables, subsampling and order."""
    # One table per component, the last repeated by the encoder: files may map them as they like.
    tables = [list(image.quantization[layer[3]]) for layer in image.layer if layer[3] in image.quantization]
    while len(tables) > 1 and tables[-1] == tables[-2]:
        tables.pop()
    sampling = JpegImagePlugin.get_sampling(image)
    words: dict[str, Any] = {"qtables": tables} if tables else {"quality": 95}
    if image.layers == 3:
        words["subsampling"] = sampling if sampling >= 0 else 0  # Pillow knows three patterns; 4:4:4 loses least
        if image.info.get("adobe_transform") == 0 or [layer[0] for layer in image.layer] == [*b"RGB"]:
            words |= {"keep_rgb": True, "subsampling": 0}
    if image.layers == 4 and image.info.get("adobe_transform") == 2:
        words["ycck"] = True
    if image.info.get("progressive"):
        words["progressive"] = True
    return words


def block(image: JpegImagePlugin.JpegImageFile) -> tuple[int, int]:
    """Width and height of the blocks whose pixels share coefficients: 8, or more where colour is stored coarser."""
    layers = image.layer or [(0, 1, 1, 0)]
    return 8 * max(layer[1] for layer in layers), 8 * max(layer[2] for layer in layers)


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    remarks = no_place(source, "JPEG", "extra")
    words = common(source)
    packet = words.pop("xmp", None)
    if len(words.get("exif", b"")) > exif_block.EXIF_LIMIT + 6:
        remarks.append("EXIF is too long for a JPEG and is left out")
        del words["exif"]
    if packet is not None and len(packet) > SEGMENT - len(XMP_HEAD):
        remarks.append("XMP is too long for a JPEG and is left out")
        packet = None
    if source.comment is not None and len(source.comment) <= SEGMENT:
        words["comment"] = source.comment
    own = source.settings or {"quality": 95, "subsampling": 0}
    if mode != "RGB":
        own = {word: value for word, value in own.items() if word not in ("subsampling", "keep_rgb")}
    # by hand: Pillow before 11 has no word for XMP
    extra = b"" if packet is None else _segment(0xE1, XMP_HEAD + packet)
    if packet is not None and source.extended is not None:
        digest = hashlib.md5(source.extended, usedforsecurity=False).hexdigest().upper().encode()
        for at in range(0, len(source.extended), PIECE):
            place = struct.pack(">II", len(source.extended), at)
            extra += _segment(0xE1, MORE_HEAD + digest + place + source.extended[at : at + PIECE])
    if source.photoshop is not None:
        for at in range(0, len(source.photoshop), PIECE):
            extra += _segment(0xED, PHOTOSHOP_HEAD + source.photoshop[at : at + PIECE])
    start = stream.tell()
    own = dict(own)
    if ycck := own.pop("ycck", False) and mode == "CMYK":
        pixels = _ycck(pixels)
    image = as_pil(pixels, mode, source.bilevel)
    image = image.convert("L") if source.bilevel else image
    image.save(stream, "JPEG", **own, **words, **({"extra": extra} if extra else {}))
    if ycck:
        _set_transform(stream, start)
    if source.aspect is not None and not _set_aspect(stream, start, source.aspect):
        remarks.append("the aspect of its pixels has no place in this kind of JPEG and is left out")
    return remarks


def _segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(content)) + content


def _ycck(inks: Pixels) -> Pixels:
    """What Pillow's encoder, which stores four inks turned over and as they are, has to be given for YCCK.

    YCCK: the three colours that the inks leave as luma and two chromas, the black plate beside them (libjpeg).
    """
    # stored inks are turned over, so that 255 - stored is the ink itself: colour = ink
    colour = np.asarray(as_pil(np.ascontiguousarray(inks[..., :3]), "RGB").convert("YCbCr"))
    return np.concatenate([255 - colour, inks[..., 3:]], axis=2)


def _set_transform(stream: BinaryIO, start: int) -> None:
    """Say in Adobe's segment that the four components are YCCK."""
    stream.seek(start)
    head = stream.read(1 << 16)
    at = head.index(b"\xff\xee\x00\x0eAdobe")
    stream.seek(start + at + 15)
    stream.write(b"\2")
    stream.seek(0, io.SEEK_END)


def _set_aspect(stream: BinaryIO, start: int, aspect: tuple[int, int]) -> bool:
    """Write the pixels' aspect into the JFIF segment, where the file has one: it comes first."""
    stream.seek(start + 2)
    head = stream.read(9)
    found = head.startswith(b"\xff\xe0") and head[4:] == b"JFIF\0"
    if found:
        stream.seek(start + 13)
        stream.write(struct.pack(">BHH", 0, *aspect))
    stream.seek(0, io.SEEK_END)
    return found

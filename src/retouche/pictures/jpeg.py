"""JPEG: the source's own tables and subsampling, in and out."""

from __future__ import annotations

import logging
import struct
from typing import Any, BinaryIO

from PIL import JpegImagePlugin

from retouche.pictures import metadata
from retouche.pictures.source import Pixels, Source, as_pil, common

log = logging.getLogger(__name__)

SEGMENT = 65533
"""Bytes that one segment can hold beside its length."""


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
    if image.info.get("progressive"):
        words["progressive"] = True
    return words


def block(image: JpegImagePlugin.JpegImageFile) -> tuple[int, int]:
    """Width and height of the blocks whose pixels share coefficients: 8, or more where colour is stored coarser."""
    layers = image.layer or [(0, 1, 1, 0)]
    return 8 * max(layer[1] for layer in layers), 8 * max(layer[2] for layer in layers)


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> None:
    words = common(source)
    for kind, limit in (("exif", metadata.EXIF_LIMIT + 6), ("xmp", SEGMENT - 29)):
        if len(words.get(kind, b"")) > limit:
            log.warning("%s: %s is too long for a JPEG and is left out", name, kind.upper())
            del words[kind]
    if source.comment is not None and len(source.comment) <= SEGMENT:
        words["comment"] = source.comment
    own = source.settings or {"quality": 95, "subsampling": 0}
    if mode != "RGB":
        own = {word: value for word, value in own.items() if word not in ("subsampling", "keep_rgb")}
    xmp = words.pop("xmp", None)
    if xmp is not None:  # by hand: Pillow before 11 has no word for it
        head = b"http://ns.adobe.com/xap/1.0/\0"
        words["extra"] = b"\xff\xe1" + struct.pack(">H", 2 + len(head) + len(xmp)) + head + xmp
    image = as_pil(pixels, mode, source.bilevel).convert("L" if source.bilevel else mode)
    image.save(stream, "JPEG", **own, **words)

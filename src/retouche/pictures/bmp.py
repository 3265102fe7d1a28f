"""BMP, with the alpha channel that Pillow's own header hides."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np

from retouche.pictures.source import Pixels, Source, as_pil, no_place


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    remarks = no_place(source, "BMP", "icc", "exif", "xmp", "photoshop", "extended", "comment", "aspect", "extra")
    words = {"dpi": source.dpi} if source.dpi else {}
    if mode != "RGBA":
        as_pil(pixels, mode, source.bilevel).save(stream, "BMP", **words)
        return remarks
    # Pillow writes 32-bit BMP with a header that hides the alpha channel from readers, itself included; this one
    # (BITMAPV4HEADER) names the four channels.
    height, width = pixels.shape[:2]
    metre = [round(value * 39.3701) for value in source.dpi or (0, 0)]
    size = 4 * width * height
    header = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, size, *metre, 0, 0)
    masks = struct.pack("<IIII4s", 0xFF0000, 0xFF00, 0xFF, 0xFF000000, b"BGRs") + bytes(48)
    stream.write(struct.pack("<2sIHHI", b"BM", 14 + 108 + size, 0, 0, 14 + 108) + header + masks)
    stream.write(np.ascontiguousarray(pixels[::-1][..., [2, 1, 0, 3]]).data)
    return remarks

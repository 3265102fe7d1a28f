"""WebP: lossless stays lossless."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from retouche.pictures.source import Pixels, Source, as_pil, common, no_place


def settings(stream: BinaryIO) -> dict[str, Any]:
    """The words for Pillow's encoder that repeat the file's own kind."""
    return {"lossless": True} if _is_lossless(stream) else {}


def _is_lossless(stream: BinaryIO) -> bool:
    """Whether the picture chunk is VP8L."""
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name in (b"VP8L", b"VP8 "):
            return bool(name == b"VP8L")
        stream.seek(length + length % 2, 1)
    return False


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    words = common(source)
    words.pop("dpi", None)
    # `exact` keeps colours under full transparency, which are known pixels too. The quality of a lossy WebP cannot be
    # read from the file, so 90 stands for it.
    own = source.settings or {"quality": 90}
    wide = "RGBA" if mode in ("LA", "RGBA") else "RGB"
    as_pil(pixels, mode).convert(wide).save(stream, "WEBP", exact=True, method=4, **own, **words)
    return no_place(source, "WebP", "dpi", "aspect", "photoshop", "extended", "comment")

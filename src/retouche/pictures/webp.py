"""WebP: lossless stays lossless, lossy keeps the quality of its source.

Layout: RFC 6386 (VP8), 9.2 to 9.6 and 7.3; how a quality becomes a quantiser: libwebp, src/enc/quant_enc.c.
"""

from __future__ import annotations

import io
import math
import struct
from typing import Any, BinaryIO

from retouche.pictures.source import Pixels, Source, as_pil, common, no_place

QUALITY = 90  # of a lossy file that was none
_FINEST, _COARSEST = 0, 127  # VP8's quantiser indices


def settings(stream: BinaryIO) -> dict[str, Any]:
    """What repeats the file's own kind: that it is lossless, or the mean index of its quantisers, 0 (finest)..127."""
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        name, length = struct.unpack("<4sI", head)
        if name == b"VP8L":
            return {"lossless": True}
        if name == b"VP8 ":
            index = quantiser(stream.read(min(length, 512)))
            return {} if index is None else {"quantiser": index}
        if name == b"ANMF":  # a frame's own chunks follow its place and size
            length = 16
        stream.seek(length + length % 2, 1)
    return {}


def quantiser(frame: bytes) -> float | None:
    """The mean of the quantiser indices of a VP8 key frame's segments; None where it cannot be read."""
    if len(frame) < 11 or frame[3:6] != b"\x9d\x01\x2a" or frame[0] & 1:
        return None
    bits = _Bits(frame[10:])
    bits.number(2)  # colour space, clamping
    shifts: list[int] = []
    absolute = False
    if bits.number(1):  # segments
        has_map, has_values = bits.number(1), bits.number(1)
        if has_values:
            absolute = bool(bits.number(1))
            shifts = [bits.signed(7) for _ in range(4)]
            for _ in range(4):
                bits.signed(6)  # strengths of the loop filter
        if has_map:
            for _ in range(3):
                if bits.number(1):
                    bits.number(8)
    bits.number(10)  # the loop filter's kind, strength, sharpness
    if bits.number(1) and bits.number(1):  # its changes by mode
        for _ in range(8):
            bits.signed(6)
    bits.number(2)  # partitions
    base = bits.number(7)
    indices = [shift if absolute else base + shift for shift in shifts] or [base]
    return sum(min(max(index, _FINEST), _COARSEST) for index in indices) / len(indices)


class _Bits:
    """VP8's arithmetic decoder, for numbers whose bits are all equally likely."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._filled = data, 2, 0
        self._value, self._range = int.from_bytes(data[:2], "big"), 255

    def number(self, bits: int) -> int:
        """So many bits, the highest first."""
        number = 0
        for _ in range(bits):
            number = 2 * number + self._bit()
        return number

    def signed(self, bits: int) -> int:
        """A number that may be left out (0), with its sign behind it."""
        if not self._bit():
            return 0
        size = self.number(bits)
        return -size if self._bit() else size

    def _bit(self) -> int:
        split = 1 + ((self._range - 1) * 128 >> 8)
        bit = int(self._value >= split << 8)
        if bit:
            self._value -= split << 8
            self._range -= split
        else:
            self._range = split
        while self._range < 128:
            self._value <<= 1
            self._range <<= 1
            self._filled += 1
            if self._filled == 8:
                self._value |= self._data[self._at] if self._at < len(self._data) else 0
                self._at, self._filled = self._at + 1, 0
        return bit


def quality_of(index: float) -> float:
    """The quality, 0..100, whose quantiser is this index, as libwebp has it before it looks at the picture."""
    linear = (1 - index / _COARSEST) ** 3
    return 100 * (linear * 1.5 if linear < 0.5 else (linear + 1) / 2)


def write(stream: BinaryIO, pixels: Pixels, mode: str, source: Source, name: str) -> list[str]:
    words = common(source)
    words.pop("dpi", None)
    own = dict(source.settings) or {"quality": QUALITY}
    wanted = own.pop("quantiser", None)
    wide = "RGBA" if mode in ("LA", "RGBA") else "RGB"
    image = as_pil(pixels, mode).convert(wide)
    # `exact` keeps colours under full transparency, which are known pixels too
    words = {"exact": True, "method": 4, **own, **words}
    if wanted is None:
        image.save(stream, "WEBP", **words)
    else:
        stream.write(_as_fine(image, wanted, words))
    return no_place(source, "WebP", "dpi", "aspect", "photoshop", "extended", "comment", "extra")


def _as_fine(image: Any, wanted: float, words: dict[str, Any]) -> bytes:
    """The file of the least quality found that is no coarser than an index: the encoder looks at the picture, too."""
    quality = min(100, math.ceil(quality_of(wanted)))
    while True:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, **words)
        result = settings(file).get("quantiser")
        if result is None or result <= wanted or quality == 100:
            return file.getvalue()
        quality = min(100, quality + max(1, math.ceil(quality_of(wanted) - quality_of(result))))

"""Writes Caffe's files by hand, from the published field numbers alone."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray, *, old: bool = False, packed: bool = True, double: bool = False) -> bytes:
    """A blob; of the old kind its sizes are four numbers."""
    if old:
        sizes = (1,) * (4 - values.ndim) + values.shape
        head = b"".join(varint(axis + 1 << 3) + varint(size) for axis, size in enumerate(sizes))
    else:
        head = field(7, field(1, b"".join(varint(size) for size in values.shape)))
    flat = values.astype("<f8" if double else "<f4").ravel()
    if not packed:
        return head + b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in flat)
    return head + field(8 if double else 5, flat.tobytes())


def network(layers: Mapping[str, Sequence[bytes]], *, old: bool = False, name: str = "HED") -> bytes:
    """A whole file; each layer also has a type and settings, which are stepped over."""
    parts = [field(1, name.encode())] if name else []
    for title, blobs in layers.items():
        if old:
            inner = field(4, title.encode()) + varint(5 << 3) + varint(4) + b"".join(field(6, each) for each in blobs)
        else:
            inner = field(1, title.encode()) + field(2, b"Convolution") + b"".join(field(7, each) for each in blobs)
            inner += field(106, varint(1 << 3) + varint(64))
        parts.append(field(2 if old else 100, inner))
    return b"".join(parts)

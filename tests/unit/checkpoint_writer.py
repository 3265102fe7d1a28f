"""A TensorFlow V2 checkpoint writer for tests: one shard, float32, int64; the bytes are those of TensorFlow's saver.

Compared byte for byte with what `tf.compat.v1.train.Saver` of TensorFlow 2.21 wrote for the same variables, and read by
`tf.train.load_checkpoint`. The committed files in data/tensorflow are TensorFlow's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from retouche.weights.tensorflow import MAGIC, crc32c, masked

TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 9}


def varint(value: int) -> bytes:
    """Groups of seven bits, low ones first."""
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def crc(data: bytes) -> bytes:
    """The masked CRC-32C as it stands in files."""
    return masked(crc32c(np.frombuffer(data, np.uint8))).to_bytes(4, "little")


def block(rows: list[tuple[bytes, bytes]], every: int) -> bytes:
    """A block of sorted rows; every so many rows a key is written in full."""
    out, last, restarts = b"", b"", []
    for i, (key, value) in enumerate(rows):
        kept = 0
        if i % every:
            while kept < min(len(key), len(last)) and key[kept] == last[kept]:
                kept += 1
        else:
            restarts.append(len(out))
        out += varint(kept) + varint(len(key) - kept) + varint(len(value)) + key[kept:] + value
        last = key
    restarts = restarts or [0]
    out += b"".join(place.to_bytes(4, "little") for place in [*restarts, len(restarts)]) + b"\0"
    return out + crc(out)


def successor(key: bytes) -> bytes:
    """The shortest text that sorts after a key."""
    return bytes([key[0] + 1])


def write_checkpoint(prefix: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write `prefix`.index, `prefix`.data-00000-of-00001 and `checkpoint` beside them."""
    data, rows = b"", [(b"", b"\x08\x01\x1a\x02\x08\x01")]
    for name in sorted(tensors):
        raw = tensors[name].tobytes()
        axes = [b"\x08" + varint(size) if size else b"" for size in tensors[name].shape]
        shape = b"".join(b"\x12" + varint(len(axis)) + axis for axis in axes)
        entry = b"\x08" + varint(TYPES[tensors[name].dtype]) + b"\x12" + varint(len(shape)) + shape
        entry += (b"\x20" + varint(len(data)) if data else b"") + (b"\x28" + varint(len(raw)) if raw else b"")
        rows.append((name.encode(), entry + b"\x35" + crc(raw)))
        data += raw
    table = block(rows, 16)
    properties = block([], 1)
    handle = varint(0) + varint(len(table) - 5)
    addresses = block([(successor(rows[-1][0]), handle)], 1)
    footer = varint(len(table)) + varint(len(properties) - 5)
    footer += varint(len(table) + len(properties)) + varint(len(addresses) - 5)
    index = table + properties + addresses + footer.ljust(40, b"\0") + MAGIC
    prefix.with_name(prefix.name + ".index").write_bytes(index)
    prefix.with_name(prefix.name + ".data-00000-of-00001").write_bytes(data)
    text = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    (prefix.parent / "checkpoint").write_text(text)

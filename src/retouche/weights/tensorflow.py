"""TensorFlow checkpoints (V2, `PREFIX.index` and `PREFIX.data-*`) read without TensorFlow.

The index is a sorted string table as LevelDB has it: blocks of keys that share prefixes, a block of block addresses,
and a footer with that block's address. Its values are small protocol buffers: under the empty key the bundle's header,
under every variable's name an entry with type, shape, shard, offset, size and a CRC-32C. The data shards are the
tensors' bytes. Format: tensorflow/core/util/tensor_bundle and tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights.border import NAME, TENSORS

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FOOTER_BYTES = 48
BLOCK_TRAILER_BYTES = 5
"""A block ends in its compression (0 none, 1 snappy) and the masked CRC of both."""

INDEX_BYTES = 32 << 20
"""Of an index; one of 20,000 names takes 2 MB."""
BLOCKS = 2000
"""Of an index; TensorFlow fills each with 4 kB at least."""

DTYPES = {
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    19: torch.float16,
}
"""tensorflow/core/framework/types.proto; what is not here (strings, resources) is no tensor of a network."""


@dataclass(frozen=True)
class Entry:
    """Where a variable is: `BundleEntryProto`.

    Attributes:
        dtype: TensorFlow's number of the type
        shape: sizes of all axes
        shard: which data file
        offset, size: bytes in it
        crc: masked CRC-32C of these bytes
        sliced: kept in parts of a larger variable
    """

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    sliced: bool = field(default=False)


def find_prefix(path: Path) -> Path | None:
    """The checkpoint that a path means: its prefix, one of its files, or the folder that holds it.

    Returns: the prefix, or None if the path means no TensorFlow checkpoint
    Raises: WeightsError if a folder holds several and its `checkpoint` file names none of them
    """
    if path.is_dir():
        return _prefix_in_folder(path)
    if path.is_file():
        named = re.fullmatch(r"(.+)\.(?:index|meta|data-\d{5}-of-\d{5})", path.name)
        index = path.with_name(f"{named[1]}.index") if named else None
        return index.with_suffix("") if index and _is_index(index) else None
    return path if path.name and path.with_name(path.name + ".index").is_file() else None


def _is_index(path: Path) -> bool:
    """Whether a file is a table, or a damaged one beside its data."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        table = file.seek(0, 2) >= FOOTER_BYTES and file.seek(-len(MAGIC), 2) > 0 and file.read() == MAGIC
    return table or len(checkpoint_files(path.with_suffix(""))) > 1


def _prefix_in_folder(folder: Path) -> Path | None:
    named = folder / "checkpoint"
    if named.is_file():
        with named.open("rb") as file:
            text = file.read(4096).decode(errors="replace")
        entry = re.search(r'^model_checkpoint_path: "(?:[^"\n]*[/\\])?([^"/\\\n]+)"', text, re.MULTILINE)
        # folders are moved after training: the name counts, the path before it does not
        if entry and (folder / f"{entry[1]}.index").is_file():
            return folder / entry[1]
    found = sorted(path for path in folder.glob("*.index") if _is_index(path))
    if len(found) > 1:
        names = ", ".join(path.stem for path in found[:3])
        raise WeightsError(f"{folder} holds {len(found)} checkpoints ({names}): give the path of one of them")
    return found[0].with_suffix("") if found else None


def checkpoint_files(prefix: Path) -> list[Path]:
    """The index and all data shards, in their order."""
    shards = prefix.parent.glob(f"{_escaped(prefix.name)}.data-*")
    return [prefix.with_name(prefix.name + ".index"), *sorted(shards)]


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def read_checkpoint(prefix: Path) -> dict[str, Tensor]:
    """Every numeric variable of a checkpoint, checked against its CRC.

    Args:
        prefix: the files' common path, e.g. `folder/snap-40000`

    Raises: WeightsError if the checkpoint is damaged, incomplete, of a foreign byte order or partitioned
    """
    index = prefix.with_name(prefix.name + ".index")
    size = index.stat().st_size
    if size > INDEX_BYTES:
        raise WeightsError(f"{index} has {size} bytes, more than names take: fetch the checkpoint anew")
    try:
        rows = dict(_table(index.read_bytes()))
        shards, little_endian = _header(rows.pop(b""))
        # keys that begin with a zero byte are parts of sliced variables, which are refused below by their own names
        entries = {name.decode("utf-8"): _entry(value) for name, value in rows.items() if name[:1] != b"\0"}
    except _Unsupported as error:
        raise WeightsError(f"{index} {error}") from None
    # a cut or forged table fails in one of these ways, depending on where
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as broken:
        raise WeightsError(f"{index} is a damaged TensorFlow index ({broken}): fetch the checkpoint anew") from None
    if not little_endian:
        raise WeightsError(f"{index} has big-endian data: convert the checkpoint on a little-endian machine")
    sliced = [name for name, entry in entries.items() if entry.sliced]
    if sliced:
        raise WeightsError(
            f"{index} keeps {len(sliced)} variables in slices (first: {sliced[0]}): save it unpartitioned"
        )
    data = {shard: _shard(prefix, shard, shards) for shard in sorted({entry.shard for entry in entries.values()})}
    left = sum(map(len, data.values()))
    tensors = {}
    for name, entry in entries.items():
        if entry.dtype in DTYPES and name != "_CHECKPOINTABLE_OBJECT_GRAPH":
            tensors[name] = _tensor(name, entry, data[entry.shard], index)
            left -= entry.size
        if left < 0:
            raise WeightsError(f"{index} names more bytes than its data files have: fetch them anew")
    return tensors


def _shard(prefix: Path, shard: int, shards: int) -> np.ndarray:
    path = prefix.with_name(f"{prefix.name}.data-{shard:05d}-of-{shards:05d}")
    if not path.is_file():
        raise WeightsError(f"{path} is missing beside the checkpoint's index: fetch all of its files")
    if path.stat().st_size == 0:
        return np.empty(0, np.uint8)
    return np.memmap(path, np.uint8, "r")


def _tensor(name: str, entry: Entry, data: np.ndarray, index: Path) -> Tensor:
    dtype = DTYPES[entry.dtype]
    raw = data[entry.offset : entry.offset + entry.size]
    count = math.prod(entry.shape)
    if len(entry.shape) > 16 or max(entry.shape, default=0) >= 1 << 48:
        raise WeightsError(f"{index}: {name} has a shape that no tensor has: fetch the checkpoint anew")
    if len(raw) != entry.size or entry.size != count * dtype.itemsize or min(entry.shape, default=0) < 0:
        raise WeightsError(
            f"{index}: {name} is cut short ({len(raw)} of {entry.size} bytes): fetch the data files anew"
        )
    if masked(crc32c(raw)) != entry.crc:
        raise WeightsError(f"{index}: {name} is damaged (its CRC differs): fetch the data files anew")
    if not count:
        return torch.empty(entry.shape, dtype=dtype)
    return torch.from_numpy(np.array(raw)).view(dtype).reshape(entry.shape)


# The index: a sorted string table


class _Unsupported(Exception):
    """Something the format allows and this reader does not."""


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in their order."""
    if len(data) < FOOTER_BYTES or data[-8:] != MAGIC:
        raise ValueError("it has no footer")
    footer = data[-FOOTER_BYTES:]
    place = 0
    numbers = []
    for _ in range(4):
        number, place = _varint(footer, place)
        numbers.append(number)
    list(_block(data, *numbers[:2]))  # properties, empty in checkpoints; read for its CRC only
    read = rows = 0
    for number, (_, handle) in enumerate(_block(data, *numbers[2:])):
        offset, place = _varint(handle, 0)
        size, _ = _varint(handle, place)
        read += size
        if read > len(data) or number > BLOCKS:
            raise ValueError("its blocks overlap")
        for row in _block(data, offset, size):
            rows += 1
            if rows > TENSORS:
                raise ValueError("it has more names than networks have")
            yield row


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """A block's keys and values; each key is stored by how much of the last one it keeps."""
    whole = data[offset : offset + size + BLOCK_TRAILER_BYTES]
    if len(whole) != size + BLOCK_TRAILER_BYTES or size < 4:
        raise ValueError("it is cut short")
    if masked(crc32c(np.frombuffer(whole[: size + 1], np.uint8))) != int.from_bytes(whole[size + 1 :], "little"):
        raise ValueError("a block's CRC differs")
    if whole[size]:
        raise _Unsupported(
            "is compressed (snappy), which TensorFlow's own saver does not do: save it anew with TensorFlow"
        )
    restarts = int.from_bytes(whole[size - 4 : size], "little")
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("a block's table of restarts does not fit")
    key, place = b"", 0
    while place < end:
        kept, place = _varint(whole, place)
        added, place = _varint(whole, place)
        length, place = _varint(whole, place)
        if kept > len(key) or kept + added > NAME or place + added + length > end:
            raise ValueError("a block's entry does not fit")
        key = key[:kept] + whole[place : place + added]
        place += added
        yield key, whole[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, low ones first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number is too long")


# The values: protocol buffers


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """A message's fields in their order: number, and value (numbers) or bytes (text, messages)."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, place = _varint(message, place)
        elif kind in {1, 5}:
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"field kind {kind}")
        if place + length > len(message):
            raise ValueError("a field does not fit")
        raw = message[place : place + length]
        yield tag >> 3, raw if kind == 2 else int.from_bytes(raw, "little")
        place += length


def _header(message: bytes) -> tuple[int, bool]:
    """`BundleHeaderProto`: how many shards, and whether their bytes are little-endian."""
    values = {number: value for number, value in _fields(message) if isinstance(value, int)}
    return values.get(1, 0), not values.get(2, 0)


def _entry(message: bytes) -> Entry:
    """`BundleEntryProto`; absent fields are zero."""
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}
    shape: list[int] = []
    sliced = False
    for number, value in _fields(message):
        if isinstance(value, int):
            numbers[number] = value
        elif number == 2:  # TensorShapeProto: repeated field 2 holds the axes, whose field 1 is the size
            axes = [axis for inner, axis in _fields(value) if inner == 2 and isinstance(axis, bytes)]
            shape = [next((n for inner, n in _fields(axis) if inner == 1 and isinstance(n, int)), 0) for axis in axes]
        elif number == 7:
            sliced = True
    return Entry(numbers[1], tuple(shape), numbers[3], numbers[4], numbers[5], numbers[6], sliced)


# CRC-32C


def masked(crc: int) -> int:
    """How checkpoints keep a CRC, so that a CRC of data that hold CRCs stays a good one."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


CHUNK_BYTES = 1 << 22


def crc32c(data: np.ndarray) -> int:
    """CRC-32C (Castagnoli) of bytes, (N,) uint8.

    A CRC without its start value is linear: that of two halves is the left one's, moved past the right half's length,
    xor the right one's. So all 4-byte words are worked out at once and then joined pair by pair.
    """
    crc = 0xFFFFFFFF
    for start in range(0, len(data), CHUNK_BYTES):
        chunk = np.asarray(data[start : start + CHUNK_BYTES])
        crc = _moved(crc, len(chunk)) ^ _linear_crc(chunk)
    return crc ^ 0xFFFFFFFF


def _linear_crc(data: np.ndarray) -> int:
    words = max(1, -(-len(data) // 4))
    levels = (words - 1).bit_length()
    padded = np.zeros(4 << levels, np.uint8)
    padded[len(padded) - len(data) :] = data  # zeros in front leave a linear CRC as it is
    values = _apply(_zeros(2), padded.view("<u4").astype(np.uint32, copy=False))
    for level in range(levels):
        values = _apply(_zeros(2 + level), values[0::2]) ^ values[1::2]
    return int(values[0])


def _moved(crc: int, length: int) -> int:
    """A linear CRC after `length` more zero bytes."""
    value = np.array([crc], np.uint32)
    for power in range(length.bit_length()):
        if length >> power & 1:
            value = _apply(_zeros(power), value)
    return int(value[0])


@cache
def _zeros(power: int) -> np.ndarray:
    """What 2 ** power zero bytes do to a CRC: (4, 256), the images of every value of each of its bytes."""
    if power:
        half = _zeros(power - 1)
        units = _apply(half, _apply(half, np.uint32(1) << np.arange(32, dtype=np.uint32)))
    else:
        units = np.uint32(1) << np.arange(32, dtype=np.uint32)
        for _ in range(8):
            units = (units >> np.uint32(1)) ^ (units & np.uint32(1)) * np.uint32(0x82F63B78)
    tables = np.zeros((4, 256), np.uint32)
    for byte in range(4):
        for bit in range(8):
            tables[byte, 1 << bit : 2 << bit] = tables[byte, : 1 << bit] ^ units[8 * byte + bit]
    return tables


def _apply(tables: np.ndarray, values: np.ndarray) -> np.ndarray:
    octets = np.ascontiguousarray(values).astype("<u4", copy=False).view(np.uint8).reshape(-1, 4)
    return tables[0][octets[:, 0]] ^ tables[1][octets[:, 1]] ^ tables[2][octets[:, 2]] ^ tables[3][octets[:, 3]]

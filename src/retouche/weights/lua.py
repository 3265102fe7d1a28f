"""Files of Lua Torch (`.t7`), for their tensors alone: nothing in them is run.

A file is one object, written depth first: a 32-bit kind, then numbers, text, or (for tables and objects of Torch) an
index, by which later places point back, and what belongs to it. An object is the text "V 1", the name of its class and,
for all classes but tensors and storages, one table with its fields. Little endian, whole numbers of a tensor 64 bits
wide, as Torch wrote them on 64-bit machines.

Sources: `File.lua`, `generic/Tensor.c` and `generic/Storage.c` of github.com/torch/torch7.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights.border import Stream
from retouche.weights.pickles import REMEDY, as_tensor

NIL, NUMBER, STRING, TABLE, OBJECT, BOOLEAN = range(6)
FUNCTIONS = (6, 7, 8)
"""Kinds of Lua functions, by age of the format: byte code, which is never run."""
MOST = 100_000
"""Tables, objects and tensors in a file at most; a network has some hundreds."""
DEEPEST = 100
"""Tables within tables at most."""
AXES = 16
"""Of a tensor at most."""
NUMBERS = {
    "Byte": "u1", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8", "Half": "f2", "Float": "f4", "Double": "f8",
}  # fmt: skip
_CLASS = re.compile(r"torch\.(Cuda)?(\w*?)(Tensor|Storage)")


class _BrokenError(Exception):
    """What is wrong with the file, in words."""


def is_lua(head: bytes) -> bool:
    """Whether a file that begins so is one of Lua Torch's, in binary: an object with its version, or a table."""
    if head[:4] == struct.pack("<i", OBJECT):
        return re.match(rb"[\s\S]{8}(V \d|\w+\.\w)", head[4:]) is not None
    return head.startswith(struct.pack("<ii", TABLE, 1))


def read_lua(stream: Stream) -> Any:
    """The tables of a file as nested dictionaries of tensors; other values are left out, an object is its fields.

    A table that is met again is empty there: what it holds stands at its first place.

    Raises: WeightsError if the file holds functions, is damaged or cut short, or larger inside than any network
    """
    try:
        reader = _Reader(stream)
        tree = reader.value(0)
        if reader.left:
            raise _BrokenError(f"{reader.left} bytes follow its end")
    except _BrokenError as broken:
        raise WeightsError(f"is a damaged Lua Torch file ({broken}): fetch it anew") from None
    return {} if tree is None else tree


class _Reader:
    """Reads one value after another and never asks for more bytes than are left.

    Attributes:
        left: bytes to come
    """

    def __init__(self, stream: Stream) -> None:
        self.stream, self.left = stream, len(stream)
        self.met: dict[int, Tensor | None] = {}

    # Plain values

    def take(self, length: int) -> bytes:
        """So many bytes."""
        if not 0 <= length <= self.left:
            raise _BrokenError("it ends early")
        self.left -= length
        return self.stream.take(length).tobytes()

    def whole(self) -> int:
        """A number of 32 bits."""
        return int.from_bytes(self.take(4), "little", signed=True)

    def longs(self, count: int) -> list[int]:
        """So many numbers of 64 bits."""
        return list(struct.unpack(f"<{count}q", self.take(8 * count)))

    def text(self) -> str:
        """A length and so many bytes."""
        return self.take(self.whole()).decode("latin-1")

    # Values with something inside

    def value(self, depth: int) -> Any:
        """The next value: a tensor, a dictionary of such, text or a number; None for what is nothing or empty."""
        kind = self.whole()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return struct.unpack("<d", self.take(8))[0]
        if kind == STRING:
            return self.text()
        if kind == BOOLEAN:
            return self.whole() != 0
        if kind in FUNCTIONS:
            raise WeightsError(f"holds code (a Lua function), which is never run: {REMEDY}")
        if kind not in (TABLE, OBJECT):
            raise _BrokenError(f"a value of the kind {kind}")
        index = self.whole()
        if index in self.met:
            return self.met[index]
        if len(self.met) >= MOST or depth > DEEPEST:
            raise _BrokenError("more tables and tensors than a network has")
        self.met[index] = None  # a table that is met again, within itself or later
        if kind == TABLE:
            return self.table(depth)
        name = self.text()
        name = self.text() if re.fullmatch(r"V \d+", name) else name  # files of before versions lack the word
        if found := _CLASS.fullmatch(name):
            result = self.tensor(name, depth) if found[3] == "Tensor" else self.storage(name)
            self.met[index] = result
            return result
        if self.whole() != TABLE:
            raise _BrokenError(f"an object {name[:40]!r} that is no table")
        index = self.whole()
        if index in self.met:
            raise _BrokenError(f"an object {name[:40]!r} with the fields of another")
        self.met[index] = None
        return self.table(depth)

    def table(self, depth: int) -> dict[str, Any] | None:
        """Pairs of a key and a value; those that hold tensors are kept."""
        kept: dict[str, Any] = {}
        for _ in range(self.whole()):
            key = self.value(depth + 1)
            if isinstance(key, float):
                key = int(key) if key.is_integer() else key
            elif not isinstance(key, (str, bool)):
                raise _BrokenError("a table whose keys are no words or numbers")
            inside = self.value(depth + 1)
            if isinstance(inside, (Tensor, dict)):
                kept[str(key)] = inside
        return kept or None

    def tensor(self, name: str, depth: int) -> Tensor | None:
        """A view of a storage; None for an empty one."""
        axes = self.whole()
        if not 0 <= axes <= AXES:
            raise _BrokenError(f"a tensor of {axes} axes")
        shape, strides, (offset,) = self.longs(axes), self.longs(axes), self.longs(1)
        storage = self.value(depth + 1)
        if storage is None or not axes:
            return None
        if not isinstance(storage, Tensor) or storage.ndim != 1 or storage.dtype != _dtype(name):
            raise _BrokenError("a tensor without numbers of its own")
        if min(shape) < 1 or min(strides) < 0 or offset < 1:
            raise _BrokenError(f"a tensor of the shape {shape}")
        last = offset - 1 + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
        if math.prod(shape) > storage.numel() or last >= storage.numel():
            raise _BrokenError(f"a tensor of the shape {shape}, larger than its numbers")
        return storage.as_strided(shape, strides, offset - 1)

    def storage(self, name: str) -> Tensor | None:
        """Numbers in a row; None for none."""
        (count,) = self.longs(1)
        kind = np.dtype(_code(name))
        if count < 0 or count * kind.itemsize > self.left:
            raise _BrokenError("it ends early")
        self.left -= count * kind.itemsize
        return as_tensor(np.frombuffer(self.stream.take(count * kind.itemsize), kind)) if count else None


def _code(name: str) -> str:
    """NumPy's code of a tensor's or storage's class; one on a GPU without a word for its kind holds floats."""
    found = _CLASS.fullmatch(name)
    assert found is not None
    word = found[2] or ("Float" if found[1] else "")
    if word not in NUMBERS:
        raise _BrokenError(f"numbers of the class {name[:40]!r}")
    return f"<{NUMBERS[word]}"


def _dtype(name: str) -> torch.dtype:
    return torch.from_numpy(np.zeros(1, np.dtype(_code(name)).newbyteorder("="))).dtype

"""Writes Lua Torch's binary files as `torch.save` did there, for tests of the reader."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

NAMES = {
    torch.uint8: "Byte",
    torch.int8: "Char",
    torch.int16: "Short",
    torch.int32: "Int",
    torch.int64: "Long",
    torch.float16: "Half",
    torch.float32: "Float",
    torch.float64: "Double",
}


@dataclass
class Module:
    """An object of Torch: a class's name and its fields."""

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)


class Writer:
    """Bytes of one value after another; what was written is pointed back to, as there.

    Args:
        versions: whether objects say their version; files of 2012 and before do not
        gpu: whether tensors are of CUDA's classes
    """

    def __init__(self, versions: bool = True, gpu: bool = False) -> None:
        self.parts: list[bytes] = []
        self.indices: dict[Any, int] = {}
        self.alive: list[Any] = []  # what is told apart by its address must keep it
        self.versions, self.gpu = versions, gpu

    def whole(self, *numbers: int) -> None:
        self.parts.append(struct.pack(f"<{len(numbers)}i", *numbers))

    def longs(self, *numbers: int) -> None:
        self.parts.append(struct.pack(f"<{len(numbers)}q", *numbers))

    def text(self, text: str) -> None:
        self.whole(len(text))
        self.parts.append(text.encode("latin-1"))

    def value(self, value: Any) -> None:
        if value is None:
            self.whole(0)
        elif isinstance(value, bool):
            self.whole(5, int(value))
        elif isinstance(value, (int, float)):
            self.whole(1)
            self.parts.append(struct.pack("<d", value))
        elif isinstance(value, str):
            self.whole(2)
            self.text(value)
        elif isinstance(value, dict):
            if self._begun(3, id(value)):
                self.table(value)
        elif isinstance(value, Module):
            if self._begun(4, id(value)):
                self._class(value.name)
                self.alive.append(dict(value.fields))
                self.value(self.alive[-1])
        else:
            assert isinstance(value, Tensor)
            self.tensor(value)

    def table(self, table: dict[Any, Any]) -> None:
        self.whole(len(table))
        for key, inside in table.items():
            self.value(key)
            self.value(inside)

    def tensor(self, tensor: Tensor) -> None:
        if not self._begun(4, id(tensor)):
            return
        word = NAMES[tensor.dtype]
        if self.gpu:
            word = "Cuda" + word.removeprefix("Float")
        self._class(f"torch.{word}Tensor")
        axes = tensor.ndim if tensor.numel() else 0  # an empty one has no axes there
        self.whole(axes)
        self.longs(*(tensor.shape if axes else ()))
        self.longs(*(tensor.stride() if axes else ()))
        self.longs(int(tensor.storage_offset()) + 1)
        if not tensor.numel():
            self.value(None)
            return
        storage = tensor.untyped_storage()
        if self._begun(4, ("storage", storage.data_ptr())):
            self._class(f"torch.{word}Storage")
            flat = torch.tensor([], dtype=tensor.dtype).set_(storage)
            self.longs(flat.numel())
            self.parts.append(flat.numpy().tobytes())

    def _begun(self, kind: int, key: Any) -> bool:
        """Kind and index; whether the value itself is to follow."""
        known = key in self.indices
        index = self.indices.setdefault(key, len(self.indices) + 1)
        self.whole(kind, index)
        return not known

    def _class(self, name: str) -> None:
        if self.versions:
            self.text("V 1")
        self.text(name)


def write_lua(path: Path, value: Any, versions: bool = True, gpu: bool = False) -> Path:
    writer = Writer(versions, gpu)
    writer.alive.append(value)
    writer.value(value)
    path.write_bytes(b"".join(writer.parts))
    return path

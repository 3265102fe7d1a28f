"""PyTorch's files, new (a zip archive) and old (pickles, then the storages), read without PyTorch's unpickler.

A tensor in a pickle is a view: a storage's name, an offset, a shape and strides. Views are bounded by their storage
and storages by the file, so that no number is made that the file does not hold.

Format: torch/serialization.py and torch/_utils.py, versions 0.4 to 2.13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights import torchscript
from retouche.weights.archive import read_archive
from retouche.weights.border import Stream, damaged
from retouche.weights.pickles import Known, Machine, is_size

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

DTYPES: dict[str, torch.dtype] = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
"""Kinds of storages by the beginning of their classes' names."""


@dataclass(frozen=True)
class StorageKind:
    """Stands for a storage's class; the untyped one counts bytes."""

    dtype: torch.dtype


@dataclass
class Storage:
    """Numbers of one type; where they are is known once the pickle has ended, in old files."""

    dtype: torch.dtype
    count: int
    data: memoryview | None = None


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage, as the file has it, unchecked."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any
    dtype: torch.dtype | None = None

    def tensor(self) -> Tensor:
        """The view.

        Raises: WeightsError if it reaches beyond its storage, or repeats its numbers
        """
        storage, shape, strides = self.storage, self.shape, self.strides
        if not isinstance(storage, Storage) or storage.data is None:
            raise damaged("a tensor without a storage")
        words = (shape, strides)
        if not all(isinstance(word, (tuple, list)) and all(map(is_size, word)) for word in words):
            raise damaged("a tensor without a shape")
        if len(shape) != len(strides) or len(shape) > 16 or not is_size(self.offset):
            raise damaged("a tensor without a shape")
        flat = torch.frombuffer(storage.data, dtype=torch.uint8) if len(storage.data) else torch.empty(0).byte()
        dtype = self.dtype or storage.dtype
        flat = flat[: len(flat) // dtype.itemsize * dtype.itemsize].view(dtype)
        count = math.prod(shape)
        last = self.offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
        if count and (last >= len(flat) or count > len(flat)):
            raise damaged(f"a tensor of {count} numbers in a storage of {len(flat)}")
        return flat.as_strided(shape, strides, self.offset) if count else torch.empty(tuple(shape), dtype=dtype)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> StoredTensor:
    """`_rebuild_tensor` and `_rebuild_tensor_v2`; gradients and hooks are left out."""
    return StoredTensor(storage, offset, shape, strides)


def _tensor_of_type(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> StoredTensor:
    """`_rebuild_tensor_v3`, for types without a storage of their own."""
    dtype = more[2]
    if not isinstance(dtype, torch.dtype):
        raise damaged("a tensor without a type")
    return StoredTensor(storage, offset, shape, strides, dtype)


def _first(first: Any = None, *more: Any) -> Any:
    """The tensor of a parameter."""
    return first


def _of_subclass(function: Any, kind: Any, arguments: Any, *state: Any) -> Any:
    """`_rebuild_from_type_v2`: a tensor with attributes."""
    if not isinstance(function, Known) or function.call not in {_tensor, _tensor_of_type, _first}:
        raise damaged("a tensor of an unknown class")
    return function.call(*arguments)


NAMES: dict[str, Any] = {
    "torch._utils._rebuild_tensor": Known(_tensor),
    "torch._utils._rebuild_tensor_v2": Known(_tensor),
    "torch._utils._rebuild_tensor_v3": Known(_tensor_of_type),
    "torch._utils._rebuild_parameter": Known(_first),
    "torch._utils._rebuild_parameter_with_state": Known(_first),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": Known(_first),
    "torch._tensor._rebuild_from_type_v2": Known(_of_subclass),
    "torch.nn.parameter.Parameter": Known(_first),
    "torch.Size": Known(lambda sides=(): tuple(sides) if isinstance(sides, (list, tuple)) else ()),
    "torch.device": Known(lambda *words: None),
    "torch.serialization._get_layout": Known(lambda *words: None),
    **{str(dtype): dtype for dtype in DTYPES.values()},
    **{
        f"{home}.{name}Storage": StorageKind(dtype)
        for home in ("torch", "torch.cuda")
        for name, dtype in DTYPES.items()
    },
    "torch.storage.UntypedStorage": StorageKind(torch.uint8),
    "torch.UntypedStorage": StorageKind(torch.uint8),
}
"""What PyTorch's pickles name beside containers and arrays."""


def _storages(found: dict[str, Storage]) -> Callable[[Any], Any]:
    """What persistent ids stand for: ("storage", class, key, device, count[, view of another])."""

    def storage(words: Any) -> Any:
        if isinstance(words, tuple) and words[:1] == ("module",) and len(words) > 1:
            return words[1]  # a class whose source lies in the file
        if not isinstance(words, tuple) or len(words) not in {5, 6} or words[0] != "storage":
            raise damaged("an external object that is no storage")
        _, kind, key, _, count = words[:5]
        view = words[5:] != () and words[5] is not None
        if not isinstance(kind, StorageKind) or not isinstance(key, str) or not is_size(count) or view:
            raise damaged("a storage of an unknown kind")
        return found.setdefault(key, Storage(kind.dtype, count))

    return storage


def read_zip(stream: Stream) -> Any:
    """The tree of a new file."""
    files = read_archive(stream)
    root = next(iter(files), "").partition("/")[0]
    if f"{root}/data.pkl" not in files:
        first = next(iter(files), "nothing")
        raise WeightsError(f"is a zip archive (holding {first}), not a weight file: unpack it first")
    if f"{root}/constants.pkl" in files:
        constants = any(name.startswith(f"{root}/constants/") for name in files)
        return torchscript.named(read_pickled(files, root, torchscript.NAMES), constants)
    return read_pickled(files, root)


def read_pickled(files: dict[str, memoryview], root: str, names: dict[str, Any] | None = None) -> Any:
    """The tree of an archive's `data.pkl`, its storages where the archive has them.

    Args:
        files: of the archive
        root: the folder in it
        names: what this kind of file may name beside what all do
    """
    if files.get(f"{root}/byteorder", b"little") != b"little":
        raise WeightsError("has big-endian data: save it anew on a little-endian machine")
    storages: dict[str, Storage] = {}
    machine = Machine(Stream(files[f"{root}/data.pkl"]), {**NAMES, **(names or {})}, _storages(storages))
    tree = machine.load()
    for key, storage in storages.items():
        data = files.get(f"{root}/data/{key}")
        if data is None or len(data) < storage.count * storage.dtype.itemsize:
            raise damaged(f"storage {key} is not whole")
        storage.data = data[: storage.count * storage.dtype.itemsize]
    return tree


def read_legacy(stream: Stream) -> Any:
    """The tree of an old file: five pickles (magic number, version, machine, tree, order of storages), then numbers."""
    storages: dict[str, Storage] = {}
    machine = Machine(stream, NAMES, _storages(storages))
    if machine.load() != LEGACY_MAGIC or machine.load() != LEGACY_PROTOCOL:
        raise damaged("its beginning")
    system = machine.load()
    if not isinstance(system, dict) or system.get("little_endian", True) is not True:
        raise WeightsError("has big-endian data: save it anew on a little-endian machine")
    tree, order = machine.load(), machine.load()
    if not isinstance(order, list):
        raise damaged("its storages have no order")
    for key in order:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or stream.number("<q") != storage.count:
            raise damaged("its storages are not those of its tensors")
        storage.data = stream.take(storage.count * storage.dtype.itemsize)
    return tree

"""Pickles of arrays, opened without running anything: Paddle's `.pdparams`, and the NumPy corners of `.pth` files.

A `.pdparams` file is one pickle: tensor name -> NumPy array, beside the table `StructuredToParameterName@@`. Newer
releases of Paddle keep a tensor as the pair (name, array), which unpickles as `tuple((name, array))`. The unpickler
here knows plain containers and arrays. Every other name in the file is refused before anything is called.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from retouche.errors import WeightsError

REMEDY = "ask its publisher for a safetensors or state_dict file"


class StoredType:
    """Stands for `numpy.dtype` in a pickle: remembers its words, and becomes a dtype only if it is one of numbers."""

    def __init__(self, code: str = "", *flags: Any) -> None:
        self.code, self.order = code, "|"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def numbers(self) -> np.dtype | None:
        """The dtype; None for text, objects and records."""
        if not isinstance(self.code, str) or not re.fullmatch(r"b1|[iu][1248]|f[248]|c(8|16)", self.code):
            return None
        return np.dtype((">" if self.order == ">" else "<") + self.code)


class StoredArray:
    """Stands for `numpy.ndarray` in a pickle: remembers shape, type and bytes, which are checked before use."""

    def __init__(self, *words: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def tensor(self) -> Tensor | None:
        """The array's numbers; None if it holds none.

        Raises: pickle.UnpicklingError if shape, type and bytes do not belong together
        """
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise pickle.UnpicklingError("an array without its numbers")
        _, shape, kind, fortran, data = self.state
        dtype = kind.numbers() if isinstance(kind, StoredType) else None
        if dtype is None:
            return None
        raw = data.encode("latin-1") if isinstance(data, str) else data  # Python 2's bytes are text by then
        plain = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
        if not plain or not isinstance(raw, (bytes, bytearray)) or len(raw) != math.prod(shape) * dtype.itemsize:
            raise pickle.UnpicklingError("an array of another size than its numbers")
        return as_tensor(np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C"))


def _latin_bytes(text: str, encoding: str) -> bytes:
    """What protocol 2 writes for bytes: `_codecs.encode(text, "latin1")`, and no other codec."""
    if encoding not in {"latin1", "latin-1"}:
        raise pickle.UnpicklingError(f"codec {encoding}")
    return text.encode("latin-1")


def _empty_array(kind: Any, shape: Any, code: Any) -> StoredArray:
    """An array that the pickle's next instruction fills."""
    return StoredArray()


def _array_from_buffer(buffer: Any, kind: Any, shape: Any, order: Any) -> StoredArray:
    """Protocol 5's form of an array."""
    array = StoredArray()
    array.state = (1, shape, kind, order == "F", buffer)
    return array


def _number(kind: Any, data: Any) -> None:
    """A NumPy scalar: a counter or loss beside the tensors, never a weight."""


ARRAY_GLOBALS: dict[str, Any] = {
    "_codecs.encode": _latin_bytes,
    "numpy.dtype": StoredType,
    "numpy.ndarray": StoredArray,
    **{f"numpy.{core}.multiarray._reconstruct": _empty_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _number for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _array_from_buffer for core in ("core", "_core")},
}
"""Names a pickle needs for arrays -> stand-ins of ours, so that no code of NumPy's meets a forged state; NumPy 2
renamed `numpy.core` to `numpy._core`."""

_CONTAINERS = {
    "collections.OrderedDict": OrderedDict,
    **{f"{home}.{kind.__name__}": kind for home in ("builtins", "__builtin__") for kind in (dict, list, tuple, set)},
}


class _RefusedError(Exception):
    """A name that is neither container nor array."""


class _Arrays(pickle._Unpickler):  # the one in Python: the one in C allocates whatever sizes a file asks for
    """Knows plain containers and arrays of numbers."""

    read: Any  # both are set by `load`
    append: Any
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        known = {**_CONTAINERS, **ARRAY_GLOBALS}
        if f"{module}.{name}" not in known:
            raise _RefusedError(re.sub(r"[^\w.]", "?", f"{module}.{name}"))
        return known[f"{module}.{name}"]

    def persistent_load(self, key: Any) -> Any:
        raise _RefusedError("external storages")

    def load_bytearray8(self) -> None:
        """Protocol 5's writable bytes, read before they are allocated."""
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8


class _Bounded:
    """A file that refuses to read past its end, whatever length it is asked for."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.left = os.fstat(self.file.fileno()).st_size

    def read(self, length: int) -> bytes:
        if length > self.left:
            raise EOFError("ends early")
        self.left -= length
        return self.file.read(length)

    def readline(self) -> bytes:
        line = self.file.readline()
        self.left -= len(line)
        return line


def unpickle_arrays(path: Path) -> Any:
    """What a pickle of plain containers and arrays holds; arrays are tensors, other things as they are.

    Raises: WeightsError if the file names anything else, or is damaged or cut short
    """
    bounded = _Bounded(path)
    try:
        with bounded.file:
            return _tensors(_Arrays(bounded, encoding="latin1").load())
    except _RefusedError as refused:
        raise WeightsError(f"{path} holds code ({refused}), which is never run: {REMEDY}") from None
    except (MemoryError, RecursionError):
        raise WeightsError(f"{path} is damaged: fetch it anew") from None
    # a forged or cut pickle makes the unpickler fail in whichever way its instructions happen to clash
    except Exception as broken:
        said = str(broken).splitlines()[0] if str(broken) else "ends early"
        raise WeightsError(f"{path} is damaged or cut short ({said}): fetch it anew") from None


def as_tensor(array: np.ndarray) -> Tensor | None:
    """A tensor of the same numbers; None for arrays that are none (text, objects, records)."""
    if array.dtype.kind not in "fiubc":
        return None
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)).reshape(array.shape)
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def read_paddle(path: Path) -> Any:
    """The tree of a `.pdparams` file: dictionaries of tensors, as `torch.load` would give one.

    Raises: WeightsError as `unpickle_arrays`, and for files split because of their size
    """
    tree = unpickle_arrays(path)
    if isinstance(tree, dict) and "UnpackBigParamInfor@@" in tree:
        raise WeightsError(f"{path} keeps its tensors in slices: load and save it once with paddle (protocol 4)")
    return tree


def _tensors(node: Any) -> Any:
    """Arrays become tensors, (name, array) pairs their array; Paddle keeps bfloat16 as uint16."""
    if isinstance(node, tuple) and len(node) == 2 and isinstance(node[0], str) and isinstance(node[1], StoredArray):
        node = node[1]
    if isinstance(node, StoredArray):
        tensor = node.tensor()
        return tensor.view(torch.bfloat16) if tensor is not None and tensor.dtype == torch.uint16 else tensor
    if isinstance(node, dict):
        return {key: _tensors(child) for key, child in node.items() if key != "StructuredToParameterName@@"}
    if isinstance(node, (list, tuple)):
        return [_tensors(child) for child in node]
    return node

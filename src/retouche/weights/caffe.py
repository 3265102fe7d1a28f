"""Caffe's `.caffemodel`, for its tensors alone: a message of protocol buffers, of which three parts are looked at.

A network holds layers, a layer its name and blobs, a blob its sizes and numbers; all else is stepped over by its
length. Nothing is nested deeper, so neither time nor memory go beyond the file's own size.

Source of the field numbers: `caffe.proto` of github.com/BVLC/caffe (NetParameter, LayerParameter, V1LayerParameter,
BlobProto, BlobShape); of the encoding: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from retouche.weights.border import NAME, TENSORS, Stream, damaged

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
LAYER, OLD_LAYER = 100, 2
"""Fields of a network: layers as they are written today, and as they were until 2014."""
NAME_OF = {LAYER: 1, OLD_LAYER: 4}
BLOBS_OF = {LAYER: 7, OLD_LAYER: 6}
DATA, SHAPE, DOUBLES = 5, 7, 8
OLD_SIZES = (1, 2, 3, 4)  # number, channels, height, width
KINDS = ("weight", "bias")
AXES = 32
"""Of a blob at most, as Caffe has it."""
FIELDS = 300_000
"""Fields of one file at most; numbers stand in one field together."""


class _Field(NamedTuple):
    number: int
    kind: int
    value: int | memoryview


def is_caffe(head: bytes) -> bool:
    """Whether a file that begins so may be Caffe's: a name and then a layer, or a layer at once."""
    try:
        at = 0
        if head[:1] == b"\x0a":
            length, at = _varint(memoryview(head), 1)
            name = head[at : at + length]
            if length > 200 or len(name) < length or not name.isascii() or not name.decode().isprintable():
                return False
            at += length
        tag, at = _varint(memoryview(head), at)
        length, _ = _varint(memoryview(head), at)
    except (IndexError, ValueError):
        return False
    return tag in (LAYER << 3 | BYTES, OLD_LAYER << 3 | BYTES, 3 << 3 | BYTES) and length > 0


def read_caffe(stream: Stream) -> dict[str, Tensor]:
    """LAYER.weight, LAYER.bias and LAYER.2, ... -> tensors.

    Raises: WeightsError if the file contradicts itself or holds more layers than any network
    """
    found: dict[str, Tensor] = {}
    budget = [FIELDS]
    for part in _fields(stream.view, budget):
        if part.number not in NAME_OF or not isinstance(part.value, memoryview):
            continue
        name, blobs = "", []
        for field in _fields(part.value, budget):
            if not isinstance(field.value, memoryview):
                continue
            if field.number == NAME_OF[part.number]:
                if len(field.value) > NAME:
                    raise damaged("a layer's name is too long")
                name = field.value.tobytes().decode("utf-8")
            elif field.number == BLOBS_OF[part.number]:
                blobs.append(_blob(field.value, budget))
        for number, blob in enumerate(blobs):
            title = f"{name}.{KINDS[number] if number < len(KINDS) else number}"
            if title in found:
                raise damaged(f"two layers are called {name}")
            found[title] = blob
        if len(found) > TENSORS:
            raise damaged("more tensors than any network has")
    return found


def _blob(view: memoryview, budget: list[int]) -> Tensor:
    """A blob's numbers in its shape; a copy, as they lie at any address."""
    sizes: list[int] = []
    old: dict[int, int] = {}
    parts: list[np.ndarray] = []
    for field in _fields(view, budget):
        if field.number == SHAPE and isinstance(field.value, memoryview):
            sizes = _shape(field.value, budget)
        elif field.number in OLD_SIZES and isinstance(field.value, int):
            old[field.number] = field.value
        elif field.number in (DATA, DOUBLES):
            form = "<f4" if field.number == DATA else "<f8"
            if field.kind not in (BYTES, FIXED32, FIXED64) or not isinstance(field.value, memoryview):
                raise damaged("a blob's numbers are none")
            if len(field.value) % int(form[2]):
                raise damaged("a blob's numbers are cut")
            parts.append(np.frombuffer(field.value, form).astype(np.float32))
    numbers = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    shape = sizes or [old[axis] for axis in OLD_SIZES if axis in old] or [len(numbers)]
    if len(shape) > AXES or math.prod(shape) != len(numbers):
        raise damaged(f"a blob of {len(numbers)} numbers says it is {'x'.join(map(str, shape))[:80]}")
    return torch.from_numpy(numbers).reshape(shape)


def _shape(view: memoryview, budget: list[int]) -> list[int]:
    """Sizes, in one field together or one in each."""
    sizes: list[int] = []
    for field in _fields(view, budget):
        if field.number != 1:
            continue
        if isinstance(field.value, int):
            sizes.append(field.value)
            continue
        at = 0
        while at < len(field.value) and len(sizes) <= AXES:
            size, at = _varint(field.value, at)
            sizes.append(size)
    if len(sizes) > AXES:
        raise damaged("a blob of too many axes")
    return sizes


def _fields(view: memoryview, budget: list[int]) -> Iterator[_Field]:
    """A message's fields in their order."""
    at = 0
    while at < len(view):
        budget[0] -= 1
        if budget[0] < 0:
            raise damaged("too many fields")
        tag, at = _varint(view, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(view, at)
            yield _Field(number, kind, value)
            continue
        if kind == BYTES:
            length, at = _varint(view, at)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise damaged(f"a field of kind {kind}")
        if length > len(view) - at:
            raise damaged("it ends early")
        yield _Field(number, kind, view[at : at + length])
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, least first, and the place behind it. Raises: ValueError"""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(view):
            raise ValueError("it ends early")
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number without an end")

"""Safetensors: a length, a JSON table of names, types, shapes and places, then the numbers.

Read by hand, because the library's reader copies every tensor and takes a header of any size.

Format: the description at github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights.border import TENSORS, Stream, damaged
from retouche.weights.pickles import is_size

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
HEADER_BYTES = 8 << 20
"""A table of 20,000 names takes 3 MB."""
WORDS, WORD_CHARACTERS = 100, 1 << 16
"""Of what a file says of itself."""


def is_safetensors(head: bytes) -> bool:
    """An 8-byte length of a JSON object that follows; a cut file still counts, to be refused as cut."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**32


def read_safetensors(stream: Stream) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, as views of the file, and what it says of itself.

    Raises: WeightsError if the table is not of this format, or does not fit the file
    """
    length = int.from_bytes(stream.take(8), "little")
    if length > min(HEADER_BYTES, len(stream) - 8):
        raise WeightsError(f"is a damaged or cut safetensors file (a table of {length} bytes): fetch it anew")
    table = parsed(stream.take(length).tobytes())
    words = table.pop("__metadata__", {})
    if not isinstance(words, dict) or len(words) > WORDS or not all(isinstance(word, str) for word in words.values()):
        raise damaged("what it says of itself is no text")
    if any(len(word) > WORD_CHARACTERS for pair in words.items() for word in pair):
        raise damaged("what it says of itself is too long")
    if len(table) > TENSORS:
        raise damaged(f"a table of {len(table)} tensors")
    data = stream.take(len(stream) - stream.place)
    places = {name: _place(name, entry, len(data)) for name, entry in table.items()}
    end = 0
    for name, (_, _, start, stop) in sorted(places.items(), key=lambda item: item[1][2:]):
        if start != end:
            raise WeightsError(f"is a damaged or cut safetensors file ({name} overlaps or leaves a gap): fetch it anew")
        end = stop
    if end != len(data):
        raise WeightsError(f"is a damaged or cut safetensors file ({len(data)} bytes instead of {end}): fetch it anew")
    return {
        name: torch.frombuffer(data[start:stop], dtype=torch.uint8).view(dtype).view(shape)
        if stop > start
        else torch.empty(shape, dtype=dtype)
        for name, (dtype, shape, start, stop) in places.items()
    }, words


def _place(name: str, entry: Any, length: int) -> tuple[torch.dtype, list[int], int, int]:
    """Type, shape, first and last byte of one entry."""
    fields = entry if isinstance(entry, dict) else {}
    dtype = DTYPES.get(str(fields.get("dtype")))
    shape, offsets = (words if isinstance(words := fields.get(key), list) else [] for key in ("shape", "data_offsets"))
    if dtype is None or "shape" not in fields:
        raise damaged(f"{name} is of a type that no network has")
    if len(shape) > 16 or len(offsets) != 2 or not all(map(is_size, [*shape, *offsets])):
        raise damaged(f"{name} has no shape or place")
    start, stop = offsets
    if not start <= stop <= length or stop - start != math.prod(shape) * dtype.itemsize:
        raise WeightsError(f"is a damaged or cut safetensors file ({name} lies outside): fetch it anew")
    return dtype, shape, start, stop


def parsed(text: bytes | str) -> dict[str, Any]:
    """A JSON object of a foreign file.

    Raises: WeightsError for text that is none, is nested too deeply, or has numbers too long for Python
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise damaged("its table is no JSON")
    return found

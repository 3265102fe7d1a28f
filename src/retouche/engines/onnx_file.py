"""An ONNX file, looked through before any engine sees it: what it says of itself, and that it holds what it says.

An engine believes a file: it opens other files that a tensor names, takes memory for every size, loads operators of
other programs. So a file is read here first, as bytes, and refused in one line where a tensor lies in another file,
claims more than is there, where a shape is beyond all pictures or an operator is none of ONNX's own. The engine is then
given the same bytes, never a path.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retouche.engines import facts, wire
from retouche.errors import InputError, WeightsError

LARGEST_FILE = 4 << 30
"""Bytes; a single ONNX file cannot hold more than 2 GiB anyway."""
MOST_NODES, DEEPEST = 200_000, 8
"""Operators of a file, and graphs within graphs."""
MOST_VALUES = 1 << 28
"""Of a tensor whose shape the file says: 1 GiB of float32, more than any picture's features have."""
DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Whose operators are taken: ONNX's own, and those that ONNX Runtime writes when it quantises."""
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16, 21: 4, 22: 4}
"""Data type -> bits of a value, of the types that networks hold."""
AS_LARGE = {"Cast", "Constant", "DequantizeLinear", "Identity", "QuantizeLinear"}
"""Operators that may read constants alone, since they make no more of them. Whatever else does is computed once when a
file is written here; elsewhere it can make gigabytes of three numbers."""
REFUSED = {
    "Bernoulli",
    "EPContext",
    "Loop",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Scan",
}
"""Operators that draw numbers, repeat others as often as they like, or name files of an engine's own."""
SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1, "Pad": 1, "Resize": 3, "Reshape": 1}
"""Operator -> which input says a size."""


@dataclass
class OnnxFile:
    """What is known of a file that has been looked through.

    Attributes:
        path: where it is
        data: its bytes
        metadata: what it says of itself, see `export.metadata`
        inputs: names of what it is fed, in order
        outputs: names of what it gives
        opset: version of ONNX's operators
        nodes: how many operators it has
    """

    path: Path
    data: bytes
    metadata: dict[str, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    opset: int = 0
    nodes: int = 0

    def facts(self) -> dict[str, Any]:
        """The metadata with its JSON read, see `engines.facts.read`."""
        return facts.read(self.path, self.metadata, self.inputs)


@dataclass
class _Look:
    """What is counted, and what is remembered, while a file is looked through."""

    file: OnnxFile
    constants: dict[str, list[int]] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    """Names of tensors that do not depend on what is fed."""


def is_onnx(path: Path | str) -> bool:
    """Whether a file is meant as one: ONNX has no magic number, so its name says it."""
    return Path(path).suffix.lower() == ".onnx"


def open_onnx(path: Path | str) -> OnnxFile:
    """Read a file and look it through.

    Raises: InputError where it cannot be read, WeightsError where it is none or asks for what it should not
    """
    path = Path(path)
    try:
        found = path.stat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # a pipe would wait, a device never end
            raise InputError(f"{path} is no plain file: give one that `retouche export` wrote")
        if found.st_size > LARGEST_FILE:
            raise WeightsError(f"{path} has more than {LARGEST_FILE >> 30} GiB: no ONNX file is as large")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    return look_through(data, path)


def look_through(data: bytes, path: Path | str = "the file") -> OnnxFile:
    """As `open_onnx`, of a file's bytes."""
    look = _Look(OnnxFile(Path(path), data))
    try:
        graphs = []
        for number, value in wire.fields(memoryview(data)):
            if number == 7:
                graphs.append(wire.message(value))
            elif number == 8:
                domain, version = _pair(value, 1, 2)
                _domain(domain)
                look.file.opset = int(version or 0) if domain in ("", "ai.onnx") else look.file.opset
            elif number == 14:
                key, text = _pair(value, 1, 2)
                look.file.metadata[str(key)] = str(text)
            elif number == 25:
                raise WeightsError("defines operators of its own: export it without functions")
        if len(graphs) != 1:
            raise WeightsError("is no ONNX file, or a damaged one: export it anew")
        _graph(graphs[0], look, 0)
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from None
    return look.file


def _pair(value: int | memoryview, first: int, second: int) -> tuple[str, int | str]:
    """Two fields of a small message; numbers stay numbers."""
    found: dict[int, int | str] = {first: "", second: ""}
    for number, each in wire.fields(wire.message(value)):
        if number in found:
            found[number] = each if isinstance(each, int) else wire.text(each)
    return str(found[first]), found[second]


def _domain(name: str) -> None:
    if name not in DOMAINS:
        raise WeightsError(f'needs operators of "{name[:40]}", which are not taken: export it with ONNX\'s own')


def _graph(data: memoryview, look: _Look, depth: int) -> None:
    if depth > DEEPEST:
        raise WeightsError(f"has graphs within graphs {depth} deep: no network here has")
    names: dict[int, list[str]] = {11: [], 12: []}
    nodes, fed = [], set()
    for number, value in wire.fields(data):
        if number == 1:
            nodes.append(wire.message(value))
        elif number == 5:
            fed.add(_tensor(wire.message(value), look))
        elif number in (11, 12, 13):
            name = _value_info(wire.message(value))
            if number in names:
                names[number].append(name)
        elif number == 15:
            raise WeightsError("holds sparse tensors, which no network here has")
    look.fixed |= fed
    look.file.nodes += len(nodes)
    if look.file.nodes > MOST_NODES:
        raise WeightsError(f"has more than {MOST_NODES} operators: no network here has")
    if depth == 0:
        look.file.inputs = [name for name in names[11] if name not in fed]
        look.file.outputs = names[12]
    for node in nodes:
        _node(node, look, depth)


def _node(data: memoryview, look: _Look, depth: int) -> None:
    inputs: list[str] = []
    outputs: list[str] = []
    kind = ""
    for number, value in wire.fields(data):
        if number in (1, 2):
            (inputs, outputs)[number - 1].append(wire.text(value))
        elif number == 4:
            kind = wire.text(value)
        elif number == 7:
            _domain(wire.text(value))
        elif number == 5:
            _attribute(wire.message(value), look, depth, outputs)
    place = SHAPED.get(kind)
    if place is not None and place < len(inputs):
        sizes = [size for size in look.constants.get(inputs[place], []) if size > 1]
        if math.prod(sizes) > MOST_VALUES:
            raise WeightsError(f"asks {kind} for {' x '.join(map(str, sizes))[:60]} values: more than any picture has")
    _fixed(kind, inputs, outputs, look)


def _fixed(kind: str, inputs: list[str], outputs: list[str], look: _Look) -> None:
    """Refuse what makes much of little; remember what does not depend on what is fed."""
    if kind in REFUSED:
        raise WeightsError(f"needs the operator {kind}, which no network here has")
    if any(name and name not in look.fixed for name in inputs):
        return
    if kind not in AS_LARGE:
        raise WeightsError(f"computes {kind[:40]} from constants alone: export it anew, which does so beforehand")
    look.fixed.update(outputs)


def _attribute(data: memoryview, look: _Look, depth: int, outputs: list[str]) -> None:
    """Tensors and graphs that an operator carries; a constant's is remembered under its output's name."""
    for number, value in wire.fields(data):
        if number in (5, 10):
            _tensor(wire.message(value), look, outputs[0] if outputs else "")
        elif number == 8 and outputs:  # a constant's list of whole numbers
            look.constants.setdefault(outputs[0], []).extend(wire.numbers(value))
        elif number in (6, 11):
            _graph(wire.message(value), look, depth + 1)


def _tensor(data: memoryview, look: _Look, called: str = "") -> str:
    """Check a tensor; returns its name, and remembers the numbers of small whole ones."""
    dims: list[int] = []
    kind, held, values = 0, 0, 0
    raw = memoryview(b"")
    name = called
    listed: list[int] = []
    for number, value in wire.fields(data):
        if number == 1:
            dims += wire.numbers(value)
        elif number == 2:
            kind = value if isinstance(value, int) else 0
        elif number == 8:
            name = wire.text(value) or called
        elif number == 9:
            raw = wire.message(value)
        elif number == 13 or (number == 14 and value == 1):
            raise WeightsError("keeps tensors in other files, which are not opened: export it as one file")
        elif number in (4, 5, 6, 7, 10, 11):  # typed lists: at least a byte a value
            held += 1 if isinstance(value, int) else max(1, len(value))
            if number == 7:
                listed += wire.numbers(value)
    if len(dims) > 16 or any(size < 0 for size in dims):
        raise WeightsError("has a tensor of a shape that cannot be: export it anew")
    values = math.prod(dims)
    if kind not in BITS and values:
        raise WeightsError(f"has a tensor of type {kind}, which no network here has")
    wanted = -(-values * BITS.get(kind, 8) // 8)
    if (len(raw) != wanted) if len(raw) or not held else values > held:
        raise WeightsError(
            f"has a tensor {'x'.join(map(str, dims))[:60] or 'of one value'} that is not all there: export it anew"
        )
    if kind == 7 and values <= 16:
        look.constants[name] = listed or [
            int.from_bytes(raw[at : at + 8], "little", signed=True) for at in range(0, len(raw), 8)
        ]
    return name


def _value_info(data: memoryview) -> str:
    """Name of a declared value; its shape must be one that a picture's features can have."""
    name = ""
    for number, value in wire.fields(data):
        if number == 1:
            name = wire.text(value)
        elif number == 2:
            sizes = [size for size in _sizes(wire.message(value)) if size > 1]
            if math.prod(sizes) > MOST_VALUES:
                raise WeightsError(f"declares a tensor {'x'.join(map(str, sizes))[:60]}: more than any picture has")
    return name


def _sizes(kind: memoryview) -> Iterator[int]:
    """TypeProto -> tensor_type -> shape -> dim -> dim_value"""
    for number, tensor in wire.fields(kind):
        if number != 1:
            continue
        for inner, shape in wire.fields(wire.message(tensor)):
            if inner != 2:
                continue
            for which, dim in wire.fields(wire.message(shape)):
                if which == 1:
                    yield from (wire.numbers(size)[0] for at, size in wire.fields(wire.message(dim)) if at == 1)

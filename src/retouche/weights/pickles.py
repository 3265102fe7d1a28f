"""A machine for pickles that builds plain containers and stand-ins, in bounded time and memory, and calls nothing else.

Python's own unpickler imports and calls what a file names. This one knows the instructions of protocols 0 to 5 and a
table of names, each with a stand-in of ours; a name that is not in the table becomes an inert `Foreign`, which takes
whatever it is given and never is what it stands for. Instructions are counted, and so is what a stand-in copies.

Format: CPython's Lib/pickletools.py.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights.border import Stream, damaged

STEPS = 400_000
"""Instructions of one pickle: about 40 for each tensor, so that this is no bound for networks."""
LONG_BYTES = 1024
"""From here on a pickle's bytes stay a view of the file."""
DIGITS = 40
"""Of a number in text; Python takes quadratic time for long ones."""

REMEDY = "ask its publisher for a safetensors or state_dict file"


class Known:
    """A name of the table on the machine's stack: may be called there, and nowhere else."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class Foreign:
    """Stands for an object of a class that is not in the table.

    Attributes:
        name: of its class, as the file has it
        state: what the object would have been restored from
    """

    __slots__ = ("name", "state")

    def __init__(self, name: str) -> None:
        self.name = re.sub(r"[^\w.]", "?", name)[:80]
        self.state: Any = None

    def restore(self, state: Any) -> None:
        """Remember the state."""
        self.state = state

    def refused(self) -> WeightsError:
        """The error where its place is one of tensors."""
        return WeightsError(f"holds code ({self.name}), which is never run: {REMEDY}")


class StoredType:
    """Stands for `numpy.dtype`: remembers its words, and becomes a dtype only if it is one of numbers."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any = "", *flags: Any) -> None:
        self.code, self.order = code, "|"

    def restore(self, state: Any) -> None:
        """Take the byte order."""
        self.order = state[1]

    def numbers(self) -> np.dtype | None:
        """The dtype; None for text, objects and records."""
        if not isinstance(self.code, str) or not re.fullmatch(r"b1|[iu][1248]|f[248]|c(8|16)", self.code):
            return None
        return np.dtype((">" if self.order == ">" else "<") + self.code)


class StoredArray:
    """Stands for `numpy.ndarray`: remembers shape, type and bytes, which are checked before use."""

    __slots__ = ("made", "state")

    def __init__(self, *words: Any) -> None:
        self.state: Any = None
        self.made: Tensor | None = None

    def restore(self, state: Any) -> None:
        """Take version, shape, type, order and bytes."""
        self.state = state

    def tensor(self) -> Tensor | None:
        """The array's numbers, the same object at every call; None if it holds none (text, objects, records).

        Raises: WeightsError if shape, type and bytes do not belong together
        """
        if self.made is not None:
            return self.made
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise damaged("an array without its numbers")
        _, shape, kind, fortran, data = self.state
        dtype = kind.numbers() if isinstance(kind, StoredType) else None
        if dtype is None:
            return None
        raw = data.encode("latin-1") if isinstance(data, str) else data  # Python 2's bytes are text by then
        if not isinstance(shape, tuple) or len(shape) > 16 or not all(is_size(side) for side in shape):
            raise damaged("an array without a shape")
        if not isinstance(raw, (bytes, bytearray, memoryview)) or len(raw) != math.prod(shape) * dtype.itemsize:
            raise damaged("an array of another size than its numbers")
        self.made = as_tensor(np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C"))
        return self.made


def as_tensor(array: np.ndarray) -> Tensor:
    """A tensor of an array's numbers, in this machine's byte order, of memory that may be written to."""
    native = np.require(array.astype(array.dtype.newbyteorder("="), copy=False), requirements=["C", "A", "W"])
    return torch.from_numpy(native.reshape(array.shape))


def is_size(value: Any) -> bool:
    """Whether a value is a length or place that a file of this world can have."""
    return type(value) is int and 0 <= value < 1 << 48


def _latin_bytes(text: Any, encoding: Any = "") -> bytes:
    """What protocol 2 writes for bytes: `_codecs.encode(text, "latin1")`, and no other codec."""
    if encoding not in {"latin1", "latin-1"} or not isinstance(text, str):
        raise damaged("bytes in a codec of their own")
    return text.encode("latin-1")


def _mapping(*pairs: Any) -> dict[Any, Any]:
    """A dictionary of pairs."""
    result: dict[Any, Any] = {}
    if pairs and isinstance(pairs[0], dict):
        return dict(pairs[0])
    for pair in pairs[0] if pairs and isinstance(pairs[0], (list, tuple)) else ():
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and _is_key(pair[0]):
            result[pair[0]] = pair[1]
    return result


def _sequence(items: Any = ()) -> list[Any]:
    return list(items) if isinstance(items, (list, tuple, dict)) else []


def _tuple_of(items: Any = ()) -> tuple[Any, ...]:
    return tuple(_sequence(items))


def _bytes_of(data: Any = b"") -> bytes | memoryview:
    """`bytearray` of bytes; of a number it would be as many zeros."""
    return data if isinstance(data, (bytes, memoryview)) else b""


def _array_from_buffer(buffer: Any, kind: Any, shape: Any, order: Any) -> StoredArray:
    """Protocol 5's form of an array."""
    array = StoredArray()
    array.state = (1, shape, kind, order == "F", buffer)
    return array


def _nothing(*words: Any) -> None:
    """For counters, losses and devices beside the tensors."""


_BUILTINS: dict[str, Callable[..., Any]] = {
    "dict": _mapping,
    "list": _sequence,
    "set": _sequence,
    "frozenset": _sequence,
    "tuple": _tuple_of,
    "bytearray": _bytes_of,
    "complex": _nothing,
}

NAMES: dict[str, Any] = {
    "_codecs.encode": Known(_latin_bytes),
    "collections.OrderedDict": Known(_mapping),
    "collections.Counter": Known(_mapping),
    "collections.defaultdict": Known(lambda *factory: {}),
    **{f"{home}.{kind}": Known(call) for home in ("builtins", "__builtin__") for kind, call in _BUILTINS.items()},
    "numpy.dtype": Known(StoredType),
    "numpy.ndarray": Known(StoredArray),
    # NumPy 2 renamed `numpy.core` to `numpy._core`
    **{f"numpy.{core}.multiarray._reconstruct": Known(StoredArray) for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": Known(_nothing) for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": Known(_array_from_buffer) for core in ("core", "_core")},
}
"""Names that a pickle needs for containers and arrays -> stand-ins."""


def _is_key(key: Any) -> bool:
    """Keys whose hashes nobody can make collide, nor take forever."""
    return isinstance(key, str) or key is None or (type(key) is int and abs(key) < 1 << 60)


_MARK = object()


class Machine:
    """Runs the pickles of a stream.

    Args:
        stream: the machine starts at its place and leaves it after the pickle's end
        names: what a file may name beside `NAMES`
        persistent: what an external object's id stands for; None refuses them
    """

    def __init__(
        self, stream: Stream, names: Mapping[str, Any] | None = None, persistent: Callable[[Any], Any] | None = None
    ) -> None:
        self.stream, self.persistent = stream, persistent
        self.names = {**NAMES, **(names or {})}
        self.steps, self.copied = STEPS, 0

    def load(self) -> Any:
        """The object of one pickle.

        Raises: WeightsError, and whatever else a forged pickle leads to: to be called behind the border
        """
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        view, stream, table = self.stream.view, self.stream, _TABLE
        while self.steps > 0:
            self.steps -= 1
            code = view[stream.place]
            stream.place += 1
            if code == 0x2E:  # STOP
                return self.stack.pop()
            act = table.get(code)
            if act is None:
                raise damaged(f"instruction {code:#x}")
            act(self)
        raise damaged("a pickle of too many instructions")

    # The stack

    def marked(self) -> list[Any]:
        """What lies above the last mark, which goes."""
        stack = self.stack
        place = len(stack) - 1
        while stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise damaged("no mark")
        items = stack[place + 1 :]
        del stack[place:]
        return items

    def top(self) -> Any:
        """What lies on top and stays."""
        return self.stack[-1]

    # Text and numbers

    def text_number(self) -> int:
        """INT and LONG."""
        text = self.stream.line().rstrip(b"L")
        if len(text) > DIGITS:
            raise damaged(f"a number of {len(text)} digits")
        return int(text)

    def data(self, length: int) -> bytes | memoryview:
        """Bytes; long ones are not copied."""
        taken = self.stream.take(length)
        return taken if length > LONG_BYTES else taken.tobytes()

    def latin(self, length: int) -> str | memoryview:
        """Python 2's strings."""
        data = self.data(length)
        return data if isinstance(data, memoryview) else data.decode("latin-1")

    def large(self, length: int) -> int:
        """A number of many bytes."""
        if not 0 <= length <= LONG_BYTES:
            raise damaged(f"a number of {length} bytes")
        return int.from_bytes(self.stream.take(length), "little", signed=True)

    # Objects

    def name(self, module: Any, name: Any) -> Any:
        """What stands for a name of the file."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise damaged("a name that is no text")
        full = f"{module[:200]}.{name[:200]}"
        return self.names.get(full) or Foreign(full)

    def call(self, function: Any, arguments: Any) -> Any:
        """REDUCE, NEWOBJ and their kin: a stand-in's answer, a foreign object where there is none."""
        if isinstance(function, Foreign):
            return Foreign(function.name)
        if not isinstance(function, Known) or not isinstance(arguments, tuple):
            raise damaged("a call of what is no function")
        for argument in arguments:  # a stand-in copies its arguments at most
            if isinstance(argument, (str, bytes)):
                self.copied += len(argument)
            elif isinstance(argument, (list, tuple, dict)):
                self.steps -= len(argument)
        if self.copied > 2 * len(self.stream) or self.steps < 0:
            raise damaged("it copies more than it holds")
        return function.call(*arguments)

    def restore(self) -> None:
        """BUILD."""
        state, result = self.stack.pop(), self.top()
        if isinstance(result, (Foreign, StoredType, StoredArray)):
            result.restore(state)
        elif not isinstance(result, dict):
            raise damaged("a state for what has none")

    def append(self, items: list[Any]) -> None:
        """APPEND and APPENDS, on lists and on foreign objects that were some."""
        result = self.top()
        if isinstance(result, list):
            result.extend(items)
        elif not isinstance(result, Foreign):
            raise damaged("an item for what is no list")

    def put(self, items: list[Any]) -> None:
        """SETITEM and SETITEMS; entries under keys that name no tensor are left out."""
        result = self.top()
        if isinstance(result, dict):
            result.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if _is_key(key))
        elif not isinstance(result, Foreign):
            raise damaged("an entry for what is no dictionary")

    def external(self, key: Any) -> Any:
        """PERSID and BINPERSID."""
        if self.persistent is None:
            raise damaged("external storages")
        return self.persistent(key)


def _push(make: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    """An instruction that puts one object onto the stack; what it pops is popped first."""

    def act(machine: Machine) -> None:
        result = make(machine)
        machine.stack.append(result)

    return act


def _number(form: str) -> Callable[[Machine], int]:
    return lambda machine: machine.stream.number(form)


def _called(machine: Machine) -> Any:
    arguments = machine.stack.pop()
    return machine.call(machine.stack.pop(), arguments)


def _called_with_words(machine: Machine) -> Any:
    machine.stack.pop()  # words by name: no stand-in takes any
    return _called(machine)


def _old_call(machine: Machine) -> Any:
    """OBJ: a class and its arguments above a mark."""
    items = machine.marked()
    return machine.call(items[0], tuple(items[1:]))


def _old_named_call(machine: Machine) -> Any:
    """INST."""
    return machine.call(_global(machine), tuple(machine.marked()))


def _global(machine: Machine) -> Any:
    module = machine.stream.line().decode("utf-8")
    return machine.name(module, machine.stream.line().decode("utf-8"))


def _stack_global(machine: Machine) -> Any:
    name = machine.stack.pop()
    return machine.name(machine.stack.pop(), name)


def _tuple(length: int) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        items = tuple(machine.stack[-length:])
        if len(items) < length or any(item is _MARK for item in items):
            raise damaged("a tuple of too little")
        machine.stack[-length:] = [items]

    return act


def _dictionary(machine: Machine) -> dict[Any, Any]:
    items = machine.marked()
    return {k: v for k, v in zip(items[::2], items[1::2], strict=True) if _is_key(k)}


def _quoted(machine: Machine) -> str:
    text = machine.stream.line().strip()
    if len(text) < 2 or text[:1] not in {b"'", b'"'} or text[-1:] != text[:1]:
        raise damaged("a string without quotes")
    return codecs.escape_decode(text[1:-1])[0].decode("latin-1")


def _integer(machine: Machine) -> int | bool:
    if machine.stream.view[machine.stream.place : machine.stream.place + 3].tobytes() in {b"00\n", b"01\n"}:
        return machine.stream.line() == b"01"
    return machine.text_number()


def _float(machine: Machine) -> float:
    text = machine.stream.line()
    return float(text[:DIGITS])


def _unicode(form: str) -> Callable[[Machine], str]:
    return lambda machine: str(machine.stream.take(machine.stream.number(form)), "utf-8", "surrogatepass")


def _put(key: Callable[[Machine], int]) -> Callable[[Machine], None]:
    def act(machine: Machine) -> None:
        machine.memo[key(machine)] = machine.top()

    return act


def _get(key: Callable[[Machine], int]) -> Callable[[Machine], Any]:
    return lambda machine: machine.memo[key(machine)]


def _bytes(form: str) -> Callable[[Machine], bytes | memoryview]:
    return lambda machine: machine.data(machine.stream.number(form))


def _skip(length: int) -> Callable[[Machine], Any]:
    return lambda machine: machine.stream.take(length)


_TABLE: dict[int, Callable[[Machine], Any]] = {
    # stack
    ord("("): lambda machine: machine.stack.append(_MARK),
    ord("0"): lambda machine: machine.stack.pop(),
    ord("1"): lambda machine: machine.marked(),
    ord("2"): _push(lambda machine: machine.top()),
    ord("p"): _put(Machine.text_number),
    ord("q"): _put(_number("<B")),
    ord("r"): _put(_number("<I")),
    0x94: _put(lambda machine: len(machine.memo)),
    ord("g"): _push(_get(Machine.text_number)),
    ord("h"): _push(_get(_number("<B"))),
    ord("j"): _push(_get(_number("<I"))),
    0x80: _skip(1),  # PROTO
    0x95: _skip(8),  # FRAME
    # numbers
    ord("N"): _push(lambda machine: None),
    0x88: _push(lambda machine: True),
    0x89: _push(lambda machine: False),
    ord("I"): _push(_integer),
    ord("L"): _push(Machine.text_number),
    ord("J"): _push(_number("<i")),
    ord("K"): _push(_number("<B")),
    ord("M"): _push(_number("<H")),
    0x8A: _push(lambda machine: machine.large(machine.stream.number("<B"))),
    0x8B: _push(lambda machine: machine.large(machine.stream.number("<i"))),
    ord("F"): _push(_float),
    ord("G"): _push(_number(">d")),
    # text and bytes
    ord("S"): _push(_quoted),
    ord("T"): _push(lambda machine: machine.latin(machine.stream.number("<i"))),
    ord("U"): _push(lambda machine: machine.latin(machine.stream.number("<B"))),
    ord("V"): _push(lambda machine: machine.stream.line().decode("raw-unicode-escape")),
    ord("X"): _push(_unicode("<I")),
    0x8C: _push(_unicode("<B")),
    0x8D: _push(_unicode("<Q")),
    ord("B"): _push(_bytes("<I")),
    ord("C"): _push(_bytes("<B")),
    0x8E: _push(_bytes("<Q")),
    0x96: _push(_bytes("<Q")),
    # containers; a set is a list here, since its items need not be hashed
    ord("]"): _push(lambda machine: []),
    ord("l"): _push(Machine.marked),
    ord("a"): lambda machine: machine.append([machine.stack.pop()]),
    ord("e"): lambda machine: machine.append(machine.marked()),
    0x8F: _push(lambda machine: []),
    0x90: lambda machine: machine.append(machine.marked()),
    0x91: _push(Machine.marked),
    ord(")"): _push(lambda machine: ()),
    ord("t"): _push(lambda machine: tuple(machine.marked())),
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("}"): _push(lambda machine: {}),
    ord("d"): _push(_dictionary),
    ord("s"): lambda machine: machine.put([machine.stack.pop(), machine.stack.pop()][::-1]),
    ord("u"): lambda machine: machine.put(machine.marked()),
    # objects
    ord("c"): _push(_global),
    0x93: _push(_stack_global),
    ord("R"): _push(_called),
    0x81: _push(_called),
    0x92: _push(_called_with_words),
    ord("o"): _push(_old_call),
    ord("i"): _push(_old_named_call),
    ord("b"): Machine.restore,
    ord("P"): _push(lambda machine: machine.external(machine.stream.line().decode("utf-8"))),
    ord("Q"): _push(lambda machine: machine.external(machine.stack.pop())),
}
"""Instruction -> what it does; STOP ends the loop. Extension registers and buffers beside the file are left out."""

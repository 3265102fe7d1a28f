"""HDF5, as Keras writes networks, for its tensors alone: groups, and arrays of numbers that lie in one piece.

A file is a tree of groups. An object has a header of messages: of a group they say where its names stand (a table of
symbols, or a link each), of an array its type, its shape and where its numbers lie. All else is stepped over by its
length: attributes (among them the description of a Keras network, which may hold code), texts, links to other places
and files. Nothing is followed beyond this file, and no code is run.

Source: the HDF5 File Format Specification 3.0 (support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights.border import DEPTH, NAME, Stream, damaged

BEGINS = b"\x89HDF\r\n\x1a\n"
SPACE, LINKS, TYPE, LINK, OUTSIDE, LAYOUT, FILTERS, CONTINUED, SYMBOLS = 1, 2, 3, 6, 7, 8, 11, 16, 17
"""Kinds of messages."""
COMPACT, IN_ONE_PIECE = 0, 1
"""Kinds of layouts."""
WHOLE, FRACTION = 0, 1
"""Kinds of numbers; texts, structures and references are others."""
FRACTIONS = {(5, 10): "f2", (8, 23): "f4", (11, 52): "f8"}
"""(bits of the exponent, of the fraction) -> NumPy's type."""
SHARED = 2
"""Flag of a message whose content stands elsewhere."""
NOWHERE = (1 << 64) - 1
MOST = 150_000
"""Objects and messages of a file together at most; a network has some thousands."""
AXES, DEEPEST_INDEX = 32, 12
REMEDY = "convert it to safetensors"


class _Message(NamedTuple):
    kind: int
    shared: bool
    content: Stream


def is_hdf5(head: bytes) -> bool:
    """Whether a file that begins so is HDF5."""
    return head.startswith(BEGINS)


def read_hdf5(stream: Stream) -> dict[str, Any]:
    """Nested dictionaries of tensors, by the names of groups and arrays; of a whole Keras model its `model_weights`.

    Raises: WeightsError if the file contradicts itself, or holds its numbers in a way that no network's needs
    """
    tree = _Reader(stream).tree()
    network = tree.get("model_weights")
    return network if isinstance(network, dict) else tree


class _Reader:
    def __init__(self, stream: Stream) -> None:
        self.stream, self.budget = stream, MOST
        stream.take(len(BEGINS))
        version = stream.number("<B")
        if version > 3:
            raise WeightsError(f"is HDF5 of version {version}, which is not known here: {REMEDY}")
        if version < 2:
            stream.take(4)  # versions of its parts
        sizes = tuple(stream.take(2))
        if sizes != (8, 8):
            raise WeightsError(f"is HDF5 with addresses of {sizes[0]} bytes: {REMEDY}")
        stream.take({0: 9, 1: 13, 2: 1, 3: 1}[version])
        if stream.number("<Q"):
            raise WeightsError(f"is HDF5 that begins elsewhere: {REMEDY}")
        stream.take(16 if version > 1 else 32)  # where it ends; of the older ones the first group's name, too
        self.first = stream.number("<Q")

    def tree(self) -> dict[str, Any]:
        """The first group."""
        found = self._object(self.first, ())
        if not isinstance(found, dict):
            raise damaged("it begins with no group")
        return found

    def _object(self, address: int, above: tuple[int, ...]) -> dict[str, Any] | Tensor | None:
        """A group, an array, or None for what is neither."""
        if address in above or len(above) > DEPTH:
            raise damaged("a group within itself")
        messages: dict[int, _Message] = {}
        links: list[tuple[str, int]] = []
        for message in self._messages(address):
            if message.kind == LINK:
                links += _link(message.content)
            elif message.kind == SYMBOLS:
                links += self._symbols(message.content)
            messages.setdefault(message.kind, message)
        if LAYOUT in messages:
            return self._array(messages)
        if not messages.keys() & {SYMBOLS, LINKS, LINK}:
            return None
        if LINKS in messages:
            _refuse_dense(messages[LINKS].content)
        group: dict[str, Any] = {}
        for name, target in links:
            found = self._object(target, (*above, address))
            if name in group:
                raise damaged(f"two parts are called {name[:80]}")
            if found is not None:
                group[name] = found
        return group

    def _at(self, address: int, length: int = 0) -> Stream:
        """What begins at an address; a stream of its own, of `length` bytes where it is known."""
        self.budget -= 1
        if self.budget < 0:
            raise damaged("too many parts")
        if not 0 < address <= len(self.stream) - length:
            raise damaged("it ends early")
        return Stream(self.stream.view[address : address + length] if length else self.stream.view[address:])

    # Headers ----------------------------------------------------------------------------------------------------------

    def _messages(self, address: int) -> Iterator[_Message]:
        """All messages of an object's header, of both kinds of headers."""
        header = self._at(address)
        newer = header.view[:4].tobytes() == b"OHDR"
        stamp, flags = 0, 0
        if newer:
            header.take(5)
            flags = header.number("<B")
            header.take((16 if flags & 32 else 0) + (4 if flags & 16 else 0))
            parts = [Stream(header.take(header.number("<" + "BHIQ"[flags & 3])))]
            stamp = 2 if flags & 4 else 0
        else:
            if header.number("<B") != 1:
                raise damaged("a header of no known version")
            header.take(7)
            length = header.number("<I")
            header.take(4)
            parts = [Stream(header.take(length))]
        smallest = 4 + stamp if newer else 8
        for part in parts:  # which grows while it is walked
            while len(part) - part.place >= smallest:
                self.budget -= 1
                if self.budget < 0:
                    raise damaged("too many parts")
                kind = part.number("<B" if newer else "<H")
                length, marks = part.number("<H"), part.number("<B")
                part.take(stamp if newer else 3)
                content = Stream(part.take(length))
                if kind == CONTINUED:
                    further = self._at(content.number("<Q"), content.number("<Q"))
                    if newer:
                        further = Stream(further.view[4:-4])  # between its name and its checksum
                    parts.append(further)
                else:
                    yield _Message(kind, bool(marks & SHARED), content)

    # Names of a group -------------------------------------------------------------------------------------------------

    def _symbols(self, content: Stream) -> Iterator[tuple[str, int]]:
        """The names of an older group and where what they name stands."""
        index, heap = content.number("<Q"), self._at(content.number("<Q"))
        if heap.take(4).tobytes() != b"HEAP":
            raise damaged("its names are not there")
        heap.take(4)
        length = heap.number("<Q")
        heap.take(8)
        yield from self._branch(index, self._at(heap.number("<Q"), length), None)

    def _branch(self, address: int, names: Stream, level: int | None) -> Iterator[tuple[str, int]]:
        node = self._at(address)
        if node.take(4).tobytes() != b"TREE" or node.number("<B") != 0:
            raise damaged("its index is none")
        here, count = node.number("<B"), node.number("<H")
        if here > DEEPEST_INDEX or (level is not None and here != level - 1):
            raise damaged("its index is none")
        node.take(16)
        for _ in range(count):
            node.take(8)
            child = node.number("<Q")
            yield from self._branch(child, names, here) if here else self._leaf(child, names)

    def _leaf(self, address: int, names: Stream) -> Iterator[tuple[str, int]]:
        leaf = self._at(address)
        if leaf.take(4).tobytes() != b"SNOD":
            raise damaged("its index is none")
        leaf.take(2)
        for _ in range(leaf.number("<H")):
            place, target, kind = leaf.number("<Q"), leaf.number("<Q"), leaf.number("<I")
            leaf.take(20)
            if kind == 2:
                continue  # the name of another name
            text = names.view[place : place + NAME + 1].tobytes() if place < len(names) else b""
            if b"\0" not in text:
                raise damaged("a name is too long")
            yield text[: text.index(b"\0")].decode("utf-8"), target

    # Arrays -----------------------------------------------------------------------------------------------------------

    def _array(self, messages: dict[int, _Message]) -> Tensor | None:
        """An array of numbers as a tensor, a view where it can be; None for an array of something else."""
        if SPACE not in messages or TYPE not in messages:
            raise damaged("an array without shape or type")
        if any(messages[kind].shared for kind in (SPACE, TYPE, LAYOUT)):
            raise WeightsError(f"is HDF5 whose arrays share their descriptions: {REMEDY}")
        form = _form(messages[TYPE].content)
        shape = _shape(messages[SPACE].content)
        if form is None or shape is None:
            return None
        if OUTSIDE in messages:
            raise WeightsError(f"is HDF5 whose numbers lie in another file: {REMEDY}")
        length = math.prod(shape) * form.itemsize
        held = self._numbers(messages[LAYOUT].content, length) if FILTERS not in messages else None
        if held is None:
            raise WeightsError(f"is HDF5 with compressed or divided arrays: save it without, or {REMEDY}")
        if len(held) < length:
            raise damaged("an array is larger than its numbers")
        values = np.frombuffer(held[:length], form).reshape(shape)
        aligned = form.isnative and values.flags.aligned and values.flags.writeable
        return torch.from_numpy(values if aligned else values.astype(form.newbyteorder("=")))

    def _numbers(self, layout: Stream, length: int) -> memoryview | None:
        """The bytes of an array; None where they are not in one piece."""
        version = layout.number("<B")
        if version in (1, 2):
            axes, kind = layout.number("<B"), layout.number("<B")
            layout.take(5)
            place = layout.number("<Q") if kind else 0
            layout.take(4 * axes)
            if kind == COMPACT:
                return layout.take(layout.number("<I"))
        elif version in (3, 4):
            kind = layout.number("<B")
            if kind == COMPACT:
                return layout.take(layout.number("<H"))
            place = layout.number("<Q") if kind == IN_ONE_PIECE else 0
        else:
            raise damaged("an array of no known layout")
        if kind != IN_ONE_PIECE:
            return None
        if not length:
            return memoryview(b"")
        if place == NOWHERE:
            raise damaged("an array was never written")
        return self._at(place, length).view


def _link(content: Stream) -> list[tuple[str, int]]:
    """A newer group's link: its name and address; nothing for one to another name or file."""
    content.take(1)
    flags = content.number("<B")
    kind = content.number("<B") if flags & 8 else 0
    content.take((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    length = content.number("<" + "BHIQ"[flags & 3])
    if length > NAME:
        raise damaged("a name is too long")
    name = content.take(length).tobytes().decode("utf-8")
    return [(name, content.number("<Q"))] if kind == 0 else []


def _refuse_dense(content: Stream) -> None:
    content.take(1)
    flags = content.number("<B")
    content.take(8 if flags & 1 else 0)
    if content.number("<Q") != NOWHERE:
        raise WeightsError(f"is HDF5 with groups of its newest kind: save it with libver='earliest', or {REMEDY}")


def _form(content: Stream) -> np.dtype[Any] | None:
    """NumPy's type of an array's numbers; None for what are no numbers."""
    kind = content.number("<B") & 15
    marks = content.take(3)
    size = content.number("<I")
    order = ">" if marks[0] & 1 else "<"
    if kind == WHOLE and size in (1, 2, 4, 8):
        return np.dtype(f"{order}{'i' if marks[0] & 8 else 'u'}{size}")
    if kind != FRACTION:
        return None
    content.take(5)
    exponent, _, fraction = content.number("<B"), content.number("<B"), content.number("<B")
    found = FRACTIONS.get((exponent, fraction))
    if found is None or int(found[1]) != size:
        raise WeightsError(f"is HDF5 with numbers of {exponent} and {fraction} bits: {REMEDY}")
    return np.dtype(order + found)


def _shape(content: Stream) -> tuple[int, ...] | None:
    """The sides of an array; None for one that holds nothing."""
    version, axes = content.number("<B"), content.number("<B")
    if version not in (1, 2) or axes > AXES:
        raise damaged("an array of no known shape")
    content.take(1)
    if version == 2 and content.number("<B") == 2:
        return None
    content.take(5 if version == 1 else 0)
    return tuple(content.number("<Q") for _ in range(axes))

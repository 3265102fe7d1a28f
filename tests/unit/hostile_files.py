"""Weight files that nobody means well, made by hand: name -> writer of the file into a folder.

Each asks for code to be run, for memory or time that its size does not explain, or contradicts itself.
"""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoint_writer import block, crc, varint, write_checkpoint
from safetensors.torch import save_file

from retouche.weights.tensorflow import MAGIC

FUSE = "went-off"
"""The file that executed code would make, in the working directory."""


class Bomb:
    """Unpickling it runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (FUSE,)


# PyTorch and bare pickles --------------------------------------------------------------------------------------------


def zipped(path: Path, pickled: bytes, **storages: bytes) -> Path:
    """A new PyTorch file around a pickle written by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/byteorder", "little")
        for key, data in storages.items():
            archive.writestr(f"a/data/{key.removeprefix('s')}", data)
    return path


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def tensor(
    key: str = "0", count: int = 1, offset: int = 0, shape: tuple[int, ...] = (1,), strides: Any = (1,)
) -> bytes:
    """The instructions for a tensor of float32."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(count) + b"tQ"
    sides = b"(" + b"".join(map(number, shape)) + b"t" + b"(" + b"".join(map(number, strides)) + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + sides + b"\x89NtR"


def view(**words: Any) -> Callable[[Path], Path]:
    """A file with one tensor whose words are forged."""
    return lambda folder: zipped(folder / "a.pth", b"\x80\x02}" + text("a") + tensor(**words) + b"s.", s0=bytes(64))


def bare(pickled: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "a.pkl").write_bytes(pickled)
        return folder / "a.pkl"

    return write


def in_zip(pickled: bytes) -> Callable[[Path], Path]:
    return lambda folder: zipped(folder / "a.pth", pickled)


def saved(tree: Any, zip_file: bool = True) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(tree, folder / "a.pth", _use_new_zipfile_serialization=zip_file)
        return folder / "a.pth"

    return write


def deflated(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}" + text("a") + tensor(count=1 << 28, shape=(1 << 28,)) + b"s.")
        archive.writestr("a/data/0", bytes(1 << 24))
    return folder / "a.pth"


def many_entries(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        for i in range(60_000):
            archive.writestr(zipfile.ZipInfo(f"a/data/{i}"), b"")
    return folder / "a.pth"


def entry_of_exabytes(folder: Path) -> Path:
    path = view()(folder)
    raw = bytearray(path.read_bytes())
    place = raw.find(b"PK\x01\x02")
    raw[place + 20 : place + 28] = b"\xfe\xff\xff\xff" * 2
    path.write_bytes(raw)
    return path


def overlapping_storages(folder: Path) -> Path:
    """20,000 tensors, all of them one storage of 4 MB."""
    rows = b"".join(text(f"t{i}") + tensor(count=1 << 20, shape=(1 << 20,)) for i in range(8000))
    return zipped(folder / "a.pth", b"\x80\x02}(" + rows + b"u.", s0=bytes(4 << 20))


def legacy(count: int) -> Callable[[Path], Path]:
    """An old file whose storage says it has so many numbers."""

    def write(folder: Path) -> Path:
        path = saved({"a": torch.ones(3)}, False)(folder)
        raw = path.read_bytes()
        old = raw.replace(b"K\x03N", b"\x8a\x08" + count.to_bytes(8, "little") + b"N", 1)
        assert old != raw
        path.write_bytes(old.replace(struct.pack("<q", 3), struct.pack("<q", count)))
        return path

    return write


def laughs(levels: int) -> bytes:
    """A list of twice a list of twice ..., 2 ** levels leaves."""
    return b"\x80\x02]" + b"q\x00" + b"".join(b"](h\x00h\x00eq\x00" for _ in range(levels)) + b"."


def shared_array() -> bytes:
    """1,000 arrays in Fortran's order of the same 4 MB."""
    kind = b"cnumpy\ndtype\n(" + text("f4") + b"\x89\x88tRq\x01"
    data = b"B" + struct.pack("<I", 4 << 20) + bytes(4 << 20) + b"q\x02"
    state = b"(K\x01(" + number(1 << 10) + number(1 << 10) + b"th\x01\x88h\x02tb"
    arrays = b"".join(text(f"a{i}") + b"cnumpy.core.multiarray\n_reconstruct\n(NNNtR" + state for i in range(1000))
    return b"\x80\x03" + kind + b"0" + data + b"0}(" + arrays + b"u."


def colliding_keys() -> bytes:
    """Numbers that Python hashes to 0."""
    keys = (b"\x8a\x10" + (i * (2**61 - 1)).to_bytes(16, "little") + b"N" for i in range(1, 20_000))
    return b"\x80\x02}(" + b"".join(keys) + b"u."


# Safetensors ---------------------------------------------------------------------------------------------------------


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> Callable[[Path], Path]:
    """A safetensors file around a header: an object, or the text itself."""

    def write(folder: Path) -> Path:
        said = header if isinstance(header, bytes) else json.dumps(header).encode()
        (folder / "a.safetensors").write_bytes(struct.pack("<Q", len(said) if length is None else length) + said + data)
        return folder / "a.safetensors"

    return write


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def own(method: str = "aot-gan", config: str = "{}", **words: str) -> Callable[[Path], Path]:
    """A file of our own kind with one tensor."""
    said = {"format": "1", "retouche": "0.1.0", "method": method, "config": config, **words}
    return safetensors({"__metadata__": said, "generator.a": ONE}, bytes(4))


def numbered_layers(folder: Path) -> Path:
    """Names of AOT-GAN's layout whose blocks have numbers of nine digits."""
    names = {"encoder.1.weight": (64, 4, 7, 7), "encoder.1.bias": (64,), "decoder.4.bias": (3,)}
    names |= {f"middle.{10**8 + i}.fuse.1.bias": (256,) for i in range(3)}
    save_file({name: torch.zeros(shape) for name, shape in names.items()}, folder / "a.safetensors")
    return folder / "a.safetensors"


# TensorFlow ----------------------------------------------------------------------------------------------------------


def index(rows: list[tuple[bytes, bytes]], handles: int = 1, data: bytes = b"", raw: bytes | None = None) -> Any:
    """A checkpoint of rows written by hand; the one block of them is named so often."""

    def write(folder: Path) -> Path:
        table = block([(b"", b"\x08\x01\x1a\x02\x08\x01"), *rows], 16) if raw is None else raw
        properties = block([], 1)
        addresses = block([(struct.pack(">I", i), varint(0) + varint(len(table) - 5)) for i in range(handles)], 16)
        footer = varint(len(table)) + varint(len(properties) - 5)
        footer += varint(len(table) + len(properties)) + varint(len(addresses) - 5)
        file = folder / "m.index"
        file.write_bytes(table + properties + addresses + footer.ljust(40, b"\0") + MAGIC)
        (folder / "m.data-00000-of-00001").write_bytes(data)
        return folder / "m"

    return write


def entry(shape: tuple[int, ...], size: int, checked: bytes = bytes(4)) -> bytes:
    axes = b"".join(b"\x12" + varint(len(varint(side)) + 1) + b"\x08" + varint(side) for side in shape)
    return b"\x08\x01\x12" + varint(len(axes)) + axes + b"\x28" + varint(size) + b"\x35" + checked


def long_keys() -> bytes:
    """A block of 50,000 keys, each of which keeps the 60,000 letters of the one before."""
    out = varint(0) + varint(60_000) + varint(0) + b"k" * 60_000
    out += b"".join(varint(60_000) + varint(0) + varint(0) for _ in range(50_000))
    out += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + b"\0"
    return out + crc(out)


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.pth")
    return folder / "a.pth"


def flipped(folder: Path) -> Path:
    write_checkpoint(folder / "m", {"a/weights": np.ones((3, 3), np.float32)})
    raw = bytearray((folder / "m.index").read_bytes())
    raw[3] ^= 255
    (folder / "m.index").write_bytes(raw)
    return folder / "m"


BIG = b"X" + struct.pack("<I", 1 << 20) + b"\xc2\xa0" * (1 << 19)
REGION = bytes(4 << 20)
REGION_CRC = crc(REGION)


def _files() -> Iterator[tuple[str, Callable[[Path], Path]]]:
    one = torch.ones(2)
    yield "code in a new PyTorch file", saved({"a": one, "b": Bomb()})
    yield "code in an old PyTorch file", saved({"a": one, "b": Bomb()}, False)
    yield "code beside a state dict", saved({"state_dict": {"a": one}, "callbacks": Bomb()})
    for protocol in range(6):
        yield f"code in a pickle of protocol {protocol}", bare(pickle.dumps({"a": Bomb()}, protocol))
    yield "code by INST", bare(b"(S'true'\nios\nsystem\n.")
    yield "code by OBJ", bare(b"(cos\nsystem\nX\x04\x00\x00\x00trueo.")
    yield "code by an extension register", bare(b"\x80\x02\x82\x01.")
    yield (
        "code as a storage's class",
        in_zip(b"\x80\x02(" + text("storage") + b"cos\nsystem\n" + text("true") + b"NNtQ."),
    )
    yield "a whole network", saved(torch.nn.Linear(2, 2))
    yield "a stand-in's own attributes set", bare(b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.")
    yield "a compressed archive of 16 MB that says 1 GB", deflated
    yield "an archive of 60,000 files", many_entries
    yield "an archive's file of exabytes", entry_of_exabytes
    yield "8,000 tensors of one storage", overlapping_storages
    yield "a tensor of terabytes by strides of 0", view(count=16, shape=(1 << 20, 1 << 20), strides=(0, 0))
    yield "a tensor beyond its storage", view(count=16, shape=(16, 16), strides=(1 << 30, 1))
    yield "a tensor before its storage", view(count=16, offset=-8, shape=(8,))
    yield "a tensor of negative sides", view(count=16, shape=(-4, -4), strides=(1, 1))
    yield "a tensor of negative strides", view(count=16, shape=(4, 4), strides=(-1, 1))
    yield "a tensor of no numbers and endless sides", view(count=16, shape=(0, 1 << 62), strides=(1, 1))
    yield "a storage larger than its file", view(count=1 << 40, shape=(1 << 40,))
    yield "an old file's storage of 4 TB", legacy(1 << 40)
    yield "an old file's storage of 2 GB", legacy(1 << 29)
    yield "a tensor's constructor", in_zip(b"\x80\x02ctorch\nTensor\n" + number(10**10) + b"\x85R.")
    yield "bytes by their number", bare(b"\x80\x02cbuiltins\nbytearray\n" + number(10**11) + b"\x85R.")
    yield "lists doubled 60 times", bare(laughs(60))
    yield "lists doubled 60 times in an archive", in_zip(laughs(60))
    yield "a tuple doubled 60 times as a key", bare(b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"}h\x00Ns.")
    yield "200,000 lists in each other", bare(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")
    yield "200,000 tuples in each other", bare(b"\x80\x02)" + b"\x85" * 200_000 + b".")
    yield "a number of 5,000 digits", bare(b"\x80\x02I" + b"9" * 5000 + b"\n.")
    yield "a number of a million digits", bare(b"\x80\x02L" + b"9" * 1_000_000 + b"L\n.")
    yield "a number of a megabyte", bare(b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".")
    yield "a memo of 4 billion places", bare(b"\x80\x02Nr\xff\xff\xff\xffr\xfe\xff\xff\xff.")
    yield (
        "a list copied 20,000 times",
        bare(b"\x80\x02cbuiltins\nlist\nq\x010](" + b"N" * 100_000 + b"eq\x02]" + b"(h\x01h\x02\x85Re" * 20_000 + b"."),
    )
    yield (
        "a text encoded 10,000 times",
        bare(
            b"\x80\x02c_codecs\nencode\nq\x010"
            + BIG
            + b"q\x02]"
            + (b"(h\x01h\x02" + text("latin1") + b"\x86Re") * 10_000
            + b"."
        ),
    )
    yield "10 million instructions", bare(b"\x80\x02" + b"]" * 10_000_000 + b".")
    yield "4 million marks", bare(b"\x80\x02" + b"(" * 4_000_000 + b".")
    yield "keys of one hash", bare(colliding_keys())
    yield "1,000 arrays of the same bytes", bare(shared_array())
    yield (
        "an array of a terabyte",
        bare(
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(NNNtR(K\x01("
            + number(1 << 40)
            + b"tcnumpy\ndtype\n("
            + text("f4")
            + b"\x89\x88tR\x89C\x00tb."
        ),
    )
    yield "a terabyte of bytes", bare(b"\x80\x05\x96\x00\x00\x00\x00\x00\x01\x00\x00.")
    yield (
        "100,000 tensors",
        bare(b"\x80\x02}(" + b"".join(text(str(i)) + b"cnumpy\nndarray\n)R" for i in range(100_000)) + b"u."),
    )
    yield "a tensor's name of a megabyte", saved({"x" * (1 << 20): one})
    yield "a name of control characters", saved({"\x1b[2J\nretouche: all is well\r\u202e": one})
    yield "a header of 2 GB", safetensors(b"{", length=1 << 31)
    yield "a header of a million brackets", safetensors(b'{"a":' + b"[" * 1_000_000)
    yield "a header with a number of 5,000 digits", safetensors(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b"]}}")
    yield "a header of 500,000 names", safetensors({str(i): 0 for i in range(500_000)})
    yield (
        "sides whose product is 0 in 64 bits",
        safetensors({"a": {"dtype": "F32", "shape": [1 << 32, 1 << 32, 4], "data_offsets": [0, 0]}}),
    )
    yield (
        "10,000 tensors of the same bytes",
        safetensors(
            {str(i): {"dtype": "F32", "shape": [1 << 18], "data_offsets": [0, 1 << 20]} for i in range(10_000)},
            bytes(1 << 20),
        ),
    )
    yield (
        "20,000 tensors of names like no network's",
        safetensors(
            {f"x{i}.weight": {"dtype": "F32", "shape": [], "data_offsets": [4 * i, 4 * i + 4]} for i in range(20_000)},
            bytes(80_000),
        ),
    )
    yield "a type that is none", safetensors({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, bytes(4))
    yield "places that are text", safetensors({"a": {"dtype": "F32", "shape": "1", "data_offsets": "04"}}, bytes(4))
    yield "settings of a billion blocks", own(config='{"blocks": 1000000000}')
    yield "settings of 60,000 blocks", own(config='{"blocks": 60000}')
    yield "settings of a billion channels", own(config='{"width": 1000000000}')
    yield "settings of 60,000 channels", own(config='{"width": 60000}')
    yield "settings of 900 branches", own(config=json.dumps({"rates": [1] * 900}))
    yield "settings of a negative width", own(config='{"width": -4}')
    yield "settings of no number", own(config='{"blank": NaN}')
    yield "settings with a number of 5,000 digits", own(config='{"width": ' + "9" * 5000 + "}")
    yield "settings of 30,000 brackets", own(config="[" * 30_000)
    yield "settings of 100 kB", own(config='{"width": 4' + " " * 100_000 + "}")
    yield "a format of 5,000 digits", own(format="9" * 5000)
    yield "a format in other digits", own(format="²")
    yield "a method of control characters", own(method="\x1b]0;x\x07\n\nretouche: all is well")
    yield "a version of control characters", own(format="999", retouche="\n\nretouche: all is well")
    yield "layers of nine digits", numbered_layers
    yield "TensorFlow keys that keep 60,000 letters", index([], raw=long_keys())
    yield "a TensorFlow shape whose product is 0", index([(b"a", entry((1 << 32, 1 << 32, 4), 0))])
    yield (
        "5,000 TensorFlow variables of the same bytes",
        index([(b"%05d" % i, entry((1 << 20,), 4 << 20, REGION_CRC)) for i in range(5000)], data=REGION),
    )
    yield "a TensorFlow block named 50,000 times", index([], handles=50_000)
    yield "a TensorFlow index with a bit changed", flipped
    yield "an empty file", bare(b"")
    yield "a pipe", pipe


FILES = dict(_files())

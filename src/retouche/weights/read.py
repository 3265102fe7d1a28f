"""Weight files of every kind we know, read safely: a path goes in, tensors under their published names come out.

The kind follows from the content, never from the file's name. No code of a file is run: all readers are ours and know
tensors, arrays and containers alone (`weights.pickles`), within bounds that follow from the file's size
(`weights.border`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights import tensorflow
from retouche.weights.border import DEPTH, NAME, SPARE_BYTES, TENSORS, Stream, border, damaged
from retouche.weights.caffe import is_caffe, read_caffe
from retouche.weights.hdf5 import is_hdf5, read_hdf5
from retouche.weights.lua import is_lua, read_lua
from retouche.weights.paddle import read_paddle
from retouche.weights.pickles import Foreign, StoredArray
from retouche.weights.safetensors_files import is_safetensors, read_safetensors
from retouche.weights.torch_files import StoredTensor, read_legacy, read_zip

WRAPPERS = ("state_dict", "params_ema", "params", "model", "module")
"""Containers that publishers put around a network's tensors and that say nothing about it."""

TORCH_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""How `torch.save` began before PyTorch 1.6: a pickled magic number of its own."""

NODES = 400_000
"""Containers and leaves that are looked at in one file; a container that is shared counts wherever it stands."""


class Kind(NamedTuple):
    """One kind of file."""

    begins: Callable[[bytes], bool]
    """Whether the first 512 bytes are those of such a file."""
    read: Callable[[Stream], Any]
    """To containers of tensors and of what has a method `tensor`."""


KINDS = (
    Kind(is_lua, read_lua),
    Kind(lambda head: head.startswith(b"PK"), read_zip),
    Kind(lambda head: head.startswith(TORCH_LEGACY), read_legacy),
    Kind(lambda head: re.match(rb"\x80[\x02-\x05]|[(\]}]|c[a-z_.]+\n", head) is not None, read_paddle),
    Kind(is_hdf5, read_hdf5),
    Kind(is_caffe, read_caffe),
)
"""The first that fits reads the file. A further format is its line here and its function of a stream."""


class NoTensorsError(WeightsError):
    """The file can be read but holds no network."""


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a weight file.

    Known are safetensors, PyTorch's files old and new (`.pth`, `.pt`, `.p`, `.bin`, `.ckpt`), Paddle's `.pdparams`, Lua
    Torch's `.t7`, Caffe's `.caffemodel`, Keras's HDF5 (`.h5`, `.hdf5`) and TensorFlow's checkpoints (their prefix,
    their `.index` file or the folder with their `checkpoint` file).

    Returns: published names -> tensors on the CPU, most of them views of the mapped file, and the header of a
        safetensors file (empty for other kinds). Names are dotted paths through the file's containers. Wrappers
        (`state_dict`, `params`, `params_ema`, `model`, and `module` wherever it stands) are left out, as are optimiser
        states and what is no tensor. Files of our own keep their names as they are.
    Raises: WeightsError with what the file is instead, and the remedy
    """
    path = Path(path)
    with border(path):
        prefix = tensorflow.find_prefix(path)
        if prefix is not None:
            return tensorflow.read_checkpoint(prefix), {}
        if not path.exists():
            raise WeightsError(f"there is no file {path}: give a weight file, or a TensorFlow checkpoint's prefix")
        if path.is_dir():
            raise WeightsError("is a folder without a TensorFlow checkpoint: give a weight file in it")
        stream = Stream.of(path)
        head = stream.view[:512].tobytes()
        _refuse(head)
        if is_safetensors(head):
            tensors, header = read_safetensors(stream)
            return (tensors, header) if is_own(header) else (unwrapped(tensors, len(stream)), header)
        for kind in KINDS:
            if kind.begins(head):
                return unwrapped(kind.read(stream), len(stream)), {}
        raise WeightsError(
            "is of no known kind: give safetensors, .pth, .pdparams, .t7, .caffemodel, .h5 or a TensorFlow checkpoint"
        )


def is_own(header: Mapping[str, str]) -> bool:
    """Whether a safetensors header is one that `weights.native` wrote."""
    return "format" in header and "retouche" in header


def _refuse(head: bytes) -> None:
    """Say what a file is that holds no tensors we can read."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    reason = None
    if not head:
        reason = "is empty: fetch it anew"
    elif head.startswith(b"version https://git-lfs"):
        reason = "is a git-LFS pointer, not the file itself: run `git lfs pull`, or download the file from its page"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml")):
        reason = "is a web page saved in place of the file (a virus or login page?): download it with a browser"
    elif re.match(rb"[34]\n\d+\n", head):
        reason = "is a Lua Torch file in its text form: save it in the binary one, torch.save(FILE, NETWORK)"
    elif head.startswith(b"\x93NUMPY"):
        reason = "is a single NumPy array: give a file with all tensors and their names"
    elif head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")) or head[257:262] == b"ustar":
        reason = "is a packed archive: unpack it and give the weight file in it"
    if reason:
        raise WeightsError(reason)


def unwrapped(tree: Any, size: int = 0) -> dict[str, Tensor]:
    """The tensors of nested containers under dotted names, without wrappers.

    Args:
        tree: containers of tensors
        size: bytes of the file they are from; 0 = they are from none

    Raises: WeightsError if there is no tensor, if two come to the same name, or if they are more than the file holds
    """
    found: dict[str, Tensor] = {}
    taken = 0
    for components, tensor in _leaves(tree):
        if sum(map(len, components)) > NAME:
            raise damaged("a tensor's name is too long")
        name = ".".join(part for part in ".".join(components).split(".") if part != "module")
        if name in found:
            raise WeightsError(f"holds two tensors named {name}: save the networks one by one")
        found[name] = tensor
        taken += tensor.nbytes
        if len(found) > TENSORS or (size and taken > 2 * size + SPARE_BYTES):
            raise damaged("more tensors than it holds numbers for")
    if not found:
        raise NoTensorsError("holds no network tensors (an optimiser's state?): give the network's file")
    # flat files whose every name carries the wrapper; `model.3.weight` is a network's own name, not a wrapper
    for wrapper in WRAPPERS:
        if all(re.match(rf"{wrapper}\.(?!\d)", name) for name in found):
            found = {name[len(wrapper) + 1 :]: tensor for name, tensor in found.items()}
    return found


def _leaves(tree: Any) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """The tensors below a container in their order, each with the names on the way to it."""
    open_containers: list[Iterator[tuple[tuple[str, ...] | None, Any]]] = [iter([((), tree)])]
    for _ in range(NODES):
        path, node = next(open_containers[-1], (None, None))
        if path is None:
            open_containers.pop()
            if not open_containers:
                return
            continue
        if isinstance(node, (StoredArray, StoredTensor)):
            node = node.tensor()
        if isinstance(node, Tensor):
            yield path or ("tensor",), node.detach()
        elif isinstance(node, Foreign):
            raise node.refused()
        elif isinstance(node, (list, tuple, Mapping)):
            if len(open_containers) > DEPTH:
                raise damaged("containers nested too deeply")
            open_containers.append(_children(node, path))
    raise damaged("too many containers")


def _children(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What a container holds, each with the names on the way to it."""
    if isinstance(node, (list, tuple)):
        yield from (((*path, str(i)), child) for i, child in enumerate(node))
        return
    if {"state", "param_groups"} <= node.keys():
        return  # an optimiser's state
    for sole in ("state_dict", "params_ema"):  # beside it: averages' twins, callbacks, counters
        if isinstance(node.get(sole), Mapping):
            node = {sole: node[sole]}
    for key, child in node.items():
        wraps = key in WRAPPERS and not isinstance(child, Tensor)
        yield (path if wraps else (*path, str(key))), child

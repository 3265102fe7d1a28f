"""Weight files of every kind we know, read safely: a path goes in, tensors under their published names come out.

The kind is told by the content, never by the file's name. No code of a file is run: safetensors hold none, PyTorch's
pickles go through its `weights_only` reader, the rest through readers of our own that know arrays and nothing else.
"""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from retouche.errors import WeightsError
from retouche.weights import tensorflow
from retouche.weights.lua import is_lua, read_lua
from retouche.weights.paddle import ARRAY_GLOBALS, REMEDY, StoredArray, read_paddle

WRAPPERS = ("state_dict", "params_ema", "params", "model", "module")
"""Containers that publishers put around a network's tensors and that say nothing about it."""

TORCH_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""How `torch.save` began before PyTorch 1.6: a pickled magic number of its own."""


class NoTensorsError(WeightsError):
    """The file can be read but holds no network."""


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a weight file.

    Known are safetensors, PyTorch's files old and new (`.pth`, `.pt`, `.p`, `.bin`, `.ckpt`), Paddle's `.pdparams`, Lua
    Torch's `.t7` and TensorFlow's checkpoints (their prefix, their `.index` file or the folder with their `checkpoint`
    file).

    Returns: published names -> tensors on the CPU, and the header of a safetensors file (empty for other kinds).
        Names are dotted paths through the file's containers. Wrappers (`state_dict`, `params`, `params_ema`, `model`,
        and `module` wherever it stands) are left out, as are optimiser states and what is no tensor. Files of our
        own keep their names as they are.
    Raises: WeightsError with what the file is instead, and the remedy
    """
    path = Path(path)
    prefix = tensorflow.find_prefix(path)
    if prefix is not None:
        return tensorflow.read_checkpoint(prefix), {}
    if not path.exists():
        raise WeightsError(f"there is no file {path}: give a weight file, or a TensorFlow checkpoint's prefix")
    if path.is_dir():
        raise WeightsError(f"{path} is a folder without a TensorFlow checkpoint: give a weight file in it")
    head = _head(path)
    _refuse(path, head)
    if _is_safetensors(path, head):
        tensors, header = _read_safetensors(path)
        return (tensors, header) if is_own(header) else (unwrapped(tensors, path), header)
    if is_lua(head):
        return unwrapped(read_lua(path), path), {}
    if head.startswith(b"PK"):
        return unwrapped(_read_torch(path, zipped=True), path), {}
    if head.startswith(TORCH_LEGACY):
        return unwrapped(_read_torch(path, zipped=False), path), {}
    if re.match(rb"\x80[\x02-\x05]|[(\]}]|c[a-z_.]+\n", head):
        return unwrapped(read_paddle(path), path), {}
    raise WeightsError(f"{path} is of no known kind: give safetensors, .pth, .pdparams, .t7 or a TensorFlow checkpoint")


def is_own(header: Mapping[str, str]) -> bool:
    """Whether a safetensors header is one that `weights.own` wrote."""
    return "format" in header and "retouche" in header


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def _refuse(path: Path, head: bytes) -> None:
    """Say what a file is that holds no tensors we can read."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    said = None
    if not head:
        said = "is empty: fetch it anew"
    elif head.startswith(b"version https://git-lfs"):
        said = "is a git-LFS pointer, not the file itself: run `git lfs pull`, or download the file from its page"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml")):
        said = "is a web page saved in place of the file (a virus or login page?): download it with a browser"
    elif re.match(rb"[34]\n\d+\n", head):
        said = "is a Lua Torch file in its text form: save it in the binary one, torch.save(FILE, NETWORK)"
    elif head.startswith(b"\x89HDF"):
        said = "is an HDF5 file (Keras, Caffe): convert it to safetensors"
    elif head.startswith(b"\x93NUMPY"):
        said = "is a single NumPy array: give a file with all tensors and their names"
    elif head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")) or head[257:262] == b"ustar":
        said = "is a packed archive: unpack it and give the weight file in it"
    if said:
        raise WeightsError(f"{path} {said}")


def _is_safetensors(path: Path, head: bytes) -> bool:
    """An 8-byte length of a JSON object that follows; a cut file still counts, to be refused as cut."""
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as broken:
        raise WeightsError(f"{path} is a damaged or cut safetensors file ({broken}): fetch it anew") from None


def _read_torch(path: Path, zipped: bool) -> Any:
    """The tree of a file by `torch.save`, without running anything in it."""
    if zipped:
        _check_zip(path)
    stand_ins: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
        (stand_in, name) for name, stand_in in ARRAY_GLOBALS.items()
    ]
    try:
        # an open file, not its path: torch takes a path's suffix for its kind
        with torch.serialization.safe_globals(stand_ins), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as refused:
        culprit = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", str(refused))
        if culprit or "Unsupported" in str(refused) or "not allowed" in str(refused):
            what = f" ({culprit[1]})" if culprit else ""
            raise WeightsError(f"{path} holds code{what}, which is never run: {REMEDY}") from None
        raise WeightsError(f"{path} is damaged or cut short: fetch it anew") from None
    # a forged or cut file makes the unpickler fail in whichever way its instructions happen to clash
    except Exception:
        raise WeightsError(f"{path} is damaged or cut short: fetch it anew") from None


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise WeightsError(f"{path} is cut short (its table of contents is missing): fetch it anew") from None
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner:
        raise WeightsError(f"{path} is a TorchScript program, which is never run: {REMEDY}")
    if "data.pkl" not in inner:
        first = names[0] if names else "nothing"
        raise WeightsError(f"{path} is a zip archive (holding {first}), not a weight file: unpack it first")


def unwrapped(tree: Any, title: Path | str = "the file") -> dict[str, Tensor]:
    """The tensors of nested containers under dotted names, without wrappers.

    Raises: WeightsError if there is no tensor, or if two come to the same name
    """
    found: dict[str, Tensor] = {}
    try:
        leaves = list(_leaves(tree, ()))
    except (pickle.UnpicklingError, RecursionError) as broken:
        raise WeightsError(f"{title} is damaged ({broken}): fetch it anew") from None
    for components, tensor in leaves:
        name = ".".join(part for part in ".".join(components).split(".") if part != "module")
        if name in found:
            raise WeightsError(f"{title} holds two tensors named {name}: save the networks one by one")
        found[name] = tensor
    if not found:
        raise NoTensorsError(f"{title} holds no network tensors (an optimiser's state?): give the network's file")
    # flat files whose every name carries the wrapper; `model.3.weight` is a network's own name, not a wrapper
    for wrapper in WRAPPERS:
        if all(re.match(rf"{wrapper}\.(?!\d)", name) for name in found):
            found = {name[len(wrapper) + 1 :]: tensor for name, tensor in found.items()}
    return found


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """The tensors below a container, each with the names on the way to it."""
    if isinstance(node, StoredArray):
        node = node.tensor()
    if isinstance(node, Tensor):
        yield path or ("tensor",), node.detach()
    elif isinstance(node, (list, tuple)):
        for i, child in enumerate(node):
            yield from _leaves(child, (*path, str(i)))
    elif isinstance(node, Mapping):
        if {"state", "param_groups"} <= node.keys():
            return  # an optimiser's state
        for sole in ("state_dict", "params_ema"):  # beside it: averages' twins, callbacks, counters
            if isinstance(node.get(sole), Mapping):
                node = {sole: node[sole]}
        for key, child in node.items():
            wraps = key in WRAPPERS and not isinstance(child, Tensor)
            yield from _leaves(child, path if wraps else (*path, str(key)))

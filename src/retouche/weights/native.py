"""Our own weight files: safetensors whose header says method, settings and origin, so that a file runs alone.

Tensors are named `generator.NAME` and `critics.CRITIC.NAME`. The header's words: `format` (a number; newer ones are
refused), `retouche` (the version that wrote it), `method`, `layout`, `preset`, `config` (JSON of the frozen dataclass),
`order` (of the colours that the networks see), and where known `step`, `ema`, `perceptual`, `licence`, `source_sha256`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

import retouche
from retouche.errors import WeightsError
from retouche.files import atomic_write
from retouche.weights.layout import Order, Parts
from retouche.weights.safetensors_files import DTYPES

FORMAT = "1"
CRITICS = "critics."
GENERATOR = "generator"

CONFIG_CHARACTERS, LONGEST, LARGEST = 1 << 16, 1000, 1 << 16
"""Bounds of a file's settings: of the whole text, of lists and words in it, of numbers."""

ConfigT = TypeVar("ConfigT")

_DTYPES = {dtype: name for name, dtype in DTYPES.items()}


def save_networks(
    path: Path | str,
    method: str,
    layout: str | None,
    config: Any,
    generator: nn.Module | None,
    critics: Mapping[str, nn.Module],
    *,
    preset: str | None = None,
    step: int | str | None = None,
    ema: float | str | None = None,
    perceptual: str | None = None,
    licence: str | None = None,
    source_sha256: str | None = None,
) -> None:
    """Write networks to one file, whole or not at all; the same networks give the same bytes.

    Args:
        path: a name ending in .safetensors
        method: the method's name
        layout: whose names the weights had before they were ours; None for networks trained here
        config: the method's frozen dataclass
        generator: None where only critics are kept
        critics: name -> network
        preset: the preset that `config` is
        step: how many training steps the weights have seen
        ema: the decay of the moving average that they are
        perceptual: which network judged perceptual losses in training
        licence: what one may do with the weights
        source_sha256: hash of the published file they come from

    The networks' own attribute `order`, where one has another than red, green, blue, is kept.

    Raises: WeightsError if a weight is NaN or infinite
    """
    networks = ({} if generator is None else {GENERATOR: generator}) | {CRITICS + n: c for n, c in critics.items()}
    tensors = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{len(broken)} tensors hold NaN or infinity (first: {broken[0]}): {path} is not written")
    words = {
        "format": FORMAT,
        "retouche": retouche.__version__,
        "method": method,
        "layout": layout,
        "preset": preset,
        "config": config_as_json(config),
        "order": next((net.order for net in networks.values() if getattr(net, "order", "rgb") != "rgb"), "rgb"),
        "step": step,
        "ema": ema,
        "perceptual": perceptual,
        "licence": licence,
        "source_sha256": source_sha256,
    }
    write_safetensors(Path(path), tensors, {key: str(value) for key, value in words.items() if value is not None})


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """A safetensors file, written atomically; the library's own writer shuffles the header's words on every call.

    Source: the format's description at github.com/huggingface/safetensors
    """
    # widest types first, so that every tensor lies on a multiple of its own size
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    head: dict[str, Any] = {"__metadata__": dict(sorted(header.items()))}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].numel() * tensors[name].element_size()
        dtype, shape = _DTYPES[tensors[name].dtype], list(tensors[name].shape)
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().tobytes())


def check_header(header: Mapping[str, str], title: Path | str) -> None:
    """That this version can read a file of ours.

    Raises: WeightsError if the file's format is newer, a word is missing, or its order of colours is unknown
    """
    if not re.fullmatch("[0-9]{1,9}", header["format"]) or int(header["format"]) > int(FORMAT):
        raise WeightsError(
            f"{title} has format {header['format']}, written by retouche {header['retouche']}, "
            f"but this is {retouche.__version__} and reads up to {FORMAT}: update retouche"
        )
    missing = [word for word in ("method", "config") if word not in header]
    if missing:
        raise WeightsError(f"{title} is damaged: its header lacks {' and '.join(missing)}")
    if header.get("order", "rgb") not in get_args(Order):
        raise WeightsError(f'{title} says its colours are "{header["order"]}": update retouche')


def split_parts(tensors: Mapping[str, Tensor]) -> tuple[Parts, list[str]]:
    """The networks of one of our files, and the names that belong to none."""
    parts: Parts = {}
    stray: list[str] = []
    for name, tensor in tensors.items():
        if name.startswith(CRITICS):
            critic, _, key = name[len(CRITICS) :].partition(".")
            parts.setdefault(critic, {})[key] = tensor
        elif name.startswith(f"{GENERATOR}."):
            parts.setdefault(GENERATOR, {})[name[len(GENERATOR) + 1 :]] = tensor
        else:
            stray.append(name)
    return parts, stray


# Settings as JSON


def config_as_json(config: Any) -> str:
    """A frozen dataclass (of numbers, text, tuples and further dataclasses) as one line of JSON."""
    return json.dumps(dataclasses.asdict(config), ensure_ascii=False)


def config_from_json(kind: type[ConfigT], text: str, title: Path | str = "the settings") -> ConfigT:
    """The dataclass that `config_as_json` wrote, equal to the one that went in.

    Fields that the text lacks take their defaults, so that older files stay readable.

    Raises: WeightsError naming a field that is unknown here, missing without a default, or of another type
    """
    try:
        value = json.loads(text) if len(text) <= CONFIG_CHARACTERS else None
        _check_bounds(value)
        return _restored(kind, value, "")
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, thousands of brackets
        raise WeightsError(f"{title} is damaged: its config is no JSON") from None
    except _Misfit as error:
        raise WeightsError(f"{title} was written by another version: config {error}; update retouche") from None


class _Misfit(Exception):
    """A value that does not fit its field."""


def _check_bounds(value: Any, depth: int = 0) -> None:
    """That a value has the size of a network's setting: what is built from it follows its numbers."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        if len(value) > LONGEST or depth > LONGEST:
            raise _Misfit(f"has a list of {len(value)} values")
        for inner in value:
            _check_bounds(inner, depth + 1)
    elif isinstance(value, str):
        if len(value) > LONGEST:
            raise _Misfit(f"has a word of {len(value)} letters")
    elif isinstance(value, (int, float)) and not (math.isfinite(value) and abs(value) <= LARGEST):
        raise _Misfit("has a number that no network's setting is")


def _restored(kind: Any, value: Any, place: str) -> Any:
    """`value` from JSON as a `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in {Union, types.UnionType}:
        return _restored_union(arguments, value, place)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _restored_dataclass(kind, value, place)
    if tuple in (origin, kind) and isinstance(value, list):
        return _restored_tuple(arguments, value, place)
    types_allowed = (int, float) if kind is float else (type(None) if kind is None else kind,)
    if not (value in arguments if origin is Literal else type(value) in types_allowed):
        raise _Misfit(f"field {place or '(whole)'} is {value!r:.80}")
    return value


def _restored_dataclass(kind: Any, value: dict[str, Any], place: str) -> Any:
    hints = get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}
    if unknown := sorted(value.keys() - fields.keys()):
        raise _Misfit(f"has the unknown field {place}{unknown[0]}")
    for name, item in fields.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in value:
            raise _Misfit(f"lacks the field {place}{name}")
    return kind(**{name: _restored(hints[name], inner, f"{place}{name}.") for name, inner in value.items()})


def _restored_tuple(arguments: tuple[Any, ...], values: list[Any], place: str) -> tuple[Any, ...]:
    if not arguments or (len(arguments) == 2 and arguments[1] is Ellipsis):
        kinds = [arguments[0] if arguments else Any] * len(values)
    elif len(arguments) == len(values):
        kinds = list(arguments)
    else:
        raise _Misfit(f"field {place} has {len(values)} values instead of {len(arguments)}")
    return tuple(
        _restored(kind, value, f"{place}{i}.") for i, (kind, value) in enumerate(zip(kinds, values, strict=True))
    )


def _restored_union(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """The first kind that fits; where numbers of both kinds are allowed the JSON's own kind counts."""
    for kind in sorted(kinds, key=lambda kind: kind is not type(value)):
        try:
            return _restored(kind, value, place)
        except _Misfit as error:
            misfit = error
    raise misfit

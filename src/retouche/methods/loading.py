"""From a weight file, whosever it is, to networks that run: recognised by content, loaded strictly."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args, overload

import torch
from torch import Tensor, nn

from retouche.ambient import plain_torch
from retouche.errors import InputError, RetoucheError, WeightsError
from retouche.methods import find, methods
from retouche.methods.method import Generator, Method
from retouche.weights import native, store, tensorflow
from retouche.weights.border import border, damaged
from retouche.weights.layout import (
    Layout,
    Order,
    Part,
    Parts,
    give_memory,
    is_all_state,
    load_strictly,
    misfit,
    shapes_of,
    shapes_only,
    sketched,
)
from retouche.weights.read import NoTensorsError, is_own, read_tensors

log = logging.getLogger("retouche")

SEMANTICS = ("original", "port")
NETWORK_SPARE_BYTES = 256 << 20
"""What networks may take beyond twice their file: buffers that are not saved, critics whose file is another one."""
NAMES_OF_NETWORKS, SAMPLE, LIKELY = 5000, 200, 6
"""Of an unknown file: names from which on it is none of a network; names looked at first; layouts looked at closely."""
WEIGHT_SUFFIXES = {".safetensors", ".pth", ".pt", ".p", ".pkl", ".bin", ".ckpt", ".pdparams", ".t7"}
"""What is looked at in a folder; a file given by its path may have any name."""


@dataclass
class Networks:
    """A method, its settings and its networks, and where they are from: all of a model but how it fills.

    Attributes:
        name: what it was loaded by
        method: "aot-gan", "exemplar", ...
        config: the method's frozen settings; None for fills without weights
        generator: tensors in, `Prediction` out; None for fills without weights and for critics' files
        critics: name -> network, where the file or method has them
        layout: whose names the file used; None for own files and fresh networks
        preset: the preset with exactly these settings, if there is one
        header: what the weight file says of itself
        source_sha256: the weight file's hash (of several: hash of their hashes and names); of a fill that asks shipped
            networks, one hash of theirs
    """

    name: str
    method: str
    config: Any = None
    generator: Generator | None = None
    critics: dict[str, nn.Module] = field(default_factory=dict)
    layout: str | None = None
    preset: str | None = None
    header: dict[str, str] = field(default_factory=dict)
    source_sha256: str | None = None


NetworksT = TypeVar("NetworksT", bound=Networks)
NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True)
class _Source:
    """One file, recognised: its networks under our names and what is needed to build them."""

    path: Path
    method: str
    layout: str | None
    parts: Parts
    config: Callable[[Parts, str], Any]
    optional: dict[str, tuple[str, ...]] = field(default_factory=dict)
    header: dict[str, str] = field(default_factory=dict)
    order: Order = "rgb"


def identify(tensors: Mapping[str, Tensor]) -> list[tuple[str, Layout]]:
    """The methods and layouts whose files name their tensors like these: one, or none."""
    return [
        (name, layout) for name, record in _trainable().items() for layout in record.layouts if layout.fits(tensors)
    ]


@overload
def load_file(
    path: Path | str,
    semantics: str = ...,
    method: str | None = ...,
    order: Order | None = ...,
    *,
    hashed: bool = ...,
) -> Networks: ...
@overload
def load_file(
    path: Path | str,
    semantics: str = ...,
    method: str | None = ...,
    order: Order | None = ...,
    *,
    kind: type[NetworksT],
    hashed: bool = ...,
) -> NetworksT: ...
@plain_torch()
def load_file(
    path: Path | str,
    semantics: str = "original",
    method: str | None = None,
    order: Order | None = None,
    *,
    kind: type[Any] = Networks,
    hashed: bool = True,
) -> Any:
    """Networks from a file, a TensorFlow checkpoint's prefix, or a folder with one method's files, in eval mode.

    Args:
        path: in a folder the networks of all its weight files are put together; files that hold none are passed over
        semantics: "original", or "port" for a port's own numbers where a converted file has two targets
        method: the only method wanted, by name; None for any
        order: of the colours that the networks see, where the user knows better than the layout
        kind: what to make of them, `retouche.Model` for one that fills pictures
        hashed: take the files' hash, which nobody asks of the package's own

    Raises:
        WeightsError if the file is unsafe, broken, of no known layout, of another method, or does not fit in full
        InputError if a folder holds the same network twice or networks that differ in their colours' order, or
            `semantics` or `order` is unknown
    """
    if order is not None and order not in get_args(Order):
        raise InputError(f'order is "{order}": give one of {", ".join(get_args(Order))}')
    if semantics not in SEMANTICS:
        raise InputError(f'semantics is "{semantics}": give one of {", ".join(SEMANTICS)}')
    path = Path(path)
    with border(path):
        folder = path.is_dir() and tensorflow.find_prefix(path) is None
        sources = _open_folder(path) if folder else _open(path)
        names = sorted({source.method for source in sources})
        if len(names) > 1:
            raise WeightsError(f"holds files of {' and '.join(names)}: give one method's files")
        first = next((source for source in sources if native.GENERATOR in source.parts), sources[0])
        if method is not None and first.method != method:
            raise WeightsError(f"holds {_title(first.method, first.layout)}, not {method}: give it as {first.method}")
        orders = {source.order for source in sources} if order is None else {order}
        if len(orders) > 1:
            raise InputError("holds networks that see colours in different orders: load their files one by one")
        parts = _merged(path, sources)
        record = find(first.method)
        try:
            config = first.config(parts, semantics)
        except RetoucheError:
            raise
        except (KeyError, IndexError, StopIteration, ValueError) as lacking:  # a tensor that every such file has
            message = f"{_title(first.method, first.layout)} but lacks what its settings follow from ({lacking})"
            raise WeightsError(f"is {message}: fetch it anew") from None
        networks: dict[str, Any] = _built(first, record, config, parts, sources)
        for network in networks.values():
            (network.order,) = orders  # a plain attribute, as every generator has it
        files: list[Path] = []
        for file in dict.fromkeys(source.path for source in sources):
            prefix = tensorflow.find_prefix(file)
            files += [file] if prefix is None else tensorflow.checkpoint_files(prefix)
        return kind(
            name=str(path),
            method=first.method,
            config=config,
            generator=networks.pop(native.GENERATOR, None),
            critics=networks,
            layout=first.layout,
            preset=next((name for name, preset in record.presets.items() if preset == config), None),
            header=first.header,
            source_sha256=store.sha256_of(*files) if hashed else None,
        )


def _title(method: str, layout: str | None) -> str:
    return f"{method} ({layout})" if layout else method


def _trainable() -> dict[str, Method]:
    """The records with networks; an add-on that does not import must not keep others' files from loading."""
    records: dict[str, Method] = {}
    for name in methods():
        try:
            record = find(name)
        except ImportError as broken:
            log.warning("method %s cannot be imported: %s", name, broken)
            continue
        if record.build is not None:
            records[name] = record
    return records


# Files


def _open_folder(folder: Path) -> list[_Source]:
    """The recognised files of a folder."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix in WEIGHT_SUFFIXES)
    sources: list[_Source] = []
    unknown: list[WeightsError] = []
    for file in files:
        try:
            sources += _open(file)
        except (NoTensorsError, _UnknownError) as error:
            log.info("%s is passed over: %s", file, error)
            unknown.append(error)
        _merged(folder, sources)  # refuses twins before more of them are read
    if sources:
        return sources
    if unknown:
        raise unknown[0]
    raise WeightsError(f"{folder} holds no weight file: give a folder with {', '.join(sorted(WEIGHT_SUFFIXES))} files")


class _UnknownError(WeightsError):
    """The file is of no known layout."""


def _open(path: Path) -> list[_Source]:
    """The networks of one file; more than one source where several layouts of one method share it."""
    tensors, header = read_tensors(path)
    if is_own(header):
        return [_open_own(path, tensors, header)]
    found = identify(tensors)
    if not found:
        raise _UnknownError(f"{path} fits no known layout: {_nearest(tensors)}")
    if len({name for name, _ in found}) > 1:
        claims = " and ".join(_title(name, layout.name) for name, layout in found)
        raise WeightsError(f"{path} could be {claims}: convert the one network in it to safetensors")
    sources = []
    strays: list[set[str]] = []
    for name, layout in found:
        parts, stray = layout.translate(tensors)
        if layout.by_name is not None:
            parts = layout.by_name(parts, path.name)
        optional = {part: layout.parts[part].optional for part in parts if part in layout.parts}
        sources.append(_Source(path, name, layout.name, parts, layout.config, optional, header, layout.order))
        strays.append(set(stray))
    lost = sorted(set.intersection(*strays))
    if lost:
        title = _title(found[0][0], found[0][1].name)
        raise WeightsError(f"{path} is {title} but {len(lost)} tensors belong to no network of it (first: {lost[0]})")
    return sources


def _open_own(path: Path, tensors: Mapping[str, Tensor], header: dict[str, str]) -> _Source:
    native.check_header(header, path)
    name = header["method"]
    record = find(name) if name in methods() else None  # the others are left alone: each is a module to import
    if record is None or record.build is None:
        known = ", ".join(_trainable())
        raise WeightsError(f"{path} is for the method {name}, which is not installed: known are {known}")
    parts, stray = native.split_parts(tensors)
    if stray or not parts:
        raise WeightsError(f"{path} is damaged: {f'{stray[0]} belongs to no network' if stray else 'it is empty'}")
    kind = type(record.presets.get(header.get("preset", ""), next(iter(record.presets.values()))))
    config = native.config_from_json(kind, header["config"], path)
    # known to be one of `Order`; files of before there was a word for it have their layout's
    layouts = {layout.name: layout.order for layout in record.layouts}
    order: Any = header.get("order", layouts.get(header.get("layout", ""), "rgb"))
    return _Source(path, name, header.get("layout"), parts, lambda parts, semantics: config, header=header, order=order)


def _merged(path: Path, sources: Sequence[_Source]) -> Parts:
    """The networks of several files together; halves of one network may come from two files."""
    merged: Parts = {}
    origin: dict[tuple[str, str, str], _Source] = {}
    for source in sources:
        for part, tensors in source.parts.items():
            for name in tensors:
                twin = origin.setdefault((source.method, part, name), source)
                if twin is source:
                    continue
                message = f"{path} holds the {part} of {source.method} twice"
                if twin.path == source.path:
                    raise WeightsError(
                        f"{message} (as {twin.layout} and as {source.layout}): give a file with one network"
                    )
                names = f"{twin.path.name}, {source.path.name}"
                raise InputError(f"{message} ({names}): give one of these files, or a folder with one of each")
            merged.setdefault(part, {}).update(tensors)
    return merged


# Networks


def _built(
    first: _Source, record: Method, config: Any, parts: Parts, sources: Sequence[_Source]
) -> dict[str, nn.Module]:
    """The networks that the tensors are for, filled; what does not fit is reported of all of them at once.

    They are built without memory first: a file's settings are believed once its tensors have the shapes that follow.
    """
    title = _title(first.method, first.layout)
    tensors = {f"{part}.{name}": tensor for part, found in parts.items() for name, tensor in found.items()}
    try:
        with sketched(tensors):
            networks = _fresh(record, config, parts)
    except InputError as odd:  # settings read off damaged tensors
        raise WeightsError(f"is {title} with a shape no such network has ({odd}): fetch it anew") from None
    optional = {
        part: tuple(pattern for source in sources for pattern in source.optional.get(part, ())) for part in parts
    }
    problems = [f"{title} has no network {part} with these settings" for part in parts if part not in networks] + [
        f"the {part} of {title} does not fit its network of {len(shapes)} tensors: {difference}"
        for part, network in networks.items()
        if part in parts
        for shapes in [shapes_of(network)]
        if (difference := misfit(shapes, parts[part], optional[part]))
    ]
    if problems:
        raise WeightsError(f"does not fit: {'; '.join(problems)}")
    # half precision is widened when it is copied; buffers that are not saved take memory too
    held = sum(tensor.numel() * max(4, tensor.element_size()) for tensor in tensors.values())
    wanted = sum(t.nbytes for network in networks.values() for t in (*network.parameters(), *network.buffers()))
    if wanted > 2 * held + NETWORK_SPARE_BYTES:
        raise damaged(f"{held} bytes of tensors for networks of {wanted}")
    if all(is_all_state(networks[part], found) for part, found in parts.items()):
        for part in parts:
            give_memory(networks[part])
    else:  # some of its numbers are in no file
        networks = _fresh(record, config, parts)
    for part, found in parts.items():
        load_strictly(networks[part], found, optional[part], f"the {part} of {title}")
    return {part: ready(record, network) for part, network in networks.items() if part in parts}


def ready(record: Method, network: NetworkT) -> NetworkT:
    """A network for use: in eval mode, its tensors in the order that is quickest."""
    if record.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def _fresh(record: Method, config: Any, parts: Parts) -> dict[str, nn.Module]:
    """New networks, as far as the parts need them."""
    assert record.build is not None
    with torch.random.fork_rng(devices=[]):  # fresh weights draw numbers; the host's stream stays where it was
        networks: dict[str, nn.Module] = {native.GENERATOR: record.build(config)} if native.GENERATOR in parts else {}
        critics = record.critics(config) if parts.keys() - {native.GENERATOR} else {}
    return networks | critics


# What an unknown file looks like


def _nearest(tensors: Mapping[str, Tensor]) -> str:
    """Which layout's names an unknown file's come nearest to, and what it lacks."""
    best = 0.3, f"its {len(tensors)} names look like no method known here (first: {', '.join([*tensors][:2])})"
    for method, layout, part_name, prefix in _likely(tensors):
        part = layout.parts[part_name]
        renamed = set(part.renamed(tensors, prefix))
        for names in _names(method, part_name):
            likeness = len(renamed & names) / len(renamed | names)
            if likeness > best[0]:
                best = likeness, _difference(names, renamed, part, _title(method, layout.name))
    return best[1]


def _likely(tensors: Mapping[str, Tensor]) -> list[tuple[str, Layout, str, str]]:
    """The layouts, their parts and prefixes that share most names with a sample of a file's, the likeliest first."""
    if len(tensors) > NAMES_OF_NETWORKS:
        return []
    sample = dict([*tensors.items()][:: len(tensors) // SAMPLE + 1])
    found = []
    for method, record in _trainable().items():
        for layout in record.layouts:
            for part_name, part in layout.parts.items():
                for prefix in part.prefixes:
                    renamed = set(part.renamed(sample, prefix))
                    shared = max((len(renamed & names) for names in _names(method, part_name, 1)), default=0)
                    if shared:
                        found.append((shared, (method, layout, part_name, prefix)))
    found.sort(key=lambda each: -each[0])
    return [place for _, place in found[:LIKELY]]


def _difference(names: frozenset[str], found: set[str], part: Part, title: str) -> str:
    """What a network's file lacks of its names, and has too many."""
    needed = {name for name in names if not any(re.fullmatch(pattern, name) for pattern in part.optional)}
    missing, unexpected = sorted(needed - found), sorted(found - names)
    lists = ((missing, f"of {len(names)} tensors missing"), (unexpected, "tensors unexpected"))
    parts = [f"{len(listed)} {words} (first: {listed[0]})" for listed, words in lists if listed]
    return f"{', '.join(parts) or 'its tensors are of other shapes'}; the keys look like {title}"


@cache
def _names(method: str, part: str, presets: int | None = None) -> tuple[frozenset[str], ...]:
    """The names of a network's tensors, for every preset of the method (of the first so many) that has it."""
    record = find(method)
    assert record.build is not None
    found = []
    for preset in [*record.presets.values()][:presets]:
        with torch.random.fork_rng(devices=[]), shapes_only():
            network = record.build(preset) if part == native.GENERATOR else record.critics(preset).get(part)
        if network is not None:
            found.append(frozenset(network.state_dict()))
    return tuple(dict.fromkeys(found))

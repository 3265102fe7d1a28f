"""From a weight file, whosever it is, to networks that run: recognised by content, loaded strictly."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from retouche.ambient import plain_torch
from retouche.errors import InputError, RetoucheError, WeightsError
from retouche.methods import find, methods
from retouche.methods.method import Generator, Method, Weights
from retouche.weights import own, store, tensorflow
from retouche.weights.layout import Layout, Order, Part, Parts, load_strictly
from retouche.weights.read import NoTensorsError, is_own, read_tensors

log = logging.getLogger("retouche")

SEMANTICS = ("original", "port")
WEIGHT_SUFFIXES = {".safetensors", ".pth", ".pt", ".p", ".pkl", ".bin", ".ckpt", ".pdparams", ".t7"}
"""What is looked at in a folder; a file given by its path may have any name."""


@dataclass(frozen=True)
class Loaded:
    """Networks from a weight file, in eval mode.

    Attributes:
        method: the method's name
        layout: whose names the file used; None for networks trained here
        preset: the preset with exactly these settings, if there is one
        config: the method's frozen dataclass
        generator: None if the file holds critics only
        critics: critic's name -> network, as far as the file holds them
        header: what a safetensors file says of itself
        source_sha256: hash of the file (of several: hash of their hashes and names)
    """

    method: str
    layout: str | None
    preset: str | None
    config: Any
    generator: Generator | None
    critics: dict[str, nn.Module]
    header: dict[str, str]
    source_sha256: str


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


@plain_torch()
def load_file(
    path: Path | str, semantics: str = "original", method: str | None = None, order: Order | None = None
) -> Loaded:
    """Networks from a file, a TensorFlow checkpoint's prefix, or a folder with one method's files.

    Args:
        path: in a folder the networks of all its weight files are put together; files that hold none are passed over
        semantics: "original", or "port" for a port's own numbers where a converted file has two targets
        method: the only method wanted, by name; None for any
        order: of the colours that the networks see, where the user knows better than the layout

    Raises:
        WeightsError if the file is unsafe, broken, of no known layout, of another method, or does not fit in full
        InputError if a folder holds the same network twice or networks that differ in their colours' order, or
            `semantics` or `order` is unknown
    """
    path = Path(path)
    if order is not None and order not in get_args(Order):
        raise InputError(f'order is "{order}": give one of {", ".join(get_args(Order))}')
    if semantics not in SEMANTICS:
        raise InputError(f'semantics is "{semantics}": give one of {", ".join(SEMANTICS)}')
    folder = path.is_dir() and tensorflow.find_prefix(path) is None
    sources = _open_folder(path) if folder else _open(path)
    names = sorted({source.method for source in sources})
    if len(names) > 1:
        raise WeightsError(f"{path} holds files of {' and '.join(names)}: give one method's files")
    first = next((source for source in sources if own.GENERATOR in source.parts), sources[0])
    if method is not None and first.method != method:
        raise WeightsError(
            f"{path} holds {_title(first.method, first.layout)}, not {method}: give it as {first.method}"
        )
    parts = _merged(path, sources)
    record = find(first.method)
    config = _config(first, parts, semantics, path)
    generator, critics = _built(path, first, record, config, parts, sources)
    orders = {source.order for source in sources} if order is None else {order}
    if len(orders) > 1:
        raise InputError(f"{path} holds networks that see colours in different orders: load their files one by one")
    (seen,) = orders
    for network in (generator, *critics.values()):
        if network is not None:
            network.order = seen  # type: ignore[assignment]  # a plain attribute, as every generator has it
    return Loaded(
        method=first.method,
        layout=first.layout,
        preset=next((name for name, preset in record.presets.items() if preset == config), None),
        config=config,
        generator=generator,
        critics=critics,
        header=first.header,
        source_sha256=_sha256(sources),
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
        except (NoTensorsError, _UnknownError) as said:
            log.info("%s is passed over: %s", file, said)
            unknown.append(said)
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
    own.check_header(header, path)
    name = header["method"]
    if name not in _trainable():
        raise WeightsError(
            f"{path} is for the method {name}, which is not installed: known are {', '.join(_trainable())}"
        )
    parts, stray = own.split_parts(tensors)
    if stray or not parts:
        raise WeightsError(f"{path} is damaged: {f'{stray[0]} belongs to no network' if stray else 'it is empty'}")
    presets = _trainable()[name].presets
    kind = type(presets.get(header.get("preset", ""), next(iter(presets.values()))))
    config = own.config_from_json(kind, header["config"], path)
    layouts = {layout.name: layout.order for layout in _trainable()[name].layouts}
    order = own.order_from(header, layouts.get(header.get("layout", ""), "rgb"), path)
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
                said = f"{path} holds the {part} of {source.method} twice"
                if twin.path == source.path:
                    raise WeightsError(
                        f"{said} (as {twin.layout} and as {source.layout}): give a file with one network"
                    )
                names = f"{twin.path.name}, {source.path.name}"
                raise InputError(f"{said} ({names}): give one of these files, or a folder with one of each")
            merged.setdefault(part, {}).update(tensors)
    return merged


def _sha256(sources: Sequence[_Source]) -> str:
    files: list[Path] = []
    for path in dict.fromkeys(source.path for source in sources):
        prefix = tensorflow.find_prefix(path)
        files += [path] if prefix is None else tensorflow.checkpoint_files(prefix)
    return store.sha256_of(*files)


# Networks


def _config(source: _Source, parts: Parts, semantics: str, path: Path) -> Any:
    """The settings read off the tensors."""
    try:
        return source.config(parts, semantics)
    except RetoucheError:
        raise
    except (KeyError, IndexError, StopIteration, ValueError) as lacking:  # a tensor that every such file has
        said = f"{_title(source.method, source.layout)} but lacks what tells its settings ({lacking})"
        raise WeightsError(f"{path} is {said}: fetch it anew") from None


def _built(
    path: Path, first: _Source, record: Method, config: Any, parts: Parts, sources: Sequence[_Source]
) -> tuple[Generator | None, dict[str, nn.Module]]:
    """The networks that the tensors are for, filled; what does not fit is said of all of them at once."""
    assert record.build is not None
    with torch.random.fork_rng(devices=[]):  # fresh weights draw numbers; the host's stream stays where it was
        try:
            generator = record.build(config) if own.GENERATOR in parts else None
            critics = record.critics(config) if parts.keys() - {own.GENERATOR} else {}
        except InputError as odd:  # settings read off damaged tensors
            title = _title(first.method, first.layout)
            raise WeightsError(f"{path} is {title} with a shape no such network has ({odd}): fetch it anew") from None
    networks: dict[str, nn.Module] = {**critics, **({} if generator is None else {own.GENERATOR: generator})}
    problems = []
    for part, tensors in parts.items():
        if part not in networks:
            problems.append(f"{_title(first.method, first.layout)} has no network {part} with these settings")
            continue
        optional = tuple(pattern for source in sources for pattern in source.optional.get(part, ()))
        try:
            load_strictly(networks[part], tensors, optional, f"the {part} of {_title(first.method, first.layout)}")
        except WeightsError as said:
            problems.append(str(said))
    if problems:
        raise WeightsError(f"{path}: {'; '.join(problems)}")
    for network in networks.values():
        network.eval()
    return generator, {name: critic for name, critic in critics.items() if name in parts}


# What an unknown file looks like


def _nearest(tensors: Mapping[str, Tensor]) -> str:
    """Which layout's names an unknown file's come nearest to, and what it lacks."""
    best = 0.3, f"its {len(tensors)} names look like no method known here (first: {', '.join([*tensors][:2])})"
    for method, record in _trainable().items():
        for layout in record.layouts:
            for part_name, part in layout.parts.items():
                for prefix in part.prefixes:
                    renamed = set(part.renamed(tensors, prefix))
                    for names in _names(method, part_name):
                        likeness = len(renamed & names) / len(renamed | names)
                        if likeness > best[0]:
                            best = likeness, _difference(names, renamed, part, _title(method, layout.name))
    return best[1]


def _difference(names: frozenset[str], found: set[str], part: Part, title: str) -> str:
    """What a network's file lacks of its names, and has too many."""
    needed = {name for name in names if not any(re.fullmatch(pattern, name) for pattern in part.optional)}
    missing, unexpected = sorted(needed - found), sorted(found - names)
    lists = ((missing, f"of {len(names)} tensors missing"), (unexpected, "tensors unexpected"))
    said = [f"{len(listed)} {words} (first: {listed[0]})" for listed, words in lists if listed]
    return f"{', '.join(said) or 'its tensors are of other shapes'}; the keys look like {title}"


@cache
def _names(method: str, part: str) -> tuple[frozenset[str], ...]:
    """The names of a network's tensors, for every preset of the method that has it."""
    record = find(method)
    assert record.build is not None
    found = []
    for preset in record.presets.values():
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = record.build(preset) if part == own.GENERATOR else record.critics(preset).get(part)
        if network is not None:
            found.append(frozenset(network.state_dict()))
    return tuple(dict.fromkeys(found))


# Published files by name


@cache
def shipped(method: str, device: torch.device) -> Generator:
    """The generator of a method whose weights come with the package; loaded once per device.

    Raises: WeightsError if the file is not there or not whole
    """
    path = installed(method)
    assert path is not None, f"{method} ships no weights"
    generator = load_file(path, method=method).generator
    assert generator is not None
    return generator.to(device)


def published(name: str) -> tuple[str, list[Weights]]:
    """The published files that NAME or NAME:TAG means.

    Returns: the method's name, and the files of one tag (a method in two networks has two)
    Raises: InputError if there is no such method or tag, WeightsError if nothing is published
    """
    method, _, tag = name.partition(":")
    record = find(method)
    if record.build is None:
        raise InputError(f"{method} fills without weights: there is nothing to download")
    if not record.weights:
        raise WeightsError(f"{method} has no published weights: train it, or give a weight file")
    # of files without a tag given, the first that can be fetched without a browser
    easy = [weights for weights in record.weights if weights.url and not store.needs_browser(weights.url)]
    tag = tag or (easy or record.weights)[0].tag
    files = [weights for weights in record.weights if weights.tag == tag]
    if not files:
        tags = ", ".join(dict.fromkeys(weights.tag for weights in record.weights))
        raise InputError(f'{method} has no weights "{tag}": known are {tags}')
    return method, files


def installed(name: str) -> Path | None:
    """The checked cache entry of NAME (the first tag that is there) or NAME:TAG: a file, or the folder of several.

    Raises: as `published` and `store.cached`
    """
    method, _, tag = name.partition(":")
    tags = [tag] if tag else list(dict.fromkeys(weights.tag for weights in find(method).weights))
    for each in tags:
        _, files = published(f"{method}:{each}")
        paths = [
            store.packaged(weights.file) if weights.packaged else store.cached(weights.sha256, _place(method, weights))
            for weights in files
        ]
        if None not in paths:
            return paths[0] if len(paths) == 1 else store.weights_folder() / method / each
    return None


def _place(method: str, weights: Weights) -> str:
    """Where a published file is below the weights folder; its bare name says neither method nor data set."""
    return f"{method}/{weights.tag}/{weights.file}"


def fetch_published(name: str, accept_unknown_hash: bool = False, progress: store.Progress | None = None) -> Path:
    """NAME or NAME:TAG -> the file in the cache (its folder, if there are several), fetched where it is not there.

    Raises: as `published` and `store.fetch`
    """
    method, files = published(name)
    paths = []
    for weights in files:
        if weights.packaged:
            paths.append(store.packaged(weights.file))
            continue
        place = _place(method, weights)
        if weights.url is None and not store.entry_files(store.weights_folder() / place):
            raise WeightsError(
                f"no address is known for {weights.file} ({method}:{weights.tag}; {weights.remark or 'by hand'}): "
                f"save it as {store.weights_folder() / place}"
            )
        paths.append(store.fetch(weights.url or "", weights.sha256, place, accept_unknown_hash, progress))
    return paths[0] if len(paths) == 1 else paths[0].parent

"""The one list of what there is by name: methods, fills, published files and backbones; which are here, and fetching.

`retouche models` prints it, `retouche download` fetches from it, the server offers what of it is here, and
`retouche.load` takes its files by NAME or NAME:TAG.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from retouche import backbones
from retouche.errors import InputError, WeightsError
from retouche.methods import find, methods
from retouche.methods.entries import BACKBONE, FILL, NETWORK
from retouche.methods.entries import Entry as Entry
from retouche.methods.loading import load_file
from retouche.methods.method import Generator
from retouche.weights import store


def entries() -> Iterator[Entry]:
    """The whole list: methods, fills, backbones."""
    for name in methods():
        yield from of_method(name)
    for name, weights in backbones.PUBLISHED.items():
        yield Entry(name, BACKBONE, f"{name}, features for losses and tables", weights.url or "", (weights,))


def of_method(name: str) -> list[Entry]:
    """A method's lines: one for each tag, or the one without files."""
    record = find(name)
    kind = NETWORK if record.fill is None else FILL
    tags = dict.fromkeys(weights.tag for weights in record.weights)
    groups = [tuple(weights for weights in record.weights if weights.tag == tag) for tag in tags] or [()]
    return [Entry(name, kind, record.title, record.source, files) for files in groups]


def choose(name: str) -> Entry:
    """The line with the files that NAME or NAME:TAG means; without a tag the first that needs no browser.

    Raises: InputError if there is no such name or tag, WeightsError if nothing is published
    """
    owner, _, tag = name.partition(":")
    found = [entry for entry in entries() if entry.owner == owner] if owner in backbones.PUBLISHED else of_method(owner)
    if found[0].kind == FILL:
        raise InputError(f"{owner} fills without weights: there is nothing to download")
    if not found[0].files:
        raise WeightsError(f'"{owner}" has no published weights: train it (retouche train {owner}) or give a file')
    tags = {entry.files[0].tag: entry for entry in found}
    if tag and tag not in tags:
        raise InputError(f'"{owner}" has no weights "{tag}"; known: {", ".join(tags)}')
    easy = (entry for entry in found if (url := entry.files[0].url) and not store.needs_browser(url))
    return tags[tag] if tag else next(easy, found[0])


def installed(name: str) -> Path | None:
    """The checked file (or the folder of several) of NAME:TAG, or of NAME the first tag that is here.

    Raises: as `choose` and `Entry.checked`
    """
    owner, _, tag = name.partition(":")
    first = choose(name)
    found = [first] if tag or first.kind == BACKBONE else of_method(owner)
    return next((path for entry in found if (path := entry.checked()) is not None), None)


@cache
def shipped(method: str, device: torch.device) -> Generator:
    """The generator of a method whose weights come with the package; loaded once per device.

    Raises: WeightsError if the file is not there or not whole
    """
    path = installed(method)
    assert path is not None, f"{method} ships no weights"
    generator = load_file(path, method=method, hashed=False).generator
    assert generator is not None
    return generator.to(device)

"""Weights of a backbone, whichever way they are given: a file, a name that was downloaded, or tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from retouche.backbones import PUBLISHED
from retouche.errors import WeightsError
from retouche.weights.read import read_tensors
from retouche.weights.store import cached, sha256_of

WeightsSource = Path | str | Mapping[str, Tensor]
"""A file, a name of `PUBLISHED`, or tensors by name."""


class Given(NamedTuple):
    """What was found.

    Attributes:
        tensors: by their published names
        header: what a safetensors file says of itself
        sha256: of the file; "" for tensors
        origin: the file's name and the start of its SHA-256, for tables and headers
        title: what errors call it
    """

    tensors: dict[str, Tensor]
    header: dict[str, str]
    sha256: str
    origin: str
    title: str


def opened(source: WeightsSource, what: str, wanted: str) -> Given:
    """Read a backbone's weights.

    Args:
        source: a file, a name of `PUBLISHED`, or tensors by name
        what: the network, for errors
        wanted: the remedy where the file is not there

    Raises: WeightsError where there is no such file, or it cannot be read
    """
    if isinstance(source, Mapping):
        return Given(dict(source), {}, "", "tensors", f"the given {what}")
    path = Path(source)
    if (weights := PUBLISHED.get(str(source))) is not None:
        found = cached(weights.sha256, f"{source}/{weights.tag}/{weights.file}")
        if found is None:
            raise WeightsError(f"the weights of {source} are not here: {remedy(str(source))}")
        path = found
    elif not path.is_file():
        raise WeightsError(f"there is no {what} file {path}: {wanted}")
    tensors, header = read_tensors(path)
    digest = sha256_of(path)
    return Given(tensors, header, digest, f"{path.name} (sha256 {digest[:16]})", str(path))


def remedy(name: str) -> str:
    """How to come by the published weights of this name."""
    return f'say "retouche download {name}", or download {PUBLISHED[name].url} and give its path'

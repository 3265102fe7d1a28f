"""What the feature networks share: strict copying, and the name of what was copied."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from retouche.errors import WeightsError


def copy_strictly(network: nn.Module, tensors: Mapping[str, Tensor], title: str, wanted: str) -> None:
    """Fill a network; every name and shape must agree and every number be finite.

    Raises: WeightsError that counts what is missing, unexpected, of another shape or not finite
    """
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    lists = (
        ([name for name in own if name not in tensors], "missing"),
        ([name for name in tensors if name not in own], "unexpected"),
        ([name for name in own if name in tensors and tensors[name].shape != own[name].shape], "of another shape"),
        ([name for name in own if name in tensors and not tensors[name].isfinite().all()], "not finite"),
    )
    said = [f"{len(names)} tensors {word} (first: {names[0]})" for names, word in lists if names]
    if said:
        raise WeightsError(f"{title} does not fit: {', '.join(said)}; the file wanted is {wanted}")
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def origin_of(path: Path) -> str:
    """A file's name and the start of its SHA-256: what a table says its figures were computed with."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"{path.name} (sha256 {digest.hexdigest()[:16]})"

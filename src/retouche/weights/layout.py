"""Published layouts: how other people's files name the tensors of our networks.

A file is a flat mapping of published names to tensors (`weights.read` opens the container and
removes wrappers such as `state_dict.` and `module.`). A `Layout` recognises one publisher's names, turns them
into ours and says which configuration the file needs. Nothing is guessed: what does not fit is listed in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from retouche.errors import WeightsError

Tensors = Mapping[str, Tensor]
Order = Literal["rgb", "bgr"]
Parts = dict[str, dict[str, Tensor]]
"""Network ("generator", or a critic's name) -> our tensor name -> tensor."""


@dataclass(frozen=True)
class Part:
    """How one network's tensors are named in a published file.

    Attributes:
        probe: a published name, without prefix, that every file holding this network has
        prefixes: where the network may sit in its file, e.g. ("", "G."); the first that fits counts
        rename: pairs (pattern, replacement) tried in order by `re.fullmatch` on the name without prefix; a name
            that no pattern fits keeps itself
        repair: run on the renamed tensors, for what a rename cannot say (transposed kernels, moved axes)
        ignore: patterns of published names (without prefix) that have no counterpart here, e.g. constant buffers
        optional: patterns of our names that published files may lack, e.g. buffers added later
        only: patterns of published names (without prefix) that are this network's, where another shares its prefix
    """

    probe: str
    prefixes: tuple[str, ...] = ("",)
    rename: tuple[tuple[str, str], ...] = ()
    repair: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    ignore: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    only: tuple[str, ...] = (".*",)

    def prefix(self, tensors: Tensors) -> str | None:
        """The prefix under which this network sits in the file, or None if it is not there."""
        return next((prefix for prefix in self.prefixes if prefix + self.probe in tensors), None)

    def owns(self, published: str, prefix: str) -> bool:
        """Whether a published name is this network's."""
        name = published[len(prefix) :]
        return published.startswith(prefix) and any(re.fullmatch(pattern, name) for pattern in self.only)

    def translate(self, tensors: Tensors, prefix: str) -> dict[str, Tensor]:
        """The network's tensors under our names."""
        ours = self.renamed(tensors, prefix)
        return self.repair(ours) if self.repair else ours

    def renamed(self, tensors: Tensors, prefix: str) -> dict[str, Tensor]:
        """The tensors under our names, before `repair`."""
        ours: dict[str, Tensor] = {}
        for published, tensor in tensors.items():
            name = published[len(prefix) :]
            if not published.startswith(prefix) or any(re.fullmatch(pattern, name) for pattern in self.ignore):
                continue
            for pattern, replacement in self.rename:
                if re.fullmatch(pattern, name):
                    name = re.sub(pattern, replacement, name, count=1)
                    break
            ours[name] = tensor
        return ours


@dataclass(frozen=True)
class Layout:
    """One publisher's names for a method's networks.

    Attributes:
        name: the publisher ("researchmm", "mmagic"); what `model.layout` says
        parts: our network name ("generator", or a critic's key in `Method.critics`) -> its names in the file. Any
            non-empty subset may be present
        config: (parts under our names, semantics) -> the method's configuration, read off names and shapes;
            semantics is "original" or "port" (only matters where a converted file has two targets)
        detects: further condition beside the probes, on the published names; use shapes where names alone are shared
        ignore: patterns of published names that belong to no network (optimisers, counters)
        by_name: (parts, file name) -> parts, where twin networks have the same tensors and only the published file
            name tells them apart
        order: in which order these networks, once loaded, want a picture's colours; everybody else's is red, green,
            blue, and `Generator` exchanges them at its door
        order_source: whence the order is known; "" = it is not, and `order` is what the publisher's program feeds
    """

    name: str
    parts: Mapping[str, Part]
    config: Callable[[Parts, str], Any]
    detects: Callable[[Tensors], bool] | None = None
    ignore: tuple[str, ...] = field(default=())
    by_name: Callable[[Parts, str], Parts] | None = None
    order: Order = "rgb"
    order_source: str = ""

    def fits(self, tensors: Tensors) -> bool:
        """Whether the file is of this layout: a part's probe is there and `detects` agrees."""
        found = any(part.prefix(tensors) is not None for part in self.parts.values())
        return found and (self.detects is None or self.detects(tensors))

    def translate(self, tensors: Tensors) -> tuple[Parts, list[str]]:
        """The file's networks under our names, and the published names that belong to none of them."""
        prefixes = {name: prefix for name, part in self.parts.items() if (prefix := part.prefix(tensors)) is not None}
        claimed: dict[str, dict[str, Tensor]] = {name: {} for name in prefixes}
        stray: list[str] = []
        for published, tensor in tensors.items():
            # the longest prefix owns the tensor: "" owns only what no named part does
            owners = [name for name, prefix in prefixes.items() if self.parts[name].owns(published, prefix)]
            if any(re.fullmatch(pattern, published) for pattern in self.ignore):
                continue
            if owners:
                claimed[max(owners, key=lambda name: len(prefixes[name]))][published] = tensor
            else:
                stray.append(published)
        return {name: self.parts[name].translate(claimed[name], prefix) for name, prefix in prefixes.items()}, stray


def load_strictly(
    network: nn.Module, tensors: Tensors, optional: tuple[str, ...] = (), title: str = "the file"
) -> None:
    """Copy tensors into a network; every name and every shape must agree.

    Args:
        network: receives the tensors, keeping its own dtype and device
        tensors: our names -> tensors
        optional: patterns of names that may be missing
        title: what to call the file in the error

    Raises: WeightsError listing missing, unexpected and wrong-shaped tensors at once, and tensors that are not finite
    """
    own = network.state_dict()
    missing = [n for n in own if n not in tensors and not any(re.fullmatch(pattern, n) for pattern in optional)]
    unexpected = [name for name in tensors if name not in own]
    wrong = [name for name in own if name in tensors and tensors[name].shape != own[name].shape]
    if missing or unexpected or wrong:
        shapes = [f"{n} {tuple(tensors[n].shape)} instead of {tuple(own[n].shape)}" for n in wrong]
        lists = ((missing, "missing"), (unexpected, "unexpected"), (shapes, "of another shape"))
        said = [f"{len(names)} {word} (first: {names[0]})" for names, word in lists if names]
        raise WeightsError(f"{title} does not fit its network of {len(own)} tensors: {', '.join(said)}")
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{title} holds {len(broken)} tensors with NaN or infinity (first: {broken[0]}): get it anew"
        )
    network.load_state_dict({**own, **{name: tensors[name] for name in own if name in tensors}}, strict=True)

"""Starting from published weights: their tensors are copied into fresh networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from retouche.errors import InputError, WeightsError
from retouche.methods.loading import load_file
from retouche.methods.method import Generator
from retouche.weights.layout import Order


@dataclass
class Start:
    """What a run begins with.

    Attributes:
        tensors: of the files, by name in the networks ("generator.conv1.weight")
        remarks: on what no file holds: it keeps its fresh values
        order: of the colours that the networks see
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    order: Order = "rgb"


def read_start(files: Sequence[Path], method: str, networks: Mapping[str, nn.Module]) -> Start:
    """Every tensor of the files by its name in the networks ("generator.conv1.weight").

    Args:
        files: weight files or folders of any known layout, later ones over earlier ones
        method: they must be of this method
        networks: "generator" and the critics

    Raises:
        WeightsError if a tensor has no place or another shape
        InputError if the files' networks see colours in different orders
    """
    start = Start()
    orders: dict[Order, Path] = {}
    for path in files:
        loaded = load_file(path, method=method)
        parts: dict[str, nn.Module] = dict(loaded.critics)
        if loaded.generator is not None:
            parts["generator"] = loaded.generator
        found = {f"{name}.{key}": value for name, net in parts.items() for key, value in net.state_dict().items()}
        own = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
        _check(path, found, own)
        start.tensors |= found
        orders |= {getattr(net, "order", "rgb"): path for net in parts.values()}
    if len(orders) > 1:
        odd = " and ".join(f"{path} ({order})" for order, path in orders.items())
        raise InputError(f"networks of {odd} see colours in different orders: start from files of one publisher")
    start.order = next(iter(orders), "rgb")
    for name, network in networks.items() if files else ():
        names = {f"{name}.{key}" for key in network.state_dict()}
        if missing := names - start.tensors.keys():
            part = "all" if missing == names else f"{len(missing)} of {len(names)}"
            start.remarks.append(f"{part} tensors of the {name} are in none of the --from files: they start fresh")
    return start


def see(networks: Mapping[str, nn.Module], order: Order) -> None:
    """Let networks see colours in the order that they know.

    A generator exchanges them at its door. A critic does not, because it is called as it was published: here what it
    is shown first is exchanged for it.
    """
    for network in networks.values():
        network.order = order  # type: ignore[assignment]  # a plain attribute, as every generator has it
        if order != "rgb" and not isinstance(network, Generator):
            network.register_forward_pre_hook(lambda critic, shown: (shown[0].flip(1), *shown[1:]))


@torch.no_grad()
def fill(networks: Mapping[str, nn.Module], start: Mapping[str, Tensor]) -> None:
    """Copy tensors of `read_start` into the networks."""
    own = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    for name, value in start.items():
        own[name].copy_(value)


def _check(path: Path, found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    homeless = [name for name in found if name not in own]
    if homeless:
        raise WeightsError(
            f"{path} does not fit this preset: {len(homeless)} of its tensors have no place (first: {homeless[0]}); "
            "choose the preset it was trained with, or set --network fields as there"
        )
    wrong = [name for name, value in found.items() if value.shape != own[name].shape]
    if wrong:
        name = wrong[0]
        raise WeightsError(
            f"{path} does not fit this preset: {len(wrong)} of its tensors have another shape (first: {name} is "
            f"{tuple(found[name].shape)}, here {tuple(own[name].shape)}); set --network fields (or --size) as there"
        )

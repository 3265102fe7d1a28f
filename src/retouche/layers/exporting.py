"""Whether a network's graph is being recorded, and how a layer says what it is then."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


def exporting() -> bool:
    """Whether operations are being recorded for a file: sizes are variables then, and values decide nothing."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined]


def at_hand(x: Tensor) -> bool:
    """Whether a look at a tensor's values costs nothing: a GPU would stop until all that was asked of it is done."""
    return x.device.type == "cpu" and not exporting()


@runtime_checkable
class ExportForm(Protocol):
    """A layer whose form for use cannot be recorded, or would record work that can be done once."""

    def export_form(self) -> nn.Module:
        """A module of the same result in evaluation that can be recorded; may be the layer itself, changed."""
        ...


def in_export_form(network: nn.Module) -> nn.Module:
    """The network with every layer that has an export form replaced by it; changes the network itself."""
    for name, child in list(network.named_children()):
        setattr(network, name, in_export_form(child))
    return network.export_form() if isinstance(network, ExportForm) else network

"""Whether a network's graph is being recorded, and how a layer says what it is then."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

CHOICE = "retouche::Choice"
"""What `where_needed` is called while operations are recorded; `export.branches` writes ONNX's own in its place."""


def exporting() -> bool:
    """Whether operations are being recorded for a file: sizes are variables then, and values decide nothing."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined]


def plainly(x: Tensor) -> bool:
    """Whether a layer takes the form of training: for gradients, `torch.compile`, and under autocast, which converts
    what PyTorch's own layers multiply, but not products written into memory of ours."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type)


def at_hand(x: Tensor) -> bool:
    """Whether a look at a tensor's values costs nothing: a GPU would stop until all that was asked of it is done."""
    return x.device.type == "cpu" and not exporting()


def where_needed(needed: Tensor, make: Callable[[], Tensor], otherwise: Tensor) -> Tensor:
    """What `make` gives if any of `needed` is set, else `otherwise`; an exported graph runs `make` only then, too.

    Args:
        needed: 0 and 1, any shape
        otherwise: of the shape and type that `make` gives
    """
    if at_hand(needed):
        return make() if bool(needed.any()) else otherwise
    wanted = needed.float().amax() > 0
    if torch.jit.is_tracing():  # type: ignore[attr-defined]  # not in its list of public names
        chosen: Tensor = _Choice.apply(wanted, make(), otherwise)
        return chosen
    return torch.where(wanted, make(), otherwise)


class _Choice(torch.autograd.Function):
    """`torch.where` under a name that the recorded graph keeps."""

    @staticmethod
    def forward(ctx: Any, wanted: Tensor, result: Tensor, otherwise: Tensor) -> Tensor:
        return torch.where(wanted, result, otherwise)

    @staticmethod
    def symbolic(g: Any, wanted: Any, result: Any, otherwise: Any) -> Any:
        """How PyTorch's exporter writes it."""
        return g.op(CHOICE, wanted, result, otherwise).setType(otherwise.type())


def cut_to(x: Tensor, like: Tensor) -> Tensor:
    """x (N, C, H, W) without the rows and columns that `like` (N, C, h, w) does not have."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        cut: Tensor = _Cut.apply(x, like)
        return cut
    return x[..., : like.shape[2], : like.shape[3]]


class _Cut(torch.autograd.Function):
    """The slice as two operators: its sizes one by one would be seven."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, like: Tensor) -> Tensor:
        return x[..., : like.shape[2], : like.shape[3]].clone()

    @staticmethod
    def symbolic(g: Any, x: Any, like: Any) -> Any:
        """How PyTorch's exporter writes it."""
        first, axes = (g.op("Constant", value_t=torch.tensor(pair)) for pair in ([0, 0], [2, 3]))
        return g.op("Slice", x, first, g.op("Shape", like, start_i=2), axes).setType(x.type().with_sizes([None] * 4))


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


def without_autocast(kind: str) -> AbstractContextManager[Any]:
    """Inside, computations on this kind of device have the types of their inputs.

    Nothing is entered where autocast is off, so that a recorded graph has no trace of it.
    """
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()

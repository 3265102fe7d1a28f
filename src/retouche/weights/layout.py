"""Published layouts: how other people's files name the tensors of our networks.

A file is a flat mapping of published names to tensors (`weights.read` opens the container and
removes wrappers such as `state_dict.` and `module.`). A `Layout` recognises one publisher's names, turns them
into ours and says which configuration the file needs. Nothing is guessed: what does not fit is listed in full.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from retouche.errors import WeightsError
from retouche.weights.border import damaged

Tensors = Mapping[str, Tensor]
Order = Literal["rgb", "bgr"]
Parts = dict[str, dict[str, Tensor]]
"""Network ("generator", or a critic's name) -> our tensor name -> tensor."""

MODULES_PER_TENSOR, SPARE_MODULES = 10, 2000
"""Registrations (modules, weights, buffers) that a network of so many tensors may make while it is built."""


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
            name distinguishes them
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


def misfit(shapes: Mapping[str, torch.Size], tensors: Tensors, optional: tuple[str, ...] = ()) -> str:
    """What keeps tensors from being those of a network: names missing and unexpected, and other shapes, all at once.

    Args:
        shapes: the network's names -> shapes
        tensors: our names -> tensors
        optional: patterns of names that may be missing

    Returns: words after "does not fit", "" where everything fits
    """
    missing = [n for n in shapes if n not in tensors and not any(re.fullmatch(pattern, n) for pattern in optional)]
    unexpected = [name for name in tensors if name not in shapes]
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(shape)}"
        for name, shape in shapes.items()
        if name in tensors and tensors[name].shape != shape
    ]
    lists = ((missing, "missing"), (unexpected, "unexpected"), (wrong, "of another shape"))
    return ", ".join(f"{len(names)} {word} (first: {names[0]})" for names, word in lists if names)


def shapes_of(network: nn.Module) -> dict[str, torch.Size]:
    """Names of a network's tensors -> shapes."""
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def load_strictly(
    network: nn.Module,
    tensors: Tensors,
    optional: tuple[str, ...] = (),
    title: str = "the file",
    remedy: str = "get it anew",
) -> None:
    """Copy tensors into a network; every name and every shape must agree.

    Args:
        network: receives the tensors, keeping its own dtype and device
        tensors: our names -> tensors
        optional: patterns of names that may be missing
        title: what to call the file in the error
        remedy: what to do where it does not fit

    Raises: WeightsError listing missing, unexpected and wrong-shaped tensors at once, and tensors that are not finite
    """
    own = network.state_dict()
    if difference := misfit(shapes_of(network), tensors, optional):
        raise WeightsError(f"{title} does not fit its network of {len(own)} tensors: {difference}; {remedy}")
    check_finite(tensors, title, remedy)
    network.load_state_dict({**own, **{name: tensors[name] for name in own if name in tensors}}, strict=True)


def check_finite(tensors: Tensors, title: str, remedy: str) -> None:
    """That no tensor holds NaN or infinity.

    Raises: WeightsError
    """
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{title} holds {len(broken)} tensors with NaN or infinity (first: {broken[0]}); {remedy}")


# Networks without memory


_DRAWING = {"normalize", "normal_", "uniform_", "trunc_normal_"} | {
    f"{name}_{shape}_" for name in ("kaiming", "xavier") for shape in ("normal", "uniform")
}
"""What draws numbers, or needs drawn ones: by names, as PyTorch's functions call each other unseen."""


class _NoNumbers(TorchFunctionMode):
    """Fresh weights get no numbers; those of the meta device are none, yet PyTorch imports 800 modules to make them."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in _DRAWING:
            given = args[0] if args else (kwargs or {}).get("tensor")  # `nn.init` passes itself on by names
            if given is not None:
                return given
        return (torch.empty if name in {"randn", "rand"} else function)(*args, **(kwargs or {}))


def is_all_state(network: nn.Module, tensors: Tensors) -> bool:
    """Whether every number of a network comes from these tensors, so that one built without memory needs that alone.

    Not where a tensor may be missing, is no part of the state (buffers that are not saved, plain attributes), or is in
    two places.
    """
    own = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    own += [name for name, _ in network.named_buffers(remove_duplicate=False)]
    once = sum(1 for _ in network.parameters()) + sum(1 for _ in network.buffers())
    return set(own) == tensors.keys() and len(own) == once and not any(map(_keeps_tensors, network.modules()))


def _keeps_tensors(module: nn.Module) -> bool:
    """Whether a module has tensors that PyTorch does not know of."""
    plain = [value for name, value in vars(module).items() if name not in ("_parameters", "_buffers", "_modules")]
    while plain:
        value = plain.pop()
        if isinstance(value, Tensor):
            return True
        if isinstance(value, (list, tuple, set, dict)):
            plain += value.values() if isinstance(value, dict) else value
    return False


def give_memory(network: nn.Module) -> None:
    """Give a network that has shapes only its memory, whatever stands there.

    As `Module.to_empty`, which asks the meta device, whereupon PyTorch imports 500 modules.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(parameter.shape, dtype=parameter.dtype)
            module.register_parameter(name, nn.Parameter(empty, parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


@contextlib.contextmanager
def shapes_only() -> Iterator[None]:
    """Networks built inside take no memory and have no numbers."""
    with torch.device("meta"), _NoNumbers():
        yield


@contextlib.contextmanager
def sketched(tensors: Tensors) -> Iterator[None]:
    """Networks built inside have shapes only, and no more modules and weights than these tensors can be for.

    Raises: WeightsError from inside where a network grows beyond that
    """
    me, left = threading.get_ident(), [MODULES_PER_TENSOR * len(tensors) + SPARE_MODULES]

    def count(*words: Any) -> None:
        if threading.get_ident() == me:  # the hooks are every thread's
            left[0] -= 1
            if left[0] < 0:
                raise damaged(f"{len(tensors)} tensors for a network of many more")

    hooks = [
        nn.modules.module.register_module_module_registration_hook(count),
        nn.modules.module.register_module_parameter_registration_hook(count),
        nn.modules.module.register_module_buffer_registration_hook(count),
    ]
    try:
        with shapes_only():
            yield
    finally:
        for hook in hooks:
            hook.remove()

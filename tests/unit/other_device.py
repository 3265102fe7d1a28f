"""A device that is not here, for tests: tensors on it hold their values on the CPU and mix with no CPU tensor.

What a GPU refuses is refused (operations on tensors of two places), and each look at a value, which would make a GPU
stop until all that was asked of it is done, is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("lazy:0")
"""One that every PyTorch knows by name, and of which nothing is used but the name."""

MOVES = ("to", "_to_copy", "copy_", "cpu")
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
LOOKS = ("item", "_local_scalar_dense", "is_nonzero", "nonzero", "nonzero_numpy", "equal", "masked_select")
"""Operations by name, whatever form of theirs PyTorch takes."""


class Elsewhere(Tensor):
    """A tensor on that device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Any:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise AssertionError(f"{func} outside of `elsewhere`")


class _Device(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.looks: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = [each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        there = [each for each in given if isinstance(each, Elsewhere)]
        wanted = next((each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, torch.device)), None)
        name = function.overloadpacket.__name__
        if there and name not in (*MOVES, *INDEXING):
            strangers = [each.shape for each in given if not isinstance(each, Elsewhere) and each.ndim]
            assert not strangers, f"{function}: tensors of two devices, on the CPU {strangers}"
        stays = bool(there) if wanted is None else wanted.type == DEVICE.type
        if name == "copy_":
            stays = isinstance(args[0], Elsewhere)
        if there and (name in LOOKS or not stays):
            self.looks.append(name)
        args, kwargs = pytree.tree_map_only(torch.device, lambda each: torch.device("cpu"), (args, kwargs))
        args, kwargs = pytree.tree_map_only(Elsewhere, lambda each: each.held, (args, kwargs))
        made = function(*args, **kwargs)
        if not stays:
            return made
        same = {id(each.held): each for each in there}  # what is changed in place stays the object that it was
        return pytree.tree_map_only(Tensor, lambda each: same[id(each)] if id(each) in same else Elsewhere(each), made)


@contextmanager
def elsewhere() -> Iterator[list[str]]:
    """Inside, `tensor.to(DEVICE)` works; gives the looks at values, by operation."""
    mode = _Device()
    lifted = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # new tensors of Python's numbers are made here and moved, which is seen
    try:
        with torch.no_grad(), mode:
            yield mode.looks
    finally:
        torch._C._set_only_lift_cpu_tensors(lifted)

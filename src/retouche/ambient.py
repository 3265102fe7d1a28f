"""What the program around us has set in PyTorch, and how a computation of ours does not depend on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

_lock = threading.Lock()
_inside = 0  # how many computations of all threads are under way
_theirs: tuple[Any, ...] = ()  # the process-wide settings that the first of them found


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, PyTorch is as it starts: no autocast, CPU as default device, float32 by default and in products.

    Autocast and the default device belong to a thread. The other two belong to the process: they are changed only
    where they differ, and put back when the last of several threads leaves. The deterministic mode is left as it is:
    on a CPU it changes no byte of ours, and on a GPU who has set it wants it.
    """
    with ExitStack() as stack:
        for kind in ("cpu", "cuda", "mps", "xpu"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        _enter()
        stack.callback(_leave)
        yield


def _enter() -> None:
    global _inside, _theirs
    with _lock:
        _inside += 1
        if _inside == 1:
            _theirs = (torch.get_default_dtype(), _products())
            _set(torch.float32, "highest")


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0:
            _set(*_theirs)


def _set(dtype: torch.dtype, products: str | None) -> None:
    if torch.get_default_dtype() != dtype:
        torch.set_default_dtype(dtype)
    if products is not None and _products() not in (products, None):
        torch.set_float32_matmul_precision(products)


def _products() -> str | None:
    """How exact products of float32 matrices are; None where the newer switches of `torch.backends` say it."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # it refuses to speak for switches of both kinds
        return None

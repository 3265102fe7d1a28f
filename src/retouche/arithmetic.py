"""What networks compute in: float32, float32 whose products are rounded (TF32), or half precision by autocast."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["32", "tf32", "bf16", "fp16"]
HALVES: dict[Precision, torch.dtype | None] = {"32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The half precision that each asks for."""


@dataclass(frozen=True)
class Computing:
    """How a program's networks compute, as `Model.compute` takes it."""

    precision: Precision = "32"
    compile: bool = False

    def __bool__(self) -> bool:
        """Whether it is anything but float32 and uncompiled."""
        return self.precision != "32" or self.compile


_lock = threading.Lock()
_inside = 0  # how many computations of all threads have the switches as they want them
_theirs: tuple[bool, bool, bool] | None = None


def switch(precision: Precision) -> None:
    """Set the switches of NVIDIA's libraries, which belong to the process: whether float32 products are rounded to 10
    bits, which PyTorch by itself lets convolutions do, and whether the quickest algorithm is tried out for each size of
    a convolution, whose results may differ from run to run in the last bits."""
    _set(precision == "tf32", precision == "tf32", precision != "32")


@contextmanager
def computing_in(precision: Precision, kind: str) -> Iterator[None]:
    """Inside, networks on a device of this kind ("cpu", "cuda", ...) compute so.

    The switches are put back when the last of several threads leaves; of two precisions at once the first one's hold.
    """
    half = HALVES[precision]
    with ExitStack() as stack:
        if kind == "cuda":
            _enter(precision)
            stack.callback(_leave)
        if half is not None:
            stack.enter_context(torch.autocast(kind, half))
        yield


def _enter(precision: Precision) -> None:
    global _inside, _theirs
    with _lock:
        _inside += 1
        if _inside == 1:
            try:
                backends = torch.backends
                _theirs = backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark
                switch(precision)
            except RuntimeError:  # the program around us uses the newer switches: they stay its own
                _theirs = None


def _leave() -> None:
    global _inside
    with _lock:
        _inside -= 1
        if _inside == 0 and _theirs is not None:
            _set(*_theirs)


def _set(products: bool, convolutions: bool, try_out: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cudnn.benchmark = try_out

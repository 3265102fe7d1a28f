"""Batches on their way to a GPU while it computes the step before: pinned memory, a stream of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Transfer:
    """Copies to one device; on a GPU neither this process nor the device's computation waits for them.

    Attributes:
        beside: whether copies go on beside the computation
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        """Args:
        cuda: where streams come from
        """
        self.device, self._cuda = device, cuda
        self.beside = device.type == "cuda"
        self._stream = cuda.Stream(device) if self.beside else None

    def send(self, tensor: Tensor, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
        """The tensor on the device; not to be touched there before it has `arrived`."""
        if not self.beside:
            return tensor.to(self.device).contiguous(memory_format=layout)
        with self._cuda.stream(self._stream):
            return tensor.pin_memory().to(self.device, non_blocking=True).contiguous(memory_format=layout)

    def arrived(self, tensors: Iterable[Tensor]) -> None:
        """What the device is asked from now on comes after all copies so far, in its own queue."""
        if not self.beside:
            return
        computing = self._cuda.current_stream(self.device)
        computing.wait_stream(self._stream)
        for tensor in tensors:
            tensor.record_stream(computing)  # its memory is not given to a later copy while it is in use


def ahead(steps: Iterable[T], arrived: Callable[[T], None]) -> Iterator[T]:
    """Each in turn, the next one being fetched before; what goes wrong with the next one is raised in its turn.

    Args:
        arrived: called with each before the next is fetched
    """
    source = iter(steps)
    upcoming = next(source, None)
    while upcoming is not None:
        now, error = upcoming, None
        arrived(now)
        try:
            upcoming = next(source, None)
        except Exception as raised:
            upcoming, error = None, raised
        yield now
        if error is not None:
            raise error

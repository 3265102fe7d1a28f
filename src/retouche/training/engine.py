"""Devices, precision and processes: Lightning Fabric, with each network set up for itself.

A network is wrapped so that its forward runs in the run's precision and, with several processes, in its own
DistributedDataParallel; what comes out is float32 whatever the precision. `updates` never sees the difference.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from retouche.arithmetic import HALVES, switch
from retouche.errors import InputError
from retouche.training.settings import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class Engine:
    """Where a run computes.

    Attributes:
        device: of this process
        process: its number
        processes: how many take part
    """

    def __init__(self, run: Run) -> None:
        """Start the processes.

        Raises: InputError if a device is not there or Fabric is not installed
        """
        try:
            from lightning_fabric import Fabric
            from lightning_fabric.strategies.ddp import DDPStrategy
        except ImportError:
            raise InputError('training needs lightning-fabric: pip install "retouche[train]"') from None
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets; only its warnings are for users
        accelerator, number = _accelerator(run.device)
        devices, nodes = run.devices, 1
        if "LOCAL_WORLD_SIZE" in os.environ:  # torchrun started us, perhaps on several machines
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            nodes = int(os.environ["WORLD_SIZE"]) // devices
        if number is not None and devices * nodes > 1:
            raise InputError(f"--device is {run.device} but --devices {devices}: give cuda, or one process")
        if accelerator == "cuda" and devices > torch.cuda.device_count():
            raise InputError(f"--devices is {devices} but {torch.cuda.device_count()} GPUs are here: give fewer")
        # buffers stay each process's own: broadcasting them between two passes of one critic would change, in place,
        # what the first pass's graph still needs. Spectral norm's vectors agree without it.
        strategy: Any = DDPStrategy(broadcast_buffers=False) if devices * nodes > 1 else "auto"
        self._fabric: Fabric = Fabric(
            accelerator=accelerator, devices=devices if number is None else [number], num_nodes=nodes, strategy=strategy
        )
        self._fabric.launch()
        self.device: torch.device = self._fabric.device
        self.process: int = self._fabric.global_rank
        self.processes: int = self._fabric.world_size
        self._half = HALVES[run.precision]  # of networks; weights and losses stay in float32
        if self.device.type == "cuda":
            switch(run.precision)
        self._compiled = run.compile
        self._by_hand = run.accumulate > 1 and self.processes > 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files that all share."""
        return self.process == 0

    def prepare(self, network: nn.Module, full_precision: bool = False) -> PreparedNetwork:
        """A network, on its device already, that computes in the run's precision and averages its gradients.

        Args:
            full_precision: whether it computes in float32 whatever the run's precision
        """
        if self.processes > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        result = self._prepared(self._fabric.strategy.setup_module(network), not self._by_hand)
        result.full_precision = full_precision
        if self._compiled and not full_precision:  # what is differentiated twice cannot be compiled
            result.compute = torch.compile(result.network)
        return result

    def _prepared(self, network: nn.Module, synchronise: bool) -> PreparedNetwork:
        return PreparedNetwork(network, self._half, self.device.type, synchronise)

    def backbone(self, network: nn.Module) -> nn.Module:
        """A frozen network in the run's precision."""
        result = self._prepared(network.to(self.device), True)
        result.normalisation = getattr(network, "normalisation", "")
        return result

    def backward(self, loss: Tensor, weights: Sequence[Tensor]) -> None:
        """Add the loss's gradients to those of `weights`, and of nothing else."""
        self._fabric.backward(loss, inputs=list(weights))

    def all_reduce_gradients(self, weights: Iterable[Tensor]) -> None:
        """Average gradients that were gathered over several parts of a batch."""
        if not self._by_hand:
            return  # one part: DistributedDataParallel has done it
        for weight in weights:
            if weight.grad is not None:
                weight.grad.copy_(self.mean(weight.grad))

    def mean(self, value: Tensor) -> Tensor:
        """Over all processes, without gradient."""
        return self._reduced(value, "mean")

    def total(self, value: Tensor) -> Tensor:
        """Sum over all processes, without gradient."""
        return self._reduced(value, "sum")

    def _reduced(self, value: Tensor, how: str) -> Tensor:
        value = value.detach()
        if self.processes == 1:
            return value
        reduced = self._fabric.all_reduce(value.clone(), reduce_op=how)
        assert isinstance(reduced, Tensor)
        return reduced

    def any(self, flag: bool) -> bool:
        """Whether it is true in some process."""
        if self.processes == 1:
            return flag
        return bool(self.total(torch.tensor(float(flag), device=self.device)) > 0)

    def gather(self, value: T) -> list[T]:
        """Every process's value, in order."""
        if self.processes == 1:
            return [value]
        found: list[Any] = [None] * self.processes
        torch.distributed.all_gather_object(found, value)
        return found

    def barrier(self) -> None:
        """Wait for all processes."""
        self._fabric.barrier()


class PreparedNetwork(nn.Module):
    """A network as `updates` sees it: called like the network, answering in float32.

    Attributes:
        full_precision: whether it computes in float32, too
        compute: the network, or its compiled form
        normalisation: of a VGG backbone, which some losses ask for
    """

    full_precision: bool = False
    normalisation: str = ""

    def __init__(self, network: nn.Module, half: torch.dtype | None, device: str, synchronise: bool) -> None:
        super().__init__()
        self.network = network
        self.compute: Callable[..., Any] = network.__call__
        self._half, self._device = half, device
        if not synchronise and isinstance(network, nn.parallel.DistributedDataParallel):
            network.require_backward_grad_sync = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.full_precision or self._half is None:
            return self.compute(*args, **kwargs)
        with torch.autocast(self._device, self._half):
            result = self.compute(*args, **kwargs)
        return _in_full(result)


def _in_full(value: Any) -> Any:
    """The same with half-precision tensors as float32: tensors, mappings, sequences and dataclasses of them."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, Mapping):
        return {key: _in_full(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_in_full(inner) for inner in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: _in_full(getattr(value, item.name)) for item in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


def _accelerator(device: str) -> tuple[str, int | None]:
    """The word for Fabric, and the number of the GPU where one is named ("cuda:1").

    Raises: InputError if there is no such device here
    """
    kind, colon, number = device.partition(":")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, available in there.items() if available), None
    if kind not in there or (colon and (kind != "cuda" or not number.isdecimal())):
        raise InputError(f'--device is "{device}": give auto, cpu, cuda, cuda:N or mps')
    if not there[kind]:
        raise InputError(f"--device is {device} but there is none here: retouche doctor says why")
    if not colon:
        return kind, None
    if int(number) >= (count := torch.cuda.device_count()):
        raise InputError(f"--device is {device} but there are {count} GPUs here: cuda:0 to cuda:{count - 1}")
    return kind, int(number)

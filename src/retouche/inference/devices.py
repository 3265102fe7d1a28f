"""Which device fills, and why."""

from __future__ import annotations

from typing import NamedTuple

import torch

from retouche.errors import InputError


class Choice(NamedTuple):
    """A device and the reason in words."""

    device: torch.device
    why: str


def choose_device(name: str = "auto") -> Choice:
    """The device of a name: "auto", "cpu", "cuda", "cuda:1", "mps", ...

    Raises: InputError if there is no such device here
    """
    if name == "auto":
        return _automatic()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f'no device "{name}": give auto, cpu, cuda, cuda:N or mps') from None
    if device.type == "cuda":
        _check_cuda(device)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError('device "mps" needs a Mac with Apple silicon and a PyTorch built for it: give auto or cpu')
    elif device.type not in {"cpu", "cuda", "mps"}:
        try:
            torch.empty(1, device=device)
        except (RuntimeError, NotImplementedError, AssertionError) as error:
            reason = str(error).splitlines()[0][:120]
            raise InputError(f'device "{name}" cannot be used here ({reason}): give auto or cpu') from None
    return Choice(device, "asked for")


def _automatic() -> Choice:
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        # the one with the most free memory; with one GPU there is nothing to compare
        free = [torch.cuda.mem_get_info(index)[0] for index in range(count)]
        best = max(range(count), key=lambda index: free[index])
        why = f"{torch.cuda.get_device_name(best)}" + (f", most free memory of {count} GPUs" if count > 1 else "")
        return Choice(torch.device("cuda", best), why)
    if torch.backends.mps.is_available():
        return Choice(torch.device("mps"), "Apple silicon GPU")
    return Choice(torch.device("cpu"), f"no GPU: {_why_no_cuda()}")


def _why_no_cuda() -> str:
    if torch.version.cuda is None and torch.version.hip is None:
        return f"this PyTorch ({torch.__version__}) is built without CUDA"
    return "this PyTorch has CUDA but finds no usable GPU or driver"


def _check_cuda(device: torch.device) -> None:
    if not torch.cuda.is_available():
        raise InputError(f'device "{device}" is not here, {_why_no_cuda()}: give auto or cpu')
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise InputError(f'device "{device}" is not here: there are {count} (cuda:0 to cuda:{count - 1})')

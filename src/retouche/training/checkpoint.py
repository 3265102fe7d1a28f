"""All that is needed to go on exactly: networks, optimisers, averages, every process's random states.

`checkpoints/step-N/` holds `networks.safetensors` (weights, buffers, averaged weights), `optimizers.pt`,
`process-R.pt` (random states and the buffers of each process) and `state.json`. It appears by one rename when all of
it is on the disk, so what bears its name is whole.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

from retouche.errors import DataError, InputError
from retouche.training.engine import Engine
from retouche.weights.native import write_safetensors

FOLDER = "checkpoints"
KEPT = 2
LITTLE = 1 << 20  # bytes free
AVERAGE = "average."


@dataclass
class Training:
    """What changes while a run trains.

    Attributes:
        networks: "generator" and the critics, unwrapped
        optimizers: by role
        average: the generator's averaged weights and its buffers by name; empty without
        step: steps done
        state: further plain values: health, best validation, unreadable pictures
    """

    networks: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    average: dict[str, Tensor]
    step: int
    state: dict[str, Any]


def newest(folder: Path) -> Path | None:
    """The last whole checkpoint of a run folder."""
    found = _all(folder)
    return found[-1] if found else None


def _all(folder: Path) -> list[Path]:
    steps = []
    for path in (folder / FOLDER).glob("step-*"):
        if (match := re.fullmatch(r"step-(\d+)", path.name)) and path.is_dir():
            steps.append((int(match[1]), path))
    return [path for _, path in sorted(steps)]


def read_state(checkpoint: Path) -> dict[str, Any]:
    """`state.json`.

    Raises: DataError if the checkpoint was tampered with
    """
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(checkpoint, error) from None
    assert isinstance(state, dict)
    return state


def _damaged(checkpoint: Path, error: Exception) -> DataError:
    return DataError(f"{checkpoint} is damaged ({error}): delete it to resume from the one before")


def save(folder: Path, training: Training, engine: Engine) -> Path:
    """Write a checkpoint; every process must call it.

    Raises: DataError if it cannot be written; earlier checkpoints are then whole
    """
    final = folder / FOLDER / f"step-{training.step}"
    temporary = final.with_name(f".{final.name}.part")
    failure: str | None = None
    try:
        if engine.first:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
    except OSError as error:
        failure = _words(error, folder)
    _agree(engine, failure, temporary)
    try:
        if engine.first:
            _write_shared(temporary, training, engine)
        _write(temporary / f"process-{engine.process}.pt", _own_state(training))
    except (OSError, RuntimeError, InputError) as error:
        failure = _words(error, folder)
    _agree(engine, failure, temporary)
    try:
        if engine.first:
            shutil.rmtree(final, ignore_errors=True)
            os.replace(temporary, final)
            _sync(final.parent)
            for old in _all(folder)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        failure = _words(error, folder)
    _agree(engine, failure, temporary)
    return final


def agreed(engine: Engine, folder: Path, write: Callable[[], None]) -> None:
    """Let the first process write something; all go on only if it could.

    Raises: DataError if it cannot be written
    """
    failure: str | None = None
    try:
        if engine.first:
            write()
    except (OSError, InputError) as error:
        failure = _words(error, folder)
    _agree(engine, failure, folder / FOLDER / ".nothing.part")


def _agree(engine: Engine, failure: str | None, temporary: Path) -> None:
    """Go on only if no process failed.

    Raises: DataError with the first failure's words
    """
    failures = [words for words in engine.gather(failure) if words is not None]
    if failures:
        if engine.first:
            shutil.rmtree(temporary, ignore_errors=True)
        raise DataError(failures[0])


def _words(error: Exception, folder: Path) -> str:
    last = newest(folder)
    kept = f"the checkpoint {last.name} is whole" if last else "there is no checkpoint yet"
    cause = error if isinstance(error, OSError) else error.__cause__
    full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
    # torch.save says of a full disk only that its archive could not be written
    full = full or (isinstance(error, RuntimeError) and shutil.disk_usage(folder).free < LITTLE)
    what = "the disk is full" if full else f"{folder} cannot be written ({error})"
    return f"{what}: {kept}; make room and run the same command again"


def _write_shared(folder: Path, training: Training, engine: Engine) -> None:
    tensors = {
        f"{name}.{key}": value for name, net in training.networks.items() for key, value in net.state_dict().items()
    }
    tensors |= {AVERAGE + key: value for key, value in training.average.items()}
    write_safetensors(folder / "networks.safetensors", tensors, {"step": str(training.step)})
    _write(folder / "optimizers.pt", {name: one.state_dict() for name, one in training.optimizers.items()})
    state = {"step": training.step, "processes": engine.processes, **training.state}
    path = folder / "state.json"
    path.write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
    _sync(path)


def _write(path: Path, value: Any) -> None:
    torch.save(value, path)
    _sync(path)


def _sync(path: Path) -> None:
    """Wait until the disk has it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _own_state(training: Training) -> dict[str, Any]:
    """What differs between processes: random states, buffers such as running statistics."""
    numbers: Any = np.random.get_state()
    buffers = {
        f"{name}.{key}": value.detach().cpu()
        for name, net in training.networks.items()
        for key, value in net.named_buffers()
    }
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "python": random.getstate(),
        "numpy": [numbers[0], torch.from_numpy(numbers[1].astype(np.int64)), *numbers[2:]],
        "buffers": buffers,
    }


def load(checkpoint: Path, training: Training, engine: Engine) -> list[str]:
    """Put everything back; `training` receives networks, optimisers, average, step and state.

    Returns: remarks for the user
    Raises: DataError if the checkpoint is damaged
    """
    state = read_state(checkpoint)
    try:
        tensors = load_file(checkpoint / "networks.safetensors")
        for name, network in training.networks.items():
            prefix = f"{name}."
            network.load_state_dict({key[len(prefix) :]: t for key, t in tensors.items() if key.startswith(prefix)})
        for key, average in training.average.items():
            average.copy_(tensors[AVERAGE + key])
        optimizers = torch.load(checkpoint / "optimizers.pt", map_location="cpu", weights_only=True)
        for name, optimizer in training.optimizers.items():
            optimizer.load_state_dict(optimizers[name])
        own = checkpoint / f"process-{engine.process}.pt"
        if own.is_file():
            _restore_own(torch.load(own, map_location="cpu", weights_only=True), training.networks)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise _damaged(checkpoint, error) from None
    training.step = state.pop("step")
    processes = state.pop("processes")
    training.state = state
    if processes != engine.processes:
        return [
            f"the run was trained on {processes} processes and goes on with {engine.processes}: not bit by bit the same"
        ]
    return []


def _restore_own(state: Mapping[str, Any], networks: Mapping[str, nn.Module]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    random.setstate(_tuples(state["python"]))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    with torch.no_grad():
        for name, network in networks.items():
            for key, buffer in network.named_buffers():
                buffer.copy_(state["buffers"][f"{name}.{key}"])


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, (list, tuple)) else value

"""Batches for a running training: read by workers, put together, and sent to the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from retouche.data.datasets import Failure, Sample, TrainingSet, keep_list, stacked
from retouche.data.sampler import Sampler
from retouche.errors import DataError
from retouche.methods.recipe_protocol import Batch
from retouche.training.process import start_worker
from retouche.training.session import Session
from retouche.training.transfer import Transfer, ahead


def batches(session: Session) -> Iterator[list[Batch]]:
    """For each step, its batches' parts one after another, from the present step on; a GPU gets the next while it
    computes."""
    transfer = Transfer(session.engine.device)
    steps = _steps(session, transfer)
    if not transfer.beside:
        return steps
    return ahead(steps, lambda parts: transfer.arrived(tensor for part in parts for tensor in _moved(part)))


def _moved(part: Batch) -> list[Tensor]:
    """What of a batch is on the device."""
    return [each for each in (part.image, part.mask, part.structure, part.sketch) if each is not None]


def _steps(session: Session, transfer: Transfer) -> Iterator[list[Batch]]:
    run, engine = session.run, session.engine
    each = run.accumulate * session.recipe.batches
    sampler = Sampler(
        count=len(session.pictures.train.names),
        batch=session.data.batch // run.accumulate,
        seed=run.seed,
        first=session.training.step * each,
        process=engine.process,
        processes=engine.processes,
    )
    loader: DataLoader[Any] = DataLoader(
        TrainingSet(session.pictures.train, session.pictures.maker, run.seed),
        batch_sampler=sampler,  # places, not whole numbers
        collate_fn=keep_list,
        num_workers=run.workers,
        worker_init_fn=start_worker,
        generator=torch.Generator(),  # so that starting workers draws nothing from the run's random numbers
        pin_memory=False,
    )
    step: list[Batch] = []
    for samples in loader:
        if isinstance(samples, Failure):
            raise DataError(samples.words)
        step.append(_batch(session, samples, transfer))
        if len(step) == each:
            yield step
            step = []


def _batch(session: Session, samples: list[Sample], transfer: Transfer) -> Batch:
    state = session.training.state
    for sample in samples:
        for name, reason in sample.bad:
            if name not in state["bad"]:
                state["bad"][name] = reason
                session.warn(f"{name} is skipped: {reason}")
        if sample.enlarged and not state.get("enlarged"):
            state["enlarged"] = True
            session.warn(
                f"{sample.name} is smaller than what is cut from it at --size {session.data.size} and is enlarged, "
                "as are others like it"
            )
    layout = torch.channels_last if session.channels_last else torch.contiguous_format
    structure, sketch = (stacked([getattr(sample, guide) for sample in samples]) for guide in ("structure", "sketch"))
    return Batch(
        image=transfer.send(torch.cat([sample.image for sample in samples]), layout),
        mask=transfer.send(torch.cat([sample.mask for sample in samples])),
        structure=None if structure is None else transfer.send(structure),
        sketch=None if sketch is None else transfer.send(sketch),
        # read by the program itself, number by number: they stay here
        keys=torch.tensor([sample.key for sample in samples]),
        box=stacked([sample.box for sample in samples]),
    )

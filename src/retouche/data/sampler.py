"""Which picture comes when: a pure function of seed and position, so that nothing about the order must be saved.

Batch b of a run takes the positions b * batch ... (b + 1) * batch - 1 of one endless sequence; each epoch of that
sequence is a fresh permutation of the pictures, and a batch may span two epochs. With several processes each takes its
share of the same batch, so their number does not change what is learned from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch


class SampleIndex(NamedTuple):
    """One sample of a run.

    Attributes:
        epoch: which pass over the pictures
        position: where in this pass
        picture: index of the picture
        key: 0 ... 2^63 - 1, what all randomness about this sample is drawn from
    """

    epoch: int
    position: int
    picture: int
    key: int


def sample_key(*words: int | str) -> int:
    """A number 0 ... 2^63 - 1 from what identifies a sample; the same everywhere and always."""
    text = " ".join(str(word) for word in words)
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> tuple[int, ...]:
    """The permutation of `count` pictures that is epoch `epoch`."""
    generator = torch.Generator().manual_seed(sample_key("order", seed, epoch))
    return tuple(torch.randperm(count, generator=generator).tolist())


def place(seed: int, number: int, count: int) -> SampleIndex:
    """The sample at a position of the endless sequence.

    Args:
        seed: of the run
        number: 0, 1, 2, ... counted through all epochs
        count: pictures there are
    """
    epoch, position = divmod(number, count)
    return SampleIndex(
        epoch, position, order(seed, epoch, count)[position], sample_key("sample", seed, epoch, position)
    )


@dataclass(frozen=True)
class Sampler:
    """This process's share of each batch, from batch `first` on without end (a batch sampler for `DataLoader`).

    Attributes:
        count: pictures there are
        batch: samples per batch over all processes; divides by `processes`
        seed: of the run
        first: number of the first batch
        process: which of `processes` this is
    """

    count: int
    batch: int
    seed: int = 0
    first: int = 0
    process: int = 0
    processes: int = 1

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        assert self.batch % self.processes == 0, (self.batch, self.processes)
        share = self.batch // self.processes
        number = self.first
        while True:
            start = number * self.batch + self.process * share
            yield [place(self.seed, start + i, self.count) for i in range(share)]
            number += 1

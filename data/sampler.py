"""The order of training samples: a function of (seed, iteration) alone, so a run can resume."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class SampleIndex(int):
    """A sample's index that also knows its epoch; a plain index to datasets that do not ask.

    Attributes:
        epoch: How many times the whole set has been seen before.
    """

    epoch: int

    def __new__(cls, index: int, epoch: int = 0) -> SampleIndex:
        self = super().__new__(cls, index)
        self.epoch = epoch
        return self


class IterationSampler(Sampler[list[int]]):
    """Yields one batch an iteration, for the whole run.

    Each epoch is a fresh permutation; batches run on across the border between two epochs, so no
    sample is dropped and workers never stop.

    Args:
        length: Samples in the dataset.
        batch_size: Samples in a batch of one process.
        total_iter: The last iteration.
        start_iter: Iterations already done.
        seed: Of the permutations.
        rank, world_size: Every process takes its own part of each global batch.
        shuffle: A fresh order for each epoch; else the dataset's own.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        total_iter: int,
        start_iter: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
    ):
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.total_iter, self.start_iter = total_iter, start_iter
        self.rank, self.world_size, self.shuffle = rank, world_size, shuffle
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return self.total_iter - self.start_iter

    def _sample(self, position: int) -> SampleIndex:
        epoch, offset = divmod(position, self.length)
        if not self.shuffle:
            return SampleIndex(offset, epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._order, self._epoch = torch.randperm(self.length, generator=generator), epoch
        return SampleIndex(int(self._order[offset]), epoch)

    def __iter__(self) -> Iterator[list[int]]:
        for iteration in range(self.start_iter, self.total_iter):
            first = (iteration * self.world_size + self.rank) * self.batch_size
            yield [self._sample(first + i) for i in range(self.batch_size)]

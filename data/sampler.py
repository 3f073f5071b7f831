"""The order of training samples: a function of (seed, iteration) alone, so that runs resume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import Sampler


class SampleIndex(int):
    """A sample's index that also carries its epoch; a plain integer to other datasets.

    Attributes:
        epoch: How many times the whole set has been seen before.
        gt_size: Side of the crop to take instead of the dataset's own, or None.
    """

    epoch: int
    gt_size: int | None

    def __new__(cls, index: int, epoch: int = 0, gt_size: int | None = None) -> SampleIndex:
        self = super().__new__(cls, index)
        self.epoch, self.gt_size = epoch, gt_size
        return self


@dataclass(frozen=True)
class Stage:
    """A part of training in which crops and batches keep their size.

    Attributes:
        batch_size: Samples in a batch of one process.
        gt_size: Side of the crops; None leaves it to the dataset.
        iters: Its length in iterations; None for the rest of the run.
    """

    batch_size: int
    gt_size: int | None = None
    iters: int | None = None


class IterationSampler(Sampler[list[int]]):
    """Yields the indices of one batch for each iteration of a run.

    Every epoch is a new permutation. A batch may begin in one epoch and end in the next, so no
    sample is dropped and workers never stop.

    Args:
        length: Samples in the dataset.
        stages: Sizes of batches and crops, in order; the last stays in force.
        total_iter: The last iteration.
        start_iter: Iterations already done.
        seed: Of the permutations.
        rank, world_size: Every process takes its own part of each global batch.
        shuffle: A new order for each epoch; otherwise the dataset's own.
    """

    def __init__(
        self,
        length: int,
        stages: list[Stage],
        total_iter: int,
        start_iter: int = 0,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        shuffle: bool = True,
    ):
        self.length, self.stages, self.seed = length, stages, seed
        self.total_iter, self.start_iter = total_iter, start_iter
        self.rank, self.world_size, self.shuffle = rank, world_size, shuffle
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return self.total_iter - self.start_iter

    def _sample(self, position: int, gt_size: int | None) -> SampleIndex:
        epoch, offset = divmod(position, self.length)
        if not self.shuffle:
            return SampleIndex(offset, epoch, gt_size)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._order, self._epoch = torch.randperm(self.length, generator=generator), epoch
        return SampleIndex(int(self._order[offset]), epoch, gt_size)

    def __iter__(self) -> Iterator[list[int]]:
        position, begin = 0, 0
        for stage in self.stages:
            last = stage is self.stages[-1] or stage.iters is None
            end = self.total_iter if last else min(begin + (stage.iters or 0), self.total_iter)
            step = stage.batch_size * self.world_size
            for iteration in range(max(begin, self.start_iter), end):
                first = position + (iteration - begin) * step + self.rank * stage.batch_size
                yield [self._sample(first + i, stage.gt_size) for i in range(stage.batch_size)]
            position, begin = position + max(0, end - begin) * step, end

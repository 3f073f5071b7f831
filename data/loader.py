"""DataLoaders over the datasets of an option file, this project's and BasicSR's."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from enhancement.errors import DataError, UserError

from .base_dataset import EnhancementDataset
from .blocks import DatasetBlock
from .repeatable import RepeatableDataset
from .sampler import IterationSampler


class Loader:
    """Batches of a dataset; an image that cannot be used raises a DataError of one line.

    Attributes:
        block: What the dataset was built from.
        dataset: The dataset.
        num_workers: Processes that read its images.
    """

    def __init__(self, block: DatasetBlock, dataset: Any, batches: DataLoader[Any]):
        self.block, self.dataset, self._batches = block, dataset, batches
        self.num_workers = batches.num_workers

    @property
    def name(self) -> str:
        """The name under which the set is reported."""
        return self.block.name

    @property
    def image_names(self) -> list[str]:
        """The names of the set's images, in order, whatever share of them is read here."""
        if isinstance(self.dataset, EnhancementDataset):
            return self.dataset.names
        return [Path(pair["gt_path"]).name for pair in self.dataset.paths]

    @property
    def gives_truth(self) -> bool:
        """Whether there is a ground truth for each image."""
        return self.block.gives_truth

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        source = self._start()
        if self.num_workers and current_thread() is main_thread():
            # a worker's death is reported where its batch is missing, not during an update
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        while (batch := self._next(source)) is not None:
            if isinstance(batch, UserError):
                raise DataError(str(batch))
            yield batch

    def _start(self) -> Iterator[Any]:
        """The batches' iterator; its processes leave what they inherit alone.

        A decoder that a forked process freed would wait for threads that only its parent has.
        """
        if not self.num_workers:
            return iter(self._batches)
        gc.collect()
        gc.freeze()
        try:
            return iter(self._batches)
        finally:
            gc.unfreeze()

    def _next(self, source: Iterator[Any]) -> Any:
        try:
            return next(source, None)
        except (RuntimeError, ConnectionError, EOFError) as error:
            # the connection breaks off where a batch was still on its way from the worker
            broken_off = self.num_workers and not isinstance(error, RuntimeError)
            if not broken_off and not str(error).startswith("DataLoader worker"):
                raise
            raise DataError(
                f"a process that reads images has ended ({error}); where memory ran out, lower "
                f"datasets.train.num_worker_per_gpu or set cache: none"
            ) from error


def train_loader(
    block: DatasetBlock, total_iter: int, start_iter: int, seed: int, rank: int, world_size: int
) -> Loader:
    """One batch an iteration, from `start_iter` to `total_iter`.

    Args:
        block: The training set's.
        total_iter: The run's length in iterations.
        start_iter: Iterations already done.
        seed: Of the order; and of the samples, for datasets without a seed of their own.
        rank, world_size: This process, and how many there are.
    """
    dataset, loading = block.build(), block.loading
    sampler = IterationSampler(
        length=len(dataset),
        stages=loading.stages,
        total_iter=total_iter,
        start_iter=start_iter,
        seed=seed,
        rank=rank,
        world_size=world_size,
        shuffle=loading.use_shuffle,
    )
    pinned = loading.pin_memory
    batches = DataLoader(
        _Samples(dataset, seed),
        batch_sampler=sampler,
        num_workers=loading.num_worker_per_gpu,
        collate_fn=partial(_collate, truth=block.gives_truth),
        worker_init_fn=_start_worker,
        pin_memory=torch.cuda.is_available() if pinned is None else pinned,
        persistent_workers=loading.num_worker_per_gpu > 0,
        generator=torch.Generator(),  # instead of the global one, which is the model's
    )
    return Loader(block, dataset, batches)


def eval_loader(block: DatasetBlock, rank: int = 0, world_size: int = 1) -> Loader:
    """The images of a validation or test set, whole, one at a time, in order.

    Args:
        block: The set's.
        rank, world_size: Every process takes one image in `world_size`, from `rank` on.
    """
    dataset = block.build()
    batches = DataLoader(
        _Samples(dataset, seed=0),
        batch_size=1,
        collate_fn=partial(_collate, truth=block.gives_truth),
        generator=torch.Generator(),
        sampler=range(rank, len(dataset), world_size),
    )
    return Loader(block, dataset, batches)


class _Samples(Dataset[Any]):
    """A dataset's samples; a user's error becomes one, and so leaves a worker as a single line."""

    def __init__(self, dataset: Any, seed: int):
        repeatable = isinstance(dataset, EnhancementDataset)
        self.dataset = dataset if repeatable else RepeatableDataset(dataset, seed)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except UserError as error:
            return error


def _collate(samples: list[Any], truth: bool) -> Any:
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
    expected = {"lq", "gt", "lq_path"} if truth else {"lq", "lq_path"}
    given = samples[0].keys()  # by all; the parts of a mixture may differ
    for sample in samples[1:]:
        given = given & sample.keys()
    missing = expected - given
    if missing:
        return UserError(
            f"the dataset gives no {', '.join(sorted(missing))}; expected pairs of lq and gt"
        )
    shapes = {tuple(s["lq"].shape): s["lq_path"] for s in samples}
    if len(shapes) > 1:
        (a, first), (b, second), *_ = shapes.items()
        return UserError(
            f"images of one batch must have one size, but {first} gives {a[2]}x{a[1]} and "
            f"{second} {b[2]}x{b[1]}; set gt_size or resize, or batch_size_per_gpu: 1"
        )
    return default_collate([{k: v for k, v in s.items() if k in given} for s in samples])


def _start_worker(_: int) -> None:
    """Leave Ctrl-C to the main process; one thread a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)

"""DataLoaders over datasets of either registry, ours and BasicSR's."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from functools import cached_property
from threading import current_thread, main_thread
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from enhancement.errors import DataError, UserError

from .blocks import DatasetBlock, Loading
from .sampler import IterationSampler, Stage

T = TypeVar("T")


class _Guarded(Dataset[Any]):
    """Hands a user's error over as a sample, so that it crosses the worker's border in one line."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except UserError as error:
            return error


def _collate(samples: list[Any]) -> Any:
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
    missing = {"lq", "gt", "lq_path"} - samples[0].keys()
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
    return default_collate(samples)


def _start_worker(_: int) -> None:
    """Leave Ctrl-C to the main process; one thread a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


class _Unwrapping:
    """Iterates a loader and raises the errors that came over as batches."""

    def __init__(self, loader: DataLoader[Any], block: DatasetBlock):
        self.name = block.name
        self.loader, self.dataset = loader, loader.dataset.dataset  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        source = iter(self.loader)
        if self.loader.num_workers and current_thread() is main_thread():
            # a worker's death is told where its batch is missing, not in the middle of an update
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        while (batch := self._next(source)) is not None:
            if isinstance(batch, UserError):
                raise DataError(str(batch))
            yield batch

    def _next(self, source: Iterator[Any]) -> Any:
        try:
            return next(source, None)
        except (RuntimeError, ConnectionError, EOFError) as error:
            # a batch that was still on its way from the worker breaks off the connection
            broken_off = self.loader.num_workers and not isinstance(error, RuntimeError)
            if not broken_off and not str(error).startswith("DataLoader worker"):
                raise
            raise DataError(
                f"a process that reads images has ended ({error}); where memory ran out, lower "
                f"datasets.train.num_worker_per_gpu or set cache: none"
            ) from error


def stages(loading: Loading) -> list[Stage]:
    """The stages of a training block: progressive where it lists `iters`, else a single one."""
    batch_size, iters = loading.batch_size_per_gpu, loading.iters
    if not iters:
        return [Stage(batch_size)]
    batches = loading.mini_batch_sizes or [batch_size] * len(iters)
    sizes = loading.gt_sizes or [None] * len(iters)
    return [Stage(b, s, n) for b, s, n in zip(batches, sizes, iters, strict=True)]


def train_loader(
    block: DatasetBlock, total_iter: int, start_iter: int, seed: int, rank: int, world_size: int
) -> _Unwrapping:
    """One batch an iteration, from `start_iter` to `total_iter`."""
    dataset, loading = block.build(), block.loading
    workers = loading.num_worker_per_gpu
    sampler = IterationSampler(
        len(dataset), stages(loading), total_iter, start_iter, seed, rank, world_size,
        loading.use_shuffle,
    )  # fmt: skip
    loader = DataLoader(
        _Guarded(dataset),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
        pin_memory=torch.cuda.is_available() if loading.pin_memory is None else loading.pin_memory,
        persistent_workers=workers > 0,
        # not the global one, which is the model's; BasicSR's datasets draw from it in workers
        generator=torch.Generator().manual_seed(seed + 7919 * start_iter + rank),
    )
    return _Unwrapping(loader, block)


def eval_loader(block: DatasetBlock, rank: int = 0, world_size: int = 1) -> _Unwrapping:
    """The images of a validation or test set, whole, one at a time, in order.

    Args:
        block: The set.
        rank, world_size: Deal the images out to so many processes in turns; this one's share.
    """
    dataset = _Guarded(block.build())
    loader = DataLoader(
        dataset, batch_size=1, collate_fn=_collate, generator=torch.Generator(),
        sampler=range(rank, len(dataset), world_size),
    )  # fmt: skip
    return _Unwrapping(loader, block)


class OnDevice:
    """The batches of a loader, on a device.

    Where that is a GPU and workers read the images, the next batch is copied there by a stream of
    its own while one is computed. Without workers nothing is read ahead: BasicSR's datasets draw
    from the random generators that a checkpoint saves.

    Args:
        loader: From `train_loader`.
        device: Where to; the CPU's batches are handed through.
    """

    def __init__(self, loader: _Unwrapping, device: torch.device):
        self.loader, self.device = loader, device

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.device.type != "cuda":
            return iter(self.loader)
        ahead = self.loader.loader.num_workers > 0
        copies = map(self._copy, self.loader)
        return map(self._arrived, one_ahead(copies) if ahead else copies)

    @cached_property
    def _stream(self) -> torch.cuda.Stream:
        return torch.cuda.Stream(self.device)

    def _copy(self, batch: dict[str, Any]) -> tuple[dict[str, Any], torch.cuda.Event]:
        with torch.cuda.stream(self._stream):
            moved = {
                key: value.to(self.device, non_blocking=True) if torch.is_tensor(value) else value
                for key, value in batch.items()
            }
            return moved, self._stream.record_event()

    def _arrived(self, copied: tuple[dict[str, Any], torch.cuda.Event]) -> dict[str, Any]:
        batch, done = copied
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(done)
        for value in batch.values():
            if torch.is_tensor(value):
                value.record_stream(computing)  # its memory stays until that has used it
        return batch


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each one asked for before the one ahead of it is handed out.

    An error of the source comes where its item would have.
    """
    source, waiting = iter(items), []
    error = None
    while error is None:
        try:
            waiting.append(next(source))
        except Exception as caught:  # the end of the source too
            error = caught
        if len(waiting) > 1 or (error and waiting):
            yield waiting.pop(0)
    if not isinstance(error, StopIteration):
        raise error

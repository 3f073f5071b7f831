"""Batches on their way to the device, the next one copied while one is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import torch

from .loader import Loader

T = TypeVar("T")


class OnDevice:
    """The batches of a loader, on a device.

    Where that is a GPU and workers read the images, a stream of its own copies the next batch
    there while one is computed. Without workers the next batch is only read when it is wanted.

    Args:
        loader: From `train_loader`.
        device: Where to; on the CPU batches are passed through.
    """

    def __init__(self, loader: Loader, device: torch.device):
        self.loader, self.device = loader, device

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.device.type != "cuda":
            return iter(self.loader)
        copies = map(self._copy, self.loader)
        return map(self._arrived, one_ahead(copies) if self.loader.num_workers else copies)

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
                value.record_stream(computing)  # its memory must not be reused before that is done
        return batch


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, but each is handed out only after the next one was asked for.

    An error of the source is raised where its item would have come.
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

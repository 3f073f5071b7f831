"""DataLoaders over datasets of either registry, ours and BasicSR's."""

from __future__ import annotations

import signal
from copy import deepcopy
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from enhancement.compat import DATASET_REGISTRY, lookup
from enhancement.errors import DataError, UserError

from .base_dataset import EnhancementDataset
from .sampler import IterationSampler, Stage
from .sources import locate


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

    def __init__(self, loader: DataLoader[Any]):
        self.loader, self.dataset = loader, loader.dataset.dataset  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        for batch in self.loader:
            if isinstance(batch, UserError):
                raise DataError(str(batch))
            yield batch


def build_dataset(opt: dict[str, Any]) -> Any:
    """Build a dataset block's dataset, ours or BasicSR's, from a copy of its options."""
    opt, kind = deepcopy(opt), lookup(DATASET_REGISTRY, opt["type"])
    if not issubclass(kind, EnhancementDataset):  # ours locate their folders themselves
        opt |= {key: str(locate(opt[key])) for key in opt if key.startswith("dataroot")}
    return kind(opt)


def stages(opt: dict[str, Any]) -> list[Stage]:
    """The stages of a training block: progressive where it lists `iters`, else a single one."""
    batch_size, iters = opt.get("batch_size_per_gpu", 1), opt.get("iters")
    if not iters:
        return [Stage(batch_size)]
    batches = opt.get("mini_batch_sizes") or [batch_size] * len(iters)
    sizes = opt.get("gt_sizes") or [None] * len(iters)
    return [Stage(b, s, n) for b, s, n in zip(batches, sizes, iters, strict=True)]


def train_loader(
    opt: dict[str, Any], total_iter: int, start_iter: int, seed: int, rank: int, world_size: int
) -> _Unwrapping:
    """One batch an iteration, from `start_iter` to `total_iter`."""
    dataset = build_dataset(opt)
    workers = opt.get("num_worker_per_gpu", 0)
    sampler = IterationSampler(
        len(dataset), stages(opt), total_iter, start_iter, seed, rank, world_size,
        opt.get("use_shuffle", True),
    )  # fmt: skip
    loader = DataLoader(
        _Guarded(dataset),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
        pin_memory=opt.get("pin_memory", torch.cuda.is_available()),
        persistent_workers=workers > 0,
        # not the global one, which is the model's; BasicSR's datasets draw from it in workers
        generator=torch.Generator().manual_seed(seed + 7919 * start_iter + rank),
    )
    return _Unwrapping(loader)


def eval_loader(opt: dict[str, Any]) -> _Unwrapping:
    """Every image of a validation or test set, whole, one at a time, in order."""
    loader = DataLoader(
        _Guarded(build_dataset(opt)), batch_size=1, collate_fn=_collate, generator=torch.Generator()
    )
    return _Unwrapping(loader)

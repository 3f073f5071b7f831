"""How much memory there is, and how much a network takes."""

from __future__ import annotations

import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CGROUP = Path("/sys/fs/cgroup")  # where Linux shows a container its own limits
CONTAINER_FILES = (  # limit and usage of version 2 and of version 1
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def used_memory() -> int:
    """Bytes of memory that this process holds now."""
    return psutil.Process().memory_info().rss


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device, or on this machine and in this container."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = psutil.virtual_memory().available
    in_container = free_in_container()
    return available if in_container is None else min(available, in_container)


def free_in_container(root: Path = CGROUP) -> int | None:
    """Bytes that the container's memory limit leaves; None without a limit.

    Args:
        root: Where the control groups are mounted.
    """
    for limit, usage in CONTAINER_FILES:
        with suppress(OSError, ValueError):  # no such file, or "max"
            used = int((root / usage).read_text()) - _reclaimable((root / usage).parent)
            return max(0, int((root / limit).read_text()) - used)
    return None


def _reclaimable(folder: Path) -> int:
    """Bytes of a container's file cache, which are given up when memory runs short."""
    with suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text().splitlines()
        values = {name: int(value) for name, value in map(str.split, lines)}
        return values.get("total_inactive_file", values.get("inactive_file", 0))
    return 0


class PeakMemory(TorchDispatchMode):
    """Counts the bytes of the tensors created inside its context.

    Attributes:
        peak: The most that existed at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator and count the tensors it creates."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size

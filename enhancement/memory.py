"""How much memory there is, and how much a network takes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CGROUP = Path("/sys/fs/cgroup")  # where Linux mounts the control groups
MEMBERSHIP = Path("/proc/self/cgroup")  # the groups that this process is in
VERSION_1, VERSION_2 = (  # files of a group: its limit and its usage
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("memory.max", "memory.current"),
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


def free_in_container(root: Path = CGROUP, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes that the memory limits of this process's control groups leave; None without a limit.

    A group's limit holds for all groups below it. Both versions of control groups are read, also
    where a container shows only its own group.

    Args:
        root: Where the control groups are mounted.
        membership: The list of this process's groups.
    """
    left = [
        free
        for group, files in _groups(root, membership)
        if (free := _left(group, *files)) is not None
    ]
    return min(left, default=None)


def _groups(root: Path, membership: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    """The folders of this process's memory groups and those above them, with their files' names."""
    inside = {"memory": PurePosixPath("/"), "": PurePosixPath("/")}
    with suppress(OSError, ValueError):
        for line in membership.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            for controller in controllers.split(","):
                inside[controller] = PurePosixPath(group)
    mounts = (("", VERSION_2, ""), ("unified", VERSION_2, ""), ("memory", VERSION_1, "memory"))
    for mount, files, controller in mounts:
        own = inside[controller]
        for path in (own, *own.parents):
            yield root / mount / path.relative_to("/"), files


def _left(group: Path, limit: str, usage: str) -> int | None:
    """Bytes that one group's limit leaves; None without one."""
    with suppress(OSError, ValueError):  # no such file, or "max"
        used = int((group / usage).read_text()) - _reclaimable(group)
        return max(0, int((group / limit).read_text()) - used)
    return None


def _reclaimable(folder: Path) -> int:
    """Bytes of a container's file cache, which are given up when memory runs short."""
    with suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text().splitlines()
        values = {name: int(value) for name, value in map(str.split, lines)}
        return values.get("total_inactive_file", values.get("inactive_file", 0))
    return 0


class PeakUsage:
    """Watches, inside its context, how much memory this process takes on a device.

    On a CPU the process is looked at every few milliseconds, whatever takes the memory.

    Args:
        device: The CPU or a GPU.

    Attributes:
        bytes: The most, beyond what was taken at the beginning.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, 0
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True, name="memory")

    def __enter__(self) -> PeakUsage:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            psutil.heap_trim()  # freed heap would be used again without showing as new memory
            self._before = used_memory()
            self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            self._ended.set()
            self._watching.join()
            self._look()

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, used_memory() - self._before)


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

"""What a file may have built and read: bounded in memory and in the number of parts."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

from torch.nn.modules.module import register_module_module_registration_hook

from enhancement.errors import UserError

ROOM = 1 << 30  # bytes, for libraries and whatever else a small network takes
LARGEST_NUMBER = 1 << 16  # that a file may give as a network's argument
MOST_PARTS = 5_000  # modules of a network
MOST_VALUES = 1_000  # in a network's arguments


@contextmanager
def memory_limited(more: int) -> Iterator[None]:
    """Have allocations fail with an error beyond so many bytes more than are mapped now.

    Where the system does not tell what is mapped (other than Linux), nothing is limited.
    """
    try:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        yield
        return
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (before, mapped + more) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


@contextmanager
def parts_limited() -> Iterator[None]:
    """Stop the building of a network of more than `MOST_PARTS` modules.

    Raises:
        UserError: It has more.
    """
    found = 0

    def count(*_: Any) -> None:
        nonlocal found
        found += 1
        if found > MOST_PARTS:
            raise UserError(f"more than {MOST_PARTS} parts")

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def check_arguments(arguments: dict[str, Any]) -> None:
    """Refuse a network's arguments that are not plain values of a sensible size.

    Raises:
        UserError: One is not.
    """
    waiting: list[Any] = list(arguments.values())
    for seen, value in enumerate(waiting):  # which grows on the way
        if seen >= MOST_VALUES:
            raise UserError(f"more than {MOST_VALUES} values")
        if isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
            raise UserError(f"{value:.3g} is larger than any network's argument")
        elif not isinstance(value, bool | int | float | str | NoneType):
            raise UserError(f"{type(value).__name__} is not a plain value")

"""What a file may have built and read: bounded in memory and in the number of parts."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks

from enhancement.errors import UserError

ROOM = 1 << 30  # bytes, for libraries and whatever else a small network takes
LARGEST_NUMBER = 1 << 16  # that a file may give as a network's argument
MOST_MODULES = 10_000  # of a network
MOST_PARAMETERS = 10**9  # and buffers: 4 GB
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
    """Stop the building of a network as soon as it is too large.

    Raises:
        UserError: It has more than `MOST_MODULES` modules or `MOST_PARAMETERS` numbers.
    """
    modules = numbers = 0

    def count_module(*_: Any) -> None:
        nonlocal modules
        modules += 1
        if modules > MOST_MODULES:
            raise too_large()

    def count_numbers(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal numbers
        numbers += 0 if tensor is None else tensor.numel()
        if numbers > MOST_PARAMETERS:
            raise too_large()

    handles = [
        hooks.register_module_module_registration_hook(count_module),
        hooks.register_module_parameter_registration_hook(count_numbers),
        hooks.register_module_buffer_registration_hook(count_numbers),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def too_large() -> UserError:
    """What is said of a network beyond the limits."""
    return UserError(
        f"too large: more than {MOST_MODULES:,} modules or {MOST_PARAMETERS:,} parameters; lower "
        f"its depth or width"
    )


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

"""What a block names is built to see whether it can be: without memory, and within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from enhancement.errors import UserError

MOST_MODULES = 10_000
MOST_VALUES = 10**9  # parameters and buffers: 4 GB


def constructor_fault(build: Callable[[], Any]) -> str | None:
    """What a constructor says of its arguments; None where it raises nothing."""
    try:
        build()
    except (UserError, ValueError, TypeError, AssertionError, KeyError, IndexError) as error:
        return str(error) or type(error).__name__
    except Exception as error:  # of BasicSR's classes any
        return f"cannot be built: {(str(error) or type(error).__name__).splitlines()[0]}"
    return None


def build_light(build: Callable[[], Any]) -> Any:
    """Build a network or a loss without memory for its weights; BasicSR's few exceptions need it.

    Raises:
        UserError: It is larger than MOST_MODULES or MOST_VALUES allow.
    """
    try:
        with _bounded(), torch.device("meta"), _RealNumbers():
            return build()
    except (RuntimeError, NotImplementedError, TypeError):
        with _bounded():
            try:
                return build()
            except RuntimeError as error:
                if "allocate" in str(error):
                    raise _too_large() from error
                raise


class _RealNumbers(TorchFunctionMode):
    """Rates of stochastic depth are read from a tensor while a network is built (timm, SwinIR)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, `linspace` on the CPU."""
        kwargs = kwargs or {}
        if func is torch.linspace:
            if kwargs.get("steps", args[2] if len(args) > 2 else 0) > MOST_MODULES:
                raise _too_large()
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)


@contextmanager
def _bounded() -> Iterator[None]:
    """Stop the building of a network as soon as it is too large."""
    modules = values = 0

    def count_module(*_: Any) -> None:
        nonlocal modules
        modules += 1
        if modules > MOST_MODULES:
            raise _too_large()

    def count_values(module: nn.Module, name: str, tensor: torch.Tensor | None) -> None:
        nonlocal values
        values += 0 if tensor is None else tensor.numel()
        if values > MOST_VALUES:
            raise _too_large()

    handles = [
        hooks.register_module_module_registration_hook(count_module),
        hooks.register_module_parameter_registration_hook(count_values),
        hooks.register_module_buffer_registration_hook(count_values),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _too_large() -> UserError:
    return UserError(
        f"too large: more than {MOST_MODULES:,} modules or {MOST_VALUES:,} parameters; lower its "
        f"depth or width"
    )

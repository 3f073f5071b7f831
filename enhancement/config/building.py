"""What a block names is built to see whether it can be: without memory, and within bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from enhancement.errors import UserError, first_line
from enhancement.weights.limits import MOST_MODULES, parts_limited, too_large


def constructor_fault(build: Callable[[], Any]) -> str | None:
    """What a constructor says of its arguments; None where it raises nothing."""
    try:
        build()
    except (UserError, ValueError, TypeError, AssertionError, KeyError, IndexError) as error:
        return str(error) or type(error).__name__
    except Exception as error:  # of BasicSR's classes any
        return f"cannot be built: {first_line(error)}"
    return None


def build_on_meta(build: Callable[[], Any]) -> Any:
    """Build a network or a loss without memory for its weights; BasicSR's few exceptions need it.

    Raises:
        UserError: It is larger than weights/limits.py allows.
    """
    try:
        with parts_limited(), torch.device("meta"), _RealNumbers():
            return build()
    except (RuntimeError, NotImplementedError, TypeError):
        with parts_limited():
            try:
                return build()
            except RuntimeError as error:
                if "allocate" in str(error):
                    raise too_large() from error
                raise


class _RealNumbers(TorchFunctionMode):
    """Rates of stochastic depth are read from a tensor while a network is built (timm, SwinIR)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function, `linspace` on the CPU."""
        kwargs = kwargs or {}
        if func is torch.linspace:
            if kwargs.get("steps", args[2] if len(args) > 2 else 0) > MOST_MODULES:
                raise too_large()
            kwargs = {**kwargs, "device": "cpu"}
        return func(*args, **kwargs)

"""Compiled kernels, kept in numba's cache on disk; without it where it is damaged or unwritable."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module, reload
from pathlib import Path
from typing import Any

KERNELS = f"{__package__}.kernels"


class Cache:
    """Whether kernels are kept on disk.

    Attributes:
        used: Read by kernels.py when it is imported.
    """

    used = True


def call_kernel(name: str, arguments: list[Any]) -> None:
    """Run a kernel of kernels.py; numba is imported, and the kernel compiled, by the first call."""
    if Cache.used:
        try:
            _kernel(name)(*arguments)
            return
        except Exception as error:  # a damaged cache raises whatever unpickling it raises
            _give_up_cache(name, error)
    _kernel(name)(*arguments)


def _kernel(name: str) -> Callable[..., None]:
    return getattr(import_module(KERNELS), name)


def _give_up_cache(name: str, error: Exception) -> None:
    """Compile the kernels for this process alone, and say what would mend that."""
    Cache.used = False
    module = sys.modules.get(KERNELS)
    if module is None:  # numba found no folder that it may write to
        mend = "set NUMBA_CACHE_DIR to a folder that can be written"
    else:
        place = Path(getattr(module, name).stats.cache_path)
        mend = f"delete {place}/kernels.*.nbi and kernels.*.nbc there"
        reload(module)
    reason = (str(error) or type(error).__name__).splitlines()[0]
    print(
        f"Kernels are compiled anew in each run, since their cache cannot be used ({reason}); "
        f"{mend}",
        file=sys.stderr,
    )

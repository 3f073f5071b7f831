"""Compiled kernels: imported when first needed, run on as many threads as PyTorch has."""

from __future__ import annotations

import os
import threading
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from .compiling import call_kernel

LOADING = 200 << 20  # bytes that numba takes, and compiling where its cache holds no kernels
_one_at_a_time = threading.Lock()  # not every threading layer of numba takes two callers


class _Process:
    """What this process has done.

    Attributes:
        used: It has run kernels, or the process that it was forked from has.
        unfit: It was forked after that: OpenMP ends a process that goes on with another's threads.
    """

    used = unfit = False


def _after_fork() -> None:
    global _one_at_a_time
    _one_at_a_time = threading.Lock()
    _Process.unfit = _Process.used


os.register_at_fork(after_in_child=_after_fork)


def can_run() -> bool:
    """Whether kernels can run in this process."""
    return not _Process.unfit


def bytes_to_load() -> int:
    """Bytes of memory that the first kernel of this process takes and keeps; 0 after it."""
    return 0 if _Process.used else LOADING


def run_kernel(name: str, *arguments: Any) -> None:
    """Run a kernel of kernels.py; numba is imported by the first call.

    Fake tensors, which have shapes but no values, are left as they are.

    Args:
        name: The kernel.
        arguments: Its own; a tensor is handed over as an array that shares its memory.
    """
    if any(isinstance(argument, FakeTensor) for argument in arguments):
        return
    import numba
    from numba.core import config

    _Process.used = True
    arrays = [a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments]
    threads = torch.get_num_threads()
    with _one_at_a_time:
        most = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        numba.set_num_threads(min(threads, most))
        call_kernel(name, arrays)
    if torch.get_num_threads() != threads:  # numba and PyTorch may share one OpenMP
        torch.set_num_threads(threads)

"""What the benchmarks measure with: medians of jobs taking turns, and a process's peak memory."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

Job = Callable[[], object]


def medians(jobs: dict[str, Job], runs: int) -> dict[str, float]:
    """Median seconds of each job, taking turns after a warm-up."""
    for job in jobs.values():
        job()
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(runs):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(t) for name, t in times.items()}


def added_memory(make: Callable[..., Job], *arguments: object) -> float:
    """MiB that the job which `make` gives adds to a fresh process. `make` can be pickled."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_added, (make, *arguments))


def _added(make: Callable[..., Job], *arguments: object) -> float:
    job = make(*arguments)
    before = highest_memory()
    job()
    return highest_memory() - before


def highest_memory() -> float:
    """The most memory this process has held, in MiB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024

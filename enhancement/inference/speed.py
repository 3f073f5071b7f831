"""How fast frames are enhanced here, and what this machine is."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from enhancement.inference.frames import FrameEnhancer

NOTICEABLE = 0.1  # cores


def seconds_per_frame(
    enhancer: FrameEnhancer, size: tuple[int, int], frames: int, budget: float
) -> list[float]:
    """How long each of at least one frame takes, after one that is not counted.

    Args:
        enhancer: As set up.
        size: Width and height.
        frames: At most.
        budget: Seconds after which no further frame is started.
    """
    frame = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    enhancer(frame)
    taken: list[float] = []
    while len(taken) < frames and (not taken or sum(taken) < budget):
        began = time.perf_counter()
        enhancer(frame)
        taken.append(time.perf_counter() - began)
    return taken


def machine(device: torch.device) -> str:
    """The machine in a line."""
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        where = f"{processor()}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{where}; PyTorch {torch.__version__}"


def processor() -> str:
    """The processor's name, as far as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model n"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class OtherLoad:
    """How busy other programs keep the CPU from now on."""

    def __init__(self) -> None:
        self._began, self._busy = time.perf_counter(), self._busy_seconds()

    @staticmethod
    def _busy_seconds() -> float:
        """Busy CPU seconds of the machine, stolen time included, without those of this process."""
        spent: Any = psutil.cpu_times()
        idle = spent.idle + getattr(spent, "iowait", 0.0)
        own: Any = psutil.Process().cpu_times()
        # a guest's time is counted in user's as well
        twice = getattr(spent, "guest", 0.0) + getattr(spent, "guest_nice", 0.0)
        return float(sum(spent) - twice - idle - own.user - own.system)

    def said(self) -> str:
        """A line under the table."""
        seconds = time.perf_counter() - self._began
        cores = max(0.0, (self._busy_seconds() - self._busy) / seconds)
        if cores < NOTICEABLE:
            return "No other program kept the CPU busy meanwhile"
        of = f"{cores:.1f} of {psutil.cpu_count()} cores"
        return f"Other programs kept {of} busy meanwhile, so these times are too long"

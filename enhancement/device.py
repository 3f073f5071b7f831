"""The one place that chooses the device."""

from __future__ import annotations

import torch


def resolve_num_gpu(num_gpu: int | str) -> tuple[int, str]:
    """What `num_gpu` comes to on this machine.

    Args:
        num_gpu: "auto" takes a GPU where there is one; 0 forces the CPU. Each process uses one
            GPU; several want torchrun.

    Returns:
        0 or 1 GPU for this process, and a line that says what is used and why.
    """
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    wanted = there if num_gpu == "auto" else int(num_gpu)
    if wanted == 0 or there == 0:
        why = "" if wanted == 0 else f"; num_gpu is {num_gpu}, but there is no CUDA device"
        return 0, f"Using the CPU ({torch.get_num_threads()} threads{why})"
    more = "; one a process, more by torchrun and --launcher pytorch" if there > 1 else ""
    return 1, f"Using {torch.cuda.get_device_name()} (1 of {there} GPUs{more})"


def get_device(num_gpu: int | str) -> torch.device:
    """The device for a resolved or unresolved `num_gpu`."""
    return torch.device("cuda" if resolve_num_gpu(num_gpu)[0] else "cpu")

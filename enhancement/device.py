"""The one place that chooses the device, and how many threads of the CPU are used."""

from __future__ import annotations

import argparse
import re

import cv2
import torch

from enhancement.errors import UserError

MOST_THREADS = 1024


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads`, which every command has that computes much."""
    said = "CPU threads; default: PyTorch's choice (OMP_NUM_THREADS, or one for each core)"
    parser.add_argument("--threads", type=int, metavar="N", help=said)


def use_threads(number: int | None) -> None:
    """Compute with so many threads: PyTorch, OpenCV, and the engines, which ask PyTorch.

    Args:
        number: Of `--threads`; None leaves it to PyTorch.

    Raises:
        UserError: It is not in 1 to `MOST_THREADS`.
    """
    if number is None:
        return
    if not 0 < number <= MOST_THREADS:
        raise UserError(f"--threads: expected 1 to {MOST_THREADS}, but got {number}")
    torch.set_num_threads(number)
    cv2.setNumThreads(number)


def resolve_num_gpu(num_gpu: int | str) -> tuple[int, str]:
    """Resolve `num_gpu` for this machine.

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
        threads = torch.get_num_threads()
        return 0, f"Using the CPU ({threads} thread{'s' * (threads != 1)}{why})"
    more = "; one a process, more by torchrun and --launcher pytorch" if there > 1 else ""
    return 1, f"Using {torch.cuda.get_device_name()} (1 of {there} GPUs{more})"


def named_device(name: str) -> torch.device:
    """The device that "auto", "cpu", "cuda" or "cuda:1" names; "auto" takes a GPU if there is one.

    Raises:
        UserError: Another name, or one that is not there.
    """
    if name == "auto":
        return get_device("auto")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not re.fullmatch("[0-9]{1,9}", index)):
        raise UserError(f"--device: expected auto, cpu, cuda or cuda:N, but got '{name}'")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and int(index or 0) >= there:
        raise UserError(f"--device {name}: there are {there} CUDA devices; use auto or cpu")
    return torch.device(name)


def get_device(num_gpu: int | str) -> torch.device:
    """The device for a resolved or unresolved `num_gpu`."""
    return torch.device("cuda" if resolve_num_gpu(num_gpu)[0] else "cpu")

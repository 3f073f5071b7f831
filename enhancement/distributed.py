"""Processes of one run: who am I, and how many are we."""

from __future__ import annotations

import os

import torch
from torch import distributed

from enhancement.errors import UserError

LAUNCHERS = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
}


def start(launcher: str, cuda: bool, backend: str = "nccl", port: int = 29500) -> tuple[int, int]:
    """Join the run's processes.

    Args:
        launcher: "none" for one process, "pytorch" under torchrun, "slurm" under srun.
        cuda: Whether the run uses GPUs.
        backend: "nccl" or "gloo"; without a CUDA device it is gloo.
        port: Where the processes meet, unless MASTER_PORT says otherwise.

    Returns:
        This process's rank and the number of processes.

    Raises:
        UserError: The launcher's environment variables are not set.
    """
    if launcher == "none":
        return 0, 1
    names = LAUNCHERS[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        command = "torchrun --nproc_per_node=N" if launcher == "pytorch" else "srun python"
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set; start with "
            f"`{command} basicsr/train.py ...`"
        )
    rank, world_size, local = (int(os.environ[name]) for name in names)
    os.environ.setdefault("MASTER_ADDR", os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1"))
    os.environ.setdefault("MASTER_PORT", str(port))
    if cuda:
        torch.cuda.set_device(local % torch.cuda.device_count())
    distributed.init_process_group(backend if cuda else "gloo", rank=rank, world_size=world_size)
    return rank, world_size


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process of the run."""
    if not distributed.is_initialized():
        return flag
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    flags = torch.tensor(float(flag), device=device)
    distributed.all_reduce(flags)
    return bool(flags.item())


def wait_for_all() -> None:
    """Return once every process has come here."""
    if distributed.is_initialized():
        distributed.barrier()


def stop() -> None:
    """Leave the run's processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()

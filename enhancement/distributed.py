"""The processes of one run: started, synchronised, stopped."""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from traceback import clear_frames
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from enhancement.errors import DataError, UserError

T = TypeVar("T")
MISSING = object()


class _Failure:
    """What this process knows of the others.

    Attributes:
        known: Every process has heard that one has failed.
    """

    known = False


_failure = _Failure()

LAUNCHERS = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
}
# what differs from run to run, and is the same in all processes of one
RUN = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID")


@dataclass(frozen=True)
class Place:
    """One of the processes that a launcher has started.

    Attributes:
        rank, world_size: This process, and how many there are.
        local: Its number on its machine.
    """

    rank: int = 0
    world_size: int = 1
    local: int = 0

    @property
    def run(self) -> str:
        """A name that all processes of this run have in common, and others have not."""
        said = [os.environ.get(name, "") for name in RUN]
        return hashlib.sha256(repr((said, self.world_size)).encode()).hexdigest()[:12]


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """`--launcher`, which several commands have."""
    said = "what has started several processes; default: pytorch under torchrun, otherwise none"
    recognised = "pytorch" if "TORCHELASTIC_RUN_ID" in os.environ else "none"
    choices = ("none", *LAUNCHERS)
    parser.add_argument("--launcher", choices=choices, default=recognised, help=said)


def place_of(launcher: str) -> Place:
    """This process among those of its run; a GPU of its own becomes the current one.

    Args:
        launcher: "none" for one process, "pytorch" under torchrun, "slurm" under srun.

    Raises:
        UserError: The launcher's environment variables are not set.
    """
    if launcher == "none":
        return Place()
    names = LAUNCHERS[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        command = "torchrun --nproc_per_node=N" if launcher == "pytorch" else "srun python"
        raise UserError(
            f"--launcher {launcher}: {', '.join(missing)} not set; start with `{command} ...`"
        )
    place = Place(*(int(os.environ[name]) for name in names))
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local % torch.cuda.device_count())
    return place


def start(launcher: str, cuda: bool, backend: str = "nccl", port: int = 29500) -> tuple[int, int]:
    """Join the run's processes.

    Args:
        launcher: As for `place_of`.
        cuda: Whether the run uses GPUs.
        backend: "nccl" or "gloo"; without a CUDA device it is gloo.
        port: Where the processes connect, unless MASTER_PORT says otherwise.

    Returns:
        This process's rank and the number of processes.

    Raises:
        UserError: The launcher's environment variables are not set.
    """
    place = place_of(launcher)
    if launcher == "none":
        return place.rank, place.world_size
    os.environ.setdefault("MASTER_ADDR", os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1"))
    os.environ.setdefault("MASTER_PORT", str(port))
    # flags and scores travel by gloo where gradients travel by nccl
    kinds = "cpu:gloo,cuda:nccl" if cuda and backend == "nccl" else "gloo"
    distributed.init_process_group(kinds, rank=place.rank, world_size=place.world_size)
    return place.rank, place.world_size


def any_of(flags: list[bool]) -> list[bool]:
    """Each flag, set where it is set in any process of the run."""
    if not distributed.is_initialized():
        return flags
    counts = torch.tensor(flags, dtype=torch.int32)  # by way of the CPU, no device has to wait
    distributed.all_reduce(counts)
    return counts.bool().tolist()


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process of the run."""
    return any_of([flag])[0]


def synchronise(error: Exception | None = None, flag: bool = False) -> bool:
    """Wait for every process of the run; all stop if one of them has failed.

    Args:
        error: Why this process has failed, if it has.
        flag: Something to tell the others.

    Returns:
        Whether the flag is set in any process.

    Raises:
        Exception: This process's error.
        DataError: Another process has one.
        UserError: Another process has another error.
    """
    failed, by_data, flagged = any_of([error is not None, isinstance(error, DataError), flag])
    _failure.known |= failed
    if error:
        raise error
    if failed:
        raise (DataError if by_data else UserError)(
            "another process of this run has failed; its own message says why"
        )
    return flagged


@contextmanager
def synchronised_errors() -> Iterator[None]:
    """Work that each process does by itself; if it fails in one, it raises in all.

    Processes must not synchronise inside of it.
    """
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    synchronise(error)


def gather(items: list[T]) -> list[T]:
    """Gather items that were shared out round-robin, in their original order.

    Returns:
        All items in the first process, [] in the others.
    """
    if not distributed.is_initialized():
        return items
    first = distributed.get_rank() == 0
    shares: list[Any] = [None] * distributed.get_world_size() if first else []
    distributed.gather_object(items, shares if first else None)
    return [i for row in zip_longest(*shares, fillvalue=MISSING) for i in row if i is not MISSING]


def broadcast_weights(network: nn.Module) -> None:
    """Give every process the first one's weights and buffers.

    Running statistics follow each process's own batches, and an average its first weights.
    """
    if distributed.is_initialized():
        for value in network.state_dict().values():
            whole = value.contiguous()
            distributed.broadcast(whole, 0)
            value.copy_(whole)


def stop() -> None:
    """Leave the process group; all at the same time if every process knows that one has failed.

    A launcher ends the others as soon as one has left, and they may still have to report an error.
    `DistributedDataParallel` holds the connection, and an error's traceback holds the network: both
    are released first, since a connection that is still open while the interpreter ends may abort
    it.
    """
    if distributed.is_initialized():
        error, cleared = sys.exc_info()[1], set()
        while error and id(error) not in cleared:  # and what it came from
            clear_frames(error.__traceback__)
            cleared.add(id(error))
            error = error.__cause__ or error.__context__
        gc.collect()
        with suppress(RuntimeError):  # the others have gone already
            if _failure.known:
                distributed.barrier()
        distributed.destroy_process_group()
    _failure.known = False

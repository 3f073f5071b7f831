"""What the compared runs cost: multiply-adds, training time and latency."""

from __future__ import annotations

import json
import statistics
import time

import torch
from torch import nn

from enhancement.comparison.curves import read_training
from enhancement.comparison.results import Result
from enhancement.errors import UserError
from enhancement.inference.complexity import multiply_adds
from enhancement.inference.run import eval_mode, run_padded
from enhancement.scoring.report import SCORES_FILE
from enhancement.weights.networks import build_stored

SIDE = 256  # of the image that multiply-adds and latency are given for
ROUNDS = 9


def measure(rows: list[Result], device: torch.device | None = None) -> None:
    """Fill in multiply-adds, the training curves and, on `device`, the latency.

    Raises:
        UserError: A network cannot be built, or a run's TensorBoard files cannot be read.
    """
    networks: dict[str, nn.Module] = {}
    costs: dict[str, int] = {}
    for row in rows:
        if row.run:
            row.training = read_training(row.run)
        if row.network_g:
            network = build_stored(row.network_g, row.folder / SCORES_FILE)
            key = json.dumps(row.network_g, sort_keys=True)
            if key not in costs:
                costs[key] = _multiply_adds(network, row)
            row.multiply_adds = costs[key]
            networks[row.label] = network
    if device:
        seconds = latencies(networks, device)
        for row in rows:
            row.latency = seconds.get(row.label)


def _multiply_adds(network: nn.Module, row: Result) -> int:
    """What a network takes for an image of SIDE x SIDE pixels.

    Raises:
        UserError: It cannot be run, because its options do not fit together.
    """
    try:
        return multiply_adds(network, SIDE, SIDE)
    except Exception as error:  # networks of any options raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{row.folder / SCORES_FILE}: its network_g cannot be run ({reason})"
        ) from error


def latencies(networks: dict[str, nn.Module], device: torch.device) -> dict[str, float]:
    """Seconds that each network takes for an image of SIDE x SIDE pixels, by name.

    They are medians of rounds in which every network runs once, so that whatever else the machine
    does slows all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)
    for number in range(ROUNDS + 1):
        for name, network in networks.items():
            with eval_mode(network.to(device)):
                began = time.perf_counter()
                run_padded(network, image)
                if device.type == "cuda":
                    torch.cuda.synchronize()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}

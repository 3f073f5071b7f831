"""What a network is made of, and what it takes to run it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn

from enhancement.inference.complexity import multiply_adds_by_module, parameter_count
from enhancement.inference.run import eval_mode, run_padded
from enhancement.memory import PeakMemory

LEVELS = 2  # of modules inside modules
SECONDS, RUNS = 5.0, 9  # after which a network is not run again


@dataclass(frozen=True)
class Part:
    """A module of a network, with all that is in it.

    Attributes:
        name: With those of the modules that it lies in, as in a state dict; "" is the network.
        kind: Its class.
        parameters: Their number.
        multiply_adds: Of convolutions and matrix products, for one image.
    """

    name: str
    kind: str
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class Cost:
    """What one image takes, by PyTorch.

    Attributes:
        seconds: Median of a few runs, after one that is not counted.
        memory: Most bytes of tensors at one time, beside the weights and the image.
        weights: Bytes of parameters and buffers.
    """

    seconds: float
    memory: int
    weights: int


def parts_of(network: nn.Module, height: int, width: int) -> list[Part]:
    """The network, then its modules down to the second level; those that cost nothing left out."""
    counts = multiply_adds_by_module(network, height, width)

    def counted(name: str, module: nn.Module) -> int:
        if name in counts:
            return counts[name]  # else it is a list of modules, which are called one by one
        inside = ((f"{name}.{child}", one) for child, one in module.named_children())
        return sum(counted(child, one) for child, one in inside)

    parts = [
        Part(name, type(module).__name__, parameter_count(module), counted(name, module))
        for name, module in network.named_modules()
        if name.count(".") < LEVELS
    ]
    return [part for part in parts if not part.name or part.parameters or part.multiply_adds]


def cost_of(network: nn.Module, height: int, width: int, device: torch.device) -> Cost:
    """Measure time and memory on a device, to which the network is moved."""
    image = torch.rand(1, 3, height, width, device=device)
    taken: list[float] = []
    with eval_mode(network.to(device)):
        with PeakMemory() as memory:
            run_padded(network, image)
        while not taken or (len(taken) < RUNS and sum(taken) < SECONDS):
            began = time.perf_counter()
            run_padded(network, image)
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - began)
    tensors = [*network.parameters(), *network.buffers()]
    return Cost(statistics.median(taken), memory.peak, sum(t.nbytes for t in tensors))

"""Our arithmetic against the publication's, by PyTorch, for networks that are written differently.

python benchmarks/published.py [--runs 7] [--networks SCI WTNet]

Prints a Markdown table: seconds for one image, medians of both taking turns in one process, the
most memory that their tensors take at one time, and the largest difference. Weights are random;
what differs is said in `WAYS`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest.mock import patch

import torch
from measure import medians
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.archs.contract import contract_of
from enhancement.inference.run import enhance
from enhancement.memory import PeakMemory
from enhancement.registry import ARCH_REGISTRY, lookup

HEIGHT, WIDTH = 192, 288


def unit_phase(spectrum: Tensor) -> Tensor:
    """The direction of each bin through its angle, as FECNet and DarkIR compute it."""
    return torch.polar(torch.ones_like(spectrum.real), spectrum.angle())


def plain_attention(q: Tensor, k: Tensor, temperature: Tensor) -> Tensor:
    """Attention over channels as Restormer and WTNet write it: normalised, then multiplied."""
    q, k = (x.flatten(2).unflatten(1, (len(temperature), -1)) for x in (q, k))
    product = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
    return (product * temperature).softmax(-1)


def powers(network: nn.Module) -> nn.Module:
    """Zero-DCE's curves, applied one by one with powers."""

    class Published(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            """(B, 3, H, W) in [0, 1] to the same shape."""
            for r in torch.split(network.curves(x), 3, 1):
                x = x + r * (torch.pow(x, 2) - x)
            return x

    return Published()


Way = tuple[str, Callable[[nn.Module], nn.Module], Callable[[], AbstractContextManager[object]]]
ARCHS = "enhancement.archs"
WAYS: dict[str, Way] = {
    "ZeroDCE": ("powers", powers, nullcontext),
    "SCI": ("batch norm apart", lambda network: network, nullcontext),
    "FECNet": (
        "phases as angles",
        lambda network: network,
        lambda: patch(f"{ARCHS}.fecnet_arch.direction", unit_phase),
    ),
    "DarkIR": (
        "phases as angles",
        lambda network: network,
        lambda: patch(f"{ARCHS}.darkir_arch.direction", unit_phase),
    ),
    "WTNet": (
        "queries and keys normalised",
        lambda network: network,
        lambda: patch(f"{ARCHS}.wtnet_arch.attention_of", plain_attention),
    ),
}


SIDES = ("ours", "published")


def job(name: str, side: str) -> Callable[[], Tensor]:
    """A network's pass over one image, by our arithmetic or as published, with equal weights."""
    _, as_published, patched = WAYS[name]
    torch.manual_seed(0)
    network = lookup(ARCH_REGISTRY, name)().eval()
    computed = contract_of(network).fold().eval() if side == "ours" else as_published(network)
    context = nullcontext if side == "ours" else patched

    def run(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
        image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) ** 2
        with torch.inference_mode(), context():
            return enhance(computed, image)

    run(32, 32)  # loads libraries
    return run


def peak_mib(run: Callable[[], Tensor]) -> float:
    """The most memory that a pass's tensors take at one time, in MiB.

    A process's own highest memory goes up and down by a tenth from one run to the next.
    """
    with PeakMemory() as memory:
        run()
    return memory.peak / 2**20


def row(name: str, runs: int) -> str:
    """One network's row of the table."""
    jobs = {side: job(name, side) for side in SIDES}
    seconds = medians(jobs, runs)
    difference = (jobs["ours"]() - jobs["published"]()).abs().max().item()
    memory = {side: peak_mib(jobs[side]) for side in SIDES}
    cells = [name, WAYS[name][0], *(f"{seconds[side]:.4f}" for side in SIDES)]
    cells += [f"{seconds['published'] / seconds['ours']:.2f}"]
    cells += [f"{memory[side]:.1f}" for side in SIDES] + [f"{difference:.0e}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--networks", nargs="+", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    head = ("as published", *(f"{side}, s" for side in SIDES), "times as fast")
    head = (f"{WIDTH}x{HEIGHT}", *head, *(f"{side}, MiB" for side in SIDES), "difference")
    print(f"| {' | '.join(head)} |\n| {' | '.join(['---'] * len(head))} |")
    for name in arguments.networks:
        print(row(name, arguments.runs), flush=True)


if __name__ == "__main__":
    main()

"""Engines against each other: PyTorch, ONNX Runtime and published arithmetic.

python benchmarks/engines.py [--runs 5] [--networks RetinexFormer DEDNet]

Prints a Markdown table: seconds of a forward pass, medians of engines taking turns in one process;
how many times as fast ONNX Runtime is; a run's first image, with conversion and with the graph in
the cache, relative to PyTorch's first; and the largest difference between the engines' outputs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable

import torch
from capsule import as_published
from measure import medians
from torch import Tensor, nn

from enhancement.archs.blgm_arch import BLGM, illumination_vector
from enhancement.archs.iglfm_arch import IGLFM
from enhancement.inference.engines import prepare
from enhancement.inference.run import enhance
from enhancement.paths import CACHE_VARIABLE
from enhancement.registry import ARCH_REGISTRY, lookup

SIZES = {
    "RetinexFormer": (400, 600),
    "DEDNet": (400, 600),
    "IGLFM": (256, 256),
    "BLGM": (256, 256),
    "AODNet": (400, 600),
}
CPU = torch.device("cpu")


class FromImage(nn.Module):
    """BLGM, or its published arithmetic, on a feature made of the image itself."""

    size_multiple = 4

    def __init__(self, blgm: nn.Module) -> None:
        super().__init__()
        self.blgm = blgm

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the same shape."""
        return self.blgm(image.repeat(1, 11, 1, 1)[:, :32], illumination_vector(image))


def make(name: str) -> tuple[nn.Module, nn.Module | None]:
    """A network with weights off its initial ones, and its published arithmetic if written down."""
    torch.manual_seed(0)
    if name == "BLGM":
        network: nn.Module = BLGM()
    elif name == "IGLFM":
        network = IGLFM(mcc=False)
    else:
        network = lookup(ARCH_REGISTRY, name)()
    for parameter in network.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    network.eval()
    if isinstance(network, BLGM):
        return FromImage(network), FromImage(as_published(network))
    return network, as_published(network) if isinstance(network, IGLFM) else None


def job(network: nn.Module, image: Tensor) -> Callable[[], Tensor]:
    """A forward pass."""

    def run() -> Tensor:
        with torch.inference_mode():
            return enhance(network, image)

    return run


def first_image(network: nn.Module, image: Tensor, engine: str) -> tuple[float, nn.Module]:
    """Seconds until a new run's first image is done, and the prepared network."""
    began = time.perf_counter()
    prepared = prepare(network, CPU, engine)
    job(prepared, image)()
    return time.perf_counter() - began, prepared


def row(name: str, runs: int) -> str:
    """One network's row of the table."""
    height, width = SIZES[name]
    network, published = make(name)
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) ** 2
    job(network, image)()  # loads libraries
    by_pytorch, folded = first_image(network, image, "pytorch")
    cold, _ = first_image(network, image, "onnx")
    warm, prepared = first_image(network, image, "onnx")
    jobs = {"pytorch": job(folded, image), "onnx": job(prepared, image)}
    if published:
        jobs["published"] = job(published, image)
    seconds = medians(jobs, runs)
    difference = (jobs["pytorch"]() - jobs["onnx"]()).abs().max().item()
    faster = seconds["pytorch"] / seconds["onnx"]
    than_published = seconds["published"] / seconds["onnx"] if published else None
    cells = [
        f"{name} {height}x{width}",
        f"{seconds['published']:.2f}" if published else "",
        *(f"{seconds[engine]:.2f}" for engine in ("pytorch", "onnx")),
        f"{faster:.2f}",
        f"{than_published:.2f}" if than_published else "",
        *(f"{first / by_pytorch:.2f}" for first in (cold, warm)),
        f"{difference:.1e}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(SIZES))
    arguments = parser.parse_args()
    print(
        "| network | published, s | PyTorch, s | ONNX Runtime, s | times as fast as PyTorch | as "
        "published | first image, converted | first image, cached | difference |"
    )
    print("| " + " | ".join(["---"] * 9) + " |")
    with tempfile.TemporaryDirectory() as cache:
        os.environ[CACHE_VARIABLE] = cache
        for name in arguments.networks:
            print(row(name, arguments.runs), flush=True)


if __name__ == "__main__":
    main()

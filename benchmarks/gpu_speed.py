"""Iterations a second, memory and frames a second of five networks on a GPU.

python benchmarks/gpu_speed.py speed.json [--device cuda] [--seconds 75] [--networks HDRNet]

Training iterations are those of 8 crops of 256x256 for HDRNet and of 128x128 for the others; images
are 600x400. Each way of computing is measured for an equal share of the time; warming up and
compiling come on top. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import nn

from enhancement.device import named_device
from enhancement.inference.run import autocast, enhance
from enhancement.registry import ARCH_REGISTRY, lookup

NETWORKS: dict[str, tuple[dict[str, Any], int]] = {
    "DEDNet": ({"ffn": "separable"}, 128),
    "IGLFM": ({}, 128),
    "HDRNet": ({}, 256),
    "RetinexFormer": ({}, 128),
    "MobileIE": ({}, 128),
}
BATCH, HEIGHT, WIDTH = 8, 400, 600
WAYS = {
    "fp32": ("fp32", False, False),
    "bf16": ("bf16", False, False),
    "bf16, channels last": ("bf16", True, False),
    "bf16, compiled": ("bf16", False, True),
}
HEAD = ("network", "way", "iterations/s", "memory, GiB", "images/s", "memory, GiB", "failed")


def rate(job: Callable[[], object], device: torch.device, seconds: float) -> float:
    """How often a second a job is done, after three times for warming up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        job()
    wait()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        job()
        done += 1
        if done % 5 == 0:
            wait()
    wait()
    return done / (time.perf_counter() - began)


def peak(device: torch.device) -> float | None:
    """The most memory of the GPU since the last call, in GiB."""
    if device.type != "cuda":
        return None
    highest = torch.cuda.max_memory_allocated(device) / 2**30
    torch.cuda.reset_peak_memory_stats(device)
    return highest


def measure(name: str, way: str, device: torch.device, seconds: float) -> dict[str, Any]:
    """A network's rates and memory by one way of computing."""
    (arguments, side), (precision, channels_last, compiled) = NETWORKS[name], WAYS[way]
    torch.manual_seed(0)
    network: nn.Module = lookup(ARCH_REGISTRY, name)(**arguments).to(device).train()
    batch, image = torch.rand(BATCH, 3, side, side), torch.rand(1, 3, HEIGHT, WIDTH)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    batch, image = (x.to(device).contiguous(memory_format=layout) for x in (batch, image))
    if compiled:
        network.compile()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def iteration() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, precision):
            output = network(batch).float()
        (output - 0.5).abs().mean().backward()
        optimizer.step()

    def inference() -> None:
        with torch.inference_mode(), autocast(device, precision):
            enhance(network, image)

    peak(device)
    found = {"iterations": rate(iteration, device, seconds), "training_memory": peak(device)}
    optimizer.zero_grad(set_to_none=True)
    optimizer.state.clear()
    peak(device)  # images count beside the weights and a batch alone
    network.eval()
    return found | {"images": rate(inference, device, seconds), "image_memory": peak(device)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=75, help="for everything; default: 75")
    add = parser.add_argument
    add("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    arguments = parser.parse_args()
    device = named_device(arguments.device)
    began, networks = time.monotonic(), arguments.networks
    share = arguments.seconds / len(networks) / len(WAYS) / 4
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    about, rows = {"torch": torch.__version__, "device": where}, list[dict[str, Any]]()
    for way in WAYS:
        for name in networks:
            if time.monotonic() - began > arguments.seconds:
                break
            try:
                found = measure(name, way, device, share)
            except Exception as error:  # the table says which way does not work
                found = {"failed": (str(error) or repr(error)).splitlines()[0]}
            rows.append({"network": name, "way": way, **found})
            print(rows[-1], flush=True)
            content = json.dumps({"about": about, "rows": rows}, indent=2) + "\n"
            arguments.output.write_text(content, encoding="utf-8")
    keys = ("iterations", "training_memory", "images", "image_memory", "failed")
    lines = [[row["network"], row["way"], *(row.get(key) for key in keys)] for row in rows]
    print(tabulate(lines, HEAD, "github", floatfmt=".2f"))


if __name__ == "__main__":
    main()

"""The fused bilateral grid on the CPU against PyTorch's own operators, both in one run.

python benchmarks/bilateral_grid.py [--runs 15]

Prints two Markdown tables: slice-and-apply and a whole frame (8-bit in, 8-bit out) at 720p, 1080p
and 4K, and a training iteration (batch 4 of 320x320). Milliseconds are medians of runs taking
turns; the reference is `grid_sample` and the guide by tensor operators, on the same weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch
from torch.nn import functional as F

from enhancement.archs.bilateral import slicing
from enhancement.archs.hdrnet_arch import HDRNet
from enhancement.inference.frames import FrameEnhancer

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920), "4K": (2160, 3840)}


def with_tensor_operators(job: Callable[[], object]) -> Callable[[], object]:
    """The same job without the fused kernels."""

    def run() -> object:
        with mock.patch.object(slicing, "can_fuse", return_value=False):
            return job()

    return run


def medians(jobs: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Median milliseconds of jobs taking turns, each as often as its number says."""
    for job, _ in jobs.values():
        job()
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(max(n for _, n in jobs.values())):
        for name, (job, runs) in jobs.items():
            if turn < runs:
                began = time.perf_counter()
                job()
                times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(t) for name, t in times.items()}


def trained_like(**arguments: object) -> HDRNet:
    """A network whose grid and guide vary, as after training."""
    torch.manual_seed(0)
    network = HDRNet(**arguments).eval()  # type: ignore[arg-type]
    for parameter in network.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape)
    return network


def measure_slicing(size: tuple[int, int], runs: int) -> tuple[float, float, float]:
    """Milliseconds of the reference and the fused slice-and-apply, and their largest difference."""
    generator = torch.Generator().manual_seed(0)
    grid = torch.rand(1, 12, 8, 16, 16, generator=generator)
    image = torch.rand(1, 3, *size, generator=generator)
    guide = image.mean(1, keepdim=True)

    def job() -> torch.Tensor:
        with torch.inference_mode():
            return slicing.slice_and_apply(grid, guide, image)

    reference = with_tensor_operators(job)
    took = medians({"reference": (reference, max(3, runs // 3)), "fused": (job, runs)})
    return took["reference"], took["fused"], (job() - reference()).abs().max().item()  # type: ignore[operator]


def whole_frame(network: HDRNet, size: tuple[int, int], runs: int) -> tuple[float, float, int]:
    """The same of a whole frame; the difference is in 8-bit levels."""
    small = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    coarse = torch.from_numpy(small).permute(2, 0, 1)[None].float()
    frame = F.interpolate(coarse, size, mode="bicubic").clamp(0, 255)
    frame8 = frame[0].permute(1, 2, 0).round().byte().contiguous().numpy()
    enhancer = FrameEnhancer(network)

    def by_tensors() -> np.ndarray:
        with torch.inference_mode():
            image = torch.from_numpy(frame8).permute(2, 0, 1)[None].float() / 255
            levels = (network(image)[0].clamp(0, 1) * 255).round().byte()
            return levels.permute(1, 2, 0).contiguous().numpy()

    reference = with_tensor_operators(by_tensors)
    jobs = {"reference": (reference, max(3, runs // 3)), "fused": (lambda: enhancer(frame8), runs)}
    took = medians(jobs)
    difference = np.abs(enhancer(frame8).astype(int) - reference().astype(int)).max()  # type: ignore[attr-defined]
    return took["reference"], took["fused"], int(difference)


def training(network: HDRNet, runs: int) -> tuple[float, float, float]:
    """The same of a training iteration; the difference is that of gradients to the largest."""
    lq, gt = torch.rand(2, 4, 3, 320, 320, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters(), 0.0)

    def job() -> list[torch.Tensor]:
        optimizer.zero_grad(set_to_none=True)
        F.l1_loss(network(lq), gt).backward()
        optimizer.step()
        return [p.grad for p in network.parameters() if p.grad is not None]

    reference = with_tensor_operators(job)
    took = medians({"reference": (reference, max(3, runs // 3)), "fused": (job, runs)})
    pairs = zip(job(), reference(), strict=True)  # type: ignore[arg-type]
    worst = max(((a - b).abs().max() / b.abs().max().clamp(min=1e-6)).item() for a, b in pairs)
    return took["reference"], took["fused"], worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    modes = {
        "affine": trained_like(),
        "illumination": trained_like(mode="illumination", fusion="concat"),
        "illumination, pointwise guide": trained_like(mode="illumination", guide="pointwise"),
    }
    print(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}\n")
    print("| what | size | PyTorch, ms | fused, ms | ratio | frames/s | largest difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, size in SIZES.items():
        reference, fused, difference = measure_slicing(size, runs)
        figures = f"{reference:.0f} | {fused:.1f} | {reference / fused:.1f}"
        print(f"| slice and apply | {name} | {figures} | | {difference:.1e} |")
    for mode, network in modes.items():
        for name, size in SIZES.items():
            reference, fused, levels = whole_frame(network, size, runs)
            figures = f"{reference:.0f} | {fused:.1f} | {reference / fused:.1f}"
            rate = f"{1000 / fused:.0f}"
            print(f"| whole frame, {mode} | {name} | {figures} | {rate} | {levels}/255 |")
    print(
        "\n| training iteration, 4 x 320x320 | PyTorch, ms | fused, ms | ratio | gradients differ |"
    )
    print("| --- | --- | --- | --- | --- |")
    for mode, network in modes.items():
        reference, fused, difference = training(network.train(), runs)
        figures = f"{reference:.0f} | {fused:.0f} | {reference / fused:.1f}"
        print(f"| {mode} | {figures} | {difference:.1e} |")


if __name__ == "__main__":
    main()

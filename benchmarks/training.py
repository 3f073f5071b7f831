"""What the training loop costs: over bare iterations on the same tensors, and beside BasicSR's.

python benchmarks/training.py [--iterations 60]

Our loop runs as it is; after each of its iterations the rival does one, in the same process.
Prints Markdown tables of medians, and of the median of each turn's ratio. Times are the
processor's, so that other work beside does not count: run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import yaml
from skimage import data as photographs
from torch import Tensor
from torch.nn import functional as F

from enhancement.config.context import RunContext
from enhancement.config.load import load_config
from enhancement.data.images import write_image
from enhancement.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY, build, lookup
from enhancement.training import command as train
from enhancement.training import setup
from enhancement.training.progress import Progress

HDRNET = {"type": "HDRNet"}
LNET = {"type": "LNetGIE"}
TENSORS = [
    (HDRNET, (4, 320, 320)),
    (HDRNET, (1, 256, 256)),
    ({"type": "HDRNet", "mode": "illumination", "batch_norm": True}, (4, 320, 320)),
    (LNET, (8, 256, 512)),
    (LNET, (4, 320, 320)),
    (LNET, (1, 64, 64)),
    ({"type": "RetinexFormer"}, (1, 96, 96)),
]
FILES = [(HDRNET, 4, 320), (HDRNET, 1, 256), (LNET, 4, 320), (LNET, 1, 64)]
ADAM = {"type": "Adam", "lr": 1e-4}


def option_file(network: dict[str, Any], iterations: int, **train_set: Any) -> str:
    """An option file over the made pairs; its name."""
    never = iterations + 1
    options = {
        "name": "benchmark",
        "model_type": "EnhancementModel",
        "network_g": network,
        "num_gpu": 0,
        "datasets": {
            "train": {
                "name": "pairs",
                "type": "PairedDataset",
                "dataroot_lq": "lq",
                "dataroot_gt": "gt",
                "gt_size": 64,
                **train_set,
            }
        },
        "train": {"total_iter": iterations, "optim_g": ADAM, "pixel_opt": {"type": "L1Loss"}},
        "val": {"val_freq": never},
        "logger": {"print_freq": 50, "save_checkpoint_freq": never},
    }
    Path("benchmark.yml").write_text(yaml.safe_dump(options))
    return "benchmark.yml"


def make_pairs(count: int = 16) -> None:
    """Pairs of 600x400 from a photograph, as PNG."""
    coffee = photographs.coffee()
    for i in range(count):
        gt = coffee[:, ::-1] if i % 2 else coffee
        write_image(Path(f"gt/{i}.png"), gt)
        write_image(Path(f"lq/{i}.png"), gt // 5)


def taking_turns(path: str, rival: Iterator[None]) -> tuple[list[float], list[float]]:
    """Seconds of each of our loop's iterations, and of the rival's after it."""
    ours: list[float] = []
    theirs: list[float] = []
    advance, began = Progress.advance, time.process_time()

    def turn(self: Any, iteration: int) -> bool:
        nonlocal began
        ended = time.process_time()
        next(rival)
        ours.append(ended - began)
        theirs.append(time.process_time() - ended)
        began = time.process_time()
        return advance(self, iteration)

    with tempfile.TemporaryDirectory() as runs, patch.object(Progress, "advance", turn):
        force = ["--force_yml", f"path:experiments={runs}"]
        train.run_training(train.parse(["--opt", path, *force]))
    warm = len(ours) // 5
    return ours[warm:-1], theirs[warm:-1]


def bare(network: dict[str, Any], lq: Tensor, gt: Tensor) -> Iterator[None]:
    """Forward, loss, backward and step, and nothing else."""
    net = build(ARCH_REGISTRY, network).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=ADAM["lr"])
    while True:
        optimizer.zero_grad(set_to_none=True)
        F.l1_loss(net(lq), gt).backward()
        optimizer.step()
        yield


class SameTensors:
    """A loader of one batch, again and again."""

    def __init__(self, lq: Tensor, gt: Tensor):
        self.batch, self.dataset = {"lq": lq, "gt": gt, "lq_path": ["made"]}, [None]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self.batch


def basicsr(path: str) -> Iterator[None]:
    """The loop of BasicSR's train.py, of its own parts: dataset, prefetcher, SRModel, logging."""
    from basicsr.data import build_dataloader
    from basicsr.data.data_sampler import EnlargedSampler
    from basicsr.data.prefetch_dataloader import CPUPrefetcher
    from basicsr.utils import AvgTimer, MessageLogger

    opt = RunContext(load_config(path)).as_basicsr()
    block = opt["datasets"]["train"]
    block |= {
        "io_backend": {"type": "disk"},
        "use_hflip": True,
        "use_rot": True,
        "num_worker_per_gpu": 0,
    }
    opt["train"]["optim_g"] = dict(ADAM)
    dataset = lookup(DATASET_REGISTRY, "PairedImageDataset")(block)
    sampler = EnlargedSampler(dataset, 1, 0, 1000)
    loader = build_dataloader(dataset, block, num_gpu=1, dist=False, sampler=sampler, seed=0)
    model = lookup(MODEL_REGISTRY, "SRModel")(opt)
    opt["logger"]["use_tb_logger"] = False
    say, prefetcher = MessageLogger(opt, 0, None), CPUPrefetcher(loader)
    data_timer, iter_timer = AvgTimer(), AvgTimer()
    sampler.set_epoch(0)
    prefetcher.reset()
    batch, iteration = prefetcher.next(), 0
    while True:
        data_timer.record()
        iteration += 1
        model.update_learning_rate(iteration, warmup_iter=-1)
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        iter_timer.record()
        if iteration % opt["logger"]["print_freq"] == 0:
            say(
                {
                    "epoch": 0,
                    "iter": iteration,
                    "lrs": model.get_current_learning_rate(),
                    "time": iter_timer.get_avg_time(),
                    "data_time": data_timer.get_avg_time(),
                    **model.get_current_log(),
                }
            )
        data_timer.start()
        iter_timer.start()
        batch = prefetcher.next()
        yield


def row(name: str, ours: list[float], theirs: list[float]) -> str:
    """A line of a table: both medians in ms, and the median ratio of ours to theirs."""
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    a, b = (1000 * statistics.median(times) for times in (ours, theirs))
    return f"| {name} | {b:.2f} | {a:.2f} | {a - b:+.2f} | {ratio:.3f} |"


def name_of(network: dict[str, Any]) -> str:
    return " ".join(str(value) for value in network.values() if value is not True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=60)
    iterations = parser.parse_args().iterations
    logging.getLogger("basicsr").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_pairs()
        lines = [
            "| the same tensors | bare, ms | our loop, ms | cost, ms | ratio |",
            "| --- | --- | --- | --- | --- |",
        ]
        for network, (batch, height, width) in TENSORS:
            lq = torch.rand(batch, 3, height, width) / 2
            gt, path = lq * 1.5, option_file(network, iterations)
            with patch.object(setup, "train_loader", lambda *_, a=lq, b=gt: SameTensors(a, b)):
                times = taking_turns(path, bare(network, lq, gt))
            lines.append(row(f"{name_of(network)}, {batch} x {height}x{width}", *times))
        lines += [
            "",
            "| the same files | BasicSR's loop, ms | our loop, ms | cost, ms | ratio |",
            "| --- | --- | --- | --- | --- |",
        ]
        for network, batch, size in FILES:
            for cache in ("none", "ram"):
                path = option_file(
                    network, iterations, batch_size_per_gpu=batch, gt_size=size, cache=cache
                )
                times = taking_turns(path, basicsr(path))
                images = "" if cache == "none" else ", our images kept in memory"
                name = f"{name_of(network)}, {batch} x {size}x{size}{images}"
                lines.append(row(name, *times))
        os.chdir("/")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

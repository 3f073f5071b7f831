"""What waiting threads cost: how often OpenMP's threads look for work before they sleep.

python benchmarks/busy_cores.py [--spins 300000 10000 1000 0] [--runs 3]

Prints Markdown: milliseconds of each job by as many threads as there are cores and by each number
of spins (GOMP_SPINCOUNT), on an idle machine and beside as many busy loops as cores. Each figure is
the median over processes that take turns, of medians in each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tabulate import tabulate

LIBGOMP = 300_000  # spins by default
BUSY = "while True: pass"
REPEATS = 7


def measured() -> dict[str, float]:
    """Seconds of each job, in this process."""
    import torch
    from measure import medians

    import enhancement
    from enhancement.registry import ARCH_REGISTRY, lookup

    enhance = enhancement.load("surgery")
    frame = torch.rand(3, 720, 1280)
    network = lookup(ARCH_REGISTRY, "LYTNet")()
    crops = torch.rand(4, 3, 96, 96)

    def train() -> None:
        network.zero_grad()
        network(crops).mean().backward()

    def infer() -> None:
        with torch.inference_mode():
            network(crops)

    jobs = {
        "`surgery`, a frame of 720p": lambda: enhance(frame),
        "LYT-Net, 4 crops of 96x96": infer,
        "LYT-Net, a training step of the same": train,
    }
    return medians(jobs, REPEATS)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Processes that keep cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def in_process(spins: int) -> dict[str, float]:
    """`measured` in a process of its own whose threads spin so often."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    environment["GOMP_SPINCOUNT"] = str(spins)
    command = [sys.executable, __file__, "--measure"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure what waiting threads cost.")
    parser.add_argument("--spins", type=int, nargs="*", default=[LIBGOMP, 10_000, 1000, 0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured()))
        return
    cores = len(os.sched_getaffinity(0))
    print(f"Load before: {os.getloadavg()[0]:.1f} on {cores} cores\n")
    rows = []
    for loops in (0, cores):
        found: dict[int, list[dict[str, float]]] = {spins: [] for spins in arguments.spins}
        with busy_loops(loops):
            for _ in range(arguments.runs):
                for spins, runs in found.items():
                    runs.append(in_process(spins))
        for job in found[arguments.spins[0]][0]:
            times = [statistics.median(run[job] for run in runs) for runs in found.values()]
            beside = f"{loops} busy loops" if loops else "nothing"
            rows.append([job, beside, *(f"{1e3 * seconds:.0f}" for seconds in times)])
    head = ["job", "beside", *(f"{spins:,} spins" for spins in arguments.spins)]
    print(tabulate(rows, head, "github", colalign=("left", "left", *["right"] * len(times))))


if __name__ == "__main__":
    main()

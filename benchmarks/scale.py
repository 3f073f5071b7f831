"""How far `enhance run` goes: what a frame costs, two processes against one, and what a plan costs.

python benchmarks/scale.py FRAMES [--count 12] [--pairs 2] [--images 600] [--files 20000]

FRAMES is a folder of endoscopy frames. Prints Markdown: for each network the processor's seconds a
frame, read and written, in one process of one thread, which other work on the machine hardly
changes, and from these the hours for a million; the frames a second of one process and of two that
take turns, each with one thread and a core of its own (for the first of `--weights`), which must
write the same bytes; and the time and memory of a plan for many files.
"""

from __future__ import annotations

import argparse
import filecmp
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import torch
from measure import added_memory

from enhancement.inference.engines import convert_now
from enhancement.inference.enhancer import load
from enhancement.inference.image_files import enhance_images
from enhancement.inference.jobs import Job, plan
from enhancement.weights.shipped import shipped_weights

FEW = 2
MILLION = 10**6


def run(folder: Path, out: Path, weights: str, processes: int) -> float:
    """Enhance a folder in processes with a core each; seconds of the slowest, without its start."""
    shutil.rmtree(out, ignore_errors=True)
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "enhancement", "run", folder, "-o", out, "--weights", weights]
    started = [
        subprocess.Popen(
            ["taskset", "-c", str(cores[rank % len(cores)]), *command, "--launcher", "pytorch"],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "MASTER_PORT": str(os.getpid()),
            },
        )
        for rank in range(processes)
    ]
    said = [process.communicate()[0] for process in started]
    return max(float(s) for text in said for s in re.findall(r"files in ([\d.]+) s", text))


def same(one: Path, two: Path) -> bool:
    """Whether two folders hold the same files."""
    names = sorted(p.name for p in one.iterdir())
    found = sorted(p.name for p in two.iterdir())
    return names == found and not any(filecmp.cmpfiles(one, two, names, shallow=False)[1:])


def cost(frames: list[Path], out: Path, weights: str) -> float:
    """Seconds of the processor for a frame, all threads of this process together."""
    enhancer = load(weights).core
    convert_now(enhancer.network)
    jobs = [Job(frame, out / frame.name) for frame in frames]
    enhance_images(jobs[:FEW], enhancer)  # kernels are compiled
    began = time.process_time()
    assert not enhance_images(jobs, enhancer)
    return (time.process_time() - began) / len(jobs)


def pairs(work: Path, weights: str, count: int, runs: int) -> str:
    """One process against two."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(runs):
        for processes, found in rates.items():
            found.append(count / run(work / "many", work / f"out{processes}", weights, processes))
    equal = "the same bytes" if same(work / "out1", work / "out2") else "OTHER BYTES"
    one, two = (statistics.median(found) for found in rates.values())
    ratio = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
    return (
        f"`{weights}`: {one:.1f} frames/s in one process, {two:.1f} in two ({ratio:.2f}), {equal}"
    )


def plan_of(count: int) -> None:
    """What a plan for many files costs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "in")
        folder.mkdir()
        for i in range(count):
            (folder / f"{i:07}.jpg").touch()
        began = time.process_time()
        made = plan([str(folder)], str(Path(name, "out")))
        seconds = time.process_time() - began
        print(
            f"\nA plan for {len(made.jobs):,} files takes {seconds:.1f} s of the processor", end=""
        )
        print(f" and {added_memory(_planned, folder):.0f} MiB.")


def _planned(folder: Path):
    return lambda: plan([str(folder)], str(folder.parent / "out"))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure enhance run at scale.")
    parser.add_argument("frames", type=Path)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--weights", nargs="*", default=sorted(shipped_weights()))
    parser.add_argument("--pairs", type=int, default=2, help="runs of one process and of two")
    parser.add_argument("--images", type=int, default=600, help="of each run, frames again")
    parser.add_argument("--files", type=int, default=20000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(f"Load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "in").mkdir()
        for frame in sorted(arguments.frames.iterdir())[: arguments.count]:
            shutil.copy(frame, work / "in")
        frames = sorted((work / "in").iterdir())
        print("| weights | processor ms a frame | core hours for a million |\n|---|---|---|")
        for weights in arguments.weights:
            seconds = cost(frames, work / "out", weights)
            hours = seconds * MILLION / 3600
            print(f"| `{weights}` | {seconds * 1e3:.0f} | {hours:.1f} |", flush=True)
        if arguments.pairs:
            (work / "many").mkdir()
            for i, frame in zip(range(arguments.images), itertools.cycle(frames)):
                shutil.copy(frame, work / "many" / f"{i:05}{frame.suffix}")
            print("\n" + pairs(work, arguments.weights[0], arguments.images, arguments.pairs))
    plan_of(arguments.files)


if __name__ == "__main__":
    main()

"""What several tests use: tiny made images, option files and runs."""

import os
import signal
from pathlib import Path

import av
import numpy as np
import psutil
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from enhancement.config.context import RunContext
from enhancement.config.load import load_config
from enhancement.data.images import write_image
from enhancement.memory import used_memory
from enhancement.training import command
from enhancement.training.progress import Progress
from enhancement.training.setup import build_model
from enhancement.weights import state_dicts, storage

ROOT = Path(__file__).resolve().parent.parent


def picture(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth colour picture, different for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    phase, speed = rng.uniform(0, 6, (2, 3)), rng.uniform(0.05, 0.4, (2, 3))
    waves = np.sin(x[..., None] * speed[0] + phase[0]) * np.cos(y[..., None] * speed[1] + phase[1])
    return np.round((0.5 + 0.4 * waves) * 255).astype(np.uint8)


def make_pairs(root: Path, lq: str, gt: str, count: int = 4, **size: int) -> None:
    """Write pairs of a dark and a bright picture."""
    for i in range(count):
        bright = picture(i, **size)
        write_image(root / gt / f"{i}.png", bright)
        write_image(root / lq / f"{i}.png", bright // 6)


def make_clip(
    path: Path, frames: list[np.ndarray], rate: int = 25, pixels: str = "yuv444p"
) -> None:
    """Write pictures as a video, each nearly as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "5", "g": "4"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


def tiny_options(**changes) -> dict:
    """A complete option file over datasets/high_low, two iterations long."""
    options = {
        "name": "tiny",
        "model_type": "EnhancementModel",
        "num_gpu": 0,
        "network_g": {"type": "AODNet"},
        "datasets": {
            "train": {
                "name": "pairs",
                "type": "PairedDataset",
                "layout": "high_low",
                "split": "train",
                "gt_size": 32,
                "batch_size_per_gpu": 2,
                "val_fraction": 0.25,
            },
            "test": {
                "name": "pairs",
                "type": "PairedDataset",
                "layout": "high_low",
                "split": "test",
            },
        },
        "train": {
            "total_iter": 2,
            "optim_g": {"type": "Adam", "lr": 1e-3},
            "pixel_opt": {"type": "L1Loss"},
        },
        "val": {"val_freq": 1},
        "logger": {"print_freq": 1, "save_checkpoint_freq": 1},
    }
    return merge(options, changes)


def merge(into: dict, changes: dict) -> dict:
    """Deep merge for tests; None removes a key."""
    for key, value in changes.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
    return into


def run(*arguments):
    """Train as the command line would; the exit status."""
    return command.run_training(command.parse([str(a) for a in arguments]))


def weights(name="tiny", label="latest"):
    """A run's weights by name."""
    return state_dicts.read_weights(f"experiments/{name}/models/net_g_{label}.pth", "params")[0]


def events(folder):
    """What TensorBoard reads in a run's folder."""
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0})
    return accumulator.Reload()


def run_until(path, name, iteration, *flags):
    """Train with Ctrl-C at an iteration; the state left behind."""
    step = Progress.advance

    def advance(self, current):
        if current == iteration:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, current)

    Progress.advance = advance
    try:
        status = run("--opt", path, "--force_yml", f"name={name}", *flags)
    finally:
        Progress.advance = step
    assert status == command.EXIT_RESUMABLE
    return storage.read(f"experiments/{name}/training_states/latest.state")


def model_of(path, rank=0, world_size=1):
    """The model of an option file, ready to train."""
    return build_model(RunContext(load_config(path), rank, world_size))


def memory_in_use() -> int:
    """Bytes of this process, without what earlier tests have freed but the heap still keeps."""
    psutil.heap_trim()
    return used_memory()

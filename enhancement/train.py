"""Train one network from an option file. The loop is `train`, and reads from top to bottom."""

from __future__ import annotations

import argparse
import logging
import random
import signal
import sys
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from enhancement import checkpoint, distributed
from enhancement.compat import MODEL_REGISTRY, lookup
from enhancement.data.loader import eval_loader, train_loader
from enhancement.errors import UserError, command_line
from enhancement.evaluation import Scores
from enhancement.options import Options, load_options, prepare_run
from enhancement.tracking import Progress, Tracker, duration, log_to_file, log_to_terminal

logger = logging.getLogger("enhancement")

EXIT_INTERRUPTED = 130
DEBUG = {"total_iter": 16, "every": 8}


class Interrupt:
    """The first Ctrl-C lets the iteration finish; the second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self.before = signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, self.before)

    def close(self) -> None:
        """Give the signal back."""
        signal.signal(signal.SIGINT, self.before)


def train(opt: Options, run: Path, resume: Path | None = None) -> int:
    """Train to `train.total_iter`.

    Args:
        opt: From `prepare_run`.
        run: The run's folder.
        resume: A training state to go on from.

    Returns:
        The exit status: 0, or 130 where Ctrl-C ended it early.
    """
    first = opt["rank"] == 0
    total, freq = opt["train"]["total_iter"], opt["logger"]["save_checkpoint_freq"]
    seed_all(opt["manual_seed"] + opt["rank"])
    model = lookup(MODEL_REGISTRY, opt["model_type"])(deepcopy(opt))
    start = restore(model, resume) if resume else 0
    sets = opt["datasets"]
    batches = train_loader(
        sets["train"], total, start, opt["manual_seed"], opt["rank"], opt["world_size"]
    )
    validation = {key: eval_loader(block) for key, block in sets.items() if key.startswith("val")}
    describe(opt, model, len(batches.dataset), validation)
    tracker = Tracker(run, opt, start) if first else None
    progress = Progress(total, start, opt["logger"]["print_freq"], first)
    interrupt = Interrupt()
    iteration, asked_at = start, time.perf_counter()
    for iteration, batch in enumerate(batches, start + 1):
        progress.data_ready(time.perf_counter() - asked_at)
        model.update_learning_rate(iteration, opt["train"]["warmup_iter"])
        model.feed_data(batch)
        model.optimize_parameters(iteration)
        if progress.advance(iteration) and tracker:
            log_iteration(iteration, model, progress, tracker)
        paused_at = time.perf_counter()
        if iteration % opt["val"]["val_freq"] == 0 or iteration == total:
            validate(model, validation, iteration, tracker)
        if iteration % freq == 0 or iteration == total or interrupt.asked:
            save(model, run, iteration, first)
        if interrupt.asked:
            break
        asked_at = time.perf_counter()
        progress.skip(asked_at - paused_at)
    interrupt.close()
    progress.close()
    if tracker:
        tracker.finish(final_metrics(model)) if iteration == total else tracker.close()
    if iteration < total:
        logger.info("Stopped by Ctrl-C at iteration %d; the checkpoint is whole. Go on with "
                    "--auto_resume.", iteration)  # fmt: skip
        return EXIT_INTERRUPTED
    return 0


def seed_all(seed: int) -> None:
    """Seed every random generator."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def describe(opt: Options, model: Any, length: int, validation: dict[str, Any]) -> None:
    """Say what is about to be trained, on what."""
    count = sum(p.numel() for p in model.net_g.parameters())
    name = opt["network_g"]["type"]
    logger.info("%s: %s with %s parameters", opt["name"], name, f"{count:,}")
    logger.info("%s", opt["device_note"])
    sets = [f"train {length}", *(f"{k} {len(v.dataset)}" for k, v in validation.items())]
    logger.info("Images: %s", ", ".join(sets))
    if not validation:
        logger.info("No validation set: the latest checkpoint is the result")


def log_iteration(iteration: int, model: Any, progress: Progress, tracker: Tracker) -> None:
    """Losses, learning rate and times, to the terminal and TensorBoard."""
    terms = model.get_current_log()
    rate, times = model.get_current_learning_rate()[0], progress.times()
    progress.show(iteration, terms, rate, times)
    for name, value in terms.items():
        tracker.add_scalar(f"losses/{name}", value, iteration)
    tracker.add_scalar("train/learning_rate", rate, iteration)
    for name, seconds in times.items():
        tracker.add_scalar(f"time/{name}", seconds, iteration)


def validate(model: Any, loaders: dict[str, Any], iteration: int, tracker: Tracker | None) -> None:
    """Score every validation set; keep the weights where the first set's score is the best yet."""
    if tracker:
        val = model.opt["val"]
        for key, loader in loaders.items():
            scores = model.validation(loader, iteration, tracker, val["save_img"])
            if not isinstance(scores, Scores):  # BasicSR's own models keep their scores
                continue
            means = scores.mean()
            logger.info(
                "iteration %d  %s (%s)  %s", iteration, scores.dataset, scores.protocol,
                "  ".join(f"{k} {v:.4f}" for k, v in means.items() if v is not None),
            )  # fmt: skip
            if key == "val":
                keep_best(model, scores, iteration)
    distributed.wait_for_all()


def keep_best(model: Any, scores: Scores, iteration: int) -> None:
    """Write `net_g_best.pth` where the score is the best yet."""
    val = model.opt["val"]
    value = scores.mean()[val["select_by"]]
    if value is None or (model.best and value <= model.best["value"]):
        return
    model.best = {
        "metric": val["select_by"],
        "value": value,
        "protocol": scores.protocol,
        "dataset": scores.dataset,
        "iteration": iteration,
        "on_test_set": val["select_on_test"],
    }
    model.save(0, iteration, "best")


def save(model: Any, run: Path, iteration: int, first: bool) -> None:
    """Write the latest weights and, for our models, the state to resume from."""
    if not first:
        return
    if not hasattr(model, "training_state"):
        model.save(0, iteration)
        return
    model.save(0, iteration, "latest")
    state = {"iteration": iteration, **model.training_state()}
    checkpoint.save(run / "training_states" / "latest.state", state)


def restore(model: Any, path: Path) -> int:
    """Take over a training state; the iteration it was saved at."""
    state = checkpoint.read(path)
    if not hasattr(model, "training_state") or "net_g" not in state:
        raise UserError(f"{path}: only runs of our own models can be resumed")
    model.resume_training(state)
    logger.info("Going on from iteration %d (%s)", state["iteration"], path)
    return int(state["iteration"])


def final_metrics(model: Any) -> dict[str, float]:
    """The run's result, for TensorBoard's HPARAMS tab."""
    best = getattr(model, "best", None)
    if not best:
        return {}
    return {f"best/{best['dataset']}/{best['protocol']}/{best['metric']}": best["value"]}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("basicsr/train.py", description="Train a network.")
    parser.add_argument("--opt", "-opt", required=True, help="option file")
    parser.add_argument(
        "--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE", help="override options"
    )
    parser.add_argument("--auto_resume", action="store_true", help="go on with the run if there")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument(
        "--debug", action="store_true",
        help=f"{DEBUG['total_iter']} iterations in a folder of its own, everything every "
        f"{DEBUG['every']}",
    )  # fmt: skip
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def debug_settings(name: str) -> list[str]:
    """Option settings that make a short trial of a run."""
    return [
        f"name=debug_{name}", f"train:total_iter={DEBUG['total_iter']}",
        f"val:val_freq={DEBUG['every']}", f"logger:save_checkpoint_freq={DEBUG['every']}",
        "logger:print_freq=1",
    ]  # fmt: skip


def open_run(opt: Options, resolved: Options, auto_resume: bool) -> None:
    """Make the run's folder, or enter the one that is to be continued.

    Raises:
        UserError: The folder holds a run already and was not to be resumed.
    """
    run = Path(opt["path"]["experiments_root"])
    asked = auto_resume or opt["path"]["resume_state"] or opt["name"].startswith("debug_")
    if (run / "options.yml").exists() and not asked:
        raise UserError(
            f"{run}: holds a run already; go on with --auto_resume, give this one another name "
            f"(--force_yml name=...), or remove that folder"
        )
    try:
        for folder in ("models", "training_states"):
            (run / folder).mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(resolved, sort_keys=False)
        (run / "options.yml").write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{run}: cannot be written ({error})") from error


def state_to_resume(opt: Options, auto_resume: bool) -> Path | None:
    """The training state to go on from: the run's own latest, or the one the options name."""
    latest = Path(opt["path"]["training_states"], "latest.state")
    if auto_resume and latest.exists():
        return latest
    return Path(opt["path"]["resume_state"]) if opt["path"]["resume_state"] else None


@command_line
def main() -> int:
    """The command `basicsr/train.py`."""
    return run_training(parse())


def run_training(arguments: argparse.Namespace) -> int:
    """Check the options, open the run, train; the exit status."""
    log_to_terminal()
    force = list(arguments.force_yml)
    if arguments.debug:
        name = load_options(arguments.opt, force)["name"]
        force += debug_settings(name)
    resolved = load_options(arguments.opt, force)
    rank, world_size = distributed.start(arguments.launcher)
    try:
        log_to_terminal(quiet=rank > 0)
        opt = prepare_run(resolved, True, rank, world_size)
        run = Path(opt["path"]["experiments_root"])
        if rank == 0:
            open_run(opt, resolved, arguments.auto_resume)
            log_to_file(run / "train.log")
        distributed.wait_for_all()
        resume = state_to_resume(opt, arguments.auto_resume)
        began = time.perf_counter()
        status = train(opt, run, resume)
        if status == 0:
            weights = ", ".join(str(path) for path in sorted((run / "models").glob("*.pth")))
            logger.info("Done in %s. Weights: %s", duration(time.perf_counter() - began), weights)
            logger.info("Watch: tensorboard --logdir %s", run.parent)
        return status
    finally:
        distributed.stop()


if __name__ == "__main__":
    sys.exit(main())

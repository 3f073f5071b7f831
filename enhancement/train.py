"""Train one network from an option file. The loop is `train`, and reads from top to bottom."""

from __future__ import annotations

import argparse
import logging
import math
import random
import signal
import sys
import time
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from enhancement import checkpoint, distributed
from enhancement.compat import MODEL_REGISTRY, lookup
from enhancement.data.loader import eval_loader, train_loader
from enhancement.dataset_check import NO_EFFECT
from enhancement.device import resolve_num_gpu
from enhancement.errors import EXIT_RESUMABLE, DataError, UserError, command_line
from enhancement.evaluation import Scores
from enhancement.options import Options, load_options, prepare_run
from enhancement.run_folder import (
    find_state,
    latest_state,
    locked,
    open_run,
    previous_state,
    prune,
    run_folder,
)
from enhancement.tracking import Progress, Tracker, duration, log_to_terminal

logger = logging.getLogger("enhancement")

DEBUG = {"total_iter": 16, "every": 8}


class Interrupt:
    """The first Ctrl-C, SIGTERM or SIGUSR1 (a cluster's warning) lets the iteration finish.

    A second one of its kind does what it does without us.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.asked: str | None = None
        self.before: dict[int, Any] = {
            number: signal.signal(number, self._ask) for number in self.SIGNALS
        }

    def _ask(self, number: int, _: Any) -> None:
        self.asked = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        signal.signal(number, self.before[number])

    def close(self) -> None:
        """Give the signals back."""
        for number, handler in self.before.items():
            signal.signal(number, handler)


def train(opt: Options, resolved: Options, arguments: argparse.Namespace) -> int:
    """Train to `train.total_iter`.

    Args:
        opt: From `prepare_run`.
        resolved: The same before that, to be kept in the run's folder.
        arguments: The command line's.

    Returns:
        The exit status: 0, or EXIT_RESUMABLE where a signal ended it early.
    """
    first, sets = opt["rank"] == 0, opt["datasets"]
    total, freq = opt["train"]["total_iter"], opt["logger"]["save_checkpoint_freq"]
    state = find_state(opt, resolved, arguments)
    seed_all(opt["manual_seed"] + opt["rank"])
    model = lookup(MODEL_REGISTRY, opt["model_type"])(deepcopy(opt))
    start = restore(model, state) if state else 0
    batches = train_loader(
        sets["train"], total, start, opt["manual_seed"], opt["rank"], opt["world_size"]
    )
    validation = {key: eval_loader(block) for key, block in sets.items() if key.startswith("val")}
    run = open_run(opt, resolved) if first else run_folder(opt)
    describe(opt, model, len(batches.dataset), validation)
    tracker = Tracker(run, resolved, start) if first else None
    progress = Progress(total, start, opt["logger"]["print_freq"], first)
    interrupt = Interrupt()
    iteration, saved, asked_at = start, start, time.perf_counter()
    try:
        for iteration, batch in enumerate(batches, start + 1):
            progress.data_ready(time.perf_counter() - asked_at)
            model.update_learning_rate(iteration, opt["train"]["warmup_iter"])
            model.feed_data(batch)
            model.optimize_parameters(iteration)
            check_update(iteration, model, batch)
            due = {n: iteration % f == 0 or iteration == total for n, f in
                   (("validate", opt["val"]["val_freq"]), ("save", freq))}  # fmt: skip
            due["log"] = progress.advance(iteration)
            stopping = distributed.any_process(bool(interrupt.asked))
            if any(due.values()) or stopping:
                log_iteration(iteration, model, progress, tracker)
            paused_at = time.perf_counter()
            if due["validate"] and not state and saved == start:
                save(model, iteration, first)  # there is a state before there is a best
            if due["validate"]:
                validate(model, validation, iteration, tracker)
            if due["save"] or stopping:
                save(model, iteration, first)
                saved = iteration
            if stopping:
                break
            asked_at = time.perf_counter()
            progress.skip(asked_at - paused_at)
    except DataError:
        if iteration > saved:
            save(model, iteration, first)
        raise
    finally:
        interrupt.close()
        progress.close()
        if tracker:
            tracker.finish(final_metrics(model) if iteration == total else {})
    if iteration < total:
        logger.info("Stopped by %s at iteration %d; the checkpoint is whole. Go on with "
                    "--auto_resume.", interrupt.asked or "another process", iteration)  # fmt: skip
        return EXIT_RESUMABLE
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
    for key in sorted(NO_EFFECT & opt["datasets"]["train"].keys()):
        logger.info("datasets.train.%s has no effect here: batches run on across epochs", key)
    if not validation:
        logger.info("No validation set: the latest checkpoint is the result")


def check_update(iteration: int, model: Any, batch: dict[str, Any]) -> None:
    """Say that an update was skipped, and stop the run where that happens again and again.

    Raises:
        UserError: `train.max_skipped` updates in a row; nothing is saved from then on.
    """
    in_a_row = getattr(model, "skipped_in_a_row", 0)
    if not in_a_row:
        return
    terms = model.get_current_log()
    broken = next((n for n, value in terms.items() if not math.isfinite(value)), "a gradient")
    files = ", ".join(map(str, batch.get("lq_path", ())))
    text = (
        f"iteration {iteration}: {broken} is {terms.get(broken, 'not a number')} (batch: {files})"
    )
    if in_a_row < model.opt["train"]["max_skipped"]:
        logger.warning("%s; update skipped, %d in this run", text, model.skipped)
        return
    raise UserError(
        f"{text}; {in_a_row} updates in a row had to be skipped. The last checkpoint is whole. "
        f"Start another run with a lower train.optim_g.lr or with train.grad_clip; "
        f"path:resume_state={latest_state(model.opt)} takes over this one's state"
    )


def log_iteration(iteration: int, model: Any, progress: Progress, tracker: Tracker | None) -> None:
    """Losses, learning rate and times, to the terminal and TensorBoard."""
    if not tracker:
        return
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
    best = model.best or {}
    same = [best.get(k) for k in ("metric", "protocol", "dataset")] == [
        val["select_by"], scores.protocol, scores.dataset
    ]  # fmt: skip
    if value is None or math.isnan(value) or (same and value <= best["value"]):
        return
    model.best = {
        "metric": val["select_by"],
        "value": value,
        "protocol": scores.protocol,
        "dataset": scores.dataset,
        "iteration": iteration,
        "on_test_set": val["on_test_set"],
    }
    model.save(0, iteration, "best")


def save(model: Any, iteration: int, first: bool) -> None:
    """Write the state to resume from, for our models, and the latest weights."""
    if not first:
        return
    networks = [getattr(model, n) for n in ("net_g", "net_g_ema") if hasattr(model, n)]
    if not all(v.isfinite().all() for n in networks for v in n.state_dict().values()):
        raise UserError(
            f"iteration {iteration}: the weights are not numbers any more and are not saved; the "
            f"checkpoint before is whole. Lower train.optim_g.lr or set train.grad_clip"
        )
    if not hasattr(model, "training_state"):
        model.save(0, iteration)
        return
    state = {"iteration": iteration, "world_size": model.opt["world_size"]}
    state |= model.training_state()
    opt, keep = model.opt, model.opt["logger"]["keep_last"]
    checkpoint.save(latest_state(opt), state, previous=previous_state(opt))
    model.save(0, iteration, "latest")
    if keep:
        checkpoint.save(latest_state(opt).with_name(f"{iteration}.state"), state)
        model.save(0, iteration, str(iteration))
        prune(run_folder(opt), keep)


def restore(model: Any, path: Path) -> int:
    """Take over a training state; the iteration it was saved at."""
    state = checkpoint.read(path)
    if not hasattr(model, "training_state") or "net_g" not in state:
        raise UserError(f"{path}: only runs of our own models can be resumed")
    before, now = state.get("world_size", 1), model.opt["world_size"]
    if before != now and not model.opt["rank"]:
        logger.warning("%s was saved by %d processes and goes on with %d: the batches differ from "
                       "now on, and so will the weights", path, before, now)  # fmt: skip
    if state["iteration"] >= model.opt["train"]["total_iter"] and path != latest_state(model.opt):
        raise UserError(
            f"{path}: is at iteration {state['iteration']}, which leaves nothing to train; "
            f"train.total_iter is {model.opt['train']['total_iter']}"
        )
    try:
        model.resume_training(state)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: does not fit this run's options ({reason})") from error
    if model.opt["rank"]:  # the state holds the first process's random numbers
        seed_all(model.opt["manual_seed"] + model.opt["rank"] + state["iteration"])
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
    rank, world_size = distributed.start(
        arguments.launcher,
        cuda=resolve_num_gpu(resolved["num_gpu"])[0] > 0,
        **(resolved["dist_params"] or {}),
    )
    try:
        log_to_terminal(quiet=rank > 0)
        opt = prepare_run(resolved, True, rank, world_size)
        began = time.perf_counter()
        run = run_folder(opt)
        with locked(run) if rank == 0 else nullcontext():
            status = train(opt, resolved, arguments)
        if status == 0:
            weights = ", ".join(str(path) for path in sorted((run / "models").glob("*.pth")))
            logger.info("Done in %s. Weights: %s", duration(time.perf_counter() - began), weights)
            logger.info("Watch: tensorboard --logdir %s", run.parent)
        return status
    finally:
        distributed.stop()


if __name__ == "__main__":
    sys.exit(main())

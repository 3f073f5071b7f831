"""Train one network from an option file. The loop is `train`, and reads from top to bottom."""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from typing import Any

from enhancement import distributed
from enhancement.config.check_datasets import NO_EFFECT
from enhancement.config.load import Options, load_options, prepare_run
from enhancement.data.blocks import DatasetBlock
from enhancement.data.loader import eval_loader, train_loader
from enhancement.data.to_device import OnDevice
from enhancement.device import resolve_num_gpu
from enhancement.errors import EXIT_RESUMABLE, DataError, UserError, command_line
from enhancement.randomness import seed_all
from enhancement.registry import MODEL_REGISTRY, lookup
from enhancement.training.interrupt import Interrupt
from enhancement.training.profiling import Profile
from enhancement.training.progress import Progress, log_to_terminal
from enhancement.training.run_folder import (
    find_state,
    latest_state,
    locked,
    open_run,
    run_folder,
    weights_files,
)
from enhancement.training.state import final_metrics, keep_best, read_state, restore, save
from enhancement.training.tracking import Tracker
from enhancement.units import duration

logger = logging.getLogger("enhancement")

DEBUG = {"total_iter": 16, "every": 8}


def train(opt: Options, resolved: Options, arguments: argparse.Namespace) -> int:
    """Train to `train.total_iter`.

    Args:
        opt: From `prepare_run`.
        resolved: The same before that, to be kept in the run's folder.
        arguments: The command line's.

    Returns:
        The exit status: 0, or EXIT_RESUMABLE where a signal ended it early.
    """
    first = opt["rank"] == 0
    sets = {key: DatasetBlock.of(key, block) for key, block in opt["datasets"].items()}
    total, freq = opt["train"]["total_iter"], opt["logger"]["save_checkpoint_freq"]
    kind = lookup(MODEL_REGISTRY, opt["model_type"])
    place = opt["rank"], opt["world_size"]
    shares = place if hasattr(kind, "training_state") else (0, 1)  # BasicSR's do not share
    with distributed.together():
        path = find_state(opt, resolved, arguments)
        state = read_state(path, opt) if path else None
        start = state["iteration"] if state else 0
        loader = train_loader(sets["train"], total, start, opt["manual_seed"], *place)
        profile = Profile(run_folder(opt) if first else None, arguments.profile, total - start)
        validation = {k: eval_loader(sets[k], *shares) for k in sets if k.startswith("val")}
    seed_all(opt["manual_seed"] + opt["rank"])
    model = kind(deepcopy(opt))
    with distributed.together():
        if state and path:
            restore(model, state, path)
        run = open_run(opt, resolved) if first else run_folder(opt)
        describe(opt, model, len(loader.dataset), validation)
        tracker = Tracker(run, resolved, start) if first else None
    progress = Progress(total, start, opt["logger"]["print_freq"], first)
    interrupt = Interrupt(ignore_repeats=opt["world_size"] > 1)
    batches = iter(OnDevice(loader, model.device))
    iteration, saved, stopping = start, start, False
    profile.start()
    try:
        while iteration < total:
            batch, stopping = next_batch(batches, progress, interrupt)
            if stopping:
                break
            iteration += 1
            model.update_learning_rate(iteration, opt["train"]["warmup_iter"])
            model.feed_data(batch)
            model.optimize_parameters(iteration)
            check_update(iteration, model, batch)
            profile.step()
            due = {n: iteration % f == 0 or iteration == total for n, f in
                   (("validate", opt["val"]["val_freq"]), ("save", freq))}  # fmt: skip
            if progress.advance(iteration) or any(due.values()):
                log_iteration(iteration, model, progress, tracker)
            paused_at = time.perf_counter()
            if due["validate"] and not state and saved == start:
                save(model, iteration)  # there is a state before there is a best
            if due["validate"]:
                validate(model, validation, iteration, tracker)
            if due["save"]:
                save(model, iteration)
                saved = iteration
            progress.skip(time.perf_counter() - paused_at)
        if stopping and progress.counted:
            log_iteration(iteration, model, progress, tracker)
        if stopping and iteration > saved:
            save(model, iteration)
    except DataError:
        if iteration > saved:
            save(model, iteration)
        raise
    finally:
        profile.close()
        progress.close()
        if tracker:
            tracker.finish(final_metrics(model) if iteration == total else {})
        interrupt.close()
    distributed.meet()  # a launcher ends the others as soon as one has left
    if stopping:
        logger.info("Stopped by %s at iteration %d; the checkpoint is whole. Go on with "
                    "--auto_resume.", interrupt.asked or "another process", iteration)  # fmt: skip
        return EXIT_RESUMABLE
    return 0


def next_batch(
    batches: Iterator[Any], progress: Progress, interrupt: Interrupt
) -> tuple[Any, bool]:
    """The next batch, and whether a process of the run was asked to stop before that.

    Raises:
        DataError: A process of the run could not read its batch.
    """
    batch, error, asked = None, None, bool(interrupt.asked)
    began = time.perf_counter()
    if not asked:  # a batch that is not used must not draw from the random generators
        try:
            batch = next(batches)
        except Exception as caught:
            error = caught
    progress.data_ready(time.perf_counter() - began)
    return batch, distributed.meet(error, asked)


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
    error = UserError(
        f"{text}; {in_a_row} updates in a row had to be skipped. The last checkpoint is whole. "
        f"Start another run with a lower train.optim_g.lr or with train.grad_clip; "
        f"path:resume_state={latest_state(model.opt)} takes over this one's state"
    )
    distributed.meet(error)  # processes skip together


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
    val = model.opt["val"]
    for key, loader in loaders.items():
        if not hasattr(model, "training_state"):  # BasicSR's own models keep their scores
            with distributed.together():
                if tracker:
                    model.validation(loader, iteration, tracker, val["save_img"])
            continue
        scores = model.validation(loader, iteration, tracker, val["save_img"])
        with distributed.together():
            if not tracker:
                continue
            means = scores.mean()
            logger.info(
                "iteration %d  %s (%s)  %s", iteration, scores.dataset, scores.protocol,
                "  ".join(f"{k} {v:.4f}" for k, v in means.items() if v is not None),
            )  # fmt: skip
            if key == "val":
                keep_best(model, scores, iteration)


def positive(text: str) -> int:
    """A whole number above 0, from the command line."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("basicsr/train.py", description="Train a network.")
    parser.add_argument("--opt", "-opt", required=True, help="option file")
    parser.add_argument(
        "--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE", help="override options"
    )
    parser.add_argument("--auto_resume", action="store_true", help="go on with the run if there")
    parser.add_argument(
        "--profile", type=positive, metavar="N", help="trace N iterations into the run's folder"
    )
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
        with ExitStack() as stack:
            with distributed.together():
                if rank == 0:
                    stack.enter_context(locked(run))
            status = train(opt, resolved, arguments)
        if status == 0:
            weights = ", ".join(map(str, weights_files(run)))
            logger.info("Done in %s. Weights: %s", duration(time.perf_counter() - began), weights)
            logger.info("Watch: tensorboard --logdir %s", run.parent)
        return status
    finally:
        distributed.stop()


if __name__ == "__main__":
    sys.exit(main())

"""The command `basicsr/train.py`: train one network from an option file."""

from __future__ import annotations

import argparse
import logging
import time
from contextlib import ExitStack

from enhancement import distributed
from enhancement.config.context import RunContext
from enhancement.config.load import load_config
from enhancement.device import add_threads, resolve_num_gpu, use_threads
from enhancement.errors import EXIT_RESUMABLE, UserError, command_line
from enhancement.units import duration

from .loop import train
from .progress import log_to_terminal
from .run_folder import locked, weights_files
from .setup import set_up

logger = logging.getLogger("enhancement")

DEBUG = {"total_iter": 16, "every": 8}


def positive(text: str) -> int:
    """A whole number above 0, from the command line."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("basicsr/train.py", description="Train a network.")
    add = parser.add_argument
    add("--opt", "-opt", required=True, help="option file")
    add("--dataset", help="train on this dataset instead of the option file's own")
    add("--schedule", help="train by this schedule instead of the option file's own")
    add("--force_yml", nargs="+", default=[], metavar="KEY:KEY=VALUE", help="override options")
    add("--auto_resume", action="store_true", help="go on with the run if it is there")
    extend = "with --auto_resume: a greater train.total_iter stretches the schedule"
    add("--extend", action="store_true", help=extend)
    add("--profile", type=positive, metavar="N", help="trace N iterations into the run's folder")
    distributed.add_launcher(parser)
    debug = (
        f"{DEBUG['total_iter']} iterations in a folder of its own, everything every "
        f"{DEBUG['every']}"
    )
    add("--debug", action="store_true", help=debug)
    add_threads(parser)
    add("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def debug_settings(name: str, force: list[str]) -> list[str]:
    """Option settings that make a short trial of a run, where `force` does not say otherwise."""
    return [
        f"train:total_iter={DEBUG['total_iter']}",
        f"val:val_freq={DEBUG['every']}",
        f"logger:save_checkpoint_freq={DEBUG['every']}",
        "logger:print_freq=1",
        *force,
        f"name=debug_{name}",  # in a folder of its own whatever the run is called
    ]


@command_line
def main() -> int:
    """The command `basicsr/train.py`."""
    return run_training(parse())


def run_training(arguments: argparse.Namespace) -> int:
    """Check the options, open the run, train.

    Returns:
        The exit status: 0, or EXIT_RESUMABLE where a signal ended it early.
    """
    log_to_terminal()
    use_threads(arguments.threads)
    if arguments.extend and not arguments.auto_resume:
        raise UserError("--extend: makes a run longer that is gone on with; add --auto_resume")
    chosen = {"dataset": arguments.dataset, "schedule": arguments.schedule}
    config = load_config(arguments.opt, arguments.force_yml, **chosen)
    if arguments.debug:
        force = debug_settings(config.name, arguments.force_yml)
        config = load_config(arguments.opt, force, **chosen)
    processes = config.dist_params.model_dump() if config.dist_params else {}
    cuda = resolve_num_gpu(config.num_gpu)[0] > 0
    rank, world_size = distributed.start(arguments.launcher, cuda=cuda, **processes)
    try:
        log_to_terminal(quiet=rank > 0)
        return _train(RunContext(config, rank, world_size), arguments)
    finally:
        distributed.stop()


def _train(context: RunContext, arguments: argparse.Namespace) -> int:
    began = time.perf_counter()
    with ExitStack() as stack:
        with distributed.synchronised_errors():
            if context.rank == 0:
                stack.enter_context(locked(context.folder))
        run = set_up(context, arguments)
        run.profile.start()
        try:
            stopped = train(run)
        finally:
            run.close()
        distributed.synchronise()  # a launcher ends the others as soon as one has left
    if stopped:
        logger.info(
            "Stopped by %s at iteration %d; the checkpoint is whole. Go on with --auto_resume.",
            *(run.interrupt.asked or "another process", run.iteration),
        )
        return EXIT_RESUMABLE
    weights = ", ".join(map(str, weights_files(context.folder)))
    logger.info("Done in %s. Weights: %s", duration(time.perf_counter() - began), weights)
    logger.info("Watch: tensorboard --logdir %s", context.folder.parent)
    return 0

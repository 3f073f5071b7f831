"""What is made before the first iteration: data, model, state, folder, logs."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from typing import Any

import torch

from enhancement import distributed
from enhancement.config.context import RunContext
from enhancement.config.dataset_keys import NO_EFFECT
from enhancement.config.schema import Config
from enhancement.data.loader import eval_loader, train_loader
from enhancement.data.to_device import OnDevice
from enhancement.errors import UserError
from enhancement.models.enhancement_model import EnhancementModel
from enhancement.randomness import seed_process
from enhancement.scoring.metrics import get_metric
from enhancement.weights.state_dicts import read_weights

from .interrupt import Interrupt
from .profiling import Profile
from .progress import Progress
from .run import Run
from .run_folder import find_state, open_run
from .state import check_images, is_own, read_state, restore
from .tracking import Tracker

logger = logging.getLogger("enhancement")


def set_up(context: RunContext, arguments: argparse.Namespace) -> Run:
    """Make a run.

    Args:
        context: The checked options, and which process this is.
        arguments: The command line's: `auto_resume`, `extend`, `debug` and `profile`.

    Raises:
        UserError: The run's folder cannot be used, the state does not fit, the profile is too long.
    """
    config, first = context.config, context.rank == 0
    total, seed = config.training.total_iter, config.manual_seed
    place = context.rank, context.world_size
    # BasicSR's own models score a whole set in one process
    shares = place if issubclass(config.model, EnhancementModel) else (0, 1)
    with distributed.synchronised_errors():
        path = find_state(context, arguments.auto_resume, arguments.debug, arguments.extend)
        state = read_state(path, context) if path else None
        start = state["iteration"] if state else 0
        resumed = path is not None and is_own(path, context)
        loader = train_loader(context.training_set, total, start, seed, *place)
        if state and resumed:
            check_images(loader.image_names, state.get("images"))
        profile = Profile(context.folder if first else None, arguments.profile, total - start)
        sets = {key: b for key, b in config.datasets.items() if b.phase == "val"}
        validation = {key: eval_loader(block, *shares) for key, block in sets.items()}
    seed_process(seed, context.rank)
    model = build_model(context)
    with distributed.synchronised_errors():
        prepare_selection(config, model.device)
    tracker = None
    with distributed.synchronised_errors():
        best = restore(model, state, path, context) if state and path else None
        if first:
            open_run(context)
            tracker = Tracker(context.folder, config, start)
        describe(context, model, len(loader.dataset), validation)
        for text in check_stages(model) if first else ():
            logger.warning(text)
    interrupt = Interrupt(ignore_repeats=context.world_size > 1)  # before workers inherit signals
    return Run(
        context=context,
        model=model,
        batches=iter(OnDevice(loader, model.device)),
        validation=validation,
        progress=Progress(total, start, config.logger.print_freq, first),
        tracker=tracker,
        profile=profile,
        interrupt=interrupt,
        images=loader.image_names,
        resumed=resumed,
        start=start,
        iteration=start,
        scored=state["scored"] if state and resumed and "scored" in state else start,
        best=best,
    )


def check_stages(model: Any) -> Iterator[str]:
    """A line for each frozen part that was itself trained with other weights than are frozen.

    Args:
        model: As built; one of BasicSR's freezes nothing.
    """
    frozen: dict[str, dict[str, str]] = getattr(model, "frozen", {})
    for name, found in frozen.items():
        trained = read_weights(found["file"])[1].get("frozen", {})
        for part in trained.keys() & frozen.keys():
            if trained[part]["sha256"] != frozen[part]["sha256"]:
                yield (
                    f"train.frozen: {found['file']} was trained with another {part} than "
                    f"{frozen[part]['file']}; train {name} anew, or freeze the one that it knows"
                )


def prepare_selection(config: Config, device: torch.device) -> None:
    """Fetch what the metric needs that checkpoints are chosen by.

    Raises:
        UserError: It cannot be computed here.
    """
    try:
        get_metric(config.val.select_by).prepare(device)
    except UserError as error:
        raise UserError(f"val.select_by: {error}") from error


def build_model(context: RunContext) -> Any:
    """The model that `model_type` names, ours or one of BasicSR's."""
    kind = context.config.model
    ours = issubclass(kind, EnhancementModel)
    return kind(context) if ours else kind(context.as_basicsr())


def describe(context: RunContext, model: Any, length: int, validation: dict[str, Any]) -> None:
    """Say what is about to be trained, on what."""
    config = context.config
    count = sum(p.numel() for p in model.net_g.parameters())
    logger.info("%s: %s with %s parameters", config.name, config.network_g.type, f"{count:,}")
    logger.info("%s", context.device_note)
    sets = [f"train {length}", *(f"{k} {len(v.dataset)}" for k, v in validation.items())]
    logger.info("Images: %s", ", ".join(sets))
    for key in sorted(NO_EFFECT & config.datasets["train"].options.keys()):
        logger.info("datasets.train.%s has no effect here: batches run on across epochs", key)
    if not validation:
        logger.info("No validation set: the latest checkpoint is the result")

"""What a run keeps: weights, and the state that its next iteration depends on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from enhancement import distributed
from enhancement.config.context import RunContext
from enhancement.errors import UserError
from enhancement.models.enhancement_model import EnhancementModel
from enhancement.randomness import random_states, restore_random_states, seed_all
from enhancement.weights import storage
from enhancement.weights.provenance import git_commit
from enhancement.weights.state_dicts import on_cpu

from .run import Run
from .run_folder import latest_state, previous_state, prune
from .stretching import advance, differs_in_length, put_back

logger = logging.getLogger("enhancement")

State = dict[str, Any]


def save(run: Run) -> None:
    """Write the state to resume from, for our models, and the latest weights; by the first process.

    Raises:
        UserError: It cannot be written, or the weights are not finite.
    """
    with distributed.synchronised_errors():
        if run.is_first:
            _save(run)


def _save(run: Run) -> None:
    model = run.model
    averages = (getattr(model, name, None) for name in ("average", "net_g_ema"))
    networks = [model.net_g, *(average for average in averages if average)]
    if not all(v.isfinite().all() for n in networks for v in n.state_dict().values()):
        raise UserError(
            f"iteration {run.iteration}: the weights are not numbers any more and are not saved; "
            f"the checkpoint before is whole. Lower train.optim_g.lr or set train.grad_clip"
        )
    if not isinstance(model, EnhancementModel):
        model.save(0, run.iteration)
        return
    state = state_of(run)
    latest, keep = latest_state(run.folder), run.config.logger.keep_last
    storage.save(latest, state, previous=previous_state(run.folder))
    save_weights(run, "latest")
    if keep:
        storage.save(latest.with_name(f"{run.iteration}.state"), state)
        save_weights(run, str(run.iteration))
        prune(run.folder, keep)


def save_weights(run: Run, label: str) -> Path:
    """Write the weights file `net_g_{label}`, from which the network can be rebuilt."""
    model: EnhancementModel = run.model
    content: dict[str, Any] = {"params": on_cpu(model.network)}
    if model.average:
        own = tuple(f"{name}." for name in model.frozen)  # stored once, under both names
        once = {k: v for k, v in content["params"].items() if k.startswith(own)}
        content["params_ema"] = on_cpu(model.average.module) | once
    content["meta"] = {
        "network_g": run.config.network_g.options,
        "name": run.config.name,
        "iteration": run.iteration,
        "commit": git_commit(),
        "protocol": model.protocol,
        "best": run.best,
        "frozen": model.frozen,
        "selected": "best" if label == "best" else None,
    }
    path = run.folder / "models" / f"net_g_{label}.{run.config.logger.weights_format}"
    storage.save(path, content)
    return path


def state_of(run: Run) -> State:
    """Everything that the next iteration depends on, as tensors and plain values."""
    model: EnhancementModel = run.model
    return {
        "iteration": run.iteration,
        "world_size": run.context.world_size,
        "net_g": model.network.state_dict(),
        "net_g_ema": model.average.module.state_dict() if model.average else None,
        "averaged": int(model.average.n_averaged) if model.average else None,
        "optimizers": [o.state_dict() for o in model.optimizers],
        "schedulers": [s.state_dict() for s in model.schedulers],
        "scaler": model.scaler.state_dict(),
        "best": run.best,
        "skipped": [model.skipped, model.skipped_in_a_row],
        "frozen": {name: about["sha256"] for name, about in model.frozen.items()},
        "rng": random_states(),
    }


def read_state(path: Path, context: RunContext) -> State:
    """Read a training state that this run can go on from.

    Raises:
        UserError: It is of another kind, damaged, or beyond the run's end.
    """
    state, total = storage.read(path), context.config.training.total_iter
    if not issubclass(context.config.model, EnhancementModel) or "net_g" not in state:
        raise UserError(f"{path}: only runs of this project's own models can be resumed")
    if state["iteration"] >= total and path != latest_state(context.folder):
        raise UserError(
            f"{path}: is at iteration {state['iteration']}, which leaves nothing to train; "
            f"train.total_iter is {total}"
        )
    return state


def restore(
    model: EnhancementModel, state: State, path: Path, context: RunContext
) -> dict[str, Any] | None:
    """Take over a training state.

    Args:
        model: A model of the same options.
        state: From `read_state`.
        path: Where it was read, for messages.
        context: The run.

    Returns:
        The best checkpoint so far.

    Raises:
        UserError: It does not fit the model.
    """
    before, now = state.get("world_size", 1), context.world_size
    if before != now and context.rank == 0:
        logger.warning(
            "%s was saved by %d processes and goes on with %d: the batches differ from now on, and "
            "so will the weights",
            *(path, before, now),
        )
    _check_frozen(model, state.get("frozen", {}))
    try:
        stretched = any(map(differs_in_length, model.schedulers, state["schedulers"]))
        _load(model, state)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: does not fit this run's options ({reason})") from error
    if context.rank:  # the state holds the first process's random numbers
        seed_all(context.config.manual_seed + context.rank + state["iteration"])
    if stretched and context.rank == 0:
        logger.warning(
            "The schedule is stretched to train.total_iter %d from iteration %d on: the weights "
            "will not be exactly those of a run of that length",
            *(context.config.training.total_iter, state["iteration"]),
        )
    logger.info("Going on from iteration %d (%s)", state["iteration"], path)
    return state["best"]


def _load(model: EnhancementModel, state: State) -> None:
    model.network.load_state_dict(state["net_g"])
    if model.average:
        model.average.module.load_state_dict(state["net_g_ema"])
        model.average.n_averaged.fill_(state.get("averaged", state["iteration"] + 1))
    schedules = list(zip(model.schedulers, state["schedulers"], strict=True))
    stretched = {
        scheduler: advance(scheduler, content["last_epoch"])
        for scheduler, content in schedules
        if differs_in_length(scheduler, content)
    }
    for optimizer, content in zip(model.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(content)
    for scheduler, content in schedules:
        if scheduler in stretched:
            put_back(scheduler, stretched[scheduler])
        else:
            scheduler.load_state_dict(content)
    model.scaler.load_state_dict(state.get("scaler", {}) or model.scaler.state_dict())
    model.skipped, model.skipped_in_a_row = state.get("skipped", (0, 0))
    restore_random_states(state["rng"])


def _check_frozen(model: EnhancementModel, frozen: dict[str, str]) -> None:
    """A run that goes on freezes the same weights."""
    if frozen.keys() != model.frozen.keys():
        raise UserError(
            f"train.frozen: was {', '.join(frozen) or 'nothing'} and is "
            f"{', '.join(model.frozen) or 'nothing'}; a run that is continued freezes the same"
        )
    for name, digest in frozen.items():
        if digest != model.frozen[name]["sha256"]:
            raise UserError(
                f"{model.frozen[name]['file']}: train.frozen.{name} holds other weights than the "
                f"run was trained with; bring the file back, or start another run"
            )

"""What a run keeps: weights, and the state that its next iteration depends on."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from enhancement import distributed
from enhancement.config.context import RunContext
from enhancement.errors import UserError, first_line
from enhancement.models.enhancement_model import EnhancementModel
from enhancement.randomness import random_states, restore_random_states, seed_process
from enhancement.units import counted
from enhancement.weights import storage
from enhancement.weights.provenance import git_commit
from enhancement.weights.state_dicts import on_cpu, read_weights

from .run import Run
from .run_folder import latest_state, previous_state, prune
from .stretching import advance, differs_in_length, put_back, rates_of

KEEPS_MORE = ("amsgrad", "centered", "momentum")  # options by which optimisers keep further moments

logger = logging.getLogger("enhancement")

State = dict[str, Any]


def save(run: Run) -> None:
    """Write the state to resume from, for our models, and the latest weights; by the first process.

    Raises:
        UserError: It cannot be written, or the weights are not finite.
    """
    random = distributed.gather([random_states()])
    with distributed.synchronised_errors():
        if run.is_first:
            _save(run, random)


def _save(run: Run, random: list[State]) -> None:
    model = run.model
    averages = (getattr(model, name, None) for name in ("average", "net_g_ema"))
    networks = [model.net_g, *(average for average in averages if average)]
    if not all(v.isfinite().all() for n in networks for v in n.state_dict().values()):
        raise UserError(
            f"iteration {run.iteration}: the weights are not numbers any more and are not saved; "
            f"the checkpoint before is whole. Lower train.optim_g.lr or set train.grad_clip"
        )
    keep = run.config.logger.keep_last
    if not isinstance(model, EnhancementModel):
        model.save(0, run.iteration)
        if keep:
            prune(run.folder, keep)
        return
    state = state_of(run, random)
    latest = latest_state(run.folder)
    storage.save(latest, state, previous=previous_state(run.folder))
    save_weights(run, "latest")
    if keep:
        storage.save(latest.with_name(f"{run.iteration}.state"), state)
        save_weights(run, str(run.iteration))
        prune(run.folder, keep)


def save_weights_of_state(run: Run) -> None:
    """Write the latest weights anew where a kill came between a state and its weights."""
    path = weights_file(run, "latest")
    with distributed.synchronised_errors():
        if run.is_first:
            try:
                written = read_weights(path)[1].get("iteration") == run.iteration
            except UserError:  # not there, or damaged
                written = False
            if not written:
                save_weights(run, "latest")


def weights_file(run: Run, label: str) -> Path:
    """The weights file `net_g_{label}`."""
    return run.folder / "models" / f"net_g_{label}.{run.config.logger.weights_format}"


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
    path = weights_file(run, label)
    storage.save(path, content)
    return path


def state_of(run: Run, random: list[State]) -> State:
    """Everything that the next iteration depends on, as tensors and plain values.

    Args:
        run: The run.
        random: The states of every process's random generators.
    """
    model: EnhancementModel = run.model
    return {
        "iteration": run.iteration,
        "scored": run.scored,
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
        "images": [len(run.images), digest(run.images)],
        "rng": random,
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


def digest(names: list[str]) -> str:
    """What tells the images of a set from others, by their names."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def check_images(names: list[str], before: list[Any] | None) -> None:
    """A run that goes on is trained on the same images.

    Args:
        names: Of the images now.
        before: What its state says of them; None in one that was saved before this was checked.

    Raises:
        UserError: They are others.
    """
    if before is not None and before != [len(names), digest(names)]:
        others = "others" if len(names) == before[0] else str(len(names))
        raise UserError(
            f"datasets.train: the run was trained on {counted(before[0], 'image')} and finds "
            f"{others} now; a run goes on with the same images: put the folders back as they were, "
            f"or start another run from its weights (path.pretrain_network_g)"
        )


def is_own(path: Path, context: RunContext) -> bool:
    """Whether a state is of this run, and not of another that it begins with."""
    return context.folder.resolve() in path.resolve().parents


def restore(
    model: EnhancementModel, state: State, path: Path, context: RunContext
) -> dict[str, Any] | None:
    """Take over a training state.

    That of another run gives the weights, their average and the optimiser's moments; rates, their
    schedule and the best checkpoint are this run's.

    Args:
        model: A model of the same network.
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
    own = is_own(path, context)
    try:
        stretched = own and any(map(differs_in_length, model.schedulers, state["schedulers"]))
        _load(model, state, anew=stretched or not own)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = first_line(error)
        raise UserError(f"{path}: does not fit this run's options ({reason})") from error
    random = state["rng"] if isinstance(state["rng"], list) else [state["rng"]]
    if context.rank < len(random):
        restore_random_states(random[context.rank])
    else:
        seed_process(context.config.manual_seed + state["iteration"], context.rank)
    if stretched and context.rank == 0:
        logger.warning(
            "The schedule is stretched to train.total_iter %d from iteration %d on: the weights "
            "will not be exactly those of a run of that length",
            *(context.config.training.total_iter, state["iteration"]),
        )
    logger.info("Going on from iteration %d (%s)", state["iteration"], path)
    return state["best"] if own else None


def _load(model: EnhancementModel, state: State, anew: bool) -> None:
    """Load a state; `anew`: but for the learning rates, which follow from this run's options."""
    model.network.load_state_dict(state["net_g"])
    if model.average:
        model.average.module.load_state_dict(state["net_g_ema"])
        model.average.n_averaged.fill_(state.get("averaged", state["iteration"] + 1))
    if anew:
        for scheduler in model.schedulers:
            advance(scheduler, max(0, state["iteration"] - 1))
    else:
        for scheduler, content in zip(model.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(content)
    for optimizer, content in zip(model.optimizers, state["optimizers"], strict=True):
        rates = rates_of(optimizer)
        if content["param_groups"][0].keys() - {"params"} - rates[0].keys():
            raise ValueError(f"its optimiser is no {type(optimizer).__name__}")
        for flag in KEEPS_MORE:
            if bool(content["param_groups"][0].get(flag)) != bool(rates[0].get(flag)):
                raise ValueError(f"its optimiser had another {flag}")
        optimizer.load_state_dict(content)
        if anew:
            put_back(optimizer, rates)
    model.scaler.load_state_dict(state.get("scaler", {}) or model.scaler.state_dict())
    model.skipped, model.skipped_in_a_row = state.get("skipped", (0, 0))


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

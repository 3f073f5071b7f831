"""What a run keeps: weights and the state to resume from, written and taken over."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from enhancement import distributed
from enhancement.config.load import Options
from enhancement.errors import UserError
from enhancement.randomness import seed_all
from enhancement.registry import MODEL_REGISTRY, lookup
from enhancement.scoring.evaluation import Scores
from enhancement.scoring.metrics import get_metric
from enhancement.training.run_folder import latest_state, previous_state, prune, run_folder
from enhancement.weights import storage

logger = logging.getLogger("enhancement")


def keep_best(model: Any, scores: Scores, iteration: int) -> None:
    """Write `net_g_best` where the score is the best yet."""
    val = model.opt["val"]
    value = scores.mean()[val["select_by"]]
    metric, best = get_metric(val["select_by"]), model.best or {}
    same = [best.get(k) for k in ("metric", "protocol", "dataset")] == [
        val["select_by"], scores.protocol_of(val["select_by"]), scores.dataset
    ]  # fmt: skip
    if not metric.improves(value, best["value"] if same else None):
        return
    model.best = {
        "metric": val["select_by"],
        "value": value,
        "protocol": scores.protocol_of(val["select_by"]),
        "dataset": scores.dataset,
        "iteration": iteration,
        "on_test_set": val["on_test_set"],
    }
    model.save(0, iteration, "best")


def save(model: Any, iteration: int) -> None:
    """Write the state to resume from, for our models, and the latest weights; by the first process.

    Raises:
        UserError: It cannot be written, or the weights are no numbers.
    """
    with distributed.together():
        if model.opt["rank"] == 0:
            _save(model, iteration)


def _save(model: Any, iteration: int) -> None:
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
    storage.save(latest_state(opt), state, previous=previous_state(opt))
    model.save(0, iteration, "latest")
    if keep:
        storage.save(latest_state(opt).with_name(f"{iteration}.state"), state)
        model.save(0, iteration, str(iteration))
        prune(run_folder(opt), keep)


def read_state(path: Path, opt: Options) -> dict[str, Any]:
    """Read a training state that this run can go on from.

    Raises:
        UserError: It is of another kind, damaged, or beyond the run's end.
    """
    state, total = storage.read(path), opt["train"]["total_iter"]
    ours = hasattr(lookup(MODEL_REGISTRY, opt["model_type"]), "training_state")
    if not ours or "net_g" not in state:
        raise UserError(f"{path}: only runs of our own models can be resumed")
    if state["iteration"] >= total and path != latest_state(opt):
        raise UserError(
            f"{path}: is at iteration {state['iteration']}, which leaves nothing to train; "
            f"train.total_iter is {total}"
        )
    return state


def restore(model: Any, state: dict[str, Any], path: Path) -> None:
    """Take over a training state.

    Args:
        model: One of ours.
        state: From `read_state`.
        path: Where it was read, for messages.

    Raises:
        UserError: It does not fit the model.
    """
    before, now = state.get("world_size", 1), model.opt["world_size"]
    if before != now and not model.opt["rank"]:
        logger.warning("%s was saved by %d processes and goes on with %d: the batches differ from "
                       "now on, and so will the weights", path, before, now)  # fmt: skip
    try:
        model.resume_training(state)
    except (RuntimeError, ValueError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: does not fit this run's options ({reason})") from error
    if model.opt["rank"]:  # the state holds the first process's random numbers
        seed_all(model.opt["manual_seed"] + model.opt["rank"] + state["iteration"])
    logger.info("Going on from iteration %d (%s)", state["iteration"], path)


def final_metrics(model: Any) -> dict[str, float]:
    """The run's result, for TensorBoard's HPARAMS tab."""
    best = getattr(model, "best", None)
    if not best:
        return {}
    return {f"best/{best['dataset']}/{best['protocol']}/{best['metric']}": best["value"]}

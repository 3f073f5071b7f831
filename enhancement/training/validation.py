"""Validation: scores of held-out images, their curves and pictures, and the best checkpoint."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import Tensor

from enhancement import distributed
from enhancement.config.datasets import selection_set
from enhancement.data.images import save_picture
from enhancement.errors import shortened
from enhancement.models.enhancement_model import EnhancementModel
from enhancement.paths import inside
from enhancement.scoring.evaluation import Scores
from enhancement.scoring.metrics import get_metric

from .run import Run
from .state import digest, save_weights

logger = logging.getLogger("enhancement")

IMAGES_SHOWN = 4


def validate(run: Run) -> None:
    """Score every validation set; keep the weights where that of `selection_set` is best yet."""
    chooses = selection_set(run.validation)
    for key, loader in run.validation.items():
        if not isinstance(run.model, EnhancementModel):
            _validate_basicsr(run, loader)
            continue
        scores = score(run, run.model, loader)
        with distributed.synchronised_errors():
            if run.is_first:
                means = scores.mean().items()
                shown = "  ".join(f"{name} {mean:.4f}" for name, mean in means if mean is not None)
                about = run.iteration, scores.dataset, scores.protocol, shown
                logger.info("iteration %d  %s (%s)  %s", *about)
                if key == chooses:
                    keep_best(run, scores)
    run.scored = run.iteration


def _validate_basicsr(run: Run, loader: Any) -> None:
    """BasicSR's own models score a whole set in one process, and keep their scores."""
    with distributed.synchronised_errors():
        if run.is_first:
            run.model.validation(loader, run.iteration, run.tracker, run.config.val.save_img)


def score(run: Run, model: EnhancementModel, loader: Any) -> Scores:
    """Score a set, each process its share; log the means and a grid of pictures.

    Returns:
        The scores: in the first process of every image, in the set's order.
    """
    shown: list[Tensor] = []

    def watch(name: str, *pictures: Tensor) -> None:
        if len(shown) < IMAGES_SHOWN:
            shown.append(torch.cat(pictures, 3).float().clamp(0, 1).cpu())
        if run.config.val.save_img:
            names = loader.name, str(run.iteration), name
            path = inside(run.folder / "visualization", *names, said="val.save_img")
            save_picture(path.with_suffix(".png"), pictures[1])

    distributed.broadcast_weights(model.tested_network)
    with distributed.synchronised_errors():
        scores = model.evaluate(loader, watch)
    scores.rows = distributed.gather(scores.rows)
    if run.tracker:
        for metric, mean in scores.mean().items():
            tag = f"metrics/{scores.dataset}/{scores.protocol_of(metric)}/{metric}"
            run.tracker.add_scalar(tag, mean, run.iteration)
        columns = model.pictures if loader.gives_truth else model.pictures.rpartition(" | ")[0]
        run.tracker.add_pictures(f"{loader.name}: {columns}", shown, run.iteration)
    return scores


def keep_best(run: Run, scores: Scores) -> None:
    """Write `net_g_best` where the score is the best yet."""
    val = run.config.val
    protocol, value = scores.protocol_of(val.select_by), scores.mean()[val.select_by]
    newer = {  # which older runs did not keep
        "images": digest([row.name for row in scores.rows]),
        "self_ensemble": val.self_ensemble,
        "window_size": val.window_size,
    }
    measure = {
        "metric": val.select_by,
        "protocol": protocol,
        "dataset": scores.dataset,
        **newer,
    }
    best = {**newer, **(run.best or {})}
    before = best["value"] if measure.items() <= best.items() else None
    if value is not None and math.isnan(value):
        spoilt = [r.name for r in scores.rows if math.isnan(r.output[val.select_by] or 0)]
        text = "%s is not a number for %s of %s; no checkpoint can be chosen by it: leave them out"
        logger.warning(text, val.select_by, ", ".join(shortened(spoilt)), scores.dataset)
    if value is None or not get_metric(val.select_by).improves(value, before):
        return
    run.best = {
        **measure,
        "value": value,
        "iteration": run.iteration,
        "on_test_set": run.context.selects_on_test,
    }
    save_weights(run, "best")

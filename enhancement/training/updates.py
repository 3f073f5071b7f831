"""What the loop does around an update: the next batch, updates that were skipped, curves."""

from __future__ import annotations

import math
import time
from logging import getLogger
from typing import Any

from enhancement import distributed
from enhancement.errors import UserError

from .run import Run
from .run_folder import latest_state

logger = getLogger("enhancement")


def next_batch(run: Run) -> tuple[Any, bool]:
    """The next batch, and whether any process of the run was asked to stop before it.

    Raises:
        DataError: A process of the run could not read its batch.
    """
    batch, error, asked = None, None, bool(run.interrupt.asked)
    began = time.perf_counter()
    if not asked:  # a batch that is not used must not draw from the random generators
        try:
            batch = next(run.batches)
        except Exception as caught:
            error = caught
    run.progress.data_ready(time.perf_counter() - began)
    return batch, distributed.synchronise(error, asked)


def check_update(run: Run, batch: dict[str, Any]) -> None:
    """Say that an update was skipped, and stop the run where that happens again and again.

    Raises:
        UserError: `train.max_skipped` updates in a row; nothing is saved from then on.
    """
    model = run.model
    in_a_row = getattr(model, "skipped_in_a_row", 0)  # BasicSR's own models skip nothing
    if not in_a_row:
        return
    terms = model.get_current_log()
    broken = next((n for n, value in terms.items() if not math.isfinite(value)), "a gradient")
    files = ", ".join(map(str, batch.get("lq_path", ())))
    value = terms.get(broken, "not a number")
    text = f"iteration {run.iteration}: {broken} is {value} (batch: {files})"
    if in_a_row < run.config.training.max_skipped:
        logger.warning("%s; update skipped, %d in this run", text, model.skipped)
        return
    error = UserError(
        f"{text}; {in_a_row} updates in a row had to be skipped. The last checkpoint is whole. "
        f"Start another run with a lower train.optim_g.lr or with train.grad_clip; "
        f"path:resume_state={latest_state(run.folder)} takes over this one's state"
    )
    distributed.synchronise(error)  # all processes skip the same updates


def log_iteration(run: Run) -> None:
    """Losses, learning rate and times, to the terminal and TensorBoard."""
    if not run.tracker:
        return
    terms = run.model.get_current_log()
    rate, times = run.model.get_current_learning_rate()[0], run.progress.times()
    run.progress.show(run.iteration, terms, rate, times)
    for name, value in terms.items():
        run.tracker.add_scalar(f"losses/{name}", value, run.iteration)
    run.tracker.add_scalar("train/learning_rate", rate, run.iteration)
    for name, seconds in times.items():
        run.tracker.add_scalar(f"time/{name}", seconds, run.iteration)

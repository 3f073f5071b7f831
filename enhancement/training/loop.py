"""The training loop, on one page. setup.py makes the `Run` that it is given."""

from __future__ import annotations

import time

from enhancement.errors import DataError

from .run import Run
from .state import save, save_weights_of_state
from .updates import check_update, log_iteration, next_batch
from .validation import validate


def train(run: Run) -> bool:
    """Train until `train.total_iter`, or until a signal asks to stop.

    Returns:
        Whether it was asked to stop before the end; what was done by then is saved.
    """
    model, options, saved = run.model, run.config.training, run.start
    if run.resumed:
        save_weights_of_state(run)
        if run.scored < run.start and run.is_due(run.config.val.val_freq):
            validate(run)  # it was stopped in the midst of this
            save(run)
    try:
        while run.iteration < options.total_iter:
            # a batch; every process hears of a signal or an error here, and stops with the others
            batch, stopping = next_batch(run)
            if stopping:
                if run.progress.counted:
                    log_iteration(run)
                if run.iteration > saved:
                    save(run)
                return True
            run.iteration += 1

            # one update: learning rate, losses, gradients, weights, their average
            model.update_learning_rate(run.iteration, options.warmup_iter)
            model.feed_data(batch)
            model.optimize_parameters(run.iteration)
            check_update(run, batch)
            run.profile.step()

            # curves, on the terminal and in TensorBoard
            validates = run.is_due(run.config.val.val_freq)
            saves = run.is_due(run.config.logger.save_checkpoint_freq)
            if run.progress.advance(run.iteration) or validates or saves:
                log_iteration(run)

            # scores of held-out images, which choose the best checkpoint; a state to go on from
            paused_at = time.perf_counter()
            if validates:
                if not run.resumed and saved == run.start:
                    save(run)  # there is a state before there is a best
                validate(run)
            if saves:
                save(run)
                saved = run.iteration
            run.progress.skip(time.perf_counter() - paused_at)
    except DataError:
        if run.iteration > saved:
            save(run)
        raise
    return False

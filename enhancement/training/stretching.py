"""Learning rates by this run's options where a state comes from a run of others.

A schedule that follows the run's length is stretched to a new one when a run is extended.
"""

from __future__ import annotations

import warnings
from typing import Any

from enhancement.registry import run_length_arguments

Rates = list[dict[str, Any]]


def differs_in_length(scheduler: Any, saved: dict[str, Any]) -> bool:
    """Whether a schedule was saved for a run of another length.

    Args:
        scheduler: As this run's options build it.
        saved: The state of a scheduler of the same class.
    """
    names = run_length_arguments(type(scheduler))
    return any(name in saved and saved[name] != getattr(scheduler, name) for name in names)


def advance(scheduler: Any, steps: int) -> None:
    """Step a scheduler that has just been built to where an interrupted one stood.

    Many schedules derive each rate from the one before: only from their beginning do they arrive at
    the rate of the new length.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, that the optimiser made no update in between
        for _ in range(steps):
            scheduler.step()


def rates_of(optimizer: Any) -> Rates:
    """The learning rate and what else is set for each of an optimiser's groups of parameters."""
    return [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]


def put_back(optimizer: Any, rates: Rates) -> None:
    """Set what `rates_of` has returned again, once the optimiser's own state is loaded."""
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group.update(rate)

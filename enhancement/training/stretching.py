"""A schedule that follows the run's length, stretched to a new one when a run is extended."""

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


def advance(scheduler: Any, steps: int) -> Rates:
    """Step a scheduler that has just been built to where an interrupted one stood.

    Many schedules derive each rate from the one before: only from their beginning do they arrive at
    the rate of the new length.

    Returns:
        What it has set for each of the optimiser's groups of parameters, for `put_back`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch, that the optimiser made no update in between
        for _ in range(steps):
            scheduler.step()
    groups = scheduler.optimizer.param_groups
    return [{k: v for k, v in group.items() if k != "params"} for group in groups]


def put_back(scheduler: Any, rates: Rates) -> None:
    """Set what `advance` has returned again, once the optimiser's own state is loaded."""
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group.update(rate)

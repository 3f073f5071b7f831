"""The registries: what an option file may name, and how it is looked up and built.

Networks, models, datasets, losses and metrics are kept in BasicSR's registries, which hold ours as
well as BasicSR's own.
Schedulers and optimisers are PyTorch's by name; ours register themselves like everything else.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch

from enhancement import compat
from enhancement.compat import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)
from enhancement.errors import UserError, hint
from enhancement.plug_ins import fill

__all__ = [
    "ARCH_REGISTRY",
    "DATASET_REGISTRY",
    "LOSS_REGISTRY",
    "METRIC_REGISTRY",
    "MODEL_REGISTRY",
    "OPTIMIZERS",
    "SCHEDULERS",
    "build",
    "is_ours",
    "lookup",
    "registered",
]

NEED_A_CLOSURE = ("LBFGS", "SparseAdam", "Optimizer")

OPTIMIZERS: dict[str, type] = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind)
    and issubclass(kind, torch.optim.Optimizer)
    and name not in NEED_A_CLOSURE
}
SCHEDULERS: dict[str, type] = compat.scheduler_types()


def _table(registry: Registry | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a registry holds, in words, and its entries by the names that option files use."""
    if isinstance(registry, Mapping):
        fill("model")  # which has schedulers too
        return "type", dict(registry)
    suffix = compat.REGISTRY_SUFFIX
    return registry._name, {name.removesuffix(suffix): entry for name, entry in registry}


def registered(registry: Registry | Mapping[str, Any]) -> list[str]:
    """The names that an option file may use for a registry, sorted."""
    if registry is ARCH_REGISTRY:
        fill("arch", with_late=True)
    return sorted(_table(registry)[1])


def lookup(registry: Registry | Mapping[str, Any], name: str) -> Any:
    """The class or function registered as `name`.

    Raises:
        UserError: No such name; lists the valid ones and the nearest.
    """
    kind, table = _table(registry)
    if name not in table and registry is ARCH_REGISTRY:
        fill("arch", with_late=True)
        kind, table = _table(registry)
    if name not in table:
        advice = hint(name, table) or "`enhance archs` lists them"
        raise UserError(f"unknown {kind} '{name}'; {advice}")
    return table[name]


def build(registry: Registry | Mapping[str, Any], block: Mapping[str, Any]) -> Any:
    """An instance of the class that a block's `type` names, from a copy of its other keys."""
    arguments = deepcopy(dict(block))
    return lookup(registry, arguments.pop("type"))(**arguments)


def is_ours(kind: Any) -> bool:
    """Whether a registered class or function is this project's, not BasicSR's."""
    return kind.__module__.startswith("enhancement.")


def run_length_arguments(scheduler: type) -> set[str]:
    """The arguments of a scheduler that default to the run's length."""
    taken = inspect.signature(scheduler).parameters
    return {"T_max", "total_iters", "total_steps"} & set(taken)

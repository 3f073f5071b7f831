"""BasicSR's own models, repaired: any scheduler, weights written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enhancement.compat import repair_base_model
from enhancement.paths import locate
from enhancement.registry import SCHEDULERS, lookup, run_length_arguments
from enhancement.weights import storage
from enhancement.weights.shipped import find_weights
from enhancement.weights.state_dicts import load_weights, on_cpu


def setup_schedulers(self: Any) -> None:
    """Build `train.scheduler` for each optimiser; without one rates change by warm-up alone."""
    for optimizer in self.optimizers:
        for group in optimizer.param_groups:  # warm-up asks for it with or without a scheduler
            group.setdefault("initial_lr", group["lr"])
    options = dict(self.opt["train"].get("scheduler") or {})
    if not options:
        return
    kind = lookup(SCHEDULERS, options.pop("type"))
    for name in run_length_arguments(kind):
        options.setdefault(name, self.opt["train"]["total_iter"])
    self.schedulers = [kind(optimizer, **options) for optimizer in self.optimizers]


def save_network(
    self: Any, net: Any, net_label: str, current_iter: int, param_key: Any = "params"
) -> None:
    """Write `{net_label}_{iteration}`, -1 meaning the latest, whole or not at all."""
    nets, keys = (x if isinstance(x, list) else [x] for x in (net, param_key))
    content = {key: on_cpu(one) for key, one in zip(keys, nets, strict=True)}
    label = "latest" if current_iter == -1 else current_iter
    name = f"{net_label}_{label}.{self.opt['logger']['weights_format']}"
    storage.save(Path(self.opt["path"]["models"], name), content)


def load_network(
    self: Any, net: Any, load_path: str, strict: bool = True, param_key: str | None = None
) -> None:
    """Load a file's weights, or those of a name, as every network here takes them."""
    load_weights(self.get_bare_model(net), find_weights(locate(load_path)), param_key, strict)


repair_base_model(setup_schedulers, save_network, load_network)

"""The one file that knows what is wrong with BasicSR 1.4.2. Import it before `basicsr`.

| defect | what is done here |
| --- | --- |
| imports `torchvision.transforms.functional_tensor`, gone since torchvision 0.17 | an alias |
| `Registry.get` prints a wrong hint and never lists the valid names | `lookup` |
| datasets read their options by key, so nothing can check them | `option_keys` |
| networks name their size multiple differently or not at all | `size_multiple` |
| DDP asks for CUDA where there is none | `repair_base_model` |
| `get_optimizer` and `setup_schedulers` know few types and pop keys off the caller's options | \
`repair_base_model` |
| warm-up overwrites the rate that chained schedulers go on from | `repair_base_model` |
| `num_gpu: 1` crashes without a GPU | options.py hands it a resolved number |
| saving drops errors and is not atomic | `repair_base_model` |
| resuming asks for CUDA and restores little | our models have their own, BasicSR's have none |
| requires tb-nightly and opencv-python | requirements.lock leaves both out |
"""

from __future__ import annotations

import inspect
import re
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torchvision.transforms.functional

sys.modules.setdefault(
    "torchvision.transforms.functional_tensor", torchvision.transforms.functional
)

import basicsr  # noqa: E402, F401  (fills the registries)
from basicsr.models import lr_scheduler as basicsr_schedulers  # noqa: E402
from basicsr.models.base_model import BaseModel  # noqa: E402
from basicsr.utils.registry import (  # noqa: E402
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)

from enhancement.errors import UserError, hint  # noqa: E402

__all__ = [
    "ARCH_REGISTRY",
    "DATASET_REGISTRY",
    "LOSS_REGISTRY",
    "METRIC_REGISTRY",
    "MODEL_REGISTRY",
    "BaseModel",
    "build",
    "lookup",
    "option_keys",
    "registered",
    "scheduler_types",
    "size_multiple",
    "train_keys",
]

SUFFIX = "_basicsr"
NEED_MORE_THAN_OPTIONS = (
    "ReduceLROnPlateau",
    "LambdaLR",
    "MultiplicativeLR",
    "ChainedScheduler",
    "SequentialLR",
)


def registered(registry: Registry) -> list[str]:
    """The names that an option file may use for a registry, sorted."""
    return sorted(name.removesuffix(SUFFIX) for name in registry.keys())  # noqa: SIM118


def lookup(registry: Registry, name: str) -> Any:
    """The class or function registered as `name`.

    Raises:
        UserError: No such name; lists the valid ones and the nearest.
    """
    table = dict(iter(registry))
    found = table.get(name) or table.get(f"{name}{SUFFIX}")
    if found is None:
        kind = registry._name
        raise UserError(f"unknown {kind} '{name}'; {hint(name, registered(registry))}")
    return found


def build(registry: Registry, block: dict[str, Any]) -> Any:
    """An instance of the class that a block's `type` names, from a copy of its other keys."""
    arguments = deepcopy(block)
    return lookup(registry, arguments.pop("type"))(**arguments)


def option_keys(dataset_class: type) -> tuple[set[str], set[str]]:
    """The option keys that one of BasicSR's datasets reads, found in its source text.

    Returns:
        All of them, and those that it cannot do without (`opt['key']`).
    """
    source = inspect.getsource(dataset_class)
    required = set(re.findall(r"\bopt\[\s*'(\w+)'\s*\]", source))
    optional = set(re.findall(r"(?:\bopt\.get\(\s*|if\s+)'(\w+)'", source))
    return required | optional, required - optional


def train_keys(model_class: type) -> set[str]:
    """The keys of `train` that one of BasicSR's models reads."""
    sources = [inspect.getsource(c) for c in model_class.__mro__ if c is not object]
    pattern = r"(?:train_opt|opt\['train'\])(?:\.get\(|\[)\s*'(\w+)'"
    return {key for source in sources for key in re.findall(pattern, source)}


def size_multiple(network: torch.nn.Module) -> int:
    """What height and width must be multiples of; SwinIR's windows say so for it."""
    network = getattr(network, "module", network)  # DistributedDataParallel's
    own: Any = getattr(network, "size_multiple", None)
    if own is not None:
        return int(own)
    windows = [getattr(module, "window_size", 1) for module in network.modules()]
    return max(window for window in windows if isinstance(window, int))


def scheduler_types() -> dict[str, type]:
    """Learning-rate schedulers by name: PyTorch's that need no callable, BasicSR's, ours."""
    from torch.optim import lr_scheduler as torch_schedulers

    types: dict[str, type] = {
        name: kind
        for name, kind in vars(torch_schedulers).items()
        if inspect.isclass(kind)
        and issubclass(kind, torch_schedulers.LRScheduler)
        and kind.__module__ == torch_schedulers.__name__
        and not name.startswith("_")
        and name not in (*NEED_MORE_THAN_OPTIONS, "LRScheduler")
    }
    for name, kind in vars(basicsr_schedulers).items():
        if inspect.isclass(kind) and kind.__module__ == basicsr_schedulers.__name__:
            types[name] = kind
    from enhancement.models import lr_schedulers as ours

    for name, kind in vars(ours).items():
        if inspect.isclass(kind) and kind.__module__ == ours.__name__:
            types[name] = kind
    types["MultiStepLR"] = basicsr_schedulers.MultiStepRestartLR  # BasicSR's own alias
    return types


def _model_to_device(self: Any, net: torch.nn.Module) -> torch.nn.Module:
    net = net.to(self.device)
    if self.opt["dist"]:
        net = torch.nn.parallel.DistributedDataParallel(
            net,
            device_ids=[torch.cuda.current_device()] if self.device.type == "cuda" else None,
            find_unused_parameters=self.opt.get("find_unused_parameters", False),
        )
    return net


def _get_optimizer(self: Any, optim_type: str, params: Any, lr: float, **kwargs: Any) -> Any:
    return getattr(torch.optim, optim_type)(params, lr=lr, **kwargs)


def lengths_of(scheduler: dict[str, Any]) -> set[str]:
    """The arguments of a scheduler block's class that default to the run's length."""
    taken = inspect.signature(scheduler_types()[scheduler["type"]]).parameters
    return {"T_max", "total_iters", "total_steps"} & set(taken)


def _setup_schedulers(self: Any) -> None:
    for optimizer in self.optimizers:
        for group in optimizer.param_groups:  # warm-up asks for it with or without a scheduler
            group.setdefault("initial_lr", group["lr"])
    options = dict(self.opt["train"].get("scheduler") or {})
    if not options:
        return
    for name in lengths_of(options):
        options.setdefault(name, self.opt["train"]["total_iter"])
    kind = scheduler_types()[options.pop("type")]
    self.schedulers = [kind(optimizer, **options) for optimizer in self.optimizers]


_step_schedulers = BaseModel.update_learning_rate


def _update_learning_rate(self: Any, current_iter: int, warmup_iter: int = -1) -> None:
    if self.schedulers:
        self._set_lr([scheduler.get_last_lr() for scheduler in self.schedulers])
    _step_schedulers(self, current_iter, warmup_iter)


def _save_network(
    self: Any, net: Any, net_label: str, current_iter: int, param_key: Any = "params"
) -> None:
    from enhancement.weights import checkpoint

    nets, keys = (x if isinstance(x, list) else [x] for x in (net, param_key))
    content = {key: checkpoint.on_cpu(one) for key, one in zip(keys, nets, strict=True)}
    label = "latest" if current_iter == -1 else current_iter
    name = f"{net_label}_{label}.{self.opt['logger']['weights_format']}"
    checkpoint.save(Path(self.opt["path"]["models"], name), content)


def _save_training_state(self: Any, epoch: int, current_iter: int) -> None:
    """Nothing: train.py refuses to resume runs of BasicSR's own models."""


def repair_base_model() -> None:
    """Replace what crashes off CUDA or loses options or files, in BasicSR's own models as well."""
    BaseModel.model_to_device = _model_to_device
    BaseModel.get_optimizer = _get_optimizer
    BaseModel.setup_schedulers = _setup_schedulers
    BaseModel.update_learning_rate = _update_learning_rate
    BaseModel.save_network = _save_network
    BaseModel.save_training_state = _save_training_state


repair_base_model()

"""What is wrong with BasicSR 1.4.2, and where that is put right: here, where nothing else is said.

| defect | what is done here |
| --- | --- |
| imports `torchvision.transforms.functional_tensor`, gone since torchvision 0.17 | \
basicsr_import.py gives it an alias |
| `Registry.get` prints a wrong hint and never lists the valid names | registry.py's `lookup` |
| DDP asks for CUDA where there is none | `repair_base_model` |
| `get_optimizer` and `setup_schedulers` know few types and pop keys off the caller's options | \
`repair_base_model` |
| warm-up overwrites the rate that chained schedulers go on from | `repair_base_model` |
| `num_gpu: 1` crashes without a GPU | `device.resolve_num_gpu` replaces it before BasicSR sees it |
| saving drops errors and is not atomic; loading wants a file of its own | `repair_base_model` |
| resuming asks for CUDA and restores little | our models have their own, BasicSR's have none |
| reads LMDBs by a library that a damaged file ends with a signal | `repair_file_client` |
| PerceptualLoss asks PyTorch for a loss `L2loss`, which it never had | `CRITERIA` |
| datasets draw their crops from the global random generators | data/repeatable.py |
| requires tb-nightly and opencv-python | requirements.lock leaves both out |
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

import basicsr  # noqa: F401  (fills the registries)
import torch
from basicsr.archs.vgg_arch import NAMES as VGG_NAMES
from basicsr.losses.basic_loss import PerceptualLoss
from basicsr.models import lr_scheduler as basicsr_schedulers
from basicsr.models.base_model import BaseModel
from basicsr.utils.file_client import FileClient
from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    METRIC_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)
from torch.optim import lr_scheduler as torch_schedulers

__all__ = [
    "ARCH_REGISTRY",
    "DATASET_REGISTRY",
    "LOSS_REGISTRY",
    "METRIC_REGISTRY",
    "MODEL_REGISTRY",
    "TRAINED_ON_PAIRS",
    "BaseModel",
    "Registry",
    "scheduler_types",
    "train_keys",
]

REGISTRY_SUFFIX = "_basicsr"
TRAINED_ON_PAIRS = ("SRModel", "SwinIRModel")  # the others are for video, faces or GANs
NEED_MORE_THAN_OPTIONS = (
    "ReduceLROnPlateau",
    "LambdaLR",
    "MultiplicativeLR",
    "ChainedScheduler",
    "SequentialLR",
)


def train_keys(model_class: type) -> set[str]:
    """The keys of `train` that one of BasicSR's models reads."""
    sources = [inspect.getsource(c) for c in model_class.__mro__ if c is not object]
    pattern = r"(?:train_opt|opt\['train'\])(?:\.get\(|\[)\s*'(\w+)'"
    return {key for source in sources for key in re.findall(pattern, source)}


def scheduler_types() -> dict[str, type]:
    """Learning-rate schedulers by name: PyTorch's that need no callable, and BasicSR's."""
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


def _get_optimizer(self: Any, optim_type: str, params: Any, **kwargs: Any) -> Any:
    return getattr(torch.optim, optim_type)(params, **kwargs)


_step_schedulers = BaseModel.update_learning_rate


def _update_learning_rate(self: Any, current_iter: int, warmup_iter: int = -1) -> None:
    scheduled = [scheduler.get_last_lr() for scheduler in self.schedulers]
    self._set_lr(scheduled or self._get_init_lr())
    _step_schedulers(self, current_iter, warmup_iter)


def _save_training_state(self: Any, epoch: int, current_iter: int) -> None:
    """Nothing: training/state.py refuses to resume runs of BasicSR's own models."""


def repair_base_model(setup_schedulers: Any, save_network: Any, load_network: Any) -> None:
    """Replace what crashes off CUDA or loses options or files, in BasicSR's own models as well.

    Args:
        setup_schedulers, save_network, load_network: `BaseModel`'s methods of these names, as
            models/ has them.
    """
    BaseModel.model_to_device = _model_to_device
    BaseModel.get_optimizer = _get_optimizer
    BaseModel.setup_schedulers = setup_schedulers
    BaseModel.update_learning_rate = _update_learning_rate
    BaseModel.save_network = save_network
    BaseModel.load_network = load_network
    BaseModel.save_training_state = _save_training_state


VGG_LAYERS: dict[str, list[str]] = VGG_NAMES  # of PerceptualLoss, by network
CRITERIA = ("l1", "l2", "fro")  # of PerceptualLoss
_init_perceptual_loss = PerceptualLoss.__init__


@functools.wraps(_init_perceptual_loss)
def _with_l2(self: Any, *given: Any, criterion: str = "l1", **options: Any) -> None:
    squared = criterion == "l2"
    _init_perceptual_loss(self, *given, criterion="l1" if squared else criterion, **options)
    if squared:
        self.criterion_type, self.criterion = criterion, torch.nn.MSELoss()


PerceptualLoss.__init__ = _with_l2


def repair_file_client(lmdb: type) -> None:
    """Replace what BasicSR's own dataset classes read LMDBs by.

    Args:
        lmdb: A storage backend, as data/ has it.
    """
    FileClient._backends["lmdb"] = lmdb

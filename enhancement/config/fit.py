"""Whether sections that are valid by themselves fit one another, this machine and their files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import psutil
import torch
from torch import nn

from enhancement.compat import train_keys
from enhancement.device import get_device
from enhancement.errors import hint
from enhancement.registry import MODEL_REGISTRY, is_ours, lookup, run_length_arguments
from enhancement.scoring.protocols import NO_REFERENCE, SEGMENTATION, get_protocol

from .blocks import Block
from .building import constructor_fault
from .datasets import (
    Sets,
    lacks_masks,
    largest_batch,
    learned_images,
    missing_files,
    selection_set,
    shared_names,
    unequal_fractions,
    validates_on_test,
)
from .needs import NAMED, Needs, asks_for_truth, compared_by
from .network import network_faults
from .schema import Config
from .sections import LOSS_SUFFIX, Train, Val
from .signature import Fault, KeyPath

ALWAYS_READ = {"total_iter", "warmup_iter", "scheduler"}
OF_IMAGES = ("self_ensemble", "window_size", "metrics")  # of `val`
MASK_MODELS = "`model_type: SegmentationModel` or `SegmentationGuidedModel`"


def section_faults(draft: Config, training: bool, files_of: set[str] | None) -> Iterator[Fault]:
    """What is wrong between the sections of an option file.

    Args:
        draft: What is valid of it; None stands for the rest.
        training: Whether it must be complete for training.
        files_of: Sets whose folders must exist; None means all of them.
    """
    model = lookup(MODEL_REGISTRY, draft.model_type) if draft.model_type else None
    needs, train, sets = Needs.of(model), draft.train, draft.datasets or {}
    if train is not None:
        faults = chain(
            _model_faults(train, model),
            _uneven_parts(train, sets),
            _loss_faults(train, draft.model_type, needs),
            _rehearse(train, get_device(draft.num_gpu)),
        )
        yield from _under(("train",), faults)
    if model and not is_ours(model) and draft.path.init_network_g:
        yield ("path", "init_network_g"), f"{model.__name__} does not read it"
    yield from _under(("datasets",), _set_faults(sets, files_of))
    trained_on = sets.get("train")
    if needs.truth and training and trained_on and not trained_on.gives_truth:
        text = (
            f"{trained_on.kind.__name__} gives no ground truth, which {draft.model_type} trains "
            f"with; expected a dataset of pairs, or `model_type: ZeroReferenceModel`"
        )
        yield ("datasets", "train", "type"), text
    if needs.masks and training:
        for key in (key for key, found in sets.items() if lacks_masks(found)):
            text = f"has no masks, which {draft.model_type} needs; set dataroot_mask"
            yield ("datasets", key), text
    yield from _selection_faults(draft.val, draft.model_type, needs, sets)
    yield from network_faults(draft, needs, training, with_files=files_of is None)


def _under(at: KeyPath, faults: Iterator[Fault]) -> Iterator[Fault]:
    return (((*at, *inner), text) for inner, text in faults)


def _model_faults(train: Train, model: Any) -> Iterator[Fault]:
    """BasicSR's own models ignore what they do not know."""
    if model is None or is_ours(model):
        return
    read = train_keys(model) | ALWAYS_READ
    for key in train.model_dump(exclude_unset=True, exclude_none=True).keys() - read:
        yield (key,), f"{model.__name__} does not read it; {hint(key, read)}"


def _uneven_parts(train: Train, sets: Sets) -> Iterator[Fault]:
    """Batches are computed in equal parts."""
    stages = sets["train"].loading.stages if "train" in sets else []
    for size in {stage.batch_size for stage in stages}:
        if size % train.accumulate:
            text = f"expected a divisor of the batch size {size}, but got {train.accumulate}"
            yield ("accumulate",), text


def _loss_faults(train: Train, model_type: str, needs: Needs) -> Iterator[Fault]:
    """Each loss compares what the model gives it, and a model of masks has a loss of masks."""
    subjects = {name: compared_by(loss.kind) for name, loss in train.losses.items()}
    for name, subject in subjects.items():
        if fault := constructor_fault(partial(nn.ModuleDict, {name: nn.Identity()})):
            yield (f"{name}{LOSS_SUFFIX}",), f"cannot be the name of a loss: {fault}"
        if name == "total":
            yield (f"{name}{LOSS_SUFFIX}",), "cannot be the name of a loss: the sum has it"
        loss, kind = train.losses[name].type, train.losses[name].kind
        if subject in needs.losses and (needs.truth or not asks_for_truth(kind)):
            continue
        text = {
            NAMED: f"{loss} needs `model_type: NamedLossModel`",
            "mask": f"{loss} compares masks, but {model_type} has none; expected {MASK_MODELS}",
        }.get(subject, "does not compare masks")
        if not needs.truth and subject != "mask":
            text = f"{loss} needs ground truth, which {model_type} trains without"
        yield (f"{name}{LOSS_SUFFIX}", "type"), text
    if subjects and all(loss.options.get("loss_weight") == 0 for loss in train.losses.values()):
        yield (), "every loss has the weight 0; there is nothing to train"
    if subjects and needs.masks and "mask" not in subjects.values():
        yield (), f"{model_type} needs a loss of masks: DiceBCELoss or StructureLoss"
    if train.mixing_augs and (needs.masks or not needs.truth):
        text = "mixes images but not masks" if needs.masks else "mixes pairs"
        yield ("mixing_augs",), f"{text}; {model_type} cannot use it"


def _rehearse(train: Train, device: torch.device) -> Iterator[Fault]:
    """The optimiser makes an update, and the schedule gives rates from the first to the last."""
    weights = [nn.Parameter(torch.zeros(1, 1, 1, 1, device=device)) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer: torch.optim.Optimizer = torch.optim.SGD(weights, lr=0.1)
    if train.optim_g is not None:
        scheduled = train.scheduler is not None and "max_lr" in train.scheduler.options
        fault = constructor_fault(lambda: train.optim_g.build(weights).step())
        if fault := fault or (None if scheduled else _misled(weights)):
            yield ("optim_g",), fault
            return
        optimizer = train.optim_g.build(weights)  # as a schedule finds it when a run begins
    if train.scheduler is not None:
        total = train.total_iter or 1
        end = sum(train.scheduler.options.get("periods", [total]))
        if end < total:
            yield ("scheduler",), f"its periods end at {end}, but total_iter is {total}"
        elif fault := constructor_fault(partial(_run_through, train.scheduler, optimizer, total)):
            yield ("scheduler",), fault


def _misled(weights: list[nn.Parameter]) -> str | None:
    """Why an update by gradients of 1, from weights of 0 on, cannot be meant so."""
    reached = weights[0].item()
    if -math.inf < reached < 0:
        return None
    if reached == 0:
        return "an update leaves the weights as they are"
    moved = f"an update moves a weight whose gradient is 1 from 0 to {reached:.3g}"
    return f"{moved}; expected a finite number below 0"


def _run_through(schedule: Block, optimizer: torch.optim.Optimizer, total: int) -> None:
    """Ask a schedule for the rates of some iterations of a run.

    Raises:
        ValueError: One is not a number, or all are 0.
    """
    lengths = dict.fromkeys(run_length_arguments(schedule.kind), total)
    scheduler = schedule.build(optimizer, **lengths)
    optimizer.step()
    highest = 0.0
    for iteration in sorted({1, 2, total // 2 + 1, total} & set(range(total + 1))):
        scheduler.last_epoch = iteration - 1
        scheduler.step()
        for rate in map(float, scheduler.get_last_lr()):
            if not 0 <= rate < math.inf:
                raise ValueError(f"the rate of iteration {iteration} is {rate}")
            highest = max(highest, rate)
    if not highest:
        raise ValueError("every rate is 0; there is nothing to train by")


def _set_faults(sets: Sets, files_of: set[str] | None) -> Iterator[Fault]:
    """Files that are not there, sets that leak into each other, batches beyond this machine."""
    for key, block in sets.items():
        if files_of is None or key in files_of:
            yield from _under((key,), missing_files(block))
    yield from unequal_fractions(sets)
    yield from shared_names(sets)
    if files_of is None:
        yield from learned_images(sets)
    if "train" in sets:
        needed, there = largest_batch(sets["train"]), psutil.virtual_memory().total
        if needed > there / 2:  # the next one is read ahead
            text = (
                f"a batch takes {needed / 2**30:.3g} GiB of this machine's {there / 2**30:.3g}; "
                f"lower the batch size or gt_size"
            )
            yield ("train",), text


def _selection_faults(val: Val, model_type: str, needs: Needs, sets: Sets) -> Iterator[Fault]:
    """`val.select_by` is a metric that validation scores, on images that are no test set."""
    protocol, chosen = get_protocol(val.protocol), val.select_by
    by = selection_set(sets)
    chosen_on = sets[by] if by else None
    if by != "val" and "train" in sets and sets["train"].options.get("val_fraction"):
        chosen_on = sets["train"]  # of which it will be held out
    if needs.gives == "image" and chosen_on and not chosen_on.gives_truth:
        protocol = NO_REFERENCE
        if val.metrics:
            yield ("val", "metrics"), f"no ground truth to score by: {chosen_on.name} gives none"
    images, masks = protocol.names, SEGMENTATION.names
    fitting = (*images, *masks, *(() if chosen_on else NO_REFERENCE.names))
    for key in OF_IMAGES if needs.gives == "mask" else ():
        if getattr(val, key) != getattr(Val(), key):
            yield ("val", key), f"has no effect: {model_type} scores masks"
    if needs.gives == "mask" and chosen not in masks:
        yield ("val", "select_by"), f"{model_type} scores masks; expected {' or '.join(masks)}"
    elif needs.gives == "image" and chosen in masks and not needs.masks:
        text = f"{model_type} has no masks to score; expected {' or '.join(images)}"
        yield ("val", "select_by"), text
    elif needs.gives == "image" and chosen not in fitting:
        text = f"protocol {protocol.name} has no {chosen}; {hint(chosen, images)}"
        yield ("val", "select_by"), text
    if not val.select_on_test and validates_on_test(sets):
        text = (
            "is a test set, and checkpoints are chosen on it; leave it out and set "
            "datasets.train.val_fraction, or say val.select_on_test: true"
        )
        yield ("datasets", by or "val"), text

"""By which protocols a dataset is scored: those asked for, or those that suit it."""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import nn

from enhancement.archs.contract import contract_of
from enhancement.config.schema import Config
from enhancement.data.blocks import DatasetBlock
from enhancement.data.layouts import LAYOUTS
from enhancement.errors import UserError
from enhancement.scoring.protocols import (
    GT_MEAN,
    NO_REFERENCE,
    SEGMENTATION,
    Protocol,
    get_protocol,
    protocols_for,
)
from enhancement.scoring.pyiqa_metrics import pyiqa_protocol

ONE_BY_ONE = ("brightness_levels", "no_reference", "pyiqa")  # not for clips
IMAGES_ONLY = (
    *("protocol", "GT_mean", "self_ensemble", "segmentation", "brightness_levels"),
    *("no_reference", "pyiqa", "detector"),
)


def choose_protocol(
    arguments: argparse.Namespace,
    config: Config | None,
    network: nn.Module,
    meta: dict[str, Any],
    block: DatasetBlock,
) -> Protocol:
    """The protocol to score by; without ground truths the one that needs none.

    Raises:
        UserError: One that does not score what the network gives, or needs ground truths that the
            dataset does not give.
    """
    if contract_of(network).gives == "mask":
        for flag in IMAGES_ONLY:
            if getattr(arguments, flag):
                kind = type(network).__name__
                raise UserError(f"--{flag}: is for images, but {kind} gives masks")
        return SEGMENTATION
    trained_by = meta["protocol"] if meta.get("protocol") in protocols_for("image") else "basicsr"
    own = LAYOUTS[layout].protocol if (layout := block.options.get("layout")) else None
    by_training = config.val.protocol if config else trained_by
    name: str = arguments.protocol or own or by_training
    if arguments.GT_mean and not name.endswith(GT_MEAN):
        name += GT_MEAN
    if block.gives_truth or name == NO_REFERENCE.name:
        return _fit_to_clips(get_protocol(name), arguments, block)
    if arguments.protocol or arguments.GT_mean:
        raise UserError(
            f"--protocol: {name} compares with ground truths, which {block.name} has none of; "
            f"expected {NO_REFERENCE.name}"
        )
    return NO_REFERENCE


def extra_protocols(
    arguments: argparse.Namespace, protocol: Protocol, block: DatasetBlock, device: torch.device
) -> list[Protocol]:
    """The protocols of `--no_reference` and `--pyiqa`.

    Raises:
        UserError: They are asked for what is scaled, or for ground truths that are not there.
    """
    wanted = [NO_REFERENCE] if arguments.no_reference and protocol != NO_REFERENCE else []
    wanted += [pyiqa_protocol(arguments.pyiqa, device)] if arguments.pyiqa else []
    if wanted and protocol.gt_mean:
        raise UserError(
            f"{protocol.name} scales the output to the ground truth's brightness; score by "
            f"{wanted[0].name} without it"
        )
    for metric in (m for one in wanted for m in one.metrics if m.needs_truth):
        if not block.gives_truth:
            raise UserError(f"--pyiqa: {metric.name} needs ground truths; {block.name} has none")
    return wanted


def _fit_to_clips(
    protocol: Protocol, arguments: argparse.Namespace, block: DatasetBlock
) -> Protocol:
    """The protocol, where the dataset and the arguments suit it.

    Raises:
        UserError: Clips are scored without some of their frames, or as one image each.
    """
    if protocol.compares != "clip":
        return protocol
    step = block.options.get("frame_step", 1)
    if step != 1:
        raise UserError(
            f"--protocol: {protocol.name} follows clips from frame to frame, but {block.name} "
            f"takes one frame in {step}; set datasets:test:frame_step=1"
        )
    for flag in ONE_BY_ONE:
        if getattr(arguments, flag):
            raise UserError(f"--{flag}: is for images one by one, not for protocol {protocol.name}")
    return protocol

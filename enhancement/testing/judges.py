"""What is scored besides images: the masks of a segmentation network, a detector's boxes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn

from enhancement.config.schema import Config
from enhancement.data.blocks import DatasetBlock
from enhancement.data.boxes import Boxes
from enhancement.errors import UserError
from enhancement.paths import inside
from enhancement.scoring.protocols import DETECTION
from enhancement.scoring.segmentation import load_segmentation
from enhancement.weights.state_dicts import weights_hash

SEGMENTER = "segmentation"  # its name in `train.frozen`


def chosen_boxes(
    arguments: argparse.Namespace, block: DatasetBlock, dataset: Any, world_size: int
) -> Boxes | None:
    """The objects that `--detector` is scored by; None without it.

    Raises:
        UserError: The dataset says of none, or they cannot be scored here.
    """
    if not arguments.detector:
        return None
    root = block.options.get("dataroot_boxes")
    if not root:
        raise UserError(f"--detector: {block.name} has no boxes; set its dataroot_boxes")
    if world_size > 1 or arguments.self_ensemble:
        raise UserError("--detector: is scored by one process, without --self_ensemble")
    for metric in DETECTION.metrics:
        metric.prepare(torch.device("cpu"))
    return Boxes(root, dataset.sources[0])


def chosen_segmenter(
    arguments: argparse.Namespace, config: Config | None, meta: dict[str, Any], masked: bool
) -> nn.Module | None:
    """The segmentation network to score masks with; None where there is none, or no masks.

    It is the one that `--segmentation` or the option file names, or else the weights file.

    Raises:
        UserError: One was named, but it or the masks are not there.
    """
    if arguments.self_ensemble:
        if arguments.segmentation:
            raise UserError("--segmentation: scores masks without --self_ensemble; leave one out")
        return None
    if arguments.segmentation:
        if not masked:
            raise UserError("--segmentation: this dataset has no masks; set its dataroot_mask")
        return load_segmentation(arguments.segmentation)
    trained = meta.get("frozen", {}).get(SEGMENTER)
    if not masked or not trained:
        return None
    named = config.frozen.get(SEGMENTER) if config and config.train else None
    try:  # where the weights file alone names it, it must lie in this folder
        found = load_segmentation(named or inside(Path(), trained["file"]))
        if weights_hash(found) == trained["sha256"]:
            return found
        why = f"{named or trained['file']} holds other weights than were trained with"
    except UserError as error:
        why = str(error)
    print(f"note: no masks are scored: {why}; --segmentation names a file")
    return None

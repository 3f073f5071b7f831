"""Scores over a sweep of brightness levels: one row a level."""

from __future__ import annotations

import csv
import io
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from enhancement.data.blocks import DatasetBlock
from enhancement.data.loader import eval_loader
from enhancement.data.low_light import LowLight
from enhancement.data.paired_dataset import PairedDataset
from enhancement.data.synthesis_dataset import SynthesisDataset, SynthesisOptions
from enhancement.errors import UserError
from enhancement.files import write_text, writing
from enhancement.scoring.evaluation import Scores, evaluate
from enhancement.scoring.protocols import Protocol
from enhancement.scoring.report import cell, heading
from enhancement.terminal import text_table

Sweep = dict[float, Scores]


def at_level(block: DatasetBlock, level: float) -> DatasetBlock:
    """A dataset with its ground truth darkened to one brightness level.

    Args:
        block: A SynthesisDataset or PairedDataset.
        level: Exposure of linear light; 1 is the ground truth's.

    Raises:
        UserError: It is another kind of dataset.
    """
    kind: Any = block.kind
    if issubclass(kind, PairedDataset):
        root = kind.Options.pick(block.options).folders()[1]
    elif issubclass(kind, SynthesisDataset):
        root = block.options["dataroot_gt"]
    else:
        raise UserError(
            f"--brightness_levels darkens a ground truth, which {kind.__name__} does not name; "
            f"expected a SynthesisDataset or a PairedDataset"
        )
    names = {f.name for f in fields(SynthesisOptions)} | {"name", "phase", "scale"}
    degradation = dict(block.options.get("degradation") or {})
    if degradation.get("type") != LowLight.__name__:
        degradation = {"type": LowLight.__name__}
    degradation |= {"gamma": [1.0, 1.0], "levels": [level]}
    options = {
        **{k: v for k, v in block.options.items() if k in names},
        "type": SynthesisDataset.__name__,
        "dataroot_gt": root,
        "degradation": degradation,
        "cache": "none",
    }
    return DatasetBlock.of(block.key, options)


def sweep(
    network: nn.Module,
    block: DatasetBlock,
    levels: list[float],
    protocol: Protocol,
    device: torch.device,
    place: tuple[int, int] = (0, 1),
    **how: Any,
) -> Sweep:
    """Score a network at each brightness level of a dataset's ground truth.

    `place` is this process's rank and the number of processes that share the images; `how` is as
    `enhanced` takes it.
    """
    loaders = {level: eval_loader(at_level(block, level), *place) for level in levels}
    return {
        level: evaluate(network, loader, protocol, block.name, device, **how)
        for level, loader in loaders.items()
    }


def sweep_table(found: Sweep) -> str:
    """One row a level: the dark input's mean scores, then the output's."""
    first = next(iter(found.values()))
    titles = [heading(metric) for metric in first.metrics]
    rows = []
    for level, scores in found.items():
        means = [*scores.mean("input").items(), *scores.mean().items()]
        rows.append([f"{level:g}", *(cell(metric, value) for metric, value in means)])
    head = ["level", *(f"input {title}" for title in titles), *titles]
    title = f"Protocol {first.protocol}, dataset {first.dataset} at brightness levels"
    return f"{title}\n{text_table(head, rows, names=0)}"


def _as_csv(found: Sweep) -> str:
    metrics = next(iter(found.values())).metrics
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["protocol", "dataset", "level", *metrics, *(f"input_{m}" for m in metrics)])
    for level, scores in found.items():
        means = [*scores.mean().values(), *scores.mean("input").values()]
        writer.writerow([scores.protocol, scores.dataset, level, *means])
    return text.getvalue()


def write_sweep(folder: Path, found: Sweep) -> Path:
    """Write brightness.csv.

    Raises:
        UserError: The folder cannot be written.
    """
    path = folder / "brightness.csv"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, _as_csv(found))
    return path

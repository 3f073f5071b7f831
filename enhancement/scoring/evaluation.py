"""Enhance images of any size and score them: the one path for validation and testing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.inference.run import autocast, enhance, eval_mode, self_ensemble
from enhancement.scoring.protocols import Lpips, Protocol

MASK_PROTOCOL = "segmentation"  # Dice and mIoU of masks above one half
MASK_METRICS = ("dice", "miou")


@dataclass
class Row:
    """One image's scores, of the untouched input (none where there is no input) and the output."""

    name: str
    input: dict[str, float | None]
    output: dict[str, float | None]


@dataclass
class Scores:
    """A table of scores under one protocol.

    Attributes:
        protocol: Its name.
        dataset: Name of the set.
        rows: One an image.
        notes: What a reader must know: why a column is empty, and the like.
    """

    protocol: str
    dataset: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> list[str]:
        """Column names, in order."""
        return list(self.rows[0].output) if self.rows else []

    def protocol_of(self, metric: str) -> str:
        """The protocol that a column is scored by; masks have their own beside the images'."""
        return MASK_PROTOCOL if metric in MASK_METRICS else self.protocol

    def mean(self, side: str = "output") -> dict[str, float | None]:
        """Means over the images; `side` is "input" or "output". None where there is no score."""
        means: dict[str, float | None] = {}
        for metric in getattr(self.rows[0], side) if self.rows else ():
            values = [getattr(row, side)[metric] for row in self.rows]
            known = [v for v in values if v is not None]
            means[metric] = math.fsum(known) / len(known) if len(known) == len(values) else None
        return means


def score_image(
    image: Tensor, gt: Tensor, protocol: Protocol, lpips: Lpips | None
) -> dict[str, float | None]:
    """All scores of one image under a protocol.

    Args:
        image, gt: (1, 3, H, W) in [0, 1], on one device.
        protocol: How to score.
        lpips: Where LPIPS is wanted as well.
    """
    found: dict[str, float | None] = dict(protocol.score(image, gt))
    if lpips:
        found["lpips"] = lpips(protocol.adjust(image, gt), gt)
    return found


def note_lpips(scores: Scores, lpips: Lpips | None) -> None:
    """Say in the table why it has no LPIPS, where that is so."""
    if lpips and lpips.unavailable:
        scores.notes.append(f"lpips {lpips.unavailable}")


Watch = Callable[[str, Tensor, Tensor, Tensor], Any]


def evaluate(
    network: nn.Module,
    batches: Iterable[dict[str, Any]],
    protocol: Protocol,
    dataset: str,
    device: torch.device,
    ensemble: bool = False,
    with_lpips: bool = False,
    watch: Watch | None = None,
    multiple: int = 1,
    precision: str = "fp32",
) -> Scores:
    """Enhance and score every image.

    Args:
        network: On `device`.
        batches: Of one image each: lq, gt (1, 3, H, W) in [0, 1], lq_path.
        protocol: How to score.
        dataset: The set's name, for the table.
        device: Where to compute.
        ensemble: Average over flips and rotations.
        with_lpips: Compute LPIPS where the protocol has it.
        multiple: What images are padded to, beside the network's own multiple.
        watch: Called with (name, lq, output as scored, gt) for each image.
        precision: Of the network; scores are computed in fp32.
    """
    scores = Scores(protocol.name, dataset)
    lpips = Lpips(device) if with_lpips and protocol.lpips else None
    run = self_ensemble if ensemble else enhance

    def score(image: Tensor, gt: Tensor) -> dict[str, float | None]:
        return score_image(image, gt, protocol, lpips)

    with eval_mode(network):
        for batch in batches:
            lq, gt = batch["lq"].to(device), batch["gt"].to(device)
            with autocast(device, precision):
                output = run(network, lq, multiple).float()
            name = batch["name"][0] if "name" in batch else Path(batch["lq_path"][0]).name
            scores.rows.append(Row(name, score(lq, gt), score(output, gt)))
            if watch:
                watch(name, lq, protocol.adjust(output, gt), gt)
    note_lpips(scores, lpips)
    return scores

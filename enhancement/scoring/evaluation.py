"""Enhance images of any size and score them: the one path for validation and testing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from enhancement.errors import UserError, naming
from enhancement.inference.run import autocast, enhance, eval_mode, self_ensemble
from enhancement.scoring.metrics import METRICS
from enhancement.scoring.protocols import SEGMENTATION, Protocol
from enhancement.scoring.temporal import Clip

Watch = Callable[..., Any]  # of (name, lq, output as scored, gt), the last where there is one


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
        """The protocol that a column was scored by: columns of masks may follow those of images."""
        of_masks = metric in METRICS and METRICS[metric].compares == "mask"
        return SEGMENTATION.name if of_masks else self.protocol

    def mean(self, side: str = "output") -> dict[str, float | None]:
        """Means over the images; `side` is "input" or "output". None where there is no score."""
        means: dict[str, float | None] = {}
        for metric in getattr(self.rows[0], side) if self.rows else ():
            values = [getattr(row, side)[metric] for row in self.rows]
            known = [v for v in values if v is not None]
            means[metric] = math.fsum(known) / len(known) if len(known) == len(values) else None
        return means


class Scorer:
    """Scores pairs by those of a protocol's metrics that can be computed here.

    Args:
        protocol: How to score.
        device: Of the images.
        metrics: Names of the protocol's metrics; None takes all but the costly ones.

    Attributes:
        notes: Why there is no score, for each metric that cannot be computed.
    """

    def __init__(
        self, protocol: Protocol, device: torch.device, metrics: Iterable[str] | None = None
    ) -> None:
        self.protocol, self.notes = protocol, list[str]()
        chosen, self.available = protocol.select(metrics), list(protocol.select(metrics))
        self.columns = [metric.name for metric in chosen]
        for metric in chosen:
            try:
                metric.prepare(device)
            except UserError as error:
                self.notes.append(str(error))
                self.available.remove(metric)

    def __call__(
        self, output: Tensor, gt: Tensor | None, lq: Tensor | None = None
    ) -> dict[str, float | None]:
        """The scores by metric, None where one cannot be computed.

        Arguments and errors are those of `Protocol.score`.
        """
        found = self.protocol.score(output, gt, self.available, lq)
        return {name: found.get(name) for name in self.columns}

    def of_frame(self, output: Tensor, gt: Tensor) -> dict[str, float]:
        """The scores of a frame of a clip."""
        return self.protocol.score(output, gt, self.available)

    def of_clip(self, output: Clip, gt: Clip) -> dict[str, float]:
        """The temporal scores of a clip."""
        return {m.name: m.function(output, gt) for m in self.available if m.compares == "clip"}


def samples(
    batches: Iterable[dict[str, Any]], device: torch.device
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The name of each image, and its tensors on a device.

    Args:
        batches: Of one image each: lq, perhaps gt (1, 3, H, W) and mask (1, 1, H, W); a name, or
            lq_path.
        device: Where to put them.
    """
    for batch in batches:
        name = batch["name"][0] if "name" in batch else Path(batch["lq_path"][0]).name
        keys = [key for key in ("lq", "gt", "mask") if key in batch]
        yield name, {key: batch[key].to(device) for key in keys}


def enhanced(
    network: nn.Module,
    batches: Iterable[dict[str, Any]],
    device: torch.device,
    *,
    ensemble: bool = False,
    multiple: int = 1,
    precision: str = "fp32",
) -> Iterator[tuple[str, Tensor, Tensor, Tensor | None]]:
    """Enhance images: the name, the input, the output and the ground truth, if any, of each.

    Args:
        network: On `device`, in `eval_mode`.
        batches: Of one image each: lq, gt (1, 3, H, W) in [0, 1], lq_path; gt may be missing.
        device: Where to compute.
        ensemble: Average over flips and rotations.
        multiple: What images are padded to, besides the network's own multiple.
        precision: Of the network; outputs are fp32.
    """
    run = self_ensemble if ensemble else enhance
    for name, image in samples(batches, device):
        with autocast(device, precision):
            output = run(network, image["lq"], multiple).float()
        yield name, image["lq"], output, image.get("gt")


def evaluate(
    network: nn.Module,
    batches: Iterable[dict[str, Any]],
    protocol: Protocol,
    dataset: str,
    device: torch.device,
    *,
    metrics: Iterable[str] | None = None,
    watch: Watch | None = None,
    **how: Any,
) -> Scores:
    """Enhance and score every image.

    Args:
        network, batches, device, how: As `enhanced` takes them; the gt may be missing if the
            protocol needs no ground truth.
        protocol: How to score: images, in fp32.
        dataset: The set's name, for the table.
        metrics: Names of the protocol's metrics; None takes all but the costly ones.
        watch: Called with (name, lq, output as scored, gt) for each image, without the gt where
            there is none.
    """
    score = Scorer(protocol, device, metrics)
    scores = Scores(protocol.name, dataset, notes=score.notes)
    with eval_mode(network):
        for name, lq, output, gt in enhanced(network, batches, device, **how):
            with naming(name):
                scores.rows.append(Row(name, score(lq, gt, lq), score(output, gt, lq)))
            if watch:
                watch(name, lq, protocol.adjust(output, gt), *([] if gt is None else [gt]))
    return scores

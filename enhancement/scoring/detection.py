"""What enhancement does for the task behind it: the objects that a detector finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from enhancement.data.boxes import Boxes, Objects
from enhancement.inference.run import eval_mode, run_stages
from enhancement.scoring.average_precision import average_precisions
from enhancement.scoring.detectors import Detections, Detector
from enhancement.scoring.evaluation import Row, Scores, samples
from enhancement.scoring.protocols import DETECTION
from enhancement.scoring.segmentation import INPUT, Sides


def score_detection(
    network: nn.Module,
    detector: Detector,
    batches: Iterable[dict[str, Any]],
    boxes: Boxes,
    dataset: str,
    device: torch.device,
) -> Sides:
    """Mean average precision of a detector before and after enhancement, over all images.

    Args:
        network: Enhances; where it has several stages, each one is scored.
        detector: From `load_detector`.
        batches: Of one image each: lq and a name.
        boxes: The objects that are there.
        dataset: The set's name.
        device: Where to compute.

    Returns:
        Scores, in one row, by what was searched: the dark input, each stage's output.
    """
    found: dict[str, list[Detections]] = {}
    truths: list[Objects] = []
    with eval_mode(network):
        for name, sample in samples(batches, device):
            truths.append(boxes.read(name))
            for side, image in {INPUT: sample["lq"], **run_stages(network, sample["lq"])}.items():
                found.setdefault(side, []).append(detector(image.clamp(0, 1)))
    sides: Sides = {}
    for side, detections in found.items():
        values = average_precisions(detections, truths)
        row = Row(f"{len(truths)} images", {}, {name: values[name] for name in DETECTION.names})
        sides[side] = Scores(DETECTION.name, dataset, [row])
    return sides

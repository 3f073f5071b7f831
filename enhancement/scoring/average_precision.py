"""Mean average precision of detections, by torchmetrics and COCO's own code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from enhancement.errors import UserError


def _mean_average_precision() -> Any:
    try:
        from torchmetrics.detection import MeanAveragePrecision

        return MeanAveragePrecision(box_format="xyxy")
    except ImportError as error:  # of torchmetrics, or of what it computes with
        raise UserError(
            f"--detector needs torchmetrics and pycocotools ({error}): "
            "pip install -e '.[detection]'"
        ) from error


def check_installed(device: torch.device) -> None:
    """Fail before any work where it cannot be computed.

    Raises:
        UserError: torchmetrics or pycocotools is not installed.
    """
    _mean_average_precision()


def average_precisions(found: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
    """Of the detections and the objects of each image.

    Returns:
        "map", over overlaps of 0.5 to 0.95 (COCO's), "map_50", for an overlap of 0.5, and others.
    """
    metric = _mean_average_precision()
    metric.update([one._asdict() for one in found], [one._asdict() for one in truths])
    return {name: float(value) for name, value in metric.compute().items() if value.numel() == 1}


def average_precision(which: str) -> Callable[[Sequence[Any], Sequence[Any]], float]:
    """The function that gives one of `average_precisions` alone."""
    return lambda found, truths: average_precisions(found, truths)[which]

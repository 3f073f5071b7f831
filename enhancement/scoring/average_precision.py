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
            f"--detector needs torchmetrics and pycocotools ({error}); pip install -e .[detection]"
        ) from error


def check_installed(device: torch.device) -> None:
    """Fail before any work where it cannot be computed.

    Raises:
        UserError: torchmetrics or pycocotools is not installed.
    """
    _mean_average_precision()


def average_precision(which: str) -> Callable[[Sequence[Any], Sequence[Any]], float]:
    """A function of the detections and the objects of each image.

    Args:
        which: "map", over overlaps of 0.5 to 0.95 (COCO's), or "map_50", for an overlap of 0.5.
    """

    def score(found: Sequence[Any], truths: Sequence[Any]) -> float:
        metric = _mean_average_precision()
        metric.update([one._asdict() for one in found], [one._asdict() for one in truths])
        return float(metric.compute()[which])

    return score

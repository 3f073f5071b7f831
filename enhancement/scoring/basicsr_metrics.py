"""Our metrics in BasicSR's registry: `calculate_psnr_retinexformer` and the like."""

from __future__ import annotations

from typing import Any

import torch
from basicsr.utils.registry import METRIC_REGISTRY

from enhancement.scoring.metrics import Metric
from enhancement.scoring.protocols import get_protocol

OFFERED = ("retinexformer", "capsule")  # BasicSR has those of `basicsr` itself


def _register(protocol: str, metric: Metric) -> None:
    """Offer one metric to any BasicSR project, under BasicSR's own calling convention."""

    def calculate(img: Any, img2: Any, crop_border: int = 0, **_: Any) -> float:
        """Of two (H, W, 3) arrays in [0, 255]."""
        a, b = (torch.as_tensor(x).permute(2, 0, 1)[None].double() / 255 for x in (img, img2))
        if crop_border:
            a, b = (x[..., crop_border:-crop_border, crop_border:-crop_border] for x in (a, b))
        return metric.function(a, b)

    calculate.__name__ = f"calculate_{metric.name}_{protocol}"
    METRIC_REGISTRY.register(calculate)


for _protocol in OFFERED:
    for _metric in get_protocol(_protocol).select():
        _register(_protocol, _metric)

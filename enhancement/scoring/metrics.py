"""The metrics: how each one is named, computed and printed, and which way is better.

Protocols (protocols.py) put them together; no other file holds a metric's facts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from enhancement.data.images import to_8_bit
from enhancement.errors import UserError, hint
from enhancement.scoring.average_precision import average_precision, check_installed
from enhancement.scoring.lightness_order import lightness_order_error
from enhancement.scoring.lpips import load_lpips, lpips_distance
from enhancement.scoring.masks import dice, miou
from enhancement.scoring.niqe import niqe
from enhancement.scoring.ssim import ssim_gaussian, ssim_uniform
from enhancement.scoring.temporal import flicker, warping_error

Compare = Callable[[Any, Any], float]


@dataclass(frozen=True)
class Metric:
    """A score of an output, against its ground truth if it needs one.

    Attributes:
        name: In option files, in CSV and JSON, and in logs.
        title: At the head of a table's column.
        function: Of the output and what it is compared with: images (1, 3, H, W) in [0, 1],
            boolean masks (N, H, W), or what was gathered of clips or detected in all images.
        digits: Printed behind the decimal point.
        better: Whether a "high" or a "low" score is the better one.
        compares: What `function` takes.
        load: Fetches the weights that it needs onto a device; None where it needs none.
        against: What the output is compared with.
    """

    name: str
    title: str
    function: Compare
    digits: int = 4
    better: Literal["high", "low"] = "high"
    compares: Literal["image", "mask", "clip", "objects"] = "image"
    load: Callable[[torch.device], None] | None = None
    against: Literal["truth", "input", "nothing"] = "truth"

    @property
    def needs_truth(self) -> bool:
        """Whether it looks at the ground truth; if not, there may be none."""
        return self.against == "truth"

    @property
    def costly(self) -> bool:
        """Whether it is computed only where it is asked for, because it needs weights or a
        package that may be missing."""
        return self.load is not None

    def prepare(self, device: torch.device) -> None:
        """Fetch what it needs, before any work.

        Raises:
            UserError: It cannot be computed here; says why.
        """
        if self.load:
            self.load(device)

    def improves(self, new: float | None, best: float | None) -> bool:
        """Whether a score is better than the best one so far; no score and NaN never are."""
        if new is None or math.isnan(new):
            return False
        if best is None or math.isnan(best):
            return True
        return new > best if self.better == "high" else new < best


def psnr(a: Tensor, b: Tensor, if_equal: float = math.inf) -> float:
    """10 log10(255^2 / MSE) of two float64 images in [0, 255]; `if_equal` where MSE is 0."""
    mse = (a - b).square().mean().item()
    return 10 * math.log10(255**2 / mse) if mse else if_equal


def _float_psnr(output: Tensor, gt: Tensor) -> float:
    return psnr(output.double() * 255, gt.double() * 255, if_equal=100.0)


def _rounded(function: Compare) -> Compare:
    """A function of images in [0, 255] for images in [0, 1], rounded to 8 bits first."""
    return lambda output, gt: function(to_8_bit(output), to_8_bit(gt))


def _mean(function: Callable[[Tensor, Tensor], Tensor]) -> Compare:
    """The mean over a batch of masks."""
    return lambda output, gt: function(output, gt).mean().item()


PSNR = Metric("psnr", "PSNR", _rounded(psnr), digits=3)
FLOAT_PSNR = replace(PSNR, function=_float_psnr)
SSIM = Metric("ssim", "SSIM", _rounded(ssim_gaussian))
UNIFORM_SSIM = replace(SSIM, function=_rounded(ssim_uniform))
LPIPS = Metric("lpips", "LPIPS", lpips_distance, better="low", load=load_lpips)
NIQE = Metric("niqe", "NIQE", niqe, digits=3, better="low", against="nothing")
LOE = Metric("loe", "LOE", lightness_order_error, digits=1, better="low", against="input")
DICE = Metric("dice", "Dice", _mean(dice), compares="mask")
MIOU = Metric("miou", "mIoU", _mean(miou), compares="mask")
FLICKER = Metric("flicker", "flicker", flicker, digits=3, better="low", compares="clip")
WARPING = Metric("warping", "warping", warping_error, digits=3, better="low", compares="clip")
MAP = Metric("map", "mAP", average_precision("map"), compares="objects", load=check_installed)
MAP_50 = replace(MAP, name="map_50", title="mAP at 0.5", function=average_precision("map_50"))
METRICS = {
    metric.name: metric
    for metric in (PSNR, SSIM, LPIPS, NIQE, LOE, DICE, MIOU, FLICKER, WARPING, MAP, MAP_50)
}


def get_metric(name: str) -> Metric:
    """The metric of that name; how PSNR and SSIM are computed depends on the protocol.

    Raises:
        UserError: No such metric; lists them.
    """
    if name not in METRICS:
        raise UserError(f"unknown metric '{name}'; {hint(name, METRICS)}")
    return METRICS[name]

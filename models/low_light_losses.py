"""Losses that low-light networks were published with."""

from __future__ import annotations

import math

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F


class WeightedLoss(nn.Module):
    """A loss of an output against the ground truth, times its weight.

    Args:
        loss_weight: Factor on the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Of two (B, 3, H, W) in [0, 1]."""
        return self.loss_weight * self.compare(pred, target)

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        """The loss before it is weighted."""
        raise NotImplementedError


@LOSS_REGISTRY.register()
class OutlierAwareLoss(WeightedLoss):
    """Mean of |d| tanh(|d - mean d| sqrt 2 / std d), d = pred - target (MobileIE).

    Mean and standard deviation are each image's and channel's own; the weight has no gradient.
    """

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        difference = pred - target
        with torch.no_grad():
            spread = difference.std((2, 3), keepdim=True) / math.sqrt(2)
            centred = difference - difference.mean((2, 3), keepdim=True)
            weight = torch.tanh(centred.abs() / (spread + 1e-6))
        return (difference.abs() * weight).mean()


@LOSS_REGISTRY.register()
class CosineSimilarityLoss(WeightedLoss):
    """1 - the mean cosine between the colours of output, clipped to [0, 1], and ground truth."""

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        return 1 - F.cosine_similarity(pred.clamp(0, 1), target, dim=1).mean()


@LOSS_REGISTRY.register()
class PSNRLoss(WeightedLoss):
    """best - 10 log10(1 / MSE), the mean over a batch's images.

    Args:
        loss_weight: Factor on the loss.
        best: The PSNR in dB that costs nothing.
    """

    def __init__(self, loss_weight: float = 1.0, best: float = 50.0) -> None:
        super().__init__(loss_weight)
        self.best = best

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        error = (pred - target).square().mean((1, 2, 3)) + 1e-8
        return self.best + 10 * error.log10().mean()

"""Losses on edges and on a small image out of the middle of a network."""

from __future__ import annotations

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from .losses import NamedLoss, WeightedLoss

TAPS = (0.05, 0.25, 0.4, 0.25, 0.05)  # of the Laplacian pyramid (Burt and Adelson, 1983), a = 0.4


@LOSS_REGISTRY.register()
class EdgeLoss(WeightedLoss):
    """Mean of (L(output) - L(gt))^2, L(x) = x - x reduced to half its size and enlarged again.

    L is the first level of a Laplacian pyramid (DarkIR, CVPR 2025).

    Args:
        loss_weight: Factor on the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.kernel: Tensor
        taps = torch.tensor(TAPS)
        self.register_buffer("kernel", (taps[:, None] * taps)[None, None], persistent=False)

    def blur(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, edge pixels repeated beyond the border."""
        kernel = self.kernel.expand(x.shape[1], 1, -1, -1)
        return F.conv2d(F.pad(x, (2, 2, 2, 2), "replicate"), kernel, groups=x.shape[1])

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        difference = pred - target  # L is linear
        sparse = torch.zeros_like(difference)
        sparse[..., ::2, ::2] = 4 * self.blur(difference)[..., ::2, ::2]
        return (difference - self.blur(sparse)).square().mean()


@LOSS_REGISTRY.register()
class SideLoss(NamedLoss):
    """Mean absolute difference of a network's small side output from the ground truth so reduced.

    Args:
        loss_weight: Factor on the loss.
    """

    def forward(self, side: Tensor, gt: Tensor) -> Tensor:
        """Of a small (B, 3, h, w) and (B, 3, H, W), reduced to the same size bilinearly."""
        small = F.interpolate(gt, size=side.shape[-2:], mode="bilinear")
        return self.loss_weight * F.l1_loss(side, small)

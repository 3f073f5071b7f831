"""Losses on amplitudes and phases of Fourier transforms."""

from __future__ import annotations

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from .losses import NamedLoss, WeightedLoss


def amplitude_difference(pred: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the amplitudes of two images (B, C, H, W), unnormalised."""
    return F.l1_loss(torch.fft.rfft2(pred).abs(), torch.fft.rfft2(target).abs())


@LOSS_REGISTRY.register()
class PhaseLoss(WeightedLoss):
    """Mean absolute difference of phases: |angle F(output) - angle F(gt)| (FECNet, ECCV 2022).

    Angles are compared as numbers in (-pi, pi], as published: a hair across pi costs 2 pi.

    Args:
        loss_weight: Factor on the loss.
    """

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        angles = torch.fft.rfft2(pred).angle(), torch.fft.rfft2(target).angle()
        return F.l1_loss(*angles)


@LOSS_REGISTRY.register()
class AmplitudeStageLoss(NamedLoss):
    """FECNet's loss on its first stage: L1 of the image, and of its amplitudes (ECCV 2022).

    Args:
        loss_weight: Factor on the sum.
        pixel_weight: Factor on the mean of |stage - gt|.
        amplitude_weight: Factor on the mean of ||F(stage)| - |F(gt)||.
    """

    def __init__(
        self, loss_weight: float = 1.0, pixel_weight: float = 0.5, amplitude_weight: float = 0.1
    ) -> None:
        super().__init__(loss_weight)
        self.pixel_weight, self.amplitude_weight = pixel_weight, amplitude_weight

    def forward(self, amplitude_stage: Tensor, gt: Tensor) -> Tensor:
        """Of two (B, 3, H, W): what the first stage gives, and the ground truth."""
        pixels = self.pixel_weight * F.l1_loss(amplitude_stage, gt)
        amplitudes = self.amplitude_weight * amplitude_difference(amplitude_stage, gt)
        return self.loss_weight * (pixels + amplitudes)


@LOSS_REGISTRY.register()
class AmplitudeLoss(NamedLoss):
    """Sum of (A - |F(gt)|)^2 for the amplitudes A that the network predicts (FourLLIE, 2023).

    Args:
        loss_weight: Factor on the loss.
    """

    reduction = "sum"

    def forward(self, amplitude: Tensor, gt: Tensor) -> Tensor:
        """Of amplitudes and an image, (B, 3, H, W) each."""
        target = torch.fft.fft2(gt).abs()
        return self.loss_weight * F.mse_loss(amplitude, target, reduction=self.reduction)

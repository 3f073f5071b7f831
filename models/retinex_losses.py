"""Losses of networks that decompose an image into reflectance and illumination."""

from __future__ import annotations

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from enhancement.arguments import require_at_least
from enhancement.colour import luma

from .losses import NamedLoss, SSIMLoss


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Absolute differences along x and y; the image has a border of zeros, as published.

    Args:
        x: (B, 1, H, W).

    Returns:
        (B, 1, H + 1, W + 1) each.
    """
    along_x = F.pad(x, (1, 1, 0, 1)).diff(dim=-1)
    along_y = F.pad(x, (0, 1, 1, 1)).diff(dim=-2)
    return along_x.abs(), along_y.abs()


def smoothness(illumination: Tensor, reflectance: Tensor) -> Tensor:
    """Structure-aware smoothness (Wei et al., BMVC 2018, eq. 4), a mean over pixels.

    |dI/dx| exp(-10 |dR/dx|) + the same along y, where |dR| is that of the grey reflectance,
    averaged over 3x3 pixels as in the published code.

    Args:
        illumination: I, (B, 1, H, W).
        reflectance: R, (B, 3, H, W).
    """
    structure = edges(luma(reflectance))
    total = reflectance.new_zeros(())
    for change, edge in zip(edges(illumination), structure, strict=True):
        total = total + (change * torch.exp(-10 * F.avg_pool2d(edge, 3, 1, 1))).mean()
    return total


@LOSS_REGISTRY.register()
class RetinexDecompositionLoss(NamedLoss):
    """RetinexNet's loss of a pair's decompositions S = R I (Wei et al., BMVC 2018, eq. 1 to 4):
    |R_l I_l - S_l| + |R_h I_h - S_h| + swapped (|R_h I_l - S_l| + |R_l I_h - S_h|)
    + consistency |R_l - R_h| + smoothness (s(I_l, R_l) + s(I_h, R_h)), l the input, h the ground
    truth, |.| a mean. As in the published code, R_h takes no gradient from the consistency.

    Args:
        loss_weight: Factor on the sum.
        swapped: Weight of the reconstruction from the other image's reflectance.
        consistency: Weight of the difference of the reflectances.
        smoothness: Weight of the illuminations' structure-aware smoothness.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        swapped: float = 0.001,
        consistency: float = 0.01,
        smoothness: float = 0.1,
    ) -> None:
        super().__init__(loss_weight)
        require_at_least(0, swapped=swapped, consistency=consistency, smoothness=smoothness)
        self.swapped, self.consistency, self.smoothness = swapped, consistency, smoothness

    def forward(
        self,
        lq: Tensor,
        gt: Tensor,
        reflectance: Tensor,
        illumination: Tensor,
        reflectance_gt: Tensor,
        illumination_gt: Tensor,
    ) -> Tensor:
        """Of (B, 3, H, W) in [0, 1]; illuminations (B, 1, H, W)."""
        own = F.l1_loss(reflectance * illumination, lq)
        own = own + F.l1_loss(reflectance_gt * illumination_gt, gt)
        swapped = F.l1_loss(reflectance_gt * illumination, lq)
        swapped = swapped + F.l1_loss(reflectance * illumination_gt, gt)
        smooth = smoothness(illumination, reflectance) + smoothness(illumination_gt, reflectance_gt)
        same = F.l1_loss(reflectance, reflectance_gt.detach())
        total = own + self.swapped * swapped + self.consistency * same + self.smoothness * smooth
        return self.loss_weight * total


@LOSS_REGISTRY.register()
class RelightingSmoothnessLoss(NamedLoss):
    """Structure-aware smoothness of RetinexNet's new illumination (Wei et al., BMVC 2018, eq. 4).

    Args:
        loss_weight: Factor on the loss; 3 in the published code.
    """

    def forward(self, relit: Tensor, reflectance: Tensor) -> Tensor:
        """Of the illumination (B, 1, H, W) and the reflectance (B, 3, H, W)."""
        return self.loss_weight * smoothness(relit, reflectance)


@LOSS_REGISTRY.register()
class InitialisationLoss(NamedLoss):
    """URetinex-Net's loss of the first decompositions of a pair (Wu et al., CVPR 2022, sec. 3.3).

    |R0 L0 - x| + brightest (L0 - max_c x)^2 for the input x; |R L - y| + smoothness s(L, R) for the
    ground truth y; means over pixels.

    Args:
        loss_weight: Factor on the sum.
        brightest: Weight of the illumination's distance to the brightest channel.
        smoothness: Weight of the ground truth's structure-aware smoothness.
    """

    def __init__(
        self, loss_weight: float = 1.0, brightest: float = 0.1, smoothness: float = 0.1
    ) -> None:
        super().__init__(loss_weight)
        require_at_least(0, brightest=brightest, smoothness=smoothness)
        self.brightest, self.smoothness = brightest, smoothness

    def forward(
        self,
        lq: Tensor,
        gt: Tensor,
        initial_reflectance: Tensor,
        initial_illumination: Tensor,
        reflectance_gt: Tensor,
        illumination_gt: Tensor,
    ) -> Tensor:
        """Of (B, 3, H, W); illuminations (B, 1, H, W)."""
        dark = F.l1_loss(initial_reflectance * initial_illumination, lq)
        bright = F.l1_loss(reflectance_gt * illumination_gt, gt)
        distance = F.mse_loss(initial_illumination, lq.amax(1, keepdim=True))
        smooth = smoothness(illumination_gt, reflectance_gt)
        total = dark + bright + self.brightest * distance + self.smoothness * smooth
        return self.loss_weight * total


@LOSS_REGISTRY.register()
class UnfoldingLoss(NamedLoss):
    """URetinex-Net's loss of the unfolding (Wu et al., CVPR 2022, sec. 3.3), of the last round.

    (R - R_h)^2 + ssim (1 - SSIM(R, R_h)) + constraint (|P - R| + |Q - L|) + variation TV(L), R_h
    the ground truth's reflectance, which is not trained by it; means over pixels.

    Args:
        loss_weight: Factor on the sum.
        ssim: Weight of the structural term.
        constraint: Weight of the distance between the auxiliary variables and what they stand for.
        variation: Weight of the illumination's total variation.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        ssim: float = 1.0,
        constraint: float = 1.0,
        variation: float = 20.0,
    ) -> None:
        super().__init__(loss_weight)
        require_at_least(0, ssim=ssim, constraint=constraint, variation=variation)
        self.ssim_weight, self.constraint, self.variation = ssim, constraint, variation
        self.ssim = SSIMLoss()

    def forward(
        self,
        reflectance: Tensor,
        illumination: Tensor,
        auxiliary_reflectance: Tensor,
        auxiliary_illumination: Tensor,
        reflectance_gt: Tensor,
    ) -> Tensor:
        """Of (B, 3, H, W); illuminations (B, 1, H, W)."""
        target = reflectance_gt.detach()
        total = F.mse_loss(reflectance, target) + self.ssim_weight * self.ssim(reflectance, target)
        constraint = F.l1_loss(auxiliary_reflectance, reflectance)
        constraint = constraint + F.l1_loss(auxiliary_illumination, illumination)
        variation = sum(illumination.diff(dim=axis).abs().mean() for axis in (-1, -2))
        total = total + self.constraint * constraint + self.variation * variation
        return self.loss_weight * total


@LOSS_REGISTRY.register()
class IlluminationGradientLoss(NamedLoss):
    """Mean |grad of the adjusted illumination - grad of the ground truth's|, along x and y.

    A term of URetinex-Net's adjustment (Wu et al., CVPR 2022, sec. 3.3).

    Args:
        loss_weight: Factor on the loss.
    """

    def forward(self, adjusted: Tensor, illumination_gt: Tensor) -> Tensor:
        """Of two (B, 1, H, W); the second is not trained by it."""
        difference = adjusted - illumination_gt.detach()
        along_x, along_y = (difference.diff(dim=axis).abs().mean() for axis in (-1, -2))
        return self.loss_weight * (along_x + along_y)

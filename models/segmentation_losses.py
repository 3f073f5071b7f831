"""Losses of a mask's logits against a mask, for segmentation and what is trained through it.

Dice is each frame's own, then the mean: a frame without a lesion counts like any other. The Dice
loss of segmentation_models_pytorch sums over the batch and leaves empty masks out.
"""

from __future__ import annotations

from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require


class MaskLoss(nn.Module):
    """A loss of logits (B, 1, H, W) against a mask (B, 1, H, W) of 0 and 1."""

    compares = "mask"

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight


@LOSS_REGISTRY.register()
class DiceBCELoss(MaskLoss):
    """Binary cross entropy plus 1 - Dice of the probabilities.

    Args:
        loss_weight: Scales the sum.
        dice_weight: Weight of the Dice term relative to the cross entropy.
    """

    def __init__(self, loss_weight: float = 1.0, dice_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.dice_weight = dice_weight

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The mean over the batch."""
        probability = pred.sigmoid()
        both = (probability * target).sum((1, 2, 3))
        either = probability.sum((1, 2, 3)) + target.sum((1, 2, 3))
        dice = 1 - ((2 * both + 1) / (either + 1)).mean()
        bce = F.binary_cross_entropy_with_logits(pred, target)
        return self.loss_weight * (bce + self.dice_weight * dice)


@LOSS_REGISTRY.register()
class StructureLoss(MaskLoss):
    """Cross entropy and 1 - IoU, both weighted toward the lesion's boundary.

    A pixel weighs 1 + boundary * |its neighbourhood's mean mask - its mask| (F3Net, Wei et al.,
    AAAI 2020, eq. 7 to 9; the structure loss of Dual-Gen-Frame).

    Args:
        loss_weight: Scales the sum.
        boundary: How much more a boundary counts.
        window: Side of the neighbourhood in pixels, odd.

    Raises:
        ValueError: `window` is even or below 1.
    """

    def __init__(self, loss_weight: float = 1.0, boundary: float = 5.0, window: int = 31) -> None:
        super().__init__(loss_weight)
        require(window > 0 and window % 2 == 1, "window", "odd and above 0", window)
        self.boundary, self.window = boundary, window

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """The mean over the batch."""
        around = F.avg_pool2d(target, self.window, 1, self.window // 2)
        weight = 1 + self.boundary * (around - target).abs()
        total = weight.sum((2, 3))
        bce = F.binary_cross_entropy_with_logits(pred, target, reduction="none")
        bce = (weight * bce).sum((2, 3)) / total
        probability = pred.sigmoid()
        both = (probability * target * weight).sum((2, 3))
        either = ((probability + target) * weight).sum((2, 3)) - both
        return self.loss_weight * (bce + 1 - (both + 1) / (either + 1)).mean()

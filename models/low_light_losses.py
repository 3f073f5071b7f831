"""Losses that low-light networks were published with."""

from __future__ import annotations

import math

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from enhancement.arguments import require
from enhancement.scoring.ssim import gaussian_window, ssim_terms

from .losses import WeightedLoss

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, fine to coarse


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


@LOSS_REGISTRY.register()
class SmoothL1Loss(WeightedLoss):
    """Mean of d^2 / 2 for |d| < 1 and |d| - 1/2 beyond, d = pred - target (LYT-Net)."""

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(pred, target)


@LOSS_REGISTRY.register()
class MultiScaleSSIMLoss(WeightedLoss):
    """1 - MS-SSIM of five scales (Wang et al., Asilomar 2003, eq. 7), each half the one before.

    An image too small for all scales is compared in those that hold the 11x11 window, their
    weights scaled to the same sum.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        self.window: Tensor
        self.register_buffer("window", gaussian_window().float(), persistent=False)

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        size, side = len(self.window), min(pred.shape[-2:])
        count = max(1, sum(side // 2**k >= size for k in range(len(SCALE_WEIGHTS))))
        terms = []
        for k in range(count):
            if k:
                pred, target = F.avg_pool2d(pred, 2), F.avg_pool2d(target, 2)
            luminance, structure = ssim_terms(pred, target, self.window)
            local = luminance * structure if k == count - 1 else structure
            terms.append(local.mean((2, 3)).clamp_min(1e-4))  # its power has a finite gradient
        weights = pred.new_tensor(SCALE_WEIGHTS[:count]) / sum(SCALE_WEIGHTS[:count])
        return 1 - (torch.stack(terms, -1) ** weights).prod(-1).mean()


@LOSS_REGISTRY.register()
class MeanBrightnessLoss(WeightedLoss):
    """Mean over the images of |mean pred - mean target| (LYT-Net's colour loss)."""

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        return (pred.mean((1, 2, 3)) - target.mean((1, 2, 3))).abs().mean()


def angle(a: Tensor, b: Tensor, dim: tuple[int, ...]) -> Tensor:
    """Mean of 1 - c + arccos c, c the cosine between two tensors over some dimensions."""
    norms = [(x.square().mean(dim) + 1e-12).sqrt() for x in (a, b)]
    cosine = (a * b).mean(dim) / (norms[0] * norms[1] + 1e-5)
    # arccos has no finite gradient where two are parallel
    return (1 - cosine + cosine.clamp(-1 + 1e-6, 1 - 1e-6).arccos()).mean()


def relative_angle(a: Tensor, b: Tensor) -> Tensor:
    """The `angle` of each channel, and of all together, each channel's least value taken off."""
    a, b = (x - x.detach().amin((2, 3), keepdim=True) for x in (a, b))
    return angle(a, b, (2, 3)) + angle(a, b, (1, 2, 3))


@LOSS_REGISTRY.register()
class BrightnessConsistencyLoss(WeightedLoss):
    """The angle between output and ground truth as vectors of pixels (FLW-Net).

    It does not mind by how much the output is darker, only whether everywhere alike.
    """

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        return relative_angle(pred, target)


@LOSS_REGISTRY.register()
class GradientConsistencyLoss(WeightedLoss):
    """As `BrightnessConsistencyLoss`, of absolute differences to the right and down (FLW-Net)."""

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        return relative_angle(self.gradients(pred), self.gradients(target))

    @staticmethod
    def gradients(image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 2C, H - 1, W - 1)."""
        right, down = image.diff(dim=3)[:, :, :-1], image.diff(dim=2)[..., :-1]
        return torch.cat((right, down), 1).abs()


@LOSS_REGISTRY.register()
class ColorConsistencyLoss(WeightedLoss):
    """The angle between the colours of output and ground truth, pixel by pixel (FLW-Net)."""

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        return angle(pred, target, (1,))


@LOSS_REGISTRY.register()
class MuLawLoss(WeightedLoss):
    """Mean |T(pred) - T(target)|, T(x) = log(1 + mu x) / log(1 + mu) (CPGA-Net+).

    Args:
        loss_weight: Factor on the loss.
        mu: How much more differences in the dark count.

    Raises:
        ValueError: `mu` is not above 0.
    """

    def __init__(self, loss_weight: float = 1.0, mu: float = 5000.0) -> None:
        super().__init__(loss_weight)
        require(mu > 0, "mu", "above 0", mu)
        self.mu = mu

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        found, wanted = (torch.log1p(self.mu * x.clamp_min(0)) for x in (pred, target))
        return F.l1_loss(found, wanted) / math.log1p(self.mu)

"""Losses in addition to BasicSR's own (L1Loss, MSELoss, CharbonnierLoss, PerceptualLoss)."""

from __future__ import annotations

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require
from enhancement.colour import luma
from enhancement.config.needs import NAMED
from enhancement.scoring.ssim import gaussian_window, ssim_map

LUMA_FLOOR = 1e-4  # added before the logarithm; a 39th of an 8-bit level


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
class SSIMLoss(WeightedLoss):
    """1 - SSIM with a Gaussian window.

    Args:
        loss_weight: Factor on the loss.
        window_size: Taps of the window, odd.
        sigma: Its standard deviation in pixels.
    """

    def __init__(self, loss_weight: float = 1.0, window_size: int = 11, sigma: float = 1.5) -> None:
        super().__init__(loss_weight)
        fits = window_size % 2 == 1 and window_size >= 3
        require(fits, "window_size", "odd and at least 3", window_size)
        require(sigma > 0, "sigma", "above 0", sigma)
        self.window: Tensor
        window = gaussian_window(window_size, sigma).float()
        self.register_buffer("window", window, persistent=False)

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        return 1 - ssim_map(pred, target, self.window).mean()


@LOSS_REGISTRY.register()
class SSIMMAELoss(WeightedLoss):
    """alpha (1 - SSIM) + (1 - alpha) MAE (Zhao et al., IEEE TCI 2017, with SSIM of one scale).

    Args:
        loss_weight: Factor on the sum.
        alpha: Share of the SSIM term, in [0, 1]; 0.84 in that paper.
    """

    def __init__(self, loss_weight: float = 1.0, alpha: float = 0.84) -> None:
        super().__init__(loss_weight)
        require(0 <= alpha <= 1, "alpha", "in [0, 1]", alpha)
        self.alpha = alpha
        self.ssim = SSIMLoss()

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        mae = F.l1_loss(pred, target)
        return self.alpha * self.ssim(pred, target) + (1 - self.alpha) * mae


class NamedLoss(nn.Module):
    """A loss whose `forward` names what it takes, for `NamedLossModel`.

    Its parameters bear the names: `lq`, `gt`, `output`, or any of the network's `extra_outputs`.

    Args:
        loss_weight: Factor on the loss.
    """

    compares = NAMED

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight


@LOSS_REGISTRY.register()
class IlluminationReconstructionLoss(NamedLoss):
    """Mean over pixels of ||I - S G||^2 (eq. 7 of the bilateral grid for endoscopic video)."""

    def forward(self, illumination: Tensor, gt: Tensor, lq: Tensor) -> Tensor:
        """Of (B, 3, H, W) in [0, 1] each: the map S, the ground truth G, the input I."""
        return self.loss_weight * (lq - illumination * gt).square().sum(1).mean()


@LOSS_REGISTRY.register()
class IlluminationSmoothnessLoss(NamedLoss):
    """Weighted least squares (Farbman et al., SIGGRAPH 2008, eq. 2 and 3): mean over pixels and
    colours of w_x (dS/dx)^2 + w_y (dS/dy)^2, w_x = 1 / (|d log-luma(I) / dx|^theta + eps).

    Args:
        loss_weight: Factor on the loss.
        theta: How sharply an edge of the input lets the illumination change.
        eps: Keeps w finite where the input is flat; w is at most 1 / eps.
    """

    def __init__(self, loss_weight: float = 1.0, theta: float = 1.2, eps: float = 1e-4) -> None:
        super().__init__(loss_weight)
        require(theta > 0, "theta", "above 0", theta)
        require(eps > 0, "eps", "above 0", eps)
        self.theta, self.eps = theta, eps

    def forward(self, illumination: Tensor, lq: Tensor) -> Tensor:
        """Of (B, 3, H, W) in [0, 1] each: the map S and the input I."""
        brightness = torch.log(luma(lq) + LUMA_FLOOR)
        total = illumination.new_zeros(())
        for axis in (-1, -2):
            edge = brightness.diff(dim=axis).abs() ** self.theta + self.eps
            total = total + (illumination.diff(dim=axis).square() / edge).sum()
        return self.loss_weight * total / illumination.numel()


@LOSS_REGISTRY.register()
class ColorAngleLoss(WeightedLoss):
    """Mean angle in radians between the colours of output and ground truth (deepUPE, eq. 6).

    Colours near black count as parallel to any other.

    Args:
        loss_weight: Factor on the loss.
    """

    def compare(self, pred: Tensor, target: Tensor) -> Tensor:
        across = torch.linalg.cross(pred, target, dim=1).square().sum(1)
        along = (pred * target).sum(1)
        # finite gradients where colours are parallel, and no angle where one of them is black
        return torch.atan2((across + 1e-16).sqrt(), along + 1e-4).mean()

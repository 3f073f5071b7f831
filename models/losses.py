"""Losses beside BasicSR's own (L1Loss, MSELoss, CharbonnierLoss, PerceptualLoss)."""

from __future__ import annotations

from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.metrics import gaussian_window, ssim_map


@LOSS_REGISTRY.register()
class SSIMLoss(nn.Module):
    """1 - SSIM with a Gaussian window.

    Args:
        loss_weight: Factor on the loss.
        window_size: Taps of the window, odd.
        sigma: Its standard deviation in pixels.
    """

    def __init__(self, loss_weight: float = 1.0, window_size: int = 11, sigma: float = 1.5) -> None:
        super().__init__()
        if window_size % 2 == 0 or window_size < 3 or sigma <= 0:
            raise ValueError(
                "Expected `window_size` odd from 3 and `sigma` above 0, "
                f"but got {window_size} and {sigma}."
            )
        self.loss_weight = loss_weight
        self.window: Tensor
        window = gaussian_window(window_size, sigma).float()
        self.register_buffer("window", window, persistent=False)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Of two (B, C, H, W) in [0, 1]."""
        return self.loss_weight * (1 - ssim_map(pred, target, self.window).mean())


@LOSS_REGISTRY.register()
class SSIMMAELoss(nn.Module):
    """alpha (1 - SSIM) + (1 - alpha) MAE (Zhao et al., IEEE TCI 2017, with SSIM of one scale).

    Args:
        loss_weight: Factor on the sum.
        alpha: Share of the SSIM term, in [0, 1]; 0.84 in that paper.
    """

    def __init__(self, loss_weight: float = 1.0, alpha: float = 0.84) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"Expected `alpha` in [0, 1], but got {alpha}.")
        self.loss_weight, self.alpha = loss_weight, alpha
        self.ssim = SSIMLoss()

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Of two (B, C, H, W) in [0, 1]."""
        mae = F.l1_loss(pred, target)
        return self.loss_weight * (self.alpha * self.ssim(pred, target) + (1 - self.alpha) * mae)

"""Mixup of a batch of pairs."""

from __future__ import annotations

import torch
from torch import Tensor

from enhancement.arguments import require


class Mixup:
    """Blend each pair with another one of its batch (Zhang et al., ICLR 2018), as Restormer does.

    Args:
        mixup: Off leaves batches alone.
        mixup_beta: The one share of a batch is drawn from Beta(mixup_beta, mixup_beta).
        use_identity: Leave half of the batches alone.

    Raises:
        ValueError: `mixup_beta` is not positive.
    """

    def __init__(
        self, mixup: bool = True, mixup_beta: float = 1.2, use_identity: bool = True
    ) -> None:
        require(mixup_beta > 0, "mixup_beta", "above 0", mixup_beta)
        self.mixup, self.use_identity = mixup, use_identity
        self.share = torch.distributions.Beta(float(mixup_beta), float(mixup_beta))

    def __call__(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """Two (B, C, H, W), blended with the same partners and the same share."""
        if not self.mixup or (self.use_identity and torch.rand(()) < 0.5):
            return lq, gt
        share = self.share.sample().item()
        partner = torch.randperm(len(lq)).to(lq.device)
        return torch.lerp(lq[partner], lq, share), torch.lerp(gt[partner], gt, share)

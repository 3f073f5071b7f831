"""How well two masks agree: Dice and mean intersection over union."""

from __future__ import annotations

import torch
from torch import Tensor


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 1 where there is nothing to agree on."""
    return torch.where(whole > 0, part / whole.clamp_min(1), torch.ones_like(part))


def dice(a: Tensor, b: Tensor) -> float:
    """2 |a and b| / (|a| + |b|), the mean over the masks; 1 where both are empty.

    Args:
        a, b: Boolean, (H, W) or (N, H, W).
    """
    both = (a & b).sum((-2, -1)).double()
    return _share(2 * both, a.sum((-2, -1)) + b.sum((-2, -1))).mean().item()


def miou(a: Tensor, b: Tensor) -> float:
    """Intersection over union, averaged over foreground and background and over the masks.

    Args:
        a, b: Boolean, (H, W) or (N, H, W).
    """

    def iou(x: Tensor, y: Tensor) -> Tensor:
        return _share((x & y).sum((-2, -1)).double(), (x | y).sum((-2, -1)))

    return ((iou(a, b) + iou(~a, ~b)) / 2).mean().item()

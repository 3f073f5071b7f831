"""Guided image filtering (He, Sun and Tang, ECCV 2010 and TPAMI 2013).

Paper: https://doi.org/10.1109/TPAMI.2012.213
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .precision import full_precision


def box_mean(x: Tensor, radius: int) -> Tensor:
    """The mean over the square window around each pixel, as far as it lies in the image.

    Args:
        x: (B, C, H, W).
        radius: The window's side is 2 radius + 1.
    """
    side = 2 * radius + 1
    x = F.avg_pool2d(x, (side, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, side), 1, (0, radius), count_include_pad=False)


def guided_filter(guide: Tensor, x: Tensor, radius: int, eps: float) -> Tensor:
    """A map that follows the edges of a colour image: q = a^T I + b in each window.

    An output pixel depends on the 2 radius pixels around it in each direction.

    Args:
        guide: I, (B, 3, H, W) in [0, 1].
        x: The map p to be filtered, (B, 1, H, W).
        radius: Of the windows, in pixels.
        eps: Keeps a small; on the scale of the guide's variance.

    Returns:
        (B, 1, H, W).
    """
    with full_precision(guide):
        guide, x = guide.float(), x.float()
        mean_guide, mean_x = box_mean(guide, radius), box_mean(x, radius)
        covariance = box_mean(guide * x, radius) - mean_guide * mean_x  # (B, 3, H, W)
        a = _solve(_regularised(guide, mean_guide, radius, eps), covariance)
        b = mean_x - (a * mean_guide).sum(1, keepdim=True)
        return (box_mean(a, radius) * guide).sum(1, keepdim=True) + box_mean(b, radius)


def _regularised(guide: Tensor, mean: Tensor, radius: int, eps: float) -> tuple[Tensor, ...]:
    """Sigma + eps U of each window: rr, rg, rb, gg, gb and bb, (B, 1, H, W) each."""
    r, g, b = guide.split(1, 1)
    products = box_mean(torch.cat((r * r, r * g, r * b, g * g, g * b, b * b), 1), radius)
    r, g, b = mean.split(1, 1)
    variances = products - torch.cat((r * r, r * g, r * b, g * g, g * b, b * b), 1)
    rr, rg, rb, gg, gb, bb = variances.split(1, 1)
    return rr + eps, rg, rb, gg + eps, gb, bb + eps


def _solve(matrix: tuple[Tensor, ...], x: Tensor) -> Tensor:
    """The symmetric system M a = x of each pixel by Cramer's rule; (B, 3, H, W)."""
    rr, rg, rb, gg, gb, bb = matrix
    r, g, b = x.split(1, 1)
    minors = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    determinant = rr * minors[0] + rg * minors[1] + rb * minors[2]
    a = (
        minors[0] * r + minors[1] * g + minors[2] * b,
        minors[1] * r + (rr * bb - rb * rb) * g + (rb * rg - rr * gb) * b,
        minors[2] * r + (rb * rg - rr * gb) * g + (rr * gg - rg * rg) * b,
    )
    return torch.cat(a, 1) / determinant

"""How well two binary masks agree."""

from __future__ import annotations

import torch
from torch import Tensor

from enhancement.errors import UserError


def _counts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels in both masks, and in each of the two summed: (N,) or a scalar each, float64."""
    if a.shape != b.shape or a.dtype != torch.bool or b.dtype != torch.bool:
        raise UserError(
            f"expected two boolean masks of one shape, but got {tuple(a.shape)} of {a.dtype} and "
            f"{tuple(b.shape)} of {b.dtype}"
        )
    both = (a & b).sum((-2, -1)).double()
    return both, (a.sum((-2, -1)) + b.sum((-2, -1))).double()


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole; 1 where both masks are empty."""
    return torch.where(whole > 0, part / whole.clamp_min(1), 1.0)


def dice(a: Tensor, b: Tensor) -> Tensor:
    """2 |a and b| / (|a| + |b|) of the foreground (Dice, Ecology 1945).

    Args:
        a, b: Boolean, (H, W) or (N, H, W).

    Returns:
        A scalar or (N,), float64 in [0, 1]; 1 where both masks are empty.

    Raises:
        UserError: The two differ in shape, or are not boolean.
    """
    both, total = _counts(a, b)
    return _ratio(2 * both, total)


def miou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, of the foreground and of the background, averaged.

    Arguments, shapes and errors are those of `dice`. A class that neither mask holds counts as 1.
    """
    both, total = _counts(a, b)
    foreground = _ratio(both, total - both)
    both, total = _counts(~a, ~b)
    return (foreground + _ratio(both, total - both)) / 2

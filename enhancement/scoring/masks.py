"""How well two binary masks agree, by the functions of segmentation_models_pytorch."""

from __future__ import annotations

import torch
from torch import Tensor

from enhancement.errors import UserError


def _counts(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    """True and false positives, false and true negatives.

    Args:
        a, b: Boolean, (H, W) or (N, H, W).

    Returns:
        Four tensors (N, 2), float64: of the foreground, and of the background.

    Raises:
        UserError: The two differ in shape, or are not boolean.
    """
    from segmentation_models_pytorch.metrics import get_stats  # takes seconds to import

    if a.shape != b.shape or a.dtype != torch.bool or b.dtype != torch.bool:
        raise UserError(
            f"expected two boolean masks of one shape, but got {tuple(a.shape)} of {a.dtype} and "
            f"{tuple(b.shape)} of {b.dtype}"
        )
    both = (torch.stack((mask, ~mask), -3).long() for mask in (a, b))
    output, target = (mask if mask.ndim == 4 else mask[None] for mask in both)
    return tuple(count.double() for count in get_stats(output, target, mode="multilabel"))


def dice(a: Tensor, b: Tensor) -> Tensor:
    """2 |a and b| / (|a| + |b|) of the foreground (Dice, Ecology 1945).

    Args:
        a, b: Boolean, (H, W) or (N, H, W).

    Returns:
        A scalar or (N,), float64 in [0, 1]; 1 where both masks are empty.

    Raises:
        UserError: The two differ in shape, or are not boolean.
    """
    from segmentation_models_pytorch.metrics import f1_score

    scores = f1_score(*_counts(a, b), zero_division=1.0)[:, 0]
    return scores if a.ndim == 3 else scores[0]


def miou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union, of the foreground and of the background, averaged.

    Arguments, shapes and errors are those of `dice`. A class that neither mask holds counts as 1.
    """
    from segmentation_models_pytorch.metrics import iou_score

    scores = iou_score(*_counts(a, b), zero_division=1.0).mean(1)
    return scores if a.ndim == 3 else scores[0]

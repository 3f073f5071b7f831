"""NIQE (Mittal et al., IEEE SPL 2013), a score without ground truth, by BasicSR's function."""

from __future__ import annotations

import warnings

import numpy as np
from basicsr.metrics import calculate_niqe
from torch import Tensor

from enhancement.data.images import to_8_bit
from enhancement.errors import UserError

BLOCK = 96  # pixels; its statistics are taken over blocks, and of two at least


def niqe(output: Tensor, gt: Tensor | None = None) -> float:
    """How far an image's statistics are from those of pristine photographs; lower is better.

    Args:
        output: (1, 3, H, W) in [0, 1], rounded to 8 bits; scored by luma (BT.601).
        gt: Not looked at.

    Returns:
        The distance; NaN where the image is flat throughout.

    Raises:
        UserError: The image has no room for two blocks of 96x96.
    """
    height, width = output.shape[-2:]
    if (height // BLOCK) * (width // BLOCK) < 2:
        raise UserError(f"NIQE: expected at least 96x192 pixels, but the image is {width}x{height}")
    bgr = to_8_bit(output)[0].flip(0).permute(1, 2, 0).cpu().numpy()
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of flat blocks, which are left out
            return float(calculate_niqe(bgr, crop_border=0))
    except np.linalg.LinAlgError:
        return float("nan")

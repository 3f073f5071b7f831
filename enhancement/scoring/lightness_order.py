"""LOE: whether an enhanced image keeps the order of brightness of its input."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from enhancement.data.images import to_8_bit
from enhancement.errors import UserError

WINDOW = 15  # pixels: lightness is the local maximum
GRID = 50  # samples along the shorter side, at least
AT_ONCE = 1 << 22  # pairs that are compared at a time


def _lightness(image: Tensor) -> Tensor:
    """Samples (N,) of the largest channel's local maximum, in [0, 255]."""
    brightest = to_8_bit(image).amax(1, keepdim=True)
    local = F.max_pool2d(brightest, WINDOW, stride=1, padding=WINDOW // 2)[0, 0]
    step = max(1, min(local.shape) // GRID)
    return local[step - 1 :: step, step - 1 :: step].flatten()


def lightness_order_error(output: Tensor, lq: Tensor | None) -> float:
    """The mean number of samples whose order with a sample the enhancement turned over.

    Wang et al., IEEE TIP 2013, eq. 11 to 13, on the grid of their published code. It grows with
    the number of samples: compare images of one size.

    Args:
        output, lq: (1, 3, H, W) in [0, 1], rounded to 8 bits.

    Returns:
        From 0, for an unchanged order, to the number of samples, some 50 x 50 W / H.

    Raises:
        UserError: There is no input, or it has another size.
    """
    if lq is None or lq.shape != output.shape:
        found = "none" if lq is None else f"{tuple(lq.shape)} and {tuple(output.shape)}"
        raise UserError(f"LOE: expected the input in the output's size, but got {found}")
    a, b = _lightness(lq), _lightness(output)
    chunks = max(1, AT_ONCE // len(a))
    turned = sum(
        ((a >= x[:, None]) != (b >= y[:, None])).sum()
        for x, y in zip(a.split(chunks), b.split(chunks), strict=True)
    )
    return (torch.as_tensor(turned).double() / len(a)).item()

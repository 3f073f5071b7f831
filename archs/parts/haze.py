"""Dehazing by the atmospheric scattering model."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def haze_free(x: Tensor, k: Tensor) -> Tensor:
    """The scattering model solved for the clear image: ReLU(K x - K + 1) (AOD-Net, eq. 6).

    Args:
        x: Image, (B, 3, H, W) in [0, 1].
        k: K of the paper, (B, 3 or 1, H, W), at least 0.

    Returns:
        (B, 3, H, W), at least 0. K = 1 gives x back.
    """
    return torch.relu(k * x - k + 1)


def start_at_identity(conv: nn.Conv2d) -> None:
    """Initialise the convolution that yields K near K = 1, so that no ReLU starts dead."""
    nn.init.xavier_uniform_(conv.weight, gain=0.1)
    if conv.bias is not None:
        nn.init.ones_(conv.bias)

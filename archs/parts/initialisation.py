"""How layers begin before training."""

from __future__ import annotations

from torch import nn


def start_alive(conv: nn.Conv2d) -> nn.Conv2d:
    """Initialise a convolution that a part's last ReLU follows, so that its output is above 0."""
    assert conv.bias is not None
    nn.init.constant_(conv.bias, 0.5)
    return conv

"""Convolutions under the names that papers give them."""

from __future__ import annotations

from torch import nn


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution, zero-padded."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, 1)

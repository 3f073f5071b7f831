"""WSGM: the wavelet segmentation generalization module, for capsule endoscopy.

A Dual-Generalization Low-Light Enhancement Framework for Capsule Endoscopy Image Restoration and
Segmentation (Wang et al., IEEE Transactions on Medical Imaging 2025).
Published code: https://github.com/superwsc/Dual-Gen-Frame (without WSGM)

Stage 3 of the framework, a part of `DualGeneralization`: trained through a frozen segmentation
network, it makes frames that are easier to segment.
Differs in: no code of it is published, so it follows the paper's figure. What it adds starts at 0,
so that training begins from BLGM's output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .contract import Network
from .parts.attention import ChannelGate, SpatialAttention


class Haar(nn.Module):
    """The orthonormal Haar wavelet transform and its inverse.

    Of each block of 2x2 pixels: their mean (times 2), and the differences left to right, top to
    bottom and along the diagonals.

    Args:
        channels: Of the image.
    """

    kernel: Tensor

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        bands = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        kernel = bands.view(4, 1, 2, 2).repeat(channels, 1, 1, 1)
        self.channels = channels
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W even, to (B, 4 C, H / 2, W / 2)."""
        return F.conv2d(x, self.kernel, stride=2, groups=self.channels)

    def inverse(self, bands: Tensor) -> Tensor:
        """(B, 4 C, H / 2, W / 2) to (B, C, H, W)."""
        return F.conv_transpose2d(bands, self.kernel, stride=2, groups=self.channels)


class WSGM(Network):
    """Attends to wavelet bands, and adds what it finds to the image.

    Args:
        width: Channels.
        reduction: Of the channel attention.
    """

    size_multiple = 2

    def __init__(self, width: int = 64, reduction: int = 16) -> None:
        super().__init__()
        self.haar = Haar()
        self.into = nn.Sequential(nn.Conv2d(12, width, 1), nn.PReLU())
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(width, width, 1),
        )
        self.spatial, self.channel = SpatialAttention(5), ChannelGate(width, reduction)
        self.out = nn.Conv2d(width, 12, 1)
        self.local = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        for layer in (self.out, self.local):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W), H and W even, to the same shape."""
        bands = self.into(self.haar(image))
        f = self.body(bands) + bands
        f = torch.sigmoid(self.spatial(f) + self.channel(f)) * f + f
        return self.haar.inverse(self.out(f)) + self.local(image) + image

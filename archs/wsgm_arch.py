"""WSGM: the wavelet segmentation-guided module, stage 3 of the dual-generalization framework.

Source: the figure of the dual-generalization framework for capsule endoscopy; no code is published.
A part of `DualGeneralization`: trained through a frozen segmentation network, it makes frames that
are easier to segment.
Differs in: what it adds starts at 0, so that training begins from BLGM's output.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from .blocks import ChannelGate, SpatialAttention
from .processor import Conv1x1, Conv3x3, Fused


class Haar(nn.Module):
    """The orthonormal Haar wavelet transform and its inverse.

    Of each block of 2x2 pixels: their mean (times 2), and the differences left to right, top to
    bottom and along the diagonals.
    """

    matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        matrix = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W even, to (B, 4 C, H / 2, W / 2)."""
        blocks = rearrange(x, "b c (h y) (w x) -> b c (y x) h w", y=2, x=2)
        return torch.einsum("ij,bcjhw->bcihw", self.matrix, blocks).flatten(1, 2)

    def inverse(self, bands: Tensor) -> Tensor:
        """(B, 4 C, H / 2, W / 2) to (B, C, H, W)."""
        blocks = torch.einsum("ij,bcihw->bcjhw", self.matrix, bands.unflatten(1, (-1, 4)))
        return rearrange(blocks, "b c (y x) h w -> b c (h y) (w x)", y=2, x=2)


class WSGM(nn.Module):
    """Attends to wavelet bands, and adds what it finds to the image.

    Args:
        width: Channels.
        reduction: Of the channel attention.
    """

    size_multiple = 2

    def __init__(self, width: int = 64, reduction: int = 16) -> None:
        super().__init__()
        self.haar = Haar()
        self.into = Fused(Conv1x1(12, width), nn.PReLU())
        self.body = Fused(
            Conv3x3(width, width), nn.PReLU(), Conv3x3(width, width), nn.PReLU(),
            Conv1x1(width, width),
        )  # fmt: skip
        self.spatial, self.channel = SpatialAttention(5), ChannelGate(width, reduction)
        self.out = Conv1x1(width, 12)
        self.local = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        for layer in (self.out, self.local):
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W), H and W even, to the same shape."""
        bands = self.into(self.haar(image))
        f = self.body(bands) + bands
        f = torch.sigmoid(self.spatial(f) + self.channel(f)) * f + f
        return self.haar.inverse(self.out(f)) + self.local(image) + image

"""Light-DehazeNet: A Novel Lightweight CNN Architecture for Single Image Dehazing.

Ullah et al., IEEE TIP 2021.

Paper: https://doi.org/10.1109/TIP.2021.3116790
Published code: github.com/hayatkhan8660-maker/Light-DehazeNet; its files load strictly.
Differs in: before training, K starts near 1 (the identity) instead of at random.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from .contract import Network
from .parts.haze import haze_free, start_at_identity
from .published import Published


def same_conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    """A convolution that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


@ARCH_REGISTRY.register()
class LightDehazeNet(Network):
    """AOD-Net's estimate of K(x), wider and in three concatenations; 30,187 parameters."""

    family = "dehazing"
    published = Published(marks=tuple(rf"e_conv_layer{i}\.weight" for i in range(1, 9)))

    def __init__(self) -> None:
        super().__init__()
        self.e_conv_layer1 = same_conv(3, 8, 1)
        self.e_conv_layer2 = same_conv(8, 8, 3)
        self.e_conv_layer3 = same_conv(8, 8, 5)
        self.e_conv_layer4 = same_conv(16, 16, 7)
        self.e_conv_layer5 = same_conv(16, 16, 3)
        self.e_conv_layer6 = same_conv(16, 16, 3)
        self.e_conv_layer7 = same_conv(32, 32, 3)
        self.e_conv_layer8 = same_conv(56, 3, 3)
        start_at_identity(self.e_conv_layer8)

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1] to the same shape, in [0, 1]."""
        x1 = torch.relu(self.e_conv_layer1(x))
        x2 = torch.relu(self.e_conv_layer2(x1))
        x3 = torch.relu(self.e_conv_layer3(x2))
        x4 = torch.relu(self.e_conv_layer4(torch.cat((x1, x3), 1)))
        x5 = torch.relu(self.e_conv_layer5(x4))
        x6 = torch.relu(self.e_conv_layer6(x5))
        x7 = torch.relu(self.e_conv_layer7(torch.cat((x4, x6), 1)))
        k = torch.relu(self.e_conv_layer8(torch.cat((x2, x5, x7), 1)))
        return haze_free(x, k)

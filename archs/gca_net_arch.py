"""GCANet: Gated Context Aggregation Network for Image Dehazing and Deraining.

Chen et al., WACV 2019.

Paper: https://arxiv.org/abs/1811.08747
Published code: github.com/cddlyf/GCANet; its files load strictly. Its test shrinks images to
multiples of 4; here they are padded.
Differs in: the edge map, the range of 0 to 255 and the sum with the image are the network's, not
its caller's. The deraining file, whose output is the image itself, wants `residual: false`.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .contract import Network
from .published import Published

DILATIONS = (2, 2, 2, 4, 4, 4)  # of the smoothed blocks
MIDDLE = 4  # after how many of them the second of the gated features is taken
LEVELS = 255.0  # the network's own scale of brightness
CENTER = 128.0


def edges(image: Tensor) -> Tensor:
    """How much an image changes from pixel to pixel.

    Args:
        image: (B, 3, H, W).

    Returns:
        Absolute differences to the four neighbours, missing ones counting 0, and averaged over
        these and the colours: (B, 1, H, W).
    """
    down = F.pad((image[..., 1:, :] - image[..., :-1, :]).abs(), (0, 0, 1, 1))
    right = F.pad((image[..., 1:] - image[..., :-1]).abs(), (1, 1))
    around = down[..., 1:, :] + down[..., :-1, :] + right[..., 1:] + right[..., :-1]
    return around.mean(1, keepdim=True) / 4


def plain_conv(
    in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """A 3x3 convolution before a norm, hence without bias."""
    return nn.Conv2d(in_channels, out_channels, 3, stride, dilation, dilation, bias=False)


def instance_norm(dim: int) -> nn.InstanceNorm2d:
    """A norm by an image's own statistics, in training and afterwards."""
    return nn.InstanceNorm2d(dim, affine=True)


class SharedConv(nn.Module):
    """A convolution of each channel by one kernel that all share; it begins as the identity."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.zeros(1, 1, kernel_size, kernel_size))
        nn.init.dirac_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        weight = torch.cat([self.weight] * self.dim)
        return F.conv2d(x, weight, padding=self.weight.shape[-1] // 2, groups=self.dim)


class ResidualBlock(nn.Module):
    """Two convolutions with norms beside the identity."""

    def __init__(self, dim: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = plain_conv(dim, dim, dilation=dilation)
        self.norm1 = instance_norm(dim)
        self.conv2 = plain_conv(dim, dim, dilation=dilation)
        self.norm2 = instance_norm(dim)

    def smooth(self, x: Tensor, which: int) -> Tensor:
        """What comes before one of the two convolutions; here nothing."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, at least 0."""
        y = F.relu(self.norm1(self.conv1(self.smooth(x, 0))))
        return F.relu(x + self.norm2(self.conv2(self.smooth(y, 1))))


class SmoothedBlock(ResidualBlock):
    """Dilated convolutions, each after a shared one that keeps gridding away (section 3.2)."""

    def __init__(self, dim: int, dilation: int) -> None:
        super().__init__(dim, dilation)
        self.pre_conv1 = SharedConv(dim, 2 * dilation - 1)
        self.pre_conv2 = SharedConv(dim, 2 * dilation - 1)

    def smooth(self, x: Tensor, which: int) -> Tensor:
        """The shared convolution."""
        return (self.pre_conv1, self.pre_conv2)[which](x)


@ARCH_REGISTRY.register()
class GCANet(Network):
    """Smoothed dilated blocks at half the size, three levels of which a gate mixes.

    702,818 parameters.

    Args:
        dim: Channels.
        residual: Whether the network gives what is added to the image, or the image itself.

    Raises:
        ValueError: `dim` is below 1.
    """

    family = "dehazing"
    size_multiple = 4
    smallest_size = 8
    fp16 = False  # its features exceed 65,504
    whole_image = True  # a reduced copy's edges, and so its norms' statistics, are others
    published = Published(
        marks=(
            r"res1\.pre_conv1\.weight",
            r"res7\.conv1\.weight",
            r"gate\.weight",
            r"deconv1\.bias",
        ),
        arguments=lambda state: {"dim": len(state["conv1.weight"])},
    )

    def __init__(self, dim: int = 64, residual: bool = True) -> None:
        super().__init__()
        require_at_least(1, dim=dim)
        self.residual = residual
        self.conv1, self.norm1 = plain_conv(4, dim), instance_norm(dim)
        self.conv2, self.norm2 = plain_conv(dim, dim), instance_norm(dim)
        self.conv3, self.norm3 = plain_conv(dim, dim, stride=2), instance_norm(dim)
        for i, dilation in enumerate(DILATIONS, 1):
            self.add_module(f"res{i}", SmoothedBlock(dim, dilation))
        self.res7 = ResidualBlock(dim)
        self.gate = nn.Conv2d(3 * dim, 3, 3, padding=1)
        self.deconv3, self.norm4 = nn.ConvTranspose2d(dim, dim, 4, 2, 1), instance_norm(dim)
        self.deconv2, self.norm5 = nn.Conv2d(dim, dim, 3, padding=1), instance_norm(dim)
        self.deconv1 = nn.Conv2d(dim, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1], H and W even, to the same shape."""
        image = LEVELS * x
        y = torch.cat((image, edges(image)), 1) - CENTER
        y = F.relu(self.norm1(self.conv1(y)))
        y = F.relu(self.norm2(self.conv2(y)))
        early = late = F.relu(self.norm3(self.conv3(y)))  # (B, C, H/2, W/2)
        for i in range(1, len(DILATIONS) + 1):
            late = self.get_submodule(f"res{i}")(late)
            if i == MIDDLE:
                middle = late
        levels = early, middle, self.res7(late)
        gates = self.gate(torch.cat(levels, 1)).split(1, 1)
        y = sum(gate * level for gate, level in zip(gates, levels, strict=True))
        y = F.relu(self.norm4(self.deconv3(y)))
        y = self.deconv1(F.relu(self.norm5(self.deconv2(y))))
        return (y + image if self.residual else F.relu(y)) / LEVELS

"""The frame of FFA-Net (Qin et al., AAAI 2020), which C2PNet (Zheng et al., CVPR 2023) keeps.

Three groups of attention blocks, whose results are weighed channel by channel and summed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least, require_multiple

from .contract import Network
from .parts.convolution import conv3x3
from .parts.tile_context import global_statistics
from .published import Shapes, count_numbers

NUM_GROUPS = 3
REDUCTION = 8  # of the channels within attention


def bottleneck(dim: int, hidden: int, out_channels: int) -> nn.Sequential:
    """Two 1x1 convolutions, the second to values in (0, 1)."""
    return nn.Sequential(
        nn.Conv2d(dim, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, out_channels, 1), nn.Sigmoid()
    )


def channel_means(x: Tensor) -> Tensor:
    """(B, C, H, W) to the whole image's (B, C, 1, 1)."""
    return global_statistics(lambda: x.mean((2, 3), keepdim=True))


class ChannelAttention(nn.Module):
    """Weighs channels by all channels' means (FFA-Net, eqs. 2 to 4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.ca = bottleneck(dim, dim // REDUCTION, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x * self.ca(channel_means(x))


class Block(nn.Module):
    """Convolutions, channel attention and one layer more, beside the identity.

    Args:
        dim: Channels.
        name: What the layer is called in files.
        layer: Makes it.
    """

    def __init__(self, dim: int, name: str, layer: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv3x3(dim, dim), conv3x3(dim, dim)
        self.calayer = ChannelAttention(dim)
        self.add_module(name, layer(dim))
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y = self.calayer(self.conv2(F.relu(self.conv1(x)) + x))
        return x + self.get_submodule(self.name)(y)


class Group(nn.Module):
    """Blocks and a convolution beside the identity."""

    def __init__(self, blocks: list[nn.Module], dim: int) -> None:
        super().__init__()
        self.gp = nn.Sequential(*blocks, conv3x3(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.gp(x)


def arguments(state: Shapes) -> dict[str, Any]:
    """The constructor arguments of a published file."""
    blocks = count_numbers(state, r"g1\.gp\.(\d+)\.conv1\.")
    return {"dim": len(state["pre.0.weight"]), "num_blocks": blocks}


class FeatureAttention(Network):
    """The frame.

    Args:
        dim: Channels, a multiple of 16.
        num_blocks: Blocks of each group.
        name: What the layer after channel attention is called in files.
        layer: Makes it.

    Raises:
        ValueError: A number is below 1, or 16 does not divide `dim`.
    """

    family = "dehazing"

    def __init__(
        self, dim: int, num_blocks: int, name: str, layer: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        require_multiple(16, dim=dim)
        require_at_least(1, num_blocks=num_blocks)
        self.name = name
        self.pre = nn.Sequential(conv3x3(3, dim))
        for i in range(1, NUM_GROUPS + 1):
            blocks: list[nn.Module] = [Block(dim, name, layer) for _ in range(num_blocks)]
            self.add_module(f"g{i}", Group(blocks, dim))
        weigh = bottleneck(NUM_GROUPS * dim, dim // 16, NUM_GROUPS * dim)
        self.ca = nn.Sequential(nn.Identity(), *weigh)  # names count from 1
        self.add_module(name, layer(dim))
        self.post = nn.Sequential(conv3x3(dim, dim), conv3x3(dim, 3))

    def clear(self, x: Tensor) -> Tensor:
        """The published forward pass: (B, 3, H, W) to the same shape."""
        levels = [self.pre(x)]
        for i in range(1, NUM_GROUPS + 1):
            levels.append(self.get_submodule(f"g{i}")(levels[-1]))
        weights = self.ca(channel_means(torch.cat(levels[1:], 1))).chunk(NUM_GROUPS, 1)
        y = sum(weight * level for weight, level in zip(weights, levels[1:], strict=True))
        return x + self.post(self.get_submodule(self.name)(y))

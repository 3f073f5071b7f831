"""FEQE: Fast and Efficient Image Quality Enhancement via Desubpixel Convolutional Neural Networks.

Vu et al., ECCV Workshops 2018.

Paper: https://openaccess.thecvf.com/content_eccv_2018_workshops/w25/html/Vu_Fast_and_Efficient_Image_Quality_Enhancement_via_Desubpixel_Convolutional_Neural_ECCVW_2018_paper.html
Published code: github.com/thangvubk/FEQE, in TensorFlow; layers bear its scopes' names.
Differs in: nothing.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least, require_multiple

from .contract import Network
from .parts.residual import ResidualBlock
from .published import Published, Shapes, count_numbers

LEVELS = 255.0  # the network's own scale of brightness
CENTER = 0.5  # what is 0 in it


def space_to_depth(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 4 C, H/2, W/2), in TensorFlow's order: a pixel's C channels together."""
    return torch.cat([x[..., top::2, left::2] for top in (0, 1) for left in (0, 1)], 1)


def depth_to_space(x: Tensor) -> Tensor:
    """`space_to_depth` undone: (B, 4 C, H, W) to (B, C, 2 H, 2 W)."""
    return F.pixel_shuffle(x.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)


class Downsample(nn.Module):
    """Desubpixel, twice: a quarter of the size without losing a pixel (section 3.2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(12, dim // 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, dim, H/4, W/4)."""
        return space_to_depth(self.conv2(space_to_depth(x)))


class Upsample(nn.Module):
    """Subpixel, twice."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, 4 * dim, 1)
        self.conv2 = nn.Conv2d(dim, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, H, W) to (B, 3, 4 H, 4 W)."""
        return depth_to_space(self.conv2(depth_to_space(self.conv1(x))))


def _arguments(state: Shapes) -> dict[str, int]:
    return {
        "dim": len(state["body.res_lastconv.weight"]),
        "num_blocks": count_numbers(state, r"body\.res_block(\d+)\."),
    }


@ARCH_REGISTRY.register()
class FEQE(Network):
    """Residual blocks at a quarter of the size, beside the image; 96,464 parameters.

    Args:
        dim: Channels, a multiple of 4.
        num_blocks: Residual blocks.

    Raises:
        ValueError: A number is below 1, or 4 does not divide `dim`.
    """

    family = "photographs"
    size_multiple = 4
    published = Published(
        marks=(
            r"downsample\.conv2\.weight",
            r"body\.res_block0\.conv1\.weight",
            r"body\.res_lastconv\.weight",
            r"upsample\.conv1\.weight",
        ),
        arguments=_arguments,
    )

    def __init__(self, dim: int = 16, num_blocks: int = 20) -> None:
        super().__init__()
        require_multiple(4, dim=dim)
        require_at_least(1, num_blocks=num_blocks)
        self.downsample = Downsample(dim)
        blocks = {f"res_block{i}": ResidualBlock(dim) for i in range(num_blocks)}
        last = nn.Conv2d(dim, dim, 3, padding=1)
        self.body = nn.Sequential(OrderedDict[str, nn.Module](**blocks, res_lastconv=last))
        self.upsample = Upsample(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W multiples of 4, to the same shape, in [0, 1]."""
        x = LEVELS * (x - CENTER)
        x = self.upsample(self.body(self.downsample(x))) + x
        return (x / LEVELS + CENTER).clamp(0, 1)

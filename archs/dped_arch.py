"""DPED: DSLR-Quality Photos on Mobile Devices with Deep Convolutional Networks.

Ignatov et al., ICCV 2017.

Paper: https://arxiv.org/abs/1704.02470
Published code: github.com/aiff22/DPED, in TensorFlow. A checkpoint's variables, saved by
`torch.save` as tensors under their names there (`W1`, `b1`, ..., `Variable_15`), load strictly.
Differs in: a height or width of 1 pixel is padded, because the norms of one pixel have no meaning.
"""

from __future__ import annotations

import re

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .contract import Network
from .published import Published, State

NUM_BLOCKS = 4
CONVS = ["conv1", *(f"blocks.{i}.conv{j}" for i in range(NUM_BLOCKS) for j in (1, 2))]
CONVS += ["conv2", "conv3", "conv4"]  # in the order of the published numbers
NORMS = [f"blocks.{i}.norm{j}" for i in range(NUM_BLOCKS) for j in (1, 2)]
GAIN, OFFSET = 0.58, 0.5  # of the last tanh, whose range is so a little more than [0, 1]


class Block(nn.Module):
    """Two convolutions, each with an instance norm and a ReLU, beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm1 = nn.InstanceNorm2d(dim, eps=1e-3, affine=True)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm2 = nn.InstanceNorm2d(dim, eps=1e-3, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y = F.relu(self.norm1(self.conv1(x)))
        return x + F.relu(self.norm2(self.conv2(y)))


def _conv_name(found: re.Match[str]) -> str:
    """`W` and `b` of a convolution, numbered from 1."""
    return f"{CONVS[int(found[2]) - 1]}.{'weight' if found[1] == 'W' else 'bias'}"


def _norm_name(found: re.Match[str]) -> str:
    """`Variable`, `Variable_1`, ...: each norm's shift, then its scale."""
    norm, which = divmod(int(found[1] or 0), 2)
    return f"{NORMS[norm]}.{('bias', 'weight')[which]}"


@ARCH_REGISTRY.register()
class DPED(Network):
    """Turns a phone's photograph into a camera's by residual blocks at full size.

    401,475 parameters.

    Args:
        dim: Channels.

    Raises:
        ValueError: `dim` is below 1.
    """

    family = "photographs"
    smallest_size = 2
    whole_image = True  # statistics of a reduced copy, and so the norms, are others
    published = Published(
        marks=(r"W1", r"b12", r"Variable", r"Variable_15"),
        arguments=lambda state: {"dim": len(state["b1"])},
        renames={
            r"^([Wb])([1-9]|1[0-2])$": _conv_name,
            r"^Variable(?:_([1-9]|1[0-5]))?$": _norm_name,
        },
    )

    def __init__(self, dim: int = 64) -> None:
        super().__init__()
        require_at_least(1, dim=dim)
        self.conv1 = nn.Conv2d(3, dim, 9, padding=4)
        self.blocks = nn.Sequential(*(Block(dim) for _ in range(NUM_BLOCKS)))
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv3 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv4 = nn.Conv2d(dim, 3, 9, padding=4)

    def from_published(self, state: State) -> State:
        """TensorFlow's kernels (kh, kw, in, out) as PyTorch's, under our names."""
        renamed = super().from_published(state).items()
        return {name: v.permute(3, 2, 0, 1) if v.dim() == 4 else v for name, v in renamed}

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, in (-0.08, 1.08)."""
        x = self.blocks(F.relu(self.conv1(x)))
        x = F.relu(self.conv3(F.relu(self.conv2(x))))
        return GAIN * torch.tanh(self.conv4(x)) + OFFSET

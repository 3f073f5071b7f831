"""MSBDN-DFF: Multi-Scale Boosted Dehazing Network with Dense Feature Fusion.

Dong et al., CVPR 2020.

Paper: https://arxiv.org/abs/2004.13388
Published code: github.com/BookerDeWitt/MSBDN-DFF, there `MSBDN-DFF-v1-1`; its state dict loads
strictly.
Differs in: nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from enhancement.arguments import require_at_least

from .contract import Network
from .parts.resizing import shrink_by_one
from .published import Published, Shapes, count_numbers

NUM_LEVELS = 4  # below the full size
RESIDUAL = 0.1  # by how much a residual block's branch counts


class ConvLayer(nn.Module):
    """A convolution after padding by reflection."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(
            *(in_channels, out_channels, kernel_size, stride, kernel_size // 2),
            padding_mode="reflect",
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, D, H / stride, W / stride)."""
        return self.conv2d(x)


class ResidualBlock(nn.Module):
    """Two convolutions with a PReLU between, beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvLayer(dim, dim), ConvLayer(dim, dim)
        self.relu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + RESIDUAL * self.conv2(self.relu(self.conv1(x)))


def residual_blocks(dim: int) -> nn.Sequential:
    """What refines the feature of a scale."""
    return nn.Sequential(*(ResidualBlock(dim) for _ in range(3)))


class Enlarge(nn.Module):
    """A transposed convolution to twice the size and one pixel, which is then resized away.

    Args:
        dim: Channels.
        scale: By how much the result is smaller than the image.
    """

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv2d = nn.ConvTranspose2d(dim, dim // 2, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C / 2, 2 H, 2 W)."""
        return shrink_by_one(self.conv2d(x), self.scale)


class Resampling(nn.Module):
    """A learned projection to the next finer or coarser scale, by which errors are fed back."""

    def __init__(self, in_channels: int, out_channels: int, up: bool) -> None:
        super().__init__()
        kind = nn.ConvTranspose2d if up else nn.Conv2d
        self.name = "deconv" if up else "conv"
        self.add_module(self.name, kind(in_channels, out_channels, 4, 2, 1))
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to twice or half the size."""
        return self.act(self.get_submodule(self.name)(x))


class DenseFusion(nn.Module):
    """Back-projection of a feature onto those of all scales passed before (section 3.3).

    The feature is brought to the scale of an earlier one, and their difference back again.

    Args:
        dim: Channels of the feature.
        count: How many earlier features there are, one a scale.
        up: Whether they are finer, as in the encoder, or coarser, as in the decoder.
    """

    def __init__(self, dim: int, count: int, up: bool) -> None:
        super().__init__()
        dims = [dim // 2**i if up else dim * 2**i for i in range(count + 1)]
        there = nn.ModuleList(Resampling(a, b, up) for a, b in pairwise(dims))
        back = nn.ModuleList(Resampling(b, a, not up) for a, b in pairwise(dims))
        self.up_convs, self.down_convs = (there, back) if up else (back, there)
        self.up = up

    def forward(self, x: Tensor, memory: list[Tensor]) -> Tensor:
        """(B, C, H, W) and the earlier features, the farthest scale first, to the same shape."""
        ways = [self.up_convs, self.down_convs]
        there, back = ways if self.up else ways[::-1]
        for i, earlier in enumerate(memory):
            steps = len(memory) - i
            error = x
            for layer in there[:steps]:
                error = layer(error)
            error = error - earlier
            for j in reversed(range(steps)):
                error = back[j](error)
            x = x + error
        return x


def _arguments(state: Shapes) -> dict[str, int]:
    return {
        "dim": len(state["conv_input.conv2d.weight"]),
        "num_blocks": count_numbers(state, r"dehaze\.res(\d+)\."),
    }


@ARCH_REGISTRY.register()
class MSBDN(Network):
    """A U-Net whose decoder boosts its estimate from scale to scale; 31,353,061 parameters.

    Args:
        dim: Channels at full size, doubled at each of the four scales below.
        num_blocks: Residual blocks at the coarsest scale.

    Raises:
        ValueError: A number is below 1.
    """

    family = "dehazing"
    size_multiple = 16
    smallest_size = 32
    published = Published(
        marks=(
            r"conv_input\.conv2d\.weight",
            r"fusion4\.up_convs\.3\.deconv\.weight",
            r"fusion_1\.down_convs\.3\.conv\.weight",
            r"dehaze\.res0\.relu\.weight",
        ),
        arguments=_arguments,
    )

    def __init__(self, dim: int = 16, num_blocks: int = 18) -> None:
        super().__init__()
        require_at_least(1, dim=dim, num_blocks=num_blocks)
        self.conv_input = ConvLayer(3, dim, kernel_size=11)
        self.dense0 = residual_blocks(dim)
        for i in range(1, NUM_LEVELS + 1):
            fine, coarse = dim * 2 ** (i - 1), dim * 2**i
            self.add_module(f"conv{2**i}x", ConvLayer(fine, coarse, stride=2))
            self.add_module(f"fusion{i}", DenseFusion(coarse, i, up=True))
            if i < NUM_LEVELS:
                self.add_module(f"dense{i}", residual_blocks(coarse))
            self.add_module(f"convd{2**i}x", Enlarge(coarse, 2 ** (i - 1)))
            self.add_module(f"dense_{i}", residual_blocks(fine))
            self.add_module(f"fusion_{i}", DenseFusion(fine, NUM_LEVELS + 1 - i, up=False))
        blocks = {f"res{i}": ResidualBlock(coarse) for i in range(num_blocks)}
        self.dehaze = nn.Sequential(OrderedDict(blocks))
        self.conv_output = ConvLayer(dim, 3)

    def encode(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """The features that the decoder adds, the finest first, and that of the coarsest scale."""
        x = self.conv_input(image)
        memory, skips = [x], [x + self.dense0(x)]
        for i in range(1, NUM_LEVELS + 1):
            x = self.get_submodule(f"conv{2**i}x")(skips[-1])
            x = self.get_submodule(f"fusion{i}")(x, memory)
            if i == NUM_LEVELS:
                break
            memory.append(x)
            skips.append(x + self.get_submodule(f"dense{i}")(x))
        return skips, x

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1], multiples of 16 from 32 up, to the same shape."""
        skips, x = self.encode(x)
        x = self.dehaze(2 * x) + x
        memory: list[Tensor] = []
        for i in range(NUM_LEVELS, 0, -1):
            memory.append(x)
            before = self.get_submodule(f"convd{2**i}x")(x)
            boosted = before + skips[i - 1]  # strengthen, refine, subtract (eq. 3)
            x = self.get_submodule(f"dense_{i}")(boosted) + boosted - before
            x = self.get_submodule(f"fusion_{i}")(x, memory)
        return self.conv_output(x)

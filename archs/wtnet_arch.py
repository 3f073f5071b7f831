"""WTNet: A Prior-Driven Lightweight Network for Endoscopic Exposure Correction.

Wu et al., MICCAI 2025.

Published code: https://github.com/charonf/WTNet; its option files run as they stand, and its
weights load strictly.
Differs in: the same numbers are computed with less work. The projection that follows attention is
folded into the attention matrix; wavelets are sums of four pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require, require_at_least

from .contract import Network
from .parts.attention import attention_of, block_diagonal, mix_channels
from .parts.normalization import ChannelNorm
from .published import Published, Shapes, count_numbers


def mix_bands(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> list[Tensor]:
    """The orthonormal Haar transform of 2x2 pixels [[a, b], [c, d]], which is its own inverse.

    Returns:
        Twice the mean, then what changes along y, along x and along both.
    """
    return [(a + b + c + d) / 2, (a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2]


def wavelets(x: Tensor) -> tuple[Tensor, Tensor]:
    """Haar bands of (B, C, H, W): low (B, C, H/2, W/2), high (B, 3 C, H/2, W/2)."""
    low, *high = mix_bands(*(x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)))
    return low, torch.stack(high, 2).flatten(1, 2)


def inverse_wavelets(low: Tensor, high: Tensor) -> Tensor:
    """`wavelets` undone: (B, C, H, W) and (B, 3 C, H, W) to (B, C, 2 H, 2 W).

    Stacked, not by `pixel_shuffle`, which would fix the size of a graph.
    """
    a, b, c, d = mix_bands(low, *(high[:, i::3] for i in range(3)))
    rows = torch.stack((a, b), -1).flatten(-2), torch.stack((c, d), -1).flatten(-2)
    return torch.stack(rows, -2).flatten(-3, -2)


def depthwise(dim: int, kernel_size: int = 3, bias: bool = False) -> nn.Conv2d:
    """A convolution of each channel by itself."""
    return nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, bias=bias)


class Calibration(nn.Module):
    """Corrects the exposure: x + x f(x), f of a wide neighbourhood."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, dim, 1)
        self.depth_conv = depthwise(dim, 5, bias=True)
        self.conv2 = nn.Conv2d(dim, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x + x * self.conv2(self.depth_conv(self.conv1(x)))


class TransposedAttention(nn.Module):
    """Attention over channels (Restormer, Zamir et al., CVPR 2022, eq. 1)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.qkv_dwconv = depthwise(3 * dim)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        q, k, v = self.qkv_dwconv(self.qkv(x)).chunk(3, 1)
        attention = block_diagonal(attention_of(q, k, self.temperature))
        return mix_channels(v, self.project_out.weight.flatten(1) @ attention)


class GatedFeedForward(nn.Module):
    """Two branches, one of which gates the other (Restormer, Zamir et al., CVPR 2022, eq. 2)."""

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = nn.Conv2d(dim, 2 * hidden, 1, bias=False)
        self.dwconv = depthwise(2 * hidden)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        gate, value = self.dwconv(self.project_in(x)).chunk(2, 1)
        return self.project_out(F.gelu(gate) * value)


class Block(nn.Module):
    """Attention, then feed-forward, a norm before and a residual around each."""

    def __init__(self, dim: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(dim), ChannelNorm(dim)
        self.attn = TransposedAttention(dim, heads)
        self.ffn = GatedFeedForward(dim, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class PatchEmbedding(nn.Module):
    """An image's first feature."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, dim, H, W)."""
        return self.proj(x)


def published_arguments(state: Shapes) -> dict[str, Any]:
    """The constructor arguments of a published file."""
    dim = state["cali.conv1.weight"].shape[0]
    levels = [f"encoder_level{i}" for i in (1, 2, 3)] + ["latent"]
    hidden = state["refinement.0.ffn.project_out.weight"].shape[1]  # int(2 dim factor)
    return {
        "dim": dim,
        "num_blocks": [count_numbers(state, rf"{level}\.(\d+)\.") for level in levels],
        "num_refinement_blocks": count_numbers(state, r"refinement\.(\d+)\."),
        "heads": [state[f"{level}.0.attn.temperature"].shape[0] for level in levels],
        "ffn_expansion_factor": (hidden + 0.25) / (2 * dim),  # whose product rounds down to it
    }


@ARCH_REGISTRY.register()
class WTNet(Network):
    """Restormer's blocks in a U of one width, resized by Haar wavelets; 1,401,625 parameters.

    The high bands of the way down, after a convolution, come back on the way up.

    Args:
        dim: Channels at every scale; twice as many after the last step up.
        num_blocks: Blocks of the three levels and of the bottleneck.
        num_refinement_blocks: Blocks after the last level.
        heads: Of attention, at the three levels and in the bottleneck.
        ffn_expansion_factor: Hidden channels of a feed-forward, relative to its own.

    Raises:
        ValueError: A number is below 1, a list has not 4 entries, or heads do not divide `dim`.
    """

    family = "endoscopy"
    size_multiple = 8
    published = Published(
        marks=(
            r"cali\.conv1\.weight",
            r"patch_embed\.proj\.weight",
            r"dwc3\.weight",
            r"encoder_level1\.0\.norm1\.body\.weight",
        ),
        arguments=published_arguments,
        renames={r"(\.norm[12])\.body\.": r"\1."},
        dropped=(r"^[xi]fm\.",),  # the wavelets' filters, which are fixed
    )

    def __init__(
        self,
        dim: int = 40,
        num_blocks: tuple[int, ...] = (4, 7, 7, 8),
        num_refinement_blocks: int = 2,
        heads: tuple[int, ...] = (1, 1, 1, 1),
        ffn_expansion_factor: float = 2.66,
    ) -> None:
        super().__init__()
        require(len(num_blocks) == 4, "num_blocks", "4 numbers", num_blocks)
        require(len(heads) == 4, "heads", "4 numbers", heads)
        require_at_least(1, dim=dim, num_blocks=num_blocks, heads=heads)
        require_at_least(1, num_refinement_blocks=num_refinement_blocks)
        require_at_least(1, ffn_expansion_factor=ffn_expansion_factor)
        require(not any(dim % n for n in heads), "heads", f"divisors of {dim}", heads)

        def blocks(count: int, width: int, heads: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width, heads, ffn_expansion_factor) for _ in range(count)))

        self.cali = Calibration(dim)
        self.patch_embed = PatchEmbedding(dim)
        self.encoder_level1 = blocks(num_blocks[0], dim, heads[0])
        self.encoder_level2 = blocks(num_blocks[1], dim, heads[1])
        self.encoder_level3 = blocks(num_blocks[2], dim, heads[2])
        self.latent = blocks(num_blocks[3], dim, heads[3])
        self.dwc1, self.dwc2, self.dwc3 = (depthwise(3 * dim) for _ in range(3))
        self.reduce_chan_level3 = nn.Conv2d(2 * dim, dim, 1, bias=False)
        self.decoder_level3 = blocks(num_blocks[2], dim, heads[2])
        self.reduce_chan_level2 = nn.Conv2d(2 * dim, dim, 1, bias=False)
        self.decoder_level2 = blocks(num_blocks[1], dim, heads[1])
        self.decoder_level1 = blocks(num_blocks[0], 2 * dim, heads[0])
        self.refinement = blocks(num_refinement_blocks, 2 * dim, heads[0])
        self.output = nn.Conv2d(2 * dim, 3, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W multiples of 8, to the same shape."""
        image = self.cali(x)
        level1 = self.encoder_level1(self.patch_embed(image))
        low, high1 = wavelets(level1)
        level2 = self.encoder_level2(low)
        low, high2 = wavelets(level2)
        level3 = self.encoder_level3(low)
        low, high3 = wavelets(level3)
        up = inverse_wavelets(self.latent(low), self.dwc3(high3))
        up = self.decoder_level3(self.reduce_chan_level3(torch.cat((up, level3), 1)))
        up = inverse_wavelets(up, self.dwc2(high2))
        up = self.decoder_level2(self.reduce_chan_level2(torch.cat((up, level2), 1)))
        up = inverse_wavelets(up, self.dwc1(high1))
        up = self.decoder_level1(torch.cat((up, level1), 1))
        return self.output(self.refinement(up)) + image

"""The parts of Retinexformer and of the networks that go on from it (Cai et al., ICCV 2023)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from enhancement.arguments import require, require_at_least, require_multiple

from .parts.attention import channel_attention, gram
from .parts.normalization import ChannelNorm
from .published import Shapes, count_numbers


def check_stages(n_feat: int, stage: int, num_blocks: tuple[int, ...]) -> None:
    """Refuse sizes that no Retinex network can have.

    Raises:
        ValueError: `n_feat` is no multiple of 4, another number is below 1, or `num_blocks` does
            not have 3 entries.
    """
    require(len(num_blocks) == 3, "num_blocks", "3 numbers", num_blocks)
    require_at_least(1, num_blocks=num_blocks, stage=stage)
    require_multiple(4, n_feat=n_feat)


class IlluminationEstimator(nn.Module):
    """Retinexformer's estimator: a light-up feature and a light-up map (Cai et al. 2023, eq. 5)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, dim, 1)
        self.depth_conv = nn.Conv2d(dim, dim, 5, padding=2, groups=4)
        self.conv2 = nn.Conv2d(dim, 3, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to the feature (B, dim, H, W) and the map (B, 3, H, W)."""
        with_mean = torch.cat((image, image.mean(1, keepdim=True)), 1)
        feature = self.depth_conv(self.conv1(with_mean))
        return feature, self.conv2(feature)


def to_pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H W, C), without a copy where channels lie last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def to_image(pixels: Tensor, like: Tensor) -> Tensor:
    """(B, H W, C) to (B, C, H, W) of another image's size, without a copy."""
    return pixels.unflatten(1, like.shape[-2:]).permute(0, 3, 1, 2)


class GuidedAttention(nn.Module):
    """Illumination-guided attention over channels (Cai et al. 2023, eq. 8 to 10).

    The published code forms q and k for every pixel, normalises them over the pixels, multiplies.
    Both are linear in x, so their norms and products are w G w' with G = x x', the channels' Gram
    matrix: the same numbers without q and k. The output projection is folded into the attention
    matrix, so that one product with v is left.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.rescale = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.proj = nn.Linear(dim, dim)
        self.pos_emb = nn.Sequential(
            nn.Conv2d(dim, dim, 3, 1, 1, groups=dim, bias=False),
            nn.GELU(),
            nn.Conv2d(dim, dim, 3, 1, 1, groups=dim, bias=False),
        )
        for linear in (self.to_q, self.to_k, self.to_v, self.proj):
            nn.init.trunc_normal_(linear.weight, std=0.02)
        nn.init.zeros_(self.proj.bias)

    def attention(self, x: Tensor) -> Tensor:
        """softmax(rescale * k q') from the Gram matrix: (B, C, H, W) to (B, heads, d, d)."""
        q, k = (w.weight.unflatten(0, (self.num_heads, -1)) for w in (self.to_q, self.to_k))
        return channel_attention(gram(x), k, q, self.rescale)

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """(B, C, H, W) and a guidance of the same shape to the same shape."""
        pixels = to_pixels(x)
        v = self.to_v(pixels)
        by_head = self.proj.weight.unflatten(1, (self.num_heads, -1)).transpose(0, 1)
        matrix = (by_head @ self.attention(x)).transpose(1, 2).flatten(2)  # (B, C, C)
        lit = v * to_pixels(guidance)
        mixed = torch.baddbmm(self.proj.bias, lit, matrix.transpose(1, 2))
        return to_image(mixed, x) + self.pos_emb(to_image(v, x))


class SeparableConv(nn.Module):
    """A depthwise convolution, then a pointwise one, without bias."""

    def __init__(self, dim: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(
            dim, dim, kernel_size, 1, kernel_size // 2, groups=dim, bias=False
        )
        self.pointwise_conv = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.pointwise_conv(self.depthwise_conv(x))


def _spatial_convs(dim: int, ffn: str) -> list[nn.Module]:
    if ffn == "depthwise":  # Retinexformer's
        return [nn.Conv2d(dim, dim, 3, 1, 1, groups=dim, bias=False)]
    if ffn == "separable":
        return [SeparableConv(dim, 3), SeparableConv(dim, 5)]
    return [nn.Conv2d(dim, dim, n, 1, n // 2, bias=False) for n in (3, 5)]


class FeedForward(nn.Module):
    """Four times the channels, spatial convolutions, back again; GELU between.

    Args:
        dim: Channels.
        ffn: "depthwise" (one 3x3), "separable" or "dense" (3x3, then 5x5).
    """

    def __init__(self, dim: int, ffn: str) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(dim, 4 * dim, 1, bias=False)]
        for layer in (*_spatial_convs(4 * dim, ffn), nn.Conv2d(4 * dim, dim, 1, bias=False)):
            layers += [nn.GELU(), layer]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.net(x)


class NormFirst(nn.Module):
    """Layer norm, then a function."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn
        self.norm = ChannelNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.fn(self.norm(x))


class GuidedBlocks(nn.Module):
    """Attention and feed-forward in turn, a residual around each."""

    def __init__(self, dim: int, num_heads: int, num_blocks: int, ffn: str) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleList([GuidedAttention(dim, num_heads), NormFirst(dim, FeedForward(dim, ffn))])
            for _ in range(num_blocks)
        )

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        """(B, C, H, W) and a guidance of the same shape to the same shape."""
        layers: Any = self.blocks
        for attention, feed_forward in layers:
            x = attention(x, guidance) + x
            x = feed_forward(x) + x
        return x


class IGR(nn.Module):
    """Illumination-guided restoration: a two-level U-shaped network of guided blocks.

    Args:
        dim: Channels at full size, and of one attention head.
        num_blocks: Blocks of the two levels and of the bottleneck.
        ffn: The kind of feed-forward, see `FeedForward`.
    """

    def __init__(self, dim: int, num_blocks: tuple[int, ...], ffn: str) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, dim, 3, 1, 1, bias=False)
        self.encoder_layers = nn.ModuleList()
        layers: tuple[nn.Module, ...]
        for level, count in enumerate(num_blocks[:-1]):
            width, heads = dim * 2**level, 2**level
            layers = (
                GuidedBlocks(width, heads, count, ffn),
                nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
                nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            )
            self.encoder_layers.append(nn.ModuleList(layers))
        levels = len(num_blocks) - 1
        self.bottleneck = GuidedBlocks(dim * 2**levels, 2**levels, num_blocks[-1], ffn)
        self.decoder_layers = nn.ModuleList()
        for level in reversed(range(levels)):
            width, heads = dim * 2**level, 2**level
            layers = (
                nn.ConvTranspose2d(2 * width, width, 2, 2),
                nn.Conv2d(2 * width, width, 1, bias=False),
                GuidedBlocks(width, heads, num_blocks[level], ffn),
            )
            self.decoder_layers.append(nn.ModuleList(layers))
        self.mapping = nn.Conv2d(dim, 3, 3, 1, 1, bias=False)

    def forward(self, image: Tensor, guidance: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, dim, H, W), H and W multiples of 4, to (B, 3, H, W)."""
        encoder: Any = self.encoder_layers
        decoder: Any = self.decoder_layers
        # channels last in memory: linear layers, norms and convolutions then share one layout
        x, skips = self.embedding(image.contiguous(memory_format=torch.channels_last)), []
        guidance = guidance.contiguous(memory_format=torch.channels_last)
        for blocks, down, guidance_down in encoder:
            x = blocks(x, guidance)
            skips.append((x, guidance))
            x, guidance = down(x), guidance_down(guidance)
        x = self.bottleneck(x, guidance)
        for up, fuse, blocks in decoder:
            skip, guidance = skips.pop()
            x = blocks(fuse(torch.cat((up(x), skip), 1)), guidance)
        return self.mapping(x) + image


PUBLISHED_MARKS = (r"body\.0\.denoiser\.embedding\.weight", r"body\.0\.estimator\.conv1\.weight")


def published_arguments(state: Shapes) -> dict[str, Any]:
    """`n_feat`, `stage` and `num_blocks` of a published file."""
    igr = r"body\.0\.denoiser\."
    levels = range(count_numbers(state, igr + r"encoder_layers\.(\d+)\."))
    blocks = [
        count_numbers(state, rf"{igr}encoder_layers\.{level}\.0\.blocks\.(\d+)\.")
        for level in levels
    ]
    return {
        "n_feat": state["body.0.estimator.conv1.weight"].shape[0],
        "stage": count_numbers(state, r"body\.(\d+)\."),
        "num_blocks": [*blocks, count_numbers(state, igr + r"bottleneck\.blocks\.(\d+)\.")],
    }

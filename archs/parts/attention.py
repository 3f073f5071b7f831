"""Attention over channels and over pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .precision import full_precision
from .tile_context import global_statistics


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d)) v between N tokens, (B, heads, N, d) each, in memory linear in N.

    ONNX has no such operator that ONNX Runtime computes in little memory: a graph that is recorded
    takes as many queries at a time as keep their scores in the processor's cache.
    """
    if torch.onnx.is_in_onnx_export():
        return _attend_in_pieces(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


@torch.jit.script_if_tracing  # so that the loop is recorded as one
def _attend_in_pieces(q: Tensor, k: Tensor, v: Tensor, scores: int = 1 << 18) -> Tensor:
    """The same, at most `scores` scores of a head at a time."""
    keys = k.transpose(2, 3) * (k.shape[3] ** -0.5)
    length = max(1, scores // k.shape[2])
    done: list[Tensor] = []
    for first in range(0, q.shape[2], length):
        score = q[:, :, first : first + length] @ keys
        done.append(score.softmax(-1) @ v)
    return torch.cat(done, 2)


def gram(x: Tensor) -> Tensor:
    """The Gram matrix of an image's channels, (B, C, H, W) to (B, C, C).

    It is that of the whole image where x is a tile. It is computed in float32 at least, because
    the sum over a large image's pixels overflows float16.
    """
    with full_precision(x):
        channels = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))
        return global_statistics(lambda: channels @ channels.transpose(1, 2))


def channel_attention(
    products: Tensor, queries: Tensor, keys: Tensor, temperature: Tensor
) -> Tensor:
    """softmax(temperature * q k') over channels, with q and k L2-normalised over the pixels.

    q = queries x and k = keys x are linear in a feature x, so their norms and products follow from
    x's Gram matrix alone, and neither is computed for every pixel.

    Args:
        products: `gram` of x, (B, C, C).
        queries, keys: One matrix a head, (heads, d, C) each.
        temperature: (heads, 1, 1).

    Returns:
        (B, heads, d, d), each row sums to 1.
    """
    with full_precision(products):
        queries, keys = queries.to(products.dtype), keys.to(products.dtype)
        products = products.unsqueeze(1)
        of_queries, of_keys = queries @ products, keys @ products
        query_norm = (of_queries * queries).sum(-1).clamp_min(0).sqrt().clamp_min(1e-12)
        key_norm = (of_keys * keys).sum(-1).clamp_min(0).sqrt().clamp_min(1e-12)
        score = of_queries @ keys.transpose(-1, -2)
        score = score / query_norm.unsqueeze(-1) / key_norm.unsqueeze(-2)
        return (score * temperature).softmax(-1)


def attention_of(q: Tensor, k: Tensor, temperature: Tensor) -> Tensor:
    """softmax(temperature * q k') over channels, with q and k L2-normalised over the pixels.

    The sums over pixels are those of the whole image where q and k are a tile's.

    Args:
        q, k: Queries and keys, (B, C, H, W); the heads divide the channels in order.
        temperature: (heads, 1, 1).

    Returns:
        (B, heads, d, d), each row sums to 1.
    """
    with full_precision(q):
        kind = torch.promote_types(q.dtype, torch.float32)
        q, k = (x.flatten(2).unflatten(1, (len(temperature), -1)).to(kind) for x in (q, k))

        def sums() -> Tensor:
            norms = [x.norm(dim=-1, keepdim=True) for x in (q, k)]
            return torch.cat((q @ k.transpose(-1, -2), *norms), -1)

        products, query_norm, key_norm = global_statistics(sums).split((q.shape[2], 1, 1), -1)
        score = products / query_norm.clamp_min(1e-12)
        score = score / key_norm.clamp_min(1e-12).transpose(-1, -2)
        return (score * temperature).softmax(-1)


def channels_by_head(count: int, num_heads: int, like: Tensor) -> Tensor:
    """Queries or keys that are a feature's channels themselves.

    Args:
        count: Of the channels.
        num_heads: The channels are divided among them in order.
        like: Gives device and type.

    Returns:
        (heads, count / heads, count), for `channel_attention`.
    """
    count = int(count)  # a constant, in a traced graph too
    identity = torch.eye(count, device=like.device, dtype=like.dtype)
    return identity.view(num_heads, count // num_heads, count)


def block_diagonal(attention: Tensor) -> Tensor:
    """The heads' attention as one matrix over all channels, zero between heads.

    Args:
        attention: (B, heads, d, d).

    Returns:
        (B, heads d, heads d).
    """
    heads, size = (int(n) for n in attention.shape[1:3])  # constants, in a traced graph too
    head = torch.arange(heads * size, device=attention.device) // size
    own = (head.unsqueeze(1) == head).to(attention.dtype)
    return attention.reshape(-1, heads * size, size).repeat(1, 1, heads) * own


def mix_channels(x: Tensor, matrix: Tensor) -> Tensor:
    """A 1x1 convolution with one matrix for each image.

    Args:
        x: (B, C, H, W).
        matrix: (B, C, C).

    Returns:
        (B, C, H, W).
    """
    return (matrix.to(x.dtype) @ x.flatten(2)).view_as(x)


class SpatialAttention(nn.Module):
    """Which pixels matter: a convolution of the channels' maximum and mean, before the sigmoid."""

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 1, H, W)."""
        return self.conv(torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1))


class ChannelGate(nn.Sequential):
    """Which channels matter, from their means, before the sigmoid."""

    def __init__(self, dim: int, reduction: int) -> None:
        hidden = max(1, dim // reduction)
        super().__init__(
            nn.Conv2d(dim, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, dim, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 1, 1)."""
        return super().forward(global_statistics(lambda: x.mean((2, 3), keepdim=True)))

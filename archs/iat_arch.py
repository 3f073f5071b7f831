"""IAT, the illumination-adaptive transformer.

You Only Need 90K Parameters to Adapt Light: A Light Weight Transformer for Image Enhancement and
Exposure Correction (Cui et al., BMVC 2022).

Paper: https://arxiv.org/abs/2205.14871
Published files load strictly. The one for LOL-v2 was trained on inputs scaled to [-1, 1], and gives
its authors' pictures on those alone.
Differs in: nothing.
"""

from __future__ import annotations

import math

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from einops import rearrange
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_at_least

from .contract import Network
from .parts.attention import mix_channels
from .parts.tile_context import global_statistics
from .published import Published

DROP_PATHS = (0.01, 0.05, 0.1)  # of the three blocks of a stack
DARKEST = 1e-8  # before the gamma curve
GLOBAL_DIM, NUM_HEADS, NUM_QUERIES = 64, 4, 10


def start_linear(module: nn.Module) -> None:
    """Initialise a linear layer as the authors do."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def start_conv(module: nn.Module) -> None:
    """Initialise a convolution of the local branch as the authors do: He, by its outputs."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class ColorNorm(nn.Module):
    """What stands in for a norm: a learned matrix over the channels, then scale and shift."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, dim))
        self.color = nn.Parameter(torch.eye(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        matrix = self.alpha.view(-1, 1) * self.color
        return F.conv2d(x, matrix[..., None, None], self.beta.flatten())


class Mlp(nn.Module):
    """Two layers with a GELU between, 1x1 convolutions or linear."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2 = first, second

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return self.fc2(F.gelu(self.fc1(x)))


class PixelwiseBlock(nn.Module):
    """A transformer block in which depthwise convolutions stand for position and attention."""

    def __init__(self, dim: int, drop_path: float) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((1, dim, 1, 1), 1e-4))
        self.gamma_2 = nn.Parameter(torch.full((1, dim, 1, 1), 1e-4))
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = ColorNorm(dim)
        self.conv1 = nn.Conv2d(dim, dim, 1)
        self.conv2 = nn.Conv2d(dim, dim, 1)
        self.attn = nn.Conv2d(dim, dim, 5, padding=2, groups=dim)
        self.norm2 = ColorNorm(dim)
        self.mlp = Mlp(nn.Conv2d(dim, 4 * dim, 1), nn.Conv2d(4 * dim, dim, 1))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        x = x + self.pos_embed(x)
        mixed = self.conv2(self.attn(self.conv1(self.norm1(x))))
        x = x + self.drop_path(self.gamma_1 * mixed)
        return x + self.drop_path(self.gamma_2 * self.mlp(self.norm2(x)))


class LocalBranch(nn.Module):
    """Predicts for each pixel and colour what to multiply by and what to add."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, dim, 3, padding=1)
        self.mul_blocks = nn.Sequential(*(PixelwiseBlock(dim, p) for p in DROP_PATHS))
        self.add_blocks = nn.Sequential(*(PixelwiseBlock(dim, p) for p in DROP_PATHS))
        self.mul_end = nn.Sequential(nn.Conv2d(dim, 3, 3, padding=1), nn.ReLU())
        self.add_end = nn.Sequential(nn.Conv2d(dim, 3, 3, padding=1), nn.Tanh())
        self.apply(start_conv)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to the factor, at least 0, and the summand, in [-1, 1], both this shape."""
        x = F.leaky_relu(self.conv1(image), 0.2)
        return self.mul_end(self.mul_blocks(x) + x), self.add_end(self.add_blocks(x) + x)


class QueryAttention(nn.Module):
    """Attention of learned queries to all tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.ones(1, NUM_QUERIES, dim))
        self.k = nn.Linear(dim, dim, bias=False)
        self.v = nn.Linear(dim, dim, bias=False)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) to (B, queries, C)."""
        queries = self.q.expand(tokens.shape[0], -1, -1)
        q, k, v = (
            rearrange(x, "b n (h d) -> b h n d", h=NUM_HEADS)
            for x in (queries, self.k(tokens), self.v(tokens))
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.proj(rearrange(attended, "b h n d -> b n (h d)"))


class QueryBlock(nn.Module):
    """Ten vectors that sum up an image; there is no residual around the attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim)
        self.attn = QueryAttention(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, queries, C)."""
        x = x + self.pos_embed(x)
        x = self.attn(self.norm1(x.flatten(2).transpose(1, 2)))
        return x + self.mlp(self.norm2(x))


class ConvEmbedding(nn.Module):
    """Tokens of a quarter of the size."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Conv2d(3, dim // 2, 3, 2, 1),
            nn.BatchNorm2d(dim // 2),
            nn.GELU(),
            nn.Conv2d(dim // 2, dim, 3, 2, 1),
            nn.BatchNorm2d(dim),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, dim, H/4, W/4), rounded up."""
        return self.proj(image)


class GlobalBranch(nn.Module):
    """Predicts one gamma and one colour matrix for the whole image."""

    def __init__(self, dim: int = GLOBAL_DIM) -> None:
        super().__init__()
        self.gamma_base = nn.Parameter(torch.ones(1))
        self.color_base = nn.Parameter(torch.eye(3))
        self.conv_large = ConvEmbedding(dim)
        self.generator = QueryBlock(dim)
        self.gamma_linear = nn.Linear(dim, 1)
        self.color_linear = nn.Linear(dim, 1)
        self.apply(start_linear)
        nn.init.zeros_(self.generator.attn.v.weight)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to gamma and the rows of the matrix, (B, 10)."""
        tokens = self.generator(self.conv_large(image))
        gamma = self.gamma_linear(tokens[:, :1]) + self.gamma_base
        color = self.color_linear(tokens[:, 1:]) + self.color_base.view(-1, 1)
        return torch.cat((gamma, color), 1).squeeze(-1)


@ARCH_REGISTRY.register()
class IAT(Network):
    """A local branch multiplies and adds, a global one mixes colours and applies a gamma curve.

    91,154 parameters.

    Args:
        dim: Channels of the local branch.

    Raises:
        ValueError: `dim` is below 1.
    """

    extra_outputs = ("mul", "add")
    published = Published(
        marks=(
            r"local_net\.mul_blocks\.0\.gamma_1",
            r"local_net\.add_end\.0\.weight",
            r"global_net\.generator\.attn\.q",
        ),
        arguments=lambda state: {"dim": state["local_net.conv1.weight"].shape[0]},
    )

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        require_at_least(1, dim=dim)
        self.local_net = LocalBranch(dim)
        self.global_net = GlobalBranch()

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output, and the local branch's "mul" and "add", (B, 3, H, W) each."""
        mul, add = self.local_net(lq)
        whole = global_statistics(lambda: self.global_net(lq))
        gamma, color = whole[:, :1], whole[:, 1:].unflatten(1, (3, 3))
        mixed = mix_channels(lq * mul + add, color).clamp(DARKEST, 1.0)
        return {"output": mixed ** gamma[..., None, None], "mul": mul, "add": add}

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, in (0, 1]."""
        return self.outputs(x)["output"]

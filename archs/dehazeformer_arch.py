"""DehazeFormer: Vision Transformers for Single Image Dehazing (Song et al., IEEE TIP 2023).

Paper: https://arxiv.org/abs/2204.03883
Published code: github.com/IDKiro/DehazeFormer; its files of the variants T, S and B load strictly.
Differs in: the scaling of images to [-1, 1] and back is the network's, not its caller's. Images
below 32x32, which the published code cannot pad, are padded before.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from timm.layers import trunc_normal_
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require_multiple, require_one_of

from .contract import Network
from .parts.padding import pad_to_multiple
from .parts.precision import full_precision
from .parts.tile_context import current_tile, global_statistics
from .published import Published, Shapes, count_numbers

WINDOW = 8
POSITION_DIM = 256  # hidden features of the bias by relative position
EPS = 1e-5
HEADS = (2, 4, 6, 1, 1)  # of the five layers
MLP_RATIOS = (2, 4, 4, 2, 2)
SCALES = (1, 2, 4, 2, 1)  # by how much their features are smaller than the image
Variant = Literal["t", "s", "b"]
DEPTHS = {"t": (4, 4, 4, 2, 2), "s": (8, 8, 8, 4, 4), "b": (16, 16, 16, 8, 8)}
ATTENTIVE = {"t": (0, 2, 4, 0, 0), "s": (2, 4, 6, 0, 0), "b": (4, 8, 12, 0, 0)}  # the last ones


def start_conv(conv: nn.Module, gain: float) -> None:
    """Initialise a convolution of a block as the authors do: Xavier, less in deep networks."""
    if isinstance(conv, nn.Conv2d):
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(conv.weight)
        trunc_normal_(conv.weight, std=gain * (2 / (fan_in + fan_out)) ** 0.5)
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


class RescaleNorm(nn.Module):
    """Layer norm over a whole image, whose mean and deviation a block gives back (eqs. 2 and 3)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dim, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, dim, 1, 1))
        self.meta1, self.meta2 = nn.Conv2d(1, dim, 1), nn.Conv2d(1, dim, 1)
        for layer, bias in ((self.meta1, 1.0), (self.meta2, 0.0)):
            trunc_normal_(layer.weight, std=0.02)
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) to the same shape, and what to scale and shift by later, (B, C, 1, 1)."""

        def moments() -> Tensor:
            whole = x.to(torch.promote_types(x.dtype, torch.float32))
            return torch.cat(torch.var_mean(whole, (1, 2, 3), correction=0, keepdim=True), 1)

        with full_precision(x):
            variance, mean = global_statistics(moments).chunk(2, 1)
            deviation = (variance + EPS).sqrt()
            normed = (x - mean) / deviation * self.weight + self.bias
            return normed.to(x.dtype), self.meta1(deviation), self.meta2(mean)


class WindowAttention(nn.Module):
    """Attention within windows, biased by a function of the relative position."""

    relative_positions: Tensor

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        places = torch.cartesian_prod(torch.arange(WINDOW), torch.arange(WINDOW))
        apart = (places[:, None] - places).float()  # (64, 64, 2), rows and columns
        self.register_buffer("relative_positions", apart.sign() * apart.abs().log1p())
        self.meta = nn.Sequential(
            nn.Linear(2, POSITION_DIM), nn.ReLU(), nn.Linear(POSITION_DIM, num_heads)
        )

    def forward(self, qkv: Tensor) -> Tensor:
        """(B, N, 3 C), N pixels of a window, to (B, N, C)."""
        q, k, v = qkv.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.meta(self.relative_positions).permute(2, 0, 1)[None]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return attended.transpose(1, 2).flatten(2)


class Mixer(nn.Module):
    """A depthwise convolution and, where it is wanted, attention within windows beside it.

    Args:
        dim: Channels.
        num_heads: Of attention; 0 for none.
        shift: By how many pixels the grid of windows begins before the image.
        scale: By how much the feature is smaller than the image.
        gain: Of the initial weights.
    """

    def __init__(self, dim: int, num_heads: int, shift: int, scale: int, gain: float) -> None:
        super().__init__()
        self.shift, self.scale = shift, scale
        self.conv = nn.Conv2d(dim, dim, 5, padding=2, groups=dim, padding_mode="reflect")
        self.V = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Conv2d(dim, dim, 1)
        self.apply(lambda layer: start_conv(layer, gain))
        self.attn = None
        if num_heads:
            self.QK = nn.Conv2d(dim, 2 * dim, 1)
            start_conv(self.QK, gain=1.0)
            self.attn = WindowAttention(num_heads)

    def _attend(self, qkv: Tensor, attention: nn.Module) -> Tensor:
        """Attention on the whole image's grid of windows: (B, 3 C, H, W) to (B, C, H, W)."""
        tile, (height, width) = current_tile(), qkv.shape[-2:]
        place = (tile.top, tile.left) if tile else (0, 0)
        top, left = ((at // self.scale + self.shift) % WINDOW for at in place)
        if top or left:
            qkv = F.pad(qkv, (left, 0, top, 0), "reflect")
        grid = pad_to_multiple(qkv, WINDOW).permute(0, 2, 3, 1)  # (B, H, W, 3 C), channels last
        batch, rows, columns, dim = grid.shape
        windows = grid.reshape(batch, rows // WINDOW, WINDOW, columns // WINDOW, WINDOW, dim)
        windows = attention(windows.transpose(2, 3).reshape(-1, WINDOW**2, dim))
        shape = (batch, rows // WINDOW, columns // WINDOW, WINDOW, WINDOW, dim // 3)
        grid = windows.reshape(shape).transpose(2, 3).reshape(batch, rows, columns, dim // 3)
        return grid.permute(0, 3, 1, 2)[..., top : top + height, left : left + width]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        value = self.V(x)
        mixed = self.conv(value)
        if self.attn is not None:
            mixed = mixed + self._attend(torch.cat((self.QK(x), value), 1), self.attn)
        return self.proj(mixed)


class Mlp(nn.Module):
    """Two 1x1 convolutions with a ReLU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.mlp(x)


class Block(nn.Module):
    """Mixing of pixels, then of channels; a norm only where there is attention."""

    def __init__(
        self, dim: int, hidden: int, num_heads: int, shift: int, scale: int, gain: float
    ) -> None:
        super().__init__()
        self.norm1 = RescaleNorm(dim) if num_heads else None
        self.attn = Mixer(dim, num_heads, shift, scale, gain)
        self.mlp = Mlp(dim, hidden)
        self.mlp.apply(lambda layer: start_conv(layer, gain))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if self.norm1 is None:
            x = x + self.attn(x)
        else:
            normed, rescale, rebias = self.norm1(x)
            x = x + self.attn(normed) * rescale + rebias
        return x + self.mlp(x)


class Layer(nn.Module):
    """Blocks in a row; every second one shifts its windows by half."""

    def __init__(self, *blocks: Block) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return self.blocks(x)


class Projection(nn.Module):
    """A layer under its published name."""

    def __init__(self, proj: nn.Module) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, x: Tensor) -> Tensor:
        """What the layer gives."""
        return self.proj(x)


class SelectiveFusion(nn.Module):
    """Selects, channel by channel, between two features (as Li et al., CVPR 2019)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = max(dim // 8, 4)
        self.mlp = nn.Sequential(
            nn.Conv2d(dim, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, 2 * dim, 1, bias=False),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Two of (B, C, H, W) to the same shape."""
        means = global_statistics(lambda: (x + skip).mean((2, 3), keepdim=True))
        first, second = self.mlp(means).unflatten(1, (2, -1)).softmax(1).unbind(1)
        return first * x + second * skip


def _arguments(state: Shapes) -> dict[str, Any]:
    depth = count_numbers(state, r"layer1\.blocks\.(\d+)\.")
    variant = next((v for v, depths in DEPTHS.items() if depths[0] == depth), "t")
    return {"variant": variant, "dim": len(state["skip1.weight"])}


@ARCH_REGISTRY.register()
class DehazeFormer(Network):
    """A U of transformer blocks with norms over the image, whose output is K x - B + x.

    687,404 parameters (t), 1,284,884 (s) or 2,517,612 (b).

    Args:
        variant: How many blocks, and how many of them attend.
        dim: Channels at full size, doubled at each of the two scales below.

    Raises:
        ValueError: `variant` is unknown, or 6 does not divide `dim`.
    """

    family = "dehazing"
    size_multiple = 4
    smallest_size = 32
    published = Published(
        marks=(
            r"patch_embed\.proj\.weight",
            r"layer3\.blocks\.\d+\.attn\.attn\.relative_positions",
            r"layer1\.blocks\.0\.attn\.V\.weight",
            r"fusion1\.mlp\.0\.weight",
            r"patch_unembed\.proj\.0\.weight",
        ),
        arguments=_arguments,
    )

    def __init__(self, variant: Variant = "t", dim: int = 24) -> None:
        super().__init__()
        require_one_of(tuple(DEPTHS), variant=variant)
        require_multiple(6, dim=dim)
        depths, attentive = DEPTHS[variant], ATTENTIVE[variant]
        gain = (8 * sum(depths)) ** -0.25

        def layer(i: int) -> Layer:
            width, scale = dim * SCALES[i], SCALES[i]
            heads = [0] * (depths[i] - attentive[i]) + [HEADS[i]] * attentive[i]
            made = (
                Block(width, width * MLP_RATIOS[i], n, j % 2 * WINDOW // 2, scale, gain)
                for j, n in enumerate(heads)
            )
            return Layer(*made)

        def split(width: int) -> Projection:
            return Projection(nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.PixelShuffle(2)))

        self.patch_embed = Projection(nn.Conv2d(3, dim, 3, padding=1, padding_mode="reflect"))
        self.layer1 = layer(0)
        self.patch_merge1 = Projection(nn.Conv2d(dim, 2 * dim, 2, 2))
        self.skip1 = nn.Conv2d(dim, dim, 1)
        self.layer2 = layer(1)
        self.patch_merge2 = Projection(nn.Conv2d(2 * dim, 4 * dim, 2, 2))
        self.skip2 = nn.Conv2d(2 * dim, 2 * dim, 1)
        self.layer3 = layer(2)
        self.patch_split1 = split(4 * dim)
        self.fusion1 = SelectiveFusion(2 * dim)
        self.layer4 = layer(3)
        self.patch_split2 = split(2 * dim)
        self.fusion2 = SelectiveFusion(dim)
        self.layer5 = layer(4)
        last = nn.Conv2d(dim, 4, 3, padding=1, padding_mode="reflect")
        self.patch_unembed = Projection(nn.Sequential(last))

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1], multiples of 4 from 32 up, to the same shape."""
        image = 2 * x - 1
        fine = self.layer1(self.patch_embed(image))
        middle = self.layer2(self.patch_merge1(fine))
        up = self.patch_split1(self.layer3(self.patch_merge2(middle)))
        up = self.patch_split2(self.layer4(self.fusion1(up, self.skip2(middle)) + up))
        up = self.layer5(self.fusion2(up, self.skip1(fine)) + up)
        factor, summand = self.patch_unembed(up).split((1, 3), 1)
        return (factor * image - summand + image + 1) / 2

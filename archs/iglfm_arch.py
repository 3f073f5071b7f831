"""IGLFM: the image guidance and Laplacian fusion module, for capsule endoscopy.

A Dual-Generalization Low-Light Enhancement Framework for Capsule Endoscopy Image Restoration and
Segmentation (Wang et al., IEEE Transactions on Medical Imaging 2025).
Published code: https://github.com/superwsc/Dual-Gen-Frame

The backbone, stage 1, of the framework.
Published weights load under their own names; `mcc=False` gives the published forward,
which builds matrixed colour correction (MCC) but never calls it; `mcc=True` is the paper's figure.
Differs in: the published pyramid blocks share one PReLU by a default argument; here each has its
own (five more parameters). Channel attention is computed from Gram matrices, so that queries and
keys are not formed for every pixel. A luma curve is computed as a sigmoid, so that it and its
gradients stay finite.
"""

from __future__ import annotations

from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from enhancement.arguments import require_at_least, require_multiple

from .contract import Network
from .parts.attention import (
    ChannelGate,
    SpatialAttention,
    block_diagonal,
    channel_attention,
    channels_by_head,
    gram,
    mix_channels,
)
from .parts.folding import fold_prelu
from .parts.iglfm_blocks import PLF, Guide
from .parts.normalization import ChannelNorm
from .published import Published, Shapes, State, count_numbers


class LongRange(nn.Module):
    """Long-range perception (LRP): channel attention, then a 1x1 convolution.

    Query, key and value are linear maps of one feature, so all of it is one matrix for each image,
    which depends on the feature's Gram matrix alone.
    """

    def __init__(self, dim: int, num_heads: int = 2) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.project = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        q, k, v = self.qkv.weight.flatten(1).chunk(3)
        q, k = (w.unflatten(0, (len(self.temperature), -1)) for w in (q, k))
        attention = channel_attention(gram(x), q, k, self.temperature)
        return mix_channels(x, self.project.weight.flatten(1) @ block_diagonal(attention) @ v)


class SelectiveKernel(nn.Module):
    """Weighs what the branches found: three spatial attentions, then one over channels."""

    def __init__(self, dim: int, branches: int = 3, reduction: int = 16) -> None:
        super().__init__()
        self.project = nn.Conv2d(branches * dim, dim, 1, bias=False)
        self.act = nn.PReLU()
        self.masks = nn.ModuleList(SpatialAttention(5) for _ in range(branches))
        self.gate = ChannelGate(branches * dim, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """The branches side by side, (B, 3 C, H, W), to (B, C, H, W)."""
        x = self.act(self.project(x))
        x = torch.cat([x * torch.sigmoid(mask(x)) for mask in self.masks], 1)
        x = x * torch.sigmoid(self.gate(x))
        return self.act(self.project(x))  # the same weights again, as published


class FFB(nn.Module):
    """Feature fusion block: guidance by the image, pyramid, three branches, the pyramid again."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.guide = Guide(dim)
        self.join = nn.Conv2d(2 * dim, dim, 1, bias=False)
        self.pyramid = PLF(dim)
        self.local = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.dilated = nn.Conv2d(dim, dim, 3, padding=3, dilation=3, bias=False)
        self.long_range = LongRange(dim)
        self.select = SelectiveKernel(dim)
        self.out = nn.Conv2d(dim, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 3, H, W), H and W even and at least 4, to (B, C, H, W)."""
        y = self.join(torch.cat((x, self.guide(image, x)), 1))
        y = self.pyramid(y)
        y = self.select(torch.cat((self.local(y), self.dilated(y), self.long_range(y)), 1))
        y = self.pyramid(y)  # the same weights again, as published
        return self.out(y) + x


class Group(nn.Module):
    """Feature fusion blocks and a convolution, with a residual around them."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FFB(dim) for _ in range(blocks))
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, bias=False)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 3, H, W) to (B, C, H, W)."""
        y = x
        for block in self.blocks:
            y = block(y, image)
        return self.conv(y) + x


class MCC(nn.Module):
    """Matrixed colour correction: channel attention, then a gated convolution."""

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.norm = ChannelNorm(dim)
        self.qkv = nn.Sequential(
            nn.Conv2d(dim, 3 * dim, 1, bias=False),
            nn.Conv2d(
                3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False, padding_mode="reflect"
            ),
        )
        self.project = nn.Conv2d(dim, dim, 1, bias=False)
        self.feed_forward = nn.Sequential(
            nn.Conv2d(dim, dim, 1, bias=False),
            nn.GELU(),
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        dim, heads = x.shape[1], len(self.temperature)
        qk, v = self.qkv(self.norm(x)).split((2 * dim, dim), 1)
        queries, keys = channels_by_head(2 * dim, 2 * heads, like=x).chunk(2)
        attention = channel_attention(gram(qk), queries, keys, self.temperature)
        mixed = mix_channels(v, block_diagonal(attention))
        return self.feed_forward(self.project(mixed) + x)


def published_arguments(state: Shapes) -> dict[str, Any]:
    """The sizes of a published file, as its authors ran it: without colour correction."""
    return {
        "width": state["conv_in.weight"].shape[0],
        "groups": count_numbers(state, r"body\.(\d+)\."),
        "blocks": count_numbers(state, r"body\.0\.body\.(\d+)\."),
        "mcc": False,
    }


@ARCH_REGISTRY.register()
class IGLFM(Network):
    """Image guidance and Laplacian fusion module, 4,959,024 parameters (4,981,944 with MCC).

    Args:
        width: Channels, a multiple of 16 (64 in the paper).
        groups: Groups of blocks.
        blocks: Feature fusion blocks of a group.
        mcc: Correct colours by channel attention before the output, as in the paper's figure.

    Raises:
        ValueError: `width` is no multiple of 16, or a number is below 1.
    """

    family = "endoscopy"

    size_multiple = 2
    smallest_size = 4  # the pyramid pads its half-size level by reflection
    published = Published(
        marks=(
            r"conv_in\.weight",
            r"conv_out\.weight",
            r"body\.0\.body\.0\.map\.body\.0\.weight",
        ),
        arguments=published_arguments,
        renames={
            r"^conv_in\.": "stem.",
            r"^conv_out\.": "out.",
            r"^body\.(\d+)\.conv\.": r"groups.\1.conv.",
            r"^body\.(\d+)\.body\.(\d+)\.": r"groups.\1.blocks.\2.",
            r"\.map\.conv(\d)\.": lambda m: f".guide.heads.{int(m[1]) - 1}.",
            r"\.map\.body\.4\.": ".guide.project.",
            r"\.map\.body\.": ".guide.body.",
            r"\.map\.mapping_function(\d)\.(\w)$": lambda m: (
                f".guide.curves.{m[2]}.{int(m[1]) - 1}"
            ),
            r"\.plf\.learnable_vector(\d)$": r".pyramid.edges\1.scale",
            r"\.plf\.body\.": ".pyramid.body1.",
            r"\.plf\.Cross_Attention1\.": ".pyramid.attention2.",
            r"\.plf\.Cross_Attention2\.": ".pyramid.attention1.",
            r"\.plf\.conv1\.": ".pyramid.fuse.",
            r"\.plf\.": ".pyramid.",
            r"\.conv_block\.block\.": ".body.",
            r"\.conv_block\.shortcut\.": ".shortcut.",
            r"\.conv1_1\.weight$": ".join.weight",
            r"\.conv_out\.": ".out.",
            r"\.dilated_conv3\.": ".dilated.",
            r"\.dilated_conv\.": ".local.",
            r"^mcc\.(pw|dw)conv\.": lambda m: f"mcc.qkv.{int(m[1] == 'dw')}.",
            r"^mcc\.feedforward\.": "mcc.feed_forward.",
            r"\.pwconv\.": ".qkv.",
            r"\.project_out\.": ".project.",
            r"\.selective_kernel\.sas\.(\d)\.conv_du\.0\.": r".select.masks.\1.conv.",
            r"\.selective_kernel\.conv1_1\.0\.": ".select.project.",
            r"\.selective_kernel\.conv1_1\.1\.": ".select.act.",
            r"\.selective_kernel\.CA\.conv_du\.": ".select.gate.",
        },
        dropped=(r"\.edge_extract2?\.filt$", r"\.plf\.mcc\."),
    )

    def __init__(self, width: int = 64, groups: int = 3, blocks: int = 2, mcc: bool = True) -> None:
        super().__init__()
        require_multiple(16, width=width)
        require_at_least(1, groups=groups, blocks=blocks)
        self.shared = width // 4  # channels of each of the two features that BLGM sees
        self.stem = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.groups = nn.ModuleList(Group(width, blocks) for _ in range(groups))
        self.mcc = MCC(width) if mcc else None
        self.out = nn.Conv2d(width, 3, 3, padding=1, bias=False)

    def from_published(self, state: State) -> State:
        """A published state dict as this network's own.

        The one PReLU of all published pyramids is stored under six names, the last of which its
        network keeps; MCC is left out where this network has none.
        """
        renamed = super().from_published(state)
        if self.mcc is None:
            renamed = {k: v for k, v in renamed.items() if not k.startswith("mcc.")}
        shared = sorted(k for k in renamed if k.endswith(".pyramid.act.weight"))
        return renamed | dict.fromkeys(shared, renamed[shared[-1]])

    def fold(self) -> nn.Module:
        """With leaky ReLUs in place of PReLUs."""
        return fold_prelu(self)

    def with_feature(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Enhance, and give what BLGM goes on from.

        Args:
            x: (B, 3, H, W) in [0, 1], H and W even and at least 4.

        Returns:
            (B, 3, H, W), and the feature (B, width / 2, H, W).
        """
        first = y = self.stem(x)
        for group in self.groups:
            y = group(y, x)
        if self.mcc is not None:
            y = self.mcc(y)
        feature = torch.cat((first[:, : self.shared], y[:, : self.shared]), 1)
        return self.out(y) + x, feature

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W even and at least 4, to the same shape."""
        return self.with_feature(x)[0]

"""IGLFM: the image-guided low-light feature module, for capsule endoscopy.

Source: the backbone, stage 1, of the dual-generalization framework (Dual-Gen-Frame).
Published weights load by `load_published_state_dict`; `mcc=False` gives the published forward,
which builds matrixed colour correction (MCC) but never calls it; `mcc=True` is the paper's figure.
Differs in: the published pyramid blocks share one PReLU by a default argument; here each has its
own (five more parameters). The same numbers by less work: a processor takes the 3x3 convolutions
Winograd's way (processor.py); attention needs only Gram matrices; what is linear in a row becomes
one convolution; a luma curve is computed as a sigmoid, so that it and its gradients stay finite.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import (
    ChannelGate,
    ChannelNorm,
    SpatialAttention,
    channel_attention,
    gram,
    heads_as_matrix,
)
from .contract import Network
from .processor import Conv1x1, Conv3x3, Depthwise, Fused, PReLU, conv3x3, depthwise, enlarge, mix
from .published import Published, PublishedWeights, State

TO_YUV = ((0.257, 0.564, 0.098), (-0.148, -0.291, 0.439), (0.439, -0.368, -0.071))
YUV_OFFSET = (0.0626, 0.5001, 0.5001)  # BT.601, studio swing
FROM_UV = ((0.0, 1.596), (-0.392, -0.813), (2.017, 0.0))
LUMA_GAIN = 1.164
SMALLEST = 1e-6


def conv(in_channels: int, out_channels: int, size: int = 3, bias: bool = False, dilation: int = 1,
         groups: int = 1, reflect: bool = False) -> nn.Conv2d:  # fmt: skip
    """A convolution that keeps the size; padded with zeros unless `reflect`."""
    if size == 1:
        return Conv1x1(in_channels, out_channels, bias)
    if groups == 1 and not reflect:
        return Conv3x3(in_channels, out_channels, bias, dilation)
    if groups == in_channels and reflect:
        return Depthwise(in_channels, bias)
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias, groups=groups,
                     padding_mode="reflect" if reflect else "zeros")  # fmt: skip


class LumaCurves(nn.Module):
    """Learned curves Y^n / (Y^n + s^n) on an image's luma; its colour difference stays.

    Computed as sigmoid(n (log Y - log s)): finite, with finite gradients, for every pixel and for n
    and s at and near 0.
    """

    to_yuv: Tensor
    offset: Tensor
    from_uv: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.n, self.s = (nn.ParameterList(torch.rand(1) for _ in range(count)) for _ in "ns")
        self.register_buffer("to_yuv", torch.tensor(TO_YUV)[..., None, None], persistent=False)
        self.register_buffer("offset", torch.tensor(YUV_OFFSET), persistent=False)
        self.register_buffer("from_uv", torch.tensor(FROM_UV)[..., None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, count, 3, H, W) in [0, 1]."""
        yuv = F.conv2d(image, self.to_yuv, self.offset).clamp(0, 1)
        luma = yuv[:, :1].clamp_min(SMALLEST).log()
        n, s = (torch.cat(list(v)).abs().view(1, -1, 1, 1) for v in (self.n, self.s))
        curved = torch.sigmoid(n * (luma - (s + SMALLEST).log()))
        colour = F.conv2d(yuv[:, 1:] - self.offset[1], self.from_uv)
        rgb = LUMA_GAIN * (curved - self.offset[0])[:, :, None] + colour[:, None]
        return rgb.clamp(0, 1)


class GuideHead(Fused):
    """Per-pixel gain and offset (6 channels) for one curve, from the feature."""

    def __init__(self, dim: int, separable: bool = False) -> None:
        second = (
            [conv(dim, dim, 1, bias=True), conv(dim, dim, bias=True, groups=dim, reflect=True)]
            if separable
            else [conv(dim, dim)]
        )
        super().__init__(conv(dim, dim), PReLU(), *second, PReLU(), conv(dim, 6, 1))


class Guide(nn.Module):
    """The image under three luma curves, each with a local gain and offset, as a feature."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.curves = LumaCurves(3)
        self.heads = nn.ModuleList(GuideHead(dim, separable) for separable in (False, False, True))
        self.body = Fused(conv(9, dim, 1), PReLU(), conv(dim, dim), PReLU())
        self.project = conv(dim, dim, 1)

    def forward(self, image: Tensor, x: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, C, H, W) to the feature before `project`, (B, C, H, W)."""
        mapped = self.curves(image).unbind(1)
        lit = []
        for curve, head in zip(mapped, self.heads, strict=True):
            gain, offset = head(x).chunk(2, 1)
            lit.append((gain * curve + offset).clamp(0, 1))
        return self.body(torch.cat(lit, 1))


class LongRange(nn.Module):
    """Long-range perception (LRP): channel attention, linear in the feature.

    Query, key and value are linear maps of one feature, so attention is a matrix of C x C that
    depends on its Gram matrix alone; nothing is formed for every pixel.
    """

    def __init__(self, dim: int, num_heads: int = 2) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.qkv = conv(dim, 3 * dim, 1)
        self.project = conv(dim, dim, 1)

    def matrix(self, x: Tensor) -> Tensor:
        """What takes a pixel of (B, C, H, W) to its output: (B, C, C)."""
        heads = self.temperature.shape[0]
        q, k, v = self.qkv.weight.flatten(1).chunk(3)
        q, k = (w.unflatten(0, (heads, -1)) for w in (q, k))
        attention = channel_attention(gram(x), q, k, self.temperature)
        return self.project.weight.flatten(1) @ heads_as_matrix(attention) @ v


class CrossAttention(nn.Module):
    """Channel attention of the spatial feature on itself, applied to the edges."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.body = Fused(
            conv(dim, dim, bias=True), nn.LeakyReLU(0.2),
            conv(dim, dim, 1, bias=True), conv(dim, dim, bias=True, groups=dim, reflect=True),
            nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.shortcut = Conv1x1(dim, dim)

    def attend(self, spatial: Tensor, edge: Tensor) -> Tensor:
        """Two of (B, C, H, W) to the edges mixed, the same shape."""
        own = torch.eye(spatial.shape[1], device=spatial.device, dtype=spatial.dtype)
        rows = own.unflatten(0, (self.temperature.shape[0], -1))
        attention = channel_attention(gram(spatial), rows, rows, self.temperature)
        return mix(edge, heads_as_matrix(attention))

    def forward(self, spatial: Tensor, edge: Tensor) -> Tensor:
        """The spatial feature and the edges mixed, (B, C, H, W), to the same shape."""
        weight, bias = self.shortcut.weight.flatten(1), self.shortcut.bias
        return mix(edge, weight, bias, onto=self.body(edge)).add_(spatial)


class Laplacian(nn.Module):
    """8 times a pixel less its neighbours, times a learned vector."""

    kernel: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dim, 1, 1))
        kernel = torch.full((1, 1, 3, 3), -1.0)
        kernel[..., 1, 1] = 8
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        kernel = self.kernel * self.scale.transpose(0, 1)
        return depthwise(x, kernel, reflect=True)


class PLF(nn.Module):
    """Pyramid Laplacian fusion: two levels of spatial feature and edges, fused by attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        num_heads = min(16, dim // 4)
        self.body1 = nn.Sequential(conv(dim, dim, 1), conv(dim, dim, groups=dim, reflect=True))
        self.body2 = nn.Sequential(
            conv(2 * dim, 2 * dim, 1), conv(2 * dim, 2 * dim, groups=dim, reflect=True)
        )
        self.edges1, self.edges2 = Laplacian(dim), Laplacian(2 * dim)
        self.act = PReLU()
        self.down = nn.Conv2d(dim, 2 * dim, 4, 2, 1, bias=False)
        self.up = nn.ConvTranspose2d(2 * dim, dim, 2, 2)
        self.attention1 = CrossAttention(dim, num_heads)
        self.attention2 = CrossAttention(2 * dim, num_heads)
        self.fuse = conv(2 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W even, to the same shape."""
        of_fine, of_coarse = self.fuse.weight.flatten(1).chunk(2, 1)
        spatial = self.act(self.body1(x))
        small = self.down(spatial)
        edge = self.body1(self.edges1(x))
        edge = self.attention1.attend(spatial, edge)  # one name: what is done with is freed
        y = mix(self.attention1(spatial, edge), of_fine).add_(x)
        spatial = self.act(self.body2(small))
        edge = self.body2(self.edges2(small))
        edge = self.attention2.attend(spatial, edge)
        coarse = self.attention2(spatial, edge)
        up, bias = torch.einsum("oi,ciyx->coyx", of_coarse, self.up.weight), self.up.bias
        return y.add_(enlarge(coarse, up, None if bias is None else of_coarse @ bias))


class SelectiveKernel(nn.Module):
    """Weighs what the branches found: three spatial masks, then a gate on their channels."""

    def __init__(self, dim: int, branches: int = 3, reduction: int = 16) -> None:
        super().__init__()
        self.project = conv(branches * dim, dim, 1)
        self.act = PReLU()
        self.masks = nn.ModuleList(SpatialAttention(5) for _ in range(branches))
        self.gate = ChannelGate(branches * dim, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """The projected branches, (B, C, H, W), to the same shape."""
        x = self.act(x)
        masks = [torch.sigmoid(mask(x)) for mask in self.masks]
        means = torch.cat([(x * mask).mean((2, 3), keepdim=True) for mask in masks], 1)
        gate = torch.sigmoid(self.gate(means)).flatten(1)[:, None]
        weights = (self.project.weight.flatten(1) * gate).chunk(3, 2)
        y = None
        for weight, mask in zip(weights, masks, strict=True):
            y = mix(x * mask, weight, onto=y)
        return self.act(y)


class FFB(nn.Module):
    """Feature fusion block: guidance by the image, pyramid, three branches, the pyramid again."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.guide = Guide(dim)
        self.join = conv(2 * dim, dim, 1)
        self.pyramid = PLF(dim)
        self.local = conv(dim, dim)
        self.dilated = conv(dim, dim, dilation=3)
        self.long_range = LongRange(dim)
        self.select = SelectiveKernel(dim)
        self.out = conv(dim, dim)

    def branches(self, y: Tensor) -> Tensor:
        """The three branches under the selective kernel's projection, which is linear in them."""
        a, b, c = self.select.project.weight.flatten(1).chunk(3, 1)
        local = torch.einsum("oi,icyx->ocyx", a, self.local.weight)
        dilated = torch.einsum("oi,icyx->ocyx", b, self.dilated.weight)
        x = conv3x3(y, local).add_(conv3x3(y, dilated, dilation=3))
        return mix(y, c @ self.long_range.matrix(y), onto=x)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 3, H, W), H and W even, to (B, C, H, W)."""
        of_x, of_guide = self.join.weight.flatten(1).chunk(2, 1)
        of_guide = of_guide @ self.guide.project.weight.flatten(1)
        y = mix(self.guide(image, x), of_guide)
        y = mix(x, of_x, onto=y)
        for layer in (self.pyramid, self.branches, self.select, self.pyramid, self.out):
            y = layer(y)
        return y.add_(x)


class Group(nn.Module):
    """Feature fusion blocks and a convolution, with a residual around them."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(FFB(dim) for _ in range(blocks))
        self.conv = conv(dim, dim)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 3, H, W) to (B, C, H, W)."""
        y = x
        for block in self.blocks:
            y = block(y, image)
        return self.conv(y).add_(x)


class MCC(nn.Module):
    """Matrixed colour correction: channel attention, then a gated convolution."""

    def __init__(self, dim: int, num_heads: int = 8) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.norm = ChannelNorm(dim)
        self.qkv = nn.Sequential(conv(dim, 3 * dim, 1),
                                 conv(3 * dim, 3 * dim, groups=3 * dim, reflect=True))  # fmt: skip
        self.project = conv(dim, dim, 1)
        self.feed_forward = nn.Sequential(
            conv(dim, dim, 1), nn.GELU(), conv(dim, dim, groups=dim), nn.GELU()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        dim, heads = x.shape[1], self.temperature.shape[0]
        qkv = self.qkv(self.norm(x))
        own = torch.eye(2 * dim, device=x.device, dtype=x.dtype).unflatten(0, (2 * heads, -1))
        attention = channel_attention(
            gram(qkv[:, : 2 * dim]), own[:heads], own[heads:], self.temperature
        )
        matrix = self.project.weight.flatten(1) @ heads_as_matrix(attention)
        return self.feed_forward(mix(qkv[:, 2 * dim :], matrix) + x)


@ARCH_REGISTRY.register()
class IGLFM(PublishedWeights, Network):
    """Image-guided low-light feature module, 4,959,024 parameters (4,981,944 with MCC).

    Args:
        width: Channels, a multiple of 16 (64 in the paper).
        groups: Groups of blocks.
        blocks: Feature fusion blocks of a group.
        mcc: Correct colours by channel attention before the output, as in the paper's figure.

    Raises:
        ValueError: `width` is no multiple of 16, or a number is below 1.
    """

    size_multiple = 2
    published = Published(
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
        if width < 16 or width % 16 or groups < 1 or blocks < 1:
            raise ValueError(
                "Expected `width` to be a multiple of 16, `groups` and `blocks` at least 1, but "
                f"got {width}, {groups} and {blocks}."
            )
        self.shared = width // 4  # channels of each of the two features that BLGM sees
        self.stem = conv(3, width)
        self.groups = nn.ModuleList(Group(width, blocks) for _ in range(groups))
        self.mcc = MCC(width) if mcc else None
        self.out = conv(width, 3)

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

    def with_feature(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Enhance, and give what BLGM goes on from.

        Args:
            x: (B, 3, H, W) in [0, 1], H and W even.

        Returns:
            (B, 3, H, W), and the feature (B, width / 2, H, W).
        """
        image = x.contiguous(memory_format=torch.channels_last)
        first = y = self.stem(image)
        for group in self.groups:
            y = group(y, image)
        if self.mcc is not None:
            y = self.mcc(y)
        feature = torch.cat((first[:, : self.shared], y[:, : self.shared]), 1)
        return self.out(y).add_(image), feature

    def forward(self, x: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1], H and W even, to the same shape."""
        return self.with_feature(x)[0]

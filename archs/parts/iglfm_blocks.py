"""The blocks of IGLFM (iglfm_arch.py): guidance by the image, and Laplacian pyramid fusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import block_diagonal, channel_attention, channels_by_head, gram, mix_channels

# BT.601, studio swing, but for the green of Y (0.504 there), as published
TO_YUV = ((0.257, 0.564, 0.098), (-0.148, -0.291, 0.439), (0.439, -0.368, -0.071))
YUV_OFFSET = (0.0626, 0.5001, 0.5001)
FROM_UV = ((0.0, 1.596), (-0.392, -0.813), (2.017, 0.0))
LUMA_GAIN = 1.164
SMALLEST = 1e-6


class LumaCurves(nn.Module):
    """Learned curves Y^n / (Y^n + s^n) on an image's luma; its chroma stays.

    Computed as sigmoid(n (log Y - log s)), which is finite, and has finite gradients, for every
    pixel and for n and s at and near 0.
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
        chroma = F.conv2d(yuv[:, 1:] - self.offset[1], self.from_uv)
        rgb = LUMA_GAIN * (curved - self.offset[0])[:, :, None] + chroma[:, None]
        return rgb.clamp(0, 1)


class GuideHead(nn.Sequential):
    """Per-pixel gain and offset (6 channels) for one curve, from the feature."""

    def __init__(self, dim: int, separable: bool = False) -> None:
        second: list[nn.Module] = [nn.Conv2d(dim, dim, 3, padding=1, bias=False)]
        if separable:
            second = [
                nn.Conv2d(dim, dim, 1),
                nn.Conv2d(dim, dim, 3, padding=1, groups=dim, padding_mode="reflect"),
            ]
        super().__init__(
            nn.Conv2d(dim, dim, 3, padding=1, bias=False),
            nn.PReLU(),
            *second,
            nn.PReLU(),
            nn.Conv2d(dim, 6, 1, bias=False),
        )


class Guide(nn.Module):
    """The image under three luma curves, each with a local gain and offset, as a feature."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.curves = LumaCurves(3)
        self.heads = nn.ModuleList(GuideHead(dim, separable) for separable in (False, False, True))
        self.body = nn.Sequential(
            nn.Conv2d(9, dim, 1, bias=False),
            nn.PReLU(),
            nn.Conv2d(dim, dim, 3, padding=1, bias=False),
            nn.PReLU(),
        )
        self.project = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, image: Tensor, x: Tensor) -> Tensor:
        """(B, 3, H, W) and (B, C, H, W) to the guidance, (B, C, H, W)."""
        lit = []
        for curved, head in zip(self.curves(image).unbind(1), self.heads, strict=True):
            gain, offset = head(x).chunk(2, 1)
            lit.append((gain * curved + offset).clamp(0, 1))
        return self.project(self.body(torch.cat(lit, 1)))


class CrossAttention(nn.Module):
    """Channel attention whose queries and keys are the spatial feature, and values the edges."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.body = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(dim, dim, 1),
            nn.Conv2d(dim, dim, 3, padding=1, groups=dim, padding_mode="reflect"),
            nn.LeakyReLU(0.2),
        )
        self.shortcut = nn.Conv2d(dim, dim, 1)

    def forward(self, spatial: Tensor, edges: Tensor) -> Tensor:
        """Two features (B, C, H, W) to one of the same shape."""
        channels = channels_by_head(spatial.shape[1], len(self.temperature), like=spatial)
        attention = channel_attention(gram(spatial), channels, channels, self.temperature)
        edges = mix_channels(edges, block_diagonal(attention))
        return self.body(edges) + self.shortcut(edges) + spatial


class Laplacian(nn.Module):
    """8 times a pixel minus its neighbours, times a learned vector."""

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
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), kernel, groups=x.shape[1])


class PLF(nn.Module):
    """Pyramid Laplacian fusion: two levels of spatial feature and edges, fused by attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        num_heads = min(16, dim // 4)
        self.body1 = self.separable(dim, groups=dim)
        self.body2 = self.separable(2 * dim, groups=dim)
        self.edges1, self.edges2 = Laplacian(dim), Laplacian(2 * dim)
        self.act = nn.PReLU()
        self.down = nn.Conv2d(dim, 2 * dim, 4, stride=2, padding=1, bias=False)
        self.up = nn.ConvTranspose2d(2 * dim, dim, 2, stride=2)
        self.attention1 = CrossAttention(dim, num_heads)
        self.attention2 = CrossAttention(2 * dim, num_heads)
        self.fuse = nn.Conv2d(2 * dim, dim, 1, bias=False)

    @staticmethod
    def separable(dim: int, groups: int) -> nn.Sequential:
        """A 1x1 convolution, then a grouped 3x3."""
        return nn.Sequential(
            nn.Conv2d(dim, dim, 1, bias=False),
            nn.Conv2d(dim, dim, 3, padding=1, groups=groups, bias=False, padding_mode="reflect"),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W even and at least 4, to the same shape."""
        spatial = self.act(self.body1(x))
        edges = self.body1(self.edges1(x))
        fine = self.attention1(spatial, edges)

        small = self.down(spatial)  # (B, 2 C, H/2, W/2)
        small_spatial = self.act(self.body2(small))
        small_edges = self.body2(self.edges2(small))
        coarse = self.up(self.attention2(small_spatial, small_edges))  # (B, C, H, W)

        return self.fuse(torch.cat((fine, coarse), 1)) + x

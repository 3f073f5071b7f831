"""BLGM: the brightness-level generalization module, stage 2 of the dual-generalization framework.

Source: the dual-generalization framework for capsule endoscopy (Dual-Gen-Frame). A part of
`DualGeneralization`: it maps IGLFM's feature, not an image.
Published weights load by `load_published_state_dict`; the modules that the published forward never
calls are left out (36.1 M parameters there, 3,239,875 here).
Differs in: the same numbers by less work. What depends on the illumination vector alone is computed
once an image, and the modulation is folded into the projection behind it; a processor takes the 3x3
convolutions Winograd's way (processor.py). The histogram is divided by the image's own pixel count
(65536 there, which is 256x256).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import ChannelNorm
from .padding import is_recording
from .processor import Conv3x3, Fused, add_by_rows, depthwise, enlarge, mix
from .published import Published, PublishedWeights

BINS = 64


def illumination_vector(image: Tensor) -> Tensor:
    """How bright an image's values are: a histogram over [0, 1], divided by the pixel count.

    Args:
        image: (B, 3, H, W) of any size; values outside [0, 1] count into the outer bins.

    Returns:
        (B, 64), each row sums to 3.
    """
    bins = (image.detach().flatten(1) * BINS).long().clamp(0, BINS - 1)
    counts = torch.zeros(image.shape[0], BINS, dtype=torch.long, device=image.device)
    counts.scatter_add_(1, bins, torch.ones_like(bins))
    return counts.to(image.dtype) / (image.shape[-2] * image.shape[-1])


class DoubleConv(Fused):
    """Two 3x3 convolutions without bias, a ReLU after each."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            Conv3x3(in_channels, out_channels, bias=False), nn.ReLU(),
            Conv3x3(out_channels, out_channels, bias=False), nn.ReLU(),
        )  # fmt: skip


class FiLM(nn.Module):
    """Scales and shifts a feature's channels as the illumination vector says."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = Conv3x3(dim, dim)
        self.norm = ChannelNorm(dim)
        self.into = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.vector = nn.Sequential(
            nn.Linear(BINS, dim), nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU()
        )
        self.scale, self.shift = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 64) to (B, C, H, W)."""
        x = self.conv(x)
        y = self.vector(vector)
        weight = self.out.weight * self.scale(y)[:, None]  # (B, C, C), out behind the scale
        bias = self.out(self.shift(y))

        def change(x: Tensor) -> Tensor:
            inner = F.gelu(mix(self.norm(x), self.into.weight, self.into.bias))
            return mix(inner, weight, bias)

        return add_by_rows(change, x)


class DynamicDepthwise(nn.Module):
    """A depthwise 3x3 convolution whose kernel is made for each image from its vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hypernet = nn.Sequential(
            nn.Linear(BINS, 3 * dim), nn.ReLU(), nn.Linear(3 * dim, 9 * dim)
        )

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 64) to (B, C, H, W)."""
        kernels = self.hypernet(vector).unflatten(1, (-1, 3, 3))
        if is_recording():  # a recorded convolution has a fixed number of groups
            height, width = x.shape[-2:]
            around = F.pad(x, (1, 1, 1, 1))
            return sum(
                around[..., i : i + height, j : j + width] * kernels[..., i, j, None, None]
                for i in range(3)
                for j in range(3)
            )
        return depthwise(x, kernels[:, :, None])


class Up(nn.Module):
    """Twice the size by a transposed convolution, the skip beside it, two convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * dim, dim, 2, 2)
        self.conv = DoubleConv(2 * dim, dim)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, 2 C, H / 2, W / 2) and (B, C, H, W) to (B, C, H, W)."""
        x = enlarge(x, self.up.weight, self.up.bias)
        return self.conv(skip, beside=x)


class BLGM(PublishedWeights, nn.Module):
    """A two-level U-Net on IGLFM's feature, conditioned on the illumination vector.

    Args:
        in_channels: Of the feature.
        width: Channels at full size.
    """

    size_multiple = 4
    published = Published(
        renames={
            r"double_conv\.": "",
            r"^down(\d)\.maxpool_conv\.1\.": r"down\1.",
            r"^down1\.hypernet\.": "dynamic.hypernet.",
            r"^film(\d)\.Conv_0\.": r"film\1.conv.",
            r"^film(\d)\.Conv_1\.": r"film\1.vector.0.",
            r"\.LayerNorm_x\.": ".norm.",
            r"\.in_project_x\.": ".into.",
            r"\.LayerNorm_y\.": ".vector.1.",
            r"\.in_project_y\.": ".vector.2.",
            r"\.w_project_y\.": ".scale.",
            r"\.b_project_y\.": ".shift.",
            r"\.out_project_x\.": ".out.",
            r"^up3\.": "up2.",
            r"^up4\.": "up1.",
            r"^outc\.conv\.": "out.",
        },
        dropped=(r"^down[34]\.", r"^film4\.", r"^up[12]\."),
    )

    def __init__(self, in_channels: int = 32, width: int = 64) -> None:
        super().__init__()
        self.inc = DoubleConv(in_channels, width)
        self.film1 = FiLM(width)
        self.dynamic = DynamicDepthwise(width)
        self.down1 = DoubleConv(width, 2 * width)
        self.film2 = FiLM(2 * width)
        self.down2 = DoubleConv(2 * width, 4 * width)
        self.film3 = FiLM(4 * width)
        self.up2 = Up(2 * width)
        self.up1 = Up(width)
        self.out = nn.Conv2d(width, 3, 1)

    def forward(self, feature: Tensor, vector: Tensor) -> Tensor:
        """The image at a good brightness.

        Args:
            feature: (B, in_channels, H, W), H and W multiples of 4.
            vector: (B, 64), see `illumination_vector`.

        Returns:
            (B, 3, H, W).
        """
        feature = feature.contiguous(memory_format=torch.channels_last)
        full = self.film1(self.inc(feature), vector)
        half = self.film2(self.down1(F.max_pool2d(self.dynamic(full, vector), 2)), vector)
        quarter = self.film3(self.down2(F.max_pool2d(half, 2)), vector)
        return self.out(self.up1(self.up2(quarter, half), full))

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

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import ChannelNorm, apply_to_pixels, recording
from .processor import Conv1x1, Conv3x3, add_by_rows, conv3x3, enlarge, halve, layout
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


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions without bias, a ReLU after each."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            Conv3x3(in_channels, out_channels, bias=False), nn.ReLU(inplace=True),
            Conv3x3(out_channels, out_channels, bias=False), nn.ReLU(inplace=True),
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
        bias = self.out(self.shift(y))[..., None, None]

        def change(x: Tensor) -> Tensor:
            inner = apply_to_pixels(self.into.weight, self.norm(x))
            inner = F.gelu(inner.add_(self.into.bias[:, None, None]))
            return apply_to_pixels(weight, inner).add_(bias)

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
        batch, dim, height, width = x.shape
        kernels = self.hypernet(vector).unflatten(1, (-1, 9))
        if recording():  # a recorded convolution has a fixed number of groups
            around = F.pad(x, (1, 1, 1, 1))
            return sum(
                around[..., i // 3 : i // 3 + height, i % 3 : i % 3 + width]
                * kernels[..., i, None, None]
                for i in range(9)
            )
        kernels = kernels.reshape(batch * dim, 1, 3, 3)
        y = F.conv2d(x.reshape(1, -1, height, width), kernels, padding=1, groups=batch * dim)
        return y.view(x.shape)


class Up(nn.Module):
    """Twice the size by a transposed convolution, the skip beside it, two convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * dim, dim, 2, 2)
        self.conv = DoubleConv(2 * dim, dim)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, 2 C, H / 2, W / 2) and (B, C, H, W) to (B, C, H, W)."""
        x = enlarge(x, self.up.weight, self.up.bias)
        layers: Any = self.conv
        first, act, second, last = layers
        of_skip, of_x = first.weight.chunk(2, 1)  # the sum of two: nothing is put together
        return last(second(act(conv3x3(skip, of_skip).add_(conv3x3(x, of_x)))))


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
        self.out = Conv1x1(width, 3)

    def forward(self, feature: Tensor, vector: Tensor) -> Tensor:
        """The image at a good brightness.

        Args:
            feature: (B, in_channels, H, W), H and W multiples of 4.
            vector: (B, 64), see `illumination_vector`.

        Returns:
            (B, 3, H, W).
        """
        feature = layout(feature, *self.parameters())
        full = self.film1(self.inc(feature), vector)
        half = self.film2(self.down1(halve(self.dynamic(full, vector))), vector)
        quarter = self.film3(self.down2(halve(half)), vector)
        return self.out(self.up1(self.up2(quarter, half), full))

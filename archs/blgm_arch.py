"""BLGM: the brightness level generalization module, for capsule endoscopy.

A Dual-Generalization Low-Light Enhancement Framework for Capsule Endoscopy Image Restoration and
Segmentation (Wang et al., IEEE Transactions on Medical Imaging 2025).
Published code: https://github.com/superwsc/Dual-Gen-Frame

Stage 2 of the framework, a part of `DualGeneralization`: it maps IGLFM's feature, not an image.
Published weights load under their own names; the modules that the published forward never
calls are left out (36.1 M parameters there, 3,239,875 here).
Differs in: what depends on the illumination vector alone is computed once an image, where the
published code spreads the vector over all pixels first. The histogram is divided by the image's own
pixel count (65536 there, which is 256x256).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .contract import Network
from .published import Published

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
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.ReLU(inplace=True),
        )


class FiLM(nn.Module):
    """Feature-wise linear modulation: the illumination vector scales and shifts the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm = nn.LayerNorm(dim)
        self.into = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.vector = nn.Sequential(
            nn.Linear(BINS, dim), nn.LayerNorm(dim), nn.Linear(dim, dim), nn.GELU()
        )
        self.scale, self.shift = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 64) to (B, C, H, W)."""
        x = self.conv(x).permute(0, 2, 3, 1)  # (B, H, W, C)
        y = self.vector(vector)[:, None, None]  # (B, 1, 1, C), the same for all pixels
        modulated = F.gelu(self.into(self.norm(x))) * self.scale(y) + self.shift(y)
        return (self.out(modulated) + x).permute(0, 3, 1, 2)


class DynamicDepthwise(nn.Module):
    """A depthwise 3x3 convolution whose kernel is predicted for each image from its vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hypernet = nn.Sequential(
            nn.Linear(BINS, 3 * dim), nn.ReLU(), nn.Linear(3 * dim, 9 * dim)
        )

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 64) to (B, C, H, W)."""
        kernels = self.hypernet(vector).unflatten(1, (-1, 1, 3, 3))  # (B, C, 1, 3, 3)
        if torch.jit.is_tracing() or torch.compiler.is_exporting():
            return self.by_all_kernels(x, kernels)
        return self.by_own_kernels(x, kernels)

    @staticmethod
    @torch.compiler.disable  # as compiled code, groups would be a symbol where batches differ
    def by_own_kernels(x: Tensor, kernels: Tensor) -> Tensor:
        """Each image with its own kernels, as one convolution of B C groups."""
        weight = kernels.flatten(0, 1)  # (B C, 1, 3, 3)
        together = x.flatten(0, 1)[None]  # (1, B C, H, W)
        return F.conv2d(together, weight, padding=1, groups=len(weight)).view_as(x)

    @staticmethod
    def by_all_kernels(x: Tensor, kernels: Tensor) -> Tensor:
        """The same with C groups, for their number is fixed in a recorded graph.

        Each image is convolved with the kernels of all images, of which its own are taken: what it
        costs grows with the square of the batch.
        """
        dim, images = int(x.shape[1]), torch.arange(x.shape[0], device=x.device)
        weight = kernels.transpose(0, 1).flatten(0, 1)  # (C B, 1, 3, 3)
        found = F.conv2d(x, weight, padding=1, groups=dim)  # (B, C B, H, W)
        return found.unflatten(1, (dim, -1))[images, :, images]


class Up(nn.Module):
    """Twice the size by a transposed convolution, joined with the skip, two convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(2 * dim, dim, 2, stride=2)
        self.conv = DoubleConv(2 * dim, dim)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, 2 C, H / 2, W / 2) and (B, C, H, W) to (B, C, H, W)."""
        return self.conv(torch.cat((skip, self.up(x)), 1))


class BLGM(Network):
    """A two-level U-Net on IGLFM's feature, conditioned on the illumination vector.

    Args:
        in_channels: Of the feature.
        width: Channels at full size.
    """

    size_multiple = 4
    published = Published(
        # also under our own names, for a part's file does not name its network
        marks=(r"film1\.(Conv_1|vector\.0)\.weight",),
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
        full = self.film1(self.inc(feature), vector)
        half = F.max_pool2d(self.dynamic(full, vector), 2)  # (B, C, H/2, W/2)
        half = self.film2(self.down1(half), vector)
        quarter = F.max_pool2d(half, 2)  # (B, 2 C, H/4, W/4)
        quarter = self.film3(self.down2(quarter), vector)
        return self.out(self.up1(self.up2(quarter, half), full))

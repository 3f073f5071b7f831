"""The parts of CPGA-Net and of its successors CPGA-Net+ and CPGA-Net++ (Weng et al., 2024)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .convolution import conv3x3
from .normalization import ChannelNorm
from .resizing import upsample_to


def halve(x: Tensor) -> Tensor:
    """(B, C, H, W) to half the height and width, rounded up, bilinearly."""
    size = [(n + 1) // 2 for n in x.shape[-2:]]
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


class ResBlock(nn.Module):
    """Two 3x3 convolutions with an activation between; the input is added."""

    def __init__(self, dim: int, activation: type[nn.Module] = nn.ReLU, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.body = nn.Sequential(conv3x3(dim, dim, stride), activation(), conv3x3(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, or half of it."""
        return self.body(x) + (x if self.stride == 1 else halve(x))


class ConvNeXtBlock(nn.Module):
    """ConvNeXt's block (Liu et al., CVPR 2022) with a 3x3 kernel in place of 7x7."""

    def __init__(self, dim: int, stride: int = 1) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim, 1, 1), 1e-6))
        self.dwconv = nn.Conv2d(dim, dim, 3, stride, 1, groups=dim)
        self.norm = ChannelNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Conv2d(dim, 4 * dim, 1)
        self.pwconv2 = nn.Conv2d(4 * dim, dim, 1)
        self.downsample = nn.Sequential()
        if stride > 1:
            self.downsample.append(nn.Conv2d(dim, dim, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, or half of it."""
        y = self.pwconv2(F.gelu(self.pwconv1(self.norm(self.dwconv(x)))))
        return self.gamma * y + self.downsample(x)


class ChannelAttention(nn.Module):
    """Weighs channels by their means and maxima over the image."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = max(1, dim // 16)
        self.fc = nn.Sequential(
            nn.Conv2d(dim, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, dim, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to weights (B, C, 1, 1) in (0, 1)."""
        mean, most = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return torch.sigmoid(self.fc(mean) + self.fc(most))


class PixelAttention(nn.Module):
    """Weighs pixels by the mean and maximum of their channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to weights (B, 1, H, W) in (0, 1)."""
        both = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return torch.sigmoid(self.conv1(both))


class ResCBAM(nn.Module):
    """A residual block with CBAM's attention (Woo et al., ECCV 2018)."""

    def __init__(self, dim: int, activation: type[nn.Module], stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(dim, dim, stride), nn.BatchNorm2d(dim)
        self.conv2, self.bn2 = conv3x3(dim, dim), nn.BatchNorm2d(dim)
        self.activation = activation()
        self.ca, self.sa = ChannelAttention(dim), PixelAttention()
        self.downsample = nn.Conv2d(dim, dim, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, or half of it."""
        y = self.bn2(self.conv2(self.activation(self.bn1(self.conv1(x)))))
        y = self.ca(y) * y
        return self.activation(self.sa(y) * y + self.downsample(x))


class GammaEstimator(nn.Module):
    """CPGA-Net's one gamma for an image."""

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.conv1_g = nn.Conv2d(3, dim, 1)
        self.conv2_g, self.conv3_g = ResCBAM(dim, nn.ReLU), ResCBAM(dim, nn.ReLU)
        self.conv4_g = nn.Conv2d(dim, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, 1, 1) in [1e-8, 1e8]."""
        x = self.conv4_g(self.conv3_g(self.conv2_g(self.conv1_g(image))))
        mean = x.mean((2, 3), keepdim=True)
        mean = mean.to(torch.promote_types(mean.dtype, torch.float32))  # the limits overflow fp16
        return mean.clamp(1e-8, 1e8)


class PlusGammaEstimator(nn.Module):
    """CPGA-Net+'s one gamma for an image, estimated at half the size."""

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.conv1_g = conv3x3(3, dim)
        self.conv2_g = nn.Sequential(ResCBAM(dim, nn.GELU, stride=2))
        self.conv3_g = nn.Sequential(ResCBAM(dim, nn.GELU), ResCBAM(dim, nn.GELU))
        self.conv4_g = nn.Conv2d(dim, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, 1, 1) in [0.01, 4]."""
        x = self.conv1_g(image)
        x = self.conv3_g(self.conv2_g(x)) + halve(x)
        return self.conv4_g(x).mean((2, 3), keepdim=True).clamp(0.01, 4.0)


class Transmission(nn.Module):
    """CP block's t from the channels' maximum, minimum and mean, and from the feature itself."""

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.prep = nn.Sequential(conv3x3(3, dim), nn.GELU())
        self.conv = ResBlock(dim + in_channels, nn.GELU)
        self.postp = nn.Conv2d(dim + 2 * in_channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 1, H, W)."""
        priors = (x.amax(1, keepdim=True), x.amin(1, keepdim=True), x.mean(1, keepdim=True))
        y = self.conv(torch.cat((self.prep(torch.cat(priors, 1)), x), 1))
        return self.postp(F.gelu(torch.cat((y, x), 1)))


class Airlight(nn.Module):
    """CP block's a, with a glance at half the size."""

    def __init__(self, in_channels: int, out_channels: int, dim: int, convnext: bool) -> None:
        super().__init__()

        def block(stride: int = 1) -> nn.Module:
            return ConvNeXtBlock(dim, stride) if convnext else ResBlock(dim, nn.GELU, stride)

        self.conv1_A = nn.Conv2d(in_channels, dim, 1)
        self.conv2_A = nn.Sequential(block(stride=2))
        self.conv3_A = block()
        # the published names count the enlarging between the two
        self.conv4_A = nn.ModuleDict({"0": conv3x3(2 * dim, dim), "2": block()})
        self.conv5_A = nn.Conv2d(2 * dim, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W even, to (B, out_channels, H, W)."""
        full = self.conv1_A(x)
        half = self.conv2_A(full)
        y = self.conv4_A["0"](F.gelu(torch.cat((self.conv3_A(half), half), 1)))
        y = self.conv4_A["2"](upsample_to(y, full.shape[-2:], 2))
        return self.conv5_A(torch.cat((y, full), 1))


class CPBlock(nn.Module):
    """The atmospheric scattering model (q - a) t + a on a feature q."""

    def __init__(self, in_channels: int, out_channels: int, dim: int, convnext: bool) -> None:
        super().__init__()
        self.prep_module = nn.Sequential(conv3x3(in_channels, out_channels), nn.GELU())
        self.t_module = Transmission(in_channels, dim // 2)
        self.a_module = Airlight(in_channels, out_channels, dim, convnext)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W) in [1e-4, 1]."""
        a = self.a_module(x)
        return ((self.prep_module(x) - a) * self.t_module(x) + a).clamp(1e-4, 1.0)


class Fusion(nn.Module):
    """Joins a feature and its gamma curve without what both have in common (the paper's IAAF)."""

    def __init__(self, channels: int, activation: type[nn.Module], lowest: float) -> None:
        super().__init__()
        dim, self.lowest = 16, lowest
        self.conv1_post_g = nn.Conv2d(2 * channels, dim, 1)
        self.conv2_post_g = ResBlock(dim, activation)
        self.conv3_post_g = nn.Conv2d(dim, channels, 1)

    def forward(self, gamma: Tensor, x: Tensor) -> Tensor:
        """(B, 1, 1, 1) and (B, C, H, W), above 0, to (B, C, H, W) in [lowest, 1]."""
        curved = x**gamma
        both = self.conv1_post_g(torch.cat((curved, x), 1))
        common = self.conv3_post_g(self.conv2_post_g(both))
        return (curved + x - common).clamp(self.lowest, 1.0)


class MaskedFusion(nn.Module):
    """CPGA-Net++'s: what is common is sought in what a shared network lets through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        dim = 16
        self.conv1_post_g = nn.Conv2d(2 * channels, dim, 1)
        self.conv2_post_g = ConvNeXtBlock(dim)
        self.conv3_post_g = nn.Conv2d(dim, channels, 1)
        self.conv_scoring = nn.Sequential(
            nn.Conv2d(channels, dim, 1),
            ConvNeXtBlock(dim),
            ConvNeXtBlock(dim),
            nn.Conv2d(dim, channels, 1),
        )

    def forward(self, gamma: Tensor, x: Tensor, curved_from: Tensor, rate: Tensor) -> Tensor:
        """Join x and the gamma curve of `curved_from`.

        Args:
            gamma: (B, 1, 1, 1).
            x, curved_from: (B, C, H, W), at least 0.
            rate: The share of x, (1,), of which [0.1, 1] is used.

        Returns:
            (B, C, H, W) in [1e-4, 1].
        """
        curved, rate = curved_from**gamma, rate.clamp(0.1, 1.0)
        scored = [y * torch.sigmoid(self.conv_scoring(y)) for y in (curved, x)]
        common = self.conv3_post_g(self.conv2_post_g(self.conv1_post_g(torch.cat(scored, 1))))
        return ((1 - rate) * curved + rate * x - common).clamp(1e-4, 1.0)

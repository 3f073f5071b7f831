"""Blocks that work on the Fourier transform of an image: on its amplitude, its phase, or both.

A transform is that of the whole image, so networks made of these blocks cannot be run in tiles.
The phase of a bin whose amplitude is near 0 is noise, and jumps by 2 pi at the negative real axis;
convolutions of phases amplify both. So outputs of such networks agree between FFT libraries,
devices and precisions only roughly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .precision import full_precision

NO_ONNX = "ONNX Runtime cannot compute its Fourier transforms"
SLOPE = 0.1  # of the leaky ReLUs in all of these networks


def half_spectrum(x: Tensor) -> Tensor:
    """The bins that a real tensor's transform needs, (..., H, W // 2 + 1), from float32 on."""
    with full_precision(x):
        return torch.fft.rfft2(x.to(torch.promote_types(x.dtype, torch.float32)))


def from_polar(amplitude: Tensor, phase: Tensor) -> Tensor:
    """A complex tensor, from float32 on; convolutions may have given its parts in less."""
    dtype = torch.promote_types(amplitude.dtype, torch.float32)
    return torch.polar(amplitude.to(dtype), phase.to(dtype))


def direction(spectrum: Tensor) -> Tensor:
    """exp(i phase) of each bin of a complex tensor; 1 where it is 0, as the angle of 0 is 0."""
    return torch.where(spectrum == 0, 1, spectrum.sgn())


def pointwise_pair(dim: int, hidden: int) -> nn.Sequential:
    """Two 1x1 convolutions with a leaky ReLU between them."""
    return nn.Sequential(
        nn.Conv2d(dim, hidden, 1), nn.LeakyReLU(SLOPE, inplace=True), nn.Conv2d(hidden, dim, 1)
    )


class SpatialProcess(nn.Module):
    """Two 3x3 convolutions, each with a leaky ReLU, beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(dim, dim, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + self.block(x)


class FrequencyProcess(nn.Module):
    """1x1 convolutions of the amplitude and of the phase, beside the identity."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fpre = nn.Conv2d(dim, dim, 1)
        self.process1 = pointwise_pair(dim, dim)  # of the amplitude
        self.process2 = pointwise_pair(dim, dim)  # of the phase

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        spectrum = half_spectrum(self.fpre(x))  # (B, C, H, W // 2 + 1)
        processed = from_polar(self.process1(spectrum.abs()), self.process2(spectrum.angle()))
        return torch.fft.irfft2(processed, s=x.shape[-2:]) + x


class FourierProcess(nn.Module):
    """A frequency and, if wanted, a spatial branch, fused beside the identity.

    Args:
        dim: Channels.
        spatial: Whether there is the spatial branch.
    """

    def __init__(self, dim: int, spatial: bool = True) -> None:
        super().__init__()
        self.spatial_process = SpatialProcess(dim) if spatial else None
        self.frequency_process = FrequencyProcess(dim)
        self.cat = nn.Conv2d(2 * dim if spatial else dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        features = self.frequency_process(x)
        if self.spatial_process is not None:
            features = torch.cat((self.spatial_process(x), features), 1)
        return self.cat(features) + x

"""Gaussian blur of any width, by the Fourier transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .precision import full_precision


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Convolution with a Gaussian, the image continued by its mirror image.

    Takes no longer for a wide Gaussian than for a narrow one.

    Args:
        x: (B, C, H, W).
        sigma: Standard deviation in pixels, from about 1.

    Returns:
        (B, C, H, W), within the range of x up to rounding, and not below its minimum.
    """
    with full_precision(x):
        low = x.float().amin((2, 3), keepdim=True)
        blurred = _along_rows(_along_rows(x.float(), sigma).mT, sigma).mT
        return torch.maximum(blurred, low)


def _along_rows(x: Tensor, sigma: float) -> Tensor:
    """The blur along the last axis: the Gaussian's transform is exp(-2 (pi sigma f)^2)."""
    mirrored = torch.cat((x, x.flip(-1)), -1)
    spectrum = torch.fft.rfft(mirrored)
    frequency = torch.arange(spectrum.shape[-1], device=x.device) / mirrored.shape[-1]
    spectrum = spectrum * torch.exp(-2 * (math.pi * sigma * frequency) ** 2)
    return torch.fft.irfft(spectrum, n=mirrored.shape[-1])[..., : x.shape[-1]]

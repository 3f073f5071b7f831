"""SSIM: Wang et al., "Image quality assessment: from error visibility to structural similarity",
IEEE TIP 2004, eq. 13.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from enhancement.errors import UserError


def ssim_terms(
    a: Tensor, b: Tensor, window: Tensor, peak: float = 1.0, unbiased: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Local luminance (eq. 6), and contrast and structure in one (eq. 9 and 10).

    Args:
        a, b: (B, C, H, W) in [0, peak].
        window: 1-D, sums to 1; applied along rows and columns.
        peak: The largest value.
        unbiased: Factor on variances and covariance: n / (n - 1) for sample statistics.

    Returns:
        Two (B, C, H - n + 1, W - n + 1) for n taps.

    Raises:
        UserError: The images are smaller than the window.
    """
    size, channels = len(window), a.shape[1]
    if min(a.shape[-2:]) < size:
        raise UserError(
            f"SSIM needs images of at least {size}x{size}, but got {a.shape[-1]}x{a.shape[-2]}"
        )
    row = window.to(a).view(1, 1, 1, size).expand(5 * channels, 1, 1, size)
    stacked = torch.cat((a, b, a * a, b * b, a * b), 1)
    blurred = F.conv2d(stacked, row, groups=5 * channels)
    blurred = F.conv2d(blurred, row.transpose(2, 3), groups=5 * channels)
    mu_a, mu_b, aa, bb, ab = blurred.chunk(5, 1)
    variances = unbiased * (aa - mu_a**2 + bb - mu_b**2)
    covariance = unbiased * (ab - mu_a * mu_b)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variances + c2)


def ssim_map(
    a: Tensor, b: Tensor, window: Tensor, peak: float = 1.0, unbiased: float = 1.0
) -> Tensor:
    """Local SSIM (eq. 13) over the valid region; arguments, shape and errors of `ssim_terms`."""
    luminance, structure = ssim_terms(a, b, window, peak, unbiased)
    return luminance * structure


@lru_cache(maxsize=4)
def gaussian_window(size: int = 11, sigma: float = 1.5) -> Tensor:
    """1-D, float64, sums to 1; on the CPU, since it is kept, wherever it was first asked for."""
    x = torch.arange(size, dtype=torch.float64, device="cpu") - size // 2
    window = torch.exp(-(x**2) / (2 * sigma**2))
    return window / window.sum()


def ssim_gaussian(a: Tensor, b: Tensor) -> float:
    """BasicSR's SSIM (11x11 Gaussian, sigma 1.5) of two float64 images in [0, 255]."""
    return ssim_map(a, b, gaussian_window(), peak=255).mean().item()


def ssim_uniform(a: Tensor, b: Tensor) -> float:
    """scikit-image's default SSIM (7x7 uniform, sample covariance) of two images in [0, 255]."""
    window = torch.full((7,), 1 / 7, dtype=torch.float64)
    return ssim_map(a, b, window, peak=255, unbiased=49 / 48).mean().item()

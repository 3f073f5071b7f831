"""Named scoring protocols. A score is meaningless without its protocol's name.

| protocol | PSNR | SSIM |
| --- | --- | --- |
| `basicsr` | 8-bit rounded RGB | 11x11 Gaussian, sigma 1.5, valid region, channel mean |
| `retinexformer` | float before rounding, 100 dB if equal | the same, on the rounded image |
| `capsule` | 8-bit rounded RGB | scikit-image's default: 7x7 uniform; and LPIPS (AlexNet) |

`+gtmean` variants first scale the output's brightness to the ground truth's: they are protocols of
their own, because they flatter.

Everything is computed in float64 on the device that holds the images. SSIM: Wang et al., "Image
quality assessment: from error visibility to structural similarity", IEEE TIP 2004, eq. 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from enhancement.data.images import to_8_bit
from enhancement.errors import UserError, hint

RGB_GREY = (0.299, 0.587, 0.114)


def psnr(a: Tensor, b: Tensor, if_equal: float = math.inf) -> float:
    """10 log10(255^2 / MSE) of two float64 images in [0, 255]; `if_equal` where MSE is 0."""
    mse = (a - b).square().mean().item()
    return 10 * math.log10(255**2 / mse) if mse else if_equal


def ssim_map(
    a: Tensor, b: Tensor, window: Tensor, peak: float = 1.0, unbiased: float = 1.0
) -> Tensor:
    """Local SSIM (eq. 13) over the valid region.

    Args:
        a, b: (B, C, H, W) in [0, peak].
        window: 1-D, sums to 1; used along rows and columns.
        peak: The largest value.
        unbiased: Factor on variances and covariance: n / (n - 1) for sample statistics.

    Returns:
        (B, C, H - n + 1, W - n + 1) for n taps.

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
    numerator = (2 * mu_a * mu_b + c1) * (2 * covariance + c2)
    return numerator / ((mu_a**2 + mu_b**2 + c1) * (variances + c2))


@lru_cache(maxsize=4)
def gaussian_window(size: int = 11, sigma: float = 1.5) -> Tensor:
    """1-D, float64, sums to 1."""
    x = torch.arange(size, dtype=torch.float64) - size // 2
    window = torch.exp(-(x**2) / (2 * sigma**2))
    return window / window.sum()


def ssim_gaussian(a: Tensor, b: Tensor) -> float:
    """BasicSR's SSIM of two float64 images in [0, 255]."""
    return ssim_map(a, b, gaussian_window(), peak=255).mean().item()


def ssim_uniform(a: Tensor, b: Tensor) -> float:
    """scikit-image's default SSIM (7x7 uniform, sample covariance) of two images in [0, 255]."""
    window = torch.full((7,), 1 / 7, dtype=torch.float64)
    return ssim_map(a, b, window, peak=255, unbiased=49 / 48).mean().item()


def _grey_mean(x: Tensor, weights: tuple[float, ...]) -> Tensor:
    return (x.double() * x.new_tensor(weights).double().view(1, 3, 1, 1)).sum(1).mean()


def gt_mean_grey(output: Tensor, gt: Tensor) -> Tensor:
    """Scale the output so that its mean grey (BT.601) equals the ground truth's, then clip."""
    ratio = _grey_mean(gt, RGB_GREY) / _grey_mean(output, RGB_GREY).clamp_min(1e-12)
    return (output.double() * ratio).clamp(0, 1)


def gt_mean_retinexformer(output: Tensor, gt: Tensor) -> Tensor:
    """Retinexformer's own scaling, exactly: the BGR grey weights meet an RGB image.

    Its test script converts an RGB array with OpenCV's BGR-to-grey, so red is weighted 0.114 and
    blue 0.299. Kept, because published `GT_mean` scores were made so; HVI-CIDNet's 8-bit true grey
    gives other numbers.
    """
    swapped = RGB_GREY[::-1]
    ratio = _grey_mean(gt, swapped) / _grey_mean(output, swapped).clamp_min(1e-12)
    return (output.double() * ratio).clamp(0, 1)


@dataclass(frozen=True)
class Protocol:
    """A named way of scoring.

    Attributes:
        name: As printed, logged and saved with every score.
        psnr, ssim: Of (output, gt), both (1, 3, H, W) in [0, 1].
        gt_mean: Brightness scaling before scoring, for the `+gtmean` variants.
        lpips: Whether test tables carry LPIPS (AlexNet).
    """

    name: str
    psnr: Callable[[Tensor, Tensor], float]
    ssim: Callable[[Tensor, Tensor], float]
    gt_mean: Callable[[Tensor, Tensor], Tensor] | None = None
    lpips: bool = False

    def adjust(self, output: Tensor, gt: Tensor) -> Tensor:
        """The output as it is scored: clipped to [0, 1], scaled in `+gtmean` protocols."""
        output = output.clamp(0, 1)
        return self.gt_mean(output, gt) if self.gt_mean else output

    def score(self, output: Tensor, gt: Tensor) -> dict[str, float]:
        """PSNR (dB) and SSIM of one image.

        Args:
            output, gt: (1, 3, H, W) in [0, 1], on one device.

        Raises:
            UserError: The two differ in shape, or are smaller than SSIM's window.
        """
        if output.shape != gt.shape:
            raise UserError(
                f"expected output and ground truth of one shape, "
                f"but got {tuple(output.shape)} and {tuple(gt.shape)}"
            )
        output = self.adjust(output, gt)
        return {"psnr": self.psnr(output, gt), "ssim": self.ssim(output, gt)}


def _rounded(metric: Callable[[Tensor, Tensor], float]) -> Callable[[Tensor, Tensor], float]:
    return lambda output, gt: metric(to_8_bit(output), to_8_bit(gt))


def _float_psnr(output: Tensor, gt: Tensor) -> float:
    return psnr(output.double() * 255, gt.double() * 255, if_equal=100.0)


_PLAIN = (
    Protocol("basicsr", _rounded(psnr), _rounded(ssim_gaussian)),
    Protocol("retinexformer", _float_psnr, _rounded(ssim_gaussian)),
    Protocol("capsule", _rounded(psnr), _rounded(ssim_uniform), lpips=True),
)
GT_MEAN = "+gtmean"
PROTOCOLS = {p.name: p for p in _PLAIN} | {
    p.name + GT_MEAN: Protocol(
        p.name + GT_MEAN,
        p.psnr,
        p.ssim,
        gt_mean_retinexformer if p.name == "retinexformer" else gt_mean_grey,
        p.lpips,
    )
    for p in _PLAIN
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        UserError: No such protocol; lists them.
    """
    if name not in PROTOCOLS:
        raise UserError(f"unknown protocol '{name}'; {hint(name, PROTOCOLS)}")
    return PROTOCOLS[name]


class Lpips:
    """LPIPS (Zhang et al., CVPR 2018) with AlexNet, by the `lpips` package, where it can be had.

    Attributes:
        unavailable: Why there is no score, in words; None where there is one.
    """

    def __init__(self, device: torch.device):
        self.unavailable: str | None = None
        self._network: Any = None
        try:
            import lpips

            self._network = lpips.LPIPS(net="alex", verbose=False).to(device).eval()
        except ImportError:
            self.unavailable = "not computed: pip install lpips"
        except OSError:  # urllib's errors among them
            self.unavailable = "not computed: AlexNet's weights could not be downloaded"

    @torch.inference_mode()
    def __call__(self, output: Tensor, gt: Tensor) -> float | None:
        """Of two (1, 3, H, W) in [0, 1]; None where it is unavailable."""
        if self._network is None:
            return None
        return self._network(output.float() * 2 - 1, gt.float() * 2 - 1).item()


def _register(protocol: str, metric: str) -> None:
    """Offer one metric to any BasicSR project, under BasicSR's own calling convention."""

    def calculate(img: Any, img2: Any, crop_border: int = 0, **_: Any) -> float:
        """Of two (H, W, 3) arrays in [0, 255]."""
        a, b = (torch.as_tensor(x).permute(2, 0, 1)[None].double() / 255 for x in (img, img2))
        if crop_border:
            a, b = (x[..., crop_border:-crop_border, crop_border:-crop_border] for x in (a, b))
        return getattr(PROTOCOLS[protocol], metric)(a, b)

    calculate.__name__ = f"calculate_{metric}_{protocol}"
    METRIC_REGISTRY.register(calculate)


for _protocol in ("retinexformer", "capsule"):
    for _metric in ("psnr", "ssim"):
        _register(_protocol, _metric)

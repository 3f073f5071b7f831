"""LIME: Low-Light Image Enhancement via Illumination Map Estimation (Guo, Li and Ling, TIP 2017).

Paper: https://doi.org/10.1109/TIP.2016.2639450
Differs in: a fixed number of iterations, where the paper stops at a tolerance; no denoising (BM3D)
afterwards.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from .classic import Classic, require
from .parts.fourier_blocks import NO_ONNX
from .parts.gaussian import gaussian_blur
from .parts.precision import full_precision

SIGMA = 2.0  # pixels, of the Gaussian in the third weighting
FLAT = 1e-3  # added to gradients that are divided by
DARKEST = 1e-3  # illumination


def gradient(x: Tensor) -> Tensor:
    """Forward differences, the image continued periodically: (B, 1, H, W) to (B, 2, H, W)."""
    return torch.cat((x.roll(-1, 2) - x, x.roll(-1, 3) - x), 1)


def adjoint_gradient(x: Tensor) -> Tensor:
    """The transpose of `gradient`: (B, 2, H, W) to (B, 1, H, W)."""
    down, right = x.split(1, 1)
    return down.roll(1, 2) - down + right.roll(1, 3) - right


@ARCH_REGISTRY.register()
class LIME(Classic):
    """The image divided by its illumination, a smooth map with the image's edges.

    The map T minimises |T0 - T|^2 + alpha |W grad T|_1 (eq. 8), where T0 is the brightest colour of
    each pixel; the exact solver (algorithm 1) finds it by augmented Lagrangian multipliers. Every
    iteration is a Fourier transform of the whole map, so that it cannot be run in tiles.

    Args:
        alpha: Weight of the smoothness.
        rho: Factor on the penalty mu after each iteration, above 1.
        gamma: Exponent of the map; 1 takes all shade away.
        strategy: Weights W: 1 for none, 2 by the gradient, 3 by the gradient's local mean.
        iterations: Of the solver.

    Raises:
        ValueError: An argument is out of range.
    """

    whole_image = True
    no_onnx = NO_ONNX

    def __init__(
        self,
        alpha: float = 0.15,
        rho: float = 1.1,
        gamma: float = 0.8,
        strategy: Literal[1, 2, 3] = 3,
        iterations: int = 50,
    ) -> None:
        super().__init__()
        require(alpha >= 0, "alpha", "0 or more", alpha)
        require(rho > 1, "rho", "above 1", rho)
        require(0 < gamma <= 1, "gamma", "in (0, 1]", gamma)
        require(strategy in (1, 2, 3), "strategy", "1, 2 or 3", strategy)
        require(1 <= iterations <= 1000, "iterations", "in 1 to 1000", iterations)
        self.alpha, self.rho, self.gamma = alpha, rho, gamma
        self.strategy, self.iterations = strategy, iterations

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape and range."""
        with full_precision(x):
            x = x.float().clamp(0, 1)
            light = self.refine(x.amax(1, keepdim=True)).clamp(DARKEST, 1)
            return (x / light.pow(self.gamma)).clamp(0, 1)

    def weights(self, initial: Tensor) -> Tensor:
        """W for an initial map (B, 1, H, W): (B, 2, H, W), small at edges (eq. 20 to 22)."""
        change = gradient(initial)
        if self.strategy == 1:
            return torch.ones_like(change)
        if self.strategy == 3:
            change = gaussian_blur(change, SIGMA)
        return 1 / (change.abs() + FLAT)

    def refine(self, initial: Tensor) -> Tensor:
        """The illumination map T for an initial one, (B, 1, H, W)."""
        threshold = self.alpha * self.weights(initial)
        spectrum = _spectrum_of_differences(initial)
        split = dual = torch.zeros_like(threshold)  # G of the paper, and Z / mu
        refined, mu = initial, 1.0
        for _ in range(self.iterations):
            right = 2 * initial + mu * adjoint_gradient(split - dual)
            refined = torch.fft.irfft2(
                torch.fft.rfft2(right) / (2 + mu * spectrum), s=initial.shape[-2:]
            )
            change = gradient(refined) + dual
            split = change.sign() * (change.abs() - threshold / mu).clamp_min(0)
            dual, mu = (change - split) / self.rho, mu * self.rho
        return refined


def _spectrum_of_differences(x: Tensor) -> Tensor:
    """The eigenvalues of the gradient and its transpose in a row, (H, W // 2 + 1)."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device) * (2 * math.pi) / height
    columns = torch.arange(width // 2 + 1, device=x.device) * (2 * math.pi) / width
    return 4 - 2 * torch.cos(rows)[:, None] - 2 * torch.cos(columns)

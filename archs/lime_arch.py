"""LIME: Low-Light Image Enhancement via Illumination Map Estimation (Guo, Li and Ling, TIP 2017).

Paper: https://doi.org/10.1109/TIP.2016.2639450
Differs in: the linear system of the sped-up solver, which is the authors' choice and the only one
here, is solved by preconditioned conjugate gradients; no denoising (BM3D) afterwards.
"""

from __future__ import annotations

from typing import Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from enhancement.arguments import require, require_one_of

from .classic import Classic
from .parts.gaussian import gaussian_blur
from .parts.precision import full_precision
from .parts.weighted_smoothing import differences, solve

SIGMA = 2.0  # pixels, of the Gaussian in the third weighting
FLAT = 1e-3  # added to gradients that are divided by
DARKEST = 1e-3  # illumination


@ARCH_REGISTRY.register()
class LIME(Classic):
    """The image divided by its illumination, a smooth map with the image's edges.

    The map T minimises |T0 - T|^2 + alpha sum W (grad T)^2 / (|grad T0| + eps), where T0 is the
    brightest colour of each pixel and W is small at edges. What is flat is smoothed over any
    distance, so that it cannot be run in tiles.

    Args:
        alpha: Weight of the smoothness.
        gamma: Exponent of the map; 1 takes all shade away.
        strategy: Weights W: 1 for none, 2 by the gradient, 3 by the gradient's local mean.
        iterations: Of the solver.

    Raises:
        ValueError: An argument is out of range.
    """

    whole_image = True
    untraceable = "its solver has as many levels as the image is large"

    def __init__(
        self,
        alpha: float = 0.15,
        gamma: float = 0.8,
        strategy: Literal[1, 2, 3] = 3,
        iterations: int = 40,
    ) -> None:
        super().__init__()
        require(alpha >= 0, "alpha", "0 or more", alpha)
        require(0 < gamma <= 1, "gamma", "in (0, 1]", gamma)
        require_one_of((1, 2, 3), strategy=strategy)
        require(1 <= iterations <= 1000, "iterations", "in 1 to 1000", iterations)
        self.alpha, self.gamma = alpha, gamma
        self.strategy, self.iterations = strategy, iterations

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape and range."""
        kind = x.dtype
        with full_precision(x):
            x = x.float().clamp(0, 1)
            light = self.refine(x.amax(1, keepdim=True)).clamp(DARKEST, 1)
            return (x / light.pow(self.gamma)).clamp(0, 1).to(kind)

    def weights(self, initial: Tensor) -> Tensor:
        """W for an initial map (B, 1, H, W): (B, 2, H, W)."""
        change = differences(initial)
        if self.strategy == 1:
            return torch.ones_like(change)
        if self.strategy == 3:
            change = gaussian_blur(change, SIGMA)
        return 1 / (change.abs() + FLAT)

    def refine(self, initial: Tensor) -> Tensor:
        """The illumination map T for an initial one, (B, 1, H, W)."""
        weights = self.weights(initial) / (differences(initial).abs() + FLAT)
        mass = torch.ones_like(initial)
        return solve(mass, self.alpha * weights, initial, self.iterations).to(initial)

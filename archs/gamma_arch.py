"""Gamma correction: a power law, after Poynton, The Rehabilitation of Gamma (SPIE 1998).

Paper: https://doi.org/10.1117/12.320126
Differs in: the exponent is the one applied, so that what brightens lies below 1.
"""

from __future__ import annotations

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from enhancement.arguments import require

from .classic import Classic

DISPLAY = 2.2  # the exponent of a common display, undone unless another is given


@ARCH_REGISTRY.register()
class Gamma(Classic):
    """The same curve for every pixel and colour: y = x^gamma.

    Args:
        gamma: The exponent; below 1 brightens, above 1 darkens.

    Raises:
        ValueError: It is not above 0.
    """

    def __init__(self, gamma: float = 1 / DISPLAY) -> None:
        super().__init__()
        require(gamma > 0, "gamma", "above 0", gamma)
        self.gamma = gamma

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape and range."""
        return x.clamp(0, 1).pow(self.gamma)

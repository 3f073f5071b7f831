"""CAP: Fast Single Image Haze Removal Using Color Attenuation Prior (Zhu et al., TIP 2015).

Paper: https://doi.org/10.1109/TIP.2015.2446191
Published code: github.com/JiamingMai/Color-Attenuation-Prior-Dehazing, for MATLAB.
Differs in: the linear model's random error is left out, as it is in the published code; the guided
filter has DCP's radius of 20 pixels, where that code has windows of 60; the airlight is the mean of
equally bright pixels.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from enhancement.arguments import require

from .classic import HazePrior, local_minimum

THETA = (0.121779, 0.959710, -0.780245)  # learnt by the authors: bias, value, saturation


@ARCH_REGISTRY.register()
class CAP(HazePrior):
    """Haze is bright and pale: depth is linear in the value and the saturation of a pixel.

    Args:
        patch: Side of the window whose least depth counts, in pixels; odd.
        beta: Scattering coefficient; more takes more haze away.
        t_min, t_max: Bounds of the transmission, in (0, 1].
        radius: Of the guided filter's windows, in pixels; 0 does without.
        eps: Of the guided filter.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        patch: int = 15,
        beta: float = 1.0,
        t_min: float = 0.1,
        t_max: float = 0.9,
        radius: int = 20,
        eps: float = 1e-3,
    ) -> None:
        super().__init__(patch, radius, eps, t_min, t_max)
        require(beta > 0, "beta", "above 0", beta)
        expected = "two numbers in (0, 1], the first not above the second"
        require(0 < t_min <= t_max <= 1, "t_min, t_max", expected, [t_min, t_max])
        self.beta = beta

    def haze(self, image: Tensor) -> Tensor:
        """The least depth in the window around each pixel, d = theta (1, v, s)."""
        value = image.amax(1, keepdim=True)
        spread = value - image.amin(1, keepdim=True)
        saturation = spread / torch.where(value > 0, value, torch.ones_like(value))
        depth = THETA[0] + THETA[1] * value + THETA[2] * saturation
        return local_minimum(depth, self.patch)

    def transmission(self, image: Tensor, light: Tensor) -> Tensor:
        """t = exp(-beta d), d refined."""
        return torch.exp(-self.beta * self.refine(image, self.haze(image)))

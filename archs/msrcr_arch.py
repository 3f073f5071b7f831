"""MSRCR: a multiscale Retinex with colour restoration (Jobson, Rahman and Woodell, TIP 1997).

Paper: https://doi.org/10.1109/83.597272; with Petro, Sbert and Morel, Multiscale Retinex
(IPOL 2014, https://doi.org/10.5201/ipol.2014.107).
Differs in: the second paper's colour balance takes the place of the first one's gain and offset at
the end, whose values fit no fixed range.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from enhancement.arguments import require

from .classic import Classic
from .parts.fourier_blocks import NO_ONNX
from .parts.gaussian import gaussian_blur

LEVELS = 255.0  # intensities I are 1 + 255 x, so that every logarithm is finite


def balanced(x: Tensor, clipped: float) -> Tensor:
    """Each colour stretched linearly to [0, 1], with a share of its pixels cut off on either side.

    A colour without any range is left as it is. (Petro et al.)

    Args:
        x: (B, 3, H, W), of any range.
        clipped: The share of the pixels, in [0, 0.5).
    """
    values = x.flatten(2).sort(-1).values
    count = torch.as_tensor(values.shape[-1], device=x.device)
    lower = (count * clipped).long().reshape(1)
    low, high = values.index_select(-1, lower), values.index_select(-1, count - 1 - lower)
    low, spread = low[..., None], (high - low)[..., None]
    stretched = (x - low) / torch.where(spread > 0, spread, torch.ones_like(spread))
    return torch.where(spread > 0, stretched, x).clamp(0, 1)


@ARCH_REGISTRY.register()
class MSRCR(Classic):
    """Ratios to the surroundings at several scales, weighted by each pixel's own colour.

    The surroundings reach far, so that it cannot be run in tiles.

    Args:
        sigmas: Standard deviations of the surroundings, in pixels.
        alpha: How non-linear the restoration of the colours is.
        clipped: The share of the pixels cut off at each end of each colour, in [0, 0.5).

    Raises:
        ValueError: An argument is out of range.
    """

    whole_image = True
    no_onnx = NO_ONNX

    def __init__(
        self,
        sigmas: tuple[float, ...] = (15.0, 80.0, 250.0),
        alpha: float = 125.0,
        clipped: float = 0.01,
    ) -> None:
        super().__init__()
        positive = all(sigma > 0 for sigma in sigmas)
        require(bool(sigmas) and positive, "sigmas", "some numbers above 0", list(sigmas))
        require(alpha > 0, "alpha", "above 0", alpha)
        require(0 <= clipped < 0.5, "clipped", "in [0, 0.5)", clipped)
        self.sigmas, self.alpha, self.clipped = tuple(sigmas), alpha, clipped

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape and range."""
        light = 1 + x.clamp(0, 1) * LEVELS
        blurred = [gaussian_blur(light, sigma).log() for sigma in self.sigmas]
        retinex = light.log() - torch.stack(blurred).mean(0)  # of equal weights
        # of C = beta (log(alpha I) - log(sum I)), beta is a gain that the balance undoes
        colour = (self.alpha * light / light.sum(1, keepdim=True)).log()
        return balanced(retinex * colour, self.clipped)

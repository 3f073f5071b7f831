"""What the classics share: enhancers without parameters, and the frame of the two haze priors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from enhancement.arguments import require

from .contract import Network
from .parts.guided_filter import guided_filter
from .parts.tile_context import REACH, global_statistics

BRIGHTEST = 1000  # one of so many pixels may be the airlight
DARKEST_AIRLIGHT = 1e-3
WIDEST = 1001  # pixels; what a window costs grows with it


def require_window(name: str, side: int) -> None:
    """Refuse what is not the side of a window around a pixel.

    Raises:
        ValueError: It is even, below 1 or above `WIDEST`.
    """
    fits = 0 < side <= WIDEST and side % 2 == 1
    require(fits, name, f"an odd number in 1 to {WIDEST}", side)


class Classic(Network):
    """An enhancer without parameters: there is nothing to train, and no file of weights."""

    family = "classics"


def local_minimum(x: Tensor, side: int) -> Tensor:
    """The least value in the square window around each pixel, as far as it lies in the image.

    Args:
        x: (B, C, H, W).
        side: Of the window; odd.
    """
    x = F.max_pool2d(-x, (side, 1), 1, (side // 2, 0))
    return -F.max_pool2d(x, (1, side), 1, (0, side // 2))


def airlight(image: Tensor, haze: Tensor) -> Tensor:
    """The colour of the brightest of the pixels with the densest haze (DCP, section 4.4).

    These are the 0.1 % where `haze` is largest, and all that equal the last of them; the mean is
    taken over several of equal brightness. So the order of the pixels does not matter.

    Args:
        image: (B, 3, H, W) in [0, 1].
        haze: How dense the haze is, on any scale, (B, 1, H, W).

    Returns:
        (B, 3, 1, 1), above 0.
    """
    haze, light = haze.flatten(2), image.sum(1, keepdim=True).flatten(2)  # (B, 1, H W)
    count = 1 + haze.shape[-1] // BRIGHTEST
    densest = haze >= haze.topk(count, -1).values.amin(-1, keepdim=True)
    light = torch.where(densest, light, -torch.ones_like(light))
    chosen = (light == light.amax(-1, keepdim=True)).to(image)
    colour = (image.flatten(2) * chosen).sum(-1, keepdim=True) / chosen.sum(-1, keepdim=True)
    return colour[..., None].clamp_min(DARKEST_AIRLIGHT)


class HazePrior(Classic):
    """Transmission by a prior, refined by a guided filter, and the scattering model solved for J.

    I = J t + A (1 - t), with t the transmission and A the airlight: in tiles, that of the whole
    image.

    Args:
        patch: Side of the window whose least value counts, in pixels; odd.
        radius: Of the guided filter's windows, in pixels; 0 leaves the map as it is.
        eps: Of the guided filter.
        t_min, t_max: Bounds of the transmission.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, patch: int, radius: int, eps: float, t_min: float, t_max: float) -> None:
        super().__init__()
        require_window("patch", patch)
        require(0 <= radius <= WIDEST, "radius", f"in 0 to {WIDEST}", radius)
        require(eps > 0, "eps", "above 0", eps)
        self.patch, self.radius, self.eps = patch, radius, eps
        self.t_min, self.t_max = t_min, t_max
        self.whole_image = 2 * radius + patch // 2 > REACH

    def haze(self, image: Tensor) -> Tensor:
        """How dense the haze is at each pixel, (B, 1, H, W)."""
        raise NotImplementedError

    def transmission(self, image: Tensor, light: Tensor) -> Tensor:
        """Refined t, not yet clamped, (B, 1, H, W), for an image and its airlight (B, 3, 1, 1)."""
        raise NotImplementedError

    def refine(self, image: Tensor, x: Tensor) -> Tensor:
        """A map (B, 1, H, W) made to follow the image's edges."""
        return guided_filter(image, x, self.radius, self.eps) if self.radius else x

    def survey(self, image: Tensor) -> bool:
        """Find the airlight, which is all that a tile has to be told."""
        global_statistics(lambda: airlight(image, self.haze(image)))
        return True

    def forward(self, x: Tensor) -> Tensor:
        """Clear an image: (B, 3, H, W) in [0, 1] to the same shape and range."""
        light = global_statistics(lambda: airlight(x, self.haze(x)))
        t = self.transmission(x, light).clamp(self.t_min, self.t_max)
        return ((x - light) / t + light).clamp(0, 1)

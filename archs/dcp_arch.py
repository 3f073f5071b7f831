"""DCP: Single Image Haze Removal Using Dark Channel Prior (He et al., CVPR 2009, TPAMI 2011).

Paper: https://doi.org/10.1109/TPAMI.2010.168
Differs in: the transmission is refined by the guided filter (https://doi.org/10.1109/TPAMI.2012.213)
with the radius and eps that its authors take for haze, where the first paper has soft matting; the
airlight is the mean of equally bright pixels.
"""

from __future__ import annotations

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from enhancement.arguments import require

from .classic import HazePrior, local_minimum


@ARCH_REGISTRY.register()
class DCP(HazePrior):
    """Haze-free patches have a pixel that is dark in some colour; what is not dark there is haze.

    Args:
        patch: Side of the dark channel's window, in pixels; odd.
        omega: The share of the haze that is removed, in [0, 1] (eq. 12).
        t0: Lower bound of the transmission, in (0, 1] (eq. 22).
        radius: Of the guided filter's windows, in pixels; 0 does without.
        eps: Of the guided filter.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        patch: int = 15,
        omega: float = 0.95,
        t0: float = 0.1,
        radius: int = 20,
        eps: float = 1e-3,
    ) -> None:
        super().__init__(patch, radius, eps, t_min=t0, t_max=1.0)
        require(0 <= omega <= 1, "omega", "in [0, 1]", omega)
        require(0 < t0 <= 1, "t0", "in (0, 1]", t0)
        self.omega = omega

    def haze(self, image: Tensor) -> Tensor:
        """The dark channel: the least colour in the window around each pixel (eq. 5)."""
        return local_minimum(image.amin(1, keepdim=True), self.patch)

    def transmission(self, image: Tensor, light: Tensor) -> Tensor:
        """t = 1 - omega dark(I / A) (eq. 12), refined."""
        return self.refine(image, 1 - self.omega * self.haze(image / light))

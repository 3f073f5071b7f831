"""PairLIE's losses: two exposures of one scene share their reflectance, and no ground truth is
needed. The second exposure comes as the pair's `gt`. (Fu et al., CVPR 2023, section 3)"""

from __future__ import annotations

from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from .losses import NamedLoss

DARKEST = 1e-4  # the least that is divided by


@LOSS_REGISTRY.register()
class ReflectanceConsistencyLoss(NamedLoss):
    """Mean of (R1 - R2)^2: both exposures have one reflectance."""

    of_pairs = True

    def forward(self, reflectance: Tensor, second_reflectance: Tensor) -> Tensor:
        """Of the reflectances of both exposures, (B, 3, H, W)."""
        return self.loss_weight * F.mse_loss(reflectance, second_reflectance)


@LOSS_REGISTRY.register()
class RetinexReconstructionLoss(NamedLoss):
    """Mean of (L R - X)^2 plus mean of (R - X / L)^2, L without gradient in the latter."""

    def forward(self, illumination: Tensor, reflectance: Tensor, projection: Tensor) -> Tensor:
        """Of L (B, 1 or 3, H, W), and of R and X, (B, 3, H, W), in [0, 1]."""
        whole = F.mse_loss(illumination * reflectance, projection)
        divided = projection / illumination.detach().clamp_min(DARKEST)
        return self.loss_weight * (whole + F.mse_loss(reflectance, divided))


@LOSS_REGISTRY.register()
class BrightestChannelLoss(NamedLoss):
    """Mean of (L - max over colours of I)^2: the first guess of the illumination."""

    def forward(self, illumination: Tensor, lq: Tensor) -> Tensor:
        """Of L (B, 1, H, W) and the input I (B, 3, H, W), in [0, 1]."""
        return self.loss_weight * F.mse_loss(illumination, lq.amax(1, keepdim=True))


@LOSS_REGISTRY.register()
class IlluminationVariationLoss(NamedLoss):
    """Mean |dh L| plus mean |dw L|, differences of pixels two apart, as in the code."""

    def forward(self, illumination: Tensor) -> Tensor:
        """Of L (B, C, H, W), of at least 3x3 pixels."""
        down = illumination[..., 2:, :] - illumination[..., :-2, :]
        right = illumination[..., 2:] - illumination[..., :-2]
        return self.loss_weight * (down.abs().mean() + right.abs().mean())


@LOSS_REGISTRY.register()
class ProjectionLoss(NamedLoss):
    """Mean of (I - X)^2: the projection stays near the input."""

    def forward(self, lq: Tensor, projection: Tensor) -> Tensor:
        """Of the input I and its projection X, (B, 3, H, W) in [0, 1]."""
        return self.loss_weight * F.mse_loss(projection, lq)

"""Losses that compare no ground truth: Zero-DCE's, SCI's and RUAS's."""

from __future__ import annotations

import torch
from basicsr.utils.color_util import rgb2ycbcr_pt
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor
from torch.nn import functional as F

from enhancement.arguments import require, require_at_least
from enhancement.errors import UserError

from .losses import NamedLoss

# of the weights exp(-FALLOFF |difference of colours|^2): SCI's 1 / (2 sigma^2) with sigma 10, and
# RUAS's code, in which sigma^2 / 2 with sigma 0.1 comes to the same
FALLOFF = 0.005
REACH = 2  # pixels; of a 5x5 window


def check_larger(output: Tensor, side: int, name: str) -> None:
    """Raises UserError where an image (B, C, H, W) is smaller than a square of so many pixels."""
    if min(output.shape[-2:]) < side:
        raise UserError(
            f"expected images of at least {side}x{side}, the `{name}`, but got "
            f"{output.shape[-1]}x{output.shape[-2]}; set datasets.train.gt_size to that or more"
        )


def variation(x: Tensor) -> Tensor:
    """2 (mean dh^2 + mean dw^2) of neighbouring pixels of (B, C, H, W)."""
    return 2 * (x.diff(dim=-2).square().mean() + x.diff(dim=-1).square().mean())


def guided_variation(guide: Tensor, x: Tensor) -> Tensor:
    """The sum over the 24 offsets q - p in a 5x5 window of the mean of w_pq |x_p - x_q|.

    Args:
        guide: RGB images (B, 3, H, W) in [0, 1]; w_pq = exp(-FALLOFF |g_p - g_q|^2) in YCbCr.
        x: (B, C, H, W), of at least 3x3 pixels.
    """
    height, width = x.shape[-2:]
    guide, total = rgb2ycbcr_pt(guide), x.new_zeros(())
    for down in range(REACH + 1):
        for right in range(-REACH if down else 1, REACH + 1):  # the other half is symmetric
            left, more = max(0, -right), max(0, right)

            def step(y: Tensor, d: int = down, a: int = left, b: int = more) -> Tensor:
                return y[..., d:, b : width - a] - y[..., : height - d, a : width - b]

            weight = torch.exp(-FALLOFF * step(guide).square().sum(1, keepdim=True))
            total = total + 2 * (weight * step(x).abs()).mean()
    return total


@LOSS_REGISTRY.register()
class ExposureControlLoss(NamedLoss):
    """Mean over patches of (Y - E)^2, Y the patch's mean grey (Zero-DCE, eq. 5, squared as in its
    code).

    Args:
        loss_weight: Factor on the loss.
        level: E, the well-exposed grey level, in [0, 1].
        patch: Side of a patch in pixels.

    Raises:
        ValueError: `level` is not in [0, 1], or `patch` below 1.
    """

    def __init__(self, loss_weight: float = 1.0, level: float = 0.6, patch: int = 16) -> None:
        super().__init__(loss_weight)
        require(0 <= level <= 1, "level", "in [0, 1]", level)
        require_at_least(1, patch=patch)
        self.level, self.patch = level, patch

    def forward(self, output: Tensor) -> Tensor:
        """Of (B, 3, H, W) in [0, 1], not smaller than a patch."""
        check_larger(output, self.patch, "patch")
        grey = F.avg_pool2d(output.mean(1, keepdim=True), self.patch)
        return self.loss_weight * (grey - self.level).square().mean()


@LOSS_REGISTRY.register()
class SpatialConsistencyLoss(NamedLoss):
    """Keeps the contrast of neighbouring regions (Zero-DCE, eq. 4, without the absolute values, as
    in its code): mean over regions i of the sum over their four neighbours j of
    ((Y_i - Y_j) - (I_i - I_j))^2, Y and I mean greys of output and input; zero beyond the border.

    Args:
        loss_weight: Factor on the loss.
        region: Side of a region in pixels.

    Raises:
        ValueError: `region` is below 1.
    """

    def __init__(self, loss_weight: float = 1.0, region: int = 4) -> None:
        super().__init__(loss_weight)
        require_at_least(1, region=region)
        self.region = region

    def forward(self, output: Tensor, lq: Tensor) -> Tensor:
        """Of (B, 3, H, W) in [0, 1], not smaller than a region."""
        check_larger(output, self.region, "region")
        change = F.avg_pool2d((output - lq).mean(1, keepdim=True), self.region)
        around = F.pad(change, (1, 1, 1, 1))
        rows, columns = around[..., 1:-1].diff(dim=-2), around[..., 1:-1, :].diff(dim=-1)
        squares = (rows[..., 1:, :], rows[..., :-1, :], columns[..., 1:], columns[..., :-1])
        return self.loss_weight * torch.stack([d.square().mean() for d in squares]).sum()


@LOSS_REGISTRY.register()
class ColorConstancyLoss(NamedLoss):
    """Pulls the mean colours together (Zero-DCE, eq. 6, with the fourth powers of its code):
    sqrt((r - g)^4 + (r - b)^4 + (g - b)^4), the mean over the batch."""

    def forward(self, output: Tensor) -> Tensor:
        """Of (B, 3, H, W) in [0, 1]."""
        mean = output.mean((2, 3))
        apart = (mean - mean.roll(1, 1)).square()
        return self.loss_weight * torch.linalg.vector_norm(apart, dim=1).mean()


@LOSS_REGISTRY.register()
class CurveSmoothnessLoss(NamedLoss):
    """Illumination smoothness: total variation of the curve maps (Zero-DCE, eq. 7, as in its code):
    2 (mean dh^2 + mean dw^2), summed over the maps."""

    def forward(self, maps: Tensor) -> Tensor:
        """Of the maps (B, C, H, W)."""
        return self.loss_weight * maps.shape[1] * variation(maps)


@LOSS_REGISTRY.register()
class StageFidelityLoss(NamedLoss):
    """SCI's fidelity: the sum over stages of the mean of (i_t - u_t)^2."""

    def forward(self, stage_inputs: Tensor, stage_illuminations: Tensor) -> Tensor:
        """Of each stage's input u and illumination i, (stages, B, 3, H, W)."""
        each = (stage_illuminations - stage_inputs).square().mean((1, 2, 3, 4))
        return self.loss_weight * each.sum()


@LOSS_REGISTRY.register()
class StageSmoothnessLoss(NamedLoss):
    """SCI's smoothness: over stages, pixels p and the 24 pixels q around, the sum of
    w_pq |i_p - i_q|, a mean over pixels; w_pq = exp(-|u_p - u_q|^2 / (2 * 10^2)) in YCbCr.

    The authors' conversion to YCbCr mixes pixels in place of colours; as images lie in [0, 1], w
    is nearly 1 either way.
    """

    def forward(self, stage_inputs: Tensor, stage_illuminations: Tensor) -> Tensor:
        """Of each stage's input u and illumination i, (stages, B, 3, H, W)."""
        stages, colours = stage_inputs.shape[0], stage_inputs.shape[2]
        mean = guided_variation(stage_inputs.flatten(0, 1), stage_illuminations.flatten(0, 1))
        return self.loss_weight * stages * colours * mean


@LOSS_REGISTRY.register()
class IlluminationFidelityLoss(NamedLoss):
    """Mean of (t - x)^2, RUAS's fidelity: the illumination stays near the image."""

    def forward(self, illumination: Tensor, lq: Tensor) -> Tensor:
        """Of the illumination t and the input x, (B, 3, H, W) in [0, 1]."""
        return self.loss_weight * F.mse_loss(illumination, lq)


@LOSS_REGISTRY.register()
class GuidedSmoothnessLoss(NamedLoss):
    """RUAS's smoothness, as in its code: over the 24 pixels q around p the sum
    of w_pq |t_p - t_q|, a mean over pixels and colours; w_pq = exp(-0.005 |x_p - x_q|^2) in YCbCr.
    """

    def forward(self, illumination: Tensor, lq: Tensor) -> Tensor:
        """Of the illumination t and the input x, (B, 3, H, W) in [0, 1]."""
        return self.loss_weight * guided_variation(lq, illumination)


@LOSS_REGISTRY.register()
class DenoisingFidelityLoss(NamedLoss):
    """Mean of (y - u)^2, of RUAS's denoiser: the denoised image stays near the noisy one."""

    def forward(self, output: Tensor, before_denoise: Tensor) -> Tensor:
        """Of the output y and what was denoised u, (B, 3, H, W); u gets no gradient."""
        return self.loss_weight * F.mse_loss(output, before_denoise.detach())


@LOSS_REGISTRY.register()
class OutputVariationLoss(NamedLoss):
    """Total variation of the output, of RUAS's denoiser: 2 (mean dh^2 + mean dw^2)."""

    def forward(self, output: Tensor) -> Tensor:
        """Of (B, 3, H, W)."""
        return self.loss_weight * variation(output)

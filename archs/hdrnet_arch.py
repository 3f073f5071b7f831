"""HDRNet: Deep Bilateral Learning for Real-Time Image Enhancement (Gharbi et al., SIGGRAPH 2017).

Paper: https://groups.csail.mit.edu/graphics/hdrnet/
Published code: github.com/google/hdrnet (TensorFlow). With the default sizes the coefficient branch
has its 481,968 parameters.
Differs in: no batch norm; the grid starts as the identity transform, so that training begins at
the input image; the grid is read by `grid_sample`, which equals the published slicing formula.
"""

from __future__ import annotations

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import conv3x3

AFFINE = 12  # a 3x4 colour transform


class CoefficientBranch(nn.Module):
    """Predicts the bilateral grid of affine transforms from a small copy of the image.

    Args:
        low_resolution: Side of the square small copy, a multiple of 64.
        grid_depth: Cells along the guide.
        width_multiplier: Scales every channel count.
    """

    def __init__(self, low_resolution: int, grid_depth: int, width_multiplier: float) -> None:
        super().__init__()
        self.low_resolution, self.grid_depth = low_resolution, grid_depth
        dims = [max(1, int(width_multiplier * n)) for n in (8, 16, 32, 64)]
        dim = dims[-1]
        self.low_level = nn.Sequential()
        for n_in, n_out in zip([3, *dims], dims, strict=False):
            self.low_level.append(conv3x3(n_in, n_out, stride=2)).append(nn.ReLU())
        self.local = nn.Sequential(conv3x3(dim, dim), nn.ReLU(), conv3x3(dim, dim, bias=False))
        self.global_conv = nn.Sequential(
            conv3x3(dim, dim, stride=2), nn.ReLU(), conv3x3(dim, dim, stride=2), nn.ReLU()
        )
        pooled = dim * (low_resolution // 64) ** 2
        self.global_fc = nn.Sequential(
            nn.Linear(pooled, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, 2 * dim), nn.ReLU(),
            nn.Linear(2 * dim, dim),
        )  # fmt: skip
        self.project = nn.Conv2d(dim, grid_depth * AFFINE, 1)
        self._start_at_identity()

    def _start_at_identity(self) -> None:
        nn.init.normal_(self.project.weight, std=1e-2)
        identity = torch.eye(3, 4).flatten()
        with torch.no_grad():
            self.project.bias.copy_(identity.repeat(self.grid_depth))  # type: ignore[union-attr]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to a grid (B, 12, D, S, S) with S = low_resolution / 16."""
        size = (self.low_resolution, self.low_resolution)
        small = F.interpolate(image, size, mode="bilinear", align_corners=False)
        shared = self.low_level(small)  # (B, 64, S, S)
        global_ = self.global_fc(self.global_conv(shared).flatten(1))  # (B, 64)
        fused = torch.relu(self.local(shared) + global_[:, :, None, None])
        return rearrange(self.project(fused), "b (d c) y x -> b c d y x", c=AFFINE)


class CurveGuide(nn.Module):
    """The guidance: a colour matrix, then 16 learned hinges a channel, mixed to one channel."""

    def __init__(self, num_hinges: int = 16) -> None:
        super().__init__()
        self.matrix = nn.Conv2d(3, 3, 1)
        self.shifts = nn.Parameter(torch.linspace(0, 1, num_hinges + 1)[:-1].repeat(3, 1))
        slopes = torch.zeros(3, num_hinges)
        slopes[:, 0] = 1
        self.slopes = nn.Parameter(slopes)
        self.mix = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.matrix.weight.copy_(torch.eye(3)[:, :, None, None])
            self.matrix.bias.zero_()  # type: ignore[union-attr]
            self.mix.weight.fill_(1 / 3)
            self.mix.bias.zero_()  # type: ignore[union-attr]

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, H, W) in [0, 1]."""
        x = self.matrix(image)
        curve = torch.zeros_like(x)
        for shift, slope in zip(self.shifts.unbind(1), self.slopes.unbind(1), strict=True):
            curve = curve + slope[:, None, None] * torch.relu(x - shift[:, None, None])
        return self.mix(curve).clamp(0, 1)


def slice_grid(grid: Tensor, guide: Tensor) -> Tensor:
    """Read the bilateral grid at every pixel by trilinear interpolation (HDRNet, eq. 4).

    Cell centres lie at +0.5 and edges are clamped, so `align_corners` is False.

    Args:
        grid: (B, C, D, Y, X).
        guide: (B, 1, H, W) in [0, 1]; the position along D.

    Returns:
        (B, C, H, W).
    """
    b, _, h, w = guide.shape
    y = (torch.arange(h, device=guide.device, dtype=guide.dtype) + 0.5) * (2 / h) - 1
    x = (torch.arange(w, device=guide.device, dtype=guide.dtype) + 0.5) * (2 / w) - 1
    y = y.view(1, h, 1).expand(b, h, w)
    x = x.view(1, 1, w).expand(b, h, w)
    where = torch.stack((x, y, guide[:, 0] * 2 - 1), -1)[:, None]  # (B, 1, H, W, 3)
    sampled = F.grid_sample(grid, where, "bilinear", "border", align_corners=False)
    return sampled[:, :, 0]


def apply_affine(coefficients: Tensor, image: Tensor) -> Tensor:
    """A[:, :3] I + A[:, 3] at every pixel: (B, 12, H, W) and (B, 3, H, W) to (B, 3, H, W)."""
    a = rearrange(coefficients, "b (i j) h w -> b i j h w", j=4)
    return (a[:, :, :3] * image[:, None]).sum(2) + a[:, :, 3]


@ARCH_REGISTRY.register()
class HDRNet(nn.Module):
    """A bilateral grid of colour transforms, predicted small and applied at full size.

    Args:
        low_resolution: Side of the copy that the grid is predicted from: a multiple of 64.
        grid_depth: Cells along the guidance; the grid is
            low_resolution / 16 squared by this.
        width_multiplier: Scales the channels of the coefficient branch.

    Raises:
        ValueError: `low_resolution` is not a multiple of 64, or another argument is not positive.
    """

    size_multiple = 1

    def __init__(
        self, low_resolution: int = 256, grid_depth: int = 8, width_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        if low_resolution < 64 or low_resolution % 64:
            raise ValueError(
                f"Expected `low_resolution` to be a multiple of 64, but got {low_resolution}."
            )
        if grid_depth < 1 or width_multiplier <= 0:
            raise ValueError(
                "Expected `grid_depth` and `width_multiplier` above 0, "
                f"but got {grid_depth} and {width_multiplier}."
            )
        self.coefficients = CoefficientBranch(low_resolution, grid_depth, width_multiplier)
        self.guide = CurveGuide()

    def forward(self, image: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped."""
        grid = self.coefficients(image)
        return apply_affine(slice_grid(grid, self.guide(image)), image)

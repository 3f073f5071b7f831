"""HDRNet: Deep Bilateral Learning for Real-Time Image Enhancement (Gharbi et al., SIGGRAPH 2017).

Paper: https://groups.csail.mit.edu/graphics/hdrnet/
Published code: github.com/google/hdrnet (TensorFlow). With the default sizes the coefficient branch
has its 481,968 parameters. The deep trunk and the illumination mode are those of Underexposed Photo
Enhancement using Deep Illumination Estimation (deepUPE, Wang et al., CVPR 2019), whose published
branch has 998,704; the concatenating fusion is that of the bilateral grid for endoscopic video.
Differs in: batch norm is off by default and never in fully connected layers or the guide; affine
grids start as the identity, illumination as one half everywhere; slicing is fused on the CPU, and
`grid_sample` elsewhere, which equals the published formula.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.arguments import require, require_at_least, require_multiple, require_one_of

from .bilateral.guides import CurveGuide, PointwiseGuide
from .bilateral.slicing import AFFINE, slice_and_apply
from .contract import Network
from .parts.tile_context import current_tile, global_statistics

CHOICES = {
    "mode": ("affine", "illumination"),
    "fusion": ("add", "concat"),
    "guide": ("curves", "pointwise"),
    "trunk": ("shallow", "deep"),
}
DARKEST = 1e-4  # illumination never falls below, so that black pixels stay black


class InwardClamp(torch.autograd.Function):
    """min(max(x, low), high) whose gradient also reaches an x outside, if it draws it back in.

    An ordinary clamp gives an x outside no gradient at all; a grid whose cells have all left the
    range would never come back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, high: float) -> Tensor:
        """x and low of one shape."""
        ctx.save_for_backward(x, low)
        ctx.high = high
        return torch.maximum(x, low).clamp(max=high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, low = ctx.saved_tensors
        below, above = x < low, x > ctx.high
        outward = (below & (grad > 0)) | (above & (grad < 0))
        return grad.masked_fill(outward, 0), grad.masked_fill(~below, 0), None


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution, zero-padded, He-initialised for the ReLU behind it."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=bias)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class CoefficientBranch(nn.Module):
    """Predicts the bilateral grid of affine transforms from a small copy of the image.

    Args:
        low_resolution: Side of the square small copy, a multiple of 64.
        grid_depth: Cells along the guide.
        width_multiplier: Scales every channel count.
        fusion: "add" local and global features, or "concat" and project them.
        deep: deepUPE's twelve global and six local convolutions instead of two and two.
        batch_norm: After every convolution but the first and the plain ones before the fusion.
        start: The transform that every cell starts at, (3, 4).
    """

    def __init__(
        self,
        low_resolution: int,
        grid_depth: int,
        width_multiplier: float,
        fusion: str,
        deep: bool,
        batch_norm: bool,
        start: Tensor,
    ) -> None:
        super().__init__()
        self.low_resolution = low_resolution
        dims = [max(1, int(width_multiplier * n)) for n in (8, 16, 32, 64)]
        dim = dims[-1]

        def layer(
            n_in: int, n_out: int, stride: int = 1, norm: bool = batch_norm
        ) -> list[nn.Module]:
            conv = conv3x3(n_in, n_out, stride=stride, bias=not norm)
            return [conv, nn.BatchNorm2d(n_out), nn.ReLU()] if norm else [conv, nn.ReLU()]

        low_level = layer(3, dims[0], 2, norm=False)
        for n_in, n_out in pairwise(dims):
            low_level += layer(n_in, n_out, 2)
        self.low_level = nn.Sequential(*low_level)
        # the published convolutions after the first have no activation between them
        plain = [conv3x3(dim, dim, bias=False) for _ in range(5 if deep else 1)]
        self.local = nn.Sequential(*layer(dim, dim), *plain)
        strides = ((2, 1, 1, 1, 1, 1) if deep else (2,)) * 2
        self.global_conv = nn.Sequential(*(m for s in strides for m in layer(dim, dim, s)))
        pooled = dim * (low_resolution // 64) ** 2
        self.global_fc = nn.Sequential(
            nn.Linear(pooled, 4 * dim),
            nn.ReLU(),
            nn.Linear(4 * dim, 2 * dim),
            nn.ReLU(),
            nn.Linear(2 * dim, dim),
        )
        self.fuse = nn.Conv2d(2 * dim, dim, 1) if fusion == "concat" else None
        self.project = nn.Conv2d(dim, grid_depth * AFFINE, 1)
        nn.init.normal_(self.project.weight, std=1e-2)
        with torch.no_grad():
            self.project.bias.copy_(start.flatten().repeat(grid_depth))  # type: ignore[union-attr]

    def shrink(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to the small copy (B, 3, low_resolution, low_resolution)."""
        size = (self.low_resolution, self.low_resolution)
        return F.interpolate(image, size, mode="bilinear", align_corners=False)

    def predict(self, small: Tensor) -> Tensor:
        """The small copy to a grid (B, 12, D, S, S) with S = low_resolution / 16."""
        shared = self.low_level(small)  # (B, 64, S, S)
        local = self.local(shared)
        global_ = self.global_fc(self.global_conv(shared).flatten(1))  # (B, 64)
        global_ = global_[..., None, None]
        if self.fuse is None:
            fused = local + global_
        else:
            fused = self.fuse(torch.cat((local, global_.expand_as(local)), 1))
        return rearrange(self.project(torch.relu(fused)), "b (d c) y x -> b c d y x", c=AFFINE)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to a grid (B, 12, D, S, S)."""
        return global_statistics(lambda: self.predict(self.shrink(image)))


@ARCH_REGISTRY.register()
class HDRNet(Network):
    """A bilateral grid of colour transforms, predicted small and applied at full size.

    Args:
        low_resolution: Side of the copy that the grid is predicted from: a multiple of 64.
        grid_depth: Cells along the guidance, in each of (low_resolution / 16)^2 places.
        width_multiplier: Scales the channels of the coefficient branch.
        mode: "affine" (HDRNet): the transformed image is the output. "illumination" (deepUPE): it
            is the illumination map S, constrained to I <= S <= 1, and the output is I / S.
        fusion: How local and global features are fused: "add" (HDRNet) or "concat" and project.
        guide: By 16 learned "curves" a channel, or a "pointwise" network.
        trunk: "shallow" (HDRNet) or "deep" (deepUPE).
        batch_norm: In the convolutions of the coefficient branch.

    Raises:
        ValueError: `low_resolution` is not a multiple of 64, or another argument is not positive
            or not one of its choices.
    """

    family = "video"
    has_kernels = True

    def __init__(
        self,
        low_resolution: int = 256,
        grid_depth: int = 8,
        width_multiplier: float = 1.0,
        mode: Literal["affine", "illumination"] = "affine",
        fusion: Literal["add", "concat"] = "add",
        guide: Literal["curves", "pointwise"] = "curves",
        trunk: Literal["shallow", "deep"] = "shallow",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        require_multiple(64, low_resolution=low_resolution)
        require_at_least(1, grid_depth=grid_depth)
        require(width_multiplier > 0, "width_multiplier", "above 0", width_multiplier)
        given = {"mode": mode, "fusion": fusion, "guide": guide, "trunk": trunk}
        for name, choices in CHOICES.items():
            require_one_of(choices, **{name: given[name]})
        self.mode = mode
        self.extra_outputs = ("illumination",) if mode == "illumination" else ()
        # the global branch ends in one pixel, which batch norm cannot normalise by itself
        self.smallest_batch = 2 if batch_norm and low_resolution == 64 else 1
        start = torch.eye(3, 4)
        if mode == "illumination":
            start = torch.tensor([0, 0, 0, 0.5]).expand(3, 4)
        self.coefficients = CoefficientBranch(
            low_resolution, grid_depth, width_multiplier, fusion, trunk == "deep", batch_norm, start
        )
        self.guide = CurveGuide() if guide == "curves" else PointwiseGuide()

    def survey(self, image: Tensor) -> bool:
        """The bilateral grid is all that depends on the whole image."""
        self.coefficients(image)
        return True

    def render(self, grid: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Apply a grid (B, 12, D, Y, X) to an image (B, 3, H, W).

        Returns:
            The output, and what the grid gave: the illumination map, or the same output.
        """
        sliced = slice_and_apply(grid, self.guide(image), image, current_tile())
        if self.mode == "affine":
            return sliced, sliced
        low = image.clamp(min=DARKEST)
        if torch.is_grad_enabled():
            light = InwardClamp.apply(sliced, low, 1.0)
        else:  # nor can an exported graph hold a function with gradients of its own
            light = torch.maximum(sliced, low).clamp(max=1.0)
        return image / light, light

    def outputs(self, lq: Tensor, gt: Tensor | None = None) -> dict[str, Tensor]:
        """The output; in illumination mode the illumination map (B, 3, H, W) as well."""
        output, illumination = self.render(self.coefficients(lq), lq)
        return {"output": output} | dict.fromkeys(self.extra_outputs, illumination)

    def forward(self, image: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped in affine mode."""
        return self.render(self.coefficients(image), image)[0]

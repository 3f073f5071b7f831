"""Bilateral grids of colour transforms: slice one at every pixel and apply the transform.

On the CPU both happen in one fused pass (kernels.py), forwards and backwards; elsewhere,
and where a graph is traced or exported, `grid_sample` does the slicing. Both give the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..parts.padding import is_recording
from ..parts.precision import full_precision
from .launch import can_run, run_kernel

if TYPE_CHECKING:
    from ..parts.tile_context import Tile

AFFINE = 12  # a 3x4 colour transform, row by row


def slice_grid(grid: Tensor, guide: Tensor, tile: Tile | None = None) -> Tensor:
    """Read the bilateral grid at every pixel by trilinear interpolation (HDRNet, eq. 4).

    Cell centres lie at +0.5 and edges are clamped, so `align_corners` is False. The grid is
    the whole image's, also where the guide is that of a tile.

    Args:
        grid: (B, C, D, Y, X).
        guide: (B, 1, H, W) in [0, 1]; the position along D.
        tile: Where the guide lies in its image; None where it is the whole image's.

    Returns:
        (B, C, H, W).
    """
    b, _, h, w = guide.shape
    top, left, whole_h, whole_w = (
        (tile.top, tile.left, tile.height, tile.width) if tile else (0, 0, h, w)
    )
    y = (torch.arange(h, device=guide.device, dtype=guide.dtype) + (top + 0.5)) * (2 / whole_h) - 1
    x = (torch.arange(w, device=guide.device, dtype=guide.dtype) + (left + 0.5)) * (2 / whole_w) - 1
    y = y.view(1, h, 1).expand(b, h, w)
    x = x.view(1, 1, w).expand(b, h, w)
    where = torch.stack((x, y, guide[:, 0] * 2 - 1), -1)[:, None]  # (B, 1, H, W, 3)
    sampled = F.grid_sample(grid, where, "bilinear", "border", align_corners=False)
    return sampled[:, :, 0]


def apply_affine(coefficients: Tensor, image: Tensor) -> Tensor:
    """A[:, :3] I + A[:, 3] at every pixel: (B, 12, H, W) and (B, 3, H, W) to (B, 3, H, W)."""
    a = rearrange(coefficients, "b (i j) h w -> b i j h w", j=4)
    return (a[:, :, :3] * image[:, None]).sum(2) + a[:, :, 3]


def slice_and_apply(grid: Tensor, guide: Tensor, image: Tensor, tile: Tile | None = None) -> Tensor:
    """`apply_affine(slice_grid(grid, guide), image)`, in the fastest way available.

    Args:
        grid: (B, 12, D, Y, X), a 3x4 transform in each cell, row by row.
        guide: (B, 1, H, W) in [0, 1].
        image: (B, 3, H, W).
        tile: Where the image lies in a larger one; None where it is whole.

    Returns:
        (B, 3, H, W).
    """
    if tile is None and can_fuse(grid):
        precise = torch.promote_types(grid.dtype, torch.float32)
        tensors = (t.to(precise).contiguous() for t in (pack_grid(grid), guide, image))
        return SliceAndApply.apply(*tensors).to(image.dtype)
    with full_precision(image):
        sliced = slice_grid(grid.to(image.dtype), guide.to(image.dtype), tile)
        return apply_affine(sliced, image)


def can_fuse(grid: Tensor) -> bool:
    """Whether the kernels may run: on a CPU, where no graph is being recorded."""
    return grid.device.type == "cpu" and not is_recording() and can_run()


def pack_grid(grid: Tensor) -> Tensor:
    """(B, 12, D, Y, X) to the kernels' (B, Y, X, D, 16): transforms column by column, padded.

    Axes with a single cell get a second one like it.
    """
    for axis in (2, 3, 4):
        if grid.shape[axis] == 1:
            grid = grid.repeat_interleave(2, axis)
    columns = rearrange(grid, "b (i j) d y x -> b y x d j i", j=4)
    return F.pad(columns, (0, 1)).flatten(-2)


def hinge_guide(image: Tensor, features: Tensor, hinges: Tensor, bias: Tensor) -> Tensor:
    """sum over f, n of slope_fn relu(w_f (r, g, b, 1) - place_fn), plus a bias.

    Args:
        image: (B, 3, H, W).
        features: (F, 4), the w_f.
        hinges: (F, N, 2), slope and place.
        bias: (1,).

    Returns:
        (B, 1, H, W).
    """
    if can_fuse(image):
        tensors = (t.contiguous() for t in (image, features, hinges, bias))
        return HingeGuide.apply(*tensors)
    with full_precision(image):
        feature = F.conv2d(image, features[:, :3, None, None], features[:, 3])
    total = bias.view(1, 1, 1).expand_as(feature[:, 0])
    for slope, place in (pair.unbind(1) for pair in hinges.unbind(1)):
        hinge = torch.relu(feature - place[:, None, None])
        total = total + (slope[:, None, None] * hinge).sum(1)
    return total[:, None]


class SliceAndApply(torch.autograd.Function):
    """The fused pass, and the gradients of grid, guidance and image."""

    @staticmethod
    def forward(ctx: Any, grid: Tensor, guide: Tensor, image: Tensor) -> Tensor:
        """(B, Y, X, D, 16), (B, 1, H, W) and (B, 3, H, W), all of one type, to (B, 3, H, W)."""
        ctx.save_for_backward(grid, guide, image)
        out = torch.empty(image.shape, dtype=image.dtype)
        run_kernel("slice_apply", grid, guide[:, 0], image, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grid, guide, image = ctx.saved_tensors
        batch, rows, columns, depth, _ = grid.shape
        bands = grid.new_zeros(batch, rows - 1, 2, columns, depth, 16)
        guide_grad = torch.empty(guide.shape, dtype=guide.dtype)
        image_grad = torch.empty(image.shape, dtype=image.dtype)
        tensors = (grid, guide[:, 0], image, grad.contiguous(), bands, guide_grad[:, 0], image_grad)
        run_kernel("slice_apply_backward", *tensors)
        before, after = bands.unbind(2)
        return (
            F.pad(before, (0,) * 7 + (1,)) + F.pad(after, (0,) * 6 + (1, 0)),
            guide_grad,
            image_grad,
        )


class HingeGuide(torch.autograd.Function):
    """The fused `hinge_guide`, and the gradients of all it takes."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, features: Tensor, hinges: Tensor, bias: Tensor) -> Tensor:
        """See `hinge_guide`."""
        ctx.save_for_backward(image, features, hinges)
        out = torch.empty_like(image[:, :1], memory_format=torch.contiguous_format)
        tensors = (image, features, hinges, bias, out[:, 0])
        run_kernel("hinge_guide", *tensors)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        from .kernels import CHUNKS

        image, features, hinges = ctx.saved_tensors
        parts = image.shape[0] * CHUNKS
        features_grad = features.new_zeros(parts, *features.shape)
        hinges_grad = hinges.new_zeros(parts, *hinges.shape)
        image_grad = torch.zeros_like(image)
        tensors = (
            image,
            features,
            hinges,
            grad[:, 0].contiguous(),
            features_grad,
            hinges_grad,
            image_grad,
        )
        run_kernel("hinge_guide_backward", *tensors)
        return image_grad, features_grad.sum(0), hinges_grad.sum(0), grad.sum().view(1)

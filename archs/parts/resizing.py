"""Resizing that puts a tile where it lies in its image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .tile_context import current_tile


def upsample_to(x: Tensor, size: torch.Size, scale: int) -> Tensor:
    """Bilinear to a height and width, the whole image's corners aligned.

    Args:
        x: (B, C, h, w).
        size: The height and width.
        scale: By how much x is smaller: 2, 4 or 8.
    """
    tile = current_tile()
    if tile is None:
        return F.interpolate(x, size, mode="bilinear", align_corners=True)
    axes = (
        corner_aligned(size[1], x.shape[3], tile.left, tile.width, scale),
        corner_aligned(size[0], x.shape[2], tile.top, tile.height, scale),
    )
    columns, rows = (axis.to(x) for axis in axes)
    where = torch.stack((columns.expand(*size), rows[:, None].expand(*size)), -1)
    where = where.expand(len(x), -1, -1, -1)
    return F.grid_sample(x, where, "bilinear", "border", align_corners=True)


def corner_aligned(length: int, small: int, start: int, whole: int, scale: int) -> Tensor:
    """Where a tile's pixels lie along one axis of its small copy, for `grid_sample`.

    Args:
        length: Of the tile.
        small: Of its small copy.
        start: Of the tile in the whole image; a multiple of `scale`.
        whole: Of the whole image.
        scale: By how much the copy is smaller.
    """
    whole_small = small - (length - whole) // scale
    place = torch.arange(start, start + length, dtype=torch.float64)
    place = place * (whole_small - 1) / (whole - 1) - start / scale
    return place * 2 / (small - 1) - 1


def shrink_by_one(x: Tensor, scale: int) -> Tensor:
    """Bilinear to one pixel less along both axes, the whole image's borders aligned.

    Pixel i of n lies at (i + 1/2) (n + 1) / n - 1/2, so (i + 1/2) / n of the way from i to i + 1.

    Args:
        x: (B, C, H + 1, W + 1).
        scale: By how much H and W are smaller than the image.

    Returns:
        (B, C, H, W).
    """
    tile, size = current_tile(), [n - 1 for n in x.shape[-2:]]
    whole = [n // scale for n in (tile.height, tile.width)] if tile else size
    start = [n // scale for n in (tile.top, tile.left)] if tile else [0, 0]
    for axis in (0, 1):
        place = torch.arange(size[axis], device=x.device) + start[axis] + 0.5
        share = (place / whole[axis]).to(x)
        share = share[:, None] if axis == 0 else share
        first, second = (x.narrow(axis + 2, i, size[axis]) for i in (0, 1))
        x = first + share * (second - first)
    return x

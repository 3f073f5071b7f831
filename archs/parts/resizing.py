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

"""Large images in bounded memory: whole where they fit, in tiles without seams elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.archs.contract import Network, contract_of
from enhancement.archs.tile_context import Tile, tile_context
from enhancement.errors import UserError
from enhancement.inference.memory import PeakMemory, free_memory, used_memory
from enhancement.inference.run import enhance, pad_for
from enhancement.units import readable_bytes

MARGIN = 64  # pixels around a tile that its network sees beside its own
FEATHER = 16  # how far two tiles are mixed on either side of their border
ALIGN = 16  # tiles begin at multiples of this, where every network's strides begin
SMALLEST_TILE = 2 * MARGIN + 6 * ALIGN
PROBE = 160  # side of the crop on which a network's use of memory is measured
WORKSPACE = 1.3  # what operators take for themselves beside the tensors that are counted
IMAGE_BYTES = 48  # a pixel of the image itself: input, output, what is decoded and encoded beside
SHARE = 0.8  # of the free memory, where the user names no limit
SURELY_FITS = 512 * 512  # pixels that are enhanced whole without a look at the memory


@dataclass
class Span:
    """One tile along one axis.

    Attributes:
        start, end: What the network sees.
        kept: What is kept of it, mixed with the neighbours' over `FEATHER` on both sides.
        first, last: Whether it is the axis' first or last.
    """

    start: int
    end: int
    kept: slice
    first: bool
    last: bool

    def weights(self) -> Tensor:
        """One for each pixel that is kept; with the neighbours' they sum to 1 everywhere."""
        weights = torch.ones(self.kept.stop - self.kept.start)
        ramp = (torch.arange(2 * FEATHER) + 0.5) / (2 * FEATHER)
        if not self.first:
            weights[: 2 * FEATHER] = ramp
        if not self.last:
            weights[-2 * FEATHER :] = ramp.flip(0)
        return weights


def spans(length: int, tile: int) -> list[Span]:
    """Cut an axis into tiles of at most `tile` pixels, `MARGIN` on either side included."""
    if length <= tile:
        return [Span(0, length, slice(0, length), True, True)]
    count = -(-length // (tile - 2 * MARGIN - ALIGN))
    borders = [round(length * i / count / ALIGN) * ALIGN for i in range(count)] + [length]
    made = []
    for low, high in pairwise(borders):
        first, last = low == 0, high == length
        kept = slice(low - (not first) * FEATHER, high + (not last) * FEATHER)
        seen = (max(0, low - MARGIN), min(length, high + MARGIN))
        made.append(Span(*seen, kept, first, last))
    return made


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that an allocation failed."""
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


class BoundedMemory(Network):
    """Runs a network within so many bytes, whatever the image's size.

    What fits is enhanced whole. Else the image is cut into overlapping tiles, mixed at their
    borders; what the network must know of the whole image comes from a reduced copy, see
    archs/tile_context.py. Where an allocation fails nevertheless, smaller tiles are tried.

    Args:
        network: Any registered network.
        max_memory: In bytes. On a CPU for the whole process, on a GPU for what is on it. None
            takes most of what is free.
        tile: Cuts into tiles of at most this side, whatever fits.
    """

    def __init__(
        self, network: nn.Module, max_memory: int | None = None, tile: int | None = None
    ) -> None:
        super().__init__()
        self.network, self.max_memory, self.tile = network, max_memory, tile
        self._bytes_per_pixel: float | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Enhance: (B, 3, H, W) in [0, 1] to the same shape, not clamped, on the same device.

        Raises:
            UserError: Not even the smallest tile fits.
        """
        side = self.tile or self.fitting_tile(images)
        if side is None:
            done = self._attempt(enhance, self.network, images)
            if done is not None:
                return done
            if len(images) > 1:
                return torch.cat([self(image) for image in images.split(1)])
            side = max(images.shape[-2:]) // 2
        return torch.cat([self._in_fitting_tiles(image, side) for image in images.split(1)])

    def fitting_tile(self, images: Tensor) -> int | None:
        """The side of the tiles that fit the memory; None where the images do as they are."""
        pixels = images[:, 0].numel()
        if self.max_memory is None and pixels <= SURELY_FITS:
            return None
        if self._bytes_per_pixel is None:
            self._bytes_per_pixel = self.bytes_per_pixel(images[:1])
        left = self._free(images.device) - IMAGE_BYTES * pixels
        if pixels * self._bytes_per_pixel <= left:
            return None
        side = int(max(0, left / self._bytes_per_pixel) ** 0.5) // ALIGN * ALIGN
        if side < SMALLEST_TILE:
            missing = SMALLEST_TILE**2 * self._bytes_per_pixel - left
            if self.max_memory is None:
                raise UserError(f"{_name(self.network)} lacks {readable_bytes(missing)} of memory")
            raise UserError(
                f"{_name(self.network)} wants at least "
                f"{readable_bytes(self.max_memory + missing)} for an image of "
                f"{images.shape[-1]}x{images.shape[-2]}, but --max_memory is "
                f"{readable_bytes(self.max_memory)}"
            )
        return side

    def bytes_per_pixel(self, image: Tensor) -> float:
        """What the network takes for each pixel, measured on a crop of an image (1, 3, H, W)."""
        crop = image[..., :PROBE, :PROBE].clone()
        with PeakMemory() as memory:
            self.in_tiles(crop, PROBE)
        return WORKSPACE * memory.peak / (crop.shape[-2] * crop.shape[-1])

    def _free(self, device: torch.device) -> float:
        if self.max_memory is None:
            return SHARE * free_memory(device)
        on_gpu = device.type == "cuda"
        return self.max_memory - (torch.cuda.memory_allocated(device) if on_gpu else used_memory())

    def _attempt(self, run: Callable[..., Tensor], *arguments: Any) -> Tensor | None:
        """What a function gives, or None where memory runs out."""
        try:
            return run(*arguments)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None

    def _in_fitting_tiles(self, image: Tensor, side: int) -> Tensor:
        while True:
            done = self._attempt(self.in_tiles, image, max(side, SMALLEST_TILE))
            if done is not None:
                return done
            if side <= SMALLEST_TILE:
                raise UserError(
                    f"{_name(self.network)} runs out of memory even in tiles of "
                    f"{SMALLEST_TILE} pixels; free some, or compute on another --device"
                )
            side //= 2

    def in_tiles(self, image: Tensor, side: int) -> Tensor:
        """Enhance one image (1, 3, H, W) in tiles of at most `side` squared."""
        whole = pad_for(self.network, image)
        height, width = whole.shape[-2:]
        record = self._survey(whole, side * side)
        out = torch.zeros_like(whole)
        for row in spans(height, side):
            for column in spans(width, side):
                tile_ = Tile(row.start, column.start, height, width, iter(record))
                with tile_context(tile_):
                    seen = whole[..., row.start : row.end, column.start : column.end]
                    tile = enhance(self.network, seen)
                rows, columns = row.kept, column.kept
                tile = tile[..., rows.start - row.start : rows.stop - row.start,
                            columns.start - column.start : columns.stop - column.start]  # fmt: skip
                weights = row.weights()[:, None] * column.weights()
                out[..., rows, columns] += tile * weights.to(tile)
        return out[..., : image.shape[-2], : image.shape[-1]]

    def _survey(self, whole: Tensor, pixels: int) -> list[Tensor]:
        """The statistics of a whole image (1, 3, H, W), from at most so many pixels of it."""
        record: list[Tensor] = []
        with tile_context(record):
            if not contract_of(self.network).survey(whole) and self._has_statistics(whole):
                record.clear()
                share = (pixels / (whole.shape[-2] * whole.shape[-1])) ** 0.5
                # pixels picked, not averaged: averaging takes away the noise, and statistics change
                size = [max(1, int(n * share)) for n in whole.shape[-2:]]
                enhance(self.network, F.interpolate(whole, size, mode="nearest-exact"))
        return record

    def _has_statistics(self, whole: Tensor) -> bool:
        """Whether the network asks for any, found out on a small crop."""
        record: list[Tensor] = []
        with tile_context(record):
            enhance(self.network, whole[..., :64, :64])
        return bool(record)


def _name(network: nn.Module) -> str:
    return type(network).__name__

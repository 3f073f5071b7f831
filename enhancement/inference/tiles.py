"""Large images in bounded memory: whole if they fit, otherwise in tiles without seams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from enhancement.archs.contract import Network, contract_of
from enhancement.archs.parts.padding import pad_to_multiple
from enhancement.archs.parts.tile_context import Tile, tile_context
from enhancement.errors import UserError, out_of_memory
from enhancement.inference.engines import OnnxEngine
from enhancement.inference.run import enhance, pad_for
from enhancement.memory import PeakMemory, free_memory, used_memory
from enhancement.units import readable_bytes

MARGIN = 64  # pixels of halo around a tile
FEATHER = 16  # pixels over which two tiles are blended on either side of their border
ALIGN = 16  # tiles begin at multiples of this, so that every network's strides line up
SMALLEST_TILE = 2 * MARGIN + 6 * ALIGN
PROBE = 160  # side of the crop on which a network's memory use is measured
WORKSPACE = 1.3  # memory of tensors and the operators' own buffers, relative to tensors alone
IMAGE_BYTES = 48  # per pixel of the image itself: input, output, decoding and encoding buffers
ARENA = 2  # ONNX Runtime keeps memory from image to image, up to twice what PyTorch needs
SHARE = 0.8  # of the free memory, if the user sets no limit
SURELY_FITS = 512 * 512  # pixels that are enhanced whole without looking at the memory


@dataclass
class Span:
    """One tile along one axis.

    Attributes:
        start, end: What the network sees, halo included.
        kept: What is kept, blended with the neighbours over `FEATHER` on both sides.
        first, last: Whether it is the first or last tile of the axis.
    """

    start: int
    end: int
    kept: slice
    first: bool
    last: bool

    def weights(self) -> Tensor:
        """Blending weights of the kept pixels; with the neighbours' they sum to 1 everywhere."""
        weights = torch.ones(self.kept.stop - self.kept.start)
        ramp = (torch.arange(2 * FEATHER) + 0.5) / (2 * FEATHER)
        if not self.first:
            weights[: 2 * FEATHER] = ramp
        if not self.last:
            weights[-2 * FEATHER :] = ramp.flip(0)
        return weights


def spans(length: int, tile: int) -> list[Span]:
    """Cut an axis into tiles of at most `tile` pixels, including `MARGIN` on either side."""
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


class BoundedMemory(Network):
    """Runs a network within a memory limit, whatever the image's size.

    An image that fits is enhanced whole. A larger one is cut into overlapping tiles that are
    blended at their borders; what the network must know about the whole image comes from a reduced
    copy, see archs/parts/tile_context.py. If an allocation fails nevertheless, smaller tiles are
    tried.

    Args:
        network: Any registered network, or one that `engines.prepare` returned.
        max_memory: In bytes: on a CPU of the whole process, on a GPU of what is allocated there.
            None takes most of what is free.
        tile: Cut into tiles of at most this side, even if more fits.
    """

    def __init__(
        self, network: nn.Module, max_memory: int | None = None, tile: int | None = None
    ) -> None:
        super().__init__()
        self.network, self.max_memory, self.tile = network, max_memory, tile
        # tiles are PyTorch's, which can be told what a network must know about the whole image
        self.for_tiles = network.network if isinstance(network, OnnxEngine) else network
        self._name = type(self.for_tiles).__name__
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
        if isinstance(self.network, OnnxEngine):
            self.network.fall_back("the image is computed in tiles")
        return torch.cat([self._in_fitting_tiles(image, side) for image in images.split(1)])

    def fitting_tile(self, images: Tensor) -> int | None:
        """The side of the largest tiles that fit; None if the images fit whole."""
        pixels = images[:, 0].numel()
        if self.max_memory is None and pixels <= SURELY_FITS:
            return None
        if self._bytes_per_pixel is None:
            self._bytes_per_pixel = self.measure(images[:1])
        left = self._free(images.device) - IMAGE_BYTES * pixels
        needed = pixels * self._bytes_per_pixel
        if isinstance(self.network, OnnxEngine):
            needed *= ARENA
        if needed <= left:
            return None
        side = int(max(0, left / self._bytes_per_pixel) ** 0.5) // ALIGN * ALIGN
        if side < SMALLEST_TILE:
            missing = SMALLEST_TILE**2 * self._bytes_per_pixel - left
            if self.max_memory is None:
                raise UserError(f"{self._name} lacks {readable_bytes(missing)} of memory")
            raise UserError(
                f"{self._name} needs at least "
                f"{readable_bytes(self.max_memory + missing)} for an image of "
                f"{images.shape[-1]}x{images.shape[-2]}, but --max_memory is "
                f"{readable_bytes(self.max_memory)}"
            )
        return side

    @property
    def bytes_per_pixel(self) -> float:
        """The network's memory use as measured on the first image; 0 before."""
        return self._bytes_per_pixel or 0.0

    def measure(self, image: Tensor) -> float:
        """The network's memory use, measured on a crop of an image (1, 3, H, W), padded to it."""
        crop = pad_to_multiple(image[..., :PROBE, :PROBE], 1, PROBE).clone()
        with PeakMemory() as memory:
            self.in_tiles(crop, PROBE)
        return WORKSPACE * memory.peak / (crop.shape[-2] * crop.shape[-1])

    def _free(self, device: torch.device) -> float:
        if self.max_memory is None:
            return SHARE * free_memory(device)
        if device.type == "cuda":
            return self.max_memory - torch.cuda.memory_allocated(device)
        psutil.heap_trim()  # what decoding has left
        return self.max_memory - used_memory()

    def _attempt(self, run: Callable[..., Tensor], *arguments: Any) -> Tensor | None:
        """The function's result, or None if memory runs out."""
        try:
            return run(*arguments)
        except Exception as error:  # of ONNX Runtime's own kinds too
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
                    f"{self._name} runs out of memory even in tiles of "
                    f"{SMALLEST_TILE} pixels; free some, or compute on another --device"
                )
            side //= 2

    def in_tiles(self, image: Tensor, side: int) -> Tensor:
        """Enhance one image (1, 3, H, W) in tiles of at most `side` x `side` pixels."""
        whole = pad_for(self.for_tiles, image)
        height, width = whole.shape[-2:]
        record = self._survey(whole, side * side)
        out = torch.zeros_like(whole)
        for row in spans(height, side):
            for column in spans(width, side):
                tile_ = Tile(row.start, column.start, height, width, iter(record))
                with tile_context(tile_):
                    seen = whole[..., row.start : row.end, column.start : column.end]
                    tile = enhance(self.for_tiles, seen)
                rows, columns = row.kept, column.kept
                tile = tile[..., rows.start - row.start : rows.stop - row.start, :]
                tile = tile[..., columns.start - column.start : columns.stop - column.start]
                weights = row.weights()[:, None] * column.weights()
                out[..., rows, columns] += tile * weights.to(tile)
        return out[..., : image.shape[-2], : image.shape[-1]]

    def _survey(self, whole: Tensor, pixels: int) -> list[Tensor]:
        """The statistics of a whole image (1, 3, H, W), from at most `pixels` of its pixels."""
        record: list[Tensor] = []
        with tile_context(record):
            if not contract_of(self.for_tiles).survey(whole) and self._has_statistics(whole):
                record.clear()
                share = min(1.0, pixels / (whole.shape[-2] * whole.shape[-1])) ** 0.5
                # nearest neighbours: averaging would remove noise and so change the statistics
                size = [max(1, int(n * share)) for n in whole.shape[-2:]]
                enhance(self.for_tiles, F.interpolate(whole, size, mode="nearest-exact"))
        return record

    def _has_statistics(self, whole: Tensor) -> bool:
        """Whether the network uses any, found by running it on a small crop."""
        record: list[Tensor] = []
        with tile_context(record):
            enhance(self.for_tiles, whole[..., :64, :64])
        return bool(record)

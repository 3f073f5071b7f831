"""What a network must know of the whole image while it sees only one tile of it.

An image too large for the memory is enhanced in tiles (enhancement/inference/tiles.py).
That changes nothing for convolutions; a layer that looks at every pixel calls
`global_statistics`:

    gram = global_statistics(lambda: pixels.transpose(1, 2) @ pixels)    # channel attention
    mean = global_statistics(lambda: x.mean((2, 3), keepdim=True))       # pooling
    light = global_statistics(lambda: histogram(image))                  # an illumination vector

Ordinarily that is the function's own result. For an image in tiles, a first pass over a reduced
copy of the whole image records what each function returns, and the passes over the tiles get those
values. So a value must not depend on the image's size, except by a factor that the network divides
out. The calls of a forward pass must come in the same order each time. A network that can make
these calls with less work than a forward pass does so in `survey` (contract.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

REACH = 48  # pixels of context guaranteed around every pixel that is kept of a tile


@dataclass
class Tile:
    """Where a tile lies in its image, and the statistics of the whole.

    Attributes:
        top, left: Of the tile, in pixels.
        height, width: Of the whole image.
        statistics: (1, ...) each, in the order of the calls.
    """

    top: int
    left: int
    height: int
    width: int
    statistics: Iterator[Tensor]


Record = list[Tensor]
_context: ContextVar[Tile | Record | None] = ContextVar("tile_context", default=None)


@contextmanager
def tile_context(context: Tile | Record) -> Iterator[None]:
    """Tell networks called in this context (and thread) what their input is.

    Args:
        context: A tile; or, for a whole image, a list that its statistics are appended to.
    """
    token = _context.set(context)
    try:
        yield
    finally:
        _context.reset(token)


def current_tile() -> Tile | None:
    """The tile that the network is given; None where it is a whole image."""
    context = None if torch.compiler.is_compiling() else _context.get()
    return context if isinstance(context, Tile) else None


def global_statistics(compute: Callable[[], Tensor]) -> Tensor:
    """What `compute` gives for the whole image; see the top of this file.

    Args:
        compute: Gives (B, ...): a mean over the pixels, a Gram matrix or the like.

    Returns:
        The same shape; for a tile, that of a batch of one.
    """
    context = None if torch.compiler.is_compiling() else _context.get()
    if isinstance(context, Tile):
        return next(context.statistics)
    value = compute()
    if context is not None:
        context.append(value)
    return value

"""What a network must know of the whole image while it sees only a part of it.

An image too large for the memory is enhanced in parts (enhancement/tiling.py). Convolutions do not
mind; a layer that looks at every pixel does, and says so by `global_statistics`:

    gram = global_statistics(lambda: pixels.transpose(1, 2) @ pixels)    # channel attention
    mean = global_statistics(lambda: x.mean((2, 3), keepdim=True))       # pooling
    light = global_statistics(lambda: histogram(image))                  # an illumination vector

Ordinarily that is the function's own result. For an image in parts, a first pass over a reduced
copy of the whole records what each function gives, and the passes over the parts take that.
So the value must not depend on the image's size, or only by a factor that the network divides out.
The calls of one forward pass must come in the same order each time. A network that can look at the
whole image for less than a forward pass has a method `survey(image)` that makes its calls alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Part:
    """Where a part lies in its image, and the statistics of the whole.

    Attributes:
        top, left: Of the part, in pixels.
        height, width: Of the whole image.
        statistics: (1, ...) each, in the order of the calls.
    """

    top: int
    left: int
    height: int
    width: int
    statistics: Iterator[Tensor]


Record = list[Tensor]
_seen: ContextVar[Part | Record | None] = ContextVar("seen", default=None)


@contextmanager
def seeing(what: Part | Record) -> Iterator[None]:
    """What the networks called in this context (and thread) see is a part.

    Or it is a whole image, whose statistics are appended to a list.
    """
    token = _seen.set(what)
    try:
        yield
    finally:
        _seen.reset(token)


def current_part() -> Part | None:
    """The part that is seen; None where it is a whole image."""
    seen = None if torch.compiler.is_compiling() else _seen.get()
    return seen if isinstance(seen, Part) else None


def global_statistics(compute: Callable[[], Tensor]) -> Tensor:
    """What `compute` gives for the whole image; see the top of this file.

    Args:
        compute: Gives (B, ...): a mean over the pixels, a Gram matrix or the like.

    Returns:
        The same shape; of a batch of one image, where it is in parts.
    """
    seen = None if torch.compiler.is_compiling() else _seen.get()
    if isinstance(seen, Part):
        return next(seen.statistics)
    value = compute()
    if seen is not None:
        seen.append(value)
    return value

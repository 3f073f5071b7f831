"""Padding to the sizes that a network takes, the same eagerly and in a recorded graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def is_recording() -> bool:
    """Whether a graph is being recorded, for export or compilation, that has to fit any size."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def pad_to_multiple(x: Tensor, multiple: int, smallest: int = 1, square: bool = False) -> Tensor:
    """Pad right and bottom by reflection, as often as it takes; a single pixel is repeated.

    Args:
        x: (B, C, H, W).
        multiple: What H and W become multiples of.
        smallest: What they are at least.
        square: Whether both become the larger of the two.
    """
    if multiple == 1 and smallest == 1 and not square:
        return x
    least = -(-smallest // multiple) * multiple
    height, width = x.shape[-2:]
    if not is_recording():
        if square:
            least = max(least, -(-max(height, width) // multiple) * multiple)
        down, right = (max(-n % multiple, least - n) for n in (height, width))
        if not (down or right):
            return x
        if down < height and right < width:
            return F.pad(x, (0, right, 0, down), "reflect")
    for axis, length in ((2, height), (3, width)):
        wanted = _larger(height, width) if square else length
        padded = _larger((wanted + multiple - 1) // multiple * multiple, least)
        last = torch.arange(length, device=x.device)[-1:]  # a tensor, also where a graph is made
        period = (2 * last).clamp_min(1)
        place = torch.arange(length, padded, device=x.device) % period
        more = x.index_select(axis, torch.minimum(place, period - place))
        x = torch.cat((x, more), axis)
    return x


def _larger(a: Any, b: Any) -> Any:
    """The larger of two lengths; recorded ones are tensors or symbols, by the kind of graph."""
    if isinstance(a, Tensor):
        return torch.maximum(a, torch.as_tensor(b))
    return torch.sym_max(a, b)

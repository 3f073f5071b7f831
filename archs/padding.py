"""Padding to the sizes that a network takes, the same eagerly and in a recorded graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def is_recording() -> bool:
    """Whether a graph is being recorded, for export or compilation, that has to fit any size."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def pad_to_multiple(x: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Pad right and bottom by reflection, as often as it takes; a single pixel is repeated.

    Args:
        x: (B, C, H, W).
        multiple: What H and W become multiples of.
        smallest: What they are at least.
    """
    if multiple == 1 and smallest == 1:
        return x
    least = -(-smallest // multiple) * multiple
    height, width = x.shape[-2:]
    if not is_recording():
        down, right = (max(-n % multiple, least - n) for n in (height, width))
        if not (down or right):
            return x
        if down < height and right < width:
            return F.pad(x, (0, right, 0, down), "reflect")
    for axis, length in ((2, height), (3, width)):
        padded = _at_least((length + multiple - 1) // multiple * multiple, least)
        last = torch.arange(length, device=x.device)[-1:]  # a tensor, also where a graph is made
        period = (2 * last).clamp_min(1)
        place = torch.arange(padded, device=x.device) % period
        x = x.index_select(axis, torch.minimum(place, period - place))
    return x


def _at_least(length: Any, least: int) -> Any:
    """The larger of the two; recorded lengths are tensors or symbols, by the kind of graph."""
    if isinstance(length, Tensor):
        return length.clamp_min(least)
    return torch.sym_max(length, least)

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
    """Pad right and bottom by reflection, as often as it takes; one pixel is repeated.

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
        padded = _maximum((length + multiple - 1) // multiple * multiple, least)
        place = torch.arange(padded, device=x.device)
        period = _maximum(2 * (length - 1), 1)
        place = place - place // period * period
        x = x.index_select(axis, torch.minimum(place, period - place))
    return x


def _maximum(length: Any, least: int) -> Any:
    """The larger of a length and a number; tracing makes lengths tensors, compiling symbols."""
    return length.clamp_min(least) if isinstance(length, Tensor) else torch.sym_max(length, least)

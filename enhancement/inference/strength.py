"""How strongly frames are enhanced: input and output blended in linear light."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from enhancement.data.low_light import linear_to_srgb, srgb_to_linear
from enhancement.errors import UserError

Frame = NDArray[Any]

LEVELS = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}


def check_strength(strength: float) -> None:
    """Refuse what is no share.

    Raises:
        UserError: Not in [0, 1].
    """
    if not (isinstance(strength, int | float | np.floating) and 0 <= strength <= 1):
        raise UserError(f"strength must be in [0, 1], but got {strength!r}")


def blend(frame: Frame, enhanced: Frame, strength: float) -> Frame:
    """(1 - strength) frame + strength enhanced, of the light that the pixels stand for.

    Args:
        frame, enhanced: Two frames (H, W, 3) of uint8, uint16 or float32 in [0, 1], sRGB.
        strength: In [0, 1].

    Returns:
        A frame of the same size and type.
    """
    if strength == 1:
        return enhanced
    before, after = (_light(image) for image in (frame, enhanced))
    mixed = linear_to_srgb(before + np.float32(strength) * (after - before))
    levels = LEVELS[str(frame.dtype)]
    if frame.dtype == np.float32:
        return mixed
    return np.round(mixed * np.float32(levels)).astype(frame.dtype)


def _light(frame: Frame) -> Frame:
    """A frame in linear light, float32; integers by a table."""
    if frame.dtype == np.float32:
        return srgb_to_linear(frame.clip(0, 1))
    levels = np.iinfo(frame.dtype).max
    return srgb_to_linear(np.arange(levels + 1, dtype=np.float32) / levels)[frame]

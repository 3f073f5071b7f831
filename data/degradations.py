"""Every degradation that datasets can apply. A new one is one line in this table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from enhancement.errors import UserError, hint

from .haze import Haze
from .low_light import LowLight
from .transforms import Frame

Float = NDArray[np.float32]


class Degradation(Protocol):
    """Makes a low-quality image from a good one; its fields are option keys."""

    def __call__(
        self, gt: Float, frame: Frame, rng: np.random.Generator
    ) -> tuple[Float, dict[str, float]]:
        """Degrade (H, W, 3) sRGB in [0, 1].

        Args:
            gt: The image, or a crop of it.
            frame: Where the crop lies in the whole image.
            rng: For everything that is random.

        Returns:
            The same shape and range, in 8-bit levels; and the values drawn, by name.
        """


DEGRADATIONS: dict[str, type[Degradation]] = {kind.__name__: kind for kind in (Haze, LowLight)}


def build_degradation(options: Mapping[str, Any]) -> Degradation:
    """A degradation from its `type`, a name in DEGRADATIONS, and that class's arguments.

    Raises:
        UserError: There is none of that name, or its arguments are wrong.
    """
    arguments = dict(options)
    name = str(arguments.pop("type", None))
    if name not in DEGRADATIONS:
        raise UserError(f"degradation: unknown type '{name}'; {hint(name, DEGRADATIONS)}")
    try:
        return DEGRADATIONS[name](**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"degradation: {error}") from error

"""Every degradation that `SynthesisDataset` can apply. A new one is one line in this table."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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

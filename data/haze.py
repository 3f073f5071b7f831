"""Add haze to clear frames by atmospheric scattering (Koschmieder), as in a fogged gastroscope."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancement.arguments import require, require_at_least

from .low_light import quantise
from .transforms import Frame

Float = NDArray[np.float32]


def smooth_field(frame: Frame, cells: int, rng: np.random.Generator) -> Float:
    """A random field in [0, 1] over the whole image, smooth within each of cells x cells parts."""
    coarse = rng.random((cells + 1, cells + 1)).astype(np.float32)
    field = cv2.resize(coarse, (frame.width, frame.height), interpolation=cv2.INTER_CUBIC)
    low, high = float(field.min()), float(field.max())
    return (field - low) / max(high - low, 1e-6)


@dataclass(frozen=True)
class Haze:
    """I = J t + A (1 - t), with t a smooth random field and A the airlight.

    Each range is [low, high]; a value is drawn uniformly for every image.

    Attributes:
        transmission: t runs between two values drawn from this range.
        airlight: A, the same for all three colours before tinting.
        tint: Largest change that tinting makes to A, for each colour.
        cells: Cells of t's random field along each side of the image.
    """

    transmission: tuple[float, float] = (0.3, 0.8)
    airlight: tuple[float, float] = (0.7, 0.95)
    tint: float = 0.03
    cells: int = 4

    def __post_init__(self) -> None:
        for name in ("transmission", "airlight"):
            low, high = getattr(self, name)
            require(0 <= low <= high <= 1, name, "[low, high] within 0 and 1", [low, high])
        require_at_least(1, cells=self.cells)
        require(self.tint >= 0, "tint", "0 or more", self.tint)

    def __call__(
        self, gt: Float, frame: Frame, rng: np.random.Generator
    ) -> tuple[Float, dict[str, float]]:
        """Haze (H, W, 3) sRGB in [0, 1].

        Returns:
            The same shape and range, in 8-bit levels; and the values drawn, by name.
        """
        low, high = np.sort(rng.uniform(*self.transmission, size=2)).astype(np.float32)
        field = smooth_field(frame, self.cells, rng)
        rows = np.clip(np.arange(gt.shape[0]) + frame.top, 0, frame.height - 1)
        columns = np.clip(np.arange(gt.shape[1]) + frame.left, 0, frame.width - 1)
        t = (low + (high - low) * field[np.ix_(rows, columns)])[..., None]
        airlight = rng.uniform(*self.airlight) + rng.uniform(-self.tint, self.tint, 3)
        drawn = {
            "transmission_low": float(low),
            "transmission_high": float(high),
            "airlight": float(airlight.mean()),
        }
        return quantise(gt * t + np.clip(airlight, 0, 1).astype(np.float32) * (1 - t)), drawn

"""Darken well-exposed frames: exposure and gamma in linear light, radial falloff, sensor noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enhancement.arguments import require

from .transforms import Frame

Float = NDArray[np.float32]
MOST = 100  # of any parameter
AS_IT_WAS = {"gamma": 1.0, "exposure": 1.0, "falloff": 0.0, "shot_noise": 0.0, "read_noise": 0.0}
NEGLIGIBLE = 1e-12  # variance of a noise that changes nothing


def srgb_to_linear(x: Float) -> Float:
    """sRGB in [0, 1] to linear light (IEC 61966-2-1)."""
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(x: Float) -> Float:
    """Linear light in [0, 1] to sRGB (IEC 61966-2-1)."""
    bright = 1.055 * np.maximum(x, 1e-8) ** (1 / 2.4) - 0.055
    return np.where(x <= 0.0031308, 12.92 * x, bright).astype(np.float32)


def quantise(x: Float) -> Float:
    """Round to the 256 levels that an 8-bit file would keep."""
    return np.round(np.clip(x, 0, 1) * 255).astype(np.float32) / np.float32(255)


def radial_distance(shape: tuple[int, int], frame: Frame) -> Float:
    """Distance of each pixel from the centre of the whole image; 1 in its corners.

    Where a crop reaches beyond the image, its padding is as far away as the edge next to it.
    """
    y = (np.arange(shape[0], dtype=np.float32) + frame.top + 0.5) / frame.height * 2 - 1
    x = (np.arange(shape[1], dtype=np.float32) + frame.left + 0.5) / frame.width * 2 - 1
    y, x = np.clip(y, -1, 1), np.clip(x, -1, 1)
    return np.sqrt((y[:, None] ** 2 + x[None] ** 2) / 2)


@dataclass(frozen=True)
class LowLight:
    """Linear light J becomes e * J^gamma * (1 - f r^2), then noise, then sRGB again.

    Each range is [low, high]; a value is drawn uniformly (exposure: log-uniformly) for every image.

    Attributes:
        gamma: Exponent in linear light; above 1 deepens the shadows.
        exposure: Factor e on the light.
        levels: Brightness levels: exposures to choose from, instead of that range.
        untouched: The share of the images that are left as they are.
        shot_noise: Variance of the photon noise at full light; 1 / (photons of a white pixel).
        read_noise: Standard deviation of the sensor's own noise, in linear light.
        falloff: f, the share of light lost in the corners; 0.9 for an endoscope's narrow beam.
    """

    gamma: tuple[float, float] = (1.0, 1.3)
    exposure: tuple[float, float] = (0.05, 0.25)
    shot_noise: tuple[float, float] = (1e-4, 1e-3)
    read_noise: tuple[float, float] = (5e-4, 2e-3)
    falloff: tuple[float, float] = (0.0, 0.0)
    levels: list[float] | None = None
    untouched: float = 0.0

    def __post_init__(self) -> None:
        if self.levels is not None:
            fits = bool(self.levels) and all(0 < level <= MOST for level in self.levels)
            require(fits, "levels", f"numbers above 0 up to {MOST}", self.levels)
        require(0 <= self.untouched <= 1, "untouched", "in [0, 1]", self.untouched)
        for name in ("gamma", "exposure", "shot_noise", "read_noise", "falloff"):
            low, high = getattr(self, name)
            floor = 1e-6 if name in ("gamma", "exposure") else 0
            top = 1 if name == "falloff" else MOST
            expected = f"[low, high] {'above' if floor else 'from'} 0 up to {top}"
            require(floor <= low <= high <= top, name, expected, [low, high])

    def __call__(
        self, gt: Float, frame: Frame, rng: np.random.Generator
    ) -> tuple[Float, dict[str, float]]:
        """Darken (H, W, 3) sRGB in [0, 1].

        Returns:
            The same shape and range, in 8-bit levels; and the values drawn, by name.
        """
        if self.untouched and rng.random() < self.untouched:
            return quantise(gt), dict(AS_IT_WAS)
        gamma, shot, read, falloff = (
            rng.uniform(*getattr(self, name))
            for name in ("gamma", "shot_noise", "read_noise", "falloff")
        )
        exposure = np.exp(rng.uniform(*np.log(self.exposure)))
        if self.levels:
            exposure = self.levels[int(rng.integers(len(self.levels)))]
        light = exposure * srgb_to_linear(gt) ** gamma
        if falloff:
            light *= (1 - falloff * radial_distance(gt.shape[:2], frame) ** 2)[..., None]
        if shot > NEGLIGIBLE:
            light = rng.poisson(light / shot) * shot
        light = light + rng.normal(0, read, gt.shape)
        drawn = {
            "gamma": gamma,
            "exposure": float(exposure),
            "falloff": falloff,
            "shot_noise": shot,
            "read_noise": read,
        }
        return quantise(linear_to_srgb(np.clip(light, 0, 1).astype(np.float32))), drawn

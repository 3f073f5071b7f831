"""CLAHE: Contrast Limited Adaptive Histogram Equalization (Zuiderveld, Graphics Gems IV, 1994).

Paper: https://doi.org/10.1016/B978-0-12-336156-1.50061-6
Computed by OpenCV (https://docs.opencv.org/4.x/d6/db6/classcv_1_1CLAHE.html) on the CPU.
Differs in: a colour image is equalised in the lightness of CIELAB, which has 256 levels.
"""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from numpy.typing import NDArray
from skimage import color
from torch import Tensor

from enhancement.arguments import require

from .classic import Classic

Float = NDArray[np.float32]

LEVELS = 255.0
LIGHTEST = 100.0  # L* of white


@ARCH_REGISTRY.register()
class CLAHE(Classic):
    """The histogram of each part of the image is equalised, with a bound on the gain in contrast.

    OpenCV computes it, without gradients. The parts' mappings are interpolated between their
    centres, and depend on the image's size, so that it cannot be run in tiles.

    Args:
        clip_limit: The largest bin of a part's histogram, relative to the mean of the bins.
        grid: Parts along each side of the image.

    Raises:
        ValueError: An argument is out of range.
    """

    whole_image = True
    untraceable = "OpenCV computes it"

    def __init__(self, clip_limit: float = 2.0, grid: int = 8) -> None:
        super().__init__()
        require(clip_limit > 0, "clip_limit", "above 0", clip_limit)
        require(1 <= grid <= 256, "grid", "in 1 to 256", grid)
        self.clip_limit, self.grid = clip_limit, grid

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same shape and range."""
        images = x.detach().float().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        done = np.stack([self.equalise(np.ascontiguousarray(image)) for image in images])
        return torch.from_numpy(done).permute(0, 3, 1, 2).to(x)

    def equalise(self, image: Float) -> Float:
        """One image, float32 (H, W, 3) sRGB in [0, 1]."""
        lab = color.rgb2lab(image)  # OpenCV's own is off by up to half a level
        levels = np.round(lab[..., 0] * (LEVELS / LIGHTEST)).astype(np.uint8)
        equaliser = cv2.createCLAHE(self.clip_limit, (self.grid, self.grid))
        lab[..., 0] = equaliser.apply(levels) * np.float32(LIGHTEST / LEVELS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # colours outside of sRGB are clipped
            return color.lab2rgb(lab)

"""Resize, crop, flip and rotate: the same cut for every image of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .images import Array


@dataclass(frozen=True)
class Frame:
    """Where a cut lies in its image, for what depends on the position (an endoscope's falloff).

    Attributes:
        top, left: First row and column; negative in reflected padding.
        height, width: Size of the whole image.
    """

    top: int
    left: int
    height: int
    width: int


def pad_to(image: Array, height: int, width: int) -> tuple[Array, int, int]:
    """Reflect-pad an image that is smaller than asked, evenly; also the rows and columns added
    at the top and left."""
    h, w = image.shape[:2]
    top, left = max(0, height - h) // 2, max(0, width - w) // 2
    down, right = max(0, height - h) - top, max(0, width - w) - left
    if top or left or down or right:
        border = cv2.BORDER_REFLECT_101 if min(h, w) > 1 else cv2.BORDER_REPLICATE
        image = cv2.copyMakeBorder(image, top, down, left, right, border)
        image = image if image.ndim == 3 else image[..., None]
    return image, top, left


def resize(images: list[Array], size: tuple[int, int]) -> list[Array]:
    """Resize each to (height, width): area averaging down, cubic up; a mask by nearest pixels."""
    height, width = size

    def one(image: Array) -> Array:
        if image.shape[:2] == (height, width):
            return image
        if image.shape[2] == 1:
            return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
        down = image.shape[0] >= height and image.shape[1] >= width
        how = cv2.INTER_AREA if down else cv2.INTER_CUBIC
        return cv2.resize(image, (width, height), interpolation=how)

    return [one(image) for image in images]


def random_crop(
    images: list[Array], size: tuple[int, int], rng: np.random.Generator
) -> tuple[list[Array], Frame]:
    """Cut the same random (height, width) from each; smaller images are reflect-padded first."""
    height, width = size
    whole = images[0].shape[:2]
    padded = [pad_to(image, height, width) for image in images]
    _, pad_top, pad_left = padded[0]
    h, w = padded[0][0].shape[:2]
    top, left = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
    cut = [image[top : top + height, left : left + width] for image, _, _ in padded]
    return cut, Frame(top - pad_top, left - pad_left, *whole)


def random_flips(
    images: list[Array], rng: np.random.Generator, hflip: bool, rotate: bool
) -> list[Array]:
    """Mirror, and turn by a random multiple of 90 degrees (of 180 where the cut is not square)."""
    mirror = hflip and rng.random() < 0.5
    square = images[0].shape[0] == images[0].shape[1]
    turns = int(rng.integers(4)) if rotate else 0
    if not square:
        turns -= turns % 2
    if mirror:
        images = [image[:, ::-1] for image in images]
    return [np.rot90(image, turns) for image in images] if turns else images

"""Resize, crop, flip and rotate every image of a sample alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .images import Array


@dataclass(frozen=True)
class Frame:
    """Where a crop lies in its image, for what depends on the position (an endoscope's falloff).

    Attributes:
        top, left: First row and column; negative in reflected padding.
        height, width: Size of the whole image.
    """

    top: int
    left: int
    height: int
    width: int


def pad_to(image: Array, height: int, width: int) -> tuple[Array, int, int]:
    """Reflect-pad an image smaller than asked, evenly on both sides.

    Args:
        image: (h, w, channels).
        height, width: The least size to reach.

    Returns:
        The image, and how many rows were added at the top and columns at the left.
    """
    h, w = image.shape[:2]
    top, left = max(0, height - h) // 2, max(0, width - w) // 2
    down, right = max(0, height - h) - top, max(0, width - w) - left
    if top or left or down or right:
        border = cv2.BORDER_REFLECT_101 if min(h, w) > 1 else cv2.BORDER_REPLICATE
        image = cv2.copyMakeBorder(image, top, down, left, right, border)
        image = image if image.ndim == 3 else image[..., None]
    return image, top, left


def resize(images: list[Array], size: tuple[int, int]) -> list[Array]:
    """Resize each to (height, width): down by area averaging, up by cubics, a mask by nearest."""
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
    """The same random crop (height, width) of each; smaller images are reflect-padded first."""

    def place(spare: int) -> int:
        return int(rng.integers(spare + 1))

    return _crop(images, size, place)


def central_crop(images: list[Array], size: tuple[int, int]) -> tuple[list[Array], Frame]:
    """The middle (height, width) of each; smaller images are reflect-padded first."""
    return _crop(images, size, lambda spare: spare // 2)


def _crop(
    images: list[Array], size: tuple[int, int], place: Callable[[int], int]
) -> tuple[list[Array], Frame]:
    """Crop where `place` says, given how many rows, then columns, are to spare."""
    height, width = size
    whole = images[0].shape[:2]
    padded = [pad_to(image, height, width) for image in images]
    first, pad_top, pad_left = padded[0]
    top, left = place(first.shape[0] - height), place(first.shape[1] - width)
    crops = [image[top : top + height, left : left + width] for image, _, _ in padded]
    return crops, Frame(top - pad_top, left - pad_left, *whole)


def random_flips(
    images: list[Array], rng: np.random.Generator, hflip: bool, rotate: bool
) -> list[Array]:
    """Mirror each alike, and rotate by a multiple of 90 degrees (of 180 unless it is square)."""
    mirror = hflip and rng.random() < 0.5
    square = images[0].shape[0] == images[0].shape[1]
    turns = int(rng.integers(4)) if rotate else 0
    if not square:
        turns -= turns % 2
    if mirror:
        images = [image[:, ::-1] for image in images]
    return [np.rot90(image, turns) for image in images] if turns else images

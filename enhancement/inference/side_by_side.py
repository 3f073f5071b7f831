"""Input, output and ground truth side by side in one image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from enhancement.data.images import to_8_bit, write_image

COLUMNS = ("input", "enhanced", "ground truth")
TALLEST = 4  # times a column's width


def side_by_side(rows: Iterable[tuple[Tensor, ...]], width: int = 400) -> np.ndarray:
    """A captioned image with one row per input: input | enhanced | ground truth.

    Args:
        rows: Images (1, 3, H, W) in [0, 1], one for each of COLUMNS, or for the first few.
        width: Of one column in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rows = list(rows)
    columns = COLUMNS[: len(rows[0])] if rows else COLUMNS
    caption = np.full((28, width * len(columns), 3), 255, np.uint8)
    for i, text in enumerate(columns):
        place, black = (i * width + 8, 20), (0, 0, 0)
        cv2.putText(caption, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, black, 1, cv2.LINE_AA)
    parts = [caption]
    for row in rows:
        arrays = [to_8_bit(x)[0].permute(1, 2, 0).to(torch.uint8).cpu().numpy() for x in row]
        parts.append(np.concatenate([_column(array, width) for array in arrays], 1))
    return np.concatenate(parts, 0)


def _column(image: np.ndarray, width: int) -> np.ndarray:
    """An image as wide as its column or, where it is very narrow, as tall as one may be."""
    scale = min(width / image.shape[1], TALLEST * width / image.shape[0])
    size = [max(1, round(n * scale)) for n in (image.shape[1], image.shape[0])]
    column = np.full((size[1], width, 3), 255, np.uint8)
    column[:, : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return column


def write_picture(path: Path, rows: Iterable[tuple[Tensor, ...]], width: int = 400) -> Path:
    """Write `side_by_side` to a file, and return the file."""
    write_image(path, side_by_side(rows, width))
    return path

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
        height = max(1, round(row[0].shape[-2] * width / row[0].shape[-1]))
        arrays = [to_8_bit(x)[0].permute(1, 2, 0).to(torch.uint8).cpu().numpy() for x in row]
        small = [cv2.resize(a, (width, height), interpolation=cv2.INTER_AREA) for a in arrays]
        parts.append(np.concatenate(small, 1))
    return np.concatenate(parts, 0)


def write_picture(path: Path, rows: Iterable[tuple[Tensor, ...]], width: int = 400) -> Path:
    """Write `side_by_side` to a file, and return the file."""
    write_image(path, side_by_side(rows, width))
    return path

"""Thumbnails of a result's images, kept beside its scores for `enhance compare --html`."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from enhancement.data.images import to_8_bit
from enhancement.files import replace_file, writing

ROLES = ("input", "output", "gt")
THUMBNAILS = 24  # of a set, those of its first images
SIDE = 640  # pixels, at most
QUALITY = 82
FOLDER = "pictures"


def thumbnail(image: Tensor) -> bytes:
    """(1, 3, H, W) in [0, 1] as a WebP file of at most SIDE pixels."""
    array = to_8_bit(image)[0].permute(1, 2, 0).to(torch.uint8).cpu().numpy()
    small = Image.fromarray(array)
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return as_webp(small)


def as_webp(image: Image.Image, quality: int = QUALITY) -> bytes:
    """An image as the content of a WebP file."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=quality)
    return file.getvalue()


def write_thumbnails(folder: Path, rows: Sequence[tuple[bytes, ...]]) -> None:
    """Write thumbnails, one row an image in the order of the scores, one entry for each role.

    Rows of a set without ground truths end before it.

    Raises:
        UserError: The folder cannot be written.
    """
    with writing(folder / FOLDER):
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        (folder / FOLDER).mkdir(parents=True)
        for index, row in enumerate(rows):
            for role, data in zip(ROLES, row, strict=False):
                replace_file(thumbnail_path(folder, index, role), data)


def thumbnail_path(folder: Path, index: int, role: str) -> Path:
    """Where the thumbnail of a result's image lies."""
    return folder / FOLDER / f"{index:02d}_{role}.webp"

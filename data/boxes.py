"""Boxes around the objects of a set's images, from ExDark's annotation files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from enhancement.errors import UserError
from enhancement.paths import locate, missing_hint

from .images import read_file
from .sources import Source

# in the order of ExDark's own numbers, from 1 (Loh and Chan, CVIU 2019)
CLASSES = (
    *("Bicycle", "Boat", "Bottle", "Bus", "Car", "Cat"),
    *("Chair", "Cup", "Dog", "Motorbike", "People", "Table"),
)
HEADER = "% bbGt"
MOST = 10_000  # boxes of an image


class Objects(NamedTuple):
    """The objects of an image.

    Attributes:
        boxes: (N, 4): left, top, right, bottom, in pixels.
        labels: (N,): from 1, in the order of CLASSES.
    """

    boxes: Tensor
    labels: Tensor


class Boxes:
    """The objects of each image of a set.

    Args:
        root: A folder with `Dog/2015_05074.jpg.txt` for the image `Dog/2015_05074.jpg`.
        images: The images they belong to.

    Raises:
        UserError: There is no such folder, or images without a file.
    """

    def __init__(self, root: str, images: Source) -> None:
        self.folder = locate(root)
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder; {missing_hint(root)}")
        missing = [name for name in images.names if not self._file(name).is_file()]
        if missing:
            more = f", nor for {len(missing) - 1} other images" if len(missing) > 1 else ""
            raise UserError(f"{self._file(missing[0])}: there is no such file{more}")

    def _file(self, image: str) -> Path:
        return self.folder / f"{image}.txt"

    def read(self, image: str) -> Objects:
        """The objects of an image.

        Raises:
            UserError: The file cannot be read, or says what no ExDark file says.
        """
        path = self._file(image)
        lines = read_file(path).decode("utf-8", "replace").splitlines()
        if not lines or not lines[0].startswith(HEADER):
            raise UserError(f"{path}: expected '{HEADER} version=3' in the first line")
        found = [
            _object(line, f"{path}:{n}") for n, line in enumerate(lines[1:], 2) if line.strip()
        ]
        if len(found) > MOST:
            raise UserError(f"{path}: expected at most {MOST} boxes, but there are {len(found)}")
        boxes = torch.tensor([box for box, _ in found], dtype=torch.float32).view(-1, 4)
        return Objects(boxes, torch.tensor([label for _, label in found], dtype=torch.int64))


def _object(line: str, where: str) -> tuple[list[float], int]:
    """The box and the label of a line: class, left, top, width, height, and what is not used."""
    name, *numbers = line.split()
    known = {kind.lower(): number for number, kind in enumerate(CLASSES, 1)}
    try:
        left, top, width, height = map(float, numbers[:4])
    except ValueError:
        raise UserError(f"{where}: expected a class and four numbers, but got '{line}'") from None
    if name.lower() not in known or not all(map(math.isfinite, (left, top, width, height))):
        raise UserError(f"{where}: expected one of {', '.join(CLASSES)} and a box, got '{line}'")
    return [left, top, left + width, top + height], known[name.lower()]

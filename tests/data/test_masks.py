"""Masks: what is foreground, and labels that would be read as empty masks."""

import numpy as np
import pytest
from helpers import picture

from enhancement.data.images import write_image
from enhancement.data.masks import Masks
from enhancement.data.sources import open_source


@pytest.fixture
def gt(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"gt/{i}.png", picture(i))
    return open_source(tmp_path / "gt")


def faults(tmp_path, gt, values):
    """Of masks that are half black and half of a value each."""
    for name, value in zip(gt.names, values, strict=True):
        mask = np.zeros_like(gt.read(name))
        mask[: len(mask) // 2] = value
        write_image(tmp_path / "masks" / name, mask)
    return Masks(str(tmp_path / "masks"), gt, check=True).faults


@pytest.mark.parametrize("values", [(0, 0, 0), (0, 255, 1), (128, 0, 0)])
def test_masks_are_sound(tmp_path, gt, values):
    assert faults(tmp_path, gt, values) == []


def test_labels_are_refused(tmp_path, gt):
    (fault,) = faults(tmp_path, gt, (0, 1, 2))
    assert "masks/2.png: no value is above 127 (the highest is 2), nor in the other" in fault

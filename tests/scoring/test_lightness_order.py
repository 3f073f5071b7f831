"""LOE by hand, and against a plain loop over its equations."""

import numpy as np
import pytest
import torch
from helpers import picture

from enhancement.data.images import to_float
from enhancement.errors import UserError
from enhancement.scoring.lightness_order import lightness_order_error


def tensor(array):
    return torch.from_numpy(to_float(array).transpose(2, 0, 1))[None]


def by_loops(output, lq):
    """Wang et al., eq. 11 to 13, one sample after the other."""

    def samples(image):
        brightest = image.max(-1)
        h, w = brightest.shape
        step = min(h, w) // 50
        return np.array(
            [
                brightest[max(0, y - 7) : y + 8, max(0, x - 7) : x + 8].max()
                for y in range(step - 1, h, step)
                for x in range(step - 1, w, step)
            ]
        )

    a, b = samples(lq), samples(output)
    return np.mean([((a[i] >= a) != (b[i] >= b)).sum() for i in range(len(a))])


def test_equals_the_equations():
    lq = picture(0, 110, 160)
    output = np.clip(lq.astype(int) * 2 + picture(1, 110, 160) // 8, 0, 255).astype(np.uint8)
    found = lightness_order_error(tensor(output), tensor(lq))
    assert found == pytest.approx(by_loops(output, lq))
    assert 0 < found < 55 * 80


def test_a_rising_curve_keeps_the_order_and_a_negative_does_not():
    lq = torch.linspace(0, 1, 60).expand(1, 3, 60, 60)
    assert lightness_order_error(0.2 + 0.8 * lq, lq) == 0
    assert lightness_order_error(1 - lq, lq) > 0.8 * 60 * 60


def test_small_and_long_images_have_one_too():
    long = torch.rand(1, 3, 8, 5000)
    assert lightness_order_error(long, long) == 0


def test_it_wants_the_input():
    image = torch.rand(1, 3, 60, 60)
    with pytest.raises(UserError, match="LOE: expected the input in the output's size, but got no"):
        lightness_order_error(image, None)
    with pytest.raises(UserError, match=r"but got \(1, 3, 60, 61\) and \(1, 3, 60, 60\)"):
        lightness_order_error(image, torch.rand(1, 3, 60, 61))

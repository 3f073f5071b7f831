"""Losses on edges and on small side outputs."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from enhancement.registry import LOSS_REGISTRY, lookup


def test_edges_by_scipy():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 1, 3, 9, 12, generator=generator)
    taps = np.array([0.05, 0.25, 0.4, 0.25, 0.05])

    def blur(plane):
        return convolve(plane, np.outer(taps, taps), mode="nearest")

    def laplacian(plane):
        sparse = np.zeros_like(plane)
        sparse[::2, ::2] = 4 * blur(plane)[::2, ::2]
        return plane - blur(sparse)

    planes = zip(a[0].double().numpy(), b[0].double().numpy(), strict=True)
    expected = np.mean([(laplacian(x) - laplacian(y)) ** 2 for x, y in planes])
    value = lookup(LOSS_REGISTRY, "EdgeLoss")(loss_weight=50.0)(a, b)
    assert value.item() == pytest.approx(50 * expected, rel=1e-4)


def test_a_side_output_is_compared_with_the_reduced_truth():
    gt = torch.zeros(1, 3, 16, 16)
    gt[..., :8, :] = 0.5
    side = torch.full((1, 3, 2, 2), 0.25)
    value = lookup(LOSS_REGISTRY, "SideLoss")(loss_weight=2.0)(side=side, gt=gt)
    assert value.item() == pytest.approx(2 * 0.25)

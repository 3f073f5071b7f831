"""Losses on Fourier transforms, by hand: of two pixels a and b these are a + b and a - b."""

import math

import pytest
import torch

from enhancement.registry import LOSS_REGISTRY, lookup


def loss(name, **arguments):
    return lookup(LOSS_REGISTRY, name)(**arguments)


def two(a, b):
    """Grey, one above the other."""
    return torch.tensor([a, b]).view(1, 1, 2, 1).repeat(1, 3, 1, 1)


def test_phase_by_hand():
    """Sums 0.6 and 0.5 are positive; of the differences -0.2 and 0.1 one is not."""
    value = loss("PhaseLoss", loss_weight=0.1)(two(0.2, 0.4), two(0.3, 0.2))
    assert value.item() == pytest.approx(0.1 * math.pi / 2, rel=1e-5)


def test_the_first_stage_by_hand():
    """Pixels differ by 0.1 and 0.2; amplitudes 0.6, 0.2 from 0.5, 0.1."""
    value = loss("AmplitudeStageLoss", loss_weight=3.0)(two(0.2, 0.4), two(0.3, 0.2))
    assert value.item() == pytest.approx(3 * (0.5 * 0.15 + 0.1 * 0.1), rel=1e-5)


def test_predicted_amplitudes_by_hand():
    """Amplitudes of the truth are 0.5 and 0.1; three channels are summed."""
    value = loss("AmplitudeLoss", loss_weight=0.01)(amplitude=two(0.6, 0.4), gt=two(0.3, 0.2))
    assert value.item() == pytest.approx(0.01 * 3 * (0.1**2 + 0.3**2), rel=1e-5)


def test_gradients_are_finite_on_black():
    black = torch.zeros(1, 3, 8, 8, requires_grad=True)
    truth = torch.rand(1, 3, 8, 8)
    total = loss("PhaseLoss")(black, truth) + loss("AmplitudeStageLoss")(black, truth)
    total.backward()
    assert black.grad.isfinite().all()

"""Losses by hand and against the metrics."""

import math

import pytest
import torch
from basicsr.metrics.psnr_ssim import calculate_ssim_pt

from enhancement.registry import LOSS_REGISTRY, lookup


def images():
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(2, 3, 24, 31, generator=generator)
    return a, (a + 0.1 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def test_ssim_loss_equals_basicsrs_ssim():
    a, b = images()
    loss = lookup(LOSS_REGISTRY, "SSIMLoss")()(a, b)
    expected = 1 - calculate_ssim_pt(a, b, 0).mean()
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)


def test_ssim_mae_weighs_its_terms():
    a, b = images()
    ssim = lookup(LOSS_REGISTRY, "SSIMLoss")()(a, b)
    mae = (a - b).abs().mean()
    mixed = lookup(LOSS_REGISTRY, "SSIMMAELoss")(loss_weight=2.0, alpha=0.3)(a, b)
    torch.testing.assert_close(mixed, 2 * (0.3 * ssim + 0.7 * mae))


@pytest.mark.parametrize("name", ["SSIMLoss", "SSIMMAELoss"])
def test_equal_images_cost_nothing_and_gradients_are_finite(name):
    loss = lookup(LOSS_REGISTRY, name)()
    flat = torch.zeros(1, 3, 16, 16, requires_grad=True)
    loss(flat, torch.ones(1, 3, 16, 16)).backward()
    assert flat.grad.isfinite().all()
    assert loss(flat, flat).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("SSIMLoss", {"window_size": 4}, "`window_size` to be odd and at least 3"),
        ("SSIMMAELoss", {"alpha": 1.5}, r"`alpha` to be in \[0, 1\], but got 1.5"),
    ],
)
def test_bad_arguments_are_named(name, arguments, text):
    with pytest.raises(ValueError, match=text):
        lookup(LOSS_REGISTRY, name)(**arguments)


def loss(name, **arguments):
    return lookup(LOSS_REGISTRY, name)(**arguments)


def test_illumination_reconstruction_by_hand():
    """One pixel of (I - S G): (0.1, 0.2, 0.1), the other exact."""
    s = torch.tensor([[0.5, 0.5], [0.5, 1.0], [0.2, 1.0]]).view(1, 3, 1, 2)
    g = torch.tensor([[0.4, 0.8], [0.6, 0.7], [0.5, 0.3]]).view(1, 3, 1, 2)
    lq = torch.tensor([[0.3, 0.4], [0.5, 0.7], [0.2, 0.3]]).view(1, 3, 1, 2)
    value = loss("IlluminationReconstructionLoss", loss_weight=2.0)(illumination=s, gt=g, lq=lq)
    assert value.item() == pytest.approx(2 * (0.01 + 0.04 + 0.01) / 2, rel=1e-5)


def test_illumination_smoothness_by_hand():
    """Two grey pixels side by side, above two more: three different weights."""
    lq = torch.tensor([[0.2, 0.2], [0.4, 0.4]]).expand(1, 3, 2, 2)
    s = torch.tensor([[0.5, 0.6], [0.7, 0.7]]).expand(1, 3, 2, 2)
    flat = 1 / 1e-4
    edge = 1 / (math.log((0.4 + 1e-4) / (0.2 + 1e-4)) ** 1.2 + 1e-4)
    expected = (flat * (0.1**2 + 0) + edge * (0.2**2 + 0.1**2)) / 4
    value = loss("IlluminationSmoothnessLoss")(s, lq)
    assert value.item() == pytest.approx(expected, rel=1e-3)
    steep = loss("IlluminationSmoothnessLoss", theta=3.0, eps=0.5)(s, lq)
    soft = 1 / (math.log((0.4 + 1e-4) / (0.2 + 1e-4)) ** 3 + 0.5)
    assert steep.item() == pytest.approx((0.01 / 0.5 + soft * 0.05) / 4, rel=1e-3)


def test_smoothness_is_finite_on_black_and_wants_positive_arguments():
    s = torch.rand(1, 3, 5, 5, requires_grad=True)
    loss("IlluminationSmoothnessLoss")(s, torch.zeros(1, 3, 5, 5)).backward()
    assert s.grad.isfinite().all()
    with pytest.raises(ValueError, match="`theta` to be above 0, but got 0"):
        loss("IlluminationSmoothnessLoss", theta=0)


def test_color_angle_by_hand():
    """45 degrees, 90 degrees, parallel, and black against white."""
    a = torch.tensor([[1, 1, 0.2, 0], [0, 0, 0.4, 0], [0, 0, 0.6, 0]]).view(1, 3, 1, 4)
    b = torch.tensor([[1, 0, 0.1, 1], [1, 0.5, 0.2, 1], [0, 0, 0.3, 1]]).view(1, 3, 1, 4)
    a.requires_grad_()
    value = loss("ColorAngleLoss", loss_weight=0.2)(a, b)
    expected = 0.2 * (math.pi / 4 + math.pi / 2) / 4
    assert value.item() == pytest.approx(expected, rel=2e-3)
    value.backward()
    assert a.grad.isfinite().all()

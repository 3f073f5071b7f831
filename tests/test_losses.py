"""Losses by hand and against the metrics."""

import pytest
import torch
from basicsr.metrics.psnr_ssim import calculate_ssim_pt

from enhancement.compat import LOSS_REGISTRY, lookup


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
        ("SSIMLoss", {"window_size": 4}, "`window_size` odd from 3"),
        ("SSIMMAELoss", {"alpha": 1.5}, r"`alpha` in \[0, 1\], but got 1.5"),
    ],
)
def test_bad_arguments_are_named(name, arguments, text):
    with pytest.raises(ValueError, match=text):
        lookup(LOSS_REGISTRY, name)(**arguments)

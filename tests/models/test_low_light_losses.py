"""Losses of low-light networks, by hand."""

import math

import pytest
import torch

from enhancement.models.low_light_losses import SCALE_WEIGHTS
from enhancement.registry import LOSS_REGISTRY, is_ours, lookup

NAMES = [
    name
    for name, kind in LOSS_REGISTRY
    if is_ours(kind) and kind.__module__.endswith("low_light_losses")
]


def loss(name, **arguments):
    return lookup(LOSS_REGISTRY, name)(**arguments)


def colours(*pixels):
    """Pixels (r, g, b) side by side as an image (1, 3, 1, n)."""
    return torch.tensor(pixels).T.reshape(1, 3, 1, -1)


@pytest.mark.parametrize("name", NAMES)
class TestEveryLoss:
    def test_gradients_are_finite_on_black_white_and_equal_images(self, name):
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(2, 3, 24, 31, generator=generator)
        for target in (torch.zeros_like(noise), torch.ones_like(noise), noise):
            for pred in (torch.zeros_like(noise), torch.ones_like(noise), noise):
                output = pred.clone().requires_grad_()
                value = loss(name)(output, target)
                value.backward()
                assert value.isfinite()
                assert output.grad.isfinite().all()

    def test_is_least_where_the_images_are_equal_and_is_weighted(self, name):
        generator = torch.Generator().manual_seed(0)
        image = torch.rand(2, 3, 24, 31, generator=generator)
        other = (image + 0.2 * torch.rand(image.shape, generator=generator)).clamp(0, 1)
        value = loss(name)(other, image)
        assert loss(name)(image, image) < value
        torch.testing.assert_close(loss(name, loss_weight=0.5)(other, image), value / 2)


def test_outlier_aware_by_hand():
    """d = 0, 0, 0.4 in one channel: mean 2/15, standard deviation 0.4 / sqrt 3."""
    target = torch.zeros(1, 1, 1, 3)
    pred = torch.tensor([0.0, 0.0, 0.4]).view(1, 1, 1, 3)
    weight = math.tanh((0.4 - 0.4 / 3) / (0.4 / math.sqrt(3) / math.sqrt(2)))
    assert loss("OutlierAwareLoss")(pred, target).item() == pytest.approx(
        0.4 * weight / 3, rel=1e-4
    )


def test_cosine_similarity_by_hand():
    """45 degrees; a colour that is parallel once clipped."""
    pred = colours((1.0, 1.0, 0.0), (1.5, -0.5, 0.0))
    target = colours((1.0, 0.0, 0.0), (0.5, 0.0, 0.0))
    value = loss("CosineSimilarityLoss")(pred, target)
    assert value.item() == pytest.approx((1 - math.sqrt(0.5)) / 2, rel=1e-5)


def test_psnr_by_hand():
    """20 dB for one image, 40 dB for the other."""
    pred = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    value = loss("PSNRLoss", best=50.0)(pred, torch.zeros_like(pred))
    assert value.item() == pytest.approx(20, abs=1e-3)


def test_smooth_l1_and_mean_brightness_by_hand():
    pred = torch.tensor([0.4, 0.2]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    target = torch.zeros_like(pred)
    assert loss("SmoothL1Loss")(pred, target).item() == pytest.approx((0.08 + 0.02) / 2)
    assert loss("MeanBrightnessLoss")(pred, target).item() == pytest.approx(0.3)


@pytest.mark.parametrize(("side", "scales"), [(176, 5), (32, 2), (11, 1)])
def test_multi_scale_ssim_of_flat_images_by_hand(side, scales):
    """Flat images differ in luminance alone, which the coarsest scale compares."""
    pred = torch.full((1, 3, side, side), 0.5)
    luminance = (2 * 0.5 * 0.2 + 1e-4) / (0.5**2 + 0.2**2 + 1e-4)
    weight = SCALE_WEIGHTS[scales - 1] / sum(SCALE_WEIGHTS[:scales])
    value = loss("MultiScaleSSIMLoss")(pred, torch.full_like(pred, 0.2))
    assert value.item() == pytest.approx(1 - luminance**weight, abs=1e-5)


def test_color_consistency_by_hand():
    """45 degrees and parallel."""
    pred, target = colours((1.0, 1.0, 0.0), (0.2, 0.4, 0.6)), colours((1.0, 0, 0), (0.1, 0.2, 0.3))
    expected = (1 - math.sqrt(0.5) + math.pi / 4) / 2
    value = loss("ColorConsistencyLoss")(pred, target)
    assert value.item() == pytest.approx(expected, abs=1e-2)  # parallel: arccos is cut off


def test_consistency_minds_no_factor_and_no_offset():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 24, 31, generator=generator)
    for name in ("BrightnessConsistencyLoss", "GradientConsistencyLoss"):
        assert loss(name)(0.1 + 0.5 * image, image).item() == pytest.approx(0, abs=0.05)


def test_gradient_consistency_by_hand():
    """In three pixels' corner, edges to the right against edges down: nothing in common."""
    right = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]).expand(1, 1, 3, 3)
    value = loss("GradientConsistencyLoss")(right, right.transpose(2, 3))
    assert value.item() == pytest.approx(2 * (1 + math.pi / 2), rel=1e-4)


def test_mu_law_by_hand():
    pred = torch.full((1, 3, 2, 2), 0.1)
    expected = math.log(501) / math.log(5001)
    assert loss("MuLawLoss")(pred, torch.zeros_like(pred)).item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="`mu` to be above 0, but got 0"):
        loss("MuLawLoss", mu=0)

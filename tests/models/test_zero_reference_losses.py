"""Losses without ground truth, each against its equation written out by hand."""

import math
from itertools import product

import pytest
import torch

from enhancement.registry import LOSS_REGISTRY, lookup


def loss(name, **arguments):
    return lookup(LOSS_REGISTRY, name)(**arguments)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_exposure_control_by_hand():
    """Two patches of 2x2: greys 0.5 and 0.9."""
    output = torch.tensor([0.4, 0.6, 0.9, 0.9]).expand(1, 3, 2, 4)
    value = loss("ExposureControlLoss", loss_weight=10.0, patch=2)(output)
    assert value.item() == pytest.approx(10 * (0.1**2 + 0.3**2) / 2, rel=1e-5)


def test_spatial_consistency_by_hand():
    """Regions whose grey changes by d, among them a border of zeros."""
    d = [[0.1, 0.3], [0.0, 0.2]]
    output = torch.tensor(d).repeat_interleave(2, 0).repeat_interleave(2, 1).expand(1, 3, 4, 4)
    expected = 0.0
    for y, x in product(range(2), range(2)):
        for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            other = d[v][u] if v in (0, 1) and u in (0, 1) else 0
            expected += (d[y][x] - other) ** 2 / 4
    lq = noise(1, 3, 4, 4)
    value = loss("SpatialConsistencyLoss", region=2)(output + lq, lq)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_color_constancy_by_hand_and_on_grey():
    output = torch.tensor([0.5, 0.3, 0.4]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    expected = math.sqrt(0.2**4 + 0.1**4 + 0.1**4)
    assert loss("ColorConstancyLoss")(output).item() == pytest.approx(expected, rel=1e-4)
    grey = torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss("ColorConstancyLoss")(grey).backward()
    assert grey.grad.isfinite().all()


def test_curve_smoothness_sums_over_the_maps():
    """One map of three varies: dh 0.1 and 0.3, dw 0.2 and 0.4; H - 1 = W - 1 = 1."""
    one = torch.tensor([[0.1, 0.3], [0.2, 0.6]])
    maps = torch.stack((one, torch.zeros(2, 2), torch.ones(2, 2)))[None]
    expected = 2 * ((0.1**2 + 0.3**2) / 2 + (0.2**2 + 0.4**2) / 2)
    assert loss("CurveSmoothnessLoss")(maps).item() == pytest.approx(expected, rel=1e-5)


def test_output_variation_is_a_mean_over_colours():
    output = torch.tensor([[0.1, 0.3], [0.2, 0.6]]).expand(1, 3, 2, 2)
    expected = 2 * ((0.1**2 + 0.3**2) / 2 + (0.2**2 + 0.4**2) / 2)
    assert loss("OutputVariationLoss")(output).item() == pytest.approx(expected, rel=1e-5)


def test_stage_fidelity_sums_over_the_stages():
    u = torch.stack((torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), 0.4)))
    value = loss("StageFidelityLoss", loss_weight=1.5)(u, torch.full_like(u, 0.5))
    assert value.item() == pytest.approx(1.5 * (0.09 + 0.01), rel=1e-5)


def written_out(guide, x):
    """For one image: over the 24 offsets the sum of the means of w |x_p - x_q| over colours."""
    matrix = torch.tensor(
        [[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]]
    )
    y = torch.einsum("dc,chw->dhw", matrix / 255, guide)
    total = 0.0
    for down, right in product(range(-2, 3), range(-2, 3)):
        terms = []
        for i, j in product(range(x.shape[1]), range(x.shape[2])):
            k, m = i + down, j + right
            if 0 <= k < x.shape[1] and 0 <= m < x.shape[2]:
                w = math.exp(-((y[:, i, j] - y[:, k, m]) ** 2).sum().item() / (2 * 10**2))
                terms.append(w * (x[:, i, j] - x[:, k, m]).abs().mean().item())
        total += sum(terms) / len(terms)
    return total


def test_guided_smoothness_by_hand():
    lq, t = noise(1, 3, 5, 6), noise(1, 3, 5, 6, seed=1)
    expected = written_out(lq[0], t[0])
    assert loss("GuidedSmoothnessLoss")(t, lq).item() == pytest.approx(expected, rel=1e-5)


def test_stage_smoothness_sums_over_stages_and_colours():
    u, i = noise(2, 1, 3, 4, 4), noise(2, 1, 3, 4, 4, seed=1)
    expected = 3 * sum(written_out(u[k, 0], i[k, 0]) for k in range(2))
    assert loss("StageSmoothnessLoss")(u, i).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["IlluminationFidelityLoss", "DenoisingFidelityLoss"])
def test_fidelities_are_mean_squares(name):
    a, b = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.2)
    assert loss(name, loss_weight=0.5)(a, b).item() == pytest.approx(0.5 * 0.09, rel=1e-5)


def test_what_is_denoised_gets_no_gradient():
    noisy = noise(1, 3, 4, 4).requires_grad_()
    loss("DenoisingFidelityLoss")(noise(1, 3, 4, 4, seed=1).requires_grad_(), noisy).backward()
    assert noisy.grad is None


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("ExposureControlLoss", {"level": 2}, r"`level` to be in \[0, 1\], but got 2"),
        ("SpatialConsistencyLoss", {"region": 0}, "`region` to be at least 1, but got 0"),
    ],
)
def test_bad_arguments_are_named(name, arguments, text):
    with pytest.raises(ValueError, match=text):
        loss(name, **arguments)


def constant(value, channels=3):
    return torch.full((1, channels, 4, 4), value)


def test_the_two_exposures_share_their_reflectance():
    value = loss("ReflectanceConsistencyLoss")(constant(0.5), constant(0.2))
    assert value.item() == pytest.approx(0.09, rel=1e-5)


def test_retinex_reconstruction_by_hand():
    light = constant(0.5, 1).requires_grad_()
    value = loss("RetinexReconstructionLoss")(light, constant(0.6), constant(0.4))
    assert value.item() == pytest.approx((0.3 - 0.4) ** 2 + (0.6 - 0.8) ** 2, rel=1e-5)
    value.backward()  # of the first term alone
    assert light.grad.sum().item() == pytest.approx(2 * (0.3 - 0.4) * 0.6, rel=1e-4)


def test_illumination_is_near_the_brightest_channel_and_smooth():
    lq = torch.tensor([0.1, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    value = loss("BrightestChannelLoss")(constant(0.5, 1), lq)
    assert value.item() == pytest.approx(0.01, rel=1e-4)
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4) / 10
    assert loss("IlluminationVariationLoss")(ramp).item() == pytest.approx(0.2, rel=1e-5)


def test_the_projection_is_near_the_input():
    value = loss("ProjectionLoss", loss_weight=500.0)(constant(0.5), constant(0.4))
    assert value.item() == pytest.approx(5, rel=1e-4)

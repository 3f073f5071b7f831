"""Losses of decompositions, by hand and against the published formulation."""

import math

import pytest
import torch
from torch.nn import functional as F

from enhancement.models.retinex_losses import smoothness
from enhancement.registry import LOSS_REGISTRY, lookup


def loss(name, **arguments):
    return lookup(LOSS_REGISTRY, name)(**arguments)


def flat(value, channels=3):
    return torch.full((1, channels, 4, 5), value)


def test_smoothness_of_one_pixel_by_hand():
    """I = 0.5 and a grey R = 0.4: two edges in four places along each axis, and a ninth of R's."""
    illumination, reflectance = torch.full((1, 1, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.4)
    expected = 2 * (0.5 + 0.5) / 4 * math.exp(-10 * (0.4 + 0.4) / 9)
    assert smoothness(illumination, reflectance).item() == pytest.approx(expected, rel=1e-5)
    weighted = loss("RelightingSmoothnessLoss", loss_weight=3.0)(illumination, reflectance)
    assert weighted.item() == pytest.approx(3 * expected, rel=1e-5)


def test_smoothness_is_that_of_two_by_two_kernels():
    generator = torch.Generator().manual_seed(0)
    illumination = torch.rand(2, 1, 7, 9, generator=generator)
    reflectance = torch.rand(2, 3, 7, 9, generator=generator)
    red, green, blue = reflectance.split(1, 1)
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    along_x = torch.tensor([[0.0, 0.0], [-1.0, 1.0]]).view(1, 1, 2, 2)
    expected = 0
    for kernel in (along_x, along_x.transpose(2, 3)):
        change, edge = (F.conv2d(x, kernel, padding=1).abs() for x in (illumination, grey))
        expected += (change * torch.exp(-10 * F.avg_pool2d(edge, 3, 1, 1))).mean()
    torch.testing.assert_close(smoothness(illumination, reflectance), expected)


def test_decomposition_by_hand():
    """R_l = 0.5, I_l = 0.4, R_h = 0.8, I_h = 0.9 for S_l = 0.1 and S_h = 0.7."""
    given = {"lq": flat(0.1), "gt": flat(0.7), "reflectance": flat(0.5)}
    given |= {"illumination": flat(0.4, 1), "reflectance_gt": flat(0.8)}
    given |= {"illumination_gt": flat(0.9, 1)}
    own, swapped, same = (0.2 - 0.1) + (0.72 - 0.7), (0.32 - 0.1) + (0.7 - 0.45), 0.8 - 0.5
    value = loss("RetinexDecompositionLoss", swapped=0.5, consistency=2.0, smoothness=0.0)(**given)
    assert value.item() == pytest.approx(own + 0.5 * swapped + 2 * same, rel=1e-5)
    smooth = loss("RetinexDecompositionLoss", smoothness=3.0, swapped=0.0, consistency=0.0)(**given)
    both = smoothness(given["illumination"], given["reflectance"])
    both = both + smoothness(given["illumination_gt"], given["reflectance_gt"])
    assert smooth.item() == pytest.approx(own + 3 * both.item(), rel=1e-5)


def test_consistency_moves_the_dark_reflectance_alone():
    tensors = {name: flat(0.5).requires_grad_() for name in ("reflectance", "reflectance_gt")}
    given = {"lq": flat(0.0), "gt": flat(0.0), "illumination": flat(0.0, 1)}
    given["illumination_gt"] = flat(0.0, 1)
    tensors["reflectance_gt"].data += 0.1
    loss("RetinexDecompositionLoss", smoothness=0.0)(**given, **tensors).backward()
    assert tensors["reflectance"].grad.any()
    assert not tensors["reflectance_gt"].grad.any()


def test_initialisation_by_hand():
    """R0 = 0.5 and L0 = 0.4 of 0.1; R = 0.8 and L = 0.9 of 0.7."""
    given = {"lq": flat(0.1), "gt": flat(0.7), "initial_reflectance": flat(0.5)}
    given |= {"initial_illumination": flat(0.4, 1), "reflectance_gt": flat(0.8)}
    given |= {"illumination_gt": flat(0.9, 1)}
    value = loss("InitialisationLoss", brightest=0.5, smoothness=3.0)(**given)
    smooth = smoothness(given["illumination_gt"], given["reflectance_gt"]).item()
    expected = (0.2 - 0.1) + (0.72 - 0.7) + 0.5 * (0.4 - 0.1) ** 2 + 3 * smooth
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_unfolding_by_hand():
    """Constants, but for an illumination that rises by 0.01 from column to column."""

    def wide(value, channels=3):
        return torch.full((1, channels, 12, 13), value)

    light = wide(0.5, 1) + 0.01 * torch.arange(13)
    given = {"reflectance": wide(0.6), "illumination": light, "auxiliary_reflectance": wide(0.5)}
    given |= {"auxiliary_illumination": light + 0.2, "reflectance_gt": wide(0.8)}
    structural = 1 - (2 * 0.6 * 0.8 + 1e-4) / (0.6**2 + 0.8**2 + 1e-4)  # SSIM of two constants
    expected = 0.2**2 + 2 * structural + 3 * (0.1 + 0.2) + 4 * 0.01
    value = loss("UnfoldingLoss", ssim=2.0, constraint=3.0, variation=4.0)(**given)
    assert value.item() == pytest.approx(expected, rel=1e-3)


def test_illumination_gradients_by_hand():
    """The illumination, minus a constant one, rises by 0.1 along x and falls by 0.3 along y."""
    adjusted = torch.tensor([[0.5, 0.6], [0.2, 0.3]]).view(1, 1, 2, 2)
    level = torch.full((1, 1, 2, 2), 0.4)
    value = loss("IlluminationGradientLoss", loss_weight=2.0)(adjusted, level)
    assert value.item() == pytest.approx(2 * (0.1 + 0.3), rel=1e-5)

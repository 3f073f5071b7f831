"""HDRNet: slicing and guidance by their formulas, its variants, its illumination map."""

from unittest import mock

import numpy as np
import pytest
import torch
from networks import build, count, image, perturbed

from enhancement.archs.bilateral import slicing
from enhancement.archs.bilateral.guides import CurveGuide
from enhancement.archs.bilateral.slicing import apply_affine, slice_grid
from enhancement.archs.hdrnet_arch import HDRNet, InwardClamp


def tent_slice(grid, guide):
    """HDRNet's formula, cell by cell: tau(v) = max(1 - |v|, 0) around centres at +0.5."""
    channels, depth, rows, columns = grid.shape
    height, width = guide.shape
    output = np.zeros((channels, height, width))
    for y in range(height):
        for x in range(width):
            gx = (x + 0.5) * columns / width
            gy = (y + 0.5) * rows / height
            gz = guide[y, x] * depth
            for cz in range(int(np.floor(gz - 0.5)), int(np.floor(gz - 0.5)) + 2):
                for cy in range(int(np.floor(gy - 0.5)), int(np.floor(gy - 0.5)) + 2):
                    for cx in range(int(np.floor(gx - 0.5)), int(np.floor(gx - 0.5)) + 2):
                        weight = (
                            max(1 - abs(cx + 0.5 - gx), 0)
                            * max(1 - abs(cy + 0.5 - gy), 0)
                            * max(1 - abs(cz + 0.5 - gz), 0)
                        )
                        inside = (
                            np.clip(cz, 0, depth - 1),
                            np.clip(cy, 0, rows - 1),
                            np.clip(cx, 0, columns - 1),
                        )
                        output[:, y, x] += weight * grid[(slice(None), *inside)]
    return output


def test_slicing_equals_the_published_formula():
    generator = torch.Generator().manual_seed(0)
    grid = torch.rand(1, 5, 4, 3, 6, generator=generator)
    guide = torch.rand(1, 1, 13, 17, generator=generator)
    guide[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    expected = tent_slice(grid[0].numpy(), guide[0, 0].numpy())
    np.testing.assert_allclose(slice_grid(grid, guide)[0].numpy(), expected, atol=5e-6)


def test_affine_is_applied_row_by_row():
    x = image(4, 5, 1)
    a = torch.arange(12.0).view(1, 12, 1, 1).expand(1, 12, 4, 5)
    matrix = torch.arange(12.0).view(3, 4)
    expected = torch.einsum("ij,bjhw->bihw", matrix[:, :3], x) + matrix[:, 3].view(1, 3, 1, 1)
    torch.testing.assert_close(apply_affine(a, x), expected)


def test_hdrnet_coefficient_branch_has_the_published_size():
    network = HDRNet()
    assert count(network.coefficients) == 481_968
    assert network.coefficients(image(64, 64, 1)).shape == (1, 12, 8, 16, 16)


def test_hdrnet_starts_near_the_identity():
    x = image(64, 64)
    assert (build("HDRNet")(x) - x).abs().mean() < 0.1


def test_guide_starts_as_the_grey_mean_and_follows_its_hinges():
    guide, x = CurveGuide(), image()
    torch.testing.assert_close(guide(x), x.mean(1, keepdim=True))
    guide.slopes.data[:, 8] = -1.0  # flat above shift 8/16
    torch.testing.assert_close(guide(x), x.clamp(max=0.5).mean(1, keepdim=True))


VARIANTS = {
    "illumination": {"mode": "illumination"},
    "concat": {"fusion": "concat"},
    "pointwise": {"guide": "pointwise"},
    "deep": {"trunk": "deep"},
    "batch_norm": {"batch_norm": True},
    "paper": {"mode": "illumination", "fusion": "concat", "batch_norm": True, "trunk": "deep"},
}


@pytest.mark.parametrize("variant", VARIANTS)
class TestHDRNetVariants:
    def test_every_parameter_gets_a_gradient(self, variant):
        network = perturbed(build("HDRNet", **VARIANTS[variant]))
        (network(image()) - image()).square().mean().backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert silent == []

    @pytest.mark.parametrize("value", [0.0, 1 / 255, 1.0])
    def test_black_and_white_stay_finite(self, variant, value):
        network = build("HDRNet", **VARIANTS[variant])
        x = torch.full((2, 3, 64, 64), value, requires_grad=True)
        network(x).sum().backward()
        assert all(t.grad.isfinite().all() for t in (x, *network.parameters()))

    def test_on_tensor_operators_the_output_is_the_same(self, variant):
        network, x = build("HDRNet", **VARIANTS[variant]).eval(), image()
        with mock.patch.object(slicing, "can_fuse", return_value=False):
            expected = network(x)
        torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-5)


def test_illumination_lies_between_the_input_and_one():
    network = build("HDRNet", mode="illumination")
    network.coefficients.project.weight.data.normal_()
    x = image()
    x[..., :5] = 0
    output, light = network.outputs(x).values()
    assert (light >= x).all()
    assert (light <= 1).all()
    torch.testing.assert_close(output * light, x)
    assert (output[..., :5] == 0).all()
    assert (output <= 1).all()


def test_an_illumination_outside_its_range_comes_back():
    x = torch.tensor([-0.5, 0.0, 0.5, 1.0, 1.5, 1.5], requires_grad=True)
    low = torch.full((6,), 0.2, requires_grad=True)
    held = InwardClamp.apply(x, low, 1.0)
    assert held.tolist() == pytest.approx([0.2, 0.2, 0.5, 1.0, 1.0, 1.0])
    held.backward(torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0, -1.0]))
    assert x.grad.tolist() == [-1.0, 0.0, 1.0, 1.0, 1.0, 0.0]
    assert low.grad.tolist() == [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_deep_trunk_has_deepupes_size():
    with torch.device("meta"):
        network = HDRNet(trunk="deep")
    assert count(network.coefficients) == 998_704


def test_width_multiplier_scales_the_branch():
    narrow = HDRNet(width_multiplier=0.5)
    assert count(narrow.coefficients) < 481_968 / 3
    assert narrow.coefficients.low_level[0].out_channels == 4


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"low_resolution": 100}, "`low_resolution` to be a multiple of 64, but got 100"),
        ({"mode": "ilumination"}, r"`mode` to be affine or illumination, but got 'ilumination'"),
        ({"grid_depth": 0}, "`grid_depth` to be at least 1, but got 0"),
    ],
)
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        HDRNet(**arguments)

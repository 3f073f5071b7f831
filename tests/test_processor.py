"""Layers that a processor computes with less work: the same numbers, and only where they may."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from enhancement.archs import processor
from enhancement.archs.iglfm_arch import IGLFM
from enhancement.archs.processor import (
    Conv1x1,
    Conv3x3,
    Depthwise,
    PReLU,
    conv3x3,
    enlarge,
    halve,
    layout,
    saves,
)

pytestmark = pytest.mark.skipif(
    not torch.backends.nnpack.is_available(), reason="PyTorch without NNPACK"
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def plain(function, *arguments):
    """What the same call gives with the fast way turned off."""
    with torch.inference_mode(), torch.backends.nnpack.flags(enabled=False):
        return function(*arguments)


@pytest.mark.parametrize(
    "shape", [(1, 64, 64, 64), (2, 3, 37, 53), (3, 9, 24, 25), (1, 32, 24, 300)]
)
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("workspace", [1, 2**24])
def test_winograd_equals_the_plain_convolution(shape, dilation, workspace, monkeypatch):
    monkeypatch.setattr(processor, "WORKSPACE", workspace)
    x, layer = torch.randn(shape), Conv3x3(shape[1], 17, dilation=dilation)
    nn.init.normal_(layer.weight, std=(9 * shape[1]) ** -0.5)
    with torch.inference_mode():
        found = layer(x)
        assert torch.equal(found, layer(x))
    expected = plain(layer, x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert dilation > 1 or not torch.equal(found, expected)  # it was another algorithm


@pytest.mark.parametrize("layer", [
    Conv1x1(8, 5), Conv1x1(8, 5, bias=False), PReLU(), Depthwise(8, 8), Depthwise(8, 4, bias=False),
    Depthwise(48, 24),
])  # fmt: skip
def test_layers_equal_their_plain_arithmetic(layer):
    x = torch.randn(2, getattr(layer, "in_channels", 8), 26, 31)
    expected = plain(layer, x.clone())
    with torch.inference_mode():
        torch.testing.assert_close(layer(x.clone()), expected, atol=1e-5, rtol=0)


def test_enlarge_and_halve_equal_their_plain_arithmetic():
    x, weight, bias = torch.randn(2, 8, 26, 30), torch.randn(8, 5, 2, 2), torch.randn(5)
    expected = F.conv_transpose2d(x, weight, bias, stride=2)
    torch.testing.assert_close(enlarge(x, weight, bias), expected, atol=1e-5, rtol=0)
    assert torch.equal(halve(x), F.max_pool2d(x, 2))


def test_threads_do_not_disturb_each_other():
    weight = torch.randn(16, 16, 3, 3)
    images = [torch.randn(1, 16, 24 + 8 * i, 40) for i in range(6)]
    alone = [conv3x3(image, weight) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: conv3x3(image, weight), images * 5))
    assert all(torch.equal(a, b) for a, b in zip(alone * 5, together, strict=True))


def test_training_and_what_it_cannot_do_take_the_plain_way():
    x, weight = torch.randn(1, 4, 32, 32), torch.randn(4, 4, 3, 3)
    assert saves(x, weight)
    assert not saves(x, weight.requires_grad_())
    with torch.no_grad():
        assert saves(x, weight)
        assert not saves(x.double())
        assert not saves(x[..., :8])
        assert not saves(x[:0])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not saves(x)
        with torch.backends.nnpack.flags(enabled=False):
            assert not saves(x)
        assert conv3x3(x[:0], weight).shape == (0, 4, 32, 32)
    network = nn.ParameterList([weight])
    assert layout(x, *network).is_contiguous(memory_format=torch.channels_last)


def test_graphs_hold_plain_convolutions():
    layer, x = Conv3x3(4, 4).requires_grad_(False), torch.randn(1, 4, 32, 32)
    assert "nnpack" not in str(torch.jit.trace(layer, x).inlined_graph)
    assert "nnpack" not in str(torch.export.export(layer, (x,)).graph)


def test_an_image_is_not_overwritten():
    network, image = IGLFM(width=16, groups=1, blocks=1).eval(), torch.rand(2, 3, 48, 50)
    before = image.clone()
    with torch.inference_mode():
        found = network(image)
    assert torch.equal(image, before)
    torch.testing.assert_close(found, plain(network, image), atol=1e-4, rtol=0)

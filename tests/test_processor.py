"""Layers that a processor computes with less work: the same numbers, and only where they may."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from enhancement.archs import processor
from enhancement.archs.convolution_kernels import INTO, OUT, WEIGHTS
from enhancement.archs.iglfm_arch import IGLFM
from enhancement.archs.processor import (
    Conv1x1,
    Conv3x3,
    Depthwise,
    Fused,
    conv3x3,
    depthwise,
    enlarge,
    mix,
    plain_arithmetic,
    saves,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def image(*shape):
    """A batch whose channels lie last in memory."""
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def both(function, *arguments, **more):
    """What a call gives the fast way and the plain way; arguments are the call's own."""

    def own():
        return [a.clone() if isinstance(a, torch.Tensor) else a for a in arguments]

    with torch.inference_mode():
        found = function(*own(), **more)
        assert torch.equal(found, function(*own(), **more))
        with plain_arithmetic():
            expected = function(*own(), **more)
    assert found.shape == expected.shape
    return found, expected


def test_winograds_matrices_convolve():
    d, g = np.random.default_rng(0).normal(size=8), np.array([0.3, -1.0, 0.7])
    expected = [np.dot(d[i : i + 3], g) for i in range(6)]
    np.testing.assert_allclose(OUT @ ((WEIGHTS @ g) * (INTO @ d)), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "shape", [(1, 64, 64, 64), (2, 32, 37, 53), (3, 16, 24, 25), (1, 128, 24, 300)]
)
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize(("channels", "bias"), [(16, True), (17, False), (96, True)])
def test_winograd_equals_the_plain_convolution(shape, dilation, channels, bias):
    layer = Conv3x3(shape[1], channels, bias, dilation)
    nn.init.normal_(layer.weight, std=(9 * shape[1]) ** -0.5)
    found, expected = both(layer, image(*shape))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert not torch.equal(found, expected)  # it was another algorithm
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("cache", [1, 2**30])
def test_results_depend_on_neither_cache_nor_threads(cache, monkeypatch):
    x, weight = image(1, 32, 70, 90), torch.randn(48, 32, 3, 3)
    expected = conv3x3(x, weight)
    monkeypatch.setattr(processor, "CACHE", cache)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(conv3x3(x, weight), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("slope", [0.0, 0.2, torch.tensor([0.3])])
def test_activations_and_channels_beside(slope):
    x, beside, weight = image(2, 16, 30, 31), image(2, 48, 30, 31), torch.randn(40, 64, 3, 3) / 24
    found, expected = both(conv3x3, x, weight, torch.randn(40), 1, slope, beside)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    expected = F.conv2d(torch.cat((x, beside), 1), weight, padding=1)
    torch.testing.assert_close(conv3x3(x, weight, beside=beside), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layer", [
    Conv1x1(9, 5), Conv1x1(16, 64, bias=False), Conv1x1(40, 70), Depthwise(16), Depthwise(8),
    Depthwise(48, False), Fused(nn.PReLU(), Conv1x1(16, 16), nn.PReLU(init=0.1)),
    Fused(Conv3x3(16, 32), nn.LeakyReLU(0.2), Depthwise(32), nn.ReLU(), Conv1x1(32, 3)),
])  # fmt: skip
def test_layers_equal_their_plain_arithmetic(layer):
    channels = next(m.in_channels for m in layer.modules() if hasattr(m, "in_channels"))
    found, expected = both(layer, image(2, channels, 26, 31))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_fused_layers_equal_them_one_by_one():
    layers = Conv3x3(16, 16), nn.PReLU(), Conv1x1(16, 8), nn.ReLU(), nn.Conv2d(8, 8, 1)
    x = image(1, 16, 32, 32)
    torch.testing.assert_close(Fused(*layers)(x), nn.Sequential(*layers)(x))


@pytest.mark.parametrize("bias", [None, torch.randn(5), torch.randn(2, 5)])
@pytest.mark.parametrize("onto", [None, torch.randn(2, 5, 26, 31)])
@pytest.mark.parametrize("matrix", [torch.randn(5, 9), torch.randn(2, 5, 9)])
def test_a_matrix_applied_to_pixels(matrix, bias, onto):
    x = image(2, 9, 26, 31)
    found, expected = both(mix, x, matrix, bias, onto, 0.5)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    by_hand = torch.einsum("bdc,bcyx->bdyx", matrix.expand(2, -1, -1), x)
    by_hand = by_hand if bias is None else by_hand + bias.expand(2, -1)[..., None, None]
    by_hand = F.leaky_relu(by_hand if onto is None else by_hand + onto, 0.5)
    torch.testing.assert_close(found, by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("shape", [(16, 1, 3, 3), (2, 16, 1, 3, 3)])
def test_depthwise_with_either_padding_and_a_kernel_an_image(reflect, shape):
    x, weight = image(2, 16, 25, 24), torch.randn(shape)
    found, expected = both(depthwise, x, weight, torch.randn(16), reflect, 0.2)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    around = F.pad(x, (1, 1, 1, 1), "reflect" if reflect else "constant")
    for i, kernel in enumerate(weight.expand(2, 16, 1, 3, 3)):
        by_hand = F.conv2d(around[i : i + 1], kernel, groups=16)
        given = depthwise(x, weight, reflect=reflect)[i : i + 1]
        torch.testing.assert_close(given, by_hand, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("channels", [5, 64])
def test_enlarge_equals_the_transposed_convolution(channels):
    x, weight, bias = image(2, 8, 26, 31), torch.randn(8, channels, 2, 2), torch.randn(channels)
    expected = F.conv_transpose2d(x, weight, bias, stride=2)
    torch.testing.assert_close(enlarge(x, weight, bias), expected, atol=1e-5, rtol=1e-5)


def test_a_broken_pixel_is_not_hidden():
    x = image(1, 16, 30, 30)
    x[0, 3, 12, 12] = float("nan")
    weight = torch.randn(16, 16, 3, 3)
    for y in (conv3x3(x, weight, slope=0.0), mix(x, weight[..., 0, 0], slope=0.0),
              depthwise(x, weight[:, :1], slope=0.0)):  # fmt: skip
        assert y[0, :, 12, 12].isnan().any()
        assert y[0, :, 20:, 20:].isfinite().all()


def test_threads_do_not_disturb_each_other():
    weight = torch.randn(16, 16, 3, 3)
    images = [image(1, 16, 24 + 8 * i, 40) for i in range(6)]
    alone = [conv3x3(x, weight) for x in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda x: conv3x3(x, weight), images * 5))
    assert all(torch.equal(a, b) for a, b in zip(alone * 5, together, strict=True))


def test_training_and_what_it_cannot_do_take_the_plain_way():
    x, weight = torch.randn(1, 16, 32, 32), torch.randn(16, 16, 3, 3)
    assert saves(x, weight)
    assert not saves(x, weight.requires_grad_())
    with torch.no_grad():
        assert saves(x, weight)
        assert not saves(x.double())
        assert not saves(x, weight.double())
        assert not saves(x[0])
        assert not saves(x[..., :8], side=24)
        assert not saves(x[:0])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not saves(x)
        with plain_arithmetic():
            assert not saves(x)
        assert conv3x3(x[:0], weight).shape == (0, 16, 32, 32)


@pytest.mark.parametrize("call", [
    lambda x, slope: conv3x3(x, torch.ones(16, 16, 3, 3), slope=slope),
    lambda x, slope: mix(x, torch.ones(16, 16), slope=slope),
    lambda x, slope: depthwise(x, torch.ones(16, 1, 3, 3), slope=slope),
])  # fmt: skip
def test_a_slope_is_trained_behind_frozen_weights(call):
    slope = torch.tensor([0.25], requires_grad=True)
    call(image(1, 16, 30, 30), slope).sum().backward()
    assert slope.grad.abs() > 0


def test_gradients_are_those_of_plain_layers():
    x = image(1, 16, 30, 30).requires_grad_()
    layers = Conv3x3(16, 16), nn.PReLU(), Depthwise(16), nn.LeakyReLU(0.2), Conv1x1(16, 4)
    fused, apart = Fused(*layers), nn.Sequential(*layers)
    given = torch.autograd.grad(fused(x).square().sum(), [x, *fused.parameters()])
    expected = torch.autograd.grad(apart(x).square().sum(), [x, *apart.parameters()])
    for a, b in zip(given, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("call", [
    lambda x: conv3x3(x, torch.ones(16, 32, 3, 3)),
    lambda x: conv3x3(x, torch.ones(16, 16, 3, 3), torch.ones(17)),
    lambda x: conv3x3(x, torch.ones(16, 32, 3, 3), beside=x[..., 1:]),
    lambda x: mix(x, torch.ones(16, 32)),
    lambda x: mix(x, torch.ones(16, 16), onto=x[..., 1:, 1:]),
    lambda x: mix(x, torch.ones(16, 16).double()),
    lambda x: depthwise(x, torch.ones(8, 1, 3, 3)),
    lambda x: enlarge(x, torch.ones(8, 32, 2, 2), None),
])  # fmt: skip
def test_what_does_not_fit_is_refused(call):
    with pytest.raises(RuntimeError):
        call(image(1, 16, 32, 32))


def test_a_bias_that_is_not_in_one_piece():
    x, bias = image(1, 16, 26, 30), torch.randn(64)
    for function, weight, part in (
        (depthwise, torch.randn(16, 1, 3, 3), bias[::4]),
        (enlarge, torch.randn(16, 32, 2, 2), bias[:1].expand(32)),
    ):
        found, expected = function(x, weight, part), function(x, weight, part.clone())
        torch.testing.assert_close(found, expected)


def test_nothing_is_overwritten_that_a_gradient_needs():
    a, w = torch.randn(1, 16, 30, 30), torch.ones(1, requires_grad=True)
    total = (a * w).sum()
    expected = a.sum()
    mix(torch.randn(1, 16, 30, 30), torch.ones(16, 16), onto=a)
    processor.PReLU().requires_grad_(False)(a)
    total.backward()
    torch.testing.assert_close(w.grad[0], expected)


def test_a_slope_a_channel_takes_the_plain_way():
    layers = Conv3x3(16, 16), nn.PReLU(16, init=0.1)
    found, expected = both(Fused(*layers), image(1, 16, 30, 30))
    assert torch.equal(found, expected)


@pytest.mark.slow
def test_a_forked_process_goes_on_without_kernels():
    code = (
        "import os, torch\nfrom enhancement.archs.processor import Conv3x3\n"
        "layer, x = Conv3x3(16, 16).requires_grad_(False), torch.rand(1, 16, 32, 32)\n"
        "before = layer(x)\npid = os.fork()\ntorch.set_num_threads(1)\n"
        "assert (layer(x) - before).abs().max() < 1e-4\n"
        "if pid: assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)


def test_graphs_hold_plain_convolutions():
    layer, x = Conv3x3(16, 16).requires_grad_(False), torch.randn(1, 16, 32, 32)
    assert "aten::_convolution" in str(torch.jit.trace(layer, x).inlined_graph)
    assert "conv2d" in str(torch.export.export(layer, (x,)).graph)


def test_an_image_is_not_overwritten():
    network, x = IGLFM(width=16, groups=1, blocks=1).eval(), torch.rand(2, 3, 48, 50)
    before = x.clone()
    found, expected = both(network, x)
    assert torch.equal(x, before)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)

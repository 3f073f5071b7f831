"""Retinexformer and DED-Net: published outputs, and the arithmetic of their parts."""

import json

import numpy as np
import pytest
import torch
from networks import count, image
from torch.nn import functional as F

from enhancement.archs.ded_net_arch import IFE, DEDNet
from enhancement.archs.parts.normalization import ChannelNorm
from enhancement.archs.retinex_blocks import GuidedAttention
from enhancement.archs.retinexformer_arch import RetinexFormer

GOLDEN = "golden"


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "kind", "arguments"),
    [
        ("RetinexFormer", RetinexFormer, {}),
        ("DEDNet_separable", DEDNet, {}),
        ("DEDNet_dense", DEDNet, {"ffn": "dense"}),
    ],
)
def test_outputs_equal_the_published_networks(real_data, file, kind, arguments, monkeypatch):
    """Weights and input by formula; what the authors' arithmetic gives for them is on file."""
    monkeypatch.syspath_prepend(real_data / GOLDEN)
    formula = pytest.importorskip("formula")
    network = kind(**arguments).eval()
    network.load_state_dict(formula.fill(network.state_dict()), strict=True)
    keys = json.loads((real_data / GOLDEN / "keys.json").read_text()).get(file)
    if keys:
        assert {k: list(v.shape) for k, v in network.state_dict().items()} == keys
    with torch.inference_mode():
        output = network(formula.image(1, 48, 64)).numpy()
    expected = np.load(real_data / GOLDEN / f"{file}.npz")["0"]
    np.testing.assert_allclose(output, expected, atol=1e-4, rtol=0)


def test_dense_feed_forwards_have_the_published_size():
    with torch.device("meta"):
        network = DEDNet(ffn="dense")
    assert count(network) == 45_190_696


def test_attention_equals_the_published_arithmetic():
    """q and k for every pixel, as equations 8 to 10 have it, against the Gram matrix."""
    torch.manual_seed(0)
    layer, x = GuidedAttention(16, 2), torch.randn(2, 16, 9, 7)
    for parameter in layer.parameters():
        parameter.data.normal_(std=0.3)
    guidance = torch.randn(2, 16, 9, 7)
    pixels = x.permute(0, 2, 3, 1).reshape(2, 63, 16)
    q, k, v = (
        linear(pixels).view(2, 63, 2, 8).permute(0, 2, 3, 1)
        for linear in (layer.to_q, layer.to_k, layer.to_v)
    )
    lit = v * guidance.permute(0, 2, 3, 1).reshape(2, 63, 2, 8).permute(0, 2, 3, 1)
    score = F.normalize(k, dim=-1) @ F.normalize(q, dim=-1).transpose(-1, -2)
    mixed = (score * layer.rescale).softmax(-1) @ lit  # (2, heads, 8, 63)
    out = layer.proj(mixed.permute(0, 3, 1, 2).reshape(2, 63, 16))
    plain_v = v.reshape(2, 16, 9, 7)
    expected = out.transpose(1, 2).reshape(2, 16, 9, 7) + layer.pos_emb(plain_v)
    torch.testing.assert_close(layer(x, guidance), expected, atol=1e-5, rtol=1e-4)


def test_channel_norm_is_layer_norm():
    norm, x = ChannelNorm(6), torch.randn(2, 6, 5, 4)
    norm.weight.data.uniform_()
    norm.bias.data.uniform_()
    expected = F.layer_norm(x.permute(0, 2, 3, 1), (6,), norm.weight, norm.bias)
    torch.testing.assert_close(norm(x), expected.permute(0, 3, 1, 2))


def test_ife_shares_its_convolutions_between_three_scales():
    ife, sizes = IFE(), []
    ife.e_conv1.register_forward_hook(lambda m, i, o: sizes.append(tuple(o.shape[-2:])))
    ife(image(64, 96))
    assert sorted(sizes) == [(7, 11), (16, 24), (64, 96)]
    assert sum(isinstance(m, torch.nn.Conv2d) for m in ife.modules()) == 13


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        (DEDNet, {"num_blocks": (1, 2)}, r"`num_blocks` to be 3 numbers, but got \[1, 2\]"),
        (RetinexFormer, {"n_feat": 10}, "`n_feat` to be a multiple of 4, but got 10"),
    ],
)
def test_bad_arguments_are_named(kind, arguments, text):
    with pytest.raises(ValueError, match=text):
        kind(**arguments)
